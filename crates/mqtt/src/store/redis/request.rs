//! What one connection waits for: what it wants, where in a pipeline that stands, and its answer.

use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::sync::oneshot;

use super::batcher::{Bundle, Place};
use super::command::StoreCommand;
use crate::store::{StoreError, StoreOutcome};

/// What one connection wants done.
#[derive(Debug)]
pub(super) struct StoreRequest {
    want: Payload,
    /// Where the answers will be, of the pipeline that is under way.
    places: Vec<Place>,
    /// Whether it goes in no call with what others want: something there was refused.
    pub(super) is_apart: bool,
    answer: oneshot::Sender<Result<Answered, StoreError>>,
}

#[derive(Debug)]
pub(super) enum Payload {
    Values(Vec<Cmd>),
    Outcomes(Vec<StoreCommand>),
    /// The same, in no call with what others want.
    OutcomesApart(Vec<StoreCommand>),
}

/// What became of a job.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// One for each command.
    pub(super) values: Vec<Value>,
    /// One for each errand; `None` for those held back.
    pub(super) outcomes: Vec<Option<StoreOutcome>>,
    /// Those that an inbox without room held back, in their order.
    pub(super) held: Vec<StoreCommand>,
}

impl StoreRequest {
    /// With the end where the answer will be.
    pub(super) fn new(want: Payload) -> (Self, oneshot::Receiver<Result<Answered, StoreError>>) {
        let (answer, answered) = oneshot::channel();
        let is_apart = matches!(want, Payload::OutcomesApart(_));
        (Self { want, places: Vec::new(), is_apart, answer }, answered)
    }

    pub(super) fn len(&self) -> usize {
        match &self.want {
            Payload::Values(commands) => commands.len(),
            Payload::Outcomes(errands) | Payload::OutcomesApart(errands) => errands.len(),
        }
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.answer.is_closed()
    }

    /// Adds what it wants to a bundle.
    pub(super) fn join<'a>(&'a mut self, bundle: &mut Bundle<'a>) {
        bundle.next_job();
        self.places = match &self.want {
            Payload::Values(commands) => commands.iter().map(|command| bundle.command(command)).collect(),
            Payload::Outcomes(errands) | Payload::OutcomesApart(errands) => {
                errands.iter().map(|errand| bundle.add(errand)).collect()
            }
        };
    }

    /// Why it was not carried out, if it was not; `users`: how many jobs have a part in each call.
    fn trouble(&self, values: &[RedisResult<Value>], users: &[usize]) -> Option<Failure> {
        let mut refused = None;
        for place in &self.places {
            match values.get(place.call) {
                Some(Ok(_)) => {}
                Some(Err(error)) if !is_passing(error) => refused = Some(place.call),
                _ => return Some(Failure::Passing),
            }
        }
        refused.map(|call| if users.get(call) == Some(&1) { Failure::Refused(call) } else { Failure::NotAlone })
    }

    /// Answers it: everything was carried out or held back. Says whether something was held back.
    fn finish(self, values: &mut [RedisResult<Value>]) -> bool {
        let mut answered = Answered::default();
        match self.want {
            Payload::Values(_) => {
                let calls = self.places.iter().map(|place| place.call);
                let taken =
                    calls.map(|call| values.get_mut(call).map(|value| std::mem::replace(value, Ok(Value::Nil))));
                answered.values = taken.map(|value| value.and_then(Result::ok).unwrap_or(Value::Nil)).collect();
            }
            Payload::Outcomes(errands) | Payload::OutcomesApart(errands) => {
                for (errand, place) in errands.into_iter().zip(&self.places) {
                    let value = values.get(place.call).and_then(|value| value.as_ref().ok());
                    let outcome = place.outcome(value.unwrap_or(&Value::Nil));
                    if outcome.is_none() {
                        answered.held.push(errand);
                    }
                    answered.outcomes.push(outcome);
                }
            }
        }
        let held_back = !answered.held.is_empty();
        let _ = self.answer.send(Ok(answered));
        held_back
    }
}

/// Why a job was not carried out.
enum Failure {
    /// Trying again may help.
    Passing,
    /// A call that others have a part in was refused: whose fault it is will show when it is tried alone.
    NotAlone,
    /// Its own call was refused.
    Refused(usize),
}

/// What became of a pipeline.
#[derive(Debug, Default)]
pub(super) struct PipelineResult {
    /// Jobs that have to be tried again.
    pub(super) again: Vec<StoreRequest>,
    /// Whether because of what may pass.
    pub(super) is_in_trouble: bool,
    /// Whether an inbox had no room.
    pub(super) has_held_back: bool,
}

/// Answers the jobs that were carried out; gives back those that have to be tried again.
pub(super) fn answer(jobs: Vec<StoreRequest>, mut values: Vec<RedisResult<Value>>) -> PipelineResult {
    let users = users(&jobs, values.len());
    let mut round = PipelineResult::default();
    for mut job in jobs {
        match job.trouble(&values, &users) {
            None => round.has_held_back |= job.finish(&mut values),
            Some(Failure::Passing) => {
                round.is_in_trouble = true;
                round.again.push(job);
            }
            Some(Failure::NotAlone) => {
                job.is_apart = true;
                round.again.push(job);
            }
            Some(Failure::Refused(call)) => {
                let value = values.get_mut(call).map(|value| std::mem::replace(value, Ok(Value::Nil)));
                let Some(Err(error)) = value else { continue };
                tracing::error!(%error, "Redis refuses");
                let _ = job.answer.send(Err(StoreError::Refused(Box::new(error))));
            }
        }
    }
    round
}

/// How many jobs have a part in each call.
fn users(jobs: &[StoreRequest], calls: usize) -> Vec<usize> {
    let (mut users, mut last) = (vec![0; calls], vec![usize::MAX; calls]);
    for (number, job) in jobs.iter().enumerate() {
        for place in &job.places {
            if let (Some(users), Some(last)) = (users.get_mut(place.call), last.get_mut(place.call))
                && *last != number
            {
                *last = number;
                *users += 1;
            }
        }
    }
    users
}

/// Whether trying again may help: the server is not the master any more, is loading, has no replica or no memory, or
/// does not know the scripts yet.
fn is_passing(error: &RedisError) -> bool {
    if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
        return true;
    }
    let text = error.to_string();
    const PASSING: [&str; 9] =
        ["READONLY", "LOADING", "NOREPLICAS", "OOM", "NOSCRIPT", "MASTERDOWN", "TRYAGAIN", "BUSY", "UNBLOCKED"];
    PASSING.iter().any(|code| error.code() == Some(code) || text.contains(code))
}
