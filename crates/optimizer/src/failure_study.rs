//! What links, nodes, shared-risk link groups or pairs of links take with them when they fail, now and as traffic grows.
//!
//! What must stay true: a scenario is exactly what the kernel decides when the links of the scenario are reported down one
//! after the other. There is no second model of restoration here.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::scenario::{FailureSet, Scenario, Subject, scenarios};
use crate::worst_loads::{WorstCase, WorstLoads};
use kernel::allocation::Allocation;
use kernel::command::LinkChange;
use kernel::event::{Displaced, Fate};
use kernel::id::{AllocationId, LinkIx, Name};
use kernel::path::Workspace;
use kernel::state::Network;
use kernel::topology::LinkState;
use kernel::units::{Bandwidth, Millis, PPM};
use kernel::{Command, Event, Recorded, Refusal, State, apply, decide};

/// How much is studied and told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StudyLimits {
    /// The most scenarios, over all growths.
    pub scenarios_max: usize,
    /// The most allocations that one list names.
    pub listed_max: usize,
    /// The most allocations that all lists together name.
    pub listed_in_all_max: usize,
    /// The most decisions about an allocation: each that loses its path or grows is one.
    pub work_max: u64,
}

/// Why a study ended before its last scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StudyStop {
    /// [`StudyLimits::scenarios_max`].
    Scenarios,
    /// [`StudyLimits::work_max`].
    Work,
    /// The requester's time is over.
    Time,
}

/// What was found.
#[derive(Clone, PartialEq, Debug)]
pub struct FailureStudy {
    /// By growth, in the order asked for; the last may be incomplete.
    pub growths: Vec<GrowthStudy>,
    /// How many scenarios each growth has.
    pub scenario_count: usize,
    /// Why the rest was left out; `None`: everything was studied.
    pub stop: Option<StudyStop>,
}

/// All failures at one growth.
#[derive(Clone, PartialEq, Debug)]
pub struct GrowthStudy {
    /// By how much every allocation grows before anything fails, in parts per million.
    pub growth_ppm: u32,
    /// The allocations that could not grow, and those that had to end for others to grow.
    pub unserved: AffectedList,
    /// One for each scenario.
    pub outcomes: Vec<ScenarioOutcome>,
    /// By link.
    pub links: Vec<WorstCase>,
}

/// What one failure does.
#[derive(Clone, PartialEq, Debug)]
pub struct ScenarioOutcome {
    /// The failure.
    pub scenario: Scenario,
    /// How many allocations are on the path that they were on before.
    pub kept: usize,
    /// How many of those that are in force have lost their backup path, or took it.
    pub unprotected: usize,
    /// The allocations that have another path.
    pub rerouted: AffectedList,
    /// The allocations that are over.
    pub lost: AffectedList,
    /// How many of the lost begin or end at the node that failed: no network could restore them.
    pub lost_with_node: usize,
}

/// Allocations, as many as limits allow.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AffectedList {
    /// In the order in which they left their paths; where several links fail, the oldest first.
    pub listed: Vec<Affected>,
    /// How many there are, those that are not listed included.
    pub count: usize,
    /// The sum of their bandwidths, in bit/s; saturates.
    pub bandwidth_bps: u64,
}

/// An allocation and what became of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Affected {
    /// As it was before.
    pub allocation: Arc<Allocation>,
    /// `None`: it is as it was, and could not grow.
    pub fate: Option<Fate>,
}

impl ScenarioOutcome {
    /// Whether an allocation is lost that another network could have restored.
    pub fn breaks(&self) -> bool {
        self.lost.count > self.lost_with_node
    }
}

impl GrowthStudy {
    /// Whether an allocation cannot grow, or is lost in a scenario although it does not end where the failure is.
    pub fn breaks(&self) -> bool {
        self.unserved.count > 0 || self.outcomes.iter().any(ScenarioOutcome::breaks)
    }
}

