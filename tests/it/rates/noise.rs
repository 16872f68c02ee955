//! What reports that waver cost in commands, and that the plan is followed for all that.

use std::collections::BTreeMap;

use kernel::bam::ModelKind;
use kernel::id::AllocationId;
use kernel::scheduler::SchedulerSettings;
use kernel::units::Share;
use proptest::prelude::*;

use super::dispatch::{MBPS, World, settings};
use super::models::{model, set_model};
use super::multipath::DIAMOND;

const ONE_PATH: [(&str, u64); 1] = [("a-d", 10 * MBPS)];
const LADDER: [(&str, u64); 8] = [
    ("a-b", 10 * MBPS),
    ("b-d", 10 * MBPS),
    ("a-c", 10 * MBPS),
    ("c-d", 10 * MBPS),
    ("a-e", 10 * MBPS),
    ("e-d", 10 * MBPS),
    ("a-f", 10 * MBPS),
    ("f-d", 10 * MBPS),
];
const MODELS: [ModelKind; 4] = [ModelKind::Mam, ModelKind::Rdm, ModelKind::Gbam, ModelKind::Atcs];
const AGGREGATORS: [&str; 8] = ["g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7"];

/// Paths from a to d.
#[derive(Clone, Copy, Debug)]
struct Paths {
    links: &'static [(&'static str, u64)],
    count: u64,
}

const NETWORKS: [Paths; 3] =
    [Paths { links: &ONE_PATH, count: 1 }, Paths { links: &DIAMOND, count: 2 }, Paths { links: &LADDER, count: 4 }];

#[derive(Clone, Copy, Debug)]
struct Case {
    paths: Paths,
    kind: ModelKind,
    /// Of what all paths carry, in percent.
    load: u64,
    /// The levels of aggregators, in turn.
    levels: &'static [u8],
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        NETWORKS.into_iter().flat_map(|paths| {
            let cases = MODELS.into_iter().flat_map(|kind| [(kind, 84), (kind, 150)]);
            let levels: [&[u8]; 2] = [&[1], &[0, 1, 2]];
            cases.flat_map(move |(kind, load)| levels.map(|levels| Self { paths, kind, load, levels }))
        })
    }

    fn world(&self, settings: SchedulerSettings) -> World {
        let mut world = World::new(self.paths.links, settings);
        set_model(&mut world, model(self.kind));
        world
    }

    fn mean_bps(&self) -> u64 {
        self.paths.count * 10 * MBPS * self.load / 100 / AGGREGATORS.len() as u64
    }
}

/// Eight aggregators at node a, each with consumers of one level at node d.
struct Edge {
    case: Case,
    world: World,
    /// A scheduler without hysteresis, which hears the same: when it has adjusted, its rates are the plan.
    exact: World,
    wave: u64,
    held: BTreeMap<String, BTreeMap<AllocationId, u64>>,
    /// By aggregator, in how many moments reservations of its flow changed.
    resizes: [usize; 8],
}

impl Edge {
    fn new(case: Case) -> Self {
        let exact = SchedulerSettings { raise_by: Share::NONE, lower_by: Share::NONE, ..settings() };
        let (world, exact) = (case.world(settings()), case.world(exact));
        Self { case, world, exact, wave: 0, held: BTreeMap::new(), resizes: [0; 8] }
    }

    fn level(&self, at: usize) -> u8 {
        self.case.levels[at % self.case.levels.len()]
    }

    fn report(&mut self, at: usize, demand_bps: u64) {
        let level = self.level(at);
        for world in [&mut self.world, &mut self.exact] {
            let metadata = world.metadata("a", &[(level, demand_bps, "d")]);
            world.report(AGGREGATORS[at], metadata).unwrap();
        }
    }

    fn pass(&mut self, ms: u64) {
        self.world.pass_by_deadlines(ms);
        self.exact.pass_by_deadlines(ms);
    }

