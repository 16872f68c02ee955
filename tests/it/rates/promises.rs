//! What a plan promises, whatever is asked in whatever order.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel::id::{LinkIx, NodeIx};
use kernel::scheduler::{
    AggregatorIx, DivisionPolicy, FlowDemand, FlowKey, MaxMin, PathKey, Planner, QosLevel, SchedulerSettings,
};
use kernel::units::Bandwidth;
use proptest::prelude::*;

const LINKS: u32 = 6;

fn bandwidth(bps: u64) -> Bandwidth {
    Bandwidth::saturating_from_bps(bps)
}

/// Something that changes.
#[derive(Clone, Debug)]
enum Step {
    Put(FlowKey, Arc<[LinkIx]>, FlowDemand),
    Remove(FlowKey),
    Capacity(LinkIx, Bandwidth),
    Stray(LinkIx, Bandwidth),
    Settle,
}

fn key() -> impl Strategy<Value = FlowKey> {
    (0_u32..8, 0_u8..3, 0_u32..2).prop_map(|(aggregator, level, egress)| FlowKey {
        aggregator: AggregatorIx(aggregator),
        level: QosLevel::new(level).unwrap(),
        egress: NodeIx(egress),
    })
}

/// A flow has one way, so that a way tells nothing of the order of changes.
fn way(key: FlowKey) -> Arc<[LinkIx]> {
    let seed = key.aggregator.0 * 31 + key.egress.0 * 7 + u32::from(key.level.number());
    let first = seed % LINKS;
    (0..1 + seed % 3).map(|hop| LinkIx((first + hop * (1 + seed % 2)) % LINKS)).collect()
}

fn put() -> impl Strategy<Value = Step> {
    let demand = prop_oneof![Just(0), 1_u64..200, 1_000_u64..1_000_000, Just(u64::MAX)];
    (key(), demand, any::<bool>())
        .prop_map(|(key, demand, boosted)| Step::Put(key, way(key), FlowDemand { demand: bandwidth(demand), boosted }))
}

fn step() -> impl Strategy<Value = Step> {
    let capacity = (0..LINKS, prop_oneof![Just(0), 1_u64..2_000_000])
        .prop_map(|(link, bps)| Step::Capacity(LinkIx(link), bandwidth(bps)));
    let stray = (0..LINKS, prop_oneof![Just(0), 1_u64..2_000_000, Just(u64::MAX)])
        .prop_map(|(link, bps)| Step::Stray(LinkIx(link), bandwidth(bps)));
    prop_oneof![
        6 => put(), 1 => key().prop_map(Step::Remove), 1 => capacity, 1 => stray, 2 => Just(Step::Settle)
    ]
}

/// What is asked for in the end.
#[derive(Clone, Default, Debug)]
struct Asked {
    flows: BTreeMap<FlowKey, FlowDemand>,
    capacities: [u64; LINKS as usize],
    strays: [u64; LINKS as usize],
}

impl Asked {
    fn new() -> Self {
        Self { flows: BTreeMap::new(), capacities: [1_000_000; LINKS as usize], strays: [0; LINKS as usize] }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Put(key, _, want) => drop(self.flows.insert(*key, *want)),
            Step::Remove(key) => drop(self.flows.remove(key)),
            Step::Capacity(link, all) => self.capacities[link.at()] = all.as_bps(),
            Step::Stray(link, stray) => self.strays[link.at()] = stray.as_bps(),
            Step::Settle => {}
        }
    }

    fn plan(&self, settings: &SchedulerSettings) -> Planner {
        let mut planner = Planner::new(settings.clone(), &self.capacities.map(bandwidth));
        // Backwards, to be in another order than the steps.
        self.flows.iter().rev().for_each(|(key, want)| planner.put(*key, &[way(*key)], *want));
        for (link, stray) in (0..LINKS).map(LinkIx).zip(self.strays) {
            planner.set_stray(link, bandwidth(stray));
        }
        planner.update();
        planner
    }
}

