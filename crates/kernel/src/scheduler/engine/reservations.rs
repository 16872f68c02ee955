//! From plan to reservations: which commands to submit next, in an order in which they fit, and what their answers mean.
//! What is let go comes before what is asked for, so that a plan that fits is admitted. What must stay true: a flow that
//! was refused is not asked for again before its time, and each time waits longer.

use std::collections::BTreeMap;

use super::Dispatcher;
use super::aggregator::Backoff;
use crate::command::{Command, NamedConstraints, Request};
use crate::id::{AllocationId, LinkIx, Name};
use crate::scheduler::hysteresis::{Move, next_move, retry_after_ms};
use crate::scheduler::{FlowKey, RateChange};
use crate::state::State;
use crate::units::{Bandwidth, Millis};

/// The most commands that are asked for at once; the others follow.
pub const ASKS_AT_ONCE_MAX: usize = 1_000;
/// How often a refused request is asked again at once, for what was said to be there.
const SECOND_TRIES_MAX: u32 = 2;

/// A command, and what it is for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What for.
    pub asked: GrantPurpose,
    /// The command.
    pub command: Command,
}

/// What a command is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrantPurpose {
    /// To let go of what nobody needs.
    Release(AllocationId),
    /// To have another reservation for a flow.
    Change(FlowKey),
}

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrantOutcome {
    /// The flow has this allocation.
    Granted(AllocationId),
    /// The allocation is over.
    Released,
    /// There is not that much; at most this.
    Denied {
        /// What would be admitted; zero: nothing, or it is not known.
        largest: Bandwidth,
    },
    /// It is impossible: the allocation is over already, or the class is not there.
    Refused,
    /// It was not decided.
    Unheard,
}

impl Dispatcher {
    /// What to submit next, in this order; nothing: all is as planned, or has to wait.
    pub fn moves(&mut self) -> Vec<Ask> {
        let mut changes: Vec<RateChange> = vec![];
        for net in self.nets.values_mut() {
            changes.extend(net.planner.settle());
        }
        for change in changes {
            self.replan(change);
        }
        if std::mem::take(&mut self.needs_room) || self.lacks_room() {
            self.pending.append(&mut self.lowerable.clone());
            return self.sort_out(Lowering::All);
        }
        self.sort_out(Lowering::Large)
    }

    /// Whether somewhere more is to be asked for than there is unless those who hold a little too much let go: who asks
    /// without that might have them preempted.
    fn lacks_room(&self) -> bool {
        let mut more: BTreeMap<(&Name, LinkIx), u64> = BTreeMap::new();
        for key in &self.pending {
            let Some(id) = self.names.get(key.aggregator.0 as usize).and_then(Option::as_ref) else { continue };
            let Some(known) = self.aggregators.get(id) else { continue };
            let Some(flow) = known.flows.get(&(key.level, key.egress)) else { continue };
            // A rise that is not signalled needs no room: or who lets go of a little would be told so by whoever wants all.
            let is_asked = matches!(next_move(flow.granted(), flow.aim(), &self.settings), Move::Raise | Move::Ask);
            let rise_bps = flow.aim().saturating_sub(flow.granted()).as_bps();
            let Some(path) = flow.path.as_ref().filter(|_| is_asked) else { continue };
            for link in path.iter() {
                let sum_bps = more.entry((&known.topology, *link)).or_default();
                *sum_bps = sum_bps.saturating_add(rise_bps);
            }
        }
        let holds = |name: &Name, link, more_bps| self.nets.get(name).is_some_and(|net| net.has_room(link, more_bps));
        more.into_iter().any(|((name, link), more_bps)| !holds(name, link, more_bps))
    }

    /// What became of what was submitted.
    pub fn learn(&mut self, asked: GrantPurpose, answer: GrantOutcome, state: &State, now: Millis) {
        match (asked, answer) {
            (_, GrantOutcome::Unheard) => {}
            (GrantPurpose::Release(id), _) => drop(self.discarded.remove(&id)),
            (GrantPurpose::Change(key), GrantOutcome::Granted(id)) => {
                self.settled(key);
                self.hold(key, state.allocation(id));
                self.pardon(key);
            }
            (GrantPurpose::Change(key), GrantOutcome::Released) => {
                self.settled(key);
                self.hold(key, None);
            }
            (GrantPurpose::Change(key), GrantOutcome::Denied { largest }) => self.refuse(key, largest, now),
            (GrantPurpose::Change(key), GrantOutcome::Refused) => {
                let holding = self.flow(key).and_then(|(_, flow)| flow.holding.as_ref().map(|holding| holding.id));
                match holding.filter(|id| state.allocation(*id).is_none()) {
                    // It was over before it was asked about: ask anew.
                    Some(_) => self.hold(key, None),
                    None => self.refuse(key, Bandwidth::ZERO, now),
                }
            }
        }
    }

