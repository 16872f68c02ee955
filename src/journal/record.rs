//! The stored form of what happened, in names: an event says the same thing whatever the topology has become since.
//! One [`Record`] is one row's body, and what the API shows as an event's data. Absent and empty parts are left out.

use serde::{Deserialize, Serialize};

use super::scalars::{DriverWord, EndWord, MetricWord, Prefix, StateWord, StoredAllocationId, StoredName};
use super::stored_model::ModelRecord;
use super::stored_topology::{LinkRecord, TopologyRecord};

/// What happened, as it is stored.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventRecord {
    /// A topology was uploaded, or a new revision of it.
    TopologyPut {
        /// Its name.
        topology: StoredName,
        /// What it is now.
        content: TopologyRecord,
        /// Who had to leave their path; paths are in the new revision.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
    },
    /// A topology was forgotten.
    TopologyDeleted {
        /// Its name.
        topology: StoredName,
    },
    /// Another bandwidth model is in force.
    ModelSet {
        /// For which topology.
        topology: StoredName,
        /// The model.
        model: Box<ModelRecord>,
        /// Who had to leave their path.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
    },
    /// Links changed.
    LinkChanged {
        /// Of which topology.
        topology: StoredName,
        /// The links as they are now.
        links: Vec<LinkRecord>,
        /// Who had to leave their path.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
        /// Who should have left but has nowhere to go.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stranded: Vec<StoredAllocationId>,
    },
    /// A request was admitted.
    AllocationAdmitted {
        /// What it became.
        allocation: Box<AllocationRecord>,
        /// Who had to leave their path for it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
    },
    /// A request was refused for lack of a path or of bandwidth.
    AllocationDenied {
        /// What was asked.
        demand: Box<DemandRecord>,
        /// Why not.
        denial: DenialRecord,
    },
    /// An allocation has another bandwidth, other constraints or another path.
    AllocationResized {
        /// As it is now.
        allocation: Box<AllocationRecord>,
        /// Who had to leave their path for it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
    },
    /// An allocation was let go.
    AllocationReleased {
        /// Which.
        id: StoredAllocationId,
    },
    /// Allocations came to their time.
    AllocationsExpired {
        /// Which, in order.
        ids: Vec<StoredAllocationId>,
    },
    /// A topology's switches are reached through this controller.
    ControllerPut {
        /// As it is now.
        controller: ControllerRecord,
    },
    /// A controller is let be.
    ControllerDeleted {
        /// Its name.
        controller: StoredName,
    },
}

/// A controller.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct ControllerRecord {
    /// Its name.
    pub name: StoredName,
    /// Which dialect it speaks.
    pub driver: DriverWord,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whose switches it has.
    pub topology: StoredName,
}

/// An allocation, with nodes and links by name.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct AllocationRecord {
    /// The sequence number of its admission.
    pub id: StoredAllocationId,
    /// The topology it is in.
    pub topology: StoredName,
    /// The node where traffic enters.
    pub ingress: StoredName,
    /// The node where traffic leaves.
    pub egress: StoredName,
    /// 0 to 7.
    pub class_type: u8,
    /// 0 to 7.
    pub setup_priority: u8,
    /// 0 to 7.
    pub hold_priority: u8,
    /// What is reserved on every link of the path.
    pub bandwidth_bps: u64,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregator: Option<StoredName>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    /// What its path must obey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Box<ConstraintsRecord>>,
    /// Which packets belong to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Box<FlowRecord>>,
    /// The links from ingress to egress.
    pub path: Vec<StoredName>,
    /// Where it is in its life; left out when it is in force.
    #[serde(default, skip_serializing_if = "is_active")]
    pub state: StateWord,
    /// When it was admitted.
    pub created_at_ms: u64,
    /// When it last changed.
    pub updated_at_ms: u64,
}

