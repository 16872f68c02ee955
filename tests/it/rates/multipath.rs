//! Flows of several paths: plans beside the optimum over every division, what they promise, and their reservations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kernel::command::{Command, LinkChange};
use kernel::id::{AllocationId, LinkIx, NodeIx};
use kernel::path::{Graph, Workspace};
use kernel::scheduler::{
    AggregatorIx, DivisionPolicy, FlowDemand, FlowKey, FlowRate, PathKey, Planner, QosLevel, SchedulerSettings,
};
use kernel::topology::{Link, LinkState, Node, Topology};
use kernel::units::Bandwidth;
use proptest::prelude::*;

use super::commodities::{Commodity, draw, nearness, paths, planned};
use super::dispatch::{MBPS, World, settings};
use crate::kernel::{name, network};

pub(super) const DIAMOND: [(&str, u64); 4] =
    [("a-b", 10 * MBPS), ("b-d", 10 * MBPS), ("a-c", 10 * MBPS), ("c-d", 10 * MBPS)];

fn nsfnet() -> Topology {
    let document = include_bytes!("../../../topologies/nsfnet.json");
    formats::read(document, &formats::ReadOptions::default()).unwrap().topology
}

/// A random tree of a few nodes and as many links more, of 1 to 10 Mbit/s.
fn small(seed: u64) -> Topology {
    let mut state = seed * 2 + 1;
    let mut below = move |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    };
    let nodes = 4 + below(5);
    let mut edges = BTreeSet::new();
    for node in 1..nodes {
        edges.insert((below(node), node));
    }
    for _ in 0..nodes {
        let (one, other) = (below(nodes), below(nodes));
        if one != other {
            edges.insert((one.min(other), one.max(other)));
        }
    }
    let edges: Vec<_> = edges.into_iter().map(|(one, other)| (one, other, (1 + below(10)) * MBPS)).collect();
    let both =
        edges.iter().flat_map(|(one, other, bps)| [(format!("{one}-{other}"), *bps), (format!("{other}-{one}"), *bps)]);
    let both: Vec<_> = both.collect();
    network(&both.iter().map(|(text, bps)| (text.as_str(), *bps)).collect::<Vec<_>>())
}

fn fine() -> SchedulerSettings {
    SchedulerSettings { step_bits: 12, ..SchedulerSettings::default() }
}

#[test]
fn thirty_aggregators_on_nsfnet_are_near_the_optimum() {
    let topology = nsfnet();
    // Among the first twelve draws of endless demands, those that were furthest away with four candidates.
    let cases = [(0, None), (3, None), (6, None), (3, Some(9_000 * MBPS))];
    let near = cases.map(|(seed, demand)| nearness(&topology, &draw(seed, 14, 30, demand), &fine()));
    assert!(near.iter().all(|near| near.least >= 0.95 && near.total >= 0.97), "{near:?}");
}

#[test]
fn one_that_nothing_can_help_leaves_thirty_near_the_optimum() {
    let whole = nsfnet();
    let (mut nodes, mut links): (Vec<_>, Vec<_>) =
        (whole.nodes().map(|(_, node)| node.clone()).collect(), whole.links().map(|(_, link)| link.clone()).collect());
    // Beside the others, over a link of a hundredth of what the least of them has.
    let at = |place: usize| NodeIx(u32::try_from(place).unwrap());
    let ends = (at(nodes.len()), at(nodes.len() + 1));
    nodes.extend(["x", "y"].map(|text| Node { name: name(text), ..nodes[0].clone() }));
    let thin = Bandwidth::from_bps(20 * MBPS).unwrap();
    let (from, to) = ends;
    let link = Link { name: name("x-y"), from, to, capacity: thin, max_reservable: thin, ..links[0].clone() };
    links.push(Link { from_port: None, to_port: None, twin: None, ..link });
    let topology = Topology::new(nodes, links).unwrap();
    let mut commodities = draw(3, 14, 30, None);
    commodities.push(Commodity { ends, demand_bps: 1 << 40 });
    let near = nearness(&topology, &commodities, &fine());
    assert!(near.lowest >= 0.95 && near.total >= 0.97, "{near:?}");
}

