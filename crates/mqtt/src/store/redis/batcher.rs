//! What many connections want of Redis, put together into few calls of scripts: messages of all of them go in one call,
//! what is for another replica as one pack, and so do acknowledgements, so that neither costs Redis a call a message.
//!
//! What must stay true: what one connection wants is carried out in its order. Only acknowledgements may change places
//! with plain messages: they have nothing to do with each other.

use std::collections::HashMap;

use redis::{Cmd, Value};

use super::command::{AckBatch, BatchMessage, StoreCommand};
use super::reply::number_at;
use super::script;
use crate::limits::{INBOX_BYTES_MAX, INBOX_MAX, QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX};
use crate::message::{ClientId, ReplicaId};
use crate::store::{Published, StoreOutcome};

/// Bytes of messages in one call, about: others wait while Redis carries it out.
const CALL_BYTES: usize = 32 * 1024;
/// Acknowledgements in one call, about.
const CALL_ITEMS: usize = 1024;

/// Of so many replicas it is counted what went past them: Lua has no larger whole numbers.
const REPLICAS_TOLD_APART: usize = 52;

/// Calls, in their order.
pub(super) struct Bundle<'a> {
    me: &'a str,
    /// Under which name publications hold back those behind them, if there is no room.
    batch: String,
    calls: Vec<Call<'a>>,
    /// The calls that take more.
    open: OpenBatch,
    /// Calls from here on may be used by the errands of the connection whose turn it is.
    floor: Floor,
}

enum Call<'a> {
    Single(Cmd),
    Messages(Messages<'a>),
    Settlements(Settlements<'a>),
}

#[derive(Default)]
struct OpenBatch {
    messages: Option<usize>,
    /// Of QoS 0.
    lossy: Option<usize>,
    settlements: Option<usize>,
}

#[derive(Clone, Copy, Default)]
struct Floor {
    messages: usize,
    settlements: usize,
}

/// Where the answer to an errand is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) call: usize,
    part: Part,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    /// Takers from the first on, and how many; and to which replicas, a bit each.
    Message {
        first: usize,
        takers: usize,
        replicas: u64,
    },
    /// Which of the sessions.
    Settlement(usize),
    Publication {
        appends: usize,
    },
    Change,
    /// Nothing but whether it was done.
    Done,
}

impl<'a> Bundle<'a> {
    pub(super) fn new(me: &'a str, batch: String) -> Self {
        Self { me, batch, calls: Vec::new(), open: OpenBatch::default(), floor: Floor::default() }
    }

    /// What follows is another connection's.
    pub(super) fn next_job(&mut self) {
        self.floor = Floor::default();
    }

    /// What follows goes in no call with what was before, and is held back under another name.
    pub(super) fn set_apart(&mut self, batch: String) {
        self.batch = batch;
        self.open = OpenBatch::default();
        self.floor = Floor { messages: self.calls.len(), settlements: self.calls.len() };
    }

    /// Adds a command as it is.
    pub(super) fn command(&mut self, command: &Cmd) -> Place {
        self.single(command.clone(), Part::Done)
    }

    pub(super) fn add(&mut self, errand: &'a StoreCommand) -> Place {
        match errand {
            StoreCommand::Plain(plain) => self.message(plain),
            StoreCommand::Settle(settle) => self.settlement(settle),
            StoreCommand::Publish { call, appends } => {
                let mut call = call.clone();
                call.arg(&self.batch);
                self.single(call, Part::Publication { appends: *appends })
            }
            StoreCommand::Change(call) => self.single(call.clone(), Part::Change),
            StoreCommand::Detach(call) => self.single(call.clone(), Part::Done),
        }
    }

    fn single(&mut self, call: Cmd, part: Part) -> Place {
        let at = self.calls.len();
        self.calls.push(Call::Single(call));
        self.floor = Floor { messages: at, settlements: at };
        Place { call: at, part }
    }

