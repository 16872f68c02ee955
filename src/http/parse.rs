//! Request documents as kernel values. Nothing is decided here beyond what the kernel's types can hold; a fault is a
//! problem that names the field.

use super::problem::Problem;
use super::problem_catalogue;
use api::allocation::{AllocationRequest, AllocationUpdate, QOS_LEVEL_MAX};
use api::auto_bandwidth::AutoBandwidthDocument;
use api::bandwidth_model::RelocationDocument;
use api::constraints::{ConstraintsRequest, HOPS_MAX, HopName, HopRequest, LinkHop, NodeHop, RouteHopRequest};
use api::flow::{FlowRequest, Ipv4Network, Ipv6Network};
use api::instant::Instant;
use api::link::LinkRequest;
use api::maintenance::MaintenanceRequest;
use api::path::DisjointName;
use api::protection::{ProtectionDocument, ProtectionKind};
use formats::bandwidth_model::metric;
use kernel::allocation::{Flow, Ipv4Prefix, Ipv6Prefix, LspAttributes, Owner, Protection};
use kernel::annotation::{Annotation, AnnotationField};
use kernel::auto_bandwidth::{AutoBandwidth, EarlyAdjustment, RateThreshold};
use kernel::class::{ClassType, Priority};
use kernel::command::{
    AllocationChange, Command, HopKind, LinkChange, NamedConstraints, NamedHop, NamedRouteHop, Request,
};
use kernel::id::{AllocationId, Name};
use kernel::path::Disjointness;
use kernel::policy::MOVES_MAX;
use kernel::units::{Bandwidth, Micros, Millis};

/// The most links, and the most nodes, that a plan of maintenance names.
const MAINTENANCE_NAMES_MAX: usize = 1_000;

/// A bandwidth request.
pub(super) fn allocation_request(document: AllocationRequest) -> Result<Command, Problem> {
    let class_type = class_type(document.class_type, document.qos_level)?;
    Ok(Command::Allocate(Box::new(Request {
        topology: name_if_any("topology", document.topology)?,
        ingress: name("ingress", &document.ingress)?,
        egress: name("egress", &document.egress)?,
        class_type,
        bandwidth: bandwidth("bandwidth_bps", document.bandwidth_bps)?,
        setup_priority: priority("setup_priority", document.setup_priority)?,
        hold_priority: priority("hold_priority", document.hold_priority)?,
        constraints: constraints(document.constraints.unwrap_or_default())?,
        moves_max: document.relocation.map(moves_max).transpose()?,
        hold_for: document.hold_ms.map(Millis),
        duration: document.duration_ms.map(Millis),
        attributes: LspAttributes {
            aggregator: name_if_any("aggregator", document.aggregator)?,
            starts_at: document.starts_at.map(|at| Millis(at.0)),
            expires_at: document.expires_at.map(|at| Millis(at.0)),
            tenant: name_if_any("tenant", document.tenant)?,
            held_until: None,
            flow: document.flow.map(|document| Box::new(flow(&document))),
            owner: Owner::Requester,
            protection: document.protection.map(protection),
            is_bidirectional: document.bidirectional,
            auto_bandwidth: document.auto_bandwidth.map(auto_bandwidth).transpose()?,
            annotations: [
                (AnnotationField::Name, document.name),
                (AnnotationField::Customer, document.customer),
                (AnnotationField::Note, document.note),
            ]
            .into_iter()
            .map(annotation)
            .collect::<Result<_, _>>()?,
        },
    })))
}

fn protection(document: ProtectionDocument) -> Protection {
    let ProtectionDocument { kind, disjoint, revertive: is_revertive, best_effort: is_best_effort } = document;
    let is_shared = kind == ProtectionKind::Shared;
    Protection { disjointness: disjointness(disjoint), is_shared, is_revertive, is_best_effort }
}

/// How a bandwidth follows its traffic; what the kernel refuses of it is not looked at here.
fn auto_bandwidth(document: AutoBandwidthDocument) -> Result<Box<AutoBandwidth>, Problem> {
    let threshold = |(percent_of, percent), (least_of, least_bps)| {
        Ok::<_, Problem>(RateThreshold {
            percent: at_most(percent_of, percent, 100)?,
            least: bandwidth(least_of, least_bps)?,
        })
    };
    let early = |(count_of, count), percent, least| match at_most(count_of, count, u8::MAX)? {
        0 => Ok(None),
        count => Ok::<_, Problem>(Some(EarlyAdjustment { count, threshold: threshold(percent, least)? })),
    };
    Ok(Box::new(AutoBandwidth {
        sample_interval: Millis(document.sample_interval_ms),
        adjustment_interval: Millis(document.adjustment_interval_ms),
        minimum: bandwidth("auto_bandwidth.minimum_bandwidth_bps", document.minimum_bandwidth_bps)?,
        maximum: bandwidth("auto_bandwidth.maximum_bandwidth_bps", document.maximum_bandwidth_bps)?,
        adjustment_threshold: threshold(
            ("auto_bandwidth.adjustment_threshold_percent", document.adjustment_threshold_percent),
            ("auto_bandwidth.adjustment_threshold_bps", document.adjustment_threshold_bps),
        )?,
        overflow: early(
            ("auto_bandwidth.overflow_count", document.overflow_count),
            ("auto_bandwidth.overflow_threshold_percent", document.overflow_threshold_percent),
            ("auto_bandwidth.overflow_threshold_bps", document.overflow_threshold_bps),
        )?,
        underflow: early(
            ("auto_bandwidth.underflow_count", document.underflow_count),
            ("auto_bandwidth.underflow_threshold_percent", document.underflow_threshold_percent),
            ("auto_bandwidth.underflow_threshold_bps", document.underflow_threshold_bps),
        )?,
    }))
}

