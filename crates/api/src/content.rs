//! Content by name: which gateways offer a name, and at which level.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::aggregator::AggregatorFreshness;
use crate::instant::Instant;

/// A gateway that offers something of that name.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Its id as an aggregator.
    pub aggregator: String,
    /// Where consumers subscribe: POST v1/subscriptions below it. Absent: it has reported no URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub url: Option<String>,
    /// At which node.
    pub node: String,
    /// In which topology.
    pub topology: String,
    /// Whether it reported within its lease.
    pub state: AggregatorFreshness,
    /// When it was heard last.
    #[schema(value_type = String, format = DateTime)]
    pub heard_at: Instant,
    /// What it offers of that name, at most 100.
    pub names: Vec<OfferedName>,
    /// How many it offers.
    pub names_total: usize,
}

/// A name that is offered.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct OfferedName {
    /// The topic.
    pub name: String,
    /// The level in which it is sent now; without a subscription, the level that the gateway has for it, 0 by default.
    pub qos_level: u8,
    /// What it takes to send it to one consumer.
    pub arrival_bps: u64,
    /// How many want it in this level.
    pub subscribers: usize,
}

/// A page of gateways.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct OfferPage {
    /// By the ids of the aggregators.
    pub items: Vec<Offer>,
    /// The cursor of the next page, if there may be one. It is there too where many gateways were looked at and few found.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}
