//! The command line: one file a subcommand.

pub mod aggregator;
pub mod allocation;
mod allocation_request;
mod auto_bandwidth_args;
pub mod books;
pub mod broker;
pub mod chart;
pub mod consumer;
pub mod controller;
pub mod demo;
pub mod event;
pub mod gateway;
pub mod link;
pub mod maintenance;
pub mod model;
pub mod optimization;
pub mod passwd;
pub mod mqtt_args;
pub mod replay;
pub mod serve;
pub mod tenant;
pub mod token;
pub mod topology;

mod connection;
pub mod access_args;
pub mod database_args;
mod output;
mod resource_args;

pub use connection::{ConnectionError, ServiceConnection};

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// The bandwidth allocator of an SDN backbone.
#[derive(Parser, Debug)]
#[command(name = "watermaster", version, about, propagate_version = true, after_help = LOG_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<CliCommand>,
}

/// What programs that log say at the end of their help.
const LOG_HELP: &str = "\
Logs go to standard error. RUST_LOG chooses them by level and target:
  RUST_LOG=warn                                 warnings and errors only
  RUST_LOG=info,watermaster::decision=debug     every decision, not only some of each second
  RUST_LOG=info,watermaster::decision=off       no decisions";

#[derive(Subcommand, Debug)]
enum CliCommand {
    /// The service (what runs when no command is given).
    #[command(after_help = LOG_HELP)]
    Serve(serve::Arguments),
    /// The paper's proof of concept, all parts on this machine: what to try first.
    Demo(demo::Arguments),
    /// Only the broker: one stateless replica over a shared store.
    #[command(after_help = LOG_HELP)]
    Broker(broker::Arguments),
    /// What would have become of a trace of requests.
    Replay(replay::Arguments),
    /// An IoTGW-Ag aggregator: devices on one side, consumers on the other.
    #[command(after_help = LOG_HELP)]
    Gateway(gateway::Arguments),
    /// Subscribes at gateways and logs what it gets.
    Consumer(consumer::Arguments),
    /// Bandwidth of a running service: create, list, show, update, release, watch.
    Allocation(allocation::Arguments),
    /// Links of a running service: list, show, set, watch.
    Link(link::Arguments),
    /// Planned maintenance of a running service: list, show, create, delete, watch.
    Maintenance(maintenance::Arguments),
    /// Plans of moves that make a running service's network better: create, list, show, apply.
    Optimization(optimization::Arguments),
    /// Bandwidth models of a running service: show, put, watch.
    Model(model::Arguments),
    /// Controllers of switches of a running service: list, show, put, delete, watch.
    Controller(controller::Arguments),
    /// Aggregators of a running service: list, show, history.
    Aggregator(aggregator::Arguments),
    /// Tenants of a running service and their quotas: list, show, put, delete, watch.
    Tenant(tenant::Arguments),
    /// What happens in a running service: list, watch.
    Event(event::Arguments),
    /// Topology files: check, convert, diff; topologies of a running service: put, list, show, delete, watch.
    #[command(subcommand)]
    Topology(topology::TopologyCommand),
    /// Writes the books into a file, whatever the database is; a service may run meanwhile.
    Backup(books::FileArguments),
    /// Writes the books of a backup into a database that is empty.
    Restore(books::FileArguments),
    /// The journal of events: verify, export.
    Journal(books::JournalArguments),
    /// Access tokens: create, list, revoke.
    Token(token::Arguments),
    /// Prints the line of the file of MQTT users for a name and the password on standard input.
    Passwd(passwd::Arguments),
    /// Prints the OpenAPI document.
    Openapi,
    /// Prints the configuration in force, as TOML without secrets.
    Config(serve::Arguments),
    /// Prints a completion script for a shell.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Writes a man page for each command into a folder.
    Man { folder: PathBuf },
    /// Prints the version.
    Version,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Serve(#[from] serve::Error),
    #[error(transparent)]
    Demo(#[from] demo::Error),
    #[error(transparent)]
    Gateway(#[from] gateway::Error),
    #[error(transparent)]
    Consumer(#[from] consumer::Error),
    #[error(transparent)]
    Broker(#[from] broker::Error),
    #[error(transparent)]
    Passwd(#[from] passwd::Error),
    #[error(transparent)]
    Books(#[from] books::Error),
    #[error(transparent)]
    Token(#[from] token::Error),
    #[error(transparent)]
    Replay(#[from] replay::Error),
    #[error(transparent)]
    Topology(#[from] topology::TopologyCommandError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("bad configuration: {0}")]
    Config(#[from] crate::config::ConfigError),
    #[error("the OpenAPI document cannot be written: {0}")]
    Document(#[from] serde_json::Error),
    #[error("the man pages cannot be written to {}: {error}", folder.display())]
    ManPages { folder: PathBuf, error: std::io::Error },
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// 78 for bad configuration, 1 otherwise; clap itself uses 2 for wrong usage.
    fn code(&self) -> u8 {
        match self {
            Self::Gateway(error) if error.is_configuration() => 78,
            Self::Books(books::Error::Config(_))
            | Self::Token(token::Error::Config(_))
            | Self::Config(_)
            | Self::Serve(serve::Error::Config(_))
            | Self::Broker(broker::Error::Config(_)) => 78,
            Self::Serve(serve::Error::Service(error)) | Self::Broker(broker::Error::Service(error))
                if error.is_configuration() =>
            {
                78
            }
            _ => 1,
        }
    }
}

/// Runs what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command.unwrap_or_else(|| CliCommand::Serve(serve::Arguments::from_environment()))) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output may have closed the pipe.
        Err(Error::Output(error) | Error::Demo(demo::Error::Io(error)))
            if error.kind() == std::io::ErrorKind::BrokenPipe =>
        {
            ExitCode::SUCCESS
        }
        Err(Error::Connection(ConnectionError::Io(error))) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "watermaster: {error}");
            ExitCode::from(error.code())
        }
    }
}

/// Says where a service is, in one piece. The service runs whether or not the output is read.
fn greeting(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn run(command: CliCommand) -> Result<(), Error> {
    match command {
        CliCommand::Serve(arguments) => serve::run(&arguments)?,
        CliCommand::Demo(arguments) => demo::run(&arguments)?,
        CliCommand::Broker(arguments) => broker::run(&arguments)?,
        CliCommand::Replay(arguments) => replay::run(&arguments)?,
        CliCommand::Gateway(arguments) => gateway::run(&arguments)?,
        CliCommand::Consumer(arguments) => consumer::run(&arguments)?,
        CliCommand::Allocation(arguments) => allocation::run(&arguments)?,
        CliCommand::Link(arguments) => link::run(&arguments)?,
        CliCommand::Model(arguments) => model::run(&arguments)?,
        CliCommand::Controller(arguments) => controller::run(&arguments)?,
        CliCommand::Aggregator(arguments) => aggregator::run(&arguments)?,
        CliCommand::Maintenance(arguments) => maintenance::run(&arguments)?,
        CliCommand::Optimization(arguments) => optimization::run(&arguments)?,
        CliCommand::Tenant(arguments) => tenant::run(&arguments)?,
        CliCommand::Event(arguments) => event::run(&arguments)?,
        CliCommand::Topology(command) => topology::run(&command)?,
        CliCommand::Backup(arguments) => books::backup(&arguments)?,
        CliCommand::Restore(arguments) => books::restore(&arguments)?,
        CliCommand::Journal(arguments) => books::journal(&arguments)?,
        CliCommand::Token(arguments) => token::run(&arguments)?,
        CliCommand::Passwd(arguments) => passwd::run(&arguments)?,
        CliCommand::Openapi => print(&format!("{}\n", crate::http::document().to_pretty_json()?))?,
        CliCommand::Config(arguments) => print(&arguments.config()?.to_toml()?)?,
        CliCommand::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "watermaster", &mut script);
            std::io::stdout().write_all(&script)?;
        }
        CliCommand::Man { folder } => man_pages(&folder).map_err(|error| Error::ManPages { folder, error })?,
        CliCommand::Version => print(concat!(env!("CARGO_PKG_VERSION"), "\n"))?,
    }
    Ok(())
}

/// Fills the folder, which is made if it is not there.
fn man_pages(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}

fn print(text: &str) -> std::io::Result<()> {
    std::io::stdout().write_all(text.as_bytes())
}
