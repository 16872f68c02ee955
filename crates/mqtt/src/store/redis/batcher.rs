//! Commands of many connections in few calls of scripts: their messages go in one call, those for another replica as one
//! pack, and their acknowledgements in one call, so that neither costs Redis a call a message.
//!
//! What must stay true: the commands of one connection are carried out in their order. Only acknowledgements may change
//! places with messages that share a call: they do not depend on each other.

use std::collections::HashMap;

use redis::Cmd;

use super::command::{AckBatch, PublishCommand, SingleCall, StoreCommand};
use super::reply_place::{ReplyPart, ReplyPlace};
use super::script;
use crate::message::{ClientId, ReplicaId};

/// Bytes of messages in one call, about: other replicas' calls wait while Redis carries it out.
const CALL_BYTES: usize = 32 * 1024;
/// Acknowledgements in one call, about.
const CALL_ACKS: usize = 1024;

/// Forwards of a call whose skipping is told apart: Lua has no larger whole numbers.
const FORWARDS_TOLD_APART: usize = 52;

/// The calls of a pipeline, in their order.
pub(super) struct Batcher<'a> {
    me: &'a str,
    /// The name under which a publication without room holds back those behind it.
    batch: String,
    calls: Vec<Call<'a>>,
    open: OpenCalls,
    first_usable: FirstUsable,
}

enum Call<'a> {
    Single(Cmd),
    Publish(PublishCall<'a>),
    Acknowledge(AckCall<'a>),
}

/// The calls that take more commands.
#[derive(Default)]
struct OpenCalls {
    messages: Option<usize>,
    /// Of QoS 0.
    lossy: Option<usize>,
    acks: Option<usize>,
}

/// The first calls that the present connection may still join without changing its order.
#[derive(Clone, Copy, Default)]
struct FirstUsable {
    messages: usize,
    acks: usize,
}

impl<'a> Batcher<'a> {
    pub(super) fn new(me: &'a str, batch: String) -> Self {
        Self { me, batch, calls: Vec::new(), open: OpenCalls::default(), first_usable: FirstUsable::default() }
    }

    /// The commands that follow are of another connection.
    pub(super) fn next_connection(&mut self) {
        self.first_usable = FirstUsable::default();
    }

    /// The commands that follow share no call with those before, and are held back under another name.
    pub(super) fn set_apart(&mut self, batch: String) {
        self.batch = batch;
        self.open = OpenCalls::default();
        self.first_usable = FirstUsable { messages: self.calls.len(), acks: self.calls.len() };
    }

    /// Adds a command as it is; returns which call it is.
    pub(super) fn add_single(&mut self, command: Cmd) -> usize {
        self.add_call(Call::Single(command))
    }

    pub(super) fn add(&mut self, command: &'a StoreCommand) -> ReplyPlace {
        match command {
            StoreCommand::Publish(publish) => self.add_message(publish),
            StoreCommand::Acknowledge(acks) => self.add_acks(acks),
            StoreCommand::Change(call) => ReplyPlace { call: self.add_single(call.clone()), part: ReplyPart::Change },
            StoreCommand::Status(call) => ReplyPlace { call: self.add_single(call.clone()), part: ReplyPart::Status },
        }
    }

    fn add_call(&mut self, call: Call<'a>) -> usize {
        let at = self.calls.len();
        self.calls.push(call);
        self.first_usable = FirstUsable { messages: at, acks: at };
        at
    }

    fn add_message(&mut self, publish: &'a PublishCommand) -> ReplyPlace {
        let mut fresh = PublishCall { batch: self.batch.clone(), is_lossy: publish.is_lossy, ..PublishCall::default() };
        if let Some(single) = &publish.single {
            fresh.single = Some(single);
            let part = fresh.add(publish);
            return ReplyPlace { call: self.add_call(Call::Publish(fresh)), part };
        }
        let open = if publish.is_lossy { &mut self.open.lossy } else { &mut self.open.messages };
        let at = open.filter(|at| *at >= self.first_usable.messages).unwrap_or(self.calls.len());
        let (at, part) = match self.calls.get_mut(at) {
            Some(Call::Publish(call)) if call.bytes < CALL_BYTES => (at, call.add(publish)),
            _ => {
                let part = fresh.add(publish);
                self.calls.push(Call::Publish(fresh));
                (self.calls.len() - 1, part)
            }
        };
        *open = Some(at);
        self.first_usable.messages = at;
        ReplyPlace { call: at, part }
    }

    fn add_acks(&mut self, acks: &'a AckBatch) -> ReplyPlace {
        let at = self.open.acks.filter(|at| *at >= self.first_usable.acks).unwrap_or(self.calls.len());
        let (at, part) = match self.calls.get_mut(at) {
            Some(Call::Acknowledge(call)) if call.count < CALL_ACKS => (at, call.add(acks)),
            _ => {
                let mut fresh = AckCall::default();
                let part = fresh.add(acks);
                self.calls.push(Call::Acknowledge(fresh));
                (self.calls.len() - 1, part)
            }
        };
        self.open.acks = Some(at);
        self.first_usable.acks = at;
        ReplyPlace { call: at, part }
    }

    pub(super) fn commands(self) -> impl Iterator<Item = Cmd> {
        let me = self.me;
        self.calls.into_iter().map(move |call| match call {
            Call::Single(call) => call,
            Call::Publish(call) => call.command(me),
            Call::Acknowledge(call) => call.command(me),
        })
    }
}

/// The messages of one call.
#[derive(Default)]
struct PublishCall<'a> {
    is_lossy: bool,
    batch: String,
    single: Option<&'a SingleCall>,
    sessions: Vec<&'a ClientId>,
    /// Where a session stands among them, counted from one.
    places: HashMap<&'a ClientId, usize>,
    messages: Vec<&'a PublishCommand>,
    receivers: usize,
    packs: Vec<ReplicaBatch>,
    bytes: usize,
}

