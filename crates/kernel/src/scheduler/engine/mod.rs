//! The scheduler as a state machine: reports, outcomes of commands and time go in, commands and rates come out. It reads
//! the kernel's state and changes nothing in it; reservations are made by commands like any other client's, and an
//! aggregator's rate is what was admitted. Its own state is soft: it can be lost and is rebuilt from reports.
//!
//! What must stay true: every bit/s of an aggregator's rate is reserved by a living allocation; one aggregator's reports
//! change another's rate only by the plan; memory is bounded by the constants here.

mod aggregator;
mod flows;
mod reservations;
mod adjustment;
mod network_view;
mod lease;
mod rebalance;
mod recovered;
mod tenants;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use aggregator::{AggregatorView, Destination, GrantedLevel, GrantedPath, GrantedRates, UnservedCause};
pub use rebalance::REBALANCE_MS;
pub use reservations::{ASKS_AT_ONCE_MAX, Ask, GrantOutcome, GrantPurpose};

use adjustment::Adjustment;
use aggregator::AggregatorState;
use network_view::Net;
use recovered::{RecoveredReservations, is_ours};
use reservations::ScarceLinks;

use super::hysteresis::LeaseState;
use super::report::{AHEAD_MAX_MS, InvalidReport, Metadata};
use super::{AggregatorIx, FlowDemand, LEVELS, PathKey, SchedulerSettings};
use crate::allocation;
use crate::id::{AllocationId, LinkIx, Name, NodeIx};
use crate::intent::Dpid;
use crate::path::Workspace;
use crate::refusal::Refusal;
use crate::state::{Network, State};
use crate::units::Millis;

/// The most topics and subscribers over all reports.
pub const ENTRIES_MAX: usize = 2_000_000;
/// An aggregator without a report is shown for so many leases.
pub const SHOWN_LEASES: u64 = 10;

/// Why a report is rejected. Nothing changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReportRejection {
    /// It is invalid.
    #[error(transparent)]
    Absurd(#[from] InvalidReport),
    /// It names an unknown node, or no topology can be derived from it.
    #[error(transparent)]
    Unknown(#[from] Refusal),
    /// It is not newer than the last report: out of order, or replayed.
    #[error("invalid time: the last report was of {} ms, this one is of {} ms", .last.0, .at.0)]
    NotNewer {
        /// The time of the last report.
        last: Millis,
        /// The time of this report.
        at: Millis,
    },
    /// It is older than a lease.
    #[error(
        "invalid time: the report is {age_ms} ms old, more than the {most_ms} ms of a lease and the difference of clocks"
    )]
    Outdated {
        /// Its age.
        age_ms: u64,
        /// The largest valid age.
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

/// How soon rates should follow a report.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Urgency {
    /// With the next round.
    Routine,
    /// At once: a level has subscribers at a node where it had none.
    NewSubscription,
}

/// The aggregators, their flows, and the reservations of each flow's paths.
pub struct Dispatcher {
    settings: SchedulerSettings,
    topology: Option<Name>,
    nets: BTreeMap<Name, Net>,
    /// By topology, the switches that split no flow.
    splitless: BTreeMap<Name, BTreeSet<Dpid>>,
    aggregators: BTreeMap<Name, AggregatorState>,
    names: Vec<Option<Name>>,
    vacant: Vec<AggregatorIx>,
    entries: usize,
    /// Timers of lease states.
    falls: BTreeSet<(Millis, Name)>,
    /// Timers of paths in backoff.
    retries: BTreeSet<(Millis, PathKey)>,
    /// Paths whose reservation may differ from the plan.
    pending: BTreeSet<PathKey>,
    /// Small changes, and when they are made.
    adjustment: Adjustment,
    /// The links of denied requests, until reservations above the plan were looked for there.
    denied_on: ScarceLinks,
    holders: BTreeMap<AllocationId, PathKey>,
    /// Reservations to release.
    discarded: BTreeSet<AllocationId>,
    /// Reservations made before a restart, until their aggregator reports again.
    orphans: RecoveredReservations,
    orphans_until: Option<Millis>,
    /// When the division of flows among their paths was last found to be for what is asked for, or made so.
    balanced_at: Millis,
    /// Aggregators whose view may have changed.
    news: BTreeSet<AggregatorIx>,
    /// Aggregators removed since this was last read.
    forgotten: Vec<Name>,
    workspace: Workspace,
}

