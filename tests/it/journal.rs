//! The journal on SQLite.

mod body;
pub(crate) mod fixture;

use std::collections::BTreeMap;
use std::path::Path;

use kernel::annotation::AnnotationField;
use kernel::id::Sequence;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use watermaster::journal::{AnnotationFilter, DatabaseUrl, Journal, JournalError, Past, PastFilter, RecordBatch};

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
    a_newer_snapshot_takes_the_place_of_an_older_one
    the_past_is_filtered
    receipts_are_kept_and_forgotten
    what_is_old_is_deleted_below_a_snapshot
    samples_of_links_are_kept_and_forgotten
}

#[tokio::test]
async fn a_journal_in_memory_remembers_as_long_as_it_lives() {
    let journal = Journal::open(&DatabaseUrl::SqliteMemory).await.unwrap();
    body::what_is_appended_is_read_back(&journal).await;
    let another = Journal::open(&DatabaseUrl::SqliteMemory).await.unwrap();
    assert_eq!(another.head().await.unwrap(), Sequence(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_one_wins_each_place() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    body::of_two_writers_one_wins_each_place(one, two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_alone_is_not_outrun() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    body::who_writes_alone_is_not_outrun(one, two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_rows_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path()).await;
    let options = SqliteConnectOptions::new().filename(folder.path().join("deep/journal.db"));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let damage = async |text: &'static str| {
        sqlx::query(text).execute(&pool).await.unwrap();
    };
    body::damaged_rows_are_named(&journal, damage).await;
}

/// Each body runs on a journal of its own, and damages it behind its back.
macro_rules! on_damaged_sqlite {
    ($($name:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let folder = tempfile::tempdir().unwrap();
            let journal = open(folder.path()).await;
            let options = SqliteConnectOptions::new().filename(folder.path().join("deep/journal.db"));
            let pool = SqlitePool::connect_with(options).await.unwrap();
            let damage = async |text: &str| {
                sqlx::query(sqlx::AssertSqlSafe(text.to_owned())).execute(&pool).await.unwrap();
            };
            body::$name(&journal, damage).await;
        }
    )* };
}

on_damaged_sqlite! {
    the_chain_breaks_where_a_row_was_changed
    a_damaged_snapshot_is_passed_over
}

#[tokio::test]
async fn a_journal_outlives_its_closing() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path()).await;
    let state = body::some_history(&journal).await;
    journal.close().await;
    assert!(journal.head().await.is_err());
    let again = open(folder.path()).await;
    assert!(again.restore().await.unwrap() == state);
    body::goes_on(&again, state).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_from_before_annotations_is_read_on() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path()).await;
    let mut world = fixture::World::new(11);
    let mut draft = RecordBatch::new();
    world.live(400, &mut draft);
    journal.append(&draft).await.unwrap();
    let before = journal.past(&PastFilter::default(), None, 1_000).await.unwrap();
    assert!(!before.is_empty());
    journal.close().await;
    // As the version before left it.
    let options = SqliteConnectOptions::new().filename(folder.path().join("deep/journal.db"));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    for text in [
        "DROP INDEX past_allocation_annotated",
        "ALTER TABLE past_allocation DROP COLUMN annotations",
        "DELETE FROM _sqlx_migrations WHERE version = 2",
    ] {
        sqlx::query(text).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let journal = open(folder.path()).await;
    let after = journal.past(&PastFilter::default(), None, 1_000).await.unwrap();
    let ids = |past: &[Past]| past.iter().map(|past| past.allocation.id).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&before));
    let named = AnnotationFilter::new(AnnotationField::Name, "*");
    let named = PastFilter { annotations: vec![named], ..PastFilter::default() };
    assert!(journal.past(&named, None, 1_000).await.unwrap().is_empty());
    journal.close().await;
}

#[tokio::test]
async fn what_is_no_database_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "this is no database, however long one looks at it".repeat(100)).unwrap();
    let refused = Journal::open(&DatabaseUrl::Sqlite(file.clone())).await.err().unwrap();
    assert!(refused.to_string().starts_with("the file is no SQLite database: "), "{refused}");
    let inside = DatabaseUrl::Sqlite(file.join("journal.db"));
    assert!(matches!(Journal::open(&inside).await, Err(JournalError::Folder { .. })));
}

#[test]
fn a_file_has_one_service() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("deep/journal.db"));
    let first = url.claim().unwrap();
    assert!(matches!(url.claim(), Err(JournalError::InUse { .. })));
    drop(first);
    assert!(url.claim().unwrap().is_some());
    assert!(DatabaseUrl::SqliteMemory.claim().unwrap().is_none());
}

#[test]
fn the_two_schemas_have_the_same_tables_and_columns() {
    let sqlite = tables(include_str!("../../migrations/sqlite/0001_journal.sql"));
    let postgres = tables(include_str!("../../migrations/postgres/0001_journal.sql"));
    assert_eq!(sqlite, postgres);
    assert_eq!(sqlite.len(), 5);
    assert_eq!(sqlite["journal"], ["sequence", "at_ms", "body"]);
    let files = |database: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(files("sqlite"), files("postgres"));
}

/// The columns of each table, and of each index under the index's name.
fn tables(text: &str) -> BTreeMap<String, Vec<String>> {
    let lines = text.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join(" ");
    let mut tables = BTreeMap::new();
    for statement in lines.split(';') {
        let Some(rest) = statement.trim().strip_prefix("CREATE TABLE ") else { continue };
        let (name, columns) = rest.split_once('(').unwrap();
        let columns = columns.rsplit_once(')').unwrap().0.split(", ").map(str::trim);
        let columns = columns.flat_map(|column| column.split("    ")).filter(|column| !column.is_empty());
        let first = |column: &str| column.split(' ').next().unwrap().trim_matches(',').to_owned();
        let names = columns.map(first).filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        tables.insert(name.trim().to_owned(), names.collect());
    }
    tables
}
