//! From plan to reservations: the next commands, in an order in which they fit, and their outcomes. Releases and lowerings
//! come before requests, so that a plan that fits is admitted. What must stay true: a refused path is not requested again
//! before its backoff is over, and each backoff is longer.

use std::collections::{BTreeMap, BTreeSet};

use super::aggregator::{AggregatorState, Backoff, FlowPath};
use super::{Dispatcher, named};
use crate::allocation::{LspAttributes, Owner};
use crate::command::{Command, NamedConstraints, Request};
use crate::id::{AllocationId, LinkIx, Name};
use crate::scheduler::hysteresis::{Move, next_move, retry_after_ms};
use crate::scheduler::{LEVELS, PathKey, RateChange};
use crate::state::State;
use crate::units::{Bandwidth, Millis};

/// The most commands of one round; the rest follow in the next.
pub const ASKS_AT_ONCE_MAX: usize = 1_000;
/// How often a refused request is repeated at once, for the bandwidth that the denial offered.
const SECOND_TRIES_MAX: u32 = 2;

/// By network, links on which rises do not fit.
pub(super) type ScarceLinks = BTreeMap<Name, BTreeSet<LinkIx>>;

/// A command with its purpose.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The purpose, to be handed back with the outcome.
    pub asked: GrantPurpose,
    /// The command.
    pub command: Command,
}

/// The purpose of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrantPurpose {
    /// Release a reservation that no flow needs.
    Release(AllocationId),
    /// Change the reservation of a path of a flow.
    Change(PathKey),
}

/// The outcome of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrantOutcome {
    /// The path has this allocation.
    Granted(AllocationId),
    /// The allocation is over.
    Released,
    /// The bandwidth is not available.
    Denied {
        /// The largest that would be admitted; zero: none, or not known.
        largest: Bandwidth,
    },
    /// Refused outright: the allocation is over already, or the model lacks the class.
    Refused,
    /// Not decided, for example because a queue is full.
    Undecided,
}

impl Dispatcher {
    /// The commands to submit next, in this order; none: all is as planned, in backoff, or waits for the next adjustment.
    pub fn next_commands(&mut self, now: Millis) -> Vec<Ask> {
        let mut changes: Vec<RateChange> = vec![];
        for net in self.nets.values_mut() {
            changes.extend(net.planner.update());
        }
        for change in changes {
            self.replan(change);
        }
        self.sort_pending();
        self.adjust_when_due(now);
        let scarce = self.scarce_links();
        for (name, links) in &scarce {
            let givers: Vec<_> = self.givers(name, links).collect();
            self.pending.extend(givers);
        }
        let asks = self.commands();
        if asks.is_empty() {
            self.adjustment.close(now);
        }
        asks
    }

    /// The links on which pending rises do not fit unless reservations above the plan are lowered: such a rise might preempt
    /// them.
    fn scarce_links(&mut self) -> ScarceLinks {
        let mut scarce = std::mem::take(&mut self.denied_on);
        let mut more: BTreeMap<(&Name, LinkIx), [u64; LEVELS]> = BTreeMap::new();
        for key in &self.pending {
            let Some((known, path)) = self.known_path(*key) else { continue };
            // A rise within the hysteresis is not requested and needs no bandwidth.
            let is_asked = matches!(next_move(path.granted(), path.aim(), &self.settings), Move::Raise | Move::Ask);
            let rise_bps = path.aim().saturating_sub(path.granted()).as_bps();
            for link in path.links.iter().filter(|_| is_asked) {
                let sum_bps = &mut more.entry((&known.topology, *link)).or_default()[key.flow.level.at()];
                *sum_bps = sum_bps.saturating_add(rise_bps);
            }
        }
        let has_room =
            |name: &Name, link, more_bps| self.nets.get(name).is_some_and(|net| net.has_room(link, more_bps));
        for ((name, link), _) in more.iter().filter(|((name, link), more_bps)| !has_room(name, *link, more_bps)) {
            scarce.entry((*name).clone()).or_default().insert(*link);
        }
        scarce
    }