impl FailureStudy {
    /// The least growth at which something breaks, of those studied.
    pub fn first_break(&self) -> Option<&GrowthStudy> {
        self.growths.iter().filter(|growth| growth.breaks()).min_by_key(|growth| growth.growth_ppm)
    }
}

/// Has every scenario of a set fail alone, at every growth. `has_time` is asked before each scenario and, now and then, as
/// allocations grow.
///
/// # Errors
/// [`Refusal::UnknownTopology`].
pub fn study_failures(
    state: &State,
    topology: &Name,
    set: FailureSet,
    growths_ppm: &[u32],
    limits: StudyLimits,
    has_time: impl Fn() -> bool,
) -> Result<FailureStudy, Refusal> {
    let network = state.network(topology.as_str()).ok_or_else(|| Refusal::UnknownTopology(topology.clone()))?;
    let (scenario_count, scenarios) = scenarios(network.topology(), set, limits.scenarios_max);
    let mut study = FailureStudy { growths: vec![], scenario_count, stop: None };
    let mut meter = StudyMeter { limits, listed: 0, scenarios: 0, work: 0, has_time: &has_time };
    let mut workspace = Workspace::default();
    for growth_ppm in growths_ppm {
        let mut state = state.clone();
        let grown = grow(&mut state, topology, *growth_ppm, &mut meter, &mut workspace);
        let (stop, unserved) = match grown {
            Ok(unserved) => (None, unserved),
            Err(stop) => (Some(stop), AffectedList::default()),
        };
        let Some(network) = state.network(topology.as_str()) else { continue };
        let mut growth = GrowthStudy { growth_ppm: *growth_ppm, unserved, outcomes: vec![], links: vec![] };
        study.stop = match stop {
            Some(stop) => Some(stop),
            None => fail_each(&state, network, topology, &scenarios, &mut growth, &mut meter, &mut workspace)?,
        };
        study.growths.push(growth);
        if study.stop.is_some() {
            break;
        }
    }
    if study.stop.is_none() && scenarios.len() < scenario_count {
        study.stop = Some(StudyStop::Scenarios);
    }
    Ok(study)
}

/// What was spent of the limits.
struct StudyMeter<'a> {
    limits: StudyLimits,
    listed: usize,
    scenarios: usize,
    work: u64,
    has_time: &'a dyn Fn() -> bool,
}

/// How many allocations grow between two looks at the clock.
const GROWN_BETWEEN_LOOKS: usize = 256;

impl StudyMeter<'_> {
    fn stop(&self) -> Option<StudyStop> {
        if self.scenarios >= self.limits.scenarios_max {
            Some(StudyStop::Scenarios)
        } else if self.work >= self.limits.work_max {
            Some(StudyStop::Work)
        } else if !(self.has_time)() {
            Some(StudyStop::Time)
        } else {
            None
        }
    }

    fn list(&mut self, listing: &mut AffectedList, allocation: &Arc<Allocation>, fate: Option<Fate>) {
        listing.count += 1;
        listing.bandwidth_bps = listing.bandwidth_bps.saturating_add(allocation.demand.bandwidth.as_bps());
        if listing.listed.len() < self.limits.listed_max && self.listed < self.limits.listed_in_all_max {
            self.listed += 1;
            listing.listed.push(Affected { allocation: Arc::clone(allocation), fate });
        }
    }
}