/// A request with its names.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct DemandRecord {
    /// The allocation to be changed, if the request was for a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<StoredAllocationId>,
    /// In which topology.
    pub topology: StoredName,
    /// The node where traffic enters.
    pub ingress: StoredName,
    /// The node where traffic leaves.
    pub egress: StoredName,
    /// 0 to 7.
    pub class_type: u8,
    /// 0 to 7.
    pub setup_priority: u8,
    /// 0 to 7.
    pub hold_priority: u8,
    /// How much.
    pub bandwidth_bps: u64,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregator: Option<StoredName>,
    /// When it would end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    /// What the path must obey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Box<ConstraintsRecord>>,
    /// Which packets it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Box<FlowRecord>>,
}

/// What a path must obey.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct ConstraintsRecord {
    /// What to be short in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricWord>,
    /// The most links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hops: Option<u32>,
    /// The most one-way delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay_us: Option<u64>,
    /// To be passed, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<HopRecord>,
    /// To be avoided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<HopRecord>,
    /// Every link has one of these colours.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub include_any: u32,
    /// No link has any of these colours.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exclude_any: u32,
    /// The explicit route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<RouteHopRecord>,
}

/// A node or a link.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum HopRecord {
    /// A node.
    Node(StoredName),
    /// A link.
    Link(StoredName),
}

/// One hop of an explicit route.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct RouteHopRecord {
    /// Which.
    pub hop: HopRecord,
    /// Whether it comes right after the one before.
    pub strict: bool,
}

/// Which packets.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct FlowRecord {
    /// The port at the ingress switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_port: Option<u32>,
    /// Source network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_src: Option<Prefix>,
    /// Destination network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_dst: Option<Prefix>,
    /// IP protocol number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_proto: Option<u8>,
    /// TCP or UDP destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l4_dst: Option<u16>,
    /// The host port at the egress switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_port: Option<u32>,
}

/// Somebody who had to leave their path.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct DisplacedRecord {
    /// Who.
    pub id: StoredAllocationId,
    /// What made them leave.
    pub cause: CauseWord,
    /// What became of them.
    pub fate: FateWord,
    /// Their new path, if they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<StoredName>>,
}

/// What made somebody leave their path.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum CauseWord {
    /// A higher class or better priority.
    Preempted,
    /// A lower class took back what it had lent.
    Devolved,
    /// A link that broke, is drained, shrank or is gone.
    Link,
}

/// What became of somebody who left.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum FateWord {
    /// They go another way.
    Rerouted,
    /// They are over.
    #[serde(untagged)]
    Ended(EndWord),
}

/// Why there is no path.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum DenialRecord {
    /// There are paths, but none has the bandwidth.
    InsufficientBandwidth {
        /// The links that lack it on the path that comes nearest.
        binding: Vec<BindingRecord>,
        /// The most that would be admitted.
        largest_admissible_bps: u64,
    },
    /// No links lead there.
    Disconnected,
    /// They do, but are down or in maintenance.
    LinksDown,
    /// What is excluded cuts it off.
    Excluded,
    /// The administrative groups cut it off.
    AdminGroup,
    /// What is to be passed cannot be.
    Route,
    /// It takes more links.
    MaxHops {
        /// The least it takes.
        least_hops: u32,
    },
    /// It takes longer.
    MaxDelay {
        /// The least it takes.
        least_delay_us: u64,
    },
    /// The search was given up.
    SearchLimit,
    /// The path costs more than the policy pays.
    TooCongested {
        /// What it costs, in percent of an empty shortest path.
        cost_percent: u64,
        /// What the policy pays.
        limit_percent: u32,
    },
}

/// A link that lacks bandwidth.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct BindingRecord {
    /// Which.
    pub link: StoredName,
    /// What the class could have there.
    pub available_bps: u64,
}

fn is_active(state: &StateWord) -> bool {
    *state == StateWord::Active
}

fn is_zero(mask: &u32) -> bool {
    *mask == 0
}
