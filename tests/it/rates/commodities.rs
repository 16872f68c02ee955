//! Max-min fair rates of commodities that may be split over every path there is, by a sequence of linear programs: what plans of
//! several paths are compared with.

use std::collections::BTreeMap;
use std::sync::Arc;

use good_lp::{Expression, ProblemVariables, Solution, SolverModel, Variable, constraint, microlp, variable};
use kernel::id::{LinkIx, NodeIx};
use kernel::path::{Constraints, Everything, Graph, Metric, Query, Workspace, shortest};
use kernel::scheduler::{
    AggregatorIx, AlternativeQuery, FlowDemand, FlowKey, Planner, QosLevel, SchedulerSettings, add_alternatives,
};
use kernel::topology::Topology;
use kernel::units::{Bandwidth, Share};

/// What is to be carried from one node to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commodity {
    pub(crate) ends: (NodeIx, NodeIx),
    pub(crate) demand_bps: u64,
}

/// How near a plan is to the optimum: 1 is the optimum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nearness {
    /// The smallest rate.
    pub(crate) least: f64,
    /// The sum of so many of the smallest rates as are furthest from it.
    pub(crate) lowest: f64,
    /// The sum of rates.
    pub(crate) total: f64,
}

const MEGA: f64 = 1e6;
/// How much less than it is a settled rate has to be met, so that rounding makes no program infeasible.
const NEARLY: f64 = 1.0 - 1e-7;
/// A part of the level by which a commodity has to rise to count as one that can.
const RISE: f64 = 1e-3;

/// The plan of one level that has all of each link, against the optimum.
pub(crate) fn nearness(topology: &Topology, commodities: &[Commodity], settings: &SchedulerSettings) -> Nearness {
    let rates = planned(topology, commodities, settings).iter().map(|bps| *bps as f64 / MEGA).collect();
    // By number, what so many of the smallest have together.
    let sums = |mut rates: Vec<f64>| -> Vec<f64> {
        rates.sort_by(f64::total_cmp);
        let sum = |sum: &mut f64, rate: f64| {
            *sum += rate;
            Some(*sum)
        };
        rates.into_iter().scan(0.0, sum).collect()
    };
    let (sums, best) = (sums(rates), sums(optimum(topology, commodities)));
    let near: Vec<f64> = sums.iter().zip(best).map(|(sum, best)| sum / best).collect();
    let lowest = near.iter().copied().fold(f64::INFINITY, f64::min);
    Nearness { least: near[0], lowest, total: near[near.len() - 1] }
}

/// The paths of a commodity, as the scheduler finds them in an empty network.
pub(crate) fn paths(
    topology: &Topology,
    graph: &Graph,
    ends: (NodeIx, NodeIx),
    paths_max: usize,
    workspace: &mut Workspace,
) -> Vec<Arc<[LinkIx]>> {
    let (metric, constraints) = (Metric::Hops, Constraints::default());
    let query = Query { ingress: ends.0, egress: ends.1, bandwidth_bps: 0, metric, constraints: &constraints };
    let first = shortest(graph, &Everything, &query, workspace).ok();
    let mut paths: Vec<Arc<[LinkIx]>> = first.into_iter().map(|found| found.links.into()).collect();
    add_alternatives(&mut paths, AlternativeQuery { graph, topology, ends, metric, paths_max }, workspace);
    paths
}

/// The rate of each commodity in the plan, in bit/s.
pub(crate) fn planned(topology: &Topology, commodities: &[Commodity], settings: &SchedulerSettings) -> Vec<u64> {
    let (graph, mut workspace) = (Graph::new(topology), Workspace::default());
    let capacities: Vec<_> = topology.links().map(|(_, link)| link.capacity).collect();
    let settings = SchedulerSettings { shares: [Share::NONE; 3], ..settings.clone() };
    let mut planner = Planner::new(settings.clone(), &capacities);
    let key = |at: usize| FlowKey {
        aggregator: AggregatorIx(u32::try_from(at).unwrap_or(u32::MAX)),
        level: QosLevel::ALL[2],
        egress: commodities[at].ends.1,
    };
    for (at, commodity) in commodities.iter().enumerate() {
        let paths = paths(topology, &graph, commodity.ends, settings.candidates_max(), &mut workspace);
        let demand = Bandwidth::saturating_from_bps(commodity.demand_bps);
        planner.put(key(at), &paths, FlowDemand { demand, boosted: false });
    }
    planner.update();
    (0..commodities.len()).map(|at| planner.rate(key(at)).map_or(0, |rate| rate.rate.as_bps())).collect()
}

/// A program in which commodities have rates, those of one source together an amount on each link.
struct CommodityProgram {
    problem: good_lp::solvers::microlp::MicroLpProblem,
    level: Variable,
    /// By commodity, how much it has above the level.
    rises: Vec<Variable>,
}

