//! What is sent and answered, as far as clients need it. Members that are not known are left alone, so that a newer
//! service can be spoken to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::problem::ProblemDocument;

/// A request for bandwidth.
#[derive(Serialize, Clone, PartialEq, Debug, Default)]
pub struct AllocationRequest {
    /// In which topology; absent: in the only one, or the only one that has both nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    /// The node where traffic enters.
    pub ingress: String,
    /// The node where traffic leaves.
    pub egress: String,
    /// 0 (lowest) to 7; this or the QoS level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_type: Option<u8>,
    /// 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos_level: Option<u8>,
    /// How much.
    pub bandwidth_bps: u64,
    /// 0 (best) to 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup_priority: Option<u8>,
    /// 0 (best) to 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_priority: Option<u8>,
    /// Who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregator: Option<String>,
    /// When it ends by itself, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// What the path has to obey, as the interface has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Value>,
}

/// An allocation.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Allocation {
    /// What it is called; absent in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// In which topology.
    pub topology: String,
    /// Where traffic enters.
    pub ingress: String,
    /// Where it leaves.
    pub egress: String,
    /// 0 to 7.
    pub class_type: u8,
    /// What is reserved on every link of the path.
    pub bandwidth_bps: u64,
    /// Its links, from ingress to egress.
    pub path: Vec<String>,
    /// Where it is in its life.
    pub state: String,
    /// When it was admitted.
    pub created_at: String,
    /// Everything else.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What something does to allocations that were there.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct Effects {
    /// Ended because a lower class took back what it had lent.
    #[serde(default)]
    pub devolved: Vec<String>,
    /// Ended because a higher class needs their bandwidth, or because their path broke.
    #[serde(default)]
    pub preempted: Vec<String>,
    /// Those that go another way now.
    #[serde(default)]
    pub rerouted: Vec<String>,
    /// All of them, with what made them leave.
    #[serde(default)]
    pub victims: Vec<Victim>,
}

/// Somebody who had to leave their path.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Victim {
    /// Who.
    pub id: String,
    /// What made it leave.
    pub cause: String,
    /// What became of it.
    pub outcome: String,
    /// Its new path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<String>>,
}

/// An allocation, and what making or changing it did.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct AllocationOutcome {
    /// The effects.
    #[serde(flatten)]
    pub effects: Effects,
    /// The allocation.
    #[serde(flatten)]
    pub allocation: Allocation,
}

/// Which allocations are wanted; absent: any.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AllocationFilter {
    /// In this topology.
    pub topology: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// Of this class type.
    pub class_type: Option<u8>,
    /// That enter here.
    pub ingress: Option<String>,
    /// That leave here.
    pub egress: Option<String>,
    /// Whose path has this link.
    pub link: Option<String>,
    /// That this aggregator asked for.
    pub aggregator: Option<String>,
}

impl AllocationFilter {
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("topology", &self.topology),
            ("state", &self.state),
            ("ingress", &self.ingress),
            ("egress", &self.egress),
            ("link", &self.link),
            ("aggregator", &self.aggregator),
        ];
        let class_type = self.class_type.map(|number| ("class_type", number.to_string()));
        texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).chain(class_type).collect()
    }
}

/// A page of a list.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A topology in brief.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct TopologySummary {
    /// Its name.
    pub topology: String,
    /// Its revision.
    pub revision: String,
    /// How many nodes.
    pub nodes: usize,
    /// How many directed links.
    pub links: usize,
    /// How many allocations live in it.
    pub allocations: usize,
    /// Its bandwidth model.
    pub model: String,
}

/// What was made of an uploaded topology.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct UploadReport {
    /// Its name.
    pub topology: String,
    /// The new revision; absent in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// As what it was read.
    pub format: String,
    /// How many nodes.
    pub nodes: usize,
    /// How many directed links.
    pub links: usize,
    /// What was noticed.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// Who had to leave for it.
    #[serde(flatten)]
    pub effects: Effects,
    /// Everything else.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Something that was assumed or left out.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Warning {
    /// Where in the file.
    pub place: Value,
    /// What.
    pub message: String,
}

/// A link with what is booked on it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Link {
    /// Its name.
    pub link: String,
    /// Its tail.
    pub from: String,
    /// Its head.
    pub to: String,
    /// `up`, `down` or `maintenance`.
    pub state: String,
    /// What it can carry.
    pub capacity_bps: u64,
    /// How much may be reserved.
    pub max_reservable_bps: u64,
    /// What is reserved.
    pub reserved_bps: u64,
    /// That, in parts per million of what may be.
    pub utilisation_ppm: u64,
    /// Class by class.
    pub classes: Vec<ClassFigures>,
    /// How many allocations are on it.
    pub allocation_count: usize,
    /// Everything else.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What a class has on a link.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct ClassFigures {
    /// Which class.
    pub class_type: u8,
    /// What is booked in it.
    pub reserved_bps: u64,
    /// Everything else.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What is to change about a link; absent parts stay.
#[derive(Serialize, Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkChange {
    /// `up`, `down` or `maintenance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Another capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_bps: Option<u64>,
    /// Another TE metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub te_metric: Option<u32>,
    /// Another one-way delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_us: Option<u64>,
}

/// A link that was changed, and what that did.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct LinkOutcome {
    /// The links that changed.
    pub links: Vec<String>,
    /// Who should have left but has nowhere to go.
    #[serde(default)]
    pub stranded: Vec<String>,
    /// The effects.
    #[serde(flatten)]
    pub effects: Effects,
    /// The link.
    #[serde(flatten)]
    pub link: Link,
}

/// What became of the requests of a batch, in their order.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct BatchOutcome {
    /// One each.
    pub outcomes: Vec<EntryOutcome>,
}

/// What became of one request of a batch.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct EntryOutcome {
    /// As it would be answered alone.
    pub status: u16,
    /// If it was admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<AllocationOutcome>,
    /// If it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemDocument>,
}

/// Something that happened.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Event {
    /// Its place.
    pub sequence: u64,
    /// When.
    pub at: String,
    /// What kind of thing.
    pub kind: String,
    /// What.
    pub data: Value,
}

/// A gateway that offers something.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Its id as an aggregator.
    pub aggregator: String,
    /// Where consumers subscribe, if it told.
    #[serde(default)]
    pub url: Option<String>,
    /// At which node.
    pub node: String,
    /// In which topology.
    pub topology: String,
    /// `fresh`, `stale` or `lost`.
    pub state: String,
    /// When it was heard last.
    pub heard_at: String,
    /// What it offers of the name that was looked for.
    pub names: Vec<OfferedName>,
    /// How many it offers, those that are not told of included.
    pub names_total: usize,
}

/// A name that is offered.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct OfferedName {
    /// The topic.
    pub name: String,
    /// In which level it is sent now.
    pub qos_level: u8,
    /// What it takes to send it to one consumer.
    pub arrival_bps: u64,
    /// How many want it.
    pub subscribers: usize,
}
