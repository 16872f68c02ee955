//! No history of commands takes a tenant over a quota: whatever was admitted or changed is within it, and what is counted is
//! what there is. What the scheduler reserves for a tenant's aggregators counts as the rest does. Paths that the service itself
//! lengthens (a displaced allocation finds another, a booking starts on another) are the one exception.

use std::collections::BTreeMap;

use kernel::allocation::{Allocation, Owner};
use kernel::audit::audit;
use kernel::bam::ModelKind;
use kernel::class::ClassType;
use kernel::event::Displaced;
use kernel::id::{AllocationId, Name};
use kernel::refusal::{QuotaExceeded, QuotaKind};
use kernel::tenant::TenantTerms;
use kernel::tenant::{Quota, Tenant, Usage};
use kernel::topology::LinkState;
use kernel::units::Bandwidth;
use kernel::{Command, Event, Refusal, State};

use super::{link_state, model, name, network, request, resize};
use crate::journal::fixture::{Happened, World};

const HISTORIES: u64 = 40;
const STEPS: usize = 1_500;

fn hops_bps(allocation: &Allocation) -> u128 {
    let links = allocation.path.len() + allocation.backup().map_or(0, |backup| backup.len());
    let directions = if allocation.demand.attributes.is_bidirectional { 2 } else { 1 };
    u128::from(allocation.demand.bandwidth.as_bps()) * links as u128 * directions
}

fn is_under(allocation: &Allocation, tenant: &Name, topology: Option<&Name>, class_type: Option<ClassType>) -> bool {
    let demand = &allocation.demand;
    demand.attributes.tenant.as_ref() == Some(tenant)
        && topology.is_none_or(|topology| *topology == demand.topology)
        && class_type.is_none_or(|class_type| class_type == demand.class_type)
}

/// What a tenant takes under a quota, counted anew.
fn counted(state: &State, tenant: &Name, quota: &Quota) -> Usage {
    let own = state
        .allocations_after(None)
        .filter(|allocation| is_under(allocation, tenant, quota.topology.as_ref(), quota.class_type));
    own.fold(Usage::default(), |sum, allocation| {
        let (bandwidth_bps, bandwidth_hops_bps) = (allocation.demand.bandwidth.as_bps(), hops_bps(allocation));
        sum.plus(Usage { allocations: 1, bandwidth_bps, bandwidth_hops_bps })
    })
}

/// The allocations whose paths the service itself may have lengthened.
fn moved(event: &Event) -> Vec<AllocationId> {
    let ids = |displaced: &[Displaced]| displaced.iter().map(|gone| gone.id).collect::<Vec<_>>();
    match event {
        Event::TopologyPut { displaced, .. }
        | Event::ModelSet { displaced, .. }
        | Event::LinkChanged { displaced, .. }
        | Event::MaintenancePlanned { displaced, .. }
        | Event::Admitted { displaced, .. }
        | Event::Resized { displaced, .. } => ids(displaced),
        Event::Started { allocation, displaced } => [ids(displaced), vec![allocation.id]].concat(),
        _ => vec![],
    }
}

/// By how much more of a quota allocations are that the service moved.
fn lengthened_bps(state: &State, tenant: &Name, quota: &Quota, happened: &Happened) -> u128 {
    let longer = moved(&happened.fact.event).into_iter().filter_map(|id| {
        let (now, before) = (state.allocation(id)?, happened.before.allocation(id)?);
        let is_own = is_under(now, tenant, quota.topology.as_ref(), quota.class_type);
        is_own.then(|| hops_bps(now).saturating_sub(hops_bps(before)))
    });
    longer.sum()
}

