//! Bandwidth requests and allocations.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::de::{Deserializer, Error, Unexpected};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::problem::Problem;
use super::super::problem_catalogue;
use super::constraints::{ConstraintsRequest, ConstraintsView};
use super::effects::Effects;
use super::{at_most, out_of_range};
use crate::app::record::{AllocationRecord, FlowRecord};
use crate::app::scalars::{EndWord, StateWord, StoredAllocationId, StoredName};
use crate::app::{Condition, Conditions, Past};
use api::instant::Instant;
use kernel::allocation::{Flow, Ipv4Prefix, LspAttributes};
use kernel::class::{ClassType, Priority};
use kernel::command::{Command, Request};
use kernel::id::{AllocationId, Sequence};
use kernel::units::{Bandwidth, Millis};

/// The QoS levels of PSIoT-Orch are the class types of this and lower numbers.
const QOS_LEVEL_MAX: u8 = 2;

/// A bandwidth request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllocationRequest {
    /// In which topology; absent: in the only one, or the only one that has both nodes.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    topology: Option<StoredName>,
    /// The node where traffic enters.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    ingress: StoredName,
    /// The node where traffic leaves.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    egress: StoredName,
    /// The class type, 0 (lowest) to 7. Either this or `qos_level`.
    #[schema(maximum = 7)]
    class_type: Option<u64>,
    /// The QoS level: 0 insensitive, 1 sensitive, 2 priority; the class type of the same number.
    #[schema(maximum = 2)]
    qos_level: Option<u64>,
    /// How much.
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    bandwidth_bps: u64,
    /// 0 (best) to 7: whom it may preempt. Absent: the worst that the bandwidth model has for the class.
    #[schema(maximum = 7)]
    setup_priority: Option<u64>,
    /// 0 (best) to 7: who may preempt it. Not worse than `setup_priority`, which it is if absent.
    #[schema(maximum = 7)]
    hold_priority: Option<u64>,
    /// Who asks.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    aggregator: Option<StoredName>,
    /// When it is to end by itself; in the future.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Instant>,
    /// What the path has to obey.
    constraints: Option<ConstraintsRequest>,
    /// Which packets it is for.
    flow: Option<FlowRequest>,
}

/// Which packets an allocation is for. Absent parts match anything.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowRequest {
    /// The port at the ingress switch.
    in_port: Option<u32>,
    /// The source network, such as `10.0.0.0/8`, or one address.
    #[schema(value_type = Option<String>, example = "10.0.0.0/8")]
    ipv4_src: Option<Cidr>,
    /// The destination network, or one address.
    #[schema(value_type = Option<String>, example = "10.1.2.3")]
    ipv4_dst: Option<Cidr>,
    /// The IP protocol number.
    #[schema(maximum = 255)]
    ip_proto: Option<u8>,
    /// The TCP or UDP destination port.
    #[schema(maximum = 65_535)]
    l4_dst: Option<u16>,
    /// The host port at the egress switch; needed only where that has several.
    out_port: Option<u32>,
}

/// A network in CIDR text, or an address, which is a network of one.
struct Cidr(Ipv4Prefix);

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (address, length) = text.split_once('/').unwrap_or((&text, "32"));
        let is_plain = length.bytes().all(|byte| byte.is_ascii_digit());
        let length: Option<u8> = length.parse().ok().filter(|length| is_plain && *length <= 32);
        match (address.parse::<Ipv4Addr>(), length) {
            (Ok(address), Some(length)) => Ok(Self(Ipv4Prefix { address, length })),
            _ => Err(D::Error::invalid_value(Unexpected::Str(&text), &"an IPv4 network such as 10.0.0.0/8")),
        }
    }
}

impl AllocationRequest {
    /// In the kernel's words.
    pub(crate) fn command(self) -> Result<Command, Problem> {
        let class_type = class_type(self.class_type, self.qos_level)?;
        Ok(Command::Allocate(Box::new(Request {
            topology: self.topology.map(|key| key.0),
            ingress: self.ingress.0,
            egress: self.egress.0,
            class_type,
            bandwidth: bandwidth("bandwidth_bps", self.bandwidth_bps)?,
            setup_priority: priority("setup_priority", self.setup_priority)?,
            hold_priority: priority("hold_priority", self.hold_priority)?,
            constraints: self.constraints.unwrap_or_default().named()?,
            attributes: LspAttributes {
                aggregator: self.aggregator.map(|key| key.0),
                expires_at: self.expires_at.map(|at| Millis(at.0)),
                flow: self.flow.map(|flow| Box::new(flow.named())),
            },
        })))
    }
}

