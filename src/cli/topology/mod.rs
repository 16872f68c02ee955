//! `watermaster topology check|convert|diff`: topology files without a service; `watermaster topology
//! put|list|show|history|delete|failure-study|headroom|availability|watch`: the topologies of a running one.

mod file;
mod study;

use std::io;

use clap::{Args, Subcommand};

use self::file::{CheckArgs, ConvertArgs, DiffArgs, ReadArgs, topology_check, topology_convert, topology_diff};
use self::study::{AvailabilityArgs, FailureStudyArgs, HeadroomArgs};
use super::connection::{ConnectionError, ServiceConnection, effect};
use super::event::{WatchArgs, events_watch};
use super::output::{Column, count, effects, past_bar, past_classes, rate, table};
use api::client::{Client, PageRequest, Upload};
use api::event::EventData;
use api::instant::Instant;
use api::link_history::LinkThen;
use api::topology::{TopologyDocument, TopologyLink, TopologySummary};

pub use self::file::TopologyCommandError;
pub(super) use self::file::read_file;

const COLUMNS: [Column<TopologySummary>; 6] = [
    ("TOPOLOGY", |one| one.topology.clone()),
    ("MODEL", |one| one.model.to_string()),
    ("NODES", |one| one.nodes.to_string()),
    ("LINKS", |one| one.links.to_string()),
    ("ALLOCATIONS", |one| one.allocations.to_string()),
    ("REVISION", |one| one.revision.clone()),
];

const LINK_COLUMNS: [Column<TopologyLink>; 7] = [
    ("LINK", |link| link.id.clone()),
    ("FROM", |link| link.from.clone()),
    ("TO", |link| link.to.clone()),
    ("STATE", |link| link.state.to_string()),
    ("CAPACITY", |link| link.capacity_bps.map(rate).unwrap_or_default()),
    ("TE METRIC", |link| link.te_metric.map(|metric| metric.to_string()).unwrap_or_default()),
    ("DELAY", |link| link.delay_us.map(|delay| format!("{delay} µs")).unwrap_or_default()),
];

/// The links at an instant, with a bar for what was reserved of each.
const LINK_THEN_COLUMNS: [Column<LinkThen>; 6] = [
    ("LINK", |link| link.link.clone()),
    ("STATE", |link| link.past.state.to_string()),
    ("RESERVED", |link| rate(link.past.reserved_max_bps)),
    ("OF", |link| rate(link.past.max_reservable_bps)),
    ("", |link| past_bar(&link.past)),
    ("CLASSES", |link| past_classes(&link.past)),
];

/// What to do with a topology.
#[derive(Subcommand, Clone, Debug)]
pub enum TopologyCommand {
    /// Read a topology file of any supported format and report what is in it and what was assumed
    Check(CheckArgs),
    /// Read a topology file of any supported format and write it in another
    Convert(ConvertArgs),
    /// Compare two topology files, of any supported formats, and list what differs
    Diff(DiffArgs),
    /// Upload a topology to a running service
    Put(PutArgs),
    /// List the topologies of a running service
    List(ListArgs),
    /// Show the links of a topology as it was put
    Show(ShowArgs),
    /// Show what was reserved on its links at an instant
    History(HistoryArgs),
    /// Delete a topology that carries nothing
    Delete(DeleteArgs),
    /// Say what failures would do, now and as traffic grows
    FailureStudy(FailureStudyArgs),
    /// Say how much would be admitted between two nodes now
    Headroom(HeadroomArgs),
    /// Say when so much could be had between two nodes
    Availability(AvailabilityArgs),
    /// Print what happens to topologies, until Ctrl-C
    Watch(TopologyWatchArgs),
}

/// Arguments of `topology put`.
#[derive(Args, Clone, Debug)]
pub struct PutArgs {
    #[command(flatten)]
    connection: ServiceConnection,
    /// What it is to be called
    pub name: String,
    /// How to read the file.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Re-route or end allocations that do not fit, instead of refusing the upload
    #[arg(long)]
    pub evict: bool,
    /// The revision that is replaced; whichever is there if not given
    #[arg(long)]
    pub revision: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `topology list`.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    connection: ServiceConnection,
    /// Sorted by this member, such as -allocations; with a minus the largest first
    #[arg(long, allow_hyphen_values = true)]
    sort: Option<String>,
}

/// Arguments of `topology history`.
#[derive(Args, Clone, Debug)]
pub struct HistoryArgs {
    #[command(flatten)]
    connection: ServiceConnection,
    /// Its name
    name: String,
    /// The instant, in RFC 3339 [default: the last one that was sampled]
    #[arg(long)]
    at: Option<Instant>,
}

