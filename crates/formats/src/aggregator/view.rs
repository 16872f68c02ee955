//! An aggregator as it is shown: what it reported, what it needs, what it may send.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{MetadataDocument, RatesDocument};
use api::instant::Instant;
use kernel::scheduler::QosLevel;
use kernel::scheduler::engine::AggregatorView;
use kernel::scheduler::hysteresis::LeaseState;

/// An aggregator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Aggregator)]
pub struct AggregatorDocument {
    /// Which.
    pub id: String,
    /// In which topology.
    pub topology: String,
    /// At which node.
    pub node: String,
    /// `fresh`: it reported within its lease; `stale`: a lease has passed, so that its backlog counts no longer; `lost`: two
    /// have, and what it held is let go.
    pub state: StandingWord,
    /// When it was heard last.
    #[schema(value_type = String, format = DateTime)]
    pub heard_at: Instant,
    /// What it needs of the network, by level.
    pub demand: Vec<DemandDocument>,
    /// What it may send.
    pub rates: RatesDocument,
    /// What it reported last; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub metadata: Option<MetadataDocument>,
}

/// How much is still believed of an aggregator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AggregatorState)]
pub enum StandingWord {
    /// It reported within its lease.
    Fresh,
    /// A lease has passed.
    Stale,
    /// Two leases have passed.
    Lost,
}

impl StandingWord {
    /// From the kernel's word.
    pub fn of(standing: LeaseState) -> Self {
        match standing {
            LeaseState::Fresh => Self::Fresh,
            LeaseState::Stale => Self::Stale,
            LeaseState::Lost => Self::Lost,
        }
    }
}

/// What an aggregator needs in a level.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorDemand)]
pub struct DemandDocument {
    /// Which level.
    #[schema(maximum = 2)]
    pub qos_level: u8,
    /// What arrives for consumers elsewhere, and the backlog over the time in which it is to be sent.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub demand_bps: u64,
    /// Whether its buffer is over the threshold.
    pub boosted: bool,
}

impl AggregatorDocument {
    /// From the kernel's words, without what it reported.
    pub fn brief(view: &AggregatorView) -> Self {
        let demand = QosLevel::ALL.into_iter().map(|level| DemandDocument {
            qos_level: level.number(),
            demand_bps: view.demand[level.at()].as_bps(),
            boosted: view.boosted[level.at()],
        });
        Self {
            id: view.id.to_string(),
            topology: view.topology.to_string(),
            node: view.metadata.node.to_string(),
            state: StandingWord::of(view.standing),
            heard_at: Instant(view.heard_at.0),
            demand: demand.collect(),
            rates: RatesDocument::of(&view.rates),
            metadata: None,
        }
    }

    /// From the kernel's words.
    pub fn whole(view: &AggregatorView) -> Self {
        Self { metadata: Some(MetadataDocument::of(&view.metadata)), ..Self::brief(view) }
    }
}
