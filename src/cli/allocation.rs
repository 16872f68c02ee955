//! `watermaster allocation create|list|show|update|release|watch`: bandwidth, from a running service.

use clap::{Args, Subcommand};

use super::allocation_request::{Create, Update};
use super::connection::{ConnectionError, ServiceConnection, effect};
use super::event::{WatchArgs, events_watch};
use super::output::{Column, effects, lines, rate};
use super::resource_args::ListArgs;
use api::allocation::{AllocationDocument, AllocationOutcome, AllocationState};
use api::client::{AllocationFilter, Client, PageRequest};
use api::event::EventDocument;
use api::flow::FlowDocument;
use api::instant::Instant;

const COLUMNS: [Column<AllocationDocument>; 9] = [
    ("ID", |one| one.id.clone().unwrap_or_else(|| "(none: a dry run)".to_owned())),
    ("NAME", |one| one.demand.name.clone().unwrap_or_default()),
    ("CUSTOMER", |one| one.demand.customer.clone().unwrap_or_default()),
    ("STATE", |one| one.state.to_string()),
    ("FROM", |one| one.demand.ingress.clone()),
    ("TO", |one| one.demand.egress.clone()),
    ("CLASS", |one| format!("CT{}", one.demand.class_type)),
    ("BANDWIDTH", |one| rate(one.demand.bandwidth_bps)),
    ("PATH", |one| one.path.join(" ")),
];

/// What an allocation has besides that when it is shown alone.
const SHOWN: [Column<AllocationDocument>; 19] = {
    let [id, name, customer, state, from, to, class, bandwidth, path] = COLUMNS;
    let topology: Column<AllocationDocument> = ("TOPOLOGY", |one| one.demand.topology.clone());
    let note: Column<AllocationDocument> = ("NOTE", |one| one.demand.note.clone().unwrap_or_default());
    let flow: Column<AllocationDocument> = ("FLOW", |one| one.demand.flow.as_ref().map(flow_words).unwrap_or_default());
    let protection: Column<AllocationDocument> = ("PROTECTION", protection_words);
    let backup: Column<AllocationDocument> = ("BACKUP", |one| one.backup_path.as_deref().unwrap_or_default().join(" "));
    let follows: Column<AllocationDocument> = ("AUTO-BANDWIDTH", auto_bandwidth_words);
    let measured: Column<AllocationDocument> = ("MEASURED", measured_words);
    let starts: Column<AllocationDocument> = ("STARTS", |one| time(one.demand.starts_at));
    let expires: Column<AllocationDocument> = ("EXPIRES", |one| time(one.demand.expires_at));
    let preempted: Column<AllocationDocument> = ("PREEMPTED", preemption_words);
    [
        id, name, customer, note, state, starts, expires, preempted, topology, from, to, class, bandwidth, follows,
        measured, path, protection, backup, flow,
    ]
};

/// The arguments of `watermaster allocation`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    connection: ServiceConnection,
    #[command(subcommand)]
    command: AllocationCommand,
}

#[derive(Subcommand, Debug)]
enum AllocationCommand {
    /// Ask for bandwidth
    Create(Box<Create>),
    /// List allocations, living and ended
    List(Box<List>),
    /// Show one
    Show {
        /// Which
        id: String,
    },
    /// Give one another bandwidth, time or protection, make-before-break, or other annotations
    #[command(visible_alias = "resize")]
    Update(Box<Update>),
    /// Put one in force that is held
    Commit {
        /// Which
        id: String,
    },
    /// Let one go
    #[command(visible_alias = "delete")]
    Release {
        /// Which
        id: String,
    },
    /// Print what happens to allocations, until Ctrl-C
    Watch(WatchArgs),
}

#[derive(Args, Debug)]
struct List {
    /// In this topology
    #[arg(long)]
    topology: Option<String>,
    /// In this state: active, released, preempted …
    #[arg(long)]
    state: Option<AllocationState>,
    /// Of this class type
    #[arg(long)]
    class_type: Option<u8>,
    /// That enter at this node
    #[arg(long)]
    ingress: Option<String>,
    /// That leave at this node
    #[arg(long)]
    egress: Option<String>,
    /// Whose path has this link
    #[arg(long)]
    link: Option<String>,
    /// That this aggregator asked for
    #[arg(long)]
    aggregator: Option<String>,
    /// For this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// That are called so; 'ACME*': whose name begins so
    #[arg(long)]
    name: Option<String>,
    /// Of this customer; 'AC*': of those that begin so
    #[arg(long)]
    customer: Option<String>,
    /// Protected ones: 'true' with their backup path, 'false' without it
    #[arg(long)]
    protected: Option<bool>,
    /// That a booking will preempt after this time, RFC 3339, as far as that is foreseen
    #[arg(long)]
    preempted_after: Option<Instant>,
    /// That a booking will preempt before this time
    #[arg(long)]
    preempted_before: Option<Instant>,
    #[command(flatten)]
    list: ListArgs,
}