impl FlowRequest {
    fn named(self) -> Flow {
        Flow {
            in_port: self.in_port,
            ipv4_src: self.ipv4_src.map(|network| network.0),
            ipv4_dst: self.ipv4_dst.map(|network| network.0),
            ip_proto: self.ip_proto,
            l4_dst: self.l4_dst,
            out_port: self.out_port,
        }
    }
}

/// The class of a request: by class type or by QoS level, not by both.
pub(crate) fn class_type(class_type: Option<u64>, qos_level: Option<u64>) -> Result<ClassType, Problem> {
    let number = match (class_type, qos_level) {
        (Some(number), None) => at_most("class_type", number, 7)?,
        (None, Some(level)) => at_most("qos_level", level, QOS_LEVEL_MAX)?,
        (Some(_), Some(_)) | (None, None) => {
            let detail = "give either class_type or qos_level";
            return Err(Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", "class_type"));
        }
    };
    ClassType::new(number).ok_or_else(|| out_of_range("class_type", u64::from(number), 0, 7))
}

/// A bandwidth that the books can hold.
pub(crate) fn bandwidth(field: &'static str, bps: u64) -> Result<Bandwidth, Problem> {
    Bandwidth::from_bps(bps).ok_or_else(|| out_of_range(field, bps, 1, Bandwidth::MAX.as_bps()))
}

/// A priority.
pub(crate) fn priority(field: &'static str, number: Option<u64>) -> Result<Option<Priority>, Problem> {
    let Some(number) = number else { return Ok(None) };
    Ok(Priority::new(at_most(field, number, 7)?))
}

/// What is to be changed about an allocation; at least one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub(crate) struct ResizeRequest {
    /// Another bandwidth.
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    bandwidth_bps: Option<u64>,
    /// Other constraints, in place of all that it had; `{}` takes them away.
    constraints: Option<ConstraintsRequest>,
}

impl ResizeRequest {
    /// In the kernel's words.
    pub(crate) fn command(self, id: AllocationId) -> Result<Command, Problem> {
        if self.bandwidth_bps.is_none() && self.constraints.is_none() {
            let detail = "give bandwidth_bps, constraints, or both";
            return Err(Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", "bandwidth_bps"));
        }
        Ok(Command::Resize {
            id,
            bandwidth: self.bandwidth_bps.map(|bps| bandwidth("bandwidth_bps", bps)).transpose()?,
            constraints: self.constraints.map(|constraints| constraints.named().map(Box::new)).transpose()?,
        })
    }
}

/// An allocation.
#[derive(Serialize, ToSchema)]
#[schema(as = Allocation)]
pub(crate) struct AllocationView<'a> {
    /// What to call it; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "42")]
    id: Option<StoredAllocationId>,
    /// The topology it is in.
    #[schema(value_type = String)]
    topology: &'a StoredName,
    /// The node where traffic enters.
    #[schema(value_type = String)]
    ingress: &'a StoredName,
    /// The node where traffic leaves.
    #[schema(value_type = String)]
    egress: &'a StoredName,
    /// The class type.
    #[schema(maximum = 7)]
    class_type: u8,
    /// The QoS level, where the class type is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2, nullable = false)]
    qos_level: Option<u8>,
    /// Whom it may preempt: 0 (best) to 7.
    #[schema(maximum = 7)]
    setup_priority: u8,
    /// Who may preempt it: 0 (best) to 7.
    #[schema(maximum = 7)]
    hold_priority: u8,
    /// What is reserved on every link of the path.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    bandwidth_bps: u64,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    aggregator: Option<&'a StoredName>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    expires_at: Option<Instant>,
    /// What its path obeys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ConstraintsView<'static>, required = false)]
    constraints: Option<ConstraintsView<'a>>,
    /// Which packets it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = FlowView, required = false)]
    flow: Option<&'a FlowRecord>,
    /// The explicit route: its links, from ingress to egress.
    #[schema(value_type = Vec<String>)]
    path: &'a [StoredName],
    /// Where it is in its life.
    #[schema(value_type = AllocationState)]
    state: StateWord,
    /// Why it is not in force, where it lives but is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    reason: Option<Arc<str>>,
    /// When it was admitted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Instant,
    /// When it ended, if it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    ended_at: Option<Instant>,
}

/// Where an allocation is in its life: the last five are ends.
#[derive(Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AllocationState {
    Installing,
    Active,
    Rerouting,
    Degraded,
    Released,
    Expired,
    Preempted,
    Devolved,
    Failed,
}

impl From<AllocationState> for StateWord {
    fn from(state: AllocationState) -> Self {
        match state {
            AllocationState::Installing => Self::Installing,
            AllocationState::Active => Self::Active,
            AllocationState::Rerouting => Self::Rerouting,
            AllocationState::Degraded => Self::Degraded,
            AllocationState::Released => Self::Ended(EndWord::Released),
            AllocationState::Expired => Self::Ended(EndWord::Expired),
            AllocationState::Preempted => Self::Ended(EndWord::Preempted),
            AllocationState::Devolved => Self::Ended(EndWord::Devolved),
            AllocationState::Failed => Self::Ended(EndWord::Failed),
        }
    }
}