/// The demand of an aggregator in a level at a node, with the packets that it is for.
struct WantedReservation {
    egress: Name,
    want: FlowDemand,
    packets: Option<allocation::Flow>,
}

impl Dispatcher {
    /// No aggregators yet. Reservations made before a restart are kept for two leases.
    pub fn new(settings: SchedulerSettings, topology: Option<Name>, state: &State, now: Millis) -> Self {
        let orphans = RecoveredReservations::of(state);
        let patience_ms = settings.lease_ms.saturating_mul(2);
        let orphans_until = (!orphans.is_empty()).then(|| Millis(now.0.saturating_add(patience_ms)));
        Self {
            settings,
            topology,
            nets: BTreeMap::new(),
            splitless: BTreeMap::new(),
            aggregators: BTreeMap::new(),
            names: vec![],
            vacant: vec![],
            entries: 0,
            falls: BTreeSet::new(),
            retries: BTreeSet::new(),
            pending: BTreeSet::new(),
            adjustment: Adjustment::default(),
            denied_on: ScarceLinks::default(),
            holders: BTreeMap::new(),
            discarded: BTreeSet::new(),
            orphans,
            orphans_until,
            balanced_at: now,
            news: BTreeSet::new(),
            forgotten: vec![],
            workspace: Workspace::default(),
        }
    }

    /// Whether a scheduler has reservations.
    pub fn has_reservations(state: &State) -> bool {
        state.allocations_after(None).any(|allocation| is_ours(allocation))
    }

    /// Whether there is nothing to schedule: no aggregator, and no reservation of one.
    pub fn is_idle(&self) -> bool {
        self.aggregators.is_empty()
            && self.orphans.is_empty()
            && self.discarded.is_empty()
            && self.holders.is_empty()
            && self.pending.is_empty()
    }