/// Resizes every allocation of a topology, the oldest first, as a request for it would. Those that are not served: they
/// could not grow, or had to end for another.
fn grow(
    state: &mut State,
    topology: &Name,
    growth_ppm: u32,
    meter: &mut StudyMeter<'_>,
    workspace: &mut Workspace,
) -> Result<AffectedList, StudyStop> {
    let mut unserved = AffectedList::default();
    if growth_ppm == 0 {
        return Ok(unserved);
    }
    let all = state.allocations_after(None).filter(|one| one.demand.topology == *topology);
    let all: Vec<Arc<Allocation>> = all.cloned().collect();
    let mut fates: BTreeMap<AllocationId, Option<Fate>> = BTreeMap::new();
    for (number, allocation) in all.iter().enumerate() {
        if number % GROWN_BETWEEN_LOOKS == 0
            && let Some(stop) = meter.stop()
        {
            return Err(stop);
        }
        // It may have had to end for another to grow.
        if state.allocation(allocation.id).is_none() {
            continue;
        }
        meter.work += 1;
        let bandwidth = grown(allocation.demand.bandwidth, growth_ppm);
        let command = Command::resize(allocation.id, bandwidth);
        // A quota may refuse what the network could carry.
        let Ok(event) = decide(state, &command, Millis(0), workspace) else {
            fates.insert(allocation.id, None);
            continue;
        };
        match &event {
            Event::Denied { .. } => drop(fates.insert(allocation.id, None)),
            Event::Resized { displaced, .. } => {
                let ended = displaced.iter().filter(|gone| matches!(gone.fate, Fate::Ended(_)));
                fates.extend(ended.map(|gone| (gone.id, Some(gone.fate.clone()))));
            }
            _ => {}
        }
        follow(state, event);
    }
    for allocation in &all {
        if let Some(fate) = fates.remove(&allocation.id) {
            meter.list(&mut unserved, allocation, fate);
        }
    }
    Ok(unserved)
}

/// Rounded up, so that every growth is one.
fn grown(bandwidth: Bandwidth, growth_ppm: u32) -> Bandwidth {
    let wide = u128::from(bandwidth.as_bps()) * (u128::from(PPM) + u128::from(growth_ppm));
    Bandwidth::saturating_from_bps(u64::try_from(wide.div_ceil(u128::from(PPM))).unwrap_or(u64::MAX))
}

/// What was decided on a state follows from it.
fn follow(state: &mut State, event: Event) {
    let recorded = Recorded { sequence: state.sequence().next(), at: Millis(0), event };
    let applied = apply(state, &recorded);
    debug_assert!(applied.is_ok(), "what was decided on a state can be applied to it: {applied:?}");
}

fn fail_each(
    state: &State,
    network: &Network,
    topology: &Name,
    scenarios: &[Scenario],
    growth: &mut GrowthStudy,
    meter: &mut StudyMeter<'_>,
    workspace: &mut Workspace,
) -> Result<Option<StudyStop>, Refusal> {
    let mut loads = WorstLoads::of(network);
    let mut cuts = Cuts { state, topology, steps: vec![] };
    let mut stop = None;
    for scenario in scenarios {
        stop = meter.stop();
        if stop.is_some() {
            break;
        }
        meter.scenarios += 1;
        let fates = cuts.cut(&scenario.links, meter, workspace)?;
        loads.look_at(growth.outcomes.len(), network, &fates);
        growth.outcomes.push(outcome(scenario, network, &fates, meter));
    }
    growth.links = loads.worst;
    Ok(stop)
}

/// The allocations that are not where they were, with what became of each.
type Fates<'a> = Vec<(&'a Arc<Allocation>, Fate)>;

fn outcome(scenario: &Scenario, network: &Network, fates: &Fates<'_>, meter: &mut StudyMeter<'_>) -> ScenarioOutcome {
    let (mut rerouted, mut lost) = (AffectedList::default(), AffectedList::default());
    let (mut lost_with_node, mut unprotected, mut stayed) = (0, 0, 0);
    for (allocation, fate) in fates {
        match fate {
            Fate::Rerouted(_) => {
                unprotected += usize::from(allocation.backup().is_some());
                meter.list(&mut rerouted, allocation, Some(fate.clone()));
            }
            Fate::Unprotected => (unprotected, stayed) = (unprotected + 1, stayed + 1),
            Fate::Ended(_) => {
                let Allocation { demand, .. } = &***allocation;
                let ends_at = |node| demand.ingress == node || demand.egress == node;
                lost_with_node += usize::from(matches!(scenario.subject, Subject::Node(node) if ends_at(node)));
                meter.list(&mut lost, allocation, Some(fate.clone()));
            }
        }
    }
    let kept = (network.live() + stayed).saturating_sub(fates.len());
    ScenarioOutcome { scenario: scenario.clone(), kept, unprotected, rerouted, lost, lost_with_node }
}

