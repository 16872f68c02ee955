//! From plan to reservations: the next commands, in an order in which they fit, and their outcomes. Releases and lowerings
//! come before requests, so that a plan that fits is admitted. What must stay true: a refused path is not requested again
//! before its backoff is over, and each backoff is longer.

use std::collections::BTreeMap;

use super::aggregator::{Backoff, FlowPath};
use super::{Dispatcher, named};
use crate::allocation::{LspAttributes, Owner};
use crate::command::{Command, NamedConstraints, Request};
use crate::id::{AllocationId, LinkIx, Name};
use crate::scheduler::hysteresis::{Move, next_move, retry_after_ms};
use crate::scheduler::{PathKey, RateChange};
use crate::state::State;
use crate::units::{Bandwidth, Millis};

/// The most commands of one round; the rest follow in the next.
pub const ASKS_AT_ONCE_MAX: usize = 1_000;
/// How often a refused request is repeated at once, for the bandwidth that the denial offered.
const SECOND_TRIES_MAX: u32 = 2;

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
    /// The commands to submit next, in this order; none: all is as planned, or in backoff.
    pub fn next_commands(&mut self) -> Vec<Ask> {
        let mut changes: Vec<RateChange> = vec![];
        for net in self.nets.values_mut() {
            changes.extend(net.planner.update());
        }
        for change in changes {
            self.replan(change);
        }
        if std::mem::take(&mut self.needs_room) || self.lacks_room() {
            self.pending.append(&mut self.lowerable.clone());
            return self.commands(Lowering::All);
        }
        self.commands(Lowering::Large)
    }

    /// Whether the pending rises do not fit on some link unless reservations within the hysteresis are lowered: such a rise
    /// might preempt them.
    fn lacks_room(&self) -> bool {
        let mut more: BTreeMap<(&Name, LinkIx), u64> = BTreeMap::new();
        for key in &self.pending {
            let Some(id) = self.names.get(key.flow.aggregator.0 as usize).and_then(Option::as_ref) else { continue };
            let Some(known) = self.aggregators.get(id) else { continue };
            let Some(path) = known.path(*key) else { continue };
            // A rise within the hysteresis is not requested and needs no bandwidth.
            let is_asked = matches!(next_move(path.granted(), path.aim(), &self.settings), Move::Raise | Move::Ask);
            let rise_bps = path.aim().saturating_sub(path.granted()).as_bps();
            for link in path.links.iter().filter(|_| is_asked) {
                let sum_bps = more.entry((&known.topology, *link)).or_default();
                *sum_bps = sum_bps.saturating_add(rise_bps);
            }
        }
        let holds = |name: &Name, link, more_bps| self.nets.get(name).is_some_and(|net| net.has_room(link, more_bps));
        more.into_iter().any(|((name, link), more_bps)| !holds(name, link, more_bps))
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
        self.lowerable.remove(&key);
    }

    fn replan(&mut self, change: RateChange) {
        let Some((_, path)) = self.path(change.key) else { return };
        path.planned = change.rate;
        self.pending.insert(change.key);
        self.news.insert(change.key.flow.aggregator);
    }

    fn commands(&mut self, lowering: Lowering) -> Vec<Ask> {
        let releases = self.discarded.iter().take(ASKS_AT_ONCE_MAX);
        let mut downs: Vec<Ask> = releases
            .map(|id| Ask { asked: GrantPurpose::Release(*id), command: Command::Release { id: *id } })
            .collect();
        let mut ups = vec![];
        let settings = self.settings.clone();
        for key in std::mem::take(&mut self.pending) {
            let Some((id, path)) = self.path(key) else { continue };
            let what = next_move(path.granted(), path.aim(), &settings);
            let ask = match what {
                Move::Keep => None,
                Move::LowerIfNeeded if lowering == Lowering::Large => None,
                _ => Some(id.clone()),
            };
            match what {
                Move::LowerIfNeeded if ask.is_none() => drop(self.lowerable.insert(key)),
                _ => drop(self.lowerable.remove(&key)),
            }
            let Some(command) = ask.and_then(|id| self.command(&id, key, what)) else { continue };
            self.pending.insert(key);
            let side = if matches!(what, Move::Raise | Move::Ask) { &mut ups } else { &mut downs };
            side.push(Ask { asked: GrantPurpose::Change(key), command });
        }
        downs.append(&mut ups);
        downs.truncate(ASKS_AT_ONCE_MAX);
        downs
    }

    fn command(&self, id: &Name, key: PathKey, what: Move) -> Option<Command> {
        let known = self.aggregators.get(id)?;
        let flow = known.flows.get(&(key.flow.level, key.flow.egress))?;
        let path = known.path(key)?;
        let net = self.nets.get(&known.topology)?;
        match (what, &path.holding) {
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
        if !self.lowerable.is_empty() {
            self.needs_room = true;
            self.pending.insert(key);
            return;
        }
        let settings = self.settings.clone();
        let Some((_, path)) = self.path(key) else { return };
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

    fn path(&mut self, key: PathKey) -> Option<(&Name, &mut FlowPath)> {
        let (id, known) = named(&self.names, &mut self.aggregators, key.flow.aggregator)?;
        let flow = known.flows.get_mut(&(key.flow.level, key.flow.egress))?;
        Some((id, flow.paths.get_mut(usize::from(key.path))?))
    }
}

/// Which reservations above the plan are lowered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lowering {
    /// Those above the hysteresis.
    Large,
    /// All: another flow needs the bandwidth.
    All,
}
