//! A bandwidth request, and a change to an allocation, as the command line says them.

use std::str::FromStr;

use clap::{ArgGroup, Args};

use super::auto_bandwidth_args::{AutoBandwidthArgs, BandwidthBounds};
use super::output::bandwidth;
use api::allocation::{AllocationRequest, AllocationUpdate};
use api::bandwidth_model::RelocationDocument;
use api::constraints::{ConstraintsRequest, HopName, HopRequest};
use api::flow::{FlowRequest, Ipv4Network, Ipv6Network};
use api::instant::Instant;
use api::path::DisjointName;
use api::protection::{ProtectionDocument, ProtectionKind};

/// What people recognise an allocation by.
#[derive(Args, Debug)]
pub(super) struct AnnotationArgs {
    /// What it is called, at most 255 bytes; "" is no name
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Whose traffic it carries
    #[arg(long)]
    pub(super) customer: Option<String>,
    /// Anything else
    #[arg(long)]
    pub(super) note: Option<String>,
}

/// A bandwidth request.
#[derive(Args, Debug)]
pub(super) struct Create {
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
    #[arg(long, visible_alias = "start")]
    starts_at: Option<Instant>,
    /// When it ends by itself, RFC 3339
    #[arg(long, alias = "ends-at", visible_alias = "end")]
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
    /// A second path against the failure of the first: dedicated or shared
    #[arg(long, visible_alias = "protect")]
    protection: Option<ProtectionKind>,
    #[command(flatten)]
    protected: ProtectionArgs,
    /// The bandwidth follows the traffic that is measured, within these bounds, such as 5M..500M
    #[arg(long)]
    auto_bandwidth: Option<BandwidthBounds>,
    #[command(flatten)]
    adjusted: AutoBandwidthArgs,
    /// In both directions, on the same links back
    #[arg(long)]
    bidirectional: bool,
    /// How many standing allocations may be moved for it, 0 to 10 [default: as the bandwidth model says]
    #[arg(long)]
    max_moves: Option<u8>,
    /// Which packets it is for; without any, bandwidth is reserved and no switch gets a rule
    #[command(flatten)]
    flow: FlowArgs,
    /// What to call this request, so that sending it again does nothing new [default: made up]
    #[arg(long)]
    pub(super) key: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// What else a second path is asked for.
#[derive(Args, Debug)]
struct ProtectionArgs {
    /// What the two paths must not share: link, srlg or node [default: link]
    #[arg(long, requires = "protection")]
    disjoint: Option<DisjointName>,
    /// Traffic returns to the first path when that is whole again
    #[arg(long, requires = "protection")]
    revertive: bool,
    /// It is admitted on one path where no two carry it
    #[arg(long, requires = "protection")]
    best_effort: bool,
}

impl ProtectionArgs {
    fn of_kind(&self, kind: ProtectionKind) -> ProtectionDocument {
        let disjoint = self.disjoint.unwrap_or(DisjointName::Link);
        ProtectionDocument { kind, disjoint, revertive: self.revertive, best_effort: self.best_effort }
    }
}

/// Of which a change has at least one.
const CHANGES: [&str; 9] =
    ["bandwidth", "starts_at", "expires_at", "duration_ms", "protection", "auto_bandwidth", "name", "customer", "note"];

/// A change to an allocation.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("change").args(CHANGES).required(true).multiple(true))]
pub(super) struct Update {
    /// Which
    pub(super) id: String,
    /// The new bandwidth, such as 500M
    #[arg(long, value_parser = bandwidth)]
    bandwidth: Option<u64>,
    /// Another start of one that has not started, RFC 3339; "now": at once
    #[arg(long, value_parser = |text: &str| unless::<Instant>("now", text))]
    starts_at: Option<Unless<Instant>>,
    /// When it ends from now on, RFC 3339; "never": when it is released
    #[arg(long, alias = "ends-at", value_parser = |text: &str| unless::<Instant>("never", text))]
    expires_at: Option<Unless<Instant>>,
    /// How long it lasts from its start, or from now if it has started, in milliseconds
    #[arg(long, conflicts_with = "expires_at")]
    duration_ms: Option<u64>,
    /// A second path against the failure of the first: dedicated, shared or none
    #[arg(long, value_parser = |text: &str| unless::<ProtectionKind>("none", text))]
    protection: Option<Unless<ProtectionKind>>,
    #[command(flatten)]
    protected: ProtectionArgs,
    /// The bandwidth follows the traffic that is measured, within these bounds, such as 5M..500M; "none": it stays
    #[arg(long, value_parser = |text: &str| unless::<BandwidthBounds>("none", text))]
    auto_bandwidth: Option<Unless<BandwidthBounds>>,
    #[command(flatten)]
    adjusted: AutoBandwidthArgs,
    #[command(flatten)]
    annotations: AnnotationArgs,
    /// Only say what would happen
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// A value, or the word that says that there is none.
#[derive(Clone, Copy, Debug)]
struct Unless<T>(Option<T>);

fn unless<T: FromStr>(none: &str, text: &str) -> Result<Unless<T>, T::Err> {
    if text == none { Ok(Unless(None)) } else { text.parse().map(|value| Unless(Some(value))) }
}

impl Update {
    pub(super) fn change(&self) -> AllocationUpdate {
        let text = |given: &Option<String>| given.clone().map(Some);
        AllocationUpdate {
            bandwidth_bps: self.bandwidth,
            constraints: None,
            starts_at: self.starts_at.map(|at| at.0),
            duration_ms: self.duration_ms,
            expires_at: self.expires_at.map(|at| at.0),
            protection: self.protection.map(|asked| asked.0.map(|kind| self.protected.of_kind(kind))),
            auto_bandwidth: self.auto_bandwidth.map(|asked| asked.0.map(|bounds| self.adjusted.within(bounds))),
            name: text(&self.annotations.name),
            customer: text(&self.annotations.customer),
            note: text(&self.annotations.note),
        }
    }
}

/// The packets of an allocation. What is not given matches anything.
#[derive(Args, Debug)]
struct FlowArgs {
    /// The port at the ingress switch
    #[arg(long)]
    flow_in_port: Option<u32>,
    /// The source network or address of its packets, such as 10.0.0.0/8
    #[arg(long, visible_alias = "flow-src")]
    flow_ipv4_src: Option<Ipv4Network>,
    /// The destination network or address of its packets
    #[arg(long, visible_alias = "flow-dst")]
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

impl Create {
    pub(super) fn request(&self) -> AllocationRequest {
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
            protection: self.protection.map(|kind| self.protected.of_kind(kind)),
            auto_bandwidth: self.auto_bandwidth.map(|bounds| self.adjusted.within(bounds)),
            bidirectional: self.bidirectional,
            relocation: self.max_moves.map(|max_moves| RelocationDocument { max_moves }),
            flow: self.flow.flow(),
        }
    }
}
