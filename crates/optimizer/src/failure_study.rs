//! What links, nodes, shared-risk link groups or pairs of links take with them when they fail, now and as traffic grows.
//!
//! What must stay true: a scenario is exactly what the kernel decides when the links of the scenario are reported down one
//! after the other. There is no second model of restoration here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kernel::allocation::Allocation;
use kernel::command::LinkChange;
use kernel::event::{Displaced, Fate};
use kernel::id::{AllocationId, LinkIx, Name, NodeIx};
use kernel::path::Workspace;
use kernel::state::Network;
use kernel::topology::{LinkState, Topology};
use kernel::units::{Bandwidth, Millis, PPM};
use kernel::{Command, Event, Recorded, Refusal, State, apply, decide};

/// What fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureSet {
    /// Each link with the other direction of its fibre.
    Links,
    /// Each node: all links at it.
    Nodes,
    /// Each shared-risk link group (RFC 4202): all links of it.
    Srlgs,
    /// Each two links, each with the other direction of its fibre.
    Pairs,
}

/// One failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// What fails.
    pub subject: Subject,
    /// The links that are reported down, in this order; the other direction of a fibre shares its fate.
    pub links: Vec<LinkIx>,
}

/// What a scenario is named by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A link.
    Link(LinkIx),
    /// A node.
    Node(NodeIx),
    /// A shared-risk link group.
    Srlg(u32),
    /// Two links.
    Pair(LinkIx, LinkIx),
}

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
    pub unserved: Listing,
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
    /// The allocations that have another path.
    pub rerouted: Listing,
    /// The allocations that are over.
    pub lost: Listing,
    /// How many of the lost begin or end at the node that failed: no network could restore them.
    pub lost_with_node: usize,
}

/// Allocations, as many as limits allow.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Listing {
    /// The best class first, then the oldest.
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

/// The highest utilisation of a link over the scenarios, in parts per million of its maximum reservable bandwidth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorstCase {
    /// Before any failure.
    pub before_ppm: u64,
    /// In the worst scenario; not below [`WorstCase::before_ppm`].
    pub worst_ppm: u64,
    /// The first scenario with that utilisation, as its place in [`GrowthStudy::outcomes`]; `None`: there is none above
    /// what it is before any failure.
    pub scenario: Option<usize>,
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

/// The failures of a set, in the topology's order. Links that are down already do not fail.
pub fn scenarios(topology: &Topology, set: FailureSet) -> Vec<Scenario> {
    let fibres: Vec<LinkIx> = fibres(topology).collect();
    let all_of = |subject, is_of: &dyn Fn(LinkIx) -> bool| {
        let links: Vec<LinkIx> = fibres.iter().copied().filter(|link| is_of(*link)).collect();
        (!links.is_empty()).then_some(Scenario { subject, links })
    };
    match set {
        FailureSet::Links => {
            fibres.iter().map(|link| Scenario { subject: Subject::Link(*link), links: vec![*link] }).collect()
        }
        FailureSet::Pairs => {
            let pair = |one, other| Scenario { subject: Subject::Pair(one, other), links: vec![one, other] };
            let others = |at: usize| fibres.iter().skip(at + 1);
            fibres.iter().enumerate().flat_map(|(at, one)| others(at).map(move |other| pair(*one, *other))).collect()
        }
        FailureSet::Nodes => {
            let at_node = |node| {
                all_of(Subject::Node(node), &|link| {
                    topology.link(link).is_some_and(|link| link.from == node || link.to == node)
                })
            };
            topology.nodes().filter_map(|(node, _)| at_node(node)).collect()
        }
        FailureSet::Srlgs => {
            let groups_of = |link| {
                let both = [Some(link), topology.link(link).and_then(|link| link.twin)].into_iter().flatten();
                both.filter_map(|link| topology.link(link)).flat_map(|link| link.srlg.iter().copied())
            };
            let groups: BTreeSet<u32> = fibres.iter().flat_map(|link| groups_of(*link)).collect();
            let of_group = |group| all_of(Subject::Srlg(group), &|link| groups_of(link).any(|one| one == group));
            groups.into_iter().filter_map(of_group).collect()
        }
    }
}

