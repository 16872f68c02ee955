//! The connections to one database or the other. None is in a pool: a pool tests a connection each time it comes back,
//! which costs more than a small commit, and waits for one that does not answer for as long as that lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, Postgres};
use sqlx::sqlite::{
    Sqlite, SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqlSafeStr};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::error::JournalError;
use super::statement;
use super::url::DatabaseUrl;

/// How many connections read.
const READERS: usize = 4;
/// How long to wait for SQLite's lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long making a connection to PostgreSQL may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long opening SQLite's file may take, on the slowest of machines.
const OPEN_MAX: Duration = Duration::from_secs(60);
/// A connection that was idle for longer is asked whether it lives before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// How long that answer may take.
const PING_MAX: Duration = Duration::from_millis(500);

const SQLITE_MIGRATIONS: [&str; 8] = [
    include_str!("../../migrations/sqlite/0001_journal.sql"),
    include_str!("../../migrations/sqlite/0002_annotations.sql"),
    include_str!("../../migrations/sqlite/0003_outcomes.sql"),
    include_str!("../../migrations/sqlite/0004_access.sql"),
    include_str!("../../migrations/sqlite/0005_retention_and_chain.sql"),
    include_str!("../../migrations/sqlite/0006_replicas.sql"),
    include_str!("../../migrations/sqlite/0007_link_history.sql"),
    include_str!("../../migrations/sqlite/0008_snapshot_checksum.sql"),
];
const POSTGRES_MIGRATIONS: [&str; 8] = [
    include_str!("../../migrations/postgres/0001_journal.sql"),
    include_str!("../../migrations/postgres/0002_annotations.sql"),
    include_str!("../../migrations/postgres/0003_outcomes.sql"),
    include_str!("../../migrations/postgres/0004_access.sql"),
    include_str!("../../migrations/postgres/0005_retention_and_chain.sql"),
    include_str!("../../migrations/postgres/0006_replicas.sql"),
    include_str!("../../migrations/postgres/0007_link_history.sql"),
    include_str!("../../migrations/postgres/0008_snapshot_checksum.sql"),
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
    /// Finds out whether the database answers, whatever the others do.
    pub(super) probe: Arc<PersistentConnection<DB>>,
    readers: [Arc<PersistentConnection<DB>>; READERS],
    next_reader: AtomicUsize,
    /// How long a statement may take. Without a limit on SQLite, whose statements cannot be given up half-way.
    pub(super) deadline: Duration,
    /// The statement that begins a transaction that writes.
    pub(super) begin_write: &'static str,
    /// The same, with a lock against every other writer, in other processes too.
    pub(super) begin_exclusive: &'static str,
    /// The statement that begins a transaction that reads one state of the database.
    pub(super) begin_read: &'static str,
    /// The query that says whether the database takes writes.
    pub(super) probe_text: &'static str,
}

/// A connection that is opened when it is needed and kept until it fails.
pub(super) struct PersistentConnection<DB: sqlx::Database> {
    options: <DB::Connection as Connection>::Options,
    connect_max: Duration,
    connection: Mutex<Option<Held<DB>>>,
    closed: AtomicBool,
}

struct Held<DB: sqlx::Database> {
    connection: DB::Connection,
    backend: Option<Backend>,
    used: Instant,
}

/// The server's process behind a connection: its number, and when it began, since numbers come again.
pub(super) type Backend = (i32, String);

/// A connection that is set up before it is used.
pub(super) trait SessionSetup {
    /// Sets the session up.
    fn set_up(&mut self) -> impl Future<Output = Result<Option<Backend>, sqlx::Error>> + Send;
}

impl SessionSetup for SqliteConnection {
    async fn set_up(&mut self) -> Result<Option<Backend>, sqlx::Error> {
        Ok(None)
    }
}

