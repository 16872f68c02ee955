//! Every search against the plainest one there is: all simple paths, one by one. Random small multigraphs with parallel
//! links, zero delays, one-way links and islands.

mod limits;
mod past_hops;

use proptest::prelude::*;

use super::*;
use crate::id::{LinkIx, Name, NodeIx};
use crate::topology::{CapacitySource, Link, LinkState, Node, TE_METRIC_MAX, Topology};
use crate::units::{Bandwidth, Micros};

/// A network and its state.
#[derive(Clone, Debug)]
struct Network {
    topology: Topology,
    state: Vec<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    room: u64,
    weight: u32,
    usable: bool,
}

impl Links for Network {
    fn room_bps(&self, link: LinkIx) -> u64 {
        let state = self.state[link.at()];
        if state.usable { state.room } else { 0 }
    }

    fn weight(&self, link: LinkIx) -> u32 {
        self.state[link.at()].weight
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.state[link.at()].usable
    }
}

fn name(text: String) -> Name {
    Name::new(&text).unwrap()
}

fn network(max_nodes: u32, max_links: usize) -> impl Strategy<Value = Network> {
    (2..=max_nodes, prop::bool::ANY).prop_flat_map(move |(nodes, is_symmetric)| {
        let link = (
            (0..nodes, 0..nodes - 1),
            (prop_oneof![9 => 1_u32..5, 1 => TE_METRIC_MAX - 1..=TE_METRIC_MAX], 0_u64..4),
            (0_u32..4, 0_u32..4),
            (0_u64..5, 0_u32..3, prop::bool::weighted(0.9)),
            prop::bool::weighted(if is_symmetric { 1.0 } else { 0.6 }),
        );
        prop::collection::vec(link, 0..=max_links).prop_map(move |drawn| build(nodes, &drawn))
    })
}

type Drawn = ((u32, u32), (u32, u64), (u32, u32), (u64, u32, bool), bool);

fn build(nodes: u32, drawn: &[Drawn]) -> Network {
    let node = |at| Node { name: name(format!("n{at}")), label: None, position: None, switch: None };
    let mut links: Vec<(Link, State)> = Vec::new();
    for &((from, skip), (te_metric, delay), (group, srlg), (room, load, usable), both_ways) in drawn {
        let to = if skip >= from { skip + 1 } else { skip };
        let at = u32::try_from(links.len()).unwrap();
        let link = |from, to, number: u32, twin| Link {
            name: name(format!("l{number}")),
            from: NodeIx(from),
            to: NodeIx(to),
            capacity: Bandwidth::saturating_from_bps(10),
            max_reservable: Bandwidth::saturating_from_bps(10),
            te_metric,
            delay: Micros(delay),
            srlg: if srlg == 0 { vec![] } else { vec![srlg] },
            admin_group: group,
            state: LinkState::Up,
            from_port: None,
            to_port: None,
            twin,
            capacity_from: CapacitySource::Given,
            is_avoided: false,
        };
        let state = State { room, weight: WEIGHT_ONE + load * 700, usable };
        if both_ways {
            links.push((link(from, to, at, Some(LinkIx(at + 1))), state));
            let back = State { room: (room + 2) % 5, ..state };
            links.push((link(to, from, at + 1, Some(LinkIx(at))), back));
        } else {
            links.push((link(from, to, at, None), state));
        }
    }
    let by_name: std::collections::BTreeMap<Name, State> =
        links.iter().map(|(link, state)| (link.name.clone(), *state)).collect();
    let nodes = (0..nodes).map(node).collect();
    let topology = Topology::new(nodes, links.into_iter().map(|(link, _)| link).collect()).unwrap();
    let state = topology.links().map(|(_, link)| by_name[&link.name]).collect();
    Network { topology, state }
}

fn metric() -> impl Strategy<Value = Metric> {
    prop::sample::select(vec![Metric::Congestion, Metric::CongestionTe, Metric::Te, Metric::Hops, Metric::Delay])
}

fn hop() -> impl Strategy<Value = Hop> {
    prop_oneof![(0_u32..7).prop_map(|at| Hop::Node(NodeIx(at))), (0_u32..20).prop_map(|at| Hop::Link(LinkIx(at)))]
}

