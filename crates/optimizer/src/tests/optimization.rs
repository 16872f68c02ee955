//! A plan's moves can be made in its order, do what it says, and its bound is below what any routing has.

use super::*;
use crate::{Bound, BoundSource, Objective, OptimizationAim, OptimizationPlan, optimize};
use kernel::Refusal;
use kernel::audit::audit;
use kernel::command::{AllocationChange, NamedHop};
use kernel::path::Metric;

fn max_ppm(state: &State) -> u64 {
    let topology = Arc::clone(state.network("net").unwrap().topology());
    topology.links().map(|(link, _)| utilisation_ppm(state, link)).max().unwrap()
}

fn aim(objective: Objective, moves_max: usize, requests: Vec<Request>) -> OptimizationAim {
    OptimizationAim { objective, requests, moves_max }
}

fn plan(state: &State, aim: &OptimizationAim) -> OptimizationPlan {
    optimize(state, &named("net"), aim, Millis(0), |_| true).unwrap()
}

fn lower_max_utilisation(state: &State, moves_max: usize) -> OptimizationPlan {
    plan(state, &aim(Objective::MaxUtilisation, moves_max, vec![]))
}

fn te_cost(topology: &Topology, path: &[LinkIx]) -> u64 {
    path.iter().map(|link| u64::from(topology.link(*link).unwrap().te_metric)).sum()
}

/// The value of an objective, by its definition.
fn value(objective: Objective, before: &State, state: &State) -> u64 {
    let topology = Arc::clone(state.network("net").unwrap().topology());
    let sum = |state| all(state).iter().map(|one| one.demand.bandwidth.as_bps()).sum::<u64>();
    match objective {
        Objective::MaxUtilisation => max_ppm(state),
        Objective::TotalCost => {
            all(state).iter().map(|one| one.demand.bandwidth.as_bps() * te_cost(&topology, &one.path)).sum()
        }
        Objective::AdmitAll => sum(state) - sum(before),
        Objective::MaxMin => headrooms(state)[0],
    }
}

/// Of all links, the smallest first.
fn headrooms(state: &State) -> Vec<u64> {
    let topology = Arc::clone(state.network("net").unwrap().topology());
    let mut free: Vec<u64> =
        topology.links().map(|(link, _)| 1_000_u64.saturating_sub(utilisation_ppm(state, link) / 1_000)).collect();
    free.sort_unstable();
    free
}

/// Ingress, distance around the ring, class and bit/s.
type Asked = (u32, u32, u8, u64);

fn commands(nodes: u32, asked: &[Asked]) -> Vec<Command> {
    let command = |(ingress, further, class, bps): &Asked| {
        let ingress = ingress % nodes;
        request(ingress, (ingress + 1 + further % (nodes - 1)) % nodes, *class, *bps)
    };
    asked.iter().map(command).collect()
}

fn filled(nodes: u32, chords: &[(u32, u32)], asked: &[Asked]) -> State {
    let mut state = network(nodes, chords);
    for command in commands(nodes, asked) {
        run(&mut state, &command);
    }
    state
}

fn requests(nodes: u32, asked: &[Asked]) -> Vec<Request> {
    let request = |command| match command {
        Command::Allocate(request) => *request,
        other => panic!("{other:?}"),
    };
    commands(nodes, asked).into_iter().map(request).collect()
}

/// On a ring of four nodes, by the path of the least TE metric.
fn by_te_metric(asked: Asked) -> Command {
    let constraints = NamedConstraints { metric: Some(Metric::Te), ..NamedConstraints::default() };
    Command::Allocate(Box::new(Request { constraints, ..requests(4, &[asked]).remove(0) }))
}

fn objectives() -> impl Strategy<Value = Objective> {
    prop::sample::select(vec![Objective::MaxUtilisation, Objective::TotalCost, Objective::AdmitAll, Objective::MaxMin])
}

