//! Allocations as documents.

use super::auto_bandwidth::{auto_bandwidth, auto_bandwidth_status};
use super::{annotation, effects, instant};
use crate::app::{Condition, Conditions, Fact, LspState, Past};
use api::allocation::{AllocationDemand, AllocationDocument, AllocationOutcome, AllocationState, QOS_LEVEL_MAX};
use api::constraints::{ConstraintsDocument, ResolvedHop, ResolvedRouteHop};
use api::flow::{FlowDocument, Ipv4Network, Ipv6Network};
use api::path::DisjointName;
use api::protection::{ProtectionDocument, ProtectionKind};
use formats::bandwidth_model::metric_name;
use kernel::Names;
use kernel::allocation::{Allocation, Demand, EndCause, Flow, Ipv4Prefix, Ipv6Prefix, Owner, Protection};
use kernel::annotation::AnnotationField;
use kernel::event::Displaced;
use kernel::path::{Constraints, Disjointness, Hop, RouteHop};

/// An allocation as it is with the switches.
pub(in crate::http) fn allocation(allocation: &Allocation, names: &Names, condition: Condition) -> AllocationDocument {
    AllocationDocument {
        state: living_state(allocation, condition.state),
        reason: condition.reason.map(|reason| reason.to_string()),
        auto_bandwidth_status: condition.traffic.as_ref().map(auto_bandwidth_status),
        preempted_at: condition.preemption.map(|notice| instant(notice.at)),
        preempted_by: condition.preemption.map(|notice| notice.by.to_string()),
        ..decided_allocation(allocation, names)
    }
}

/// An allocation as it was when it ended.
pub(in crate::http) fn past_allocation(past: &Past) -> AllocationDocument {
    AllocationDocument {
        state: end_state(past.cause),
        ended_at: Some(instant(past.ended_at)),
        ..decided_allocation(&past.allocation, &past.names)
    }
}

/// What admitting or changing an allocation did.
pub(in crate::http) fn outcome(
    fact: &Fact,
    changed: &Allocation,
    displaced: &[Displaced],
    conditions: &Conditions,
) -> AllocationOutcome {
    AllocationOutcome {
        allocation: allocation(changed, &fact.names, conditions.of(changed)),
        effects: effects(displaced, &fact.names),
        warnings: warnings(changed, conditions),
        sequence: Some(fact.sequence.0),
        dry_run: false,
    }
}

/// What admitting an allocation would do: nothing ever has the id that it got while it was tried.
pub(in crate::http) fn planned_admission(
    fact: &Fact,
    admitted: &Allocation,
    displaced: &[Displaced],
    conditions: &Conditions,
) -> AllocationOutcome {
    let planned = planned_outcome(fact, admitted, displaced, conditions);
    AllocationOutcome { allocation: AllocationDocument { id: None, ..planned.allocation }, ..planned }
}

/// What changing an allocation would do.
pub(in crate::http) fn planned_outcome(
    fact: &Fact,
    changed: &Allocation,
    displaced: &[Displaced],
    conditions: &Conditions,
) -> AllocationOutcome {
    AllocationOutcome {
        allocation: decided_allocation(changed, &fact.names),
        effects: effects(displaced, &fact.names),
        warnings: warnings(changed, conditions),
        sequence: None,
        dry_run: true,
    }
}

fn warnings(allocation: &Allocation, conditions: &Conditions) -> Vec<String> {
    let demand = &allocation.demand;
    let of_flow = match (&demand.attributes.flow, conditions.is_controlled(&demand.topology)) {
        (Some(_), false) => Some(
            "the topology has no controller: the flow is kept with the allocation, and no switch gets a rule for it",
        ),
        (None, true) => Some("the allocation names no flow: its bandwidth is reserved, and no switch gets a rule"),
        _ => None,
    };
    let of_protection = allocation
        .is_unprotected()
        .then_some("the allocation is unprotected: no backup path has the bandwidth; it gets one when one can be had");
    let is_shared = |protection: Option<Protection>| protection.is_some_and(|asked| asked.is_shared);
    let attributes = &allocation.demand.attributes;
    let of_sharing = (is_shared(attributes.protection) && !is_shared(attributes.booked_protection())).then_some(
        "the allocation has a start or an end: as long as it has, the bandwidth of its backup path is its own and not shared",
    );
    let is_measured = conditions.is_controlled(&demand.topology) && attributes.flow.is_some();
    let of_measurement = (attributes.auto_bandwidth.is_some() && !is_measured).then_some(
        "auto_bandwidth adjusts nothing, since nothing is measured: that takes a flow, and a controller of the topology",
    );
    of_flow.into_iter().chain(of_protection).chain(of_sharing).chain(of_measurement).map(str::to_owned).collect()
}

/// An allocation as it is without what the switches and its end have to say.
fn decided_allocation(allocation: &Allocation, names: &Names) -> AllocationDocument {
    AllocationDocument {
        id: Some(allocation.id.to_string()),
        demand: demand(&allocation.demand, names),
        path: super::path(names, &allocation.path),
        backup_path: allocation.backup().map(|path| super::path(names, path)),
        reverts_to: allocation.reverts_to().map(|path| super::path(names, path)),
        state: living_state(allocation, LspState::Active),
        reason: None,
        auto_bandwidth_status: None,
        preempted_at: None,
        preempted_by: None,
        created_at: instant(allocation.created_at),
        updated_at: instant(allocation.updated_at),
        ended_at: None,
    }
}

