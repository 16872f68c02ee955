//! `watermaster aggregator list|show|history`: who reports to a running service, and what they may send.

use clap::{Args, Subcommand};

use super::connection::{ConnectionError, ServiceConnection};
use super::output::{Column, percent, rate, table};
use api::aggregator::{Aggregator, AggregatorFreshness, AggregatorHistoryPoint, AggregatorLevelRate};
use api::client::{Client, PageRequest};

const COLUMNS: [Column<Aggregator>; 6] = [
    ("AGGREGATOR", |one| one.id.clone()),
    ("STATE", freshness),
    ("TOPOLOGY", |one| one.topology.clone()),
    ("NODE", |one| one.node.clone()),
    ("WANTS", |one| levels(one.demand.iter().map(|level| (level.qos_level, level.demand_bps)))),
    ("MAY SEND", |one| one.rates.levels.iter().map(may_send).collect::<Vec<_>>().join(", ")),
];

/// The steps of an aggregator's past.
const STEPS: [Column<AggregatorHistoryPoint>; 3] = [
    ("AT", |point| point.at.to_string()),
    ("BUFFERS", |point| {
        let filled = point.levels.iter().map(|level| format!("{}: {}", level.qos_level, percent(level.buffer_ppm)));
        filled.collect::<Vec<_>>().join(", ")
    }),
    ("RATES", |point| levels(point.levels.iter().map(|level| (level.qos_level, level.rate_bps)))),
];

/// The arguments of `watermaster aggregator`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    connection: ServiceConnection,
    #[command(subcommand)]
    command: AggregatorCommand,
}

#[derive(Subcommand, Debug)]
enum AggregatorCommand {
    /// List aggregators
    List {
        /// Sorted by this member, such as -heard_at; with a minus the largest first
        #[arg(long, allow_hyphen_values = true)]
        sort: Option<String>,
    },
    /// Show one, with what it reported last
    Show {
        /// Its id
        id: String,
    },
    /// Show how full its buffers were and what it was given in the last quarter of an hour
    History {
        /// Its id
        id: String,
    },
}

/// Does what the command says.
///
/// # Errors
/// The service refuses or is not there.
pub fn run(arguments: &Arguments) -> Result<(), ConnectionError> {
    let connection = &arguments.connection;
    match &arguments.command {
        AggregatorCommand::List { sort } => {
            connection.list(&COLUMNS, usize::MAX, sort.as_deref(), async |client: &Client, page: PageRequest<'_>| {
                let page = client.aggregator_list(page).await?;
                Ok((page.items, page.next))
            })
        }
        AggregatorCommand::Show { id } => connection.show_one(&COLUMNS, async |client| client.aggregator_get(id).await),
        AggregatorCommand::History { id } => {
            let past = connection.wait(async |client| Ok(client.aggregator_history(id).await?))?;
            connection.show(&past, || table(&STEPS, &past.points))
        }
    }
}

fn freshness(aggregator: &Aggregator) -> String {
    match aggregator.state {
        AggregatorFreshness::Fresh => "fresh",
        AggregatorFreshness::Stale => "stale",
        AggregatorFreshness::Lost => "lost",
    }
    .to_owned()
}

fn may_send(level: &AggregatorLevelRate) -> String {
    let reason = level.unserved.map(|reason| format!(" ({})", reason.as_str())).unwrap_or_default();
    format!("{}: {}{reason}", level.qos_level, rate(level.rate_bps))
}

/// Rates by QoS level.
fn levels(rates: impl Iterator<Item = (u8, u64)>) -> String {
    rates.map(|(level, bps)| format!("{level}: {}", rate(bps))).collect::<Vec<_>>().join(", ")
}