#[test]
fn most_small_networks_are_near_the_optimum() {
    let near: Vec<_> = (0..40)
        .map(|seed| {
            let topology = small(seed);
            let demand = [None, Some(8 * MBPS)][usize::from(seed % 2 == 1)];
            let nodes = topology.node_count() as u64;
            nearness(&topology, &draw(seed, nodes, 2 + (seed % 7) as usize, demand), &fine())
        })
        .collect();
    let good = near.iter().filter(|near| near.least >= 0.95 && near.total >= 0.97).count();
    // In the others a flow is split over more than four paths, or rounds end before.
    assert!(good >= 35, "{good} of 40: {near:?}");
    assert!(near.iter().all(|near| near.least >= 0.8 && near.total >= 0.8), "{near:?}");
}

#[test]
fn a_diamond_is_used_as_a_whole() {
    let topology = network(&DIAMOND);
    let at = |name: &str| topology.node_named(name).unwrap();
    let flow = |demand_bps| Commodity { ends: (at("a"), at("d")), demand_bps };
    let rates = planned(&topology, &[flow(100 * MBPS), flow(100 * MBPS), flow(2 * MBPS)], &fine());
    assert!(rates.iter().sum::<u64>() >= 19_900_000, "{rates:?}");
    assert!(rates[0].abs_diff(rates[1]) < MBPS / 10 && rates[2] >= 2 * MBPS, "{rates:?}");
    let alone = SchedulerSettings { max_paths: 1, ..fine() };
    let rates = planned(&topology, &[flow(100 * MBPS), flow(100 * MBPS)], &alone);
    assert!(rates.iter().sum::<u64>() <= 10 * MBPS, "{rates:?}");
}

/// The flows of a plan on a small network: by aggregator, the ends and the demand.
#[derive(Clone, Debug)]
struct Asked {
    topology: u64,
    flows: Vec<(u64, u64, u8, u64)>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let demand = prop_oneof![Just(0), 1_u64..100_000, 100_000_u64..20_000_000, Just(u64::MAX)];
    let flows = prop::collection::vec((0_u64..100, 0_u64..100, 0_u8..3, demand), 1..24);
    (0_u64..1_000, flows).prop_map(|(topology, flows)| Asked { topology, flows })
}

type PlacedFlow = (FlowKey, Vec<Arc<[LinkIx]>>, FlowDemand);

impl Asked {
    fn place(&self, topology: &Topology, paths_max: usize) -> Vec<PlacedFlow> {
        let (graph, mut workspace) = (Graph::new(topology), Workspace::default());
        let nodes = topology.node_count() as u64;
        let node = |at: u64| NodeIx(u32::try_from(at % nodes).unwrap());
        let placed = (0..).zip(&self.flows).map(|(at, (from, to, level, demand))| {
            let from = from % nodes;
            let egress = node(from + 1 + to % (nodes - 1));
            let key = FlowKey { aggregator: AggregatorIx(at), level: QosLevel::new(*level).unwrap(), egress };
            let demand = Bandwidth::saturating_from_bps(*demand);
            let paths = paths(topology, &graph, (node(from), egress), paths_max, &mut workspace);
            (key, paths, FlowDemand { demand, boosted: false })
        });
        placed.collect()
    }
}

