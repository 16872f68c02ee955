//! The connections to one database or the other. Writers hold a connection of their own, outside any pool: a pool asks
//! whether a connection still works each time it comes back, which costs more than a small commit.

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, Postgres};
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Pool, SqlSafeStr};
use tokio::sync::{Mutex, MutexGuard};

use super::{DatabaseUrl, JournalError, statement};

/// How many connections read.
const READERS_MAX: u32 = 4;
/// How long to wait for SQLite's lock, or for a free connection.
const PATIENCE: Duration = Duration::from_secs(5);

const SQLITE_MIGRATIONS: [&str; 1] = [include_str!("../../migrations/sqlite/0001_journal.sql")];
const POSTGRES_MIGRATIONS: [&str; 1] = [include_str!("../../migrations/postgres/0001_journal.sql")];

/// One database or the other. What is done is said once, for both, in [`on_either`](super::on_either).
pub(super) enum Database {
    Sqlite(Connections<Sqlite>),
    Postgres(Connections<Postgres>),
}

/// The connections to a database.
pub(super) struct Connections<DB: sqlx::Database> {
    /// Who appends.
    pub(super) writer: Arc<PersistentConnection<DB>>,
    /// Who writes what is large. On SQLite, where only one can write, this is the same connection.
    pub(super) bulk: Arc<PersistentConnection<DB>>,
    /// Who reads.
    pub(super) readers: Pool<DB>,
    /// How a writing transaction begins.
    pub(super) begin_write: &'static str,
    /// How a writing transaction begins that holds off every other writer, between processes too.
    pub(super) begin_alone: &'static str,
    /// How a transaction begins that sees one state of things.
    pub(super) begin_read: &'static str,
}

/// A connection that is made when it is needed and kept until it fails.
pub(super) struct PersistentConnection<DB: sqlx::Database> {
    options: <DB::Connection as Connection>::Options,
    connection: Mutex<Option<DB::Connection>>,
}

/// The turn of one who writes.
pub(super) struct WriterGuard<'a, DB: sqlx::Database> {
    held: &'a PersistentConnection<DB>,
    place: MutexGuard<'a, Option<DB::Connection>>,
}

impl<DB: sqlx::Database> PersistentConnection<DB> {
    fn new(options: <DB::Connection as Connection>::Options) -> Arc<Self> {
        Arc::new(Self { options, connection: Mutex::new(None) })
    }

    /// Waits for one's turn.
    pub(super) async fn turn(&self) -> WriterGuard<'_, DB> {
        WriterGuard { held: self, place: self.connection.lock().await }
    }

    async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            // The process is going: whether the other side heard is of no use to anybody.
            drop(connection.close().await);
        }
    }
}

impl<DB: sqlx::Database> WriterGuard<'_, DB> {
    /// The connection, made anew if the last one failed.
    pub(super) async fn connection(&mut self) -> Result<&mut DB::Connection, sqlx::Error> {
        if self.place.is_none() {
            *self.place = Some(self.held.options.connect().await?);
        }
        self.place.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Lets the connection go if what was done on it failed: it may not have survived.
    pub(super) fn ended<T, E>(&mut self, done: Result<T, E>) -> Result<T, E> {
        if done.is_err() {
            self.let_go();
        }
        done
    }

    /// Lets the connection go, and with it whatever transaction is open on it.
    pub(super) fn let_go(&mut self) {
        *self.place = None;
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
        begin_alone: statement::BEGIN_WRITE_SQLITE,
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
        begin_alone: statement::BEGIN_ALONE_POSTGRES,
        begin_read: statement::BEGIN_READ_POSTGRES,
    }))
}

fn readers<DB: sqlx::Database>() -> PoolOptions<DB> {
    PoolOptions::new().max_connections(READERS_MAX).acquire_timeout(PATIENCE).max_lifetime(None)
}

async fn migrate<DB: sqlx::Database>(
    held: &PersistentConnection<DB>,
    texts: &[&'static str],
) -> Result<(), JournalError>
where
    DB::Connection: Migrate,
{
    let steps = texts.iter().zip(1..).map(|(text, version)| {
        Migration::new(version, "journal".into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(steps.collect());
    let mut turn = held.turn().await;
    Ok(migrator.run_direct(None, turn.connection().await?, false).await?)
}
