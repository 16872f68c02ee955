//! Allocations: bandwidth requests, what became of them, and changes to them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auto_bandwidth::{AutoBandwidthDocument, AutoBandwidthStatusDocument};
use crate::bandwidth_model::RelocationDocument;
use crate::constraints::{ConstraintsDocument, ConstraintsRequest};
use crate::effects::Effects;
use crate::flow::{FlowDocument, FlowRequest};
use crate::instant::Instant;
use crate::protection::ProtectionDocument;
use crate::text;
use crate::words::words;

/// The highest QoS level of PSIoT-Orch; levels are the class types of the same numbers.
pub const QOS_LEVEL_MAX: u8 = 2;

/// A bandwidth request.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct AllocationRequest {
    /// The topology of the allocation; absent: the only topology, or the only one that has both nodes.
    #[serde(default, deserialize_with = "text::name_if_any", skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub topology: Option<String>,
    /// The node where traffic enters.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub ingress: String,
    /// The node where traffic leaves.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub egress: String,
    /// The class type, 0 (lowest) to 7. Either this or `qos_level`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 7)]
    pub class_type: Option<u64>,
    /// The QoS level: 0 insensitive, 1 sensitive, 2 priority; the class type of the same number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2)]
    pub qos_level: Option<u64>,
    /// The bandwidth to be reserved on every link of the path, in bit/s.
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    pub bandwidth_bps: u64,
    /// 0 (best) to 7: allocations with a worse hold priority may be preempted for this one. Absent: the worst that the
    /// bandwidth model has for the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 7)]
    pub setup_priority: Option<u64>,
    /// 0 (best) to 7: only demands with a better setup priority may preempt this allocation. Not worse than
    /// `setup_priority`, which it is if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 7)]
    pub hold_priority: Option<u64>,
    /// The aggregator that asks.
    #[serde(default, deserialize_with = "text::name_if_any", skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub aggregator: Option<String>,
    /// What people call the allocation. An annotation has at most 255 bytes and no control characters; white space around it
    /// is dropped, and an empty one is none. No decision looks at annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255, example = "ACME east")]
    pub name: Option<String>,
    /// Whose traffic it is for, as an annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255, example = "ACME")]
    pub customer: Option<String>,
    /// Any other annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255, example = "ticket 4711")]
    pub note: Option<String>,
    /// When the allocation starts, in the future: it is booked now and in force from then on. Absent: at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub starts_at: Option<Instant>,
    /// How long the allocation lasts from its start, in milliseconds, in the place of `expires_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub duration_ms: Option<u64>,
    /// When the allocation expires, in the future and after its start; absent: never. `ends_at` is read as this, too.
    #[serde(alias = "ends_at", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Instant>,
    /// The tenant whom it is for, and whose quotas it counts against; absent: the token's, or none.
    #[serde(default, deserialize_with = "text::name_if_any", skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
    /// How long the allocation is held, in milliseconds: its bandwidth is reserved and no switch gets a rule, until it is
    /// committed or the hold lapses by itself. Absent: it is in force at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86_400_000)]
    pub hold_ms: Option<u64>,
    /// What the path has to obey, and the backup path with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<ConstraintsRequest>,
    /// A second path against the failure of the first. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protection: Option<ProtectionDocument>,
    /// How the bandwidth follows the traffic that is measured. Absent: it stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_bandwidth: Option<AutoBandwidthDocument>,
    /// Whether the bandwidth is reserved in both directions, on the same links back: admitted, changed, moved and released as
    /// one. A link without another direction has no room for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub bidirectional: bool,
    /// What may move before the request is denied; absent: as the topology's bandwidth model says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relocation: Option<RelocationDocument>,
    /// Which packets the allocation is for. Without it, bandwidth is reserved and no switch gets a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowRequest>,
}

/// A change to an allocation; at least one member.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug, Default)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub struct AllocationUpdate {
    /// The new bandwidth, in bit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    pub bandwidth_bps: Option<u64>,
    /// The new constraints, in place of all that the allocation had; `{}` takes them away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<ConstraintsRequest>,
    /// Another start, in the future, of an allocation that has not started; null: at once. The end stays where it is, unless it
    /// is given too.
    #[serde(default, deserialize_with = "text::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub starts_at: Option<Option<Instant>>,
    /// How long the allocation lasts from its start, or from now if it has started, in milliseconds, in the place of
    /// `expires_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub duration_ms: Option<u64>,
    /// When the allocation expires from now on, in the future and after its start; null: never. `ends_at` is read as this, too.
    #[serde(default, alias = "ends_at", deserialize_with = "text::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Option<Instant>>,
    /// Another protection, null: none. An allocation that has lost its backup path, or never had one, gets one now as a new
    /// request would, beside its working path where that can stay.
    #[serde(default, deserialize_with = "text::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ProtectionDocument>)]
    pub protection: Option<Option<ProtectionDocument>>,
    /// How the bandwidth follows the traffic from now on, in place of all that was set; null: it stays as it is.
    #[serde(default, deserialize_with = "text::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AutoBandwidthDocument>)]
    pub auto_bandwidth: Option<Option<AutoBandwidthDocument>>,
    /// What people call the allocation from now on; null clears it. Other annotations alone leave the path and the
    /// reservation as they are.
    #[serde(default, deserialize_with = "text::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 255, example = "ACME east")]
    pub name: Option<Option<String>>,
    /// Whose traffic it is for from now on; null clears it.
    #[serde(default, deserialize_with = "text::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 255, example = "ACME")]
    pub customer: Option<Option<String>>,
    /// Another annotation in the place of the one before; null clears it.
    #[serde(default, deserialize_with = "text::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 255, example = "ticket 4711")]
    pub note: Option<Option<String>>,
}

