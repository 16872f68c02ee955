//! `watermaster tenant list|show|put|delete|watch`: who has quotas in a running service, and what they hold.

use clap::{Args, Subcommand};

use super::connection::{ConnectionError, ServiceConnection};
use super::event::{WatchArgs, events_watch};
use super::output::{Column, bandwidth, lines, rate};
use super::resource_args::ListArgs;
use api::client::{Client, PageRequest};
use api::event::EventData;
use api::tenant::{QuotaDocument, QuotaUse, TenantDocument, TenantRequest};

const COLUMNS: [Column<TenantDocument>; 4] = [
    ("TENANT", |one| one.id.clone()),
    ("ALLOCATIONS", |one| one.allocations.to_string()),
    ("BANDWIDTH", |one| rate(one.bandwidth_bps)),
    ("QUOTAS", |one| one.quotas.iter().map(quota_words).collect::<Vec<_>>().join("; ")),
];

/// The arguments of `watermaster tenant`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    connection: ServiceConnection,
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Subcommand, Debug)]
enum TenantCommand {
    /// List tenants
    List(ListArgs),
    /// Show one
    Show {
        /// Its name
        name: String,
    },
    /// Make a tenant with one quota, or with none
    Put(PutArguments),
    /// Forget one that has no allocation
    Delete {
        /// Its name
        name: String,
    },
    /// Print what happens to tenants, until Ctrl-C
    Watch(WatchArgs),
}

#[derive(Args, Debug)]
struct PutArguments {
    /// What to call it
    name: String,
    #[command(flatten)]
    quota: QuotaArguments,
    /// The most requests a second
    #[arg(long)]
    max_requests_per_s: Option<u32>,
    /// By which the scheduler divides bandwidth between tenants [default: 1]
    #[arg(long)]
    weight: Option<u32>,
    /// An aggregator of the tenant, whose rates count in the quota; may be repeated
    #[arg(long = "aggregator")]
    aggregators: Vec<String>,
}

#[derive(Args, Debug)]
struct QuotaArguments {
    /// The most bandwidth of all its allocations, such as 2G
    #[arg(long, value_parser = bandwidth)]
    max_bandwidth: Option<u64>,
    /// The most bandwidth of all its allocations, counted on every link of their paths, such as 8G
    #[arg(long, value_parser = bandwidth)]
    max_bandwidth_hops: Option<u64>,
    /// The most allocations
    #[arg(long)]
    max_allocations: Option<u64>,
    /// In this topology alone
    #[arg(long)]
    topology: Option<String>,
    /// Of this class type alone
    #[arg(long)]
    class_type: Option<u64>,
}

/// Does what the command says.
///
/// # Errors
/// The service refuses or is not there.
pub fn run(arguments: &Arguments) -> Result<(), ConnectionError> {
    let connection = &arguments.connection;
    match &arguments.command {
        TenantCommand::List(list) => connection.list(
            &COLUMNS,
            list.limit,
            list.sort.as_deref(),
            async |client: &Client, page: PageRequest<'_>| {
                let page = client.tenant_list(page).await?;
                Ok((page.items, page.next))
            },
        ),
        TenantCommand::Show { name } => connection.show_one(&COLUMNS, async |client| client.tenant_get(name).await),
        TenantCommand::Put(PutArguments { name, quota, max_requests_per_s, weight, aggregators }) => {
            let quota = QuotaDocument {
                topology: quota.topology.clone(),
                class_type: quota.class_type,
                max_bandwidth_bps: quota.max_bandwidth,
                max_bandwidth_hops_bps: quota.max_bandwidth_hops,
                max_allocations: quota.max_allocations,
            };
            let quotas = Some(quota).into_iter().filter(|quota| *quota != QuotaDocument::default()).collect();
            let (max_requests_per_s, weight) = (*max_requests_per_s, *weight);
            let request = TenantRequest { quotas, max_requests_per_s, weight, aggregators: aggregators.clone() };
            let done = connection.wait(async |client| Ok(client.tenant_put(name, &request).await?))?;
            connection.show(&done, || "put\n".to_owned() + &lines(&COLUMNS, &done))
        }
        TenantCommand::Delete { name } => {
            connection.delete(name, false, async |client, _| client.tenant_delete(name).await)
        }
        TenantCommand::Watch(watch) => events_watch(connection, watch, |event| {
            matches!(event.data, EventData::TenantPut { .. } | EventData::TenantDeleted { .. })
        }),
    }
}

fn quota_words(one: &QuotaUse) -> String {
    let QuotaDocument { topology, class_type, max_bandwidth_bps, max_bandwidth_hops_bps, max_allocations } = &one.quota;
    let bandwidth = max_bandwidth_bps.map(|max| format!("{} of {}", rate(one.held_bandwidth_bps), rate(max)));
    let hops =
        max_bandwidth_hops_bps.map(|max| format!("{} of {} on links", rate(one.held_bandwidth_hops_bps), rate(max)));
    let count = max_allocations.map(|max| format!("{} of {max} allocations", one.held_allocations));
    let place = topology.as_ref().map(|topology| format!("in {topology}"));
    let class = class_type.map(|class| format!("CT{class}"));
    [bandwidth, hops, count, class, place].into_iter().flatten().collect::<Vec<_>>().join(" ")
}