    fn message(&mut self, plain: &'a BatchMessage) -> Place {
        let open = if plain.may_be_lost { self.open.lossy } else { self.open.messages };
        let at = open.filter(|at| *at >= self.floor.messages).unwrap_or(self.calls.len());
        let at = match self.calls.get(at) {
            Some(Call::Messages(messages)) if messages.bytes < CALL_BYTES => at,
            _ => self.calls.len(),
        };
        if at == self.calls.len() {
            let may_be_lost = plain.may_be_lost;
            let batch = self.batch.clone();
            self.calls.push(Call::Messages(Messages { may_be_lost, batch, ..Messages::default() }));
        }
        *(if plain.may_be_lost { &mut self.open.lossy } else { &mut self.open.messages }) = Some(at);
        self.floor.messages = at;
        let part = match self.calls.get_mut(at) {
            Some(Call::Messages(messages)) => messages.add(plain),
            _ => Part::Done,
        };
        Place { call: at, part }
    }

    fn settlement(&mut self, settle: &'a AckBatch) -> Place {
        let at = self.open.settlements.filter(|at| *at >= self.floor.settlements).unwrap_or(self.calls.len());
        let at = match self.calls.get(at) {
            Some(Call::Settlements(settlements)) if settlements.items < CALL_ITEMS => at,
            _ => self.calls.len(),
        };
        if at == self.calls.len() {
            self.calls.push(Call::Settlements(Settlements::default()));
        }
        self.open.settlements = Some(at);
        self.floor.settlements = at;
        let part = match self.calls.get_mut(at) {
            Some(Call::Settlements(settlements)) => settlements.add(settle),
            _ => Part::Done,
        };
        Place { call: at, part }
    }

    pub(super) fn commands(self) -> impl Iterator<Item = Cmd> {
        let me = self.me;
        self.calls.into_iter().map(move |call| match call {
            Call::Single(call) => call,
            Call::Messages(messages) => messages.call(me),
            Call::Settlements(settlements) => settlements.call(me),
        })
    }
}

/// Messages for one call.
#[derive(Default)]
struct Messages<'a> {
    may_be_lost: bool,
    batch: String,
    sessions: Vec<&'a ClientId>,
    /// Where a session stands among them, counted from one.
    places: HashMap<&'a ClientId, usize>,
    appended: Vec<&'a BatchMessage>,
    takers: usize,
    packs: Vec<ReplicaBatch>,
    bytes: usize,
}

/// Messages for one replica.
struct ReplicaBatch {
    to: ReplicaId,
    messages: Vec<u8>,
}

impl<'a> Messages<'a> {
    fn add(&mut self, plain: &'a BatchMessage) -> Part {
        self.bytes += plain.message.len();
        let mut replicas = 0;
        for replica in &plain.forwards {
            let at = self.packs.iter().position(|pack| pack.to == *replica).unwrap_or_else(|| {
                self.packs.push(ReplicaBatch { to: *replica, messages: Vec::new() });
                self.packs.len() - 1
            });
            let pack = &mut self.packs[at];
            pack.messages.extend_from_slice(&plain.message);
            replicas |= if at < REPLICAS_TOLD_APART { 1 << at } else { 0 };
        }
        let (first, takers) = (self.takers, plain.appends.len());
        if takers > 0 {
            for (client, options) in &plain.appends {
                self.bytes += options.len();
                if !self.places.contains_key(client) {
                    self.sessions.push(client);
                    self.places.insert(client, self.sessions.len());
                }
            }
            self.appended.push(plain);
            self.takers += takers;
        }
        Part::Message { first, takers, replicas }
    }

