//! `watermaster link list|set`: the links of a running service's topologies.

use clap::{Args, Subcommand};

use super::allocation::effect;
use super::connection::{ConnectionError, PAGE, ServiceConnection, bandwidth, effects, percent, rate, table};
use api::link::{LinkDocument, LinkRequest, LinkStateName};

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
    },
    /// Change a link
    Set(Set),
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
    match &arguments.command {
        LinkCommand::List { topology } => link_list(&arguments.connection, topology),
        LinkCommand::Set(set) => link_set(&arguments.connection, set),
    }
}

fn link_list(connection: &ServiceConnection, topology: &str) -> Result<(), ConnectionError> {
    let mut links = connection.wait(async |client| {
        let mut links: Vec<LinkDocument> = vec![];
        let mut after: Option<String> = None;
        loop {
            let page = client.link_list(topology, PAGE, after.as_deref()).await?;
            links.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(links);
            }
        }
    })?;
    links.sort_by_key(|link| std::cmp::Reverse(link.figures.utilisation_ppm));
    connection.show(&links, || {
        let rows: Vec<_> = links.iter().map(row).collect();
        table(&["LINK", "FROM", "TO", "STATE", "RESERVED", "OF", "USED", "ALLOCATIONS", "CLASSES"], &rows)
    })
}

fn row(link: &LinkDocument) -> Vec<String> {
    let LinkDocument { properties: link, figures } = link;
    let held = figures.classes.iter().filter(|class| class.reserved_bps > 0);
    let classes: Vec<_> = held.map(|class| format!("CT{} {}", class.class_type, rate(class.reserved_bps))).collect();
    vec![
        link.link.clone(),
        link.from.clone(),
        link.to.clone(),
        link.state.to_string(),
        rate(figures.reserved_bps),
        rate(link.max_reservable_bps),
        percent(figures.utilisation_ppm),
        figures.allocation_count.to_string(),
        classes.join(", "),
    ]
}

fn link_set(connection: &ServiceConnection, set: &Set) -> Result<(), ConnectionError> {
    let change = LinkRequest {
        state: set.state,
        capacity_bps: set.capacity,
        te_metric: set.te_metric,
        delay_us: set.delay_us,
        ..LinkRequest::default()
    };
    let work = async |client: api::client::Client| {
        Ok(client.link_change(&set.topology, &set.link, &change, effect(set.dry_run)).await?)
    };
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