/// What two paths must not share.
pub(super) fn disjointness(name: DisjointName) -> Disjointness {
    match name {
        DisjointName::Link => Disjointness::Link,
        DisjointName::Srlg => Disjointness::Srlg,
        DisjointName::Node => Disjointness::Node,
    }
}

pub(super) fn moves_max(document: RelocationDocument) -> Result<u8, Problem> {
    match document.max_moves {
        moves @ 0..=MOVES_MAX => Ok(moves),
        _ => Err(impossible("relocation.max_moves", format!("at most {MOVES_MAX} allocations may be moved for one"))),
    }
}

/// A change to an allocation.
pub(super) fn allocation_update(document: AllocationUpdate, id: AllocationId) -> Result<Command, Problem> {
    if document == AllocationUpdate::default() {
        return Err(impossible("bandwidth_bps", "the change names nothing: give bandwidth_bps or another member"));
    }
    let instant = |at: Option<Instant>| at.map(|at| Millis(at.0));
    let change = AllocationChange {
        bandwidth: document.bandwidth_bps.map(|bps| bandwidth("bandwidth_bps", bps)).transpose()?,
        constraints: document.constraints.map(constraints).transpose()?,
        starts_at: document.starts_at.map(instant),
        expires_at: document.expires_at.map(instant),
        duration: document.duration_ms.map(Millis),
        protection: document.protection.map(|asked| asked.map(protection)),
        auto_bandwidth: document.auto_bandwidth.map(|asked| asked.map(auto_bandwidth).transpose()).transpose()?,
        annotations: [
            (AnnotationField::Name, document.name),
            (AnnotationField::Customer, document.customer),
            (AnnotationField::Note, document.note),
        ]
        .into_iter()
        .filter_map(|(field, given)| Some(annotation((field, given?))))
        .collect::<Result<_, _>>()?,
    };
    Ok(Command::Change { id, change: Box::new(change) })
}

/// A text of a field; none clears it.
fn annotation(
    (field, text): (AnnotationField, Option<String>),
) -> Result<(AnnotationField, Option<Annotation>), Problem> {
    let text = Annotation::parse(text.as_deref().unwrap_or_default());
    let name = field.as_str();
    Ok((field, text.map_err(|error| impossible(name, format!("invalid {name}: {error}")))?))
}

/// Maintenance that is to be planned.
pub(super) fn maintenance(topology: Name, document: MaintenanceRequest) -> Result<Command, Problem> {
    let MaintenanceRequest { links, nodes, starts_at, ends_at, duration_ms, note } = document;
    if links.is_empty() && nodes.is_empty() {
        return Err(impossible("links", "no link and no node is named"));
    }
    let names = |field, texts: Vec<String>| {
        if texts.len() > MAINTENANCE_NAMES_MAX {
            return Err(impossible(
                field,
                format!("{field} has {} names, more than {MAINTENANCE_NAMES_MAX}", texts.len()),
            ));
        }
        texts.iter().map(|text| name(field, text)).collect::<Result<Vec<_>, _>>()
    };
    let ends_at = match (ends_at, duration_ms) {
        (Some(at), None) => at.0,
        (None, Some(duration_ms)) => starts_at.0.saturating_add(duration_ms),
        (Some(_), Some(_)) => return Err(impossible("duration_ms", "ends_at is given, too")),
        (None, None) => return Err(impossible("ends_at", "neither ends_at nor duration_ms is given")),
    };
    Ok(Command::PlanMaintenance {
        topology,
        links: names("links", links)?,
        nodes: names("nodes", nodes)?,
        starts_at: Millis(starts_at.0),
        ends_at: Millis(ends_at),
        note: annotation((AnnotationField::Note, note))?.1,
    })
}

/// Path constraints.
pub(super) fn constraints(document: ConstraintsRequest) -> Result<NamedConstraints, Problem> {
    let hops = |field, hops: Vec<HopRequest>| {
        at_most_hops(field, hops.len())?;
        hops.iter().map(|document| hop(field, document)).collect::<Result<Vec<_>, _>>()
    };
    at_most_hops("route", document.route.len())?;
    Ok(NamedConstraints {
        metric: document.path_metric.map(metric),
        max_hops: document.max_hops,
        max_delay: document.max_delay_us.map(Micros),
        include: hops("include", document.include)?,
        exclude: hops("exclude", document.exclude)?,
        include_any: document.include_any,
        exclude_any: document.exclude_any,
        route: document.route.iter().map(route_hop).collect::<Result<_, _>>()?,
    })
}