    fn call(self, me: &str) -> Cmd {
        let mut call = script::PLAIN.call();
        call.arg(me).arg(QUEUE_MESSAGES_MAX).arg(QUEUE_BYTES_MAX);
        call.arg(INBOX_MAX).arg(INBOX_BYTES_MAX).arg(&self.batch).arg(u8::from(self.may_be_lost));
        call.arg(self.sessions.len());
        for client in &self.sessions {
            call.arg(&***client);
        }
        call.arg(self.packs.len());
        for ReplicaBatch { to, messages } in &self.packs {
            call.arg(to.to_string()).arg(messages);
        }
        call.arg(self.appended.len());
        for BatchMessage { message, appends, .. } in &self.appended {
            call.arg(message).arg(appends.len());
            for (client, options) in appends {
                call.arg(self.places.get(client).copied().unwrap_or(0)).arg(options);
            }
        }
        call
    }
}

/// Acknowledgements for one call.
#[derive(Default)]
struct Settlements<'a> {
    sessions: Vec<Vec<&'a AckBatch>>,
    items: usize,
}

impl<'a> Settlements<'a> {
    /// Those of one session in a row go together.
    fn add(&mut self, settle: &'a AckBatch) -> Part {
        self.items += settle.items.len() + 1;
        match self.sessions.last_mut() {
            Some(last) if last.first().is_some_and(|first| first.holder == settle.holder) => last.push(settle),
            _ => self.sessions.push(vec![settle]),
        }
        Part::Settlement(self.sessions.len() - 1)
    }

    fn call(self, me: &str) -> Cmd {
        let mut call = script::SETTLE.call();
        call.arg(me);
        for settles in &self.sessions {
            let Some(first) = settles.first() else { continue };
            let sent = settles.iter().map(|settle| settle.progress.sent).max().unwrap_or(0);
            let over = settles.iter().map(|settle| settle.progress.over).max().unwrap_or(0);
            call.arg(&*first.holder.client).arg(first.holder.epoch).arg(sent).arg(over);
            let items = || settles.iter().flat_map(|settle| &settle.items);
            call.arg(items().filter(|(kind, _)| *kind == "a").count());
            for (_, number) in items().filter(|(kind, _)| *kind == "a") {
                call.arg(*number);
            }
            call.arg(items().filter(|(kind, _)| *kind != "a").count());
            for (kind, number) in items().filter(|(kind, _)| *kind != "a") {
                call.arg(*kind).arg(*number);
            }
        }
        call
    }
}

/// What `publish.lua` and `plain.lua` answer when nothing was done, because an inbox has no room.
const WITHOUT_ROOM: i64 = -3;

impl Place {
    /// What became of the errand; `None`: it was held back, because an inbox has no room.
    pub(super) fn outcome(&self, answer: &Value) -> Option<StoreOutcome> {
        let status = number_at(answer, 0).unwrap_or(-1);
        Some(match self.part {
            Part::Settlement(at) => done(number_at(answer, at).unwrap_or(-1)),
            Part::Done => done(status),
            Part::Change if status < 0 => StoreOutcome::Fenced,
            Part::Change => {
                let version = number_at(answer, 1).and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
                StoreOutcome::Changed { existed: status == 1, version }
            }
            Part::Message { .. } | Part::Publication { .. } if status == WITHOUT_ROOM => return None,
            Part::Message { first, takers, replicas } => message(answer, first, takers, replicas),
            Part::Publication { appends } => publication(status, answer, appends),
        })
    }
}

fn done(status: i64) -> StoreOutcome {
    if status == 0 { StoreOutcome::Done } else { StoreOutcome::Fenced }
}

fn unsigned_at(answer: &Value, at: usize) -> Option<u64> {
    number_at(answer, at).and_then(|number| u64::try_from(number).ok())
}

fn message(answer: &Value, first: usize, takers: usize, replicas: u64) -> StoreOutcome {
    let skipped_replicas = u64::from((unsigned_at(answer, 1).unwrap_or(0) & replicas).count_ones());
    let (mut refused, mut at) = (0, 2);
    while let Some(taker) = unsigned_at(answer, at).and_then(|taker| usize::try_from(taker).ok()) {
        refused += u64::from((first..first + takers).contains(&taker));
        at += 1;
    }
    StoreOutcome::Published(Published { refused, skipped_replicas, ..Published::default() })
}