/// Does what the command says.
///
/// # Errors
/// The service refuses or is not there.
pub fn run(arguments: &Arguments) -> Result<(), ConnectionError> {
    let connection = &arguments.connection;
    match &arguments.command {
        AllocationCommand::Create(create) => allocation_create(connection, create),
        AllocationCommand::List(list) => allocation_list(connection, list),
        AllocationCommand::Show { id } => connection.show_one(&SHOWN, async |client| client.allocation_get(id).await),
        AllocationCommand::Update(update) => {
            let (change, effect) = (update.change(), effect(update.dry_run));
            let work =
                connection.wait(async |client| Ok(client.allocation_update(&update.id, &change, effect).await?))?;
            connection.show(&work, || outcome(&work, "updated", update.dry_run))
        }
        AllocationCommand::Commit { id } => {
            let done = connection.wait(async |client| Ok(client.allocation_commit(id).await?))?;
            connection.show(&done, || outcome(&done, "committed", false))
        }
        AllocationCommand::Release { id } => {
            connection.wait(async |client| Ok(client.allocation_release(id).await?))?;
            connection.show(&serde_json::json!({"id": id, "state": "released"}), || format!("{id} released\n"))
        }
        AllocationCommand::Watch(watch) => {
            let about_allocations = |event: &EventDocument| {
                event.kind.as_str().starts_with("allocation") || !event.data.victims().is_empty()
            };
            events_watch(connection, watch, about_allocations)
        }
    }
}

fn allocation_create(connection: &ServiceConnection, create: &Create) -> Result<(), ConnectionError> {
    let key = create.key.clone().unwrap_or_else(made_up_key);
    let request = create.request();
    let work = async |client: Client| Ok(client.allocation_create(&request, &key, effect(create.dry_run)).await?);
    let done = connection.wait(work)?;
    connection.show(&done, || outcome(&done, "admitted", create.dry_run))
}

/// A key that no other client makes.
fn made_up_key() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("cli-{:016x}{:016x}", RandomState::new().hash_one(0), RandomState::new().hash_one(1))
}

fn allocation_list(connection: &ServiceConnection, wanted: &List) -> Result<(), ConnectionError> {
    let filter = AllocationFilter {
        topology: wanted.topology.clone(),
        state: wanted.state,
        class_type: wanted.class_type,
        ingress: wanted.ingress.clone(),
        egress: wanted.egress.clone(),
        link: wanted.link.clone(),
        aggregator: wanted.aggregator.clone(),
        tenant: wanted.tenant.clone(),
        name: wanted.name.clone(),
        customer: wanted.customer.clone(),
        protected: wanted.protected,
        preempted_after: wanted.preempted_after,
        preempted_before: wanted.preempted_before,
    };
    connection.list(
        &COLUMNS,
        wanted.list.limit,
        wanted.list.sort.as_deref(),
        async |client: &Client, page: PageRequest<'_>| {
            let page = client.allocation_list(&filter, page).await?;
            Ok((page.items, page.next))
        },
    )
}

fn time(at: Option<Instant>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// What is foreseen: when, and by which booking.
fn preemption_words(one: &AllocationDocument) -> String {
    let by = one.preempted_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    one.preempted_at.map(|at| format!("at {at}{by}")).unwrap_or_default()
}

/// What protection was asked for, and that there is none.
fn protection_words(one: &AllocationDocument) -> String {
    let Some(asked) = one.demand.protection else { return String::new() };
    let words = [
        asked.kind.as_str().to_owned(),
        format!("{}-disjoint", asked.disjoint),
        if asked.revertive { "revertive".to_owned() } else { String::new() },
        if one.backup_path.is_none() { "UNPROTECTED".to_owned() } else { String::new() },
    ];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Its bounds, and how often it is adjusted.
fn auto_bandwidth_words(one: &AllocationDocument) -> String {
    let Some(asked) = one.demand.auto_bandwidth else { return String::new() };
    let bounds = format!("{} to {}", rate(asked.minimum_bandwidth_bps), rate(asked.maximum_bandwidth_bps));
    let early = [(asked.overflow_count, "overflow"), (asked.underflow_count, "underflow")];
    let early = early.into_iter().filter(|(count, _)| *count > 0);
    let early: String = early.map(|(count, word)| format!(", {word} after {count}")).collect();
    format!("{bounds}, each {} s{early}", asked.adjustment_interval_ms / 1_000)
}

/// The last sample, the largest of the interval, and what is wrong.
fn measured_words(one: &AllocationDocument) -> String {
    let Some(status) = &one.auto_bandwidth_status else { return String::new() };
    let words = [
        status.measured_bps.map(rate),
        status.maximum_average_bps.map(|bps| format!("at most {}", rate(bps))),
        status.reason.clone(),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The parts of a flow that match something.
fn flow_words(flow: &FlowDocument) -> String {
    let part = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
    let parts = [
        part("in_port", flow.in_port.map(|port| port.to_string())),
        part("ipv4_src", flow.ipv4_src.map(|network| network.to_string())),
        part("ipv4_dst", flow.ipv4_dst.map(|network| network.to_string())),
        part("ipv6_src", flow.ipv6_src.map(|network| network.to_string())),
        part("ipv6_dst", flow.ipv6_dst.map(|network| network.to_string())),
        part("vlan", flow.vlan.map(|number| number.to_string())),
        part("dscp", flow.dscp.map(|point| point.to_string())),
        part("ip_proto", flow.ip_proto.map(|number| number.to_string())),
        part("l4_dst", flow.l4_dst.map(|port| port.to_string())),
        part("out_port", flow.out_port.map(|port| port.to_string())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn outcome(done: &AllocationOutcome, word: &str, dry_run: bool) -> String {
    let head = if dry_run { format!("would be {word}\n") } else { format!("{word}\n") };
    head + &lines(&SHOWN, &done.allocation) + &effects(&done.effects)
}