fn plan<'a>(
    topology: &Topology,
    settings: &SchedulerSettings,
    flows: impl Iterator<Item = &'a PlacedFlow>,
) -> BTreeMap<PathKey, FlowRate> {
    let capacities: Vec<_> = topology.links().map(|(_, link)| link.capacity).collect();
    let mut planner = Planner::new(settings.clone(), &capacities);
    for (at, (key, paths, want)) in flows.enumerate() {
        planner.put(*key, paths, *want);
        if at % 8 == 0 {
            planner.update();
        }
    }
    planner.rebalance();
    planner.update();
    planner.rates().filter(|(_, rate)| !rate.rate.is_zero()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn links_carry_what_they_have_in_whatever_order_flows_came(asked in asked()) {
        let (topology, settings) = (small(asked.topology), SchedulerSettings::default());
        let flows = asked.place(&topology, settings.candidates_max());
        let forward = plan(&topology, &settings, flows.iter());
        prop_assert_eq!(&forward, &plan(&topology, &settings, flows.iter().rev()));
        let mut carried = vec![0; topology.link_count()];
        let by_key: BTreeMap<_, _> = flows.iter().map(|(key, paths, _)| (*key, paths)).collect();
        for (key, rate) in &forward {
            by_key[&key.flow][usize::from(key.path)].iter().for_each(|link| carried[link.at()] += rate.rate.as_bps());
        }
        for (ix, link) in topology.links() {
            prop_assert!(carried[ix.at()] <= link.capacity.as_bps());
        }
        for (key, _, want) in &flows {
            prop_assert!(forward.keys().filter(|path| path.flow == *key).count() <= settings.paths_max());
            let sum: u64 = forward.iter().filter(|(path, _)| path.flow == *key).map(|(_, rate)| rate.rate.as_bps()).sum();
            // Each piece of each path is rounded up to a step.
            let most = u128::from(want.demand.as_bps()) * 33 / 32 + 64;
            prop_assert!(u128::from(sum) <= most, "{sum} of {want:?}");
        }
    }

    #[test]
    fn one_path_is_the_plan_of_the_first_paths(asked in asked()) {
        let topology = small(asked.topology);
        let flows = asked.place(&topology, 4);
        let firsts: Vec<_> = flows.iter().map(|(key, paths, want)| (*key, paths[..1].to_vec(), *want)).collect();
        for policy in [DivisionPolicy::MaxMin, DivisionPolicy::Fixed, DivisionPolicy::BufferAware] {
            let max_paths = if policy == DivisionPolicy::MaxMin { 1 } else { 4 };
            let settings = SchedulerSettings { max_paths, policy, ..SchedulerSettings::default() };
            prop_assert_eq!(plan(&topology, &settings, flows.iter()), plan(&topology, &settings, firsts.iter()));
        }
    }
}

/// The scheduler's reservations, with their links.
fn held(world: &World) -> Vec<(AllocationId, u64, Vec<String>)> {
    let topology = world.state().network("net").unwrap().topology();
    let links = |path: &[LinkIx]| path.iter().map(|link| topology.link(*link).unwrap().name.to_string()).collect();
    let allocations = world.state().allocations_after(None);
    allocations.map(|one| (one.id, one.demand.bandwidth.as_bps(), links(&one.path))).collect()
}

fn ask(world: &mut World, bps: u64) {
    world.pass(1);
    let metadata = world.metadata("a", &[(1, bps, "d")]);
    world.report("ag", metadata).unwrap();
    world.check(&["ag"]);
}

#[test]
fn each_path_is_an_allocation_and_a_second_is_taken_only_where_it_is_needed() {
    let mut world = World::new(&DIAMOND, settings());
    ask(&mut world, 6 * MBPS);
    assert_eq!(held(&world).len(), 1);
    ask(&mut world, 16 * MBPS);
    let paths = held(&world);
    assert_eq!(paths.len(), 2);
    assert_ne!(paths[0].2, paths[1].2);
    assert!(world.rate("ag", 1) >= 16 * MBPS, "{paths:?}");
    // Before long the second is let go of.
    ask(&mut world, 5 * MBPS);
    assert_eq!(held(&world).len(), 1);
    assert!(world.rate("ag", 1) >= 5 * MBPS);
}

#[test]
fn a_path_that_fails_leaves_the_others() {
    let mut world = World::new(&DIAMOND, settings());
    ask(&mut world, 16 * MBPS);
    let before = held(&world);
    let change = |state| LinkChange { state: Some(state), ..LinkChange::default() };
    for (link, survivor) in [("a-b", "a-c"), ("a-c", "a-b")] {
        world.carry_out(&Command::ChangeLink {
            topology: name("net"),
            link: name(link),
            change: change(LinkState::Down),
        });
        world.follow();
        world.check(&["ag"]);
        let left = held(&world);
        assert!(left.iter().all(|(_, _, links)| links[0] == survivor), "{left:?}");
        assert!((9_800_000..=10 * MBPS).contains(&world.rate("ag", 1)), "{left:?}");
        world.carry_out(&Command::ChangeLink {
            topology: name("net"),
            link: name(link),
            change: change(LinkState::Up),
        });
        world.follow();
        ask(&mut world, 16 * MBPS);
        assert!(world.rate("ag", 1) >= 16 * MBPS, "{before:?} {:?}", held(&world));
    }
}

#[test]
fn a_denial_of_one_path_leaves_the_others() {
    let mut world = World::new(&DIAMOND, settings());
    ask(&mut world, 6 * MBPS);
    // Another client has the other path, and the scheduler has not heard of it.
    let other = if held(&world)[0].2[0] == "a-b" { "c" } else { "b" };
    world.carry_out(&Command::Allocate(Box::new(crate::kernel::request("a", other, 1, 10 * MBPS))));
    ask(&mut world, 16 * MBPS);
    assert!(world.rate("ag", 1) >= 7_900_000, "{:?}", held(&world));
    world.follow();
    world.check(&["ag"]);
    assert!((9_700_000..=10 * MBPS).contains(&world.rate("ag", 1)), "{:?}", held(&world));
}

#[test]
fn after_a_restart_every_path_of_a_flow_is_taken_up() {
    let mut world = World::new(&DIAMOND, settings());
    ask(&mut world, 16 * MBPS);
    let before = held(&world);
    world.restart(settings());
    let asked = world.commands();
    ask(&mut world, 16 * MBPS);
    assert_eq!((held(&world), world.commands()), (before, asked), "nothing was to be signalled");
    // A scheduler of one path gives the other back.
    world.restart(SchedulerSettings { max_paths: 1, ..settings() });
    ask(&mut world, 16 * MBPS);
    assert_eq!(held(&world).len(), 1);
    assert!(world.rate("ag", 1) >= 9_800_000);
}

#[test]
fn who_came_among_too_many_has_its_other_path_when_they_have_gone() {
    // Two paths of a thousand links: of some five hundred flows they are more than are divided.
    const HOPS: usize = 1_000;
    let arm = |arm: char| {
        let node = move |at: usize| match at {
            0 => "a".to_owned(),
            HOPS => "d".to_owned(),
            _ => format!("{arm}{at}"),
        };
        (0..HOPS).map(move |at| format!("{}-{}", node(at), node(at + 1)))
    };
    let links: Vec<_> = ['b', 'c'].into_iter().flat_map(arm).collect();
    let links: Vec<_> = links.iter().map(|link| (link.as_str(), 10 * MBPS)).collect();
    let lease_ms = 100_000;
    let mut world = World::new(&links, SchedulerSettings { floor_bps: 0, lease_ms, ..settings() });
    let say = |world: &mut World, id: &str, arrivals: &[(u8, u64, &str)]| {
        let metadata = world.metadata("a", arrivals);
        world.report(id, metadata).unwrap();
    };
    let others: Vec<_> = (0..168).map(|at| format!("other{at}")).collect();
    for other in &others {
        say(&mut world, other, &[(0, 0, "d"), (1, 0, "d"), (2, 0, "d")]);
    }
    say(&mut world, "ag", &[(1, 16 * MBPS, "d")]);
    assert!(world.rate("ag", 1) <= 10 * MBPS);
    world.pass(1);
    others.iter().for_each(|other| say(&mut world, other, &[]));
    assert!(world.rate("ag", 1) <= 10 * MBPS);
    world.pass_by_deadlines(10_000);
    assert!(world.rate("ag", 1) >= 16 * MBPS, "{}", world.rate("ag", 1));
    world.check(&["ag"]);
}

#[test]
fn a_controller_that_drives_the_switches_leaves_one_path() {
    let mut world = World::new(&DIAMOND, settings());
    ask(&mut world, 16 * MBPS);
    assert_eq!((held(&world).len(), world.view("ag").max_paths), (2, 4));
    world.carry_out(&Command::PutController {
        name: name("sim"),
        driver: kernel::controller::DriverKind::Simulated,
        address: None,
        topology: name("net"),
        settings: kernel::intent::RuleSettings::default(),
    });
    world.follow();
    world.check(&["ag"]);
    assert_eq!((held(&world).len(), world.view("ag").max_paths), (1, 1));
    assert!((9_800_000..=10 * MBPS).contains(&world.rate("ag", 1)), "{:?}", held(&world));
}