fn check(state: &State, tenant: &Tenant, happened: &Happened) {
    for quota in &tenant.terms.quotas {
        let of = |state: &State| counted(state, &tenant.name, quota);
        let (held, was) = (of(state), of(&happened.before));
        assert_eq!(held, state.usage_of(&tenant.name, quota.topology.as_ref(), quota.class_type));
        // A quota that was lowered ends nothing: then there is no more than before.
        let is_held = |now: u128, then: u128, max: Option<u64>| max.is_none_or(|max| now <= max.into() || now <= then);
        let (bandwidth_max, allocations_max) = (quota.bandwidth_max, quota.allocations_max);
        assert!(is_held(held.bandwidth_bps.into(), was.bandwidth_bps.into(), bandwidth_max.map(|max| max.as_bps())));
        assert!(is_held(held.allocations.into(), was.allocations.into(), allocations_max.map(u64::from)));
        let asked_bps = held.bandwidth_hops_bps - lengthened_bps(state, &tenant.name, quota, happened);
        assert!(is_held(asked_bps, was.bandwidth_hops_bps, quota.bandwidth_hops_max.map(|max| max.as_bps())));
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
                Event::Admitted { allocation, .. } if allocation.demand.attributes.owner == Owner::Scheduler => {
                    let attributes = &allocation.demand.attributes;
                    let tenant = attributes.aggregator.as_ref().and_then(|id| happened.before.tenant_of(id));
                    assert_eq!(attributes.tenant.as_ref(), tenant.map(|tenant| &tenant.name));
                    if tenant.is_some() { "reserved for a tenant" } else { "reserved" }
                }
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
                check(&world.state, tenant, &happened);
            }
        }
        assert_eq!(audit(&world.state), vec![]);
    }
    for kind in ["held", "committed", "resized", "tenant put", "tenant deleted", "reserved for a tenant", "reserved"] {
        assert!(met.get(kind).is_some_and(|count| *count > 20), "{met:?}");
    }
}

/// What a tenant may take on links: asked for, changed, moved and restored.
#[test]
fn bandwidth_on_links_is_bounded_but_for_what_the_service_moves() {
    let links = [("a-b", 1_000), ("b-c", 1_000), ("a-c", 1_000)];
    let mut world = super::World::new(network(&links), model(ModelKind::Atcs, [40, 35, 25]));
    let quota = Quota { bandwidth_hops_max: Bandwidth::from_bps(100), ..Quota::default() };
    let terms = TenantTerms { quotas: vec![quota], ..TenantTerms::default() };
    world.must(Command::PutTenant { name: name("acme"), terms });
    let ask = |from: &str, to: &str, bps: u64| {
        let mut request = request(from, to, 0, bps);
        request.attributes.tenant = Some(name("acme"));
        Command::Allocate(Box::new(request))
    };
    let refused = |outcome: Result<Event, Refusal>| match outcome {
        Err(Refusal::QuotaExceeded(exceeded)) => {
            let QuotaExceeded { kind, held, limit, largest, .. } = *exceeded;
            assert_eq!((kind, limit), (QuotaKind::BandwidthHops, 100));
            (held, largest.as_bps())
        }
        other => panic!("{other:?}"),
    };
    let Event::Admitted { allocation, .. } = world.must(ask("a", "c", 60)) else { panic!("admitted") };
    let id = allocation.id;
    assert_eq!(world.path(id), ["a-c"]);
    // Another that would fit by its bandwidth, and on one link does.
    let by_way = |path: &[&str]| Command::Reroute { id, path: path.iter().map(|link| name(link)).collect() };
    assert_eq!(refused(world.run(ask("a", "b", 41))), (60, 40));
    assert_eq!(refused(world.run(resize(id, 101))), (0, 100));
    assert_eq!(refused(world.run(by_way(&["a-b", "b-c"]))), (0, 50));
    // It is not ended for a longer path when its own fails; nothing more is let in, and less is.
    world.must(link_state("a-c", LinkState::Down));
    assert_eq!(world.path(id), ["a-b", "b-c"]);
    let held = |world: &super::World| world.state.usage_of(&name("acme"), None, None).bandwidth_hops_bps;
    assert_eq!(held(&world), 120);
    assert_eq!(refused(world.run(ask("a", "b", 1))), (120, 0));
    assert_eq!(refused(world.run(resize(id, 61))), (0, 50));
    assert!(matches!(world.must(resize(id, 55)), Event::Resized { .. }));
    world.must(link_state("a-c", LinkState::Up));
    assert!(matches!(world.must(by_way(&["a-c"])), Event::Resized { .. }));
    assert_eq!(held(&world), 55);
    assert!(matches!(world.must(ask("a", "b", 45)), Event::Admitted { .. }));
    world.must(Command::Release { id });
    assert_eq!(held(&world), 45);
}