fn take(planner: &mut Planner, step: &Step) {
    match step {
        Step::Put(key, path, want) => planner.put(*key, std::slice::from_ref(path), *want),
        Step::Remove(key) => planner.remove(*key),
        Step::Capacity(link, all) => planner.set_capacity(*link, *all),
        Step::Stray(link, stray) => planner.set_stray(*link, *stray),
        Step::Settle => drop(planner.update()),
    }
}

fn rates(planner: &Planner) -> BTreeMap<PathKey, (u64, u64)> {
    planner.rates().map(|(key, rate)| (key, (rate.rate.as_bps(), rate.guaranteed.as_bps()))).collect()
}

fn settings() -> impl Strategy<Value = SchedulerSettings> {
    let policy = prop_oneof![3 => Just(DivisionPolicy::MaxMin), 1 => Just(DivisionPolicy::BufferAware), 1 => Just(DivisionPolicy::Fixed)];
    (policy, prop_oneof![Just(6), Just(3), Just(12)]).prop_map(|(policy, step_bits)| SchedulerSettings {
        policy,
        step_bits,
        ..SchedulerSettings::default()
    })
}

fn on_link(planner: &Planner, link: u32, level: Option<u8>) -> u64 {
    let here = planner.rates().filter(|(key, _)| way(key.flow).contains(&LinkIx(link)));
    let of = here.filter(|(key, _)| level.is_none_or(|level| level == key.flow.level.number()));
    of.map(|(_, rate)| rate.rate.as_bps()).sum()
}