fn is_large_good(objective: Objective) -> bool {
    matches!(objective, Objective::AdmitAll | Objective::MaxMin)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_plan_can_be_made_and_does_what_it_says(
        nodes in 4_u32..8,
        chords in prop::collection::vec((0_u32..8, 0_u32..8), 0..5),
        asked in prop::collection::vec((0_u32..8, 1_u32..7, 0_u8..3, 1_u64..300), 1..40),
        more in prop::collection::vec((0_u32..8, 1_u32..7, 0_u8..3, 1_u64..600), 1..8),
        moves_max in 0_usize..20,
        objective in objectives(),
    ) {
        let state = filled(nodes, &chords, &asked);
        let requests = if objective == Objective::AdmitAll { requests(nodes, &more) } else { vec![] };
        let aim = aim(objective, moves_max, requests);
        let plan = plan(&state, &aim);
        prop_assert!(plan.steps.iter().filter(|step| step.request.is_none()).count() <= moves_max && !plan.is_cut_short);
        prop_assert_eq!(plan.value.0, value(objective, &state, &state));
        prop_assert_eq!(plan.max_ppm().0, max_ppm(&state));
        let mut moved = state.clone();
        let network = state.network("net").unwrap();
        let mut last = plan.value.0;
        for (step, command) in plan.steps.iter().zip(plan.commands(&aim, network, &named("net")).unwrap()) {
            let before = moved.clone();
            match run(&mut moved, &command) {
                Event::Resized { displaced, .. } => prop_assert!(step.request.is_none() && displaced.is_empty()),
                Event::Admitted { displaced, .. } => prop_assert!(step.request.is_some() && displaced.is_empty()),
                other => prop_assert!(false, "{:?}", other),
            }
            prop_assert_eq!(audit(&moved), []);
            prop_assert_eq!(step.max_ppm, max_ppm(&moved));
            prop_assert_eq!(step.value, value(objective, &state, &moved));
            // A move that lowers the maximum utilisation may come after others that make way for it.
            let is_kept = if is_large_good(objective) { step.value >= last } else { step.value <= last };
            prop_assert!(is_kept, "{last} {plan:?}");
            let is_improved = objective.is_improved(&named("net"), &before, &moved);
            prop_assert!(is_improved || objective == Objective::MaxUtilisation);
            if objective == Objective::MaxMin {
                prop_assert!(headrooms(&moved) > headrooms(&before));
            }
            last = step.value;
        }
        prop_assert_eq!(plan.value.1, value(objective, &state, &moved));
        if is_large_good(objective) {
            prop_assert!(plan.value.0 <= plan.value.1 && plan.value.1 <= plan.bound.value, "{:?}", plan);
        } else {
            prop_assert!(plan.bound.value <= plan.value.1 && plan.value.1 <= plan.value.0, "{:?}", plan);
        }
        let links: Vec<u64> = network.topology().links().map(|(link, _)| utilisation_ppm(&moved, link)).collect();
        prop_assert_eq!(plan.links.iter().map(|link| link.1).collect::<Vec<_>>(), links);
        let admitted = plan.steps.iter().filter(|step| step.request.is_some()).count();
        prop_assert_eq!(all(&moved).len(), all(&state).len() + admitted);
    }

    #[test]
    fn no_routing_is_better_than_the_bound(
        nodes in 3_u32..5,
        chords in prop::collection::vec((0_u32..5, 0_u32..5), 0..2),
        asked in prop::collection::vec((0_u32..5, 1_u32..4, 0_u8..3, 1_u64..900), 1..5),
        more in prop::collection::vec((0_u32..5, 1_u32..4, 0_u8..3, 1_u64..900), 1..3),
        objective in objectives(),
    ) {
        let state = filled(nodes, &chords, &asked);
        let requests = if objective == Objective::AdmitAll { requests(nodes, &more) } else { vec![] };
        let plan = plan(&state, &aim(objective, 20, requests.clone()));
        prop_assert_eq!(plan.bound.source, BoundSource::LinearProgram);
        let best = Exhaustive::new(&state, objective, &requests).best();
        let is_bound = if is_large_good(objective) { plan.bound.value >= best } else { plan.bound.value <= best };
        prop_assert!(is_bound, "bound {:?}, best {best}", plan.bound);
    }
}

/// Every way to carry what stands and some of the requests, each on one path.
struct Exhaustive {
    objective: Objective,
    /// The paths, bandwidth and whether it may stay out.
    flows: Vec<(Vec<Vec<LinkIx>>, u64, bool)>,
    topology: Arc<Topology>,
    loads: Vec<u64>,
}

