//! Feeds a trace of requests through the kernel, as the service would have decided them, and keeps count. Departures at a
//! time come before arrivals at the same time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::summary::{ClassSummary, Decision, ReplayOutcome, ReplaySummary, Reroute, Samples};
use formats::trace::TraceRequest;
use kernel::allocation::{Allocation, LspAttributes};
use kernel::bam::Cause;
use kernel::class::{CLASS_TYPES, ClassType, Priority};
use kernel::command::{Expected, ModelChange, NamedConstraints, OnMisfit, Request};
use kernel::decide::least_sufficient_bps;
use kernel::event::{Denial, Displaced, DisplacedBy, Fate};
use kernel::id::{AllocationId, LinkIx, Name, NameError};
use kernel::path::Workspace;
use kernel::policy::BandwidthModel;
use kernel::topology::Topology;
use kernel::units::{Bandwidth, Millis};
use kernel::{ApplyError, Command, Event, Recorded, Refusal, State, apply, decide};

/// How many columns the utilisation plot has at most.
const SAMPLES_MAX: usize = 1_000;

/// A replay under way.
pub struct Replay {
    state: State,
    workspace: Workspace,
    topology: Arc<Topology>,
    now_ms: u64,
    departures: BinaryHeap<Reverse<(u64, AllocationId)>>,
    names: BTreeMap<AllocationId, String>,
    classes: [ReplayCounts; CLASS_TYPES],
    /// Reserved bandwidth times links, by class, now.
    load: [u128; CLASS_TYPES],
    samples: Samples,
    invalid: u64,
    moved: u64,
    evicted_bps: u128,
    needed_bps: u128,
}