    /// Applies a report.
    ///
    /// # Errors
    /// It is invalid, stale or at a limit; nothing changed.
    pub fn report(
        &mut self,
        id: &Name,
        metadata: Arc<Metadata>,
        state: &State,
        now: Millis,
    ) -> Result<Urgency, ReportRejection> {
        metadata.check(now)?;
        self.rebuild_stale(state);
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
            // The instance that reported first keeps the name during its lease; reports without one cannot be told apart.
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
        } else {
            let max = usize::try_from(self.settings.aggregators_max).unwrap_or(usize::MAX);
            if self.aggregators.len() >= max {
                return Err(ReportRejection::TooMany { what: "aggregators", max });
            }
        }
        if (self.entries - freed).saturating_add(entries) > ENTRIES_MAX {
            return Err(ReportRejection::TooMany { what: "topics and subscribers", max: ENTRIES_MAX });
        }
        self.entries = self.entries - freed + entries;
        Ok(self.apply_report(id, metadata, (topology, node), state, now))
    }

    /// An aggregator has disconnected: its lease is over, so that its backlog and boost count no longer.
    pub fn on_disconnected(&mut self, id: &Name, state: &State, now: Millis) {
        self.rebuild_stale(state);
        let lease_ms = self.settings.lease_ms;
        let Some(known) = self.aggregators.get_mut(id).filter(|known| known.standing == LeaseState::Fresh) else {
            return;
        };
        known.heard_at = Millis(now.0.saturating_sub(lease_ms));
        self.update_lease(id, state, now);
        self.reschedule(id, now);
    }

    /// Runs the timers that are due: lease states, backoffs, reservations from before a restart, small changes, and the
    /// division of flows among paths.
    pub fn tick(&mut self, state: &State, now: Millis) {
        self.rebuild_stale(state);
        while let Some((at, id)) = self.falls.first().filter(|(at, _)| *at <= now).cloned() {
            self.falls.remove(&(at, id.clone()));
            self.update_lease(&id, state, now);
            self.reschedule(&id, now);
        }
        while let Some((at, key)) = self.retries.first().filter(|(at, _)| *at <= now).copied() {
            self.retries.remove(&(at, key));
            self.clear_bound(key);
        }
        if self.orphans_until.is_some_and(|until| until <= now) {
            self.orphans_until = None;
            self.discarded.extend(self.orphans.take_all());
        }
        self.rebalance_when_due(state, now);
        self.adjust_when_due(now);
    }

    /// The next timer.
    pub fn next_deadline(&self) -> Option<Millis> {
        let falls = self.falls.first().map(|(at, _)| *at);
        let retries = self.retries.first().map(|(at, _)| *at);
        let adjustment = self.adjustment.due_at();
        [falls, retries, self.orphans_until, self.next_rebalance(), adjustment].into_iter().flatten().min()
    }

    /// Follows commits of other clients: the allocations that changed, and what is left on the links.
    pub fn sync(&mut self, state: &State, touched: &[AllocationId]) {
        self.rebuild_stale(state);
        for id in touched {
            if let Some(key) = self.holders.get(id).copied() {
                let now = state.allocation(*id);
                // What a failure or a preemption took is made up for at once; commits of the scheduler's own change nothing.
                if !self.has_reservation(key, now) {
                    self.adjustment.open();
                }
                self.set_reservation(key, now);
                self.pending.insert(key);
            } else if state.allocation(*id).is_some_and(|allocation| is_ours(allocation)) && !self.orphans.has(*id) {
                // Made by a request whose outcome was unknown, or by an instance that scheduled before.
                self.discarded.insert(*id);
            }
        }
        for (name, net) in &mut self.nets {
            if let Some(network) = state.network(name.as_str()) {
                net.refresh(network, &self.settings);
            }
        }
    }

    /// As [`Dispatcher::sync`], where it is not known which allocations and tenants changed.
    pub fn sync_all(&mut self, state: &State) {
        self.sync_tenants(state);
        let held: Vec<_> = self.holders.keys().copied().collect();
        self.sync(state, &held);
    }

    /// Sets the measured load of links, in bit/s; `None` for a link without a measurement.
    pub fn measure(&mut self, state: &State, carried_bps: impl Fn(&Name, LinkIx) -> Option<u64>) {
        for (name, net) in &mut self.nets {
            if let Some(network) = state.network(name.as_str()).filter(|network| net.is_of(network)) {
                net.measure(network, |link| carried_bps(name, link));
            }
        }
    }

    /// The view of an aggregator.
    pub fn view(&self, id: &Name) -> Option<AggregatorView> {
        let max_paths =
            |known: &AggregatorState| self.nets.get(&known.topology).map_or(1, |net| net.paths_max_at(known.node));
        self.aggregators.get(id).map(|known| known.view(id, max_paths(known)))
    }

    /// The aggregators removed since the last call.
    pub fn take_forgotten(&mut self) -> Vec<Name> {
        std::mem::take(&mut self.forgotten)
    }

    /// The views that may have changed since the last call, with renewed rates.
    pub fn take_changed(&mut self, now: Millis) -> Vec<AggregatorView> {
        let news = std::mem::take(&mut self.news);
        let renew_ms = self.settings.lease_ms / 3;
        let mut views = Vec::with_capacity(news.len());
        for ix in news {
            let Some((id, known)) = named(&self.names, &mut self.aggregators, ix) else { continue };
            let net = self.nets.get(&known.topology);
            let levels = known.levels(|level| net.is_none_or(|net| net.has_class(level)));
            let old = &known.rates;
            let instance = &known.metadata.presence.instance;
            // The clock may have been set back since.
            let is_due = now.0.saturating_sub(old.at.0) >= renew_ms || now < old.at;
            if levels != old.levels || *instance != old.instance || is_due {
                // The clock is ahead of every number given out before a restart.
                let sequence = old.sequence.saturating_add(1).max(now.0);
                let (instance, lease_ms) = (instance.clone(), self.settings.lease_ms);
                known.rates = Arc::new(GrantedRates { sequence, at: now, instance, lease_ms, levels });
            }
            views.push(known.view(id, net.map_or(1, |net| net.paths_max_at(known.node))));
        }
        views
    }

    /// The topology of the settings; else the only one with the aggregator's node.
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

    fn apply_report(
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
        self.sync_tenant(id, state);
        if let Some(known) = self.aggregators.get_mut(id) {
            (known.topology, known.node, known.boosts) = (topology.clone(), node, boosts);
            (known.metadata, known.heard_at, known.standing) = (metadata, now, LeaseState::Fresh);
            self.news.insert(known.ix);
        }
        if !self.nets.contains_key(&topology)
            && let Some(net) = self.net_of(state, &topology)
        {
            self.nets.insert(topology, net);
        }
        self.reschedule(id, now);
        self.update_demand(id, state);
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

/// The number of topics and subscribers of a report.
fn entries_of(metadata: &Metadata) -> usize {
    metadata.topics.iter().map(|topic| 1 + topic.subscribers.len()).sum()
}
