//! Which tenants there are, and whether a demand is within its tenant's quotas.
//!
//! What must stay true: no demand that is met takes a tenant over a quota. An allocation that the service itself moves
//! (because a link failed, another class took its bandwidth, or it made way) is not ended for the length of its path.

use std::sync::Arc;

use crate::allocation::{Allocation, Demand, Route};
use crate::event::Event;
use crate::id::Name;
use crate::refusal::{QuotaExceeded, QuotaKind, Refusal};
use crate::state::State;
use crate::tenant::{QUOTAS_MAX, Quota, TENANT_AGGREGATORS_MAX, TENANTS_MAX, Tenant, TenantTerms, Usage};
use crate::units::Bandwidth;

pub(super) fn put(state: &State, name: &Name, terms: &TenantTerms) -> Result<Event, Refusal> {
    if state.tenant(name.as_str()).is_none() && state.tenants.len() >= TENANTS_MAX {
        return Err(Refusal::TooMany { what: "tenants", max: TENANTS_MAX });
    }
    if terms.quotas.len() > QUOTAS_MAX {
        return Err(Refusal::TooMany { what: "quotas of a tenant", max: QUOTAS_MAX });
    }
    if terms.aggregators.len() > TENANT_AGGREGATORS_MAX {
        return Err(Refusal::TooMany { what: "aggregators of a tenant", max: TENANT_AGGREGATORS_MAX });
    }
    if let Some((aggregator, tenant)) = state.aggregator_of_another(name, &terms.aggregators) {
        return Err(Refusal::AggregatorHasTenant { aggregator, tenant });
    }
    let (terms, revision) = (terms.clone(), state.sequence().next());
    let tenant = Tenant { name: name.clone(), terms, revision };
    Ok(Event::TenantPut { tenant: Arc::new(tenant) })
}

pub(super) fn delete(state: &State, name: &Name) -> Result<Event, Refusal> {
    if state.tenant(name.as_str()).is_none() {
        return Err(Refusal::UnknownTenant(name.clone()));
    }
    let living = state.usage_of(name, None, None).allocations;
    if living > 0 {
        return Err(Refusal::TenantInUse { name: name.clone(), living });
    }
    Ok(Event::TenantDeleted { name: name.clone() })
}

/// Whether a demand may be met as far as its tenant's quotas say, in the place of `old` where it is a change. What depends on
/// its path is for [`check_route`].
pub(super) fn check_quotas(state: &State, demand: &Demand, old: Option<&Allocation>) -> Result<(), Refusal> {
    check(state, demand, (Usage::on_links(demand, 0), old), &[QuotaKind::Bandwidth, QuotaKind::Allocations])
}

/// Whether a demand may go this way as far as its tenant's quotas say.
pub(super) fn check_route(
    state: &State,
    demand: &Demand,
    Route { path, backup }: &Route,
    old: Option<&Allocation>,
) -> Result<(), Refusal> {
    let links = path.len().saturating_add(backup.as_ref().map_or(0, |backup| backup.len()));
    check(state, demand, (Usage::on_links(demand, links), old), &[QuotaKind::BandwidthHops])
}

fn check(
    state: &State,
    demand: &Demand,
    (taken, old): (Usage, Option<&Allocation>),
    kinds: &[QuotaKind],
) -> Result<(), Refusal> {
    let Some(name) = &demand.attributes.tenant else { return Ok(()) };
    let tenant = state.tenant(name.as_str()).ok_or_else(|| Refusal::UnknownTenant(name.clone()))?;
    let given_up = old.map(Usage::of).unwrap_or_default();
    for quota in tenant.terms.quotas.iter().filter(|quota| quota.covers(&demand.topology, demand.class_type)) {
        let held = state.usage_of(name, quota.topology.as_ref(), quota.class_type).minus(given_up);
        for kind in kinds {
            let Some(limit) = limit(quota, *kind) else { continue };
            let (held, taken, given_up) = (amount(held, *kind), amount(taken, *kind), amount(given_up, *kind));
            // A change that asks for no more than before is no further use of what was lowered since.
            if held.saturating_add(taken) <= u128::from(limit) || taken <= given_up {
                continue;
            }
            let largest = largest(demand.bandwidth, taken, u128::from(limit).saturating_sub(held));
            let (topology, class_type, held) = (quota.topology.clone(), quota.class_type, saturated(held));
            let (tenant, kind) = (name.clone(), *kind);
            let exceeded = QuotaExceeded { tenant, topology, class_type, kind, held, limit, largest };
            return Err(Refusal::QuotaExceeded(Box::new(exceeded)));
        }
    }
    Ok(())
}

fn limit(quota: &Quota, kind: QuotaKind) -> Option<u64> {
    match kind {
        QuotaKind::Bandwidth => quota.bandwidth_max.map(|max| max.as_bps()),
        QuotaKind::BandwidthHops => quota.bandwidth_hops_max.map(|max| max.as_bps()),
        QuotaKind::Allocations => quota.allocations_max.map(u64::from),
    }
}

fn amount(usage: Usage, kind: QuotaKind) -> u128 {
    match kind {
        QuotaKind::Bandwidth => usage.bandwidth_bps.into(),
        QuotaKind::BandwidthHops => usage.bandwidth_hops_bps,
        QuotaKind::Allocations => usage.allocations.into(),
    }
}

/// The largest bandwidth that takes no more than `left`, where `bandwidth` takes `taken`; none where allocations are counted.
fn largest(bandwidth: Bandwidth, taken: u128, left: u128) -> Bandwidth {
    let times = taken.checked_div(bandwidth.as_bps().into()).unwrap_or(0);
    Bandwidth::saturating_from_bps(left.checked_div(times).map_or(0, saturated))
}

fn saturated(amount: u128) -> u64 {
    u64::try_from(amount).unwrap_or(u64::MAX)
}