    /// Each aggregator reports four times a second, at a time of its own, a demand that wavers by a tenth.
    fn waver(&mut self, seconds: u64) {
        for at in (0..4 * seconds).flat_map(|_| 0..AGGREGATORS.len()) {
            self.pass(if at % 4 == 0 { 32 } else { 31 });
            self.count();
            self.wave = self.wave.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.report(at, self.case.mean_bps() * (900 + (self.wave >> 33) % 201) / 1_000);
            self.count();
        }
    }

    fn count(&mut self) {
        let mut held: BTreeMap<String, BTreeMap<AllocationId, u64>> = BTreeMap::new();
        for one in self.world.state().allocations_after(None) {
            let aggregator = one.demand.attributes.aggregator.as_ref().unwrap().to_string();
            held.entry(aggregator).or_default().insert(one.id, one.demand.bandwidth.as_bps());
        }
        for (resizes, id) in self.resizes.iter_mut().zip(AGGREGATORS) {
            *resizes += usize::from(self.held.get(id) != held.get(id));
        }
        self.held = held;
    }

    fn rate(&self, at: usize) -> u64 {
        self.world.rate(AGGREGATORS[at], self.level(at).into())
    }

    /// What the hysteresis leaves between a rate and its plan: 3 % below, and above it a tenth of the rate.
    fn check(&self, ats: impl IntoIterator<Item = usize>) {
        self.world.check(&AGGREGATORS);
        for at in ats {
            let (rate, planned) = (self.rate(at), self.exact.rate(AGGREGATORS[at], self.level(at).into()));
            let is_near = rate * 103 / 100 + 8 >= planned && rate * 9 / 10 <= planned + 8;
            assert!(is_near, "{}: {rate}, planned {planned}: {:?}", AGGREGATORS[at], self.case);
        }
    }
}

#[test]
fn noise_costs_a_flow_one_resize_a_second_at_most() {
    const SECONDS: u64 = 8;
    for case in Case::all() {
        let mut edge = Edge::new(case);
        edge.waver(3);
        let (commands, setbacks) = (edge.world.commands(), edge.world.setbacks());
        edge.resizes = [0; 8];
        edge.waver(SECONDS);
        let commands = edge.world.commands() - commands;
        let (most, sum) = (edge.resizes.into_iter().max().unwrap(), edge.resizes.iter().sum::<usize>());
        let each = |count: usize| count as f64 / (SECONDS as f64 * AGGREGATORS.len() as f64);
        let Case { paths, kind, load, levels } = case;
        println!(
            "{kind:?}, {} paths, {load} %, levels {levels:?}: {:.2} resizes and {:.2} commands a flow and second",
            paths.count,
            each(sum),
            each(commands)
        );
        assert!(most as u64 <= SECONDS, "{most} resizes of a flow: {case:?}");
        assert_eq!(edge.world.setbacks(), setbacks, "denials and preemptions: {case:?}");
        edge.pass(2_000);
        edge.check(0..AGGREGATORS.len());
    }
}

#[test]
fn a_jump_among_noise_is_followed_at_once() {
    for case in Case::all().filter(|case| case.kind == ModelKind::Atcs) {
        let mut edge = Edge::new(case);
        edge.waver(3);
        for percent in [40, 100, 200, 50] {
            edge.report(2, case.mean_bps() * percent / 100);
            edge.check([2]);
            edge.pass(31);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Woken by its deadlines alone.
    #[test]
    fn no_change_waits_for_ever(
        paths in prop::sample::select(NETWORKS.to_vec()),
        kind in prop::sample::select(MODELS.to_vec()),
        steps in prop::collection::vec((0..AGGREGATORS.len(), 20_u64..200, 0_u64..600), 1..60),
    ) {
        let mut edge = Edge::new(Case { paths, kind, load: 100, levels: &[0, 1, 2] });
        // The first path of a flow is the one that has room when it comes: that of both schedulers.
        (0..AGGREGATORS.len()).for_each(|at| edge.report(at, 1_000));
        edge.pass(1);
        for (at, percent, ms) in steps {
            edge.report(at, edge.case.mean_bps() * percent / 100);
            edge.pass(1 + ms);
        }
        edge.pass(2_000);
        edge.check(0..AGGREGATORS.len());
    }
}