impl Exhaustive {
    fn new(state: &State, objective: Objective, requests: &[Request]) -> Self {
        let topology = Arc::clone(state.network("net").unwrap().topology());
        let standing = all(state).into_iter().map(|one| {
            let paths = paths(&topology, one.demand.ingress, one.demand.egress);
            (paths, one.demand.bandwidth.as_bps(), false)
        });
        let wanted = requests.iter().map(|one| {
            let node = |name: &Name| topology.node_named(name.as_str()).unwrap();
            (paths(&topology, node(&one.ingress), node(&one.egress)), one.bandwidth.as_bps(), true)
        });
        let flows = standing.chain(wanted).collect();
        Self { objective, flows, loads: vec![0; topology.link_count()], topology }
    }

    fn best(mut self) -> u64 {
        let values = &mut vec![];
        self.place(0, 0, values);
        let values = values.iter().copied();
        if is_large_good(self.objective) { values.max().unwrap_or(0) } else { values.min().unwrap_or(u64::MAX) }
    }

    /// `sum`: of the cost or of what is admitted.
    fn place(&mut self, at: usize, sum: u64, values: &mut Vec<u64>) {
        let Some((paths, bps, is_optional)) = self.flows.get(at).cloned() else {
            values.push(match self.objective {
                Objective::MaxUtilisation => self.loads.iter().max().unwrap() * 1_000,
                Objective::MaxMin => 1_000 - self.loads.iter().max().unwrap(),
                Objective::TotalCost | Objective::AdmitAll => sum,
            });
            return;
        };
        for path in paths {
            path.iter().for_each(|link| self.loads[link.at()] += bps);
            if path.iter().all(|link| self.loads[link.at()] <= 1_000) {
                let more = match self.objective {
                    Objective::TotalCost => bps * te_cost(&self.topology, &path),
                    _ => bps * u64::from(is_optional),
                };
                self.place(at + 1, sum + more, values);
            }
            path.iter().for_each(|link| self.loads[link.at()] -= bps);
        }
        if is_optional {
            self.place(at + 1, sum, values);
        }
    }
}

/// All paths that pass no node twice.
fn paths(topology: &Topology, from: NodeIx, to: NodeIx) -> Vec<Vec<LinkIx>> {
    let (mut found, mut open) = (vec![], vec![(from, vec![from], vec![])]);
    while let Some((at, passed, path)) = open.pop() {
        if at == to {
            found.push(path);
            continue;
        }
        for (ix, link) in topology.links().filter(|(_, link)| link.from == at && !passed.contains(&link.to)) {
            open.push((link.to, [passed.clone(), vec![link.to]].concat(), [path.clone(), vec![ix]].concat()));
        }
    }
    found
}

#[test]
fn a_ring_is_balanced_to_its_bound() {
    // Between the ends of a diameter there are two ways of two links each.
    let mut state = network(4, &[]);
    for _ in 0..4 {
        let Command::Allocate(mut one) = request(0, 2, 0, 200) else { panic!() };
        one.constraints.exclude = vec![NamedHop::Node(named("n3"))];
        run(&mut state, &Command::Allocate(one));
    }
    let pinned = lower_max_utilisation(&state, 10);
    assert_eq!((pinned.steps.len(), pinned.max_ppm()), (0, (800_000, 800_000)));
    for allocation in all(&state) {
        // Where it is, it stays, and may go elsewhere from now on.
        let (id, path) = (allocation.id, path_names(&state, &allocation));
        let change = AllocationChange { constraints: Some(NamedConstraints::default()), ..AllocationChange::default() };
        run(&mut state, &Command::Change { id, change: Box::new(change) });
        run(&mut state, &Command::Reroute { id, path });
    }
    assert_eq!(max_ppm(&state), 800_000);
    let plan = lower_max_utilisation(&state, 10);
    assert_eq!((plan.steps.len(), plan.max_ppm()), (2, (800_000, 400_000)));
    assert!((399_000..=400_000).contains(&plan.bound.value), "{}", plan.bound.value);
    let late =
        optimize(&state, &named("net"), &aim(Objective::MaxUtilisation, 10, vec![]), Millis(0), |_| false).unwrap();
    assert_eq!((late.steps.len(), late.is_cut_short), (0, true));
    assert!(late.bound.value <= 400_000 && late.bound.source == BoundSource::LinkPrices, "{:?}", late.bound);
}