prop_compose! {
    fn constraints()(
        max_hops in prop::option::weighted(0.3, 0_u32..6),
        max_delay in prop::option::weighted(0.3, 0_u64..9),
        include in prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(hop(), 0..3)],
        exclude in prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(hop(), 0..3)],
        include_any in prop_oneof![5 => Just(0_u32), 1 => 1_u32..4],
        exclude_any in prop_oneof![5 => Just(0_u32), 1 => 1_u32..4],
        route in prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec((hop(), any::<bool>()), 0..4)],
    ) -> Constraints {
        let route = route.into_iter().map(|(hop, strict)| RouteHop { hop, strict }).collect();
        Constraints {
            metric: None, max_hops, max_delay: max_delay.map(Micros), include, exclude, include_any, exclude_any, route,
        }
    }
}

/// The reference: walks every simple path, and judges each one whole.
struct Oracle<'a> {
    network: &'a Network,
    query: Query<'a>,
}

impl Oracle<'_> {
    fn all(&self) -> Vec<Vec<LinkIx>> {
        let mut found = Vec::new();
        let Query { ingress, egress, .. } = self.query;
        if ingress != egress {
            self.grow(&mut vec![ingress], &mut Vec::new(), egress, &mut found);
        }
        found
    }

    fn grow(&self, nodes: &mut Vec<NodeIx>, links: &mut Vec<LinkIx>, egress: NodeIx, found: &mut Vec<Vec<LinkIx>>) {
        let at = *nodes.last().unwrap();
        if at == egress {
            if self.is_good(nodes, links) {
                found.push(links.clone());
            }
            return;
        }
        for (ix, link) in self.network.topology.links() {
            if link.from == at && !nodes.contains(&link.to) {
                nodes.push(link.to);
                links.push(ix);
                self.grow(nodes, links, egress, found);
                links.pop();
                nodes.pop();
            }
        }
    }

    fn is_good(&self, nodes: &[NodeIx], links: &[LinkIx]) -> bool {
        let Query { constraints: c, bandwidth_bps, .. } = self.query;
        let link = |ix: &LinkIx| self.network.topology.link(*ix).unwrap();
        let delay: u64 = links.iter().map(|ix| link(ix).delay.0).sum();
        c.max_hops.is_none_or(|most| links.len() <= most as usize)
            && c.max_delay.is_none_or(|most| delay <= most.0)
            && links.iter().all(|ix| self.network.is_usable(*ix) && self.network.room_bps(*ix) >= bandwidth_bps)
            && links.iter().all(|ix| c.include_any == 0 || link(ix).admin_group & c.include_any != 0)
            && links.iter().all(|ix| link(ix).admin_group & c.exclude_any == 0)
            && !nodes.iter().any(|node| c.exclude.contains(&Hop::Node(*node)))
            && !links.iter().any(|ix| c.exclude.contains(&Hop::Link(*ix)))
            && includes(nodes, links, &c.include)
            && follows(nodes, links, &c.route)
    }

    fn cost(&self, links: &[LinkIx]) -> u64 {
        let one = |ix: &LinkIx| {
            let link = self.network.topology.link(*ix).unwrap();
            match self.query.metric {
                Metric::Congestion => {
                    let largest = self.network.topology.links().map(|(_, link)| link.te_metric).max().unwrap();
                    let tie = link.te_metric >> (32 - largest.leading_zeros()).saturating_sub(10);
                    (u64::from(self.network.weight(*ix)) << 25) + u64::from(tie)
                }
                Metric::CongestionTe => u64::from(link.te_metric) * u64::from(self.network.weight(*ix)) + 1,
                Metric::Te => u64::from(link.te_metric) * 1_024 + 1,
                Metric::Hops => 1_025,
                Metric::Delay => link.delay.0 * 1_024 + 1,
            }
        };
        links.iter().map(one).sum()
    }

    fn delay(&self, links: &[LinkIx]) -> Micros {
        Micros(links.iter().map(|ix| self.network.topology.link(*ix).unwrap().delay.0).sum())
    }

    fn costs(&self) -> Vec<u64> {
        let mut costs: Vec<u64> = self.all().iter().map(|path| self.cost(path)).collect();
        costs.sort_unstable();
        costs
    }
}

/// What a path passes, in order: nodes at even places, links at odd ones.
fn passed(nodes: &[NodeIx], links: &[LinkIx]) -> Vec<Hop> {
    let mut passed = vec![Hop::Node(nodes[0])];
    for (link, node) in links.iter().zip(&nodes[1..]) {
        passed.extend([Hop::Link(*link), Hop::Node(*node)]);
    }
    passed
}

