//! How commands reach a running service: its address, a runtime to wait in, and answers for people or for programs.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::database_args::given_or_read;
use super::output::{Column, lines, rate, table};
use crate::config::ConfigError;
use api::client::{Client, ClientError, Effect, PageRequest};

/// The longest page of a list.
pub(super) const PAGE: u32 = 1_000;

/// The form of what is printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum OutputFormat {
    /// For people
    Table,
    /// What the service answered
    Json,
}

/// Which service, and how its answers are shown.
#[derive(Args, Clone, Debug)]
pub struct ServiceConnection {
    /// The service
    #[arg(long, env = "WATERMASTER_SERVER", default_value = "http://127.0.0.1:8080", global = true)]
    server: String,
    /// The access token
    #[arg(long, env = "WATERMASTER_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// A file that holds the access token
    #[arg(long, env = "WATERMASTER_TOKEN_FILE", value_name = "FILE", conflicts_with = "token", global = true)]
    token_file: Option<PathBuf>,
    /// How answers are printed
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    output: OutputFormat,
    /// The same as --output json
    #[arg(long, global = true)]
    json: bool,
}

/// Why a command that asks a service failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The service refuses, or is not there.
    #[error("{error}{}", RefusalDetails(.error))]
    Client {
        #[from]
        error: ClientError,
    },
    /// The file of the token cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no runtime to wait in, or nothing to write to.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A file is not the document that it should be.
    #[error("{}: {error}", path.display())]
    Document {
        path: PathBuf,
        /// What is wrong, and where.
        error: serde_json::Error,
    },
    /// An answer has no JSON form.
    #[error("the answer cannot be written: {0}")]
    Json(serde_json::Error),
}

impl From<serde_json::Error> for ConnectionError {
    /// A reader that has closed the pipe is no failure.
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() { Self::Io(error.into()) } else { Self::Json(error) }
    }
}

/// The numbers that come with a refusal.
struct RefusalDetails<'a>(&'a ClientError);

impl std::fmt::Display for RefusalDetails<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ClientError::Refused(problem) = self.0 else { return Ok(()) };
        for link in problem.binding_links.iter().flatten() {
            write!(f, "\n  binding link {}: {} left", link.link, rate(link.available_bps))?;
        }
        Ok(())
    }
}

impl ServiceConnection {
    /// Does something with a client and waits for it.
    pub(super) fn wait<T>(
        &self,
        work: impl AsyncFnOnce(Client) -> Result<T, ConnectionError>,
    ) -> Result<T, ConnectionError> {
        let client = Client::new(&self.server)?;
        let client = match given_or_read(self.token.as_ref(), self.token_file.as_deref())? {
            Some(token) => client.with_token(&token)?,
            None => client,
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work(client))
    }

    /// Whether answers are for programs.
    pub(super) fn is_json(&self) -> bool {
        self.json || self.output == OutputFormat::Json
    }

    /// Shows the items of a list, had page by page, `limit` at most, in the list's own order or sorted by a member.
    pub(super) fn list<T: Serialize>(
        &self,
        columns: &[Column<T>],
        limit: usize,
        sort: Option<&str>,
        page: impl AsyncFn(&Client, PageRequest<'_>) -> Result<(Vec<T>, Option<String>), ClientError>,
    ) -> Result<(), ConnectionError> {
        let found = self.wait(async |client| {
            let (mut found, mut after) = (vec![], None);
            while found.len() < limit {
                let missing = u32::try_from(limit - found.len()).unwrap_or(PAGE).min(PAGE);
                let wanted = PageRequest { limit: missing, after: after.as_deref(), sort };
                let (items, next) = page(&client, wanted).await?;
                found.extend(items);
                after = next;
                if after.is_none() {
                    break;
                }
            }
            Ok(found)
        })?;
        self.show(&found, || table(columns, &found))
    }

    /// Shows one thing in lines.
    pub(super) fn show_one<T: Serialize>(
        &self,
        columns: &[Column<T>],
        get: impl AsyncFnOnce(Client) -> Result<T, ClientError>,
    ) -> Result<(), ConnectionError> {
        let found = self.wait(async |client| Ok(get(client).await?))?;
        self.show(&found, || lines(columns, &found))
    }

    /// Deletes something, and says so.
    pub(super) fn delete(
        &self,
        name: &str,
        dry_run: bool,
        delete: impl AsyncFnOnce(Client, Effect) -> Result<(), ClientError>,
    ) -> Result<(), ConnectionError> {
        self.wait(async |client| Ok(delete(client, effect(dry_run)).await?))?;
        let word = if dry_run { "would be deleted" } else { "deleted" };
        self.show(&serde_json::json!({"id": name, "state": "deleted", "dry_run": dry_run}), || {
            format!("{name} {word}\n")
        })
    }

    /// Shows an answer: as JSON, or in words.
    pub(super) fn show<T: Serialize>(&self, answer: &T, words: impl FnOnce() -> String) -> Result<(), ConnectionError> {
        let mut out = std::io::stdout().lock();
        if self.is_json() {
            serde_json::to_writer_pretty(&mut out, answer)?;
            writeln!(out)?;
        } else {
            write!(out, "{}", words())?;
        }
        Ok(out.flush()?)
    }
}

/// Whether something is to happen.
pub(super) fn effect(dry_run: bool) -> Effect {
    if dry_run { Effect::DryRun } else { Effect::Real }
}