/// What was asked for, and is reserved while the allocation lives.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = Demand)]
pub struct AllocationDemand {
    /// The topology that the allocation is in.
    pub topology: String,
    /// The node where traffic enters.
    pub ingress: String,
    /// The node where traffic leaves.
    pub egress: String,
    /// The class type, 0 (lowest) to 7.
    #[schema(maximum = 7)]
    pub class_type: u8,
    /// The QoS level, where the class type is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2, nullable = false)]
    pub qos_level: Option<u8>,
    /// 0 (best) to 7: allocations with a worse hold priority may be preempted for this one.
    #[schema(maximum = 7)]
    pub setup_priority: u8,
    /// 0 (best) to 7: only demands with a better setup priority may preempt this allocation.
    #[schema(maximum = 7)]
    pub hold_priority: u8,
    /// What is reserved on every link of the path, in bit/s.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub bandwidth_bps: u64,
    /// The aggregator that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub aggregator: Option<String>,
    /// Present and true if the QoS scheduler made the allocation for the aggregator, and changes and releases it by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub by_scheduler: bool,
    /// What people call the allocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ACME east")]
    pub name: Option<String>,
    /// Whose traffic it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ACME")]
    pub customer: Option<String>,
    /// What else people wrote on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ticket 4711")]
    pub note: Option<String>,
    /// When the allocation starts, until it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub starts_at: Option<Instant>,
    /// When the allocation expires; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub expires_at: Option<Instant>,
    /// The same of a booking, which is one that has a start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub ends_at: Option<Instant>,
    /// The tenant whom it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant: Option<String>,
    /// When the hold lapses, while the allocation is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub held_until: Option<Instant>,
    /// What the path obeys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ConstraintsDocument, required = false)]
    pub constraints: Option<ConstraintsDocument>,
    /// The second path that it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ProtectionDocument, required = false)]
    pub protection: Option<ProtectionDocument>,
    /// How the bandwidth follows the traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = AutoBandwidthDocument, required = false)]
    pub auto_bandwidth: Option<AutoBandwidthDocument>,
    /// Present and true if the bandwidth is reserved on the other directions of the links, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub bidirectional: bool,
    /// Which packets the allocation is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = FlowDocument, required = false)]
    pub flow: Option<FlowDocument>,
}

/// An allocation.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = Allocation)]
pub struct AllocationDocument {
    /// The id of the allocation; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "42")]
    pub id: Option<String>,
    /// What was asked for.
    #[serde(flatten)]
    pub demand: AllocationDemand,
    /// The explicit route: links from ingress to egress. Of a protected allocation, the working path.
    pub path: Vec<String>,
    /// The backup path; absent: there is none, which is worth knowing where `protection` asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub backup_path: Option<Vec<String>>,
    /// The path to which traffic returns when it is whole again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reverts_to: Option<Vec<String>>,
    /// Where the allocation is in its life.
    pub state: AllocationState,
    /// Why the allocation is not in force, while it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// What was measured for `auto_bandwidth`, while the allocation lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = AutoBandwidthStatusDocument, required = false)]
    pub auto_bandwidth_status: Option<AutoBandwidthStatusDocument>,
    /// When a booking will preempt or devolve the allocation, as far as that is foreseen; absent: not within a week. It is known
    /// within seconds of what leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub preempted_at: Option<Instant>,
    /// The id of that booking, where the caller may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub preempted_by: Option<String>,
    /// When the allocation was admitted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Instant,
    /// When the allocation last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Instant,
    /// When the allocation came to its end, if it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub ended_at: Option<Instant>,
}

words! {
    /// Where an allocation is in its life: the last five are ends.
    AllocationState {
        /// Reserved for a while, to be committed or to lapse.
        Held "held"
        /// Booked for later: `starts_at` says from when on.
        Scheduled "scheduled"
        /// Admitted; rules are on their way to the switches.
        Installing "installing"
        /// In force.
        Active "active"
        /// In force on the old path while the new one is installed.
        Rerouting "rerouting"
        /// Reserved, but a controller does not hold the rules.
        Degraded "degraded"
        /// Over: released by its owner.
        Released "released"
        /// Over: `expires_at` came.
        Expired "expired"
        /// Over: a higher class or better priority took its bandwidth.
        Preempted "preempted"
        /// Over: a lower class took back the bandwidth that it had lent.
        Devolved "devolved"
        /// Over: its path broke and there was no other.
        Failed "failed"
    }
}

/// An allocation, and what admitting or changing it did.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct AllocationOutcome {
    /// The allocation.
    #[serde(flatten)]
    pub allocation: AllocationDocument,
    /// What happened to other allocations.
    #[serde(flatten)]
    pub effects: Effects,
    /// What the requester should know besides.
    pub warnings: Vec<String>,
    /// The sequence number of the event; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sequence: Option<u64>,
    /// Present and true if nothing of this happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub dry_run: bool,
}

/// What a release would do.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct ReleasePreview {
    /// The id of the allocation that would be released.
    pub id: String,
    /// The state that the allocation would have.
    #[schema(value_type = String, example = "released")]
    pub state: AllocationState,
    /// True: nothing of this happened.
    pub dry_run: bool,
}

/// A page of allocations.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct AllocationPage {
    /// The oldest first.
    pub items: Vec<AllocationDocument>,
    /// The cursor of the next page, if there may be one. A page may be shorter than asked for and still have a next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}