/// Why a replay cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The topology or the model was refused.
    #[error("the kernel refuses the network: {0}")]
    Refused(#[from] Refusal),
    /// The kernel contradicts itself; a defect.
    #[error("the kernel contradicts itself: {0}")]
    Contradiction(#[from] ApplyError),
    /// A name in the trace that is none.
    #[error("request {id}: {field}: {error}")]
    BadName { id: String, field: &'static str, error: NameError },
    /// A number in the trace that is out of its range.
    #[error("request {id}: {field} is {value}, more than {max}")]
    OutOfRange {
        id: String,
        field: &'static str,
        value: u64,
        /// The most it may be.
        max: u64,
    },
}

#[derive(Clone, Copy, Default)]
struct ReplayCounts {
    requests: u64,
    admitted: u64,
    preempted: u64,
    devolved: u64,
    rerouted: u64,
    /// Reserved bit/s times links times milliseconds.
    volume: u128,
}

impl Replay {
    /// An empty network under a model. `horizon_ms` is about how long the trace lasts, for the resolution of the plot.
    ///
    /// # Errors
    /// The kernel refuses the network or the model.
    pub fn new(topology: Topology, model: BandwidthModel, horizon_ms: u64) -> Result<Self, ReplayError> {
        let topology = Arc::new(topology);
        let mut replay = Self {
            state: State::new(),
            workspace: Workspace::default(),
            topology: Arc::clone(&topology),
            now_ms: 0,
            departures: BinaryHeap::new(),
            names: BTreeMap::new(),
            classes: [ReplayCounts::default(); CLASS_TYPES],
            load: [0; CLASS_TYPES],
            samples: Samples { step_ms: (horizon_ms / SAMPLES_MAX as u64).max(1), rows: vec![] },
            invalid: 0,
            moved: 0,
            evicted_bps: 0,
            needed_bps: 0,
        };
        let name = network_name().map_err(|error| ReplayError::BadName { id: String::new(), field: "", error })?;
        let (expected, misfits) = (Expected::Unsaid, OnMisfit::Refuse);
        replay.run(&Command::PutTopology { name: name.clone(), topology, expected, misfits })?;
        let (expected, switch) = (Expected::Any, ModelChange::Hard);
        replay.run(&Command::SetModel { topology: name, model: Arc::new(model), expected, switch })?;
        Ok(replay)
    }

    /// Decides one request, after all departures up to its time.
    ///
    /// # Errors
    /// The request is not one that could be asked; the message names it.
    pub fn feed(&mut self, asked: &TraceRequest) -> Result<Decision, ReplayError> {
        self.depart_until(asked.t_ms)?;
        self.advance(asked.t_ms);
        let request = request_of(asked)?;
        let class = request.class_type.at();
        let without_path = |outcome, reason: String| Decision {
            id: asked.id.clone(),
            outcome,
            path: vec![],
            preempted: vec![],
            devolved: vec![],
            rerouted: vec![],
            moved: vec![],
            reason: Some(reason),
        };
        let event = match self.run(&Command::Allocate(Box::new(request))) {
            Ok(event) => event,
            Err(ReplayError::Refused(refusal)) => {
                self.invalid += 1;
                return Ok(without_path(ReplayOutcome::Invalid, refusal.to_string()));
            }
            Err(error) => return Err(error),
        };
        self.classes[class].requests += 1;
        let (allocation, displaced) = match event {
            Event::Admitted { allocation, displaced } => (allocation, displaced),
            Event::Denied { denial, .. } => {
                return Ok(without_path(ReplayOutcome::Denied, reason(&denial).to_owned()));
            }
            _ => return Ok(without_path(ReplayOutcome::Denied, "nothing".to_owned())),
        };
        self.classes[class].admitted += 1;
        self.names.insert(allocation.id, asked.id.clone());
        if let Some(hold_ms) = asked.hold_ms {
            self.departures.push(Reverse((asked.t_ms.saturating_add(hold_ms), allocation.id)));
        }
        Ok(Decision {
            id: asked.id.clone(),
            outcome: ReplayOutcome::Admitted,
            path: self.link_names(&allocation.path),
            rerouted: self.reroutes(displaced.iter().filter(|gone| gone.cause != DisplacedBy::Relocation)),
            moved: self.reroutes(displaced.iter().filter(|gone| gone.cause == DisplacedBy::Relocation)),
            preempted: self.take_names(&displaced, Cause::Preempted),
            devolved: self.take_names(&displaced, Cause::Devolved),
            reason: None,
        })
    }

    /// Sums up, at the time of the last request.
    ///
    /// # Errors
    /// Only a defect of the kernel.
    pub fn finish(mut self) -> Result<(ReplaySummary, Samples), ReplayError> {
        let end_ms = self.now_ms;
        self.depart_until(end_ms)?;
        let decisions = self.state.sequence().0.saturating_sub(2);
        let whole = self.whole().saturating_mul(u128::from(self.now_ms.max(1)));
        let ppm = |volume: u128| u64::try_from(volume.saturating_mul(1_000_000) / whole.max(1)).unwrap_or(u64::MAX);
        let sum = |part: fn(&ReplayCounts) -> u64| self.classes.iter().map(part).sum::<u64>();
        let classes = self.classes.iter().zip(0_u8..).filter(|(counts, _)| counts.requests > 0);
        let summary = ReplaySummary {
            duration_ms: self.now_ms,
            requests: sum(|counts| counts.requests),
            admitted: sum(|counts| counts.admitted),
            blocked: sum(|counts| counts.requests - counts.admitted),
            preempted: sum(|counts| counts.preempted),
            devolved: sum(|counts| counts.devolved),
            invalid: self.invalid,
            moved: self.moved,
            evicted_to_needed_ppm: self
                .evicted_bps
                .saturating_mul(1_000_000)
                .checked_div(self.needed_bps)
                .map(|ppm| u64::try_from(ppm).unwrap_or(u64::MAX)),
            utilisation_ppm: ppm(self.classes.iter().map(|counts| counts.volume).sum()),
            elapsed_ms: 0,
            decisions_per_second: 0,
            decisions,
            classes: classes
                .map(|(counts, class_type)| ClassSummary {
                    class_type,
                    requests: counts.requests,
                    admitted: counts.admitted,
                    blocked: counts.requests - counts.admitted,
                    preempted: counts.preempted,
                    devolved: counts.devolved,
                    rerouted: counts.rerouted,
                    utilisation_ppm: ppm(counts.volume),
                })
                .collect(),
        };
        Ok((summary, self.samples))
    }

    /// The state as it is now.
    pub fn state(&self) -> &State {
        &self.state
    }

    fn run(&mut self, command: &Command) -> Result<Event, ReplayError> {
        let at = Millis(self.now_ms);
        let event = decide(&self.state, command, at, &mut self.workspace)?;
        if let Event::Admitted { allocation, displaced } = &event {
            self.count_victims(allocation, displaced);
        }
        let recorded = Recorded { sequence: self.state.sequence().next(), at, event };
        let before = apply(&mut self.state, &recorded)?.allocations;
        // A victim no longer counts as it was, and counts as it is.
        for old in &before {
            self.load[old.demand.class_type.at()] -= u128::from(old.demand.bandwidth.as_bps()) * old.path.len() as u128;
            if let Some(new) = self.state.allocation(old.id) {
                self.load[new.demand.class_type.at()] +=
                    u128::from(new.demand.bandwidth.as_bps()) * new.path.len() as u128;
            }
        }
        if let Event::Admitted { allocation, displaced } = &recorded.event {
            self.load[allocation.demand.class_type.at()] +=
                u128::from(allocation.demand.bandwidth.as_bps()) * allocation.path.len() as u128;
            for (gone, old) in displaced.iter().filter_map(|gone| Some((gone, find(&before, gone.id)?))) {
                let counts = &mut self.classes[old.demand.class_type.at()];
                match (&gone.fate, gone.cause) {
                    (Fate::Rerouted(_), DisplacedBy::Relocation) | (Fate::Unprotected, _) => {}
                    (Fate::Rerouted(_), _) => counts.rerouted += 1,
                    (Fate::Ended(_), DisplacedBy::Contention(Cause::Devolved)) => counts.devolved += 1,
                    (Fate::Ended(_), _) => counts.preempted += 1,
                }
            }
        }
        Ok(recorded.event)
    }

    /// Before the event is applied: what it takes, beside the least that it could take.
    fn count_victims(&mut self, admitted: &Allocation, displaced: &[Displaced]) {
        let (moved, victims): (Vec<_>, Vec<_>) =
            displaced.iter().partition(|gone| gone.cause == DisplacedBy::Relocation);
        self.moved += u64::try_from(moved.len()).unwrap_or(u64::MAX);
        if victims.is_empty() {
            return;
        }
        let victims = victims.iter().filter_map(|gone| self.state.allocation(gone.id));
        self.evicted_bps += victims.map(|victim| u128::from(victim.demand.bandwidth.as_bps())).sum::<u128>();
        self.needed_bps += u128::from(least_sufficient_bps(&self.state, admitted, displaced).unwrap_or(0));
    }

    fn link_names(&self, path: &[LinkIx]) -> Vec<String> {
        path.iter().filter_map(|link| self.topology.link(*link)).map(|link| link.name.to_string()).collect()
    }

    fn reroutes<'a>(&self, displaced: impl Iterator<Item = &'a Displaced>) -> Vec<Reroute> {
        let rerouted = displaced.filter_map(|gone| match &gone.fate {
            Fate::Rerouted(path) => {
                Some(Reroute { id: self.names.get(&gone.id)?.clone(), path: self.link_names(path) })
            }
            Fate::Unprotected | Fate::Ended(_) => None,
        });
        rerouted.collect()
    }

    fn depart_until(&mut self, t_ms: u64) -> Result<(), ReplayError> {
        while let Some(Reverse((due_ms, id))) = self.departures.peek().copied() {
            if due_ms > t_ms {
                return Ok(());
            }
            self.departures.pop();
            // A preempted or devolved allocation has no departure any more.
            if self.state.allocation(id).is_some() {
                self.advance(due_ms);
                self.names.remove(&id);
                self.run(&Command::Release { id })?;
            }
        }
        Ok(())
    }

    fn advance(&mut self, t_ms: u64) {
        let passed = u128::from(t_ms.saturating_sub(self.now_ms));
        for (counts, load) in self.classes.iter_mut().zip(self.load) {
            counts.volume = counts.volume.saturating_add(load.saturating_mul(passed));
        }
        let whole = self.whole().max(1);
        let row = self.load.map(|load| u64::try_from(load * 1_000_000 / whole).unwrap_or(u64::MAX));
        while self.samples.rows.len() as u64 * self.samples.step_ms < t_ms && self.samples.rows.len() < 2 * SAMPLES_MAX
        {
            self.samples.rows.push(row);
        }
        self.now_ms = self.now_ms.max(t_ms);
    }

    fn whole(&self) -> u128 {
        self.topology.links().map(|(_, link)| u128::from(link.max_reservable.as_bps())).sum()
    }

    fn take_names(&mut self, displaced: &[Displaced], cause: Cause) -> Vec<String> {
        let ended = displaced
            .iter()
            .filter(|gone| gone.cause == DisplacedBy::Contention(cause) && matches!(gone.fate, Fate::Ended(_)));
        ended.filter_map(|gone| self.names.remove(&gone.id)).collect()
    }
}

fn find(before: &[Arc<Allocation>], id: AllocationId) -> Option<&Arc<Allocation>> {
    before.iter().find(|old| old.id == id)
}

fn network_name() -> Result<Name, NameError> {
    Name::new("replay")
}

fn reason(denial: &Denial) -> &'static str {
    match denial {
        Denial::InsufficientBandwidth { .. } => "insufficient-bandwidth",
        Denial::NoPath(_) => "no-path",
        Denial::NoBackup { .. } => "no-backup-path",
        Denial::TooCongested { .. } => "too-congested",
    }
}