fn publication(status: i64, answer: &Value, appends: usize) -> StoreOutcome {
    let skipped_replicas = unsigned_at(answer, 1).unwrap_or(0);
    let numbers = match status {
        -1 => return StoreOutcome::Fenced,
        -2 => return StoreOutcome::Published(Published { repeated: true, ..Published::default() }),
        // It happened before its answer was lost; the queues say with which numbers.
        2 => vec![Some(0); appends],
        _ => (0..appends).map(|at| unsigned_at(answer, 2 + at)).collect(),
    };
    StoreOutcome::Published(Published { numbers, not_retained: status == 1, skipped_replicas, ..Published::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Progress, SessionHolder};

    fn plain(to: &str) -> StoreCommand {
        let (appends, forwards) = (vec![(to.into(), vec![0, 2, 1, 0])], vec![ReplicaId(7)]);
        StoreCommand::Plain(BatchMessage { message: vec![0; 20], may_be_lost: false, appends, forwards })
    }

    fn settle(client: &str, seq: u64) -> StoreCommand {
        let holder = SessionHolder { client: client.into(), epoch: 1 };
        StoreCommand::Settle(AckBatch { holder, progress: Progress { sent: seq, over: 0 }, items: vec![("a", seq)] })
    }

    /// The calls that each errand of each connection has a part in, and how many there are.
    fn calls(jobs: &[Vec<StoreCommand>]) -> (Vec<Vec<usize>>, usize) {
        let mut bundle = Bundle::new("me", "batch".to_owned());
        let places = jobs.iter().map(|errands| {
            bundle.next_job();
            errands.iter().map(|errand| bundle.add(errand).call).collect()
        });
        let places = places.collect();
        (places, bundle.commands().count())
    }

    #[test]
    fn many_share_few_calls() {
        let jobs: Vec<_> = (0..40).map(|n| vec![plain("a"), settle(&n.to_string(), 1), plain("b")]).collect();
        let (places, count) = calls(&jobs);
        assert_eq!(count, 2);
        assert!(places.iter().all(|places| *places == [0, 1, 0]));
    }

    #[test]
    fn what_one_connection_wants_is_done_in_its_order() {
        let single = || StoreCommand::Change(redis::cmd("PING"));
        let jobs =
            [vec![plain("a"), single(), plain("b"), settle("c", 1)], vec![plain("d")], vec![single(), settle("c", 2)]];
        let (places, count) = calls(&jobs);
        assert_eq!(places, [vec![0, 1, 2, 3], vec![2], vec![4, 5]]);
        assert_eq!(count, 6);
    }

    #[test]
    fn each_finds_its_own_answer() {
        let answer = Value::Array([0, 2, 1, 4].map(Value::Int).to_vec());
        let refused = |first, takers, replicas| {
            let place = Place { call: 0, part: Part::Message { first, takers, replicas } };
            match place.outcome(&answer) {
                Some(StoreOutcome::Published(done)) => (done.refused, done.skipped_replicas),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((refused(0, 2, 1), refused(2, 2, 3), refused(0, 5, 2)), ((1, 0), (0, 1), (2, 1)));
        let fenced = Value::Array(vec![Value::Int(0), Value::Int(-1)]);
        let settled = |at| Place { call: 0, part: Part::Settlement(at) }.outcome(&fenced);
        assert_eq!((settled(0), settled(1)), (Some(StoreOutcome::Done), Some(StoreOutcome::Fenced)));
        let held = Value::Array(vec![Value::Int(WITHOUT_ROOM)]);
        assert_eq!(Place { call: 0, part: Part::Publication { appends: 1 } }.outcome(&held), None);
    }
}