    /// The paths over some links whose reservation is above the plan, within the hysteresis or until the next adjustment. They do
    /// not wait where another needs the bandwidth at once: it would be denied, or would preempt them.
    fn givers(&self, name: &Name, links: &BTreeSet<LinkIx>) -> impl Iterator<Item = PathKey> {
        let net = self.nets.get(name);
        let holders = links.iter().flat_map(move |link| net.into_iter().flat_map(|net| net.holders_on(*link)));
        holders.filter(|key| self.known_path(*key).is_some_and(|(_, path)| path.granted() > path.aim()))
    }

    /// Applies the outcome of a command.
    pub fn apply_outcome(&mut self, asked: GrantPurpose, answer: GrantOutcome, state: &State, now: Millis) {
        match (asked, answer) {
            (_, GrantOutcome::Undecided) => {}
            (GrantPurpose::Release(id), _) => drop(self.discarded.remove(&id)),
            (GrantPurpose::Change(key), GrantOutcome::Granted(id)) => {
                self.clear_pending(key);
                self.set_reservation(key, state.allocation(id));
                self.clear_backoff(key);
            }
            (GrantPurpose::Change(key), GrantOutcome::Released) => {
                self.clear_pending(key);
                self.set_reservation(key, None);
            }
            (GrantPurpose::Change(key), GrantOutcome::Denied { largest }) => self.on_denied(key, largest, now),
            (GrantPurpose::Change(key), GrantOutcome::Refused) => {
                let holding = self.path(key).and_then(|(_, path)| path.holding.as_ref().map(|holding| holding.id));
                match holding.filter(|id| state.allocation(*id).is_none()) {
                    // The allocation was over before the command was decided: request another.
                    Some(_) => self.set_reservation(key, None),
                    None => self.on_denied(key, Bandwidth::ZERO, now),
                }
            }
        }
    }

    fn clear_pending(&mut self, key: PathKey) {
        self.pending.remove(&key);
        self.adjustment.withdraw(key);
    }

    fn replan(&mut self, change: RateChange) {
        let Some((_, path)) = self.path(change.key) else { return };
        path.planned = change.rate;
        self.pending.insert(change.key);
        self.news.insert(change.key.flow.aggregator);
    }

    fn commands(&mut self) -> Vec<Ask> {
        let releases = self.discarded.iter().take(ASKS_AT_ONCE_MAX);
        let mut downs: Vec<Ask> = releases
            .map(|id| Ask { asked: GrantPurpose::Release(*id), command: Command::Release { id: *id } })
            .collect();
        let mut ups = vec![];
        for key in &self.pending {
            let Some((_, path)) = self.known_path(*key) else { continue };
            let what = next_move(path.granted(), path.aim(), &self.settings);
            let Some(command) = self.command(*key, what) else { continue };
            let side = if matches!(what, Move::Raise | Move::Ask) { &mut ups } else { &mut downs };
            side.push(Ask { asked: GrantPurpose::Change(*key), command });
        }
        downs.append(&mut ups);
        downs.truncate(ASKS_AT_ONCE_MAX);
        downs
    }

