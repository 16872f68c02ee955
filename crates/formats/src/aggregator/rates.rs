//! What an aggregator is told that it may send.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use api::instant::Instant;
use kernel::scheduler::QosLevel;
use kernel::scheduler::engine::GrantedRates;

/// What an aggregator may send.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorRates)]
pub struct RatesDocument {
    /// Higher than that of whatever was told before; a lower one is to be passed over.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub sequence: u64,
    /// When this was found.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// To which instance it is said: the one that reported. Another one of the same id is to pass it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub instance: Option<String>,
    /// For how long it holds, in milliseconds from `at`, if nothing is heard after it.
    pub lease_ms: u64,
    /// Every level.
    pub levels: Vec<LevelRateDocument>,
    /// What may be sent when the lease is over and nothing was heard: what nobody else can claim.
    pub fallback: Vec<FallbackDocument>,
}

/// What may be sent in a level over the network. Consumers at the aggregator's own node need none and are not counted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorLevelRate)]
pub struct LevelRateDocument {
    /// Which level.
    #[schema(maximum = 2)]
    pub qos_level: u8,
    /// To all destinations together.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub rate_bps: u64,
    /// The allocations that have it reserved.
    pub allocations: Vec<String>,
    /// To each node with consumers.
    #[serde(default)]
    pub destinations: Vec<DestinationDocument>,
}

/// What may be sent to the consumers at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorDestination)]
pub struct DestinationDocument {
    /// Which node.
    pub node: String,
    /// How much.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub rate_bps: u64,
    /// The allocation that has it reserved.
    pub allocation: String,
}

/// What may be sent in a level when nothing is heard any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorFallback)]
pub struct FallbackDocument {
    /// Which level.
    #[schema(maximum = 2)]
    pub qos_level: u8,
    /// How much.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub rate_bps: u64,
}

impl RatesDocument {
    /// From the kernel's words.
    pub fn of(rates: &GrantedRates) -> Self {
        let levels = QosLevel::ALL.into_iter().zip(&rates.levels).map(|(level, told)| LevelRateDocument {
            qos_level: level.number(),
            rate_bps: told.rate.as_bps(),
            allocations: told.destinations.iter().map(|to| to.allocation.to_string()).collect(),
            destinations: told
                .destinations
                .iter()
                .map(|to| DestinationDocument {
                    node: to.node.to_string(),
                    rate_bps: to.rate.as_bps(),
                    allocation: to.allocation.to_string(),
                })
                .collect(),
        });
        let fallback = QosLevel::ALL.into_iter().zip(&rates.levels);
        let fallback = fallback
            .map(|(level, told)| FallbackDocument { qos_level: level.number(), rate_bps: told.fallback.as_bps() });
        Self {
            sequence: rates.sequence,
            at: Instant(rates.at.0),
            instance: rates.instance.as_ref().map(ToString::to_string),
            lease_ms: rates.lease_ms,
            levels: levels.collect(),
            fallback: fallback.collect(),
        }
    }
}
