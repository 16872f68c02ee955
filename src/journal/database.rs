//! The connections to one database or the other. Writers have a connection of their own, outside any pool: a pool tests
//! a connection each time it comes back, which costs more than a small commit.

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, Postgres};
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Pool, SqlSafeStr};
use tokio::sync::{Mutex, MutexGuard};

use super::error::JournalError;
use super::statement;
use super::url::DatabaseUrl;

/// How many connections read.
const READERS_MAX: u32 = 4;
/// How long to wait for SQLite's lock, or for a free connection.
const PATIENCE: Duration = Duration::from_secs(5);

const SQLITE_MIGRATIONS: [&str; 2] = [
    include_str!("../../migrations/sqlite/0001_journal.sql"),
    include_str!("../../migrations/sqlite/0002_annotations.sql"),
];
const POSTGRES_MIGRATIONS: [&str; 2] = [
    include_str!("../../migrations/postgres/0001_journal.sql"),
    include_str!("../../migrations/postgres/0002_annotations.sql"),
];

/// One database or the other. Code for both stands once, in [`on_either`](super::on_either).
pub(super) enum Database {
    Sqlite(Connections<Sqlite>),
    Postgres(Connections<Postgres>),
}

/// The connections to a database.
pub(super) struct Connections<DB: sqlx::Database> {
    /// Appends.
    pub(super) writer: Arc<PersistentConnection<DB>>,
    /// Writes snapshots and deletes receipts, so that appending does not wait. On SQLite, which allows one writer, the same
    /// connection.
    pub(super) bulk: Arc<PersistentConnection<DB>>,
    pub(super) readers: Pool<DB>,
    /// The statement that begins a transaction that writes.
    pub(super) begin_write: &'static str,
    /// The same, with a lock against every other writer, in other processes too.
    pub(super) begin_exclusive: &'static str,
    /// The statement that begins a transaction that reads one state of the database.
    pub(super) begin_read: &'static str,
}

/// A connection that is opened when it is needed and kept until it fails.
pub(super) struct PersistentConnection<DB: sqlx::Database> {
    options: <DB::Connection as Connection>::Options,
    connection: Mutex<Option<DB::Connection>>,
}

/// Exclusive use of a connection within the process.
pub(super) struct WriterGuard<'a, DB: sqlx::Database> {
    owner: &'a PersistentConnection<DB>,
    slot: MutexGuard<'a, Option<DB::Connection>>,
}

impl<DB: sqlx::Database> PersistentConnection<DB> {
    fn new(options: <DB::Connection as Connection>::Options) -> Arc<Self> {
        Arc::new(Self { options, connection: Mutex::new(None) })
    }

    pub(super) async fn lock(&self) -> WriterGuard<'_, DB> {
        WriterGuard { owner: self, slot: self.connection.lock().await }
    }

    async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            // The process stops: an error here has no consequence.
            drop(connection.close().await);
        }
    }
}

impl<DB: sqlx::Database> WriterGuard<'_, DB> {
    /// The connection, opened again if the last one failed.
    pub(super) async fn connection(&mut self) -> Result<&mut DB::Connection, sqlx::Error> {
        if self.slot.is_none() {
            *self.slot = Some(self.owner.options.connect().await?);
        }
        self.slot.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Closes the connection if a statement on it failed: it may be broken.
    pub(super) fn close_if_failed<T, E>(&mut self, done: Result<T, E>) -> Result<T, E> {
        if done.is_err() {
            self.close();
        }
        done
    }

    /// Closes the connection, which rolls an open transaction back.
    pub(super) fn close(&mut self) {
        *self.slot = None;
    }
}

impl Database {
    pub(super) async fn open(url: &DatabaseUrl) -> Result<Self, JournalError> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    let made = tokio::fs::create_dir_all(folder).await;
                    made.map_err(|error| JournalError::Folder { folder: folder.to_owned(), error })?;
                }
                open_sqlite(SqliteConnectOptions::new().filename(path)).await
            }
            DatabaseUrl::SqliteMemory => open_sqlite("sqlite::memory:".parse()?).await,
            DatabaseUrl::Postgres(url) => open_postgres(url.parse()?).await,
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(connections) => connections.close().await,
            Self::Postgres(connections) => connections.close().await,
        }
    }
}

impl<DB: sqlx::Database> Connections<DB> {
    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        self.bulk.close().await;
    }
}

async fn open_sqlite(options: SqliteConnectOptions) -> Result<Database, JournalError> {
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE)
        .foreign_keys(true)
        .disable_statement_logging();
    let writer = PersistentConnection::new(options.clone());
    migrate(&writer, &SQLITE_MIGRATIONS).await?;
    Ok(Database::Sqlite(Connections {
        bulk: Arc::clone(&writer),
        writer,
        readers: readers().connect_with(options).await?,
        begin_write: statement::BEGIN_WRITE_SQLITE,
        begin_exclusive: statement::BEGIN_WRITE_SQLITE,
        begin_read: statement::BEGIN_READ_SQLITE,
    }))
}

async fn open_postgres(options: PgConnectOptions) -> Result<Database, JournalError> {
    let options = options.application_name("watermaster").disable_statement_logging();
    let writer = PersistentConnection::new(options.clone());
    migrate(&writer, &POSTGRES_MIGRATIONS).await?;
    Ok(Database::Postgres(Connections {
        writer,
        bulk: PersistentConnection::new(options.clone()),
        readers: readers().connect_with(options).await?,
        begin_write: statement::BEGIN_WRITE_POSTGRES,
        begin_exclusive: statement::BEGIN_EXCLUSIVE_POSTGRES,
        begin_read: statement::BEGIN_READ_POSTGRES,
    }))
}

fn readers<DB: sqlx::Database>() -> PoolOptions<DB> {
    PoolOptions::new().max_connections(READERS_MAX).acquire_timeout(PATIENCE).max_lifetime(None)
}

async fn migrate<DB: sqlx::Database>(
    connection: &PersistentConnection<DB>,
    texts: &[&'static str],
) -> Result<(), JournalError>
where
    DB::Connection: Migrate,
{
    let steps = texts.iter().zip(1..).map(|(text, version)| {
        Migration::new(version, "journal".into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(steps.collect());
    let mut guard = connection.lock().await;
    Ok(migrator.run_direct(None, guard.connection().await?, false).await?)
}