    fn command(&self, key: PathKey, what: Move) -> Option<Command> {
        let id = self.names.get(key.flow.aggregator.0 as usize)?.as_ref()?;
        let known = self.aggregators.get(id)?;
        let flow = known.flows.get(&(key.flow.level, key.flow.egress))?;
        let path = known.path(key)?;
        let net = self.nets.get(&known.topology)?;
        match (what, &path.holding) {
            (Move::Keep, _) => None,
            (Move::Release, Some(holding)) => Some(Command::Release { id: holding.id }),
            (_, Some(holding)) => Some(Command::resize(holding.id, path.aim())),
            (_, None) => Some(Command::Allocate(Box::new(Request {
                topology: Some(known.topology.clone()),
                ingress: known.metadata.node.clone(),
                egress: flow.egress.clone(),
                class_type: key.flow.level.class_type(),
                bandwidth: path.aim(),
                setup_priority: None,
                hold_priority: None,
                // The metric is the one in which the scheduler looked for the path. The first path may be another by now, and
                // becomes another when a link of it fails; the others are these alone.
                constraints: NamedConstraints {
                    metric: Some(net.metric),
                    route: if key.path == 0 { vec![] } else { net.route(&path.links) },
                    ..NamedConstraints::default()
                },
                moves_max: None,
                hold_for: None,
                duration: None,
                attributes: LspAttributes {
                    aggregator: Some(id.clone()),
                    flow: flow.packets.clone().map(Box::new),
                    owner: Owner::Scheduler,
                    ..LspAttributes::default()
                },
            }))),
        }
    }

    /// A request was denied. First reservations within the hysteresis are lowered; then less is requested; then the path
    /// backs off. The other paths of the flow go on.
    fn on_denied(&mut self, key: PathKey, largest: Bandwidth, now: Millis) {
        self.pending.remove(&key);
        // What follows from a denial does not wait.
        self.adjustment.open();
        let settings = self.settings.clone();
        let Some((known, path)) = self.known_path(key) else { return };
        let (name, links) = (known.topology.clone(), path.links.iter().copied().collect());
        let has_givers = self.givers(&name, &links).next().is_some();
        let Some((_, path)) = self.path(key) else { return };
        if has_givers && !std::mem::replace(&mut path.awaits_room, true) {
            self.denied_on.entry(name).or_default().extend(links);
            self.pending.insert(key);
            return;
        }
        path.awaits_room = false;
        let granted = path.granted();
        let old = path.refused;
        let times = old.map_or(0, |refused| refused.times).saturating_add(1);
        let until = Millis(now.0.saturating_add(retry_after_ms(times, &settings)));
        path.refused = Some(Backoff { times, most: largest.max(granted), until });
        if let Some(old) = old {
            self.retries.remove(&(old.until, key));
        }
        self.retries.insert((until, key));
        if times <= SECOND_TRIES_MAX {
            self.pending.insert(key);
        }
        self.replan_demand(key);
    }

    /// The backoff is over: the whole demand may be requested again.
    pub(super) fn clear_bound(&mut self, key: PathKey) {
        let Some((_, path)) = self.path(key) else { return };
        if let Some(refused) = &mut path.refused {
            refused.most = Bandwidth::MAX;
        }
        self.pending.insert(key);
        self.replan_demand(key);
    }

    /// The request was granted: unless it was bounded by a denial, the backoff is over.
    fn clear_backoff(&mut self, key: PathKey) {
        let Some((_, path)) = self.path(key) else { return };
        path.awaits_room = false;
        // A grant of less than the demand does not show that the demand fits.
        path.refused.take_if(|refused| refused.most == Bandwidth::MAX);
    }

    fn replan_demand(&mut self, key: PathKey) {
        let Some((_, known)) = named(&self.names, &mut self.aggregators, key.flow.aggregator) else { return };
        let Some(flow) = known.flows.get(&(key.flow.level, key.flow.egress)) else { return };
        if let Some(net) = self.nets.get_mut(&known.topology) {
            net.put(key.flow, flow);
        }
    }

    pub(super) fn known_path(&self, key: PathKey) -> Option<(&AggregatorState, &FlowPath)> {
        let id = self.names.get(key.flow.aggregator.0 as usize)?.as_ref()?;
        let known = self.aggregators.get(id)?;
        Some((known, known.path(key)?))
    }

    pub(super) fn path(&mut self, key: PathKey) -> Option<(&Name, &mut FlowPath)> {
        let (id, known) = named(&self.names, &mut self.aggregators, key.flow.aggregator)?;
        let flow = known.flows.get_mut(&(key.flow.level, key.flow.egress))?;
        Some((id, flow.paths.get_mut(usize::from(key.path))?))
    }
}