/// Arguments of `topology show`.
#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    connection: ServiceConnection,
    /// Its name
    name: String,
}

/// Arguments of `topology delete`.
#[derive(Args, Clone, Debug)]
pub struct DeleteArgs {
    #[command(flatten)]
    connection: ServiceConnection,
    /// Its name
    name: String,
    /// Only say whether it could be
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `topology watch`.
#[derive(Args, Clone, Debug)]
pub struct TopologyWatchArgs {
    #[command(flatten)]
    connection: ServiceConnection,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Does what the command says, on standard output.
///
/// # Errors
/// A file cannot be read, is no topology, or the result cannot be written; the service refuses or is not there.
pub fn run(command: &TopologyCommand) -> Result<(), TopologyCommandError> {
    match command {
        TopologyCommand::Check(args) => topology_check(args, &mut io::stdout().lock()),
        TopologyCommand::Convert(args) => topology_convert(args, &mut io::stdout().lock()),
        TopologyCommand::Diff(args) => topology_diff(args, &mut io::stdout().lock()),
        TopologyCommand::Put(args) => topology_put(args),
        TopologyCommand::List(args) => Ok(topology_list(args)?),
        TopologyCommand::Show(args) => Ok(topology_show(args)?),
        TopologyCommand::History(args) => Ok(topology_history(args)?),
        TopologyCommand::Delete(DeleteArgs { connection, name, dry_run }) => {
            let delete = async |client: Client, effect| client.topology_delete(name, effect).await;
            Ok(connection.delete(name, *dry_run, delete)?)
        }
        TopologyCommand::FailureStudy(args) => Ok(study::failure_study(args)?),
        TopologyCommand::Headroom(args) => Ok(study::headroom(args)?),
        TopologyCommand::Availability(args) => Ok(study::availability(args)?),
        TopologyCommand::Watch(args) => {
            let about_topologies =
                |data: &EventData| matches!(data, EventData::TopologyPut { .. } | EventData::TopologyDeleted { .. });
            Ok(events_watch(&args.connection, &args.watch, |event| about_topologies(&event.data))?)
        }
    }
}

fn topology_put(args: &PutArgs) -> Result<(), TopologyCommandError> {
    let path = || args.read.file.clone();
    let file = read_file(&args.read.file).map_err(|source| TopologyCommandError::Read { path: path(), source })?;
    let how = Upload {
        format: args.read.how.format,
        default_capacity_bps: Some(args.read.how.default_capacity_bps),
        on_missing_capacity: Some(args.read.how.on_missing_capacity),
        network: args.read.how.network.clone(),
        evict: args.evict,
        revision: args.revision.clone(),
        effect: effect(args.dry_run),
    };
    let report = args.connection.wait(async |client| Ok(client.topology_put(&args.name, file, &how).await?))?;
    args.connection.show(&report, || {
        let word = if args.dry_run { "would be put" } else { "put" };
        let head = format!(
            "{word}  {} ({}): {}, {}\n",
            report.topology,
            report.report.format,
            count(report.report.nodes, "node"),
            count(report.report.links, "link")
        );
        let assumed = formats::assumptions(&report.report).into_iter().map(|assumed| format!("  assumed {assumed}\n"));
        let warnings = report.report.warnings.iter().map(|warning| format!("  {warning}\n"));
        head + &effects(&report.effects) + &assumed.chain(warnings).collect::<String>()
    })?;
    Ok(())
}

fn topology_list(args: &ListArgs) -> Result<(), ConnectionError> {
    args.connection.list(&COLUMNS, usize::MAX, args.sort.as_deref(), async |client: &Client, page: PageRequest<'_>| {
        let page = client.topology_list(page).await?;
        Ok((page.items, page.next))
    })
}

fn topology_history(args: &HistoryArgs) -> Result<(), ConnectionError> {
    let found = args.connection.wait(async |client| Ok(client.topology_history(&args.name, args.at).await?))?;
    args.connection.show(&found, || {
        format!("{}, after event {}\n", found.at, found.sequence) + &table(&LINK_THEN_COLUMNS, &found.links)
    })
}

fn topology_show(args: &ShowArgs) -> Result<(), ConnectionError> {
    let found: TopologyDocument = args.connection.wait(async |client| Ok(client.topology_get(&args.name).await?))?;
    args.connection.show(&found, || {
        let head = format!("{}, {}\n", count(found.nodes.len(), "node"), count(found.links.len(), "link"));
        head + &table(&LINK_COLUMNS, &found.links)
    })
}