/// Links cut one after the other. What scenarios in a row begin with is decided once.
struct Cuts<'a> {
    state: &'a State,
    topology: &'a Name,
    steps: Vec<CutStep>,
}

/// A link that was cut, the state after that, and all that is not where it was before the first cut.
struct CutStep {
    link: LinkIx,
    state: State,
    fates: BTreeMap<AllocationId, Fate>,
}

impl<'a> Cuts<'a> {
    fn cut(
        &mut self,
        links: &[LinkIx],
        meter: &mut StudyMeter<'_>,
        workspace: &mut Workspace,
    ) -> Result<Fates<'a>, Refusal> {
        let Some((last, before)) = links.split_last() else { return Ok(vec![]) };
        let shared = self.steps.iter().zip(before).take_while(|(step, link)| step.link == **link).count();
        self.steps.truncate(shared);
        for link in before.iter().skip(shared) {
            let event = self.decide_cut(*link, meter, workspace)?;
            let mut state = self.steps.last().map_or(self.state, |step| &step.state).clone();
            let mut fates = self.steps.last().map(|step| step.fates.clone()).unwrap_or_default();
            if let Event::LinkChanged { displaced, .. } = &event {
                add_fates(&mut fates, displaced);
            }
            follow(&mut state, event);
            self.steps.push(CutStep { link: *link, state, fates });
        }
        let Event::LinkChanged { displaced, .. } = self.decide_cut(*last, meter, workspace)? else { return Ok(vec![]) };
        Ok(match self.steps.last() {
            None => self.moved(displaced.into_iter().map(|gone| (gone.id, gone.fate))),
            Some(step) => {
                let mut fates = step.fates.clone();
                add_fates(&mut fates, &displaced);
                self.moved(fates)
            }
        })
    }

    fn decide_cut(
        &self,
        link: LinkIx,
        meter: &mut StudyMeter<'_>,
        workspace: &mut Workspace,
    ) -> Result<Event, Refusal> {
        let state = self.steps.last().map_or(self.state, |step| &step.state);
        let network = state.network(self.topology.as_str());
        let name = network.and_then(|network| network.topology().link(link)).map(|link| link.name.clone());
        let link = name.ok_or_else(|| Refusal::UnknownTopology(self.topology.clone()))?;
        let change = LinkChange { state: Some(LinkState::Down), ..LinkChange::default() };
        let command = Command::ChangeLink { topology: self.topology.clone(), link, change };
        let event = decide(state, &command, Millis(0), workspace)?;
        if let Event::LinkChanged { displaced, .. } = &event {
            meter.work += u64::try_from(displaced.len()).unwrap_or(u64::MAX);
        }
        Ok(event)
    }

    /// Those that are not on the path that they were on before the first cut.
    fn moved(&self, fates: impl IntoIterator<Item = (AllocationId, Fate)>) -> Fates<'a> {
        let with_allocation = fates.into_iter().filter_map(|(id, fate)| Some((self.state.allocation(id)?, fate)));
        let is_moved =
            |(allocation, fate): &(&Arc<Allocation>, Fate)| *fate != Fate::Rerouted(Arc::clone(&allocation.path));
        with_allocation.filter(is_moved).collect()
    }
}

fn add_fates(fates: &mut BTreeMap<AllocationId, Fate>, displaced: &[Displaced]) {
    fates.extend(displaced.iter().map(|gone| (gone.id, gone.fate.clone())));
}