impl SessionSetup for PgConnection {
    async fn set_up(&mut self) -> Result<Option<Backend>, sqlx::Error> {
        sqlx::raw_sql(statement::SESSION_POSTGRES).execute(&mut *self).await?;
        sqlx::query_as(statement::BACKEND_POSTGRES).fetch_one(self).await.map(Some)
    }
}

/// Exclusive use of a connection within the process. Dropped in use, it closes the connection: nobody knows what is
/// under way on it, and a transaction that is open is rolled back.
pub(super) struct ConnectionGuard<'a, DB: sqlx::Database> {
    owner: &'a PersistentConnection<DB>,
    slot: MutexGuard<'a, Option<Held<DB>>>,
    in_use: bool,
}

impl<DB: sqlx::Database> PersistentConnection<DB> {
    fn new(options: <DB::Connection as Connection>::Options, connect_max: Duration) -> Arc<Self> {
        Arc::new(Self { options, connect_max, connection: Mutex::new(None), closed: AtomicBool::new(false) })
    }

    pub(super) async fn lock(&self) -> ConnectionGuard<'_, DB> {
        ConnectionGuard { owner: self, slot: self.connection.lock().await, in_use: false }
    }

    fn try_lock(&self) -> Option<ConnectionGuard<'_, DB>> {
        let slot = self.connection.try_lock().ok()?;
        Some(ConnectionGuard { owner: self, slot, in_use: false })
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(held) = self.connection.lock().await.take() {
            // The process stops: an error here has no consequence.
            drop(timeout(PING_MAX, held.connection.close()).await);
        }
    }
}

impl<DB: sqlx::Database> ConnectionGuard<'_, DB>
where
    DB::Connection: SessionSetup,
{
    /// The connection, opened anew if the last one failed or does not answer any more.
    pub(super) async fn connection(&mut self) -> Result<&mut DB::Connection, JournalError> {
        if self.owner.closed.load(Ordering::Acquire) {
            return Err(JournalError::Closed);
        }
        let waited = self.owner.connect_max;
        if let Some(held) = self.slot.as_mut()
            && !self.in_use
            && held.used.elapsed() > TRUSTED_FOR
            && !matches!(timeout(PING_MAX, held.connection.ping()).await, Ok(Ok(())))
        {
            *self.slot = None;
        }
        if self.slot.is_none() {
            // Apart, since it is rare and large: every request that may read has room for it otherwise.
            let made = Box::pin(async {
                let mut connection = self.owner.options.connect().await?;
                let backend = connection.set_up().await?;
                Ok::<_, sqlx::Error>(Held { connection, backend, used: Instant::now() })
            });
            *self.slot = Some(timeout(waited, made).await.map_err(|_| JournalError::NoAnswer { waited })??);
        }
        self.in_use = true;
        self.slot.as_mut().map(|held| &mut held.connection).ok_or(JournalError::Closed)
    }
}

impl<DB: sqlx::Database> ConnectionGuard<'_, DB> {
    /// The server's process behind it.
    pub(super) fn backend(&self) -> Option<Backend> {
        self.slot.as_ref()?.backend.clone()
    }

    /// Nothing is under way on the connection any more.
    pub(super) fn keep(&mut self) {
        self.in_use = false;
        if let Some(held) = self.slot.as_mut() {
            held.used = Instant::now();
        }
    }

    /// Keeps the connection if what was done on it succeeded, and closes it if not: it may be broken.
    pub(super) fn keep_if_done<T, E>(&mut self, done: Result<T, E>) -> Result<T, E> {
        if done.is_ok() {
            self.keep()
        } else {
            self.close()
        }
        done
    }

    /// Closes the connection, which rolls an open transaction back.
    pub(super) fn close(&mut self) {
        self.in_use = false;
        *self.slot = None;
    }
}

impl<DB: sqlx::Database> Drop for ConnectionGuard<'_, DB> {
    fn drop(&mut self) {
        if self.in_use {
            self.close();
        }
    }
}

