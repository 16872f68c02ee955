//! Allocations as documents.

use super::{effects, instant};
use crate::app::record::{AllocationRecord, ConstraintsRecord, DisplacedRecord, FlowRecord, HopRecord, RouteHopRecord};
use crate::app::scalars::{Prefix, StoredName};
use crate::app::{Condition, Conditions, Past};
use api::allocation::{AllocationDocument, AllocationOutcome, AllocationState, QOS_LEVEL_MAX};
use api::constraints::{ConstraintsDocument, ResolvedHop, ResolvedRouteHop};
use api::flow::{FlowDocument, Ipv4Network};
use api::instant::Instant;
use formats::bandwidth_model::metric_name;
use kernel::allocation::{EndCause, LspState};
use kernel::id::Sequence;

/// An allocation as it is with the switches.
pub(in crate::http) fn allocation(record: &AllocationRecord, condition: Condition) -> AllocationDocument {
    AllocationDocument {
        state: state(condition.state),
        reason: condition.reason.map(|reason| reason.to_string()),
        ..recorded_allocation(record)
    }
}

/// An allocation as it was when it ended.
pub(in crate::http) fn past_allocation(past: &Past) -> AllocationDocument {
    AllocationDocument {
        state: end_state(past.cause),
        ended_at: Some(instant(past.ended_at)),
        ..recorded_allocation(&past.allocation)
    }
}

/// What admitting or changing an allocation did.
pub(in crate::http) fn outcome(
    record: &AllocationRecord,
    displaced: &[DisplacedRecord],
    sequence: Sequence,
    conditions: &Conditions,
) -> AllocationOutcome {
    AllocationOutcome {
        allocation: allocation(record, conditions.of_record(record)),
        effects: effects(displaced),
        warnings: warnings(record, conditions),
        sequence: Some(sequence.0),
        dry_run: false,
    }
}

/// What admitting an allocation would do: nothing ever has the id that it got while it was tried.
pub(in crate::http) fn planned_admission(
    record: &AllocationRecord,
    displaced: &[DisplacedRecord],
    conditions: &Conditions,
) -> AllocationOutcome {
    let planned = planned_outcome(record, displaced, conditions);
    AllocationOutcome { allocation: AllocationDocument { id: None, ..planned.allocation }, ..planned }
}

/// What changing an allocation would do.
pub(in crate::http) fn planned_outcome(
    record: &AllocationRecord,
    displaced: &[DisplacedRecord],
    conditions: &Conditions,
) -> AllocationOutcome {
    AllocationOutcome {
        allocation: recorded_allocation(record),
        effects: effects(displaced),
        warnings: warnings(record, conditions),
        sequence: None,
        dry_run: true,
    }
}

fn warnings(record: &AllocationRecord, conditions: &Conditions) -> Vec<String> {
    let warning = match (&record.flow, conditions.is_controlled(&record.topology.0)) {
        (Some(_), false) => {
            "the topology has no controller: the flow is kept with the allocation, and no switch gets a rule for it"
        }
        (None, true) => "the allocation names no flow: its bandwidth is reserved, and no switch gets a rule",
        _ => return vec![],
    };
    vec![warning.to_owned()]
}

/// An allocation as an event has it.
pub(super) fn recorded_allocation(record: &AllocationRecord) -> AllocationDocument {
    AllocationDocument {
        id: Some(record.id.to_string()),
        topology: record.topology.to_string(),
        ingress: record.ingress.to_string(),
        egress: record.egress.to_string(),
        class_type: record.class_type,
        qos_level: Some(record.class_type).filter(|class| *class <= QOS_LEVEL_MAX),
        setup_priority: record.setup_priority,
        hold_priority: record.hold_priority,
        bandwidth_bps: record.bandwidth_bps,
        aggregator: record.aggregator.as_ref().map(ToString::to_string),
        expires_at: record.expires_at_ms.map(Instant),
        constraints: record.constraints.as_deref().map(constraints),
        flow: record.flow.as_deref().map(flow),
        path: record.path.iter().map(StoredName::to_string).collect(),
        state: state(record.state.into()),
        reason: None,
        created_at: Instant(record.created_at_ms),
        updated_at: Instant(record.updated_at_ms),
        ended_at: None,
    }
}

/// Where an allocation is in its life.
pub(in crate::http) fn state(state: LspState) -> AllocationState {
    match state {
        LspState::Installing => AllocationState::Installing,
        LspState::Active => AllocationState::Active,
        LspState::Rerouting => AllocationState::Rerouting,
        LspState::Degraded => AllocationState::Degraded,
        LspState::Ended(cause) => end_state(cause),
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

pub(super) fn constraints(record: &ConstraintsRecord) -> ConstraintsDocument {
    let hop = |hop: &HopRecord| match hop {
        HopRecord::Node(node) => ResolvedHop::Node(node.to_string()),
        HopRecord::Link(link) => ResolvedHop::Link(link.to_string()),
    };
    let route_hop = |step: &RouteHopRecord| {
        let (node, link) = match &step.hop {
            HopRecord::Node(node) => (Some(node.to_string()), None),
            HopRecord::Link(link) => (None, Some(link.to_string())),
        };
        ResolvedRouteHop { node, link, strict: step.strict }
    };
    ConstraintsDocument {
        path_metric: record.metric.map(|metric| metric_name(metric.into())),
        max_hops: record.max_hops,
        max_delay_us: record.max_delay_us,
        include: record.include.iter().map(hop).collect(),
        exclude: record.exclude.iter().map(hop).collect(),
        include_any: record.include_any,
        exclude_any: record.exclude_any,
        route: record.route.iter().map(route_hop).collect(),
    }
}

pub(super) fn flow(record: &FlowRecord) -> FlowDocument {
    let network = |Prefix(prefix): Prefix| Ipv4Network { address: prefix.address, length: prefix.length };
    FlowDocument {
        in_port: record.in_port,
        ipv4_src: record.ipv4_src.map(network),
        ipv4_dst: record.ipv4_dst.map(network),
        ip_proto: record.ip_proto,
        l4_dst: record.l4_dst,
        out_port: record.out_port,
    }
}