fn request_of(asked: &TraceRequest) -> Result<Request, ReplayError> {
    let named = |field, text: &str| {
        Name::new(text).map_err(|error| ReplayError::BadName { id: asked.id.clone(), field, error })
    };
    let out_of_range =
        |field, value: u64, max: u64| ReplayError::OutOfRange { id: asked.id.clone(), field, value, max };
    let priority = |field, number: Option<u8>| match number {
        Some(number) => Priority::new(number).map(Some).ok_or_else(|| out_of_range(field, u64::from(number), 7)),
        None => Ok(None),
    };
    Ok(Request {
        topology: None,
        ingress: named("ingress", &asked.ingress)?,
        egress: named("egress", &asked.egress)?,
        class_type: ClassType::new(asked.class_type)
            .ok_or_else(|| out_of_range("class_type", u64::from(asked.class_type), 7))?,
        bandwidth: Bandwidth::from_bps(asked.bandwidth_bps)
            .ok_or_else(|| out_of_range("bandwidth_bps", asked.bandwidth_bps, Bandwidth::MAX.as_bps()))?,
        setup_priority: priority("setup_priority", asked.setup_priority)?,
        hold_priority: priority("hold_priority", asked.hold_priority)?,
        constraints: NamedConstraints::default(),
        moves_max: None,
        hold_for: None,
        duration: None,
        attributes: LspAttributes::default(),
    })
}