/// The messages for one replica.
struct ReplicaBatch {
    to: ReplicaId,
    messages: Vec<u8>,
}

impl<'a> PublishCall<'a> {
    fn add(&mut self, publish: &'a PublishCommand) -> ReplyPart {
        self.bytes += publish.message.len();
        let mut forwards = 0;
        for replica in &publish.forwards {
            let at = self.packs.iter().position(|pack| pack.to == *replica).unwrap_or_else(|| {
                self.packs.push(ReplicaBatch { to: *replica, messages: Vec::new() });
                self.packs.len() - 1
            });
            let pack = &mut self.packs[at];
            pack.messages.extend_from_slice(&publish.message);
            forwards |= if at < FORWARDS_TOLD_APART { 1 << at } else { 0 };
        }
        let (first, receivers) = (self.receivers, publish.appends.len());
        if publish.single.is_some() {
            // The reply is of this message alone, its directs included.
            forwards = u64::MAX;
        }
        if receivers > 0 || publish.single.is_some() {
            for (client, options) in &publish.appends {
                self.bytes += options.len();
                if !self.places.contains_key(client) {
                    self.sessions.push(client);
                    self.places.insert(client, self.sessions.len());
                }
            }
            self.messages.push(publish);
            self.receivers += receivers;
        }
        ReplyPart::Publish { first, receivers, forwards }
    }

    fn command(self, me: &str) -> Cmd {
        let mut named = vec![("replica", me), ("batch", &*self.batch)];
        if self.is_lossy {
            named.push(("lossy", "1"));
        }
        if let Some(single) = self.single {
            named.push(("single", "1"));
            named.extend(single.arguments.iter().map(|(name, value)| (*name, &**value)));
        }
        let mut call = script::PUBLISH_BATCH.call();
        call.arg(named.len());
        for (name, value) in named {
            call.arg(name).arg(value);
        }
        call.arg(self.packs.len());
        for ReplicaBatch { to, messages } in &self.packs {
            call.arg(to.to_string()).arg(messages);
        }
        let directs = self.single.map_or(&[][..], |single| &single.directs);
        call.arg(directs.len());
        for (replica, client, options) in directs {
            call.arg(replica.to_string()).arg(&**client).arg(options);
        }
        call.arg(self.sessions.len());
        for client in &self.sessions {
            call.arg(&***client);
        }
        call.arg(self.messages.len());
        for PublishCommand { message, appends, .. } in &self.messages {
            call.arg(message).arg(appends.len());
            for (client, options) in appends {
                call.arg(self.places.get(client).copied().unwrap_or(0)).arg(options);
            }
        }
        call
    }
}