/// Which packets. What is absent matches anything.
#[derive(ToSchema)]
#[schema(as = Flow)]
#[expect(dead_code, reason = "stands for the stored form, in the OpenAPI document")]
struct FlowView {
    /// The port at the ingress switch.
    #[schema(nullable = false)]
    in_port: Option<u32>,
    /// The source network.
    #[schema(nullable = false)]
    ipv4_src: Option<String>,
    /// The destination network.
    #[schema(nullable = false)]
    ipv4_dst: Option<String>,
    /// The IP protocol number.
    #[schema(nullable = false)]
    ip_proto: Option<u8>,
    /// The TCP or UDP destination port.
    #[schema(nullable = false)]
    l4_dst: Option<u16>,
    /// The host port at the egress switch.
    #[schema(nullable = false)]
    out_port: Option<u32>,
}

impl<'a> AllocationView<'a> {
    /// As it is, or as it would be.
    pub(crate) fn of(record: &'a AllocationRecord) -> Self {
        Self {
            id: Some(record.id),
            topology: &record.topology,
            ingress: &record.ingress,
            egress: &record.egress,
            class_type: record.class_type,
            qos_level: Some(record.class_type).filter(|class| *class <= QOS_LEVEL_MAX),
            setup_priority: record.setup_priority,
            hold_priority: record.hold_priority,
            bandwidth_bps: record.bandwidth_bps,
            aggregator: record.aggregator.as_ref(),
            expires_at: record.expires_at_ms.map(instant),
            constraints: record.constraints.as_deref().map(ConstraintsView::of),
            flow: record.flow.as_deref(),
            path: &record.path,
            state: record.state,
            reason: None,
            created_at: instant(record.created_at_ms),
            updated_at: instant(record.updated_at_ms),
            ended_at: None,
        }
    }

    /// As it was when it ended.
    pub(crate) fn of_past(past: &'a Past) -> Self {
        let state = StateWord::Ended(past.cause.into());
        Self { state, ended_at: Some(Instant(past.ended_at.0)), ..Self::of(&past.allocation) }
    }

    /// As it stands with the switches.
    pub(crate) fn in_condition(self, condition: Condition) -> Self {
        Self { state: condition.state.into(), reason: condition.reason, ..self }
    }

    /// Without an id: nobody will ever be called so.
    pub(crate) fn nameless(self) -> Self {
        Self { id: None, ..self }
    }
}

fn instant(ms: u64) -> Instant {
    Instant(ms)
}

/// An allocation and what making or changing it did.
#[derive(Serialize, ToSchema)]
#[schema(as = AllocationOutcome)]
pub(crate) struct AllocationAnswer<'a> {
    #[serde(flatten)]
    pub(crate) allocation: AllocationView<'a>,
    #[serde(flatten)]
    pub(crate) effects: Effects<'a>,
    /// What to know besides.
    warnings: &'static [&'static str],
    /// The event that made it so; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sequence: Option<u64>,
    /// There, and true, if nothing of this happened.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    dry_run: bool,
}

impl<'a> AllocationAnswer<'a> {
    /// What happened.
    pub(crate) fn done(
        record: &'a AllocationRecord,
        effects: Effects<'a>,
        sequence: Sequence,
        conditions: &Conditions,
    ) -> Self {
        let warnings = warnings(record, conditions);
        let allocation = AllocationView::of(record).in_condition(conditions.of_record(record));
        Self { allocation, effects, warnings, sequence: Some(sequence.0), dry_run: false }
    }

    /// Without an id: nobody will ever be called so.
    pub(crate) fn nameless(self) -> Self {
        Self { allocation: self.allocation.nameless(), ..self }
    }

    /// What would happen.
    pub(crate) fn tried(record: &'a AllocationRecord, effects: Effects<'a>, conditions: &Conditions) -> Self {
        let warnings = warnings(record, conditions);
        let allocation = AllocationView::of(record);
        Self { allocation, effects, warnings, sequence: None, dry_run: true }
    }
}

fn warnings(record: &AllocationRecord, conditions: &Conditions) -> &'static [&'static str] {
    match (&record.flow, conditions.is_controlled(&record.topology.0)) {
        (Some(_), false) => {
            &["the topology has no controller: the flow is kept with the allocation, and no switch gets a rule for it"]
        }
        (None, true) => &["the allocation names no flow: it is booked, and no switch gets a rule for it"],
        _ => &[],
    }
}