/// The direct link of 1,000 bit/s is full, and what takes the way round it could go there after a release.
#[test]
fn a_detour_ends_where_the_short_way_is_free_again() {
    let mut state = network(4, &[]);
    let blocker = run(&mut state, &request(0, 1, 0, 900));
    for _ in 0..3 {
        run(&mut state, &request(0, 1, 0, 300));
    }
    let Event::Admitted { allocation, .. } = blocker else { panic!("{blocker:?}") };
    run(&mut state, &Command::Release { id: allocation.id });
    let aim = aim(Objective::TotalCost, 10, vec![]);
    let made = plan(&state, &aim);
    // By the fibres 3, 2 and 1 of metrics 1, 3 and 2; or by fibre 0 of metric 1.
    assert_eq!((made.steps.len(), made.value), (3, (3 * 300 * 6, 3 * 300)));
    assert_eq!(made.bound, Bound { value: 900, source: BoundSource::LinearProgram });
    assert_eq!(made.reached_ppm(Objective::TotalCost), 1_000_000);
    let one = plan(&state, &OptimizationAim { moves_max: 1, ..aim });
    assert_eq!((one.steps.len(), one.value.1, one.reached_ppm(Objective::TotalCost)), (1, 3_900, 230_769));
    let late = optimize(&state, &named("net"), &self::aim(Objective::TotalCost, 1, vec![]), Millis(0), |_| false);
    assert_eq!(late.unwrap().bound, Bound { value: 900, source: BoundSource::ShortestPaths });
}

#[test]
fn standing_allocations_make_way_for_requests() {
    let mut state = network(4, &[]);
    for _ in 0..2 {
        run(&mut state, &by_te_metric((0, 0, 0, 450)));
    }
    let direct = NamedConstraints { max_hops: Some(1), ..NamedConstraints::default() };
    let asked = |bps| Request { constraints: direct.clone(), ..requests(4, &[(0, 0, 0, bps)]).remove(0) };
    let wanted = vec![asked(500), asked(50), asked(500)];
    let aim = aim(Objective::AdmitAll, 10, wanted);
    let made = plan(&state, &aim);
    let steps: Vec<_> = made.steps.iter().map(|step| (step.request, step.path.len(), step.value)).collect();
    // First what fits; then each of the others after the move that it needs.
    assert_eq!(steps, [(Some(1), 1, 50), (None, 3, 50), (Some(0), 1, 550)]);
    assert_eq!(made.value, (0, 550));
    // The request says nothing to the bound of its most links: 2,000 bit/s leave node 0, of which 900 are taken.
    assert_eq!(made.bound.value, 1_050);
}

#[test]
fn the_smallest_free_bandwidth_grows() {
    let mut state = network(4, &[]);
    for _ in 0..3 {
        run(&mut state, &by_te_metric((0, 1, 0, 300)));
    }
    let made = plan(&state, &aim(Objective::MaxMin, 10, vec![]));
    assert_eq!((made.steps.len(), made.value), (1, (100, 400)));
    assert_eq!(made.bound, Bound { value: 550, source: BoundSource::LinearProgram });
}

#[test]
fn a_request_that_is_refused_outright_has_no_plan() {
    let state = network(4, &[]);
    let nowhere = Request { egress: named("nowhere"), ..requests(4, &[(0, 0, 0, 1)]).remove(0) };
    let aim = aim(Objective::AdmitAll, 10, [requests(4, &[(0, 0, 0, 1)]), vec![nowhere]].concat());
    let refused = optimize(&state, &named("net"), &aim, Millis(0), |_| true).unwrap_err();
    assert!(refused.place == Some(1) && matches!(refused.refusal, Refusal::UnknownNode { .. }), "{refused:?}");
}

#[test]
fn what_is_booked_for_later_is_no_load() {
    let mut state = network(4, &[]);
    run(&mut state, &request(0, 2, 0, 100));
    let Command::Allocate(mut booking) = request(0, 2, 0, 800) else { panic!() };
    booking.attributes.starts_at = Some(Millis(1_000));
    run(&mut state, &Command::Allocate(booking));
    let plan = lower_max_utilisation(&state, 10);
    assert_eq!((plan.steps.len(), plan.max_ppm()), (0, (100_000, 100_000)));
    assert!(plan.bound.value <= 100_000, "{}", plan.bound.value);
}

fn path_names(state: &State, allocation: &Allocation) -> Vec<Name> {
    let topology = state.network("net").unwrap().topology();
    allocation.path.iter().map(|link| topology.link(*link).unwrap().name.clone()).collect()
}
