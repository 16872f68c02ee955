//! Tenants in the scheduler: what is reserved for their aggregators counts in their quotas, and links are divided between them
//! by their weights.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use kernel::command::Command;
use kernel::id::{AllocationId, LinkIx, NodeIx};
use kernel::scheduler::{AggregatorIx, FlowDemand, FlowKey, Planner, QosLevel, SchedulerSettings, TenantShare};
use kernel::tenant::{Quota, TenantTerms};
use kernel::units::{Bandwidth, Share};

use super::dispatch::{World, settings};
use crate::kernel::name;

const MBPS: u64 = 1_000_000;

fn tenant(id: &str, quota: Quota, aggregators: &[&str]) -> Command {
    let aggregators = aggregators.iter().map(|id| name(id)).collect::<BTreeSet<_>>();
    Command::PutTenant {
        name: name(id),
        terms: TenantTerms { quotas: vec![quota], aggregators, ..TenantTerms::default() },
    }
}

fn at_most(bps: u64) -> Quota {
    Quota { bandwidth_max: Bandwidth::from_bps(bps), ..Quota::default() }
}

/// The tenants of what is reserved for an aggregator.
fn tenants_of(world: &World, id: &str) -> BTreeSet<Option<String>> {
    let own = world.state().allocations_after(None).filter(|one| one.demand.attributes.aggregator == Some(name(id)));
    own.map(|one| one.demand.attributes.tenant.as_ref().map(ToString::to_string)).collect()
}

#[test]
fn the_rates_of_a_tenant_count_in_its_quota() {
    let mut world = World::new(&[("a-b", 100 * MBPS), ("b-a", 100 * MBPS)], settings());
    world.carry_out(&tenant("acme", at_most(10 * MBPS), &["one", "two"]));
    for id in ["one", "two", "free"] {
        world.report(id, world.metadata("a", &[(2, 8 * MBPS, "b")])).unwrap();
    }
    let held = |world: &World| world.state().usage_of(&name("acme"), None, None).bandwidth_bps;
    assert_eq!(held(&world), world.rate("one", 2) + world.rate("two", 2));
    assert!(held(&world) <= 10 * MBPS, "{}", held(&world));
    // What is left of the quota is used, and who is of no tenant has all of what it asks for.
    assert!(world.rate("one", 2) >= 8 * MBPS && world.rate("two", 2) >= MBPS, "{}", world.rate("two", 2));
    assert!(world.rate("free", 2) >= 8 * MBPS);
    world.check(&["one", "two", "free"]);
    // Another tenant: what is reserved counts there now.
    world.carry_out(&tenant("acme", at_most(10 * MBPS), &["two"]));
    world.carry_out(&tenant("other", at_most(3 * MBPS), &["one"]));
    world.sync_tenants();
    assert_eq!(tenants_of(&world, "one"), [Some("other".to_owned())].into());
    assert!(world.rate("one", 2) <= 3 * MBPS && world.rate("one", 2) > 0, "{}", world.rate("one", 2));
    world.pass(9_000);
    world.report("two", world.metadata("a", &[(2, 8 * MBPS, "b")])).unwrap();
    world.pass(9_000);
    assert!(world.rate("two", 2) >= 8 * MBPS, "{}", world.rate("two", 2));
    world.check(&["one", "two", "free"]);
}

#[test]
fn an_aggregator_is_of_one_tenant() {
    let mut world = World::new(&[("a-b", MBPS)], settings());
    world.carry_out(&tenant("acme", at_most(MBPS), &["one"]));
    world.carry_out(&tenant("other", at_most(MBPS), &["one"]));
    assert!(world.state().tenant("other").is_none());
    assert_eq!(world.state().tenant_of(&name("one")).unwrap().name, name("acme"));
    world.carry_out(&Command::DeleteTenant { name: name("acme") });
    world.carry_out(&tenant("other", at_most(MBPS), &["one"]));
    assert_eq!(world.state().tenant_of(&name("one")).unwrap().name, name("other"));
    world.carry_out(&Command::Release { id: AllocationId(0) });
}

