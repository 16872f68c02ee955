//! Paths past included hops: against all simple paths on small networks, and on grids that are too large for those.

use super::*;
use crate::path::cspf::Solver;
use crate::path::disjoint_legs::LegsFound;

/// What legs alone find, without the exact searches before them.
fn by_legs(graph: &Graph, network: &Network, query: &Query<'_>) -> LegsFound {
    let mut workspace = Workspace::default();
    let Ok(solver) = Solver::new(graph, network, query, &mut workspace) else { return LegsFound::Impossible };
    solver.past_hops(&solver.filter, solver.start(), &mut workspace.scratch.astar)
}

/// Both directions of every fibre in the same state.
fn symmetric(mut network: Network) -> Network {
    let twins: Vec<Option<LinkIx>> = network.topology.links().map(|(_, link)| link.twin).collect();
    for (at, twin) in twins.iter().enumerate() {
        if let Some(twin) = twin {
            network.state[at] = network.state[twin.at().min(at)];
        } else {
            network.state[at].usable = false;
        }
    }
    network
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..crate::property_cases(1_500) })]

    #[test]
    fn legs_are_a_path_and_are_impossible_only_where_there_is_none(
        (network, metric, _, bandwidth_bps) in case(7, 12),
        include in prop::collection::vec(hop(), 1..4),
        exclude in prop::collection::vec(hop(), 0..2),
    ) {
        let graph = Graph::new(&network.topology);
        let constraints = Constraints { include, exclude, ..Constraints::default() };
        for (ingress, egress) in every_pair(&network).filter(|(ingress, egress)| ingress != egress) {
            let query = Query { ingress, egress, bandwidth_bps, metric, constraints: &constraints };
            let oracle = Oracle { network: &network, query };
            match by_legs(&graph, &network, &query) {
                LegsFound::Path(path) => {
                    let links: Vec<LinkIx> = path.into_iter().map(LinkIx).collect();
                    prop_assert!(oracle.is_good(&nodes_of(&network, ingress, &links), &links), "{:?}: {:?}", query, links);
                }
                LegsFound::Impossible => prop_assert_eq!(oracle.costs().len(), 0, "{:?}", query),
                LegsFound::Unknown => {}
            }
        }
    }

    #[test]
    fn one_node_is_passed_wherever_it_can_be_if_links_are_open_both_ways(
        (network, metric, _, bandwidth_bps) in case(7, 12),
        node in 0_u32..7,
        exclude in prop::collection::vec((0_u32..7).prop_map(|at| Hop::Node(NodeIx(at))), 0..2),
    ) {
        let network = symmetric(network);
        let graph = Graph::new(&network.topology);
        let constraints = Constraints { include: vec![Hop::Node(NodeIx(node))], exclude, ..Constraints::default() };
        for (ingress, egress) in every_pair(&network).filter(|(ingress, egress)| ingress != egress) {
            let query = Query { ingress, egress, bandwidth_bps, metric, constraints: &constraints };
            let oracle = Oracle { network: &network, query };
            let found = by_legs(&graph, &network, &query);
            prop_assert_eq!(matches!(found, LegsFound::Path(_)), !oracle.all().is_empty(), "{:?}: {:?}", query, found);
            prop_assert!(found != LegsFound::Unknown);
        }
    }
}

/// `side` by `side` nodes, joined with their neighbours.
fn grid(side: u32) -> Network {
    let to_right = (0..side * side).filter(|at| at % side + 1 < side).map(|at| (at, at + 1));
    let down = (0..side * (side - 1)).map(|at| (at, at + side));
    // A fibre leads on from a lower number to a higher one.
    let fibre = |(from, to): (u32, u32)| ((from, to - 1), (1, 1), (1, 0), (4, 0, true), true);
    build(side * side, &to_right.chain(down).map(fibre).collect::<Vec<_>>())
}

#[test]
fn on_grids_a_path_is_found_wherever_there_is_one() {
    const SIDE: u32 = 40;
    let network = grid(SIDE);
    let graph = Graph::new(&network.topology);
    let mut workspace = Workspace::default();
    let at = |x: u32, y: u32| NodeIx(y * SIDE + x);
    let mut ask = |ingress: NodeIx, include: Hop, egress: NodeIx| {
        let constraints = Constraints { include: vec![include], ..Constraints::default() };
        let query = Query { ingress, egress, bandwidth_bps: 1, metric: Metric::Congestion, constraints: &constraints };
        let answer = shortest(&graph, &network, &query, &mut workspace);
        if let Ok(path) = &answer {
            let nodes = nodes_of(&network, ingress, &path.links);
            assert!(includes(&nodes, &path.links, &constraints.include));
        }
        answer.map(|path| path.links.len())
    };
    // Behind the egress, as seen from the ingress: around it and back is two links more.
    assert_eq!(ask(at(0, 20), Hop::Node(at(22, 20)), at(20, 20)), Ok(26));
    // In a row at the edge, where only one side is left to go around.
    assert_eq!(ask(at(0, 0), Hop::Node(at(30, 0)), at(29, 0)), Ok(33));
    // A corner has two ways in and out, of which both are needed.
    assert_eq!(ask(at(1, 0), Hop::Node(at(0, 0)), at(0, 1)), Ok(2));
    assert_eq!(ask(at(5, 5), Hop::Node(at(0, 0)), at(6, 6)), Ok(22));
    // Against the flow: the link leads away from the egress.
    let back = network.topology.links().find(|(_, link)| link.from == at(20, 20) && link.to == at(19, 20)).unwrap().0;
    assert_eq!(ask(at(0, 20), Hop::Link(back), at(39, 20)), Ok(45));
    let mut draw = 1_u32;
    let mut below = |end: u32| {
        draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (draw >> 8) % end
    };
    for _ in 0..200 {
        let (ingress, include, egress) = (below(1_600), below(1_600), below(1_600));
        if ingress != include && include != egress && ingress != egress {
            assert!(ask(NodeIx(ingress), Hop::Node(NodeIx(include)), NodeIx(egress)).is_ok());
        }
        let link = LinkIx(below(u32::try_from(network.topology.link_count()).unwrap()));
        if ingress != egress {
            assert_ne!(ask(NodeIx(ingress), Hop::Link(link), NodeIx(egress)), Err(NoPath::SearchLimit));
        }
    }
}
