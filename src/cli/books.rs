//! `watermaster backup|restore FILE` and `watermaster journal verify|export`: the books as a whole.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::database_args::DatabaseArguments;
use super::output::count;
use crate::config::ConfigError;
use crate::service::books::{self, BooksError, BooksSummary};

/// The arguments of `watermaster backup` and `watermaster restore`.
#[derive(Args, Debug)]
pub struct FileArguments {
    /// The file of the backup.
    file: PathBuf,
    #[command(flatten)]
    database: DatabaseArguments,
}

/// The arguments of `watermaster journal`.
#[derive(Args, Debug)]
pub struct JournalArguments {
    #[command(flatten)]
    database: DatabaseArguments,
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Subcommand, Debug)]
enum JournalCommand {
    /// Apply every event again, and hold the state against the invariants and the newest snapshot.
    Verify,
    /// Print every event as a line of JSON, as the interface has it.
    Export,
}

/// Why nothing was done, or not all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is said wrongly.
    #[error("bad configuration: {0}")]
    Config(#[from] ConfigError),
    /// The books.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// There is no runtime to wait in, or nothing to write to.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Writes a backup.
///
/// # Errors
/// As [`books::backup`].
pub fn backup(arguments: &FileArguments) -> Result<(), Error> {
    let url = arguments.database.url()?;
    let done = runtime()?.block_on(books::backup(&url, &arguments.file))?;
    say(&format!("{} holds {}\n", arguments.file.display(), words(&done)))
}

/// Restores from a backup.
///
/// # Errors
/// As [`books::restore`].
pub fn restore(arguments: &FileArguments) -> Result<(), Error> {
    let url = arguments.database.url()?;
    let done = runtime()?.block_on(books::restore(&arguments.file, &url))?;
    say(&format!("{url} holds {}\n", words(&done)))
}

/// Looks at the journal.
///
/// # Errors
/// As [`books::verify`] and [`books::export`].
pub fn journal(arguments: &JournalArguments) -> Result<(), Error> {
    let url = arguments.database.url()?;
    match arguments.command {
        JournalCommand::Verify => {
            let found = runtime()?.block_on(books::verify(&url))?;
            say(&format!("{} fit together\n", words(&found)))
        }
        JournalCommand::Export => {
            let mut out = BufWriter::new(std::io::stdout());
            runtime()?.block_on(books::export(&url, &mut out))?;
            Ok(())
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

fn words(summary: &BooksSummary) -> String {
    let BooksSummary { events, since, topologies, allocations } = *summary;
    let events = count(usize::try_from(events).unwrap_or(usize::MAX), "event");
    let since = if since > 0 { format!(" (those to {since} as a snapshot)") } else { String::new() };
    format!("{events}{since}: {} and {}", count(topologies, "topology"), count(allocations, "living allocation"))
}

fn say(text: &str) -> Result<(), Error> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
