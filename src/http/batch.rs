//! Many bandwidth requests at once, decided in order: in one transaction or, on large topologies, in several, so that others
//! do not wait for all of them.

use std::sync::Arc;

use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::access::Room;
use super::error::{denied, in_body, unexpected};
use super::extract::{FromQuery, JsonBody, read_json};
use super::idempotency::{FormerAnswer, IdempotencyKey, IdempotentSubmit, Lookup, Submitted, replayed};
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, Problem, TooLarge, Unavailable, Unprocessable, UnsupportedMediaType,
};
use super::render::{self, json};
use super::topology::DryRunQuery;
use super::{own_feed, parse, problem_catalogue};
use crate::app::{Atomicity, CommandOutcome, Conditions, Fact, Mode, Submission};
use api::allocation::AllocationRequest;
use api::batch::{BatchOutcome, BatchRequest, EntryOutcome, REQUESTS_MAX};
use kernel::Refusal;
use kernel::command::Command;
use kernel::event::Event;

/// How many links there are times requests in a part of a batch.
const PART_LINKS_MAX: usize = 200_000;
/// The least number of requests in a part.
const PART_MIN: usize = 4;

/// A batch of which each entry is read by itself, so that one that cannot be read is an outcome like another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped<'a> {
    #[serde(borrow)]
    requests: Vec<&'a RawValue>,
    #[serde(default)]
    atomic: bool,
}