/// A link of every fibre that is not down: the first of its two directions.
fn fibres(topology: &Topology) -> impl Iterator<Item = LinkIx> + '_ {
    let up = topology.links().filter(|(_, link)| link.state != LinkState::Down);
    up.filter(|(ix, link)| link.twin.is_none_or(|twin| *ix < twin)).map(|(ix, _)| ix)
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
    let scenarios = scenarios(network.topology(), set);
    let mut study = FailureStudy { growths: vec![], scenario_count: scenarios.len(), stop: None };
    let mut meter = Meter { limits, listed: 0, scenarios: 0, work: 0, has_time: &has_time };
    let mut workspace = Workspace::default();
    for growth_ppm in growths_ppm {
        let mut state = state.clone();
        let grown = grow(&mut state, topology, *growth_ppm, &mut meter, &mut workspace)?;
        let (stop, unserved) = match grown {
            Ok(unserved) => (None, unserved),
            Err(stop) => (Some(stop), Listing::default()),
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
    Ok(study)
}

/// What was spent of the limits.
struct Meter<'a> {
    limits: StudyLimits,
    listed: usize,
    scenarios: usize,
    work: u64,
    has_time: &'a dyn Fn() -> bool,
}

/// How many allocations grow between two looks at the clock.
const GROWN_BETWEEN_LOOKS: usize = 256;

impl Meter<'_> {
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

    fn list(&mut self, listing: &mut Listing, allocation: &Arc<Allocation>, fate: Option<Fate>) {
        listing.count += 1;
        listing.bandwidth_bps = listing.bandwidth_bps.saturating_add(allocation.demand.bandwidth.as_bps());
        if listing.listed.len() < self.limits.listed_max && self.listed < self.limits.listed_in_all_max {
            self.listed += 1;
            listing.listed.push(Affected { allocation: Arc::clone(allocation), fate });
        }
    }
}

/// Resizes every allocation of a topology, the oldest first, as a request for it would.
fn grow(
    state: &mut State,
    topology: &Name,
    growth_ppm: u32,
    meter: &mut Meter<'_>,
    workspace: &mut Workspace,
) -> Result<Result<Listing, StudyStop>, Refusal> {
    let mut unserved = Listing::default();
    if growth_ppm == 0 {
        return Ok(Ok(unserved));
    }
    let all = state.allocations_after(None).filter(|one| one.demand.topology == *topology);
    let all: Vec<Arc<Allocation>> = all.cloned().collect();
    for (number, allocation) in all.iter().enumerate() {
        if number % GROWN_BETWEEN_LOOKS == 0
            && let Some(stop) = meter.stop()
        {
            return Ok(Err(stop));
        }
        // It may have had to end for another to grow.
        if state.allocation(allocation.id).is_none() {
            continue;
        }
        meter.work += 1;
        let bandwidth = Some(grown(allocation.demand.bandwidth, growth_ppm));
        let command = Command::Resize { id: allocation.id, bandwidth, constraints: None, annotations: vec![] };
        match decide(state, &command, Millis(0), workspace)? {
            Event::Denied { .. } => meter.list(&mut unserved, allocation, None),
            event => {
                if let Event::Resized { displaced, .. } = &event {
                    for gone in displaced.iter().filter(|gone| matches!(gone.fate, Fate::Ended(_))) {
                        if let Some(ended) = state.allocation(gone.id) {
                            meter.list(&mut unserved, ended, Some(gone.fate.clone()));
                        }
                    }
                }
                follow(state, event);
            }
        }
    }
    Ok(Ok(unserved))
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
    meter: &mut Meter<'_>,
    workspace: &mut Workspace,
) -> Result<Option<StudyStop>, Refusal> {
    let mut loads = Loads::of(network);
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

fn outcome(scenario: &Scenario, network: &Network, fates: &Fates<'_>, meter: &mut Meter<'_>) -> ScenarioOutcome {
    let (mut rerouted, mut lost, mut lost_with_node) = (Listing::default(), Listing::default(), 0);
    for (allocation, fate) in fates {
        match fate {
            Fate::Rerouted(_) => meter.list(&mut rerouted, allocation, Some(fate.clone())),
            Fate::Ended(_) => {
                let Allocation { demand, .. } = &***allocation;
                let ends_at = |node| demand.ingress == node || demand.egress == node;
                lost_with_node += usize::from(matches!(scenario.subject, Subject::Node(node) if ends_at(node)));
                meter.list(&mut lost, allocation, Some(fate.clone()));
            }
        }
    }
    let kept = network.live().saturating_sub(fates.len());
    ScenarioOutcome { scenario: scenario.clone(), kept, rerouted, lost, lost_with_node }
}

/// Links cut one after the other. What scenarios in a row begin with is decided once.
struct Cuts<'a> {
    state: &'a State,
    topology: &'a Name,
    steps: Vec<Step>,
}