/// RFC 7896: each hop at or after the place of the one before it.
fn includes(nodes: &[NodeIx], links: &[LinkIx], include: &[Hop]) -> bool {
    let passed = passed(nodes, links);
    let mut places = vec![0];
    for hop in include {
        match passed.iter().position(|one| one == hop) {
            Some(at) => places.push(at),
            None => return false,
        }
    }
    places.is_sorted()
}

/// RFC 3209 §4.3: as included; and a strict node is where the path is or one link away, a strict link comes next.
fn follows(nodes: &[NodeIx], links: &[LinkIx], route: &[RouteHop]) -> bool {
    let hops: Vec<Hop> = route.iter().map(|hop| hop.hop).collect();
    if !includes(nodes, links, &hops) {
        return false;
    }
    let passed = passed(nodes, links);
    let mut node_before = 0;
    for RouteHop { hop, strict } in route {
        let at = passed.iter().position(|one| one == hop).unwrap();
        // A link is met on the way from the node before it; afterwards the path is at the node behind it.
        let is_adjacent = match hop {
            Hop::Node(_) => at <= node_before + 2,
            Hop::Link(_) => at == node_before + 1 || at + 1 == node_before,
        };
        if *strict && !is_adjacent {
            return false;
        }
        node_before = at + at % 2;
    }
    true
}

fn nodes_of(network: &Network, from: NodeIx, links: &[LinkIx]) -> Vec<NodeIx> {
    let mut nodes = vec![from];
    for ix in links {
        let link = network.topology.link(*ix).unwrap();
        assert_eq!(Some(&link.from), nodes.last(), "links join");
        assert!(!nodes.contains(&link.to), "a path passes no node twice");
        nodes.push(link.to);
    }
    nodes
}

fn check(oracle: &Oracle<'_>, path: &FoundPath) {
    let nodes = nodes_of(oracle.network, oracle.query.ingress, &path.links);
    assert_eq!(nodes.last(), Some(&oracle.query.egress));
    assert!(oracle.is_good(&nodes, &path.links), "{path:?} breaks {:?}", oracle.query);
    assert_eq!(path.cost, oracle.cost(&path.links));
    let delay = path.links.iter().map(|ix| oracle.network.topology.link(*ix).unwrap().delay.0).sum();
    assert_eq!(path.delay, Micros(delay));
}

fn case(max_nodes: u32, max_links: usize) -> impl Strategy<Value = (Network, Metric, Constraints, u64)> {
    (network(max_nodes, max_links), metric(), constraints(), 0_u64..5)
}

fn every_pair(network: &Network) -> impl Iterator<Item = (NodeIx, NodeIx)> {
    let nodes = 0..u32::try_from(network.topology.node_count()).unwrap();
    nodes.clone().flat_map(move |a| nodes.clone().map(move |b| (NodeIx(a), NodeIx(b))))
}

