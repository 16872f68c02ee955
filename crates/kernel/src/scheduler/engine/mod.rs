//! The scheduler as a machine: reports, answers and time go in, commands and rates come out. It looks at the state and
//! changes nothing in it; what it wants reserved it asks for like anybody else, and what an aggregator is told is what was
//! admitted. All it knows is soft: it can be lost and is built again from what aggregators report.
//!
//! What must stay true: every bit that an aggregator is told to send is in a living allocation; one aggregator's reports
//! change nothing for others but by the plan; memory is bounded by the constants here.

mod aggregator;
mod flows;
mod reservations;
mod network_view;
mod lease;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use aggregator::{AggregatorView, Destination, GrantedLevel, GrantedRates};
pub use reservations::{ASKS_AT_ONCE_MAX, Ask, GrantOutcome, GrantPurpose};

use aggregator::AggregatorState;
use network_view::Net;

use super::hysteresis::LeaseState;
use super::report::{AHEAD_MAX_MS, InvalidReport, Metadata};
use super::{AggregatorIx, FlowDemand, FlowKey, LEVELS, SchedulerSettings};
use crate::allocation::{self, Allocation};
use crate::class::ClassType;
use crate::id::{AllocationId, LinkIx, Name, NodeIx};
use crate::path::{Constraints, Workspace};
use crate::refusal::Refusal;
use crate::state::{Network, State};
use crate::units::Millis;

/// The most aggregators that are known at once.
pub const AGGREGATORS_MAX: usize = 100_000;
/// The most topics and subscribers that all of them may report together.
pub const ENTRIES_MAX: usize = 2_000_000;
/// For how many leases an aggregator that is lost is still shown.
pub const SHOWN_LEASES: u64 = 10;