/// Asks for bandwidth many times at once.
///
/// The requests are decided in order; each sees what those before it did. What is decided at once is written down in one
/// transaction: the whole batch, if it is `atomic` or the topologies are small; else parts of it, between which others are
/// served. A request that cannot be read or met is an outcome of its own; with `atomic`, it is the answer, as a problem
/// whose `request` is its place, and none of the others happens.
#[utoipa::path(
    post,
    path = "/v1/allocations/batch",
    tag = "allocations",
    summary = "Ask for bandwidth many times at once",
    params(
        DryRunQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "A name for this batch: repeated within 24 hours, it is answered again, refused entries included, and not done again", nullable = false, min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    request_body(content = BatchRequest, description = "The requests", example = json!({"requests": [
        {"ingress": "a", "egress": "b", "qos_level": 2, "bandwidth_bps": 14_000_000},
        {"ingress": "b", "egress": "a", "qos_level": 0, "bandwidth_bps": 2_000_000}
    ]})),
    responses(
        (status = 200, description = "One outcome each, in order", body = BatchOutcome, headers(
            ("Idempotency-Replayed" = Option<String>, description = "true if this was answered before"))),
        BadRequest, Forbidden, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn allocation_batch(
    room: Room,
    FromQuery(query): FromQuery<DryRunQuery>,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (entries, atomicity) = read(&room, &body)?;
    let mode = query.mode();
    let commands = entries.iter().flatten().cloned().collect::<Vec<_>>();
    let part_max =
        if atomicity == Atomicity::AllOrNone || mode == Mode::DryRun { REQUESTS_MAX } else { part_max(&room) };
    let (mut decided, mut is_replayed) = (Vec::with_capacity(commands.len()), !commands.is_empty());
    while decided.len() < commands.len() {
        let first = decided.len();
        let part = commands.iter().skip(first).take(part_max).cloned().collect();
        let submission = Submission { commands: part, atomicity, mode, key: None, actor: room.caller.actor() };
        match decide_part(&room, submission, key.of_part(first), &body, commands.len() - first).await {
            Ok((outcomes, _)) if outcomes.is_empty() => break,
            Ok((outcomes, is_again)) => {
                decided.extend(outcomes);
                is_replayed &= is_again;
            }
            // What comes before it is decided. Under a key, the whole is answered when it is repeated.
            Err(problem) if first > 0 && !key.is_some() => {
                let refused = Box::new(refused(&problem));
                decided.extend(commands.iter().skip(first).map(|_| Err(refused.clone())));
            }
            Err(problem) => return Err(problem),
        }
    }
    let response = render(&room, entries, decided.into_iter(), mode).await;
    Ok(if is_replayed { replayed(response) } else { response })
}

/// How many requests are decided in one transaction. Those of others come in between: on a large topology, on which a
/// decision takes milliseconds, sooner.
fn part_max(room: &Room) -> usize {
    let links = room.app.read(|state| state.networks().map(|(_, network)| network.topology().link_count()).max());
    (PART_LINKS_MAX / links.unwrap_or(0).max(1)).clamp(PART_MIN, REQUESTS_MAX)
}

/// Has a part decided, unless its key says that it was before; also whether it was. What an earlier version decided under a
/// key is the whole batch, `rest` requests.
async fn decide_part(
    room: &Room,
    submission: Submission,
    key: IdempotencyKey,
    body: &JsonBody,
    rest: usize,
) -> Result<(Vec<Decided>, bool), Problem> {
    let attempt = match submission.mode {
        Mode::DryRun => Lookup::First(IdempotentSubmit::default()),
        Mode::Commit => key.look_up(room, &body.0).await?,
    };
    let before = match attempt {
        Lookup::Again(before) => before,
        Lookup::First(submit) => match submit.submit(room, submission, Some(refusals)).await? {
            Submitted::Before(before) => before,
            Submitted::Now(decided) => {
                let decided = decided.into_iter().map(|one| one.map_err(|refusal| Box::new(refused_by(&refusal))));
                return Ok((decided.collect(), false));
            }
        },
    };
    Ok((again(before, rest)?, true))
}

type Entries = Vec<Result<Command, Problem>>;

fn read(room: &Room, body: &JsonBody) -> Result<(Entries, Atomicity), Problem> {
    let is_bare = body.0.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let Wrapped { requests, atomic } =
        if is_bare { Wrapped { requests: body.read()?, atomic: false } } else { body.read()? };
    if !(1..=REQUESTS_MAX).contains(&requests.len()) {
        let detail = format!("{} requests, not within 1 to {REQUESTS_MAX}", requests.len());
        return Err(Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", "requests"));
    }
    let entry = |raw: &&RawValue| {
        room.in_own_name(parse::allocation_request(read_json::<AllocationRequest>(raw.get().as_bytes())?)?)
    };
    let mut entries: Entries = requests.iter().map(entry).collect();
    if !atomic {
        return Ok((entries, Atomicity::EachAlone));
    }
    match entries.iter().position(Result::is_err).map(|index| (index, entries.swap_remove(index))) {
        Some((index, Err(problem))) => Err(problem.with("request", index)),
        _ => Ok((entries, Atomicity::AllOrNone)),
    }
}

/// What became of an entry that could be read: a fact, or what is answered to a refusal.
type Decided = Result<Arc<Fact>, Box<EntryOutcome>>;

/// The outcomes of refused entries, to be kept with the key; nothing for the others.
fn refusals(decided: &[CommandOutcome]) -> String {
    let refused: Vec<Option<EntryOutcome>> =
        decided.iter().map(|decided| decided.as_ref().err().map(refused_by)).collect();
    serde_json::to_string(&refused).unwrap_or_default()
}

/// The outcomes of a batch that was decided before: refused entries as they were answered, facts for the others.
fn again(before: FormerAnswer, commands: usize) -> Result<Vec<Decided>, Problem> {
    let gone = || Problem::new(&problem_catalogue::INTERNAL, "what was answered is gone");
    let refused: Vec<Option<EntryOutcome>> = match before.refusals {
        Some(kept) => serde_json::from_str(&kept).map_err(|_| gone())?,
        // Kept by an earlier version, which did not remember refusals.
        None => vec![None; commands],
    };
    let mut facts = before.facts.into_iter();
    let outcomes = refused.into_iter().map(|refused| {
        refused.map_or_else(|| facts.next().ok_or_else(gone).map(Ok), |refused| Ok(Err(Box::new(refused))))
    });
    outcomes.collect()
}

/// Each entry with what was decided about it; those that could not be read were not decided.
async fn render(room: &Room, entries: Entries, mut decided: impl Iterator<Item = Decided>, mode: Mode) -> Response {
    let undecided = || refused(&Problem::new(&problem_catalogue::INTERNAL, "nothing was decided about this request"));
    let conditions = room.app.conditions();
    let outcomes = entries.into_iter().map(|entry| match entry {
        Err(problem) => refused(&problem),
        Ok(_) => match decided.next() {
            Some(Ok(fact)) => admitted_or_denied(&fact, mode, &conditions),
            Some(Err(refused)) => *refused,
            None => undecided(),
        },
    });
    let mut outcomes: Vec<EntryOutcome> = outcomes.collect();
    for admitted in outcomes.iter_mut().filter_map(|outcome| outcome.allocation.as_mut()) {
        own_feed::cut_effects(room, &mut admitted.effects).await;
    }
    json(&BatchOutcome { outcomes })
}

fn refused_by(refusal: &Refusal) -> EntryOutcome {
    refused(&in_body(refusal.clone()))
}

fn admitted_or_denied(fact: &Fact, mode: Mode, conditions: &Conditions) -> EntryOutcome {
    match &fact.event {
        Event::Admitted { allocation, displaced } => {
            let (status, outcome) = match mode {
                Mode::DryRun => (200, render::planned_admission(fact, allocation, displaced, conditions)),
                Mode::Commit => (201, render::outcome(fact, allocation, displaced, conditions)),
            };
            EntryOutcome { status, allocation: Some(outcome), problem: None }
        }
        Event::Denied { demand, denial, .. } => refused(&denied(demand, denial, &fact.names)),
        _ => refused(&unexpected(fact)),
    }
}

fn refused(problem: &Problem) -> EntryOutcome {
    EntryOutcome { status: problem.status().as_u16(), allocation: None, problem: Some(problem.document(None)) }
}
