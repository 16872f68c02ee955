//! The file: where it is, who may have it, and its tables.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

/// The file's `user_version`. It changes with the tables and with the form of what they hold.
const FORM: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");
/// How long to wait for the lock of a program that looks at the file, before the next try.
const BUSY_WAIT: Duration = Duration::from_millis(500);
/// Pages of 4 KiB in the write-ahead log before they go into the file.
const CHECKPOINT_PAGES: &str = "4000";

/// When a commit is done (<https://sqlite.org/pragma.html#pragma_synchronous>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Once the operating system has it: a crash of the process loses nothing, a power failure the last moments.
    Normal,
    /// Once the disk has it.
    #[default]
    Full,
}

/// Where the broker's file is: `sqlite://PATH`, with `?synchronous=normal` or `?synchronous=full` (the default) behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteAddress {
    /// The file, made with its folder if it is not there.
    pub path: PathBuf,
    /// When a commit is done.
    pub synchronous: Synchronous,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// Not an address of a file.
    #[error(
        "invalid store '{0}': give sqlite://PATH, and ?synchronous=normal or ?synchronous=full behind it if need be"
    )]
    Address(String),
    /// Another process has it.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The folder or the lock beside it cannot be made.
    #[error("{}: {error}", .path.display())]
    Folder {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// It was written by a version with another form.
    #[error("the file has form {0}; this version reads another")]
    Form(i64),
    /// SQLite refuses.
    #[error("SQLite: {0}")]
    Sqlite(#[from] Box<sqlx::Error>),
}

impl From<sqlx::Error> for SqliteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlite(Box::new(error))
    }
}

impl FromStr for SqliteAddress {
    type Err = SqliteError;

    fn from_str(text: &str) -> Result<Self, SqliteError> {
        let invalid = || SqliteError::Address(text.to_owned());
        let rest = text.strip_prefix("sqlite:").ok_or_else(invalid)?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, synchronous) = match rest.split_once('?') {
            None => (rest, Synchronous::default()),
            Some((path, "synchronous=normal")) => (path, Synchronous::Normal),
            Some((path, "synchronous=full")) => (path, Synchronous::Full),
            Some(_) => return Err(invalid()),
        };
        if path.is_empty() || path.starts_with(':') {
            return Err(invalid());
        }
        Ok(Self { path: PathBuf::from(path), synchronous })
    }
}

/// A file that this process has to itself; the lock beside it ends with the process, however that ends.
#[derive(Debug)]
pub(super) struct FileLock(#[expect(dead_code, reason = "the lock goes with the file")] File);

impl FileLock {
    /// Another process with the same file would not see what this one keeps in memory.
    pub(super) fn take(path: &Path) -> Result<Self, SqliteError> {
        let failed = |error| SqliteError::Folder { path: path.to_owned(), error };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".lock");
        let file = File::options().write(true).create(true).truncate(false).open(beside).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(SqliteError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// A connection to the broker's file, with its tables made if it is new.
pub(super) async fn open(address: &SqliteAddress) -> Result<SqliteConnection, SqliteError> {
    open_sqlite_file(address, FORM, SCHEMA).await
}

/// A connection to a file of one process that takes a write-ahead log and one writer, with the tables of `schema` made if
/// it is new. `form` is its `user_version`, above 0.
///
/// # Errors
/// The file's form is another, or SQLite cannot open it.
pub async fn open_sqlite_file(
    address: &SqliteAddress,
    form: i64,
    schema: &'static str,
) -> Result<SqliteConnection, SqliteError> {
    let options = SqliteConnectOptions::new()
        .filename(&address.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match address.synchronous {
            Synchronous::Normal => SqliteSynchronous::Normal,
            Synchronous::Full => SqliteSynchronous::Full,
        })
        .busy_timeout(BUSY_WAIT)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await?;
    match found {
        0 => {
            let set_form = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {form}"));
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::raw_sql(schema).execute(&mut *transaction).await?;
            sqlx::raw_sql(set_form).execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        _ if found == form => {}
        other => return Err(SqliteError::Form(other)),
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_and_a_choice() {
        let read = |text: &str| text.parse::<SqliteAddress>();
        let of = |path: &str, synchronous| SqliteAddress { path: path.into(), synchronous };
        assert_eq!(read("sqlite://a/b.sqlite").unwrap(), of("a/b.sqlite", Synchronous::Full));
        assert_eq!(read("sqlite:///a/b.sqlite?synchronous=normal").unwrap(), of("/a/b.sqlite", Synchronous::Normal));
        for wrong in ["sqlite://", "sqlite::memory:", "sqlite://a?synchronous=off", "redis://a", "sqlite://?"] {
            assert!(matches!(read(wrong), Err(SqliteError::Address(_))), "{wrong}");
        }
    }
}
