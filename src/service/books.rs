//! The books as a whole, with or without a service that runs: backup, restore, verification, export.
//!
//! A backup is a SQLite file, whatever the database is, so that the books of one can be carried to the other. It is written
//! beside its name and gets it when it is complete.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::app::{Carried, CarryError, carry, check_chain};
use crate::config::SecretUrl;
use crate::http::event_document;
use crate::journal::{DatabaseUrl, DatabaseUrlError, Journal, JournalError};
use kernel::State;
use kernel::audit::{AuditFault, audit};
use kernel::id::Sequence;

/// How many events are read at once.
const EVENTS_AT_ONCE: u32 = 1_000;

/// Why the books cannot be carried away, put back or verified.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The URL of the database.
    #[error(transparent)]
    Url(#[from] DatabaseUrlError),
    /// The database failed, or its journal is damaged.
    #[error(transparent)]
    Journal(Box<JournalError>),
    /// An event does not fit, or cannot be written.
    #[error(transparent)]
    Carry(Box<CarryError>),
    /// The file of the backup is there already.
    #[error("'{}' is there already: give a name that is free", .0.display())]
    Exists(PathBuf),
    /// What is to be restored is not there.
    #[error("there is no file '{}'", .0.display())]
    NoFile(PathBuf),
    /// The database to restore into has events of its own.
    #[error("the database {database} has {events} events: restore into one that is empty", events = .events.0)]
    NotEmpty { database: String, events: Sequence },
    /// The database has nothing to back up.
    #[error("the database {0} has no events")]
    Empty(String),
    /// The events give a state that breaks an invariant.
    #[error("the events give an impossible state; first of {count} faults: {first}")]
    Unsound { first: Box<AuditFault>, count: usize },
    /// The newest snapshot is not what the events say.
    #[error("the snapshot and the events after it give another state than all events: delete the snapshot")]
    Differs,
    /// A file cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// An event has no JSON form.
    #[error("an event cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<JournalError> for BooksError {
    fn from(error: JournalError) -> Self {
        Self::Journal(Box::new(error))
    }
}

impl From<CarryError> for BooksError {
    fn from(error: CarryError) -> Self {
        Self::Carry(Box::new(error))
    }
}

/// What was carried or verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BooksSummary {
    /// The number of the last event.
    pub events: u64,
    /// The event of the snapshot that stands for those before, which are not there; 0: all are.
    pub since: u64,
    pub topologies: usize,
    /// The number of living allocations.
    pub allocations: usize,
}

impl From<&Carried> for BooksSummary {
    fn from(Carried { since, state }: &Carried) -> Self {
        Self {
            since: since.0,
            events: state.sequence().0,
            topologies: state.networks().len(),
            allocations: state.allocation_count(),
        }
    }
}

/// Writes everything up to now into a file; a service may go on meanwhile.
///
/// # Errors
/// The file is there already, or an event does not fit those before it.
pub async fn backup(database: &SecretUrl, file: &Path) -> Result<BooksSummary, BooksError> {
    if file.exists() {
        return Err(BooksError::Exists(file.to_owned()));
    }
    let (from, name) = existing(database).await?;
    let head = from.head().await?;
    if head == Sequence(0) {
        return Err(BooksError::Empty(name));
    }
    let mut partial = file.to_owned().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if partial.exists() {
        std::fs::remove_file(&partial)?;
    }
    let to = Journal::open(&DatabaseUrl::Sqlite(partial.clone())).await?;
    let summary = carried(&from, head, &to).await?;
    std::fs::File::open(&partial)?.sync_all()?;
    std::fs::rename(&partial, file)?;
    Ok(summary)
}

/// Writes the books of a backup into a database that is empty.
///
/// # Errors
/// There is no such file, the database is not empty, or an event does not fit those before it.
pub async fn restore(file: &Path, database: &SecretUrl) -> Result<BooksSummary, BooksError> {
    if !file.is_file() {
        return Err(BooksError::NoFile(file.to_owned()));
    }
    // Opened, it would be brought to this version: the backup stays as it is.
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("backup.db");
    std::fs::copy(file, &copy)?;
    let from = Journal::open(&DatabaseUrl::Sqlite(copy)).await?;
    let url: DatabaseUrl = database.expose().parse()?;
    let _claim = url.claim()?;
    let to = Journal::open(&url).await?;
    let events = to.head().await?;
    if events != Sequence(0) {
        return Err(BooksError::NotEmpty { database: url.to_string(), events });
    }
    let head = from.head().await?;
    carried(&from, head, &to).await
}

async fn carried(from: &Journal, head: Sequence, to: &Journal) -> Result<BooksSummary, BooksError> {
    let carried = carry(from, head, Some(to)).await?;
    check(&carried.state)?;
    to.write_snapshot(&carried.state).await?;
    for token in from.tokens().await? {
        to.put_token(&token).await?;
    }
    from.carry_link_history(to).await?;
    from.close().await;
    to.close().await;
    Ok((&carried).into())
}

/// Holds the events against their digests, applies every one from the first one on, and holds the state against the invariants and against the newest snapshot.
/// Where the journal begins later, the events after that snapshot are applied to it.
///
/// # Errors
/// What does not fit.
pub async fn verify(database: &SecretUrl) -> Result<BooksSummary, BooksError> {
    let (journal, _) = existing(database).await?;
    check_chain(&journal, journal.head().await?).await?;
    // A start would fall back to the snapshot before.
    drop(journal.read_snapshot().await?);
    let restored = journal.restore().await?;
    let replayed = carry(&journal, restored.sequence(), None).await?;
    journal.close().await;
    check(&replayed.state)?;
    // From a snapshot on, the two are the same reading.
    if replayed.since > Sequence(0) || replayed.state == restored {
        Ok((&replayed).into())
    } else {
        Err(BooksError::Differs)
    }
}

/// Writes every event up to now as a line of JSON, as `GET /v1/events` has it; how many there were.
///
/// # Errors
/// The journal cannot be read, or the output not be written.
pub async fn export(database: &SecretUrl, out: &mut impl Write) -> Result<u64, BooksError> {
    let (journal, _) = existing(database).await?;
    let head = journal.head().await?;
    let (mut at, mut count) = (Sequence(0), 0);
    while at < head {
        let facts = journal.facts_after(at, EVENTS_AT_ONCE).await?;
        let Some(last) = facts.last() else { break };
        at = last.sequence;
        for fact in facts.iter().take_while(|fact| fact.sequence <= head) {
            serde_json::to_writer(&mut *out, &event_document(fact))?;
            out.write_all(b"\n")?;
            count += 1;
        }
    }
    out.flush()?;
    journal.close().await;
    Ok(count)
}

/// A journal that is there: reading makes none.
async fn existing(database: &SecretUrl) -> Result<(Journal, String), BooksError> {
    let url: DatabaseUrl = database.expose().parse()?;
    match &url {
        DatabaseUrl::Sqlite(path) if !path.is_file() => Err(BooksError::NoFile(path.clone())),
        _ => Ok((Journal::open(&url).await?, url.to_string())),
    }
}

fn check(state: &State) -> Result<(), BooksError> {
    // A soft change of model may leave links overfull on purpose.
    let mut faults = audit(state);
    faults.retain(|fault| !matches!(fault, AuditFault::Overfull { .. }));
    match faults.first() {
        Some(first) => Err(BooksError::Unsound { first: Box::new(first.clone()), count: faults.len() }),
        None => Ok(()),
    }
}