fn at_most_hops(field: &'static str, count: usize) -> Result<(), Problem> {
    if count <= HOPS_MAX {
        return Ok(());
    }
    Err(impossible(field, format!("{field} has {count} hops, more than {HOPS_MAX}")))
}

fn hop(field: &'static str, document: &HopRequest) -> Result<NamedHop, Problem> {
    Ok(match document {
        HopRequest::Either(HopName(text)) => NamedHop::Either(name(field, text)?),
        HopRequest::Node(NodeHop { node }) => NamedHop::Node(name(field, node)?),
        HopRequest::Link(LinkHop { link }) => NamedHop::Link(name(field, link)?),
    })
}

fn route_hop(document: &RouteHopRequest) -> Result<NamedRouteHop, Problem> {
    let (hop, strict) = match document {
        RouteHopRequest::Either(HopName(text)) => (NamedHop::Either(name("route", text)?), true),
        RouteHopRequest::Node(hop) => (NamedHop::Node(name("route", &hop.node)?), hop.strict),
        RouteHopRequest::Link(hop) => (NamedHop::Link(name("route", &hop.link)?), hop.strict),
    };
    Ok(NamedRouteHop { hop, looseness: if strict { HopKind::Strict } else { HopKind::Loose } })
}

fn flow(document: &FlowRequest) -> Flow {
    let prefix = |network: Ipv4Network| Ipv4Prefix { address: network.address, length: network.length };
    let prefix_v6 = |network: Ipv6Network| Ipv6Prefix { address: network.address, length: network.length };
    Flow {
        in_port: document.in_port,
        ipv4_src: document.ipv4_src.map(prefix),
        ipv4_dst: document.ipv4_dst.map(prefix),
        ipv6_src: document.ipv6_src.map(prefix_v6),
        ipv6_dst: document.ipv6_dst.map(prefix_v6),
        vlan: document.vlan,
        dscp: document.dscp,
        ip_proto: document.ip_proto,
        l4_dst: document.l4_dst,
        out_port: document.out_port,
    }
}

/// A change to a link.
pub(super) fn link_change(document: LinkRequest) -> Result<LinkChange, Problem> {
    let bandwidth = |field, bps: Option<u64>| bps.map(|bps| bandwidth(field, bps)).transpose();
    Ok(LinkChange {
        state: document.state.map(formats::link_state),
        capacity: bandwidth("capacity_bps", document.capacity_bps)?,
        max_reservable: bandwidth("max_reservable_bps", document.max_reservable_bps)?,
        te_metric: document.te_metric,
        delay: document.delay_us.map(Micros),
        srlg: document.srlg,
        admin_group: document.admin_group,
        is_avoided: None,
        is_reported: false,
        expected: None,
        until: None,
    })
}

/// A name.
pub(super) fn name(field: &'static str, text: &str) -> Result<Name, Problem> {
    Name::new(text).map_err(|error| impossible(field, error.to_string()))
}

/// The name of what is found by a path.
pub(super) fn name_in_path(field: &'static str, name: &Name) -> Result<(), Problem> {
    Name::in_path(name.as_str()).map(drop).map_err(|error| impossible(field, error.to_string()))
}

fn name_if_any(field: &'static str, text: Option<String>) -> Result<Option<Name>, Problem> {
    text.map(|text| name(field, &text)).transpose()
}

/// The class of a request: by class type or by QoS level, not by both.
pub(super) fn class_type(class_type: Option<u64>, qos_level: Option<u64>) -> Result<ClassType, Problem> {
    let number = match (class_type, qos_level) {
        (Some(number), None) => at_most("class_type", number, 7)?,
        (None, Some(level)) => at_most("qos_level", level, QOS_LEVEL_MAX)?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(impossible("class_type", "give either class_type or qos_level"));
        }
    };
    ClassType::new(number).ok_or_else(|| out_of_range("class_type", u64::from(number), 0, 7))
}

/// A bandwidth that the books can hold.
pub(super) fn bandwidth(field: &'static str, bps: u64) -> Result<Bandwidth, Problem> {
    Bandwidth::from_bps(bps).ok_or_else(|| out_of_range(field, bps, 1, Bandwidth::MAX.as_bps()))
}

/// A priority, 0 (best) to 7.
pub(super) fn priority(field: &'static str, number: Option<u64>) -> Result<Option<Priority>, Problem> {
    let Some(number) = number else { return Ok(None) };
    Ok(Priority::new(at_most(field, number, 7)?))
}

fn at_most(field: &'static str, value: u64, max: u8) -> Result<u8, Problem> {
    u8::try_from(value).ok().filter(|value| *value <= max).ok_or_else(|| out_of_range(field, value, 0, u64::from(max)))
}

fn out_of_range(field: &'static str, value: u64, min: u64, max: u64) -> Problem {
    impossible(field, format!("{field} is {value}, not within {min} to {max}"))
}

fn impossible(field: &'static str, detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", field)
}