/// The acknowledgements of one call.
#[derive(Default)]
struct AckCall<'a> {
    sessions: Vec<Vec<&'a AckBatch>>,
    count: usize,
}

impl<'a> AckCall<'a> {
    /// Consecutive ones of one session go together.
    fn add(&mut self, acks: &'a AckBatch) -> ReplyPart {
        self.count += acks.acknowledged.len() + acks.others.len() + 1;
        match self.sessions.last_mut() {
            Some(last) if last.first().is_some_and(|first| first.holder == acks.holder) => last.push(acks),
            _ => self.sessions.push(vec![acks]),
        }
        ReplyPart::Acknowledge(self.sessions.len() - 1)
    }

    fn command(self, me: &str) -> Cmd {
        let mut call = script::ACKNOWLEDGE.call();
        call.arg(me);
        for batches in &self.sessions {
            let Some(first) = batches.first() else { continue };
            let sent = batches.iter().map(|acks| acks.progress.sent).max().unwrap_or(0);
            let over = batches.iter().map(|acks| acks.progress.over).max().unwrap_or(0);
            call.arg(&*first.holder.client).arg(first.holder.epoch).arg(sent).arg(over);
            call.arg(batches.iter().map(|acks| acks.acknowledged.len()).sum::<usize>());
            for number in batches.iter().flat_map(|acks| &acks.acknowledged) {
                call.arg(*number);
            }
            call.arg(batches.iter().map(|acks| acks.others.len()).sum::<usize>());
            for (kind, number) in batches.iter().flat_map(|acks| &acks.others) {
                call.arg(*kind).arg(*number);
            }
        }
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Progress, SessionHolder};

    fn publish(to: &str) -> StoreCommand {
        let (appends, forwards) = (vec![(to.into(), vec![0, 2, 1, 0])], vec![ReplicaId(7)]);
        StoreCommand::Publish(PublishCommand { message: vec![0; 20], is_lossy: false, appends, forwards, single: None })
    }

    fn acknowledge(client: &str, seq: u64) -> StoreCommand {
        let holder = SessionHolder { client: client.into(), epoch: 1 };
        let progress = Progress { sent: seq, over: 0 };
        StoreCommand::Acknowledge(AckBatch { holder, progress, acknowledged: vec![seq], others: vec![] })
    }

    /// The calls that the commands of each connection are in, and how many there are.
    fn calls(connections: &[Vec<StoreCommand>]) -> (Vec<Vec<usize>>, usize) {
        let mut batcher = Batcher::new("me", "batch".to_owned());
        let places = connections.iter().map(|commands| {
            batcher.next_connection();
            commands.iter().map(|command| batcher.add(command).call).collect()
        });
        let places = places.collect();
        (places, batcher.commands().count())
    }

    #[test]
    fn many_share_few_calls() {
        let connections: Vec<_> =
            (0..40).map(|n| vec![publish("a"), acknowledge(&n.to_string(), 1), publish("b")]).collect();
        let (places, count) = calls(&connections);
        assert_eq!(count, 2);
        assert!(places.iter().all(|places| *places == [0, 1, 0]));
    }

    #[test]
    fn the_commands_of_one_connection_keep_their_order() {
        let single = || StoreCommand::Change(redis::cmd("PING"));
        let connections = [
            vec![publish("a"), single(), publish("b"), acknowledge("c", 1)],
            vec![publish("d")],
            vec![single(), acknowledge("c", 2)],
        ];
        let (places, count) = calls(&connections);
        assert_eq!(places, [vec![0, 1, 2, 3], vec![2], vec![4, 5]]);
        assert_eq!(count, 6);
    }

    #[test]
    fn a_message_with_a_dedup_key_has_a_call_of_its_own() {
        let StoreCommand::Publish(mut guarded) = publish("b") else { panic!("no publication") };
        guarded.single = Some(Box::new(SingleCall { arguments: vec![("dedup", "once".to_owned())], directs: vec![] }));
        let connections = [vec![publish("a"), StoreCommand::Publish(guarded), publish("c")], vec![publish("d")]];
        let (places, count) = calls(&connections);
        assert_eq!((places, count), (vec![vec![0, 1, 2], vec![2]], 3));
    }
}