    fn settled(&mut self, key: FlowKey) {
        self.pending.remove(&key);
        self.lowerable.remove(&key);
    }

    fn replan(&mut self, change: RateChange) {
        let Some((_, flow)) = self.flow(change.key) else { return };
        flow.planned = change.rate;
        self.pending.insert(change.key);
        self.news.insert(change.key.aggregator);
    }

    fn sort_out(&mut self, lowering: Lowering) -> Vec<Ask> {
        let releases = self.discarded.iter().take(ASKS_AT_ONCE_MAX);
        let mut downs: Vec<Ask> = releases
            .map(|id| Ask { asked: GrantPurpose::Release(*id), command: Command::Release { id: *id } })
            .collect();
        let mut ups = vec![];
        let settings = self.settings.clone();
        for key in std::mem::take(&mut self.pending) {
            let Some((id, flow)) = self.flow(key) else { continue };
            let what = next_move(flow.granted(), flow.aim(), &settings);
            let ask = match what {
                Move::Keep => None,
                Move::LowerIfNeeded if lowering == Lowering::Large => None,
                Move::Ask if flow.path.is_none() => None,
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

    fn command(&mut self, id: &Name, key: FlowKey, what: Move) -> Option<Command> {
        let known = self.aggregators.get(id)?;
        let flow = known.flows.get(&(key.level, key.egress))?;
        let aim = flow.aim();
        match (what, &flow.holding) {
            (Move::Release, Some(holding)) => Some(Command::Release { id: holding.id }),
            (_, Some(holding)) => Some(Command::Resize { id: holding.id, bandwidth: Some(aim), constraints: None }),
            (_, None) => Some(Command::Allocate(Box::new(Request {
                topology: Some(known.topology.clone()),
                ingress: known.metadata.node.clone(),
                egress: flow.egress.clone(),
                class_type: key.level.class_type(),
                bandwidth: aim,
                setup_priority: None,
                hold_priority: None,
                aggregator: Some(id.clone()),
                expires_at: None,
                // Said although it is what holds anyway: by this the scheduler knows its own after a restart.
                constraints: NamedConstraints {
                    metric: Some(self.nets.get(&known.topology)?.metric),
                    ..NamedConstraints::default()
                },
                flow: flow.packets.clone().map(Box::new),
            }))),
        }
    }

    /// A request was refused. First those who hold a little too much let go; then less is asked for; then it waits.
    fn refuse(&mut self, key: FlowKey, largest: Bandwidth, now: Millis) {
        self.pending.remove(&key);
        if !self.lowerable.is_empty() {
            self.needs_room = true;
            self.pending.insert(key);
            return;
        }
        let settings = self.settings.clone();
        let Some((_, flow)) = self.flow(key) else { return };
        let granted = flow.granted();
        let old = flow.refused;
        let times = old.map_or(0, |refused| refused.times).saturating_add(1);
        let until = Millis(now.0.saturating_add(retry_after_ms(times, &settings)));
        flow.refused = Some(Backoff { times, most: largest.max(granted), until });
        if let Some(old) = old {
            self.retries.remove(&(old.until, key));
        }
        self.retries.insert((until, key));
        if times <= SECOND_TRIES_MAX {
            self.pending.insert(key);
        }
        self.ask_again(key);
    }

    /// The time has come to ask for all of it again.
    pub(super) fn forgive(&mut self, key: FlowKey) {
        let Some((_, flow)) = self.flow(key) else { return };
        if let Some(refused) = &mut flow.refused {
            refused.most = Bandwidth::MAX;
        }
        self.pending.insert(key);
        self.ask_again(key);
    }

    /// What was asked for was granted: if nothing bounded that, past refusals count no longer.
    fn pardon(&mut self, key: FlowKey) {
        let Some((_, flow)) = self.flow(key) else { return };
        // As long as less is asked for than is wanted, that it was granted says nothing.
        flow.refused.take_if(|refused| refused.most == Bandwidth::MAX);
    }

    fn ask_again(&mut self, key: FlowKey) {
        let Some((_, known)) = super::named(&self.names, &mut self.aggregators, key.aggregator) else { return };
        let Some(flow) = known.flows.get(&(key.level, key.egress)) else { return };
        if let (Some(net), Some(path)) = (self.nets.get_mut(&known.topology), &flow.path) {
            net.planner.put(key, path, flow.asks());
        }
    }

    fn flow(&mut self, key: FlowKey) -> Option<(&Name, &mut super::aggregator::SchedulerFlow)> {
        let (id, known) = super::named(&self.names, &mut self.aggregators, key.aggregator)?;
        Some((id, known.flows.get_mut(&(key.level, key.egress))?))
    }
}

/// Which flows that hold too much let go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lowering {
    /// Those who hold much too much.
    Large,
    /// All: others need the room.
    All,
}
