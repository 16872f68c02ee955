//! `watermaster allocation create|list|show|resize|release|watch`: bandwidth, from a running service.

use clap::{Args, Subcommand};

use super::connection::{ConnectionError, ServiceConnection, effect};
use super::event::{WatchArgs, events_watch};
use super::output::{Column, bandwidth, effects, lines, rate};
use api::allocation::{AllocationDocument, AllocationOutcome, AllocationRequest, AllocationState, ResizeRequest};
use api::bandwidth_model::RelocationDocument;
use api::client::{AllocationFilter, Client};
use api::constraints::{ConstraintsRequest, HopName, HopRequest};
use api::event::EventDocument;
use api::flow::{FlowDocument, FlowRequest, Ipv4Network, Ipv6Network};
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
const SHOWN: [Column<AllocationDocument>; 14] = {
    let [id, name, customer, state, from, to, class, bandwidth, path] = COLUMNS;
    let topology: Column<AllocationDocument> = ("TOPOLOGY", |one| one.demand.topology.clone());
    let note: Column<AllocationDocument> = ("NOTE", |one| one.demand.note.clone().unwrap_or_default());
    let flow: Column<AllocationDocument> = ("FLOW", |one| one.demand.flow.as_ref().map(flow_words).unwrap_or_default());
    let starts: Column<AllocationDocument> = ("STARTS", |one| time(one.demand.starts_at));
    let expires: Column<AllocationDocument> = ("EXPIRES", |one| time(one.demand.expires_at));
    [id, name, customer, note, state, starts, expires, topology, from, to, class, bandwidth, path, flow]
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
    List(List),
    /// Show one
    Show {
        /// Which
        id: String,
    },
    /// Give one another bandwidth, make-before-break, or other annotations
    Resize {
        /// Which
        id: String,
        /// The new bandwidth, such as 500M
        #[arg(long, value_parser = bandwidth, required_unless_present_any = ["name", "customer", "note"])]
        bandwidth: Option<u64>,
        #[command(flatten)]
        annotations: AnnotationArgs,
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
    },
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

/// What people recognise an allocation by.
#[derive(Args, Debug)]
struct AnnotationArgs {
    /// What it is called, at most 255 bytes; "" is no name
    #[arg(long)]
    name: Option<String>,
    /// Whose traffic it carries
    #[arg(long)]
    customer: Option<String>,
    /// Anything else
    #[arg(long)]
    note: Option<String>,
}

#[derive(Args, Debug)]
struct Create {
    /// The node where traffic enters
    #[arg(long)]
    ingress: String,
    /// The node where traffic leaves
    #[arg(long)]
    egress: String,
    /// How much, such as 500M
    #[arg(long, value_parser = bandwidth)]
    bandwidth: u64,
    /// The class type, 0 (lowest) to 7
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=7), required_unless_present = "qos_level", conflicts_with = "qos_level")]
    class_type: Option<u8>,
    /// The QoS level: 0 insensitive, 1 sensitive, 2 priority
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos_level: Option<u8>,
    /// In which topology; needed where several have both nodes
    #[arg(long)]
    topology: Option<String>,
    /// Whom it may preempt: 0 (best) to 7
    #[arg(long)]
    setup_priority: Option<u8>,
    /// Who may preempt it: 0 (best) to 7
    #[arg(long)]
    hold_priority: Option<u8>,
    /// Who asks
    #[arg(long)]
    aggregator: Option<String>,
    #[command(flatten)]
    annotations: AnnotationArgs,
    /// When it starts, RFC 3339: it is booked for then [default: now]
    #[arg(long)]
    starts_at: Option<Instant>,
    /// When it ends by itself, RFC 3339
    #[arg(long, alias = "ends-at")]
    expires_at: Option<Instant>,
    /// How long it lasts from its start, in milliseconds
    #[arg(long, conflicts_with = "expires_at")]
    duration_ms: Option<u64>,
    /// The tenant whom it is for
    #[arg(long)]
    tenant: Option<String>,
    /// Only hold it, for so many milliseconds: it lapses unless it is committed
    #[arg(long)]
    hold_ms: Option<u64>,
    /// The most links of its path
    #[arg(long)]
    max_hops: Option<u32>,
    /// The most delay of its path, in microseconds
    #[arg(long)]
    max_delay_us: Option<u64>,
    /// Nodes or links that the path avoids
    #[arg(long)]
    exclude: Vec<String>,
    /// How many standing allocations may be moved for it, 0 to 10 [default: as the bandwidth model says]
    #[arg(long)]
    max_moves: Option<u8>,
    /// Which packets it is for; without any, bandwidth is reserved and no switch gets a rule
    #[command(flatten)]
    flow: FlowArgs,
    /// What to call this request, so that sending it again does nothing new [default: made up]
    #[arg(long)]
    key: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
}

