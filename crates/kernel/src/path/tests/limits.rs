//! Limits of hops and delay on small dense graphs with many ties, where labels that are equal in one quantity differ in
//! another: a search whose dominance forgets one of the three loses paths here.

use super::*;

/// A braid of six nodes: three parallel links to the next node, one to the node after that and one back, with metrics and
/// delays of a few values, so that cheap and slow stands against dear and fast at every node.
fn braid() -> impl Strategy<Value = Network> {
    let link = (prop::sample::select(vec![1_u32, 2, 3, 8]), 0_u64..4, 0_u32..2);
    let ends: Vec<(u32, u32)> = (0..5_u32)
        .flat_map(|from| [(from, from + 1), (from, from + 1), (from, from + 1), (from, from + 2), (from + 1, from)])
        .filter(|(_, to)| *to < 6)
        .collect();
    prop::collection::vec(link, ends.len()).prop_map(move |drawn| {
        let skip = |(from, to): (u32, u32)| if to > from { to - 1 } else { to };
        let links: Vec<Drawn> = (ends.iter().zip(drawn))
            .map(|(ends, (te_metric, delay, load))| {
                ((ends.0, skip(*ends)), (te_metric, delay), (1, 0), (4, load, true), false)
            })
            .collect();
        build(6, &links)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..crate::property_cases(300) })]

    #[test]
    fn the_shortest_path_within_limits_is_the_shortest(network in braid(), metric in metric()) {
        let graph = Graph::new(&network.topology);
        let mut workspace = Workspace::default();
        let (ingress, egress) = (NodeIx(0), NodeIx(5));
        let unlimited = Constraints::default();
        let query = Query { ingress, egress, bandwidth_bps: 1, metric, constraints: &unlimited };
        let oracle = Oracle { network: &network, query };
        // (hops, delay, cost) of every path, and for each pair of limits the least cost within them.
        let paths: Vec<(u32, u64, u64)> = oracle.all().iter().map(|path| {
            let delay = path.iter().map(|ix| network.topology.link(*ix).unwrap().delay.0).sum();
            (u32::try_from(path.len()).unwrap(), delay, oracle.cost(path))
        }).collect();
        for max_hops in [None, Some(3), Some(4), Some(5)] {
            for max_delay in [None, Some(0), Some(2), Some(3), Some(4), Some(5), Some(6), Some(8)] {
                let within = |path: &&(u32, u64, u64)| {
                    max_hops.is_none_or(|most| path.0 <= most) && max_delay.is_none_or(|most| path.1 <= most)
                };
                let least = paths.iter().filter(within).map(|path| path.2).min();
                let constraints = Constraints { max_hops, max_delay: max_delay.map(Micros), ..Constraints::default() };
                let query = Query { constraints: &constraints, ..query };
                let answer = shortest(&graph, &network, &query, &mut workspace);
                prop_assert_eq!(answer.map(|path| path.cost).ok(), least, "{:?}", constraints);
            }
        }
    }
}
