//! Tenants: for whom allocations are, and how much all of theirs may take. A quota is held at every admission and change; one
//! that is lowered below what is held ends nothing, and lets nothing more in.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::allocation::{Allocation, Demand};
use super::class::ClassType;
use super::id::{Name, Sequence};
use super::units::Bandwidth;

/// The most tenants.
pub const TENANTS_MAX: usize = 10_000;
/// The most quotas of one tenant.
pub const QUOTAS_MAX: usize = 64;
/// The most aggregators of one tenant.
pub const TENANT_AGGREGATORS_MAX: usize = 10_000;
/// The largest weight of a tenant.
pub const TENANT_WEIGHT_MAX: u32 = 1_000_000;

/// A tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    /// Its name.
    pub name: Name,
    /// What it is entitled to.
    pub terms: TenantTerms,
    /// The event that last changed it.
    pub revision: Sequence,
}

/// What a tenant is entitled to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantTerms {
    /// What all of its allocations may take; each holds by itself.
    pub quotas: Vec<Quota>,
    /// How many requests a second are answered at the door; `None`: all. No decision looks at it.
    pub requests_max_per_s: Option<NonZeroU32>,
    /// By which the scheduler divides bandwidth between tenants.
    pub weight: NonZeroU32,
    /// The aggregators whose rates are its own: what the scheduler reserves for them counts in the quotas.
    pub aggregators: BTreeSet<Name>,
}

impl Default for TenantTerms {
    fn default() -> Self {
        let (quotas, aggregators) = (vec![], BTreeSet::new());
        Self { quotas, requests_max_per_s: None, weight: NonZeroU32::MIN, aggregators }
    }
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
    /// The sum of their bandwidths, each as often as it is booked on a link: by its path, and by its backup path.
    pub bandwidth_hops_max: Option<Bandwidth>,
    /// How many there are.
    pub allocations_max: Option<u32>,
}

/// What living allocations of a tenant take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// How many there are.
    pub allocations: u64,
    /// The sum of their bandwidths, each counted once whatever the length of its path.
    pub bandwidth_bps: u64,
    /// The same, each counted once for every link of its path and of its backup path, and for their other directions where it
    /// is bidirectional.
    pub bandwidth_hops_bps: u128,
}

impl Quota {
    /// Whether it is about allocations of a class in a topology.
    pub fn covers(&self, topology: &Name, class_type: ClassType) -> bool {
        self.topology.as_ref().is_none_or(|own| own == topology) && self.class_type.is_none_or(|own| own == class_type)
    }
}

impl Usage {
    /// What one allocation takes.
    pub fn of(allocation: &Allocation) -> Self {
        let backup = allocation.backup().map_or(0, |backup| backup.len());
        Self::on_links(&allocation.demand, allocation.path.len().saturating_add(backup))
    }

    /// What one allocation takes on so many links.
    pub(super) fn on_links(demand: &Demand, links: usize) -> Self {
        let bandwidth_bps = demand.bandwidth.as_bps();
        let directions = if demand.attributes.is_bidirectional { 2 } else { 1 };
        let links = u128::try_from(links).unwrap_or(u128::MAX).saturating_mul(directions);
        Self { allocations: 1, bandwidth_bps, bandwidth_hops_bps: u128::from(bandwidth_bps).saturating_mul(links) }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            allocations: self.allocations.saturating_add(other.allocations),
            bandwidth_bps: self.bandwidth_bps.saturating_add(other.bandwidth_bps),
            bandwidth_hops_bps: self.bandwidth_hops_bps.saturating_add(other.bandwidth_hops_bps),
        }
    }

    /// This without the other.
    #[must_use]
    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            allocations: self.allocations.saturating_sub(other.allocations),
            bandwidth_bps: self.bandwidth_bps.saturating_sub(other.bandwidth_bps),
            bandwidth_hops_bps: self.bandwidth_hops_bps.saturating_sub(other.bandwidth_hops_bps),
        }
    }
}
