//! Which tenants there are, and whether a demand is within its tenant's quotas.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::allocation::{Allocation, Demand};
use crate::event::Event;
use crate::id::Name;
use crate::refusal::{QuotaKind, Refusal};
use crate::state::State;
use crate::tenant::{QUOTAS_MAX, Quota, TENANTS_MAX, Tenant, Usage};

pub(super) fn put(
    state: &State,
    name: &Name,
    quotas: &[Quota],
    requests_max_per_s: Option<NonZeroU32>,
) -> Result<Event, Refusal> {
    if state.tenant(name.as_str()).is_none() && state.tenants.len() >= TENANTS_MAX {
        return Err(Refusal::TooMany { what: "tenants", max: TENANTS_MAX });
    }
    if quotas.len() > QUOTAS_MAX {
        return Err(Refusal::TooMany { what: "quotas of a tenant", max: QUOTAS_MAX });
    }
    let (quotas, revision) = (quotas.to_vec(), state.sequence().next());
    let tenant = Tenant { name: name.clone(), quotas, requests_max_per_s, revision };
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

/// Whether a demand may be met as far as its tenant's quotas say, in the place of `old` where it is a change.
pub(super) fn check_quotas(state: &State, demand: &Demand, old: Option<&Allocation>) -> Result<(), Refusal> {
    let Some(name) = &demand.attributes.tenant else { return Ok(()) };
    let tenant = state.tenant(name.as_str()).ok_or_else(|| Refusal::UnknownTenant(name.clone()))?;
    let given_up = old.map_or_else(Usage::default, |old| Usage::of(old.demand.bandwidth));
    for quota in tenant.quotas.iter().filter(|quota| quota.covers(&demand.topology, demand.class_type)) {
        let held = state.usage_of(name, quota.topology.as_ref(), quota.class_type).minus(given_up);
        let wanted = held.plus(Usage::of(demand.bandwidth));
        let bandwidth_max = quota.bandwidth_max.map(|max| max.as_bps());
        let allocations_max = quota.allocations_max.map(u64::from);
        // A change that asks for no more than before is no further use of what was lowered since.
        let more = |now: u64, before: u64| old.is_none() || now > before;
        let broken = match (bandwidth_max, allocations_max) {
            (Some(max), _) if wanted.bandwidth_bps > max && more(demand.bandwidth.as_bps(), given_up.bandwidth_bps) => {
                Some((QuotaKind::Bandwidth, held.bandwidth_bps, max))
            }
            (_, Some(max)) if wanted.allocations > max && old.is_none() => {
                Some((QuotaKind::Allocations, held.allocations, max))
            }
            _ => None,
        };
        if let Some((kind, held, limit)) = broken {
            let (tenant, topology, class_type) = (name.clone(), quota.topology.clone(), quota.class_type);
            return Err(Refusal::QuotaExceeded(Box::new(crate::refusal::QuotaExceeded {
                tenant,
                topology,
                class_type,
                kind,
                held,
                limit,
            })));
        }
    }
    Ok(())
}
