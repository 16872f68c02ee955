//! Where a journal is kept: a SQLite file, a SQLite database in memory, or a PostgreSQL server.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use super::error::JournalError;

/// Where a journal is kept. Shown without passwords.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `sqlite://path`: a file, made if it is not there.
    Sqlite(PathBuf),
    /// `sqlite::memory:`: gone with the process.
    SqliteMemory,
    /// `postgres://user:password@host/database`.
    Postgres(String),
}

/// Why a text is no [`DatabaseUrl`].
#[derive(Debug, thiserror::Error)]
pub enum DatabaseUrlError {
    /// Neither of the known beginnings.
    #[error("a database URL begins with sqlite: or postgres://")]
    UnknownScheme,
    /// `sqlite:` and nothing after it.
    #[error("a SQLite URL needs a path, such as sqlite:///var/lib/watermaster/journal.db")]
    NoPath,
    /// Not what PostgreSQL takes.
    #[error("not a PostgreSQL URL")]
    Postgres(#[source] sqlx::Error),
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            PgConnectOptions::from_str(text).map_err(DatabaseUrlError::Postgres)?;
            return Ok(Self::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite:").ok_or(DatabaseUrlError::UnknownScheme)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        match path {
            "" => Err(DatabaseUrlError::NoPath),
            ":memory:" => Ok(Self::SqliteMemory),
            path => Ok(Self::Sqlite(PathBuf::from(path))),
        }
    }
}

/// A SQLite file that this process has to itself, as long as it holds this.
#[derive(Debug)]
pub struct FileClaim(#[expect(dead_code, reason = "the lock goes with the file")] File);

impl DatabaseUrl {
    /// Keeps other services off a SQLite file: they would not see each other's events. A lock on a file beside it ends with
    /// the process, however that ends.
    ///
    /// # Errors
    /// Another service has the file, or none can be made beside it.
    pub fn claim(&self) -> Result<Option<FileClaim>, JournalError> {
        let Self::Sqlite(path) = self else { return Ok(None) };
        let mut beside = path.clone().into_os_string();
        beside.push(".lock");
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let failed = |error| JournalError::Folder { folder: folder.unwrap_or(path).to_owned(), error };
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = File::options().write(true).create(true).truncate(false).open(beside).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FileClaim(file))),
            Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: path.clone() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::SqliteMemory => f.write_str("sqlite::memory:"),
            Self::Postgres(url) => match PgConnectOptions::from_str(url) {
                Ok(options) => write!(
                    f,
                    "postgres://{}@{}:{}/{}",
                    options.get_username(),
                    options.get_host(),
                    options.get_port(),
                    options.get_database().unwrap_or_default(),
                ),
                Err(_) => f.write_str("postgres://"),
            },
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_passwords() {
        let read = |text: &str| text.parse::<DatabaseUrl>();
        assert_eq!(read("sqlite::memory:").unwrap(), DatabaseUrl::SqliteMemory);
        assert_eq!(read("sqlite://a/b.db").unwrap(), DatabaseUrl::Sqlite(PathBuf::from("a/b.db")));
        assert_eq!(read("sqlite:///a/b.db").unwrap(), DatabaseUrl::Sqlite(PathBuf::from("/a/b.db")));
        assert!(matches!(read("sqlite://"), Err(DatabaseUrlError::NoPath)));
        assert!(matches!(read("mysql://x"), Err(DatabaseUrlError::UnknownScheme)));
        let postgres = read("postgres://me:secret@db.example:5433/water").unwrap();
        assert_eq!(format!("{postgres:?}"), "postgres://me@db.example:5433/water");
    }
}
