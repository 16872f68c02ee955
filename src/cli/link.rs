//! `watermaster link list|show|history|set|watch`: the links of a running service's topologies.

use clap::{Args, Subcommand};

use super::connection::{ConnectionError, ServiceConnection, effect};
use super::event::{WatchArgs, events_watch};
use super::output::{Column, bandwidth, effects, past_bar, past_classes, percent, rate, table};
use api::client::{Client, PageRequest};
use api::event::EventData;
use api::instant::Instant;
use api::link::{LinkDocument, LinkRequest, LinkStateName};
use api::link_history::LinkHistoryPoint;

const COLUMNS: [Column<LinkDocument>; 9] = [
    ("LINK", |link| link.properties.link.clone()),
    ("FROM", |link| link.properties.from.clone()),
    ("TO", |link| link.properties.to.clone()),
    ("STATE", |link| link.properties.state.to_string()),
    ("RESERVED", |link| rate(link.figures.reserved_bps)),
    ("OF", |link| rate(link.properties.max_reservable_bps)),
    ("USED", |link| percent(link.figures.utilisation_ppm)),
    ("ALLOCATIONS", |link| link.figures.allocation_count.to_string()),
    ("CLASSES", classes),
];

/// What a link has besides that when it is shown alone.
const SHOWN: [Column<LinkDocument>; 13] = {
    let [link, from, to, state, reserved, of, used, allocations, classes] = COLUMNS;
    let capacity: Column<LinkDocument> = ("CAPACITY", |link| rate(link.properties.capacity_bps));
    let metric: Column<LinkDocument> = ("TE METRIC", |link| link.properties.te_metric.to_string());
    let delay: Column<LinkDocument> = ("DELAY", |link| format!("{} µs", link.properties.delay_us));
    let ids: Column<LinkDocument> = ("IDS", |link| link.figures.allocations.join(" "));
    [link, from, to, state, capacity, reserved, of, used, metric, delay, allocations, classes, ids]
};

/// The periods of a link's history, as a table with a bar for the most that was reserved in each.
const PERIODS: [Column<LinkHistoryPoint>; 8] = [
    ("AT", |point| point.at.to_string()),
    ("STATE", |point| point.past.state.to_string()),
    ("MEAN", |point| rate(point.past.reserved_mean_bps)),
    ("MOST", |point| rate(point.past.reserved_max_bps)),
    ("OF", |point| rate(point.past.max_reservable_bps)),
    ("", |point| past_bar(&point.past)),
    ("MEASURED", |point| point.past.measured_mean_bps.map(rate).unwrap_or_default()),
    ("CLASSES", |point| past_classes(&point.past)),
];
/// The arguments of `watermaster link`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    connection: ServiceConnection,
    #[command(subcommand)]
    command: LinkCommand,
}

#[derive(Subcommand, Debug)]
enum LinkCommand {
    /// List links, the fullest first
    List {
        /// Of which topology
        topology: String,
        /// Instead sorted by this member, such as -capacity_bps; with a minus the largest first
        #[arg(long, allow_hyphen_values = true)]
        sort: Option<String>,
    },
    /// Show a link and who is on it
    Show {
        /// Of which topology
        topology: String,
        /// Its name
        link: String,
    },
    /// Show what was reserved on a link over a time
    History {
        /// Of which topology
        topology: String,
        /// Its name
        link: String,
        /// When the time begins, in RFC 3339 [default: a day before its end]
        #[arg(long)]
        from: Option<Instant>,
        /// When it is over, in RFC 3339 [default: now]
        #[arg(long)]
        to: Option<Instant>,
        /// How long each period is, in milliseconds: whole minutes [default: a round time that gives some hundred]
        #[arg(long)]
        step_ms: Option<u64>,
    },
    /// Change a link
    Set(Set),
    /// Print what happens to links, until Ctrl-C
    Watch(WatchArgs),
}

#[derive(Args, Debug)]
struct Set {
    /// Of which topology
    topology: String,
    /// Which
    link: String,
    /// up, down or maintenance (which drains it)
    #[arg(long)]
    state: Option<LinkStateName>,
    /// Another capacity, such as 10G
    #[arg(long, value_parser = bandwidth)]
    capacity: Option<u64>,
    /// Another TE metric
    #[arg(long)]
    te_metric: Option<u32>,
    /// Another one-way delay, in microseconds
    #[arg(long)]
    delay_us: Option<u64>,
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
        LinkCommand::List { topology, sort } => {
            let sort = sort.as_deref().unwrap_or("-utilisation_ppm");
            connection.list(&COLUMNS, usize::MAX, Some(sort), async |client: &Client, page: PageRequest<'_>| {
                let page = client.link_list(topology, page).await?;
                Ok((page.items, page.next))
            })
        }
        LinkCommand::Show { topology, link } => {
            connection.show_one(&SHOWN, async |client| client.link_get(topology, link).await)
        }
        LinkCommand::History { topology, link, from, to, step_ms } => {
            let get = async |client: Client| Ok(client.link_history(topology, link, (*from, *to), *step_ms).await?);
            let history = connection.wait(get)?;
            connection.show(&history, || match history.points.as_slice() {
                [] => format!("no samples from {} to {}\n", history.from, history.to),
                points => table(&PERIODS, points),
            })
        }
        LinkCommand::Set(set) => link_set(connection, set),
        LinkCommand::Watch(watch) => {
            events_watch(connection, watch, |event| matches!(event.data, EventData::LinkChanged { .. }))
        }
    }
}

/// The class types that hold anything of the link.
fn classes(link: &LinkDocument) -> String {
    let held = link.figures.classes.iter().filter(|class| class.reserved_bps > 0);
    held.map(|class| format!("CT{} {}", class.class_type, rate(class.reserved_bps))).collect::<Vec<_>>().join(", ")
}

fn link_set(connection: &ServiceConnection, set: &Set) -> Result<(), ConnectionError> {
    let change = LinkRequest {
        state: set.state,
        capacity_bps: set.capacity,
        te_metric: set.te_metric,
        delay_us: set.delay_us,
        ..LinkRequest::default()
    };
    let work =
        async |client: Client| Ok(client.link_change(&set.topology, &set.link, &change, effect(set.dry_run)).await?);
    let done = connection.wait(work)?;
    connection.show(&done, || {
        let word = if set.dry_run { "would be changed" } else { "changed" };
        let stranded = match done.stranded.as_slice() {
            [] => String::new(),
            ids => format!("stranded    {}\n", ids.join(", ")),
        };
        format!("{word}     {} ({})\n", done.links.join(", "), done.properties.state)
            + &effects(&done.effects)
            + &stranded
    })
}