fn share(network: &Network, a: &FoundPath, b: &FoundPath, disjointness: Disjointness, from: NodeIx) -> bool {
    let link = |ix: &LinkIx| network.topology.link(*ix).unwrap();
    let links = a.links.iter().any(|ix| b.links.contains(ix) || link(ix).twin.is_some_and(|t| b.links.contains(&t)));
    let more = match disjointness {
        Disjointness::Link => false,
        Disjointness::Srlg => {
            a.links.iter().any(|x| b.links.iter().any(|y| link(x).srlg.iter().any(|risk| link(y).srlg.contains(risk))))
        }
        Disjointness::Node => {
            let inner = |path: &FoundPath| {
                let nodes = nodes_of(network, from, &path.links);
                nodes[1..nodes.len() - 1].to_vec()
            };
            let others = inner(b);
            inner(a).iter().any(|node| others.contains(node))
        }
    };
    links || more
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..crate::property_cases(1_500) })]

    #[test]
    fn the_shortest_path_is_the_shortest((network, metric, constraints, bandwidth_bps) in case(6, 9)) {
        let graph = Graph::new(&network.topology);
        let mut workspace = Workspace::default();
        for (ingress, egress) in every_pair(&network) {
            let query = Query { ingress, egress, bandwidth_bps, metric, constraints: &constraints };
            let oracle = Oracle { network: &network, query };
            let answer = shortest(&graph, &network, &query, &mut workspace);
            match (&answer, oracle.costs().first()) {
                (Ok(path), Some(least)) => {
                    check(&oracle, path);
                    prop_assert_eq!(path.cost, *least);
                }
                (Err(NoPath::None), None) => {}
                (answer, least) => prop_assert!(false, "{:?} where the least is {:?}: {:?}", answer, least, query),
            }
            prop_assert_eq!(&answer, &shortest(&graph, &network, &query, &mut Workspace::default()));
        }
    }

    #[test]
    fn without_constraints_too((network, metric, _, bandwidth_bps) in case(9, 14)) {
        let graph = Graph::new(&network.topology);
        let mut workspace = Workspace::default();
        let constraints = Constraints::default();
        for (ingress, egress) in every_pair(&network) {
            let query = Query { ingress, egress, bandwidth_bps, metric, constraints: &constraints };
            let oracle = Oracle { network: &network, query };
            let answer = shortest(&graph, &network, &query, &mut workspace);
            prop_assert_eq!(answer.as_ref().map(|path| path.cost).ok(), oracle.costs().first().copied());
            if let Ok(path) = &answer {
                check(&oracle, path);
            }
            prop_assert_eq!(&answer, &shortest(&graph, &network, &query, &mut Workspace::default()));
        }
    }

    #[test]
    fn the_k_shortest_are_the_first_k((network, metric, constraints, bandwidth_bps) in case(6, 8)) {
        let graph = Graph::new(&network.topology);
        let mut workspace = Workspace::default();
        for (ingress, egress) in every_pair(&network).take(8) {
            let query = Query { ingress, egress, bandwidth_bps, metric, constraints: &constraints };
            let oracle = Oracle { network: &network, query };
            let paths = k_shortest(&graph, &network, &query, 10, &mut workspace).unwrap_or_default();
            paths.iter().for_each(|path| check(&oracle, path));
            let costs: Vec<u64> = paths.iter().map(|path| path.cost).collect();
            let expected: Vec<u64> = oracle.costs().into_iter().take(10).collect();
            prop_assert_eq!(costs, expected);
            let mut different: Vec<_> = paths.iter().map(|path| &path.links).collect();
            different.sort();
            different.dedup();
            prop_assert_eq!(different.len(), paths.len());
        }
    }

    #[test]
    fn the_pair_is_the_cheapest_pair(
        (network, metric, constraints, bandwidth_bps) in case(6, 9),
        is_free in prop::bool::weighted(0.7),
        disjointness in prop::sample::select(vec![Disjointness::Link, Disjointness::Srlg, Disjointness::Node]),
    ) {
        let constraints = if is_free { Constraints::default() } else { constraints };
        let graph = Graph::new(&network.topology);
        let mut workspace = Workspace::default();
        for (ingress, egress) in every_pair(&network).take(12) {
            let query = Query { ingress, egress, bandwidth_bps, metric, constraints: &constraints };
            let oracle = Oracle { network: &network, query };
            let all: Vec<FoundPath> = oracle.all().into_iter().map(|links| FoundPath {
                cost: oracle.cost(&links), delay: oracle.delay(&links), links,
            }).collect();
            let pairs = all.iter().flat_map(|a| all.iter().map(move |b| (a, b)));
            let apart = pairs.filter(|(a, b)| !share(&network, a, b, disjointness, ingress));
            let least = apart.map(|(a, b)| a.cost + b.cost).min();
            match (disjoint_pair(&graph, &network, &query, disjointness, &mut workspace), least) {
                (Ok((first, second)), Some(least)) => {
                    check(&oracle, &first);
                    check(&oracle, &second);
                    prop_assert!(!share(&network, &first, &second, disjointness, ingress));
                    prop_assert_eq!(first.cost + second.cost, least);
                }
                (Err(NoPath::None), None) => {}
                (answer, least) => prop_assert!(false, "{:?} where the least is {:?}: {:?}", answer, least, query),
            }
        }
    }

    #[test]
    fn the_reason_is_the_first_that_leaves_no_path((network, metric, constraints, bandwidth_bps) in case(6, 8)) {
        let graph = Graph::new(&network.topology);
        let mut workspace = Workspace::default();
        for (ingress, egress) in every_pair(&network) {
            let query = Query { ingress, egress, bandwidth_bps, metric, constraints: &constraints };
            let reason = explain(&graph, &network, &query, &mut workspace);
            prop_assert_eq!(&reason, &expected_reason(&network, query, &reason));
        }
    }
}