/// What `work` gives, unless it takes longer than `deadline`.
pub(super) fn within<T, E: From<JournalError>>(
    deadline: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    // No `async fn`, which would have room for the work twice.
    timeout(deadline, work)
        .map(move |done| done.unwrap_or_else(|_| Err(JournalError::NoAnswer { waited: deadline }.into())))
}

impl Database {
    pub(super) async fn open(url: &DatabaseUrl, deadline: Duration) -> Result<Self, JournalError> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    let made = tokio::fs::create_dir_all(folder).await;
                    made.map_err(|error| JournalError::Folder { folder: folder.to_owned(), error })?;
                }
                open_sqlite(SqliteConnectOptions::new().filename(path)).await
            }
            DatabaseUrl::SqliteMemory => open_sqlite("sqlite::memory:".parse()?).await,
            DatabaseUrl::Postgres(url) => open_postgres(url.parse()?, deadline).await,
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
    /// A connection to read with: one that is free, or the next.
    pub(super) async fn reader(&self) -> ConnectionGuard<'_, DB> {
        if let Some(free) = self.readers.iter().find_map(|reader| reader.try_lock()) {
            return free;
        }
        let next = self.next_reader.fetch_add(1, Ordering::Relaxed) % READERS;
        self.readers[next].lock().await
    }

    async fn close(&self) {
        for connection in self.readers.iter().chain([&self.writer, &self.bulk, &self.probe]) {
            connection.close().await;
        }
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
    // It counts for a new file; one that is there stays as it was made. Saying it takes the lock of writers.
    let auto_vacuum = options.clone().auto_vacuum(SqliteAutoVacuum::Incremental);
    let writer = PersistentConnection::new(auto_vacuum, OPEN_MAX);
    migrate(&writer, &SQLITE_MIGRATIONS).await?;
    Ok(Database::Sqlite(Connections {
        bulk: Arc::clone(&writer),
        writer,
        probe: PersistentConnection::new(options.clone(), OPEN_MAX),
        readers: std::array::from_fn(|_| PersistentConnection::new(options.clone(), OPEN_MAX)),
        next_reader: AtomicUsize::new(0),
        deadline: Duration::MAX,
        begin_write: statement::BEGIN_WRITE_SQLITE,
        begin_exclusive: statement::BEGIN_WRITE_SQLITE,
        begin_read: statement::BEGIN_READ_SQLITE,
        probe_text: statement::PROBE_SQLITE,
    }))
}

async fn open_postgres(options: PgConnectOptions, deadline: Duration) -> Result<Database, JournalError> {
    let options = options.application_name("watermaster").disable_statement_logging();
    let writer = PersistentConnection::new(options.clone(), CONNECT_MAX);
    migrate(&writer, &POSTGRES_MIGRATIONS).await?;
    Ok(Database::Postgres(Connections {
        writer,
        bulk: PersistentConnection::new(options.clone(), CONNECT_MAX),
        probe: PersistentConnection::new(options.clone(), CONNECT_MAX),
        readers: std::array::from_fn(|_| PersistentConnection::new(options.clone(), CONNECT_MAX)),
        next_reader: AtomicUsize::new(0),
        deadline,
        begin_write: statement::BEGIN_WRITE_POSTGRES,
        begin_exclusive: statement::BEGIN_EXCLUSIVE_POSTGRES,
        begin_read: statement::BEGIN_READ_POSTGRES,
        probe_text: statement::PROBE_POSTGRES,
    }))
}

async fn migrate<DB: sqlx::Database>(
    connection: &PersistentConnection<DB>,
    texts: &[&'static str],
) -> Result<(), JournalError>
where
    DB::Connection: Migrate + SessionSetup,
{
    let steps = texts.iter().zip(1..).map(|(text, version)| {
        Migration::new(version, "journal".into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(steps.collect());
    let mut guard = connection.lock().await;
    let done = migrator.run_direct(None, guard.connection().await?, false).await;
    Ok(guard.keep_if_done(done)?)
}