/// A link that was cut, the state after that, and all that is not where it was before the first cut.
struct Step {
    link: LinkIx,
    state: State,
    fates: BTreeMap<AllocationId, Fate>,
}

impl<'a> Cuts<'a> {
    fn cut(&mut self, links: &[LinkIx], meter: &mut Meter<'_>, workspace: &mut Workspace) -> Result<Fates<'a>, Refusal> {
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
            self.steps.push(Step { link: *link, state, fates });
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

    fn decide_cut(&self, link: LinkIx, meter: &mut Meter<'_>, workspace: &mut Workspace) -> Result<Event, Refusal> {
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
        let is_moved = |(allocation, fate): &(&Arc<Allocation>, Fate)| *fate != Fate::Rerouted(Arc::clone(&allocation.path));
        with_allocation.filter(is_moved).collect()
    }
}

fn add_fates(fates: &mut BTreeMap<AllocationId, Fate>, displaced: &[Displaced]) {
    fates.extend(displaced.iter().map(|gone| (gone.id, gone.fate.clone())));
}

/// What is booked on every link, and the worst of it so far.
struct Loads {
    booked_bps: Vec<u64>,
    reservable_bps: Vec<u64>,
    worst: Vec<WorstCase>,
}

impl Loads {
    fn of(network: &Network) -> Self {
        let links = || network.topology().links();
        let booked = |(ix, _)| network.ledger().booked(ix).iter().fold(0_u64, |sum, bps| sum.saturating_add(*bps));
        let booked_bps: Vec<u64> = links().map(booked).collect();
        let reservable_bps: Vec<u64> = links().map(|(_, link)| link.max_reservable.as_bps()).collect();
        let worst = booked_bps.iter().zip(&reservable_bps).map(|(booked, reservable)| {
            let before_ppm = utilisation_ppm(*booked, *reservable);
            WorstCase { before_ppm, worst_ppm: before_ppm, scenario: None }
        });
        Self { worst: worst.collect(), booked_bps, reservable_bps }
    }

    /// Only links that gain can be worse than they were.
    fn look_at(&mut self, scenario: usize, network: &Network, fates: &Fates<'_>) {
        let mut changed: BTreeMap<LinkIx, (u64, u64)> = BTreeMap::new();
        for (allocation, fate) in fates {
            let Some(slot) = network.slot_of(allocation) else { continue };
            let booked = |link: &LinkIx| {
                let bounds = network.ledger().bounds(*link);
                bounds.map_or(0, |bounds| bounds.booked(network.ledger().slots(), slot, allocation.demand.bandwidth))
            };
            for link in allocation.path.iter() {
                let (left, _) = changed.entry(*link).or_default();
                *left = left.saturating_add(booked(link));
            }
            if let Fate::Rerouted(path) = fate {
                for link in path.iter() {
                    let (_, came) = changed.entry(*link).or_default();
                    *came = came.saturating_add(booked(link));
                }
            }
        }
        for (link, (left, came)) in changed {
            let at = link.at();
            let (Some(booked), Some(reservable)) = (self.booked_bps.get(at), self.reservable_bps.get(at)) else { continue };
            let ppm = utilisation_ppm(booked.saturating_add(came).saturating_sub(left), *reservable);
            if let Some(worst) = self.worst.get_mut(at)
                && ppm > worst.worst_ppm
            {
                (worst.worst_ppm, worst.scenario) = (ppm, Some(scenario));
            }
        }
    }
}

fn utilisation_ppm(booked_bps: u64, reservable_bps: u64) -> u64 {
    let wide = u128::from(booked_bps) * u128::from(PPM) / u128::from(reservable_bps.max(1));
    u64::try_from(wide).unwrap_or(u64::MAX)
}