/// The rates of each aggregator in each level over one link of 1 Gbit/s, of which no level has a share before the others.
fn rates(tenants: &[(u32, &str, u32)], demands: &[(u32, u8, u64)]) -> Vec<u64> {
    let settings = SchedulerSettings { shares: [Share::NONE; 3], step_bits: 12, ..SchedulerSettings::default() };
    let mut planner = Planner::new(settings, &[Bandwidth::saturating_from_bps(1_000 * MBPS)]);
    let key = |(aggregator, level): (u32, u8)| FlowKey {
        aggregator: AggregatorIx(aggregator),
        level: QosLevel::new(level).unwrap(),
        egress: NodeIx(1),
    };
    for (aggregator, tenant, weight) in tenants {
        let share = TenantShare { tenant: name(tenant), weight: NonZeroU32::new(*weight).unwrap() };
        planner.set_tenant(AggregatorIx(*aggregator), Some(&share));
    }
    let path: Arc<[LinkIx]> = [LinkIx(0)].into();
    for (aggregator, level, mbps) in demands {
        let demand = FlowDemand { demand: Bandwidth::saturating_from_bps(mbps * MBPS), boosted: false };
        planner.put(key((*aggregator, *level)), std::slice::from_ref(&path), demand);
    }
    planner.update();
    demands
        .iter()
        .map(|(aggregator, level, _)| planner.rate(key((*aggregator, *level))).unwrap().rate.as_bps())
        .collect()
}

fn are_near(rates: &[u64], mbps: &[u64]) {
    let is_near = |(rate, mbps): (&u64, &u64)| rate.abs_diff(mbps * MBPS) * 100 <= mbps * MBPS;
    assert!(rates.len() == mbps.len() && rates.iter().zip(mbps).all(is_near), "{rates:?} {mbps:?}");
}

#[test]
fn a_link_is_divided_by_tenant_then_aggregator_then_level() {
    // Three times the weight is three times the bandwidth, whatever the number of aggregators.
    let tenants = [(0, "one", 1), (1, "one", 1), (2, "one", 1), (3, "other", 3)];
    let all = [(0, 2, 5_000), (1, 2, 5_000), (2, 2, 5_000), (3, 2, 5_000)];
    are_near(&rates(&tenants, &all), &[83, 83, 83, 750]);
    // What one aggregator does not need the others of its tenant have, and what the tenant does not need the other tenants.
    are_near(&rates(&tenants, &[(0, 2, 50), (1, 2, 5_000), (2, 2, 5_000), (3, 2, 5_000)]), &[50, 100, 100, 750]);
    are_near(&rates(&tenants, &[(0, 2, 50), (1, 2, 50), (3, 2, 5_000)]), &[50, 50, 900]);
    // Within an aggregator, levels by their weights of 25, 35 and 40.
    are_near(&rates(&tenants, &[(0, 0, 5_000), (0, 1, 5_000), (0, 2, 5_000), (3, 0, 5_000)]), &[62, 87, 100, 750]);
    // Aggregators of no tenant are one of weight 1, and divide as they do where there are no tenants.
    are_near(&rates(&[(3, "other", 3)], &all), &[83, 83, 83, 750]);
    are_near(&rates(&[], &all), &[250, 250, 250, 250]);
}

#[test]
fn a_tenant_comes_and_goes() {
    let settings = SchedulerSettings { shares: [Share::NONE; 3], step_bits: 12, ..SchedulerSettings::default() };
    let mut planner = Planner::new(settings, &[Bandwidth::saturating_from_bps(1_000 * MBPS)]);
    let (level, egress) = (QosLevel::new(1).unwrap(), NodeIx(1));
    let key = |aggregator| FlowKey { aggregator: AggregatorIx(aggregator), level, egress };
    let path: Arc<[LinkIx]> = [LinkIx(0)].into();
    for aggregator in 0..4 {
        planner.put(
            key(aggregator),
            std::slice::from_ref(&path),
            FlowDemand { demand: Bandwidth::MAX, boosted: false },
        );
    }
    let rates = |planner: &mut Planner| {
        planner.update();
        (0..4).map(|aggregator| planner.rate(key(aggregator)).unwrap().rate.as_bps()).collect::<Vec<_>>()
    };
    are_near(&rates(&mut planner), &[250; 4]);
    let share = TenantShare { tenant: name("acme"), weight: NonZeroU32::MIN };
    planner.set_tenant(AggregatorIx(0), Some(&share));
    are_near(&rates(&mut planner), &[500, 166, 166, 166]);
    planner.set_tenant(AggregatorIx(0), None);
    are_near(&rates(&mut planner), &[250; 4]);
}
