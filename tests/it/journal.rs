//! The journal on SQLite.

mod body;
mod world;

use std::path::Path;

use watermaster::journal::{DatabaseUrl, Journal};

async fn open(folder: &Path) -> Journal {
    Journal::open(&DatabaseUrl::Sqlite(folder.join("deep/journal.db"))).await.unwrap()
}

/// Each body runs on a journal of its own.
macro_rules! on_sqlite {
    ($($name:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let folder = tempfile::tempdir().unwrap();
            let journal = open(folder.path()).await;
            body::$name(&journal).await;
            journal.close().await;
        }
    )* };
}

on_sqlite! {
    what_is_appended_is_read_back
    a_batch_that_does_not_follow_is_a_conflict
    a_history_is_restored
    a_snapshot_is_the_state
    the_past_is_filtered
    receipts_are_kept_and_forgotten
}
