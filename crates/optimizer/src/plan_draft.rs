//! A plan as it is being made. Every step is decided by the kernel on the version in which the steps before it have happened.

use std::sync::Arc;

use kernel::allocation::{Allocation, Demand};
use kernel::command::Request;
use kernel::id::{AllocationId, LinkIx, Name};
use kernel::path::{Links, PassingBy, Workspace};
use kernel::state::Network;
use kernel::units::Millis;
use kernel::{Command, Event, Recorded, Refusal, State, apply, decide};

use crate::objective::max_ppm;

/// A step of a plan.
#[derive(Clone, PartialEq, Debug)]
pub struct PlannedStep {
    /// The allocation as it is before it is moved; where a request is admitted, as it is then.
    pub allocation: Arc<Allocation>,
    /// Its new path.
    pub path: Arc<[LinkIx]>,
    /// The request that is admitted, by its place; `None`: a standing allocation is moved.
    pub request: Option<usize>,
    /// The maximum utilisation after this step, in parts per million.
    pub max_ppm: u64,
    /// The value of the objective after this step.
    pub value: u64,
}

/// The steps so far, and the version of the state after them.
#[derive(Clone)]
pub(crate) struct PlanDraft<'a> {
    pub(crate) topology: &'a Name,
    now: Millis,
    pub(crate) state: State,
    pub(crate) steps: Vec<PlannedStep>,
    pub(crate) moves_left: usize,
    /// Whether the search ended for want of time.
    pub(crate) is_cut_short: bool,
    has_time: &'a dyn Fn() -> bool,
}

impl<'a> PlanDraft<'a> {
    pub(crate) fn new(
        state: &State,
        topology: &'a Name,
        now: Millis,
        moves_max: usize,
        has_time: &'a dyn Fn() -> bool,
    ) -> Self {
        Self {
            topology,
            now,
            state: state.clone(),
            steps: vec![],
            moves_left: moves_max,
            is_cut_short: false,
            has_time,
        }
    }

    pub(crate) fn network(&self) -> Result<Network, Refusal> {
        network_of(&self.state, self.topology).cloned()
    }

    /// Whether another move may be looked for.
    pub(crate) fn may_go_on(&mut self) -> bool {
        if self.moves_left == 0 || self.is_cut_short {
            return false;
        }
        self.is_cut_short = !(self.has_time)();
        !self.is_cut_short
    }

    /// Moves an allocation, if the kernel lets it; `value`: of the objective, from the network after it.
    pub(crate) fn move_to(
        &mut self,
        allocation: &Arc<Allocation>,
        path: &Arc<[LinkIx]>,
        value: impl FnOnce(&Network) -> u64,
        workspace: &mut Workspace,
    ) -> Result<bool, Refusal> {
        if self.moves_left == 0 {
            return Ok(false);
        }
        let command = reroute(&self.network()?, self.topology, allocation.id, path)?;
        let Ok(event) = decide(&self.state, &command, self.now, workspace) else { return Ok(false) };
        if matches!(event, Event::Denied { .. }) || !self.follow(event) {
            return Ok(false);
        }
        self.moves_left -= 1;
        let network = network_of(&self.state, self.topology)?;
        let (max_ppm, value) = (max_ppm(network), value(network));
        let (allocation, path) = (Arc::clone(allocation), Arc::clone(path));
        self.steps.push(PlannedStep { allocation, path, request: None, max_ppm, value });
        Ok(true)
    }

    /// Admits a request, if that displaces nothing; `value`: of the objective after it.
    pub(crate) fn admit(
        &mut self,
        place: usize,
        request: &Request,
        value: u64,
        workspace: &mut Workspace,
    ) -> Result<AdmissionAttempt, Refusal> {
        let event = match decide(&self.state, &allocate(request, self.topology), self.now, workspace) {
            Ok(event) => event,
            Err(refusal) => return Ok(AdmissionAttempt::Refused(refusal)),
        };
        let (allocation, displaced) = match &event {
            Event::Admitted { allocation, displaced } => (Arc::clone(allocation), displaced.len()),
            Event::Denied { demand, .. } => return Ok(AdmissionAttempt::Lacking(demand.clone())),
            _ => return Ok(AdmissionAttempt::Refused(Refusal::Contradiction)),
        };
        if displaced > 0 {
            return Ok(AdmissionAttempt::Lacking(Box::new(allocation.demand.clone())));
        }
        if !self.follow(event) {
            return Ok(AdmissionAttempt::Refused(Refusal::Contradiction));
        }
        let max_ppm = max_ppm(network_of(&self.state, self.topology)?);
        let path = Arc::clone(&allocation.path);
        self.steps.push(PlannedStep { allocation, path, request: Some(place), max_ppm, value });
        Ok(AdmissionAttempt::Admitted)
    }

    fn follow(&mut self, event: Event) -> bool {
        let mut version = self.state.clone();
        let recorded = Recorded { sequence: version.sequence().next(), at: self.now, event };
        let applied = apply(&mut version, &recorded).is_ok();
        if applied {
            self.state = version;
        }
        applied
    }
}

/// What became of a request.
pub(crate) enum AdmissionAttempt {
    Admitted,
    /// There is no path for it, or none without victims.
    Lacking(Box<Demand>),
    Refused(Refusal),
}

/// Links without those of lost switches: nothing is moved onto them.
pub(crate) fn passing_by<L: Links>(network: &Network, links: L) -> PassingBy<'_, L> {
    PassingBy { links, avoided: network.ledger().avoided() }
}

pub(crate) fn network_of<'a>(state: &'a State, topology: &Name) -> Result<&'a Network, Refusal> {
    state.network(topology.as_str()).ok_or_else(|| Refusal::UnknownTopology(topology.clone()))
}

/// A request as a step of a plan: what has to move for it has moved.
pub(crate) fn allocate(request: &Request, topology: &Name) -> Command {
    Command::Allocate(Box::new(Request { topology: Some(topology.clone()), moves_max: Some(0), ..request.clone() }))
}

pub(crate) fn reroute(
    network: &Network,
    topology: &Name,
    id: AllocationId,
    path: &[LinkIx],
) -> Result<Command, Refusal> {
    let name = |link: &LinkIx| network.topology().link(*link).map(|link| link.name.clone());
    let path = path.iter().map(name).collect::<Option<Vec<Name>>>();
    let path = path.ok_or_else(|| Refusal::UnknownTopology(topology.clone()))?;
    Ok(Command::Reroute { id, path })
}