/// With the highest level for those that are not settled, or (`floor`) with as many of them as possible a little above it.
fn program(
    topology: &Topology,
    commodities: &[Commodity],
    settled: &[Option<f64>],
    floor: Option<f64>,
) -> CommodityProgram {
    let most = topology.links().map(|(_, link)| link.capacity.as_bps() as f64 / MEGA).sum::<f64>();
    let mut variables = ProblemVariables::new();
    let level = variables.add(variable().min(0).max(most));
    let mut bounded = |bound: f64| variables.add(variable().min(0).max(bound));
    let rates: Vec<_> = commodities.iter().map(|one| bounded(most.min(one.demand_bps as f64 / MEGA))).collect();
    let rises: Vec<_> = settled
        .iter()
        .map(|settled| bounded(if settled.is_none() { floor.unwrap_or(0.0) * RISE } else { 0.0 }))
        .collect();
    let mut amounts: BTreeMap<NodeIx, Vec<Variable>> = BTreeMap::new();
    for one in commodities {
        amounts.entry(one.ends.0).or_insert_with(|| {
            let bound = |to| if to == one.ends.0 { 0.0 } else { most };
            topology.links().map(|(_, link)| bounded(bound(link.to))).collect()
        });
    }
    let aim = if floor.is_some() { rises.iter().copied().sum() } else { Expression::from(level) };
    let mut problem = variables.maximise(aim).using(microlp);
    for (ix, link) in topology.links() {
        let sum: Expression = amounts.values().map(|on| on[ix.at()]).sum();
        problem = problem.with(constraint!(sum <= link.capacity.as_bps() as f64 / MEGA));
    }
    for (source, on) in &amounts {
        let others = (0..topology.node_count()).map(|at| NodeIx(u32::try_from(at).unwrap_or(0)));
        for node in others.filter(|node| node != source) {
            let mut kept = Expression::from(0.0);
            for (ix, link) in topology.links() {
                kept += if link.to == node { 1.0 } else { 0.0 } * on[ix.at()];
                kept -= if link.from == node { 1.0 } else { 0.0 } * on[ix.at()];
            }
            for (_, rate) in commodities.iter().zip(&rates).filter(|(one, _)| one.ends == (*source, node)) {
                kept -= *rate;
            }
            problem = problem.with(constraint!(kept == 0.0));
        }
    }
    for ((rate, rise), settled) in rates.iter().zip(&rises).zip(settled) {
        problem = match (settled, floor) {
            (Some(settled), _) => problem.with(constraint!(*rate >= settled * NEARLY)),
            (None, Some(floor)) => problem.with(constraint!(*rate >= floor * NEARLY + *rise)),
            (None, None) => problem.with(constraint!(*rate >= level)),
        };
    }
    CommodityProgram { problem, level, rises }
}

/// The optimum, in Mbit/s: raises all at once as far as it goes, settles those that can go no further, and goes on with the others.
fn optimum(topology: &Topology, commodities: &[Commodity]) -> Vec<f64> {
    let mut settled: Vec<Option<f64>> = vec![None; commodities.len()];
    while settled.iter().any(Option::is_none) {
        let CommodityProgram { problem, level, .. } = program(topology, commodities, &settled, None);
        let level = problem.solve().map_or(0.0, |solution| solution.value(level));
        let CommodityProgram { problem, rises, .. } = program(topology, commodities, &settled, Some(level));
        let Ok(solution) = problem.solve() else { break };
        let rise = |at: usize| solution.value(rises[at]) / (level * RISE).max(f64::MIN_POSITIVE);
        let open: Vec<usize> = (0..settled.len()).filter(|at| settled[*at].is_none()).collect();
        let stopped = |most: f64| open.iter().copied().filter(move |at| rise(*at) < most).collect::<Vec<_>>();
        // Where rounding lets none count as stopped, those that rose least are.
        let now = [0.01, 0.5, f64::INFINITY].into_iter().map(stopped).find(|stopped| !stopped.is_empty());
        now.into_iter().flatten().for_each(|at| settled[at] = Some(level));
    }
    settled.into_iter().map(|rate| rate.unwrap_or(0.0)).collect()
}

/// So many commodities between random nodes; each asks for up to `demand_bps`, or for more than there is.
pub(crate) fn draw(seed: u64, nodes: u64, count: usize, demand_bps: Option<u64>) -> Vec<Commodity> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = move |end: u64| {
        // Marsaglia's xorshift64 with a multiplier.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        u64::try_from((u128::from(state.wrapping_mul(0x2545_F491_4F6C_DD1D)) * u128::from(end)) >> 64).unwrap_or(0)
    };
    let node = |at: u64| NodeIx(u32::try_from(at).unwrap_or(0));
    (0..count)
        .map(|_| {
            let from = below(nodes);
            let to = (from + 1 + below(nodes - 1)) % nodes;
            let demand_bps = demand_bps.map_or(1 << 40, |most| most / 20 + below(most));
            Commodity { ends: (node(from), node(to)), demand_bps }
        })
        .collect()
}