/// The packets of an allocation. What is not given matches anything.
#[derive(Args, Debug)]
struct FlowArgs {
    /// The port at the ingress switch
    #[arg(long)]
    flow_in_port: Option<u32>,
    /// The source network or address of its packets, such as 10.0.0.0/8
    #[arg(long)]
    flow_ipv4_src: Option<Ipv4Network>,
    /// The destination network or address of its packets
    #[arg(long)]
    flow_ipv4_dst: Option<Ipv4Network>,
    /// The source network or address of its IPv6 packets, such as fd00::/8
    #[arg(long)]
    flow_ipv6_src: Option<Ipv6Network>,
    /// The destination network or address of its IPv6 packets
    #[arg(long)]
    flow_ipv6_dst: Option<Ipv6Network>,
    /// The VLAN that its packets are tagged with, 1 to 4094
    #[arg(long)]
    flow_vlan: Option<u16>,
    /// The DiffServ code point that its packets come with, 0 to 63
    #[arg(long)]
    flow_dscp: Option<u8>,
    /// The IP protocol number of its packets: 6 is TCP, 17 UDP
    #[arg(long)]
    flow_ip_proto: Option<u8>,
    /// The TCP or UDP destination port of its packets
    #[arg(long)]
    flow_l4_dst: Option<u16>,
    /// The host port at the egress switch, where that has several
    #[arg(long)]
    flow_out_port: Option<u32>,
}

impl FlowArgs {
    fn flow(&self) -> Option<FlowRequest> {
        let flow = FlowRequest {
            in_port: self.flow_in_port,
            ipv4_src: self.flow_ipv4_src,
            ipv4_dst: self.flow_ipv4_dst,
            ipv6_src: self.flow_ipv6_src,
            ipv6_dst: self.flow_ipv6_dst,
            vlan: self.flow_vlan,
            dscp: self.flow_dscp,
            ip_proto: self.flow_ip_proto,
            l4_dst: self.flow_l4_dst,
            out_port: self.flow_out_port,
        };
        Some(flow).filter(|flow| !flow.is_empty())
    }
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
    /// How many at most
    #[arg(long, default_value_t = 100)]
    limit: usize,
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
        AllocationCommand::Resize { id, bandwidth, annotations, dry_run } => {
            let AnnotationArgs { name, customer, note } = annotations;
            let given = |text: &Option<String>| text.clone().map(Some);
            let change = ResizeRequest {
                bandwidth_bps: *bandwidth,
                constraints: None,
                name: given(name),
                customer: given(customer),
                note: given(note),
            };
            let work =
                connection.wait(async |client| Ok(client.allocation_resize(id, &change, effect(*dry_run)).await?))?;
            connection.show(&work, || outcome(&work, "resized", *dry_run))
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

impl Create {
    fn request(&self) -> AllocationRequest {
        let constraints = ConstraintsRequest {
            max_hops: self.max_hops,
            max_delay_us: self.max_delay_us,
            exclude: self.exclude.iter().map(|name| HopRequest::Either(HopName(name.clone()))).collect(),
            ..ConstraintsRequest::default()
        };
        AllocationRequest {
            topology: self.topology.clone(),
            ingress: self.ingress.clone(),
            egress: self.egress.clone(),
            class_type: self.class_type.map(u64::from),
            qos_level: self.qos_level.map(u64::from),
            bandwidth_bps: self.bandwidth,
            setup_priority: self.setup_priority.map(u64::from),
            hold_priority: self.hold_priority.map(u64::from),
            aggregator: self.aggregator.clone(),
            name: self.annotations.name.clone(),
            customer: self.annotations.customer.clone(),
            note: self.annotations.note.clone(),
            starts_at: self.starts_at,
            duration_ms: self.duration_ms,
            expires_at: self.expires_at,
            tenant: self.tenant.clone(),
            hold_ms: self.hold_ms,
            constraints: Some(constraints).filter(|constraints| *constraints != ConstraintsRequest::default()),
            relocation: self.max_moves.map(|max_moves| RelocationDocument { max_moves }),
            flow: self.flow.flow(),
        }
    }
}

fn allocation_list(connection: &ServiceConnection, list: &List) -> Result<(), ConnectionError> {
    let filter = AllocationFilter {
        topology: list.topology.clone(),
        state: list.state,
        class_type: list.class_type,
        ingress: list.ingress.clone(),
        egress: list.egress.clone(),
        link: list.link.clone(),
        aggregator: list.aggregator.clone(),
        tenant: list.tenant.clone(),
        name: list.name.clone(),
        customer: list.customer.clone(),
    };
    connection.list(&COLUMNS, list.limit, async |client: &Client, limit, after: Option<&str>| {
        let page = client.allocation_list(&filter, limit, after).await?;
        Ok((page.items, page.next))
    })
}

fn time(at: Option<Instant>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
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
