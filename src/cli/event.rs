//! `watermaster event watch`: what happens, as it happens, of all kinds or of one.

use std::io::Write;

use clap::{Args, Subcommand};

use super::connection::{ConnectionError, ServiceConnection};
use api::allocation::AllocationDemand;
use api::event::{EventActor, EventData, EventDocument, TenantSettings};
use api::instant::Instant;

/// The arguments of `watermaster event`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    connection: ServiceConnection,
    #[command(subcommand)]
    command: EventCommand,
}

#[derive(Subcommand, Debug)]
enum EventCommand {
    /// Print what happened, the oldest first
    List {
        /// From after this event on
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// The last ones, the newest first
        #[arg(long, conflicts_with = "after")]
        newest: bool,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Print what happens, until Ctrl-C; resumes where it broke off
    #[command(visible_alias = "tail")]
    Watch(WatchArgs),
}

/// What is watched, and for how long.
#[derive(Args, Clone, Debug)]
pub(super) struct WatchArgs {
    /// From after this event on; 0 is everything [default: from now on]
    #[arg(long)]
    after: Option<u64>,
    /// Of this topology
    #[arg(long)]
    topology: Option<String>,
    /// Stop after so many
    #[arg(long)]
    count: Option<u64>,
}

/// Does what the command says.
///
/// # Errors
/// The service refuses, or was gone for too long.
pub fn run(arguments: &Arguments) -> Result<(), ConnectionError> {
    let connection = &arguments.connection;
    match &arguments.command {
        EventCommand::List { after, newest, limit } => {
            let page = connection.wait(async |client| match newest {
                true => Ok(client.event_list_newest(None, *limit).await?),
                false => Ok(client.event_list(*after, *limit).await?),
            })?;
            let mut out = std::io::stdout().lock();
            page.items.iter().try_for_each(|event| print(connection, event, &mut out))
        }
        EventCommand::Watch(watch) => events_watch(connection, watch, |_| true),
    }
}

/// Prints the events of some kinds as they happen.
pub(super) fn events_watch(
    connection: &ServiceConnection,
    watch: &WatchArgs,
    is_wanted: impl Fn(&EventDocument) -> bool,
) -> Result<(), ConnectionError> {
    connection.wait(async |client| {
        let mut events = client.events(watch.after, watch.topology.clone());
        let mut printed = 0_u64;
        while watch.count.is_none_or(|count| printed < count) {
            let event = events.next().await?;
            if is_wanted(&event) {
                print(connection, &event, &mut std::io::stdout().lock())?;
                printed += 1;
            }
        }
        Ok(())
    })
}

/// One line for each event, also as JSON, so that it can be piped.
fn print(connection: &ServiceConnection, event: &EventDocument, out: &mut impl Write) -> Result<(), ConnectionError> {
    if connection.is_json() {
        serde_json::to_writer(&mut *out, event)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", line(event))?;
    }
    Ok(out.flush()?)
}

fn line(event: &EventDocument) -> String {
    let EventDocument { sequence, at, kind, data, actor } = event;
    let victims = match data.victims().len() {
        0 => String::new(),
        count => format!(" victims={count}"),
    };
    let actor = actor.as_ref().map(by).unwrap_or_default();
    format!("{sequence} {at} {kind}{}{victims}{actor}", subject(data))
}

/// Who had it decided, from where and by which token.
fn by(EventActor { name, address, token }: &EventActor) -> String {
    let pair = |key: &str, value: &Option<String>| value.as_ref().map(|value| format!(" {key}={value}"));
    format!(" by={name:?}{}{}", pair("from", address).unwrap_or_default(), pair("token", token).unwrap_or_default())
}

/// What the event is about, as ` name=value` pairs.
fn subject(data: &EventData) -> String {
    match data {
        EventData::TopologyPut { topology, nodes, links, .. } => {
            format!(" topology={topology} nodes={nodes} links={links}")
        }
        EventData::TopologyDeleted { topology } => format!(" topology={topology}"),
        EventData::ModelSet { topology, model, .. } => format!(" topology={topology} model={}", model.model),
        EventData::LinkChanged { topology, links, .. } => {
            let links = links.iter().map(|link| format!(" link={} state={}", link.link, link.state));
            format!(" topology={topology}{}", links.collect::<String>())
        }
        EventData::AllocationAdmitted { allocation: one, .. }
        | EventData::AllocationResized { allocation: one, .. }
        | EventData::AllocationRecovered { allocation: one }
        | EventData::AllocationStarted { allocation: one, .. } => {
            format!(" id={}{}", one.id, demand(&one.demand))
        }
        EventData::AllocationDenied { demand: denied, problem } => {
            format!("{} problem={}", demand(&denied.demand), problem.slug())
        }
        EventData::AllocationStartFailed { id, demand: asked, problem } => {
            format!(" id={id}{} problem={}", demand(asked), problem.slug())
        }
        EventData::AllocationReleased { id } => format!(" id={id}"),
        EventData::AllocationsExpired { ids } => format!(" ids={}", ids.join(",")),
        EventData::ControllerPut { controller } => {
            format!(" controller={} driver={} topology={}", controller.id, controller.driver, controller.topology)
        }
        EventData::ControllerLed { controller, instance, term } => {
            format!(" controller={controller} instance={instance} term={term}")
        }
        EventData::SchedulerLed { instance, term } => {
            format!(" instance={} term={term}", instance.as_deref().unwrap_or("none"))
        }
        EventData::ControllerDeleted { controller } => format!(" controller={controller}"),
        EventData::AllocationsDisplaced { .. } => String::new(),
        EventData::MaintenancePlanned { topology, maintenance: one, stranded, .. } => {
            let (id, from, until) = (&one.id, one.starts_at, one.ends_at);
            let links = one.links.join(",");
            format!(" topology={topology} id={id} from={from} until={until} links={links} stranded={}", stranded.len())
        }
        EventData::PreemptionForeseen { topology, notices } => {
            let at = |at: &Option<Instant>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
            let notices = notices.iter().map(|one| format!(" id={} preempted_at={}", one.id, at(&one.preempted_at)));
            format!(" topology={topology}{}", notices.collect::<String>())
        }
        EventData::MaintenanceEnded { topology, id } => format!(" topology={topology} id={id}"),
        EventData::TenantPut { tenant } => terms(tenant),
        EventData::TenantDeleted { tenant } => format!(" tenant={tenant}"),
    }
}

/// What a tenant is entitled to, as the event has it.
fn terms(tenant: &TenantSettings) -> String {
    let TenantSettings { id, quotas, max_requests_per_s, weight, aggregators } = tenant;
    let limit = |name: &str, max: Option<u64>| max.map_or_else(String::new, |max| format!(" {name}={max}"));
    let quotas = quotas.iter().map(|quota| {
        let of = |word: Option<String>| word.unwrap_or_else(|| "all".to_owned());
        format!(
            " quota_topology={} quota_class_type={}{}{}{}",
            of(quota.topology.clone()),
            of(quota.class_type.map(|class_type| class_type.to_string())),
            limit("max_bandwidth_bps", quota.max_bandwidth_bps),
            limit("max_bandwidth_hops_bps", quota.max_bandwidth_hops_bps),
            limit("max_allocations", quota.max_allocations),
        )
    });
    let rate = limit("max_requests_per_s", max_requests_per_s.map(u64::from));
    let aggregators = if aggregators.is_empty() { "none".to_owned() } else { aggregators.join(",") };
    format!(" tenant={id} weight={weight} aggregators={aggregators}{rate}{}", quotas.collect::<String>())
}

fn demand(demand: &AllocationDemand) -> String {
    let AllocationDemand { topology, ingress, egress, class_type, bandwidth_bps, .. } = demand;
    let text = |what: &str, text: &Option<String>| text.as_ref().map(|text| format!(" {what}={text:?}"));
    let texts = [text("name", &demand.name), text("customer", &demand.customer)];
    format!(
        " topology={topology} ingress={ingress} egress={egress} class_type={class_type} bandwidth_bps={bandwidth_bps}{}",
        texts.into_iter().flatten().collect::<String>()
    )
}
