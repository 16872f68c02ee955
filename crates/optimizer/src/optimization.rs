//! Plans: moves, and admissions where they are asked for, that make a network carry what it carries better by an objective;
//! and a bound beside them that no routing is better than. Every step is decided by the kernel on the version in which the
//! steps before it have happened: no step takes bandwidth that is not free.

use kernel::command::Request;
use kernel::id::Name;
use kernel::state::Network;
use kernel::units::{Millis, PPM};
use kernel::{Command, Refusal, State};

use crate::admission_moves::{RefusedRequest, admit_most, check_requests, wanted_flows};
use crate::bound::{Bound, BoundSource, FlowObjective};
use crate::cost_moves::lower_total_cost;
use crate::flow_bound::flow_bound;
use crate::objective::{BookedLink, Objective, headrooms, max_ppm, narrowed, total_cost};
use crate::peak_moves::{lower_max_utilisation, raise_headroom};
use crate::plan_draft::{PlanDraft, PlannedStep, allocate, network_of, reroute};
use crate::utilisation_bound::utilisation_bound_ppm;

/// What is asked of the optimiser.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OptimizationAim {
    /// What is to become better.
    pub objective: Objective,
    /// Of [`Objective::AdmitAll`]; of the others none.
    pub requests: Vec<Request>,
    /// The most moves; admissions do not count.
    pub moves_max: usize,
}

/// An ordered plan: what moves where, what is admitted, and what that does to the links.
#[derive(Clone, PartialEq, Debug)]
pub struct OptimizationPlan {
    /// In the order in which they are to be made.
    pub steps: Vec<PlannedStep>,
    /// By link: its utilisation before and after all steps, in parts per million of its maximum reservable bandwidth.
    pub links: Vec<(u64, u64)>,
    /// The value of the objective before and after all steps, in its unit.
    pub value: (u64, u64),
    /// No routing of the same allocations, split over as many paths as it likes, has a better value than this.
    pub bound: Bound,
    /// Whether the search ended for want of time, and not because no step makes the network better.
    pub is_cut_short: bool,
}

impl OptimizationPlan {
    /// The maximum utilisation before and after, in parts per million.
    pub fn max_ppm(&self) -> (u64, u64) {
        self.links.iter().fold((0, 0), |most, link| (most.0.max(link.0), most.1.max(link.1)))
    }

    /// How much of what the bound leaves is reached, in parts per million: 1,000,000 where no routing is better.
    pub fn reached_ppm(&self, objective: Objective) -> u64 {
        let (small, large) = match objective {
            Objective::MaxUtilisation | Objective::TotalCost => (self.bound.value, self.value.1),
            Objective::AdmitAll | Objective::MaxMin => (self.value.1, self.bound.value),
        };
        if small >= large {
            return u64::from(PPM);
        }
        narrowed(u128::from(small) * u128::from(PPM) / u128::from(large))
    }

    /// The steps as commands.
    ///
    /// # Errors
    /// [`Refusal::UnknownTopology`], where the topology has other links now.
    pub fn commands(&self, aim: &OptimizationAim, network: &Network, topology: &Name) -> Result<Vec<Command>, Refusal> {
        let command = |step: &PlannedStep| match step.request.and_then(|place| aim.requests.get(place)) {
            Some(request) => Ok(allocate(request, topology)),
            None => reroute(network, topology, step.allocation.id, &step.path),
        };
        self.steps.iter().map(command).collect()
    }
}

/// What the optimiser is about to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SearchPhase {
    /// A closer look for the bound, before there are steps.
    Bound,
    /// Another step.
    Steps,
}

/// Looks for a plan, as at `now`. `has_time` is asked now and then, before each move at least.
///
/// # Errors
/// [`Refusal::UnknownTopology`]; the refusal of a request that could not be admitted whatever moves.
pub fn optimize(
    state: &State,
    topology: &Name,
    aim: &OptimizationAim,
    now: Millis,
    has_time: impl Fn(SearchPhase) -> bool,
) -> Result<OptimizationPlan, RefusedRequest> {
    let before = network_of(state, topology)?;
    let (for_bound, for_steps) = (|| has_time(SearchPhase::Bound), || has_time(SearchPhase::Steps));
    let mut draft = PlanDraft::new(state, topology, now, aim.moves_max, &for_steps);
    let flow = |of, wanted: &[_]| flow_bound(state, topology, before, of, wanted, &for_bound);
    let (value, bound) = match aim.objective {
        Objective::MaxUtilisation => {
            let mut bound = flow(FlowObjective::Utilisation, &[]);
            if bound.source != BoundSource::LinearProgram {
                bound.value = bound.value.max(utilisation_bound_ppm(state, topology, before, &for_bound));
            }
            lower_max_utilisation(&mut draft)?;
            ((max_ppm(before), max_ppm(&draft.network()?)), bound)
        }
        Objective::TotalCost => {
            let bound = flow(FlowObjective::Cost, &[]);
            lower_total_cost(&mut draft)?;
            let cost = |state, network| narrowed(total_cost(state, topology, network));
            ((cost(state, before), cost(&draft.state, &draft.network()?)), bound)
        }
        Objective::AdmitAll => {
            check_requests(&draft, &aim.requests)?;
            let bound = flow(FlowObjective::Admission, &wanted_flows(&draft, &aim.requests)?);
            draft = admit_most(&draft, &aim.requests)?;
            ((0, draft.steps.last().map_or(0, |step| step.value)), bound)
        }
        Objective::MaxMin => {
            let bound = flow(FlowObjective::Headroom, &[]);
            raise_headroom(&mut draft)?;
            let least = |network| headrooms(network).first().copied().unwrap_or(0);
            ((least(before), least(&draft.network()?)), bound)
        }
    };
    let links = BookedLink::all(before).into_iter().zip(BookedLink::all(&draft.network()?));
    let links = links.map(|(one, other)| (one.ppm(), other.ppm())).collect();
    Ok(OptimizationPlan { steps: draft.steps, links, value, bound, is_cut_short: draft.is_cut_short })
}