/// What was asked for, whatever became of it.
pub(super) fn demand(demand: &Demand, names: &Names) -> AllocationDemand {
    let attributes = &demand.attributes;
    let class_type = demand.class_type.number();
    AllocationDemand {
        topology: demand.topology.to_string(),
        ingress: super::node(names, demand.ingress),
        egress: super::node(names, demand.egress),
        class_type,
        qos_level: Some(class_type).filter(|class| *class <= QOS_LEVEL_MAX),
        setup_priority: demand.setup_priority.number(),
        hold_priority: demand.hold_priority.number(),
        bandwidth_bps: demand.bandwidth.as_bps(),
        aggregator: attributes.aggregator.as_ref().map(ToString::to_string),
        by_scheduler: attributes.owner == Owner::Scheduler,
        name: annotation(&attributes.annotations, AnnotationField::Name),
        customer: annotation(&attributes.annotations, AnnotationField::Customer),
        note: annotation(&attributes.annotations, AnnotationField::Note),
        starts_at: attributes.starts_at.map(instant),
        expires_at: attributes.expires_at.map(instant),
        ends_at: attributes.starts_at.and(attributes.expires_at).map(instant),
        tenant: attributes.tenant.as_ref().map(ToString::to_string),
        held_until: attributes.held_until.map(instant),
        constraints: demand.constraints.as_deref().map(|asked| constraints(asked, names)),
        protection: attributes.protection.map(protection),
        auto_bandwidth: attributes.auto_bandwidth.as_deref().map(auto_bandwidth),
        bidirectional: attributes.is_bidirectional,
        flow: attributes.flow.as_deref().map(flow),
    }
}

/// Where a living allocation is, as far as its hold, its start and the switches say.
pub(in crate::http) fn living_state(allocation: &Allocation, condition: LspState) -> AllocationState {
    match (allocation.is_held(), allocation.is_scheduled()) {
        (true, _) => AllocationState::Held,
        (false, true) => AllocationState::Scheduled,
        (false, false) => state(condition),
    }
}

/// How far the switches hold a living allocation.
pub(in crate::http) fn state(state: LspState) -> AllocationState {
    match state {
        LspState::Installing => AllocationState::Installing,
        LspState::Active => AllocationState::Active,
        LspState::Rerouting => AllocationState::Rerouting,
        LspState::Degraded => AllocationState::Degraded,
    }
}

/// The state of an allocation that is over.
pub(in crate::http) fn end_state(cause: EndCause) -> AllocationState {
    match cause {
        EndCause::Released => AllocationState::Released,
        EndCause::Expired => AllocationState::Expired,
        EndCause::Preempted => AllocationState::Preempted,
        EndCause::Devolved => AllocationState::Devolved,
        EndCause::Failed => AllocationState::Failed,
    }
}

fn constraints(constraints: &Constraints, names: &Names) -> ConstraintsDocument {
    let hop = |hop: &Hop| match *hop {
        Hop::Node(node) => ResolvedHop::Node(super::node(names, node)),
        Hop::Link(link) => ResolvedHop::Link(super::link_name(names, link)),
    };
    let route_hop = |step: &RouteHop| {
        let (node, link) = match step.hop {
            Hop::Node(node) => (Some(super::node(names, node)), None),
            Hop::Link(link) => (None, Some(super::link_name(names, link))),
        };
        ResolvedRouteHop { node, link, strict: step.strict }
    };
    ConstraintsDocument {
        path_metric: constraints.metric.map(metric_name),
        max_hops: constraints.max_hops,
        max_delay_us: constraints.max_delay.map(|delay| delay.0),
        include: constraints.include.iter().map(hop).collect(),
        exclude: constraints.exclude.iter().map(hop).collect(),
        include_any: constraints.include_any,
        exclude_any: constraints.exclude_any,
        route: constraints.route.iter().map(route_hop).collect(),
    }
}

fn protection(asked: Protection) -> ProtectionDocument {
    ProtectionDocument {
        kind: if asked.is_shared { ProtectionKind::Shared } else { ProtectionKind::Dedicated },
        disjoint: disjoint_name(asked.disjointness),
        revertive: asked.is_revertive,
        best_effort: asked.is_best_effort,
    }
}

fn disjoint_name(disjointness: Disjointness) -> DisjointName {
    match disjointness {
        Disjointness::Link => DisjointName::Link,
        Disjointness::Srlg => DisjointName::Srlg,
        Disjointness::Node => DisjointName::Node,
    }
}

fn flow(flow: &Flow) -> FlowDocument {
    let network = |prefix: Ipv4Prefix| Ipv4Network { address: prefix.address, length: prefix.length };
    let network_v6 = |prefix: Ipv6Prefix| Ipv6Network { address: prefix.address, length: prefix.length };
    FlowDocument {
        in_port: flow.in_port,
        ipv4_src: flow.ipv4_src.map(network),
        ipv4_dst: flow.ipv4_dst.map(network),
        ipv6_src: flow.ipv6_src.map(network_v6),
        ipv6_dst: flow.ipv6_dst.map(network_v6),
        vlan: flow.vlan,
        dscp: flow.dscp,
        ip_proto: flow.ip_proto,
        l4_dst: flow.l4_dst,
        out_port: flow.out_port,
    }
}
