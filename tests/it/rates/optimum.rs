//! Progressive filling gives what a sequence of linear programs gives.

use good_lp::{Expression, ProblemVariables, Solution, SolverModel, Variable, constraint, microlp, variable};
use kernel::id::LinkIx;
use kernel::scheduler::MaxMin;
use proptest::prelude::*;

/// Fine enough that every level up to 65,536 bit/s is known to a 1024th.
const FINEST: u32 = 26;
const NEARLY: f64 = 1e-6;

#[derive(Clone, Debug)]
struct Flow {
    path: Vec<usize>,
    weight: u32,
    demand_bps: u64,
}

fn flows(links: usize) -> impl Strategy<Value = Vec<Flow>> {
    let path = prop::sample::subsequence((0..links).collect::<Vec<_>>(), 1..=links.min(3));
    let flow = (path, 1_u32..=8, prop_oneof![Just(60_000), 1_u64..20_000]);
    prop::collection::vec(flow.prop_map(|(path, weight, demand_bps)| Flow { path, weight, demand_bps }), 1..8)
}

/// The problem with some rates settled and the others at least `floor` times their weight.
struct Program {
    problem: good_lp::solvers::microlp::MicroLpProblem,
    rates: Vec<Variable>,
    level: Variable,
}

fn program(caps: &[u64], flows: &[Flow], settled: &[Option<f64>], floor: f64, aim: Option<usize>) -> Program {
    let mut variables = ProblemVariables::new();
    let rates: Vec<_> = flows.iter().map(|flow| variables.add(variable().min(0).max(flow.demand_bps as f64))).collect();
    let level = variables.add(variable().min(floor));
    let objective = aim.map_or(level, |flow| rates[flow]);
    let mut problem = variables.maximise(objective).using(microlp);
    for (link, cap) in caps.iter().enumerate() {
        let on = flows.iter().zip(&rates).filter(|(flow, _)| flow.path.contains(&link));
        let sum: Expression = on.map(|(_, rate)| *rate).sum();
        problem = problem.with(constraint!(sum <= *cap as f64));
    }
    for ((flow, rate), settled) in flows.iter().zip(&rates).zip(settled) {
        problem = match settled {
            Some(bps) => problem.with(constraint!(*rate >= bps - NEARLY)).with(constraint!(*rate <= bps + NEARLY)),
            None if aim.is_some() => problem.with(constraint!(*rate >= f64::from(flow.weight) * floor - NEARLY)),
            None => problem.with(constraint!(*rate >= f64::from(flow.weight) * level)),
        };
    }
    Program { problem, rates, level }
}

/// Raises all at once as far as it goes, settles who can go no further, and goes on with the others.
fn fair_optimum(caps: &[u64], flows: &[Flow]) -> Vec<f64> {
    let mut settled = vec![None; flows.len()];
    while settled.iter().any(Option::is_none) {
        let Program { problem, level, .. } = program(caps, flows, &settled, 0.0, None);
        let level = problem.solve().unwrap().value(level);
        let mut stopped = vec![];
        for (at, flow) in flows.iter().enumerate().filter(|(at, _)| settled[*at].is_none()) {
            let Program { problem, rates, .. } = program(caps, flows, &settled, level, Some(at));
            if problem.solve().unwrap().value(rates[at]) <= f64::from(flow.weight) * level + 1e-3 {
                stopped.push((at, f64::from(flow.weight) * level));
            }
        }
        assert!(!stopped.is_empty());
        stopped.into_iter().for_each(|(at, bps)| settled[at] = Some(bps));
    }
    settled.into_iter().flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn filling_is_the_fair_optimum_to_within_one(
        (caps, flows) in prop::collection::vec(1_u64..60_000, 1..6).prop_flat_map(|caps| {
            let links = caps.len();
            (Just(caps), flows(links))
        })
    ) {
        let mut max_min = MaxMin::new(caps.iter().copied(), FINEST);
        let placed: Vec<_> = flows.iter().map(|flow| {
            let path: Vec<_> = flow.path.iter().map(|link| LinkIx(u32::try_from(*link).unwrap())).collect();
            max_min.add(&path, flow.weight, flow.demand_bps)
        }).collect();
        max_min.update();
        for ((ix, best), flow) in placed.into_iter().zip(fair_optimum(&caps, &flows)).zip(&flows) {
            let given = max_min.rate_bps(ix) as f64;
            prop_assert!((given - best).abs() <= 1.01, "{flow:?} has {given}, best is {best}");
        }
    }
}
