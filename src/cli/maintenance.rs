//! `watermaster maintenance list|show|create|delete|watch`: planned maintenance of a running service's links and nodes.

use clap::{Args, Subcommand};

use super::connection::{ConnectionError, ServiceConnection, effect};
use super::event::{WatchArgs, events_watch};
use super::output::{Column, duration_ms, effects, lines};
use super::resource_args::{InTopology, ListArgs};
use api::client::{Client, PageRequest};
use api::event::EventData;
use api::instant::Instant;
use api::maintenance::{MaintenanceDocument, MaintenanceRequest, PlannedMaintenance};

const COLUMNS: [Column<PlannedMaintenance>; 5] = [
    ("MAINTENANCE", |one| one.id.clone()),
    ("FROM", |one| one.starts_at.to_string()),
    ("UNTIL", |one| one.ends_at.to_string()),
    ("LINKS", |one| one.links.join(" ")),
    ("NOTE", |one| one.note.clone().unwrap_or_default()),
];

/// The arguments of `watermaster maintenance`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    connection: ServiceConnection,
    #[command(subcommand)]
    command: MaintenanceCommand,
}

#[derive(Subcommand, Debug)]
enum MaintenanceCommand {
    /// List what is planned
    List {
        /// For which topology
        topology: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one, and which allocations would have no path
    Show(InTopology),
    /// Plan maintenance of links and nodes
    Create(Create),
    /// Call one off
    Delete(InTopology),
    /// Print what is planned and what is over, until Ctrl-C
    Watch(WatchArgs),
}

#[derive(Args, Debug)]
struct Create {
    /// For which topology
    topology: String,
    /// A link; may be given several times
    #[arg(long = "link", required_unless_present = "nodes")]
    links: Vec<String>,
    /// A node, with all of its links; may be given several times
    #[arg(long = "node")]
    nodes: Vec<String>,
    /// When it begins, such as 2030-01-08T02:00:00Z
    #[arg(long)]
    starts_at: Instant,
    /// When it is over
    #[arg(long, required_unless_present = "duration")]
    ends_at: Option<Instant>,
    /// How long it takes, such as 2h or 90m
    #[arg(long, value_parser = duration_ms, conflicts_with = "ends_at")]
    duration: Option<u64>,
    /// What it is for
    #[arg(long)]
    note: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
}

/// Does what the command says.
///
/// # Errors
/// The service refuses or is not there.
pub fn run(arguments: &Arguments) -> Result<(), ConnectionError> {
    let connection = &arguments.connection;
    match &arguments.command {
        MaintenanceCommand::List { topology, list } => connection.list(
            &COLUMNS,
            list.limit,
            list.sort.as_deref(),
            async |client: &Client, page: PageRequest<'_>| {
                let page = client.maintenance_list(topology, page).await?;
                Ok((page.items, page.next))
            },
        ),
        MaintenanceCommand::Show(InTopology { topology, id }) => {
            let found = connection.wait(async |client| Ok(client.maintenance_get(topology, id).await?))?;
            connection.show(&found, || words(&found))
        }
        MaintenanceCommand::Create(create) => plan(connection, create),
        MaintenanceCommand::Delete(InTopology { topology, id }) => {
            connection.delete(id, false, async |client, _| client.maintenance_delete(topology, id).await)
        }
        MaintenanceCommand::Watch(watch) => events_watch(connection, watch, |event| {
            matches!(event.data, EventData::MaintenancePlanned { .. } | EventData::MaintenanceEnded { .. })
        }),
    }
}

fn plan(connection: &ServiceConnection, create: &Create) -> Result<(), ConnectionError> {
    let request = MaintenanceRequest {
        links: create.links.clone(),
        nodes: create.nodes.clone(),
        starts_at: create.starts_at,
        ends_at: create.ends_at,
        duration_ms: create.duration,
        note: create.note.clone(),
    };
    let effect = effect(create.dry_run);
    let done =
        connection.wait(async |client| Ok(client.maintenance_create(&create.topology, &request, effect).await?))?;
    connection.show(&done, || {
        let word = if done.dry_run { "would be planned" } else { "planned" };
        format!("{word}\n{}{}", words(&done.document), effects(&done.effects))
    })
}

fn words(one: &MaintenanceDocument) -> String {
    let stranded = match one.stranded.as_slice() {
        [] => "every allocation has another path\n".to_owned(),
        ids => format!("without another path: {}\n", ids.join(" ")),
    };
    lines(&COLUMNS, &one.maintenance) + &stranded
}
