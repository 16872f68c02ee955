//! `watermaster token create|list|revoke`: who is let in, in the database itself. A service that runs on it follows.

use std::io::Write;

use clap::{Args, Subcommand};

use super::database_args::DatabaseArguments;
use super::output::duration_ms;
use super::output::{Column, table};
use crate::auth::AccessTokenRecord;
use crate::config::ConfigError;
use crate::service::tokens::{self, TokenCommandError};
use api::access::{Role, TokenRequest};
use api::instant::Instant;
use kernel::id::Name;
use kernel::units::Millis;

/// The arguments of `watermaster token`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    database: DatabaseArguments,
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand, Debug)]
enum TokenCommand {
    /// Make a token and print it: it is told this once.
    Create {
        /// What its bearer may do: viewer, aggregator, requester, engineer or admin.
        #[arg(long, default_value = "admin")]
        role: Role,
        /// Who bears it; events name them [default: the role].
        #[arg(long)]
        name: Option<String>,
        /// The tenant whose allocations they may see and change [default: everybody's].
        #[arg(long)]
        tenant: Option<String>,
        /// The aggregator that they report for; with the role aggregator.
        #[arg(long)]
        aggregator: Option<String>,
        /// How long it is good for, such as 90d, 12h or 30m [default: until it is revoked].
        #[arg(long, value_parser = duration_ms)]
        expires_in: Option<u64>,
    },
    /// List the tokens, without themselves.
    List,
    /// Revoke a token; services on the database refuse it within two seconds.
    Revoke {
        /// The token's id, from `list`.
        id: String,
    },
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is said wrongly.
    #[error("bad configuration: {0}")]
    Config(#[from] ConfigError),
    /// The tokens.
    #[error(transparent)]
    Tokens(#[from] TokenCommandError),
    /// There is no runtime to wait in, or nothing to write to.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

const COLUMNS: [Column<AccessTokenRecord>; 8] = [
    ("ID", |token| token.id.clone()),
    ("NAME", |token| token.name.to_string()),
    ("ROLE", |token| token.role.clone()),
    ("TENANT", |token| text(token.tenant.as_ref())),
    ("AGGREGATOR", |token| text(token.aggregator.as_ref())),
    ("CREATED", |token| time(Some(token.created_at))),
    ("EXPIRES", |token| time(token.expires_at)),
    ("LAST USED", |token| time(token.last_used_at)),
];

fn text(name: Option<&Name>) -> String {
    name.map(ToString::to_string).unwrap_or_default()
}

fn time(at: Option<Millis>) -> String {
    at.map(|at| Instant(at.0).to_string()).unwrap_or_default()
}

/// Does what is asked.
///
/// # Errors
/// The request is impossible, or the database failed.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let url = arguments.database.url()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let text = match &arguments.command {
        TokenCommand::Create { role, name, tenant, aggregator, expires_in } => {
            let request = TokenRequest {
                name: name.clone().unwrap_or_else(|| role.to_string()),
                role: *role,
                tenant: tenant.clone(),
                aggregator: aggregator.clone(),
                expires_in_ms: *expires_in,
            };
            let (record, token) = runtime.block_on(tokens::create(&url, &request))?;
            let mut about = std::io::stderr().lock();
            writeln!(about, "token {} of '{}': {}; it is not shown again", record.id, record.name, record.role)?;
            format!("{token}\n")
        }
        TokenCommand::List => table(&COLUMNS, &runtime.block_on(tokens::list(&url))?),
        TokenCommand::Revoke { id } => {
            runtime.block_on(tokens::revoke(&url, id))?;
            format!("{id} revoked\n")
        }
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