/// What the reference says; of the binding links it judges `said`, since the widest path need not be the only one.
fn expected_reason(network: &Network, query: Query<'_>, said: &Reason) -> Reason {
    let everything = Network {
        state: network.state.iter().map(|state| State { room: u64::MAX, usable: true, ..*state }).collect(),
        topology: network.topology.clone(),
    };
    let mut usable = network.clone();
    usable.state.iter_mut().for_each(|state| state.room = u64::MAX);
    let asked = query.constraints;
    let all = |network: &Network, constraints: &Constraints, bandwidth_bps| {
        Oracle { network, query: Query { constraints, bandwidth_bps, ..query } }.all()
    };
    let mut constraints = Constraints::default();
    if all(&everything, &constraints, 0).is_empty() {
        return Reason::Disconnected;
    }
    if all(&usable, &constraints, 0).is_empty() {
        return Reason::LinksDown;
    }
    constraints.exclude.clone_from(&asked.exclude);
    if all(&usable, &constraints, 0).is_empty() {
        return Reason::Excluded;
    }
    (constraints.include_any, constraints.exclude_any) = (asked.include_any, asked.exclude_any);
    if all(&usable, &constraints, 0).is_empty() {
        return Reason::AdminGroup;
    }
    constraints.include.clone_from(&asked.include);
    constraints.route.clone_from(&asked.route);
    let paths = all(&usable, &constraints, 0);
    let Some(fewest) = paths.iter().map(Vec::len).min() else { return Reason::Include };
    if asked.max_hops.is_some_and(|most| fewest > most as usize) {
        return Reason::MaxHops { least: u32::try_from(fewest).unwrap() };
    }
    constraints.max_hops = asked.max_hops;
    let delay = |path: &Vec<LinkIx>| path.iter().map(|ix| network.topology.link(*ix).unwrap().delay).map(|d| d.0).sum();
    let least = Micros(all(&usable, &constraints, 0).iter().map(delay).min().unwrap());
    if asked.max_delay.is_some_and(|most| least > most) {
        return Reason::MaxDelay { least };
    }
    let width = |path: &Vec<LinkIx>| path.iter().map(|ix| network.room_bps(*ix)).min().unwrap();
    let largest = all(network, asked, 0).iter().map(width).max().unwrap();
    let Reason::Bandwidth { binding, .. } = said else { panic!("{said:?} where it is the bandwidth") };
    assert_eq!(binding.is_empty(), query.bandwidth_bps <= largest);
    for (link, room) in binding {
        assert_eq!(*room, network.room_bps(*link));
        assert!((largest..query.bandwidth_bps).contains(room));
    }
    Reason::Bandwidth { binding: binding.clone(), largest_admissible_bps: largest }
}

/// The files of this room in the order of `mod.rs`, from the lowest floor up.
const FILES: [(&str, &str); 19] = [
    ("query", include_str!("query.rs")),
    ("csr", include_str!("csr.rs")),
    ("chain_contraction", include_str!("chain_contraction.rs")),
    ("graph", include_str!("graph.rs")),
    ("marks", include_str!("marks.rs")),
    ("distance_table", include_str!("distance_table.rs")),
    ("waypoints", include_str!("waypoints.rs")),
    ("edge_cost", include_str!("edge_cost.rs")),
    ("edge_filter", include_str!("edge_filter.rs")),
    ("astar", include_str!("astar.rs")),
    ("constrained_labels", include_str!("constrained_labels.rs")),
    ("disjoint_flow", include_str!("disjoint_flow.rs")),
    ("disjoint_legs", include_str!("disjoint_legs.rs")),
    ("workspace", include_str!("workspace.rs")),
    ("cspf", include_str!("cspf.rs")),
    ("yen", include_str!("yen.rs")),
    ("suurballe", include_str!("suurballe.rs")),
    ("disjoint", include_str!("disjoint.rs")),
    ("explain", include_str!("explain.rs")),
];

#[test]
fn each_file_names_only_files_below_it() {
    let listed = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let listed: Vec<&str> = listed.filter(|name| *name != "tests").collect();
    assert_eq!(listed, FILES.map(|(name, _)| name));
    for (at, (name, text)) in FILES.iter().enumerate() {
        for path in text.split("super::").skip(1) {
            let named = path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            assert!(listed[..at].contains(&named), "{name} names {named}");
        }
    }
}
