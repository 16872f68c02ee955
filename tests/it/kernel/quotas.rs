//! No history of commands takes a tenant over a quota: whatever was admitted or changed is within it, and what is counted is
//! what there is.

use std::collections::BTreeMap;

use kernel::audit::audit;
use kernel::class::ClassType;
use kernel::id::Name;
use kernel::tenant::{Tenant, Usage};
use kernel::{Event, State};

use crate::journal::fixture::World;

const HISTORIES: u64 = 40;
const STEPS: usize = 1_500;

/// What a tenant takes under a quota, counted anew.
fn counted(state: &State, tenant: &Name, topology: Option<&Name>, class_type: Option<ClassType>) -> Usage {
    let own = state.allocations_after(None).filter(|allocation| {
        let demand = &allocation.demand;
        demand.attributes.tenant.as_ref() == Some(tenant)
            && topology.is_none_or(|topology| *topology == demand.topology)
            && class_type.is_none_or(|class_type| class_type == demand.class_type)
    });
    own.fold(Usage::default(), |sum, allocation| {
        sum.plus(Usage { allocations: 1, bandwidth_bps: allocation.demand.bandwidth.as_bps() })
    })
}

fn check(state: &State, tenant: &Tenant, before: &State) {
    for quota in &tenant.quotas {
        let of = |state: &State| counted(state, &tenant.name, quota.topology.as_ref(), quota.class_type);
        let (held, was) = (of(state), of(before));
        assert_eq!(held, state.usage_of(&tenant.name, quota.topology.as_ref(), quota.class_type));
        // A quota that was lowered ends nothing: then there is no more than before.
        let is_held = |now: u64, then: u64, max: Option<u64>| max.is_none_or(|max| now <= max || now <= then);
        assert!(is_held(held.bandwidth_bps, was.bandwidth_bps, quota.bandwidth_max.map(|max| max.as_bps())));
        assert!(is_held(held.allocations, was.allocations, quota.allocations_max.map(u64::from)));
    }
}

#[test]
fn no_history_exceeds_a_quota() {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..HISTORIES {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            let Some(happened) = world.step() else { continue };
            let kind = match &happened.fact.event {
                Event::Admitted { allocation, .. } if allocation.is_held() => "held",
                Event::Resized { allocation, .. } => {
                    let before = happened.before.allocation(allocation.id).unwrap();
                    if before.is_held() && !allocation.is_held() { "committed" } else { "resized" }
                }
                Event::TenantPut { .. } => "tenant put",
                Event::TenantDeleted { .. } => "tenant deleted",
                _ => "other",
            };
            *met.entry(kind).or_default() += 1;
            for tenant in world.state.tenants() {
                check(&world.state, tenant, &happened.before);
            }
        }
        assert_eq!(audit(&world.state), vec![]);
    }
    for kind in ["held", "committed", "resized", "tenant put", "tenant deleted"] {
        assert!(met.get(kind).is_some_and(|count| *count > 20), "{met:?}");
    }
}
