//! The QoS scheduler of PSIoT-Orch, as far as it decides: from the reports of aggregators, a rate for each aggregator, QoS
//! level and node with consumers. Pure: time is an argument, and equal reports in equal order give equal plans.
//!
//! - [`report`]: what an aggregator reports, and the demand of each flow that follows from it (arrivals and backlog).
//! - [`add_alternatives`]: the paths over which a flow may be split.
//! - `flow_match`: the packets of a flow, for the match at the ingress switch.
//! - [`Planner`]: a rate for every flow, by one of three policies. [`MaxMin`] is weighted max-min fairness by progressive
//!   filling (Bertsekas and Gallager, *Data Networks*, section 6.5), from nothing or incrementally, on a logarithmic grid
//!   of levels, and weighted fair between tenants where aggregators have some; `equal_share` is the even division of the
//!   paper.
//! - [`ClassBounds`]: what the bandwidth model of a link leaves each level.
//! - [`hysteresis`]: which changes of rate are worth a reservation, and what a lease without a report costs.
//! - [`engine`]: reports, leases, reservations and time in; commands and rates out.
//!
//! What must stay true: the rates over a link never sum to more than what it has for them.

pub mod report;
pub mod engine;
mod equal_share;
mod log_steps;
mod flow_match;
mod class_bounds;
mod alternative_paths;
mod planner;
pub mod settings;
pub mod hysteresis;
mod max_min;

use std::fmt;

pub use alternative_paths::{AlternativeQuery, add_alternatives};
pub use class_bounds::ClassBounds;
pub use max_min::{FlowIx, MaxMin, RATE_MAX_BPS, TenantShare};
pub use planner::{FlowDemand, FlowKey, FlowRate, PathKey, Planner, RateChange, RatePlan};
pub use settings::{DivisionPolicy, SchedulerSettings};

use super::class::ClassType;

/// The number of QoS levels.
pub const LEVELS: usize = 3;

/// A QoS level: 0 insensitive, 1 sensitive, 2 priority.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QosLevel(u8);

impl QosLevel {
    /// All of them, the lowest first.
    pub const ALL: [Self; LEVELS] = [Self(0), Self(1), Self(2)];

    /// `None` above 2.
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < LEVELS { Some(Self(number)) } else { None }
    }

    /// 0 to 2.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// As an index into an array with a place for each level.
    pub const fn at(self) -> usize {
        self.0 as usize
    }

    /// Level 0 travels as CT0, 1 as CT1, 2 as CT2.
    pub fn class_type(self) -> ClassType {
        ClassType::new(self.0).unwrap_or(ClassType::LOWEST)
    }
}

impl fmt::Display for QosLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An aggregator, by the number that the engine gives it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AggregatorIx(pub u32);
