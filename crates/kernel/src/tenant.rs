//! Tenants: for whom allocations are, and how much all of theirs may take. A quota is held at every admission and change; one
//! that is lowered below what is held ends nothing, and lets nothing more in.

use std::num::NonZeroU32;

use super::class::ClassType;
use super::id::{Name, Sequence};
use super::units::Bandwidth;

/// The most tenants.
pub const TENANTS_MAX: usize = 10_000;
/// The most quotas of one tenant.
pub const QUOTAS_MAX: usize = 64;

/// A tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    /// Its name.
    pub name: Name,
    /// What all of its allocations may take; each holds by itself.
    pub quotas: Vec<Quota>,
    /// How many requests a second are answered at the door; `None`: all. No decision looks at it.
    pub requests_max_per_s: Option<NonZeroU32>,
    /// The event that last changed it.
    pub revision: Sequence,
}

/// What the allocations of a tenant may take, in a topology and a class or in all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Quota {
    /// In this topology; `None`: in all together.
    pub topology: Option<Name>,
    /// Of this class type; `None`: of all together.
    pub class_type: Option<ClassType>,
    /// The sum of their bandwidths.
    pub bandwidth_max: Option<Bandwidth>,
    /// How many there are.
    pub allocations_max: Option<u32>,
}

/// What living allocations of a tenant take, each counted once whatever the length of its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// How many there are.
    pub allocations: u64,
    /// The sum of their bandwidths.
    pub bandwidth_bps: u64,
}

impl Quota {
    /// Whether it is about allocations of a class in a topology.
    pub fn covers(&self, topology: &Name, class_type: ClassType) -> bool {
        self.topology.as_ref().is_none_or(|own| own == topology) && self.class_type.is_none_or(|own| own == class_type)
    }
}

impl Usage {
    /// What one allocation takes.
    pub(super) fn of(bandwidth: Bandwidth) -> Self {
        Self { allocations: 1, bandwidth_bps: bandwidth.as_bps() }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            allocations: self.allocations.saturating_add(other.allocations),
            bandwidth_bps: self.bandwidth_bps.saturating_add(other.bandwidth_bps),
        }
    }

    /// This without the other.
    #[must_use]
    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            allocations: self.allocations.saturating_sub(other.allocations),
            bandwidth_bps: self.bandwidth_bps.saturating_sub(other.bandwidth_bps),
        }
    }
}
