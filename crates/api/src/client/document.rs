//! What lists are filtered by, and documents that only the client has.

use serde::{Deserialize, Serialize};

use crate::allocation::AllocationState;

/// Which allocations are wanted; absent: any.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AllocationFilter {
    /// In this topology.
    pub topology: Option<String>,
    /// In this state.
    pub state: Option<AllocationState>,
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
        let state = self.state.map(|state| state.to_string());
        let texts = [
            ("topology", &self.topology),
            ("state", &state),
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