proptest! {
    #[test]
    fn a_plan_kept_up_to_date_is_the_plan_made_anew(
        settings in settings(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut asked = Asked::new();
        let mut planner = Planner::new(settings.clone(), &asked.capacities.map(bandwidth));
        let mut told: BTreeMap<PathKey, u64> = BTreeMap::new();
        for step in steps.iter().chain([&Step::Settle]) {
            asked.take(step);
            if let Step::Settle = step {
                for change in planner.update() {
                    told.insert(change.key, change.rate.rate.as_bps());
                }
            } else {
                take(&mut planner, step);
            }
        }
        prop_assert_eq!(rates(&planner), rates(&asked.plan(&settings)));
        // Whoever only listens to changes knows the same plan.
        told.retain(|_, bps| *bps > 0);
        let given: BTreeMap<_, _> =
            rates(&planner).into_iter().map(|(key, (bps, _))| (key, bps)).filter(|(_, bps)| *bps > 0).collect();
        prop_assert_eq!(told, given);
    }

    #[test]
    fn no_link_gives_more_than_it_has(settings in settings(), steps in prop::collection::vec(step(), 1..80)) {
        let mut asked = Asked::new();
        steps.iter().for_each(|step| asked.take(step));
        let planner = asked.plan(&settings);
        for link in 0..LINKS {
            prop_assert!(on_link(&planner, link, None) <= asked.capacities[link as usize]);
        }
        // What aggregators are told sums the same.
        let told: u64 = planner.plan().values().flatten().map(|rate| rate.as_bps()).sum();
        prop_assert_eq!(told, planner.rates().map(|(_, rate)| rate.rate.as_bps()).sum::<u64>());
    }

    #[test]
    fn what_is_not_booked_takes_what_is_lent_and_nothing_guaranteed(
        settings in settings(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut asked = Asked::new();
        steps.iter().for_each(|step| asked.take(step));
        let flooded = asked.plan(&settings);
        let quiet = Asked { strays: [0; LINKS as usize], ..asked.clone() }.plan(&settings);
        for (key, rate) in flooded.rates() {
            prop_assert_eq!(rate.guaranteed, quiet.rate(key.flow).unwrap().guaranteed);
        }
        for link in 0..LINKS {
            let here = flooded.rates().filter(|(key, _)| way(key.flow).contains(&LinkIx(link)));
            let (own, lent) = here.fold((0, 0), |(own, lent), (_, rate)| {
                (own + rate.guaranteed.as_bps(), lent + rate.rate.as_bps() - rate.guaranteed.as_bps())
            });
            let left = asked.capacities[link as usize].saturating_sub(own).saturating_sub(asked.strays[link as usize]);
            // Parts of a bit on either side of the two numbers.
            prop_assert!(lent <= left + asked.flows.len() as u64, "{lent} is lent of {left} on link {link}");
        }
    }

    #[test]
    fn a_level_that_asks_for_more_has_its_share_of_a_link(steps in prop::collection::vec(put(), 1..80)) {
        let settings = SchedulerSettings::default();
        let mut asked = Asked::new();
        steps.iter().for_each(|step| asked.take(step));
        let planner = asked.plan(&settings);
        for (key, want) in &asked.flows {
            let rate = planner.rate(*key).unwrap().rate;
            if rate >= want.demand {
                continue;
            }
            // Somewhere on its way its level has its share, but for one step of each flow: a 64th.
            let level = key.level;
            let share = settings.shares[level.at()];
            let satisfied = way(*key).iter().any(|link| {
                let own = share.of(asked.capacities[link.at()]);
                on_link(&planner, link.0, Some(level.number())) >= own - own / 32 - 16
            });
            prop_assert!(satisfied, "{key:?} wants {want:?} and has {rate:?}");
        }
    }

    #[test]
    fn whoever_asks_for_more_never_gets_less(
        steps in prop::collection::vec(put(), 1..80),
        more in 1_u64..3_000_000,
        chosen in any::<prop::sample::Index>(),
    ) {
        let settings = SchedulerSettings::default();
        let mut asked = Asked::new();
        steps.iter().for_each(|step| asked.take(step));
        let mut planner = asked.plan(&settings);
        let (key, want) = asked.flows.iter().nth(chosen.index(asked.flows.len())).unwrap();
        let before = planner.rate(*key).unwrap().rate;
        let demand = bandwidth(want.demand.as_bps().saturating_add(more));
        planner.put(*key, &[way(*key)], FlowDemand { demand, ..*want });
        planner.update();
        prop_assert!(planner.rate(*key).unwrap().rate >= before);
    }

    #[test]
    fn who_is_not_boosted_keeps_what_they_need_of_their_part(steps in prop::collection::vec(put(), 1..80)) {
        let mut asked = Asked::new();
        steps.iter().for_each(|step| asked.take(step));
        let fixed = asked.plan(&SchedulerSettings { policy: DivisionPolicy::Fixed, ..SchedulerSettings::default() });
        let aware = asked.plan(&SchedulerSettings { policy: DivisionPolicy::BufferAware, ..SchedulerSettings::default() });
        for (key, want) in &asked.flows {
            let (even, rate) = (fixed.rate(*key).unwrap().rate, aware.rate(*key).unwrap().rate);
            if want.boosted {
                prop_assert!(rate >= even);
            } else {
                prop_assert_eq!(rate, even.min(want.demand));
            }
        }
    }

    #[test]
    fn water_finds_its_level_whatever_happened_before(
        bits in 1_u32..12,
        steps in prop::collection::vec((0_usize..24, 1_u32..9, prop_oneof![Just(0), 0_u64..3_000_000]), 1..200),
    ) {
        let way = |at: usize| (0..LINKS).filter(|link| (at * 5 + 3) >> link & 1 == 1).map(LinkIx).collect::<Vec<_>>();
        let caps = [900_000, 1_000, 500_000, 70_000, 2_000_000, 0];
        let mut max_min = MaxMin::new(caps, bits);
        let mut placed = BTreeMap::new();
        for (at, weight, demand) in steps {
            match placed.get(&at).copied() {
                Some((ix, _, _)) if demand % 7 == 0 => {
                    max_min.remove(ix);
                    placed.remove(&at);
                }
                Some((ix, weight, _)) => {
                    max_min.set_demand(ix, demand);
                    placed.insert(at, (ix, weight, demand));
                }
                None => drop(placed.insert(at, (max_min.add(&way(at), weight, demand), weight, demand))),
            }
            if demand % 3 == 0 {
                max_min.update();
            }
        }
        max_min.update();
        let mut anew = MaxMin::new(caps, bits);
        let again: Vec<_> = placed.iter().map(|(at, (_, weight, demand))| anew.add(&way(*at), *weight, *demand)).collect();
        anew.update();
        for ((ix, _, _), other) in placed.values().zip(again) {
            prop_assert_eq!(max_min.rate_bps(*ix), anew.rate_bps(other));
        }
    }
}