/// Why a report is not taken. Nothing changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReportRejection {
    /// It cannot be believed.
    #[error(transparent)]
    Absurd(#[from] InvalidReport),
    /// It names a node that is not there, or no topology can be told by it.
    #[error(transparent)]
    Unknown(#[from] Refusal),
    /// It is not newer than what was reported last: out of order, or replayed.
    #[error("a report as of {} ms was heard before this one as of {} ms", .last.0, .at.0)]
    NotNewer {
        /// The last one.
        last: Millis,
        /// This one.
        at: Millis,
    },
    /// It is so old that it counts no longer.
    #[error("the report is {age_ms} ms old, more than the {most_ms} ms that a lease and the difference of clocks make")]
    Outdated {
        /// How old.
        age_ms: u64,
        /// How old it may be.
        most_ms: u64,
    },
    /// An aggregator of this name reports from another node.
    #[error("an aggregator of this name reports from node '{0}'")]
    Elsewhere(Name),
    /// Another process of this name reports, and was heard within its lease.
    #[error("another instance of this aggregator, '{0}', was heard within its lease")]
    AnotherInstance(Name),
    /// A limit of this service.
    #[error("there are {max} {what} already, no more can be taken")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// How urgent a report is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Urgency {
    /// It can wait for its turn.
    Routine,
    /// Somebody subscribed where nobody did: at once.
    NewSubscription,
}

/// Who is where, who asks for what, what is reserved for whom.
pub struct Dispatcher {
    settings: SchedulerSettings,
    topology: Option<Name>,
    nets: BTreeMap<Name, Net>,
    aggregators: BTreeMap<Name, AggregatorState>,
    names: Vec<Option<Name>>,
    vacant: Vec<AggregatorIx>,
    entries: usize,
    /// When somebody's standing falls.
    falls: BTreeSet<(Millis, Name)>,
    /// When a flow that was refused may ask again.
    retries: BTreeSet<(Millis, FlowKey)>,
    /// Flows whose reservation may not be what it should.
    pending: BTreeSet<FlowKey>,
    /// Flows that hold somewhat more than they should.
    lowerable: BTreeSet<FlowKey>,
    /// Whether a request was refused for room that such flows may hold.
    needs_room: bool,
    holders: BTreeMap<AllocationId, FlowKey>,
    /// Reservations to be let go.
    discarded: BTreeSet<AllocationId>,
    /// Reservations of an earlier life, until their aggregator reports again.
    orphans: BTreeMap<RecoveredReservation, AllocationId>,
    orphans_until: Option<Millis>,
    /// Who has to be told something.
    news: BTreeSet<AggregatorIx>,
    /// Who is known no longer.
    forgotten: Vec<Name>,
    workspace: Workspace,
}

/// What an aggregator wants in a level at a node.
struct WantedReservation {
    egress: Name,
    want: FlowDemand,
    packets: Option<allocation::Flow>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RecoveredReservation {
    aggregator: Name,
    topology: Name,
    class_type: ClassType,
    ends: (NodeIx, NodeIx),
}

impl Dispatcher {
    /// Nobody is known. What an earlier life of the scheduler reserved is kept for two leases.
    pub fn new(settings: SchedulerSettings, topology: Option<Name>, state: &State, now: Millis) -> Self {
        let mut orphans = BTreeMap::new();
        for allocation in state.allocations_after(None).filter(|allocation| is_ours(allocation)) {
            let Some(aggregator) = allocation.aggregator.clone() else { continue };
            let orphan = RecoveredReservation {
                aggregator,
                topology: allocation.topology.clone(),
                class_type: allocation.class_type,
                ends: (allocation.ingress, allocation.egress),
            };
            orphans.insert(orphan, allocation.id);
        }
        let patience_ms = settings.lease_ms.saturating_mul(2);
        let orphans_until = (!orphans.is_empty()).then(|| Millis(now.0.saturating_add(patience_ms)));
        Self {
            settings,
            topology,
            nets: BTreeMap::new(),
            aggregators: BTreeMap::new(),
            names: vec![],
            vacant: vec![],
            entries: 0,
            falls: BTreeSet::new(),
            retries: BTreeSet::new(),
            pending: BTreeSet::new(),
            lowerable: BTreeSet::new(),
            needs_room: false,
            holders: BTreeMap::new(),
            discarded: BTreeSet::new(),
            orphans,
            orphans_until,
            news: BTreeSet::new(),
            forgotten: vec![],
            workspace: Workspace::default(),
        }
    }

    /// Takes a report in.
    ///
    /// # Errors
    /// It is not believed, or it is not about this network; nothing changed.
    pub fn report(
        &mut self,
        id: &Name,
        metadata: Arc<Metadata>,
        state: &State,
        now: Millis,
    ) -> Result<Urgency, ReportRejection> {
        metadata.check(now)?;
        // Clocks may differ as much behind as ahead.
        let age_ms = now.0.saturating_sub(metadata.at.0);
        let most_ms = self.settings.lease_ms.saturating_add(AHEAD_MAX_MS);
        if age_ms >= most_ms {
            return Err(ReportRejection::Outdated { age_ms, most_ms });
        }
        let (topology, network) = self.network_of(state, &metadata)?;
        let node = network.topology().node_named(metadata.node.as_str()).ok_or_else(|| {
            let names = [metadata.node.clone()].into();
            Refusal::UnknownNode { field: "node", names, topology: topology.clone() }
        })?;
        let is_unknown = |name: &&Name| network.topology().node_named(name.as_str()).is_none();
        let names: BTreeSet<Name> = metadata.consumer_nodes().filter(is_unknown).cloned().collect();
        if !names.is_empty() {
            return Err(Refusal::UnknownNode { field: "topics.subscribers.node", names, topology }.into());
        }
        let entries = entries_of(&metadata);
        let known = self.aggregators.get(id);
        let freed = known.map_or(0, |known| entries_of(&known.metadata));
        if let Some(known) = known {
            // Whoever was heard first keeps the name while their lease lasts; who says no instance cannot be told apart.
            let (theirs, own) = (&known.metadata.presence.instance, &metadata.presence.instance);
            if let (LeaseState::Fresh, Some(theirs), Some(own)) = (known.standing, theirs, own)
                && theirs != own
            {
                return Err(ReportRejection::AnotherInstance(theirs.clone()));
            }
            let last = known.metadata.at;
            if metadata.at <= last {
                return Err(ReportRejection::NotNewer { last, at: metadata.at });
            }
            if known.metadata.node != metadata.node && known.standing == LeaseState::Fresh {
                return Err(ReportRejection::Elsewhere(known.metadata.node.clone()));
            }
        } else if self.aggregators.len() >= AGGREGATORS_MAX {
            return Err(ReportRejection::TooMany { what: "aggregators", max: AGGREGATORS_MAX });
        }
        if (self.entries - freed).saturating_add(entries) > ENTRIES_MAX {
            return Err(ReportRejection::TooMany { what: "topics and subscribers", max: ENTRIES_MAX });
        }
        self.entries = self.entries - freed + entries;
        Ok(self.take_in(id, metadata, (topology, node), state, now))
    }

    /// An aggregator is said to have gone: what it needs beyond what arrives counts no longer.
    pub fn silence(&mut self, id: &Name, state: &State, now: Millis) {
        let lease_ms = self.settings.lease_ms;
        let Some(known) = self.aggregators.get_mut(id).filter(|known| known.standing == LeaseState::Fresh) else {
            return;
        };
        known.heard_at = Millis(now.0.saturating_sub(lease_ms));
        self.restand(id, state, now);
        self.reschedule(id, now);
    }

    /// Lets time pass: who was silent for too long loses their boost, then what they hold.
    pub fn tick(&mut self, state: &State, now: Millis) {
        while let Some((at, id)) = self.falls.first().filter(|(at, _)| *at <= now).cloned() {
            self.falls.remove(&(at, id.clone()));
            self.restand(&id, state, now);
            self.reschedule(&id, now);
        }
        while let Some((at, key)) = self.retries.first().filter(|(at, _)| *at <= now).copied() {
            self.retries.remove(&(at, key));
            self.forgive(key);
        }
        if self.orphans_until.is_some_and(|until| until <= now) {
            self.orphans_until = None;
            self.discarded.extend(std::mem::take(&mut self.orphans).into_values());
        }
    }

    /// When something has to be done even if nobody reports.
    pub fn next_deadline(&self) -> Option<Millis> {
        let falls = self.falls.first().map(|(at, _)| *at);
        let retries = self.retries.first().map(|(at, _)| *at);
        [falls, retries, self.orphans_until].into_iter().flatten().min()
    }

    /// Takes in what others did: the allocations that something happened to, and what they left on the links.
    pub fn sync(&mut self, state: &State, touched: &[AllocationId]) {
        let stale: Vec<Name> = self
            .nets
            .iter()
            .filter(|(name, net)| state.network(name.as_str()).is_none_or(|network| !net.is_of(network)))
            .map(|(name, _)| name.clone())
            .collect();
        for name in stale {
            self.rebuild(&name, state);
        }
        for id in touched {
            if let Some(key) = self.holders.get(id).copied() {
                self.hold(key, state.allocation(*id));
                self.pending.insert(key);
            }
        }
        for (name, net) in &mut self.nets {
            if let Some(network) = state.network(name.as_str()) {
                net.refresh(network, &self.settings);
            }
        }
    }

    /// As [`Dispatcher::sync`], where it is not known to whom something happened.
    pub fn sync_all(&mut self, state: &State) {
        let held: Vec<_> = self.holders.keys().copied().collect();
        self.sync(state, &held);
    }

    /// Takes in what links were measured to carry, in bit/s; `None` of those that nobody measures.
    pub fn measure(&mut self, state: &State, carried_bps: impl Fn(&Name, LinkIx) -> Option<u64>) {
        for (name, net) in &mut self.nets {
            if let Some(network) = state.network(name.as_str()).filter(|network| net.is_of(network)) {
                net.measure(network, |link| carried_bps(name, link));
            }
        }
    }

    /// An aggregator.
    pub fn view(&self, id: &Name) -> Option<AggregatorView> {
        self.aggregators.get(id).map(|known| known.view(id))
    }

    /// Who is known no longer since this was asked last.
    pub fn take_forgotten(&mut self) -> Vec<Name> {
        std::mem::take(&mut self.forgotten)
    }

    /// Who has something new to be shown, as they are now.
    pub fn take_news(&mut self, now: Millis) -> Vec<AggregatorView> {
        let news = std::mem::take(&mut self.news);
        let renew_ms = self.settings.lease_ms / 3;
        let mut views = Vec::with_capacity(news.len());
        for ix in news {
            let Some((id, known)) = named(&self.names, &mut self.aggregators, ix) else { continue };
            let levels = known.levels();
            let old = &known.rates;
            let instance = &known.metadata.presence.instance;
            if levels != old.levels || *instance != old.instance || now.0.saturating_sub(old.at.0) >= renew_ms {
                // The clock is ahead of every number that an earlier life gave out.
                let sequence = old.sequence.saturating_add(1).max(now.0);
                let (instance, lease_ms) = (instance.clone(), self.settings.lease_ms);
                known.rates = Arc::new(GrantedRates { sequence, at: now, instance, lease_ms, levels });
            }
            views.push(known.view(id));
        }
        views
    }

    /// What can be chosen, as it was chosen.
    pub fn settings(&self) -> &SchedulerSettings {
        &self.settings
    }

    /// The topology that was chosen; else the one that the aggregator is in already; else the only one with its node.
    fn network_of<'a>(&self, state: &'a State, metadata: &Metadata) -> Result<(Name, &'a Network), Refusal> {
        if let Some(chosen) = &self.topology {
            let found = state.network(chosen.as_str()).map(|network| (chosen.clone(), network));
            return found.ok_or_else(|| Refusal::UnknownTopology(chosen.clone()));
        }
        let is_there = |network: &Network| network.topology().node_named(metadata.node.as_str()).is_some();
        let mut having = state.networks().filter(|(_, network)| is_there(network));
        match (having.next(), having.next()) {
            (Some((name, network)), None) => Ok((name.clone(), network)),
            (Some(_), Some(_)) => Err(Refusal::TopologyNotNamed { count: state.networks().len() }),
            (None, _) => match state.networks().next() {
                Some((topology, _)) => {
                    let names = [metadata.node.clone()].into();
                    Err(Refusal::UnknownNode { field: "node", names, topology: topology.clone() })
                }
                None => Err(Refusal::TopologyNotNamed { count: 0 }),
            },
        }
    }

    fn take_in(
        &mut self,
        id: &Name,
        metadata: Arc<Metadata>,
        (topology, node): (Name, NodeIx),
        state: &State,
        now: Millis,
    ) -> Urgency {
        let moved = self.aggregators.get(id).is_some_and(|known| known.topology != topology || known.node != node);
        if moved {
            self.drop_flows(id);
        }
        let before = self.aggregators.get(id).map(|known| Arc::clone(&known.metadata));
        let is_new = before.is_none_or(|before| metadata.has_new_destination(&before));
        let known = self.aggregators.get(id);
        let boosts = metadata.boosts(known.map_or([false; LEVELS], |known| known.boosts), &self.settings);
        if known.is_none() {
            let ix = self.number(id);
            let blank = AggregatorState::new(ix, (topology.clone(), node), Arc::clone(&metadata), now, &self.settings);
            self.aggregators.insert(id.clone(), blank);
        }
        if let Some(known) = self.aggregators.get_mut(id) {
            (known.topology, known.node, known.boosts) = (topology.clone(), node, boosts);
            (known.metadata, known.heard_at, known.standing) = (metadata, now, LeaseState::Fresh);
            self.news.insert(known.ix);
        }
        if !self.nets.contains_key(&topology)
            && let Some(network) = state.network(topology.as_str())
        {
            self.nets.insert(topology, Net::new(network, &self.settings));
        }
        self.reschedule(id, now);
        self.want(id, state);
        if is_new { Urgency::NewSubscription } else { Urgency::Routine }
    }

    fn number(&mut self, id: &Name) -> AggregatorIx {
        let ix = self.vacant.pop().unwrap_or_else(|| {
            self.names.push(None);
            AggregatorIx(u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX))
        });
        if let Some(place) = self.names.get_mut(ix.0 as usize) {
            *place = Some(id.clone());
        }
        ix
    }
}

/// An aggregator by its number.
fn named<'a>(
    names: &'a [Option<Name>],
    aggregators: &'a mut BTreeMap<Name, AggregatorState>,
    ix: AggregatorIx,
) -> Option<(&'a Name, &'a mut AggregatorState)> {
    let id = names.get(ix.0 as usize)?.as_ref()?;
    Some((id, aggregators.get_mut(id)?))
}

/// How many topics and subscribers a report has.
fn entries_of(metadata: &Metadata) -> usize {
    metadata.topics.iter().map(|topic| 1 + topic.subscribers.len()).sum()
}

/// Whether an allocation is as the scheduler asks for them: for an aggregator, with nothing said but the metric and the packets.
fn is_ours(allocation: &Allocation) -> bool {
    let constraints = allocation.constraints.as_deref();
    let plain = constraints.is_some_and(|said| {
        said.metric.is_some() && *said == Constraints { metric: said.metric, ..Constraints::default() }
    });
    plain && allocation.aggregator.is_some() && allocation.expires_at.is_none()
}
