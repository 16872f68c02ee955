//! The journal on PostgreSQL: what it does on SQLite, each time in a database of its own.

#[path = "../it/journal/body.rs"]
mod body;
#[path = "../it/journal/fixture.rs"]
pub(crate) mod fixture;

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use watermaster::journal::{DatabaseUrl, Journal};

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A database that is there for one test.
pub(crate) struct Scratch {
    name: String,
    server: PgConnectOptions,
}

impl Scratch {
    pub(crate) async fn new() -> Self {
        let url = std::env::var("WATERMASTER_TEST_POSTGRES_URL");
        let url = url.unwrap_or_else(|_| panic!("WATERMASTER_TEST_POSTGRES_URL is not set: tests/run sets it"));
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let scratch = Self { name: format!("journal_{}_{number}", std::process::id()), server: url.parse().unwrap() };
        scratch.command(&format!("CREATE DATABASE {}", scratch.name)).await;
        scratch
    }

    async fn command(&self, text: &str) {
        let mut connection: PgConnection = self.server.connect().await.unwrap();
        sqlx::query(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    pub(crate) async fn open(&self) -> Journal {
        Journal::open(&DatabaseUrl::Postgres(self.options().to_url_lossy().into())).await.unwrap()
    }

    pub(crate) async fn drop(self) {
        self.command(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

/// Each body runs on a journal of its own.
macro_rules! on_postgres {
    ($($name:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let scratch = Scratch::new().await;
            let journal = scratch.open().await;
            body::$name(&journal).await;
            journal.close().await;
            scratch.drop().await;
        }
    )* };
}

on_postgres! {
    what_is_appended_is_read_back
    a_batch_that_does_not_follow_is_a_conflict
    a_history_is_restored
    a_snapshot_is_the_state
    a_newer_snapshot_takes_the_place_of_an_older_one
    the_past_is_filtered
    receipts_are_kept_and_forgotten
    what_is_old_is_deleted_below_a_snapshot
    samples_of_links_are_kept_and_forgotten
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_one_wins_each_place() {
    let scratch = Scratch::new().await;
    // Both make the tables at once: one waits for the other.
    let (one, two) = tokio::join!(scratch.open(), scratch.open());
    body::of_two_writers_one_wins_each_place(one, two).await;
    scratch.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_alone_is_not_outrun() {
    let scratch = Scratch::new().await;
    body::who_writes_alone_is_not_outrun(scratch.open().await, scratch.open().await).await;
    scratch.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_rows_are_named() {
    let scratch = Scratch::new().await;
    let journal = scratch.open().await;
    let damage = async |text: &'static str| {
        let mut connection = scratch.options().connect().await.unwrap();
        sqlx::query(text).execute(&mut connection).await.unwrap();
    };
    body::damaged_rows_are_named(&journal, damage).await;
    scratch.drop().await;
}

/// Each body runs on a journal of its own, and damages it behind its back.
macro_rules! on_damaged_postgres {
    ($($name:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let scratch = Scratch::new().await;
            let journal = scratch.open().await;
            let damage = async |text: &str| {
                let mut connection = scratch.options().connect().await.unwrap();
                sqlx::query(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
            };
            body::$name(&journal, damage).await;
            scratch.drop().await;
        }
    )* };
}

on_damaged_postgres! {
    the_chain_breaks_where_a_row_was_changed
    a_damaged_snapshot_is_passed_over
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_made_anew() {
    let scratch = Scratch::new().await;
    let journal = scratch.open().await;
    let before = body::some_history(&journal).await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname";
    scratch.command(&format!("{others} = '{}'", scratch.name)).await;
    // The first attempt on a broken connection may fail; the one after it must not.
    body::goes_on(&journal, before).await;
    scratch.drop().await;
}

/// A database for a test that runs the program: made and dropped from outside any runtime.
pub(crate) struct ScratchUrl {
    runtime: tokio::runtime::Runtime,
    scratch: Option<Scratch>,
    url: String,
}

impl ScratchUrl {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let scratch = runtime.block_on(Scratch::new());
        let url = scratch.options().to_url_lossy().to_string();
        Self { runtime, scratch: Some(scratch), url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for ScratchUrl {
    fn drop(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            self.runtime.block_on(scratch.drop());
        }
    }
}
