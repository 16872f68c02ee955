//! The commands of one connection on their way through the pipeline: each with the place of its reply and its outcome.

use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::sync::oneshot;

use super::batcher::Batcher;
use super::command::StoreCommand;
use super::reply::StoreReply;
use super::reply_place::ReplyPlace;
use crate::store::{StoreError, StoreOutcome};

/// The commands of one connection, and where they go once they are answered.
#[derive(Debug)]
pub(super) struct StoreRequest {
    payload: Payload,
    /// Shares no call with other requests: one of them may be refused.
    pub(super) is_apart: bool,
    reply_to: oneshot::Sender<Result<Payload, StoreError>>,
}

#[derive(Debug)]
pub(super) enum Payload {
    Raw(Vec<RawCommand>),
    Commands(Vec<PendingCommand>),
}

/// A Redis command as it is, and its reply.
#[derive(Debug)]
pub(super) struct RawCommand {
    command: Cmd,
    call: usize,
    pub(super) reply: Value,
}

/// A command with the place of its reply in the pipeline under way, and its outcome once there is one.
#[derive(Debug)]
pub(super) struct PendingCommand {
    command: StoreCommand,
    place: Option<ReplyPlace>,
    /// `None`: not carried out yet.
    pub(super) outcome: Option<StoreOutcome>,
}

impl RawCommand {
    pub(super) fn new(command: Cmd) -> Self {
        Self { command, call: 0, reply: Value::Nil }
    }
}

impl PendingCommand {
    pub(super) fn new(command: StoreCommand) -> Self {
        Self { command, place: None, outcome: None }
    }
}

impl StoreRequest {
    /// With the receiver of the answered commands.
    pub(super) fn new(payload: Payload, is_apart: bool) -> (Self, oneshot::Receiver<Result<Payload, StoreError>>) {
        let (reply_to, answered) = oneshot::channel();
        (Self { payload, is_apart, reply_to }, answered)
    }

    pub(super) fn len(&self) -> usize {
        match &self.payload {
            Payload::Raw(commands) => commands.len(),
            Payload::Commands(commands) => commands.len(),
        }
    }

    /// Whether the requester has stopped waiting.
    pub(super) fn is_cancelled(&self) -> bool {
        self.reply_to.is_closed()
    }

    /// Adds the commands that have no outcome yet.
    pub(super) fn add_to<'a>(&'a mut self, batcher: &mut Batcher<'a>) {
        batcher.next_connection();
        match &mut self.payload {
            Payload::Raw(commands) => {
                for raw in commands {
                    raw.call = batcher.add_single(raw.command.clone());
                }
            }
            Payload::Commands(commands) => {
                for PendingCommand { command, place, outcome } in commands {
                    *place = outcome.is_none().then(|| batcher.add(command));
                }
            }
        }
    }

    /// The calls that the commands are in.
    fn calls(&self) -> Vec<usize> {
        match &self.payload {
            Payload::Raw(commands) => commands.iter().map(|raw| raw.call).collect(),
            Payload::Commands(commands) => {
                commands.iter().filter_map(|pending| pending.place.map(|place| place.call)).collect()
            }
        }
    }

    /// Why the request was not carried out, if it was not; `users`: how many requests have a part in each call.
    fn failure(&self, replies: &[RedisResult<Value>], users: &[usize]) -> Option<Failure> {
        let mut refused = None;
        for call in self.calls() {
            match replies.get(call) {
                Some(Ok(_)) => {}
                Some(Err(error)) if !is_transient(error) => refused = Some(call),
                _ => return Some(Failure::Transient),
            }
        }
        refused.map(|call| if users.get(call) == Some(&1) { Failure::Refused(call) } else { Failure::Shared })
    }

    /// Answers a request that was carried out. Returns whether an inbox without room held a command back.
    fn finish(mut self, replies: &mut [RedisResult<Value>]) -> bool {
        let mut is_held_back = false;
        match &mut self.payload {
            Payload::Raw(commands) => {
                for raw in commands {
                    let reply = replies.get_mut(raw.call).map(|reply| std::mem::replace(reply, Ok(Value::Nil)));
                    raw.reply = reply.and_then(Result::ok).unwrap_or(Value::Nil);
                }
            }
            Payload::Commands(commands) => {
                for PendingCommand { place, outcome, .. } in commands {
                    let Some(place) = place else { continue };
                    let reply = replies.get(place.call).and_then(|reply| reply.as_ref().ok());
                    *outcome = place.outcome(StoreReply(reply.unwrap_or(&Value::Nil)));
                    is_held_back |= outcome.is_none();
                }
            }
        }
        let _ = self.reply_to.send(Ok(self.payload));
        is_held_back
    }
}

/// Why a request was not carried out.
enum Failure {
    /// A retry may help.
    Transient,
    /// A call that other requests share was refused: which one is at fault shows when each is retried alone.
    Shared,
    /// Its own call was refused.
    Refused(usize),
}

/// The result of a pipeline.
#[derive(Debug, Default)]
pub(super) struct PipelineResult {
    pub(super) retries: Vec<StoreRequest>,
    /// A reply was a transient failure.
    pub(super) has_failed: bool,
    /// An inbox had no room.
    pub(super) has_held_back: bool,
}

/// Answers the requests that were carried out; gives back those to retry.
pub(super) fn finish_requests(requests: Vec<StoreRequest>, mut replies: Vec<RedisResult<Value>>) -> PipelineResult {
    let users = users(&requests, replies.len());
    let mut result = PipelineResult::default();
    for mut request in requests {
        match request.failure(&replies, &users) {
            None => result.has_held_back |= request.finish(&mut replies),
            Some(Failure::Transient) => {
                result.has_failed = true;
                result.retries.push(request);
            }
            Some(Failure::Shared) => {
                request.is_apart = true;
                result.retries.push(request);
            }
            Some(Failure::Refused(call)) => {
                let reply = replies.get_mut(call).map(|reply| std::mem::replace(reply, Ok(Value::Nil)));
                let Some(Err(error)) = reply else { continue };
                tracing::error!(%error, "Redis refuses a command");
                let _ = request.reply_to.send(Err(StoreError::Refused(Box::new(error))));
            }
        }
    }
    result
}

/// How many requests have a part in each call.
fn users(requests: &[StoreRequest], calls: usize) -> Vec<usize> {
    let mut users = vec![0; calls];
    for request in requests {
        let mut used = request.calls();
        used.sort_unstable();
        used.dedup();
        for call in used {
            if let Some(users) = users.get_mut(call) {
                *users += 1;
            }
        }
    }
    users
}

/// Whether a retry may help: the server is not the master any more, is loading, has no replica or no memory, or does not
/// know the scripts yet.
fn is_transient(error: &RedisError) -> bool {
    if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
        return true;
    }
    let text = error.to_string();
    const TRANSIENT: [&str; 9] =
        ["READONLY", "LOADING", "NOREPLICAS", "OOM", "NOSCRIPT", "MASTERDOWN", "TRYAGAIN", "BUSY", "UNBLOCKED"];
    TRANSIENT.iter().any(|code| error.code() == Some(code) || text.contains(code))
}
