//! Many bandwidth requests at once, decided in order in one transaction.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{denied, in_body, unexpected};
use super::extract::{FromQuery, JsonBody, read_json};
use super::idempotency::{IdempotencyKey, IdempotentSubmit, Lookup, replayed};
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, Problem, TooLarge, Unavailable, Unprocessable, UnsupportedMediaType,
};
use super::render::{self, json};
use super::topology::DryRunQuery;
use super::{ApiState, parse, problem_catalogue};
use crate::app::{CommandOutcome, Conditions, Fact, Mode};
use api::allocation::AllocationRequest;
use api::batch::{BatchOutcome, BatchRequest, EntryOutcome, REQUESTS_MAX};
use kernel::Names;
use kernel::allocation::Demand;
use kernel::command::{Command, Request};
use kernel::event::Event;

/// A batch of which each entry is read by itself, so that one that cannot be read is an outcome like another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped<'a> {
    #[serde(borrow)]
    requests: Vec<&'a RawValue>,
}

/// Asks for bandwidth many times at once.
///
/// The requests are decided in order; each sees what those before it did. All that is admitted is written down in one
/// transaction. A request that cannot be read or met is an outcome of its own.
#[utoipa::path(
    post,
    path = "/v1/allocations/batch",
    tag = "allocations",
    summary = "Ask for bandwidth many times at once",
    params(
        DryRunQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "A name for this batch: repeated within 24 hours, it is answered again and not done again, if anything of it was decided. Entries that were refused outright are refused again by what holds then", nullable = false, min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
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
    State(room): State<ApiState>,
    FromQuery(query): FromQuery<DryRunQuery>,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<Response, Problem> {
    let entries = read(&body)?;
    let mode = query.mode();
    let attempt = match mode {
        Mode::DryRun => Lookup::First(IdempotentSubmit::default()),
        Mode::Commit => key.look_up(&room, &body.0).await?,
    };
    match attempt {
        Lookup::First(first) => {
            let commands = entries.iter().flatten().cloned().collect::<Vec<_>>();
            let decided = match commands.is_empty() {
                true => vec![],
                false => first.submit(&room, commands, mode).await?,
            };
            Ok(render(&room, entries, decided, mode))
        }
        Lookup::Again(facts) => {
            let decided = align(&room, &entries, facts).await?;
            Ok(replayed(render(&room, entries, decided, mode)))
        }
    }
}

type Entries = Vec<Result<Command, Problem>>;

fn read(body: &JsonBody) -> Result<Entries, Problem> {
    let is_bare = body.0.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let requests: Vec<&RawValue> = if is_bare { body.read()? } else { body.read::<Wrapped<'_>>()?.requests };
    if !(1..=REQUESTS_MAX).contains(&requests.len()) {
        let detail = format!("{} requests, not within 1 to {REQUESTS_MAX}", requests.len());
        return Err(Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", "requests"));
    }
    let entry = |raw: &&RawValue| parse::allocation_request(read_json::<AllocationRequest>(raw.get().as_bytes())?);
    Ok(requests.iter().map(entry).collect())
}

/// Who of the entries that could be read was decided by which fact. Facts are in the order of the entries, but those
/// refused outright have none: they are decided again, in vain or not, without effect.
async fn align(room: &ApiState, entries: &Entries, facts: Vec<Arc<Fact>>) -> Result<Vec<CommandOutcome>, Problem> {
    let mut facts = facts.into_iter().peekable();
    let mut decided = vec![];
    for command in entries.iter().flatten() {
        match facts.next_if(|fact| is_of(fact, command)) {
            Some(fact) => decided.push(Ok(fact)),
            None => decided.push(room.app.submit_one(command.clone(), Mode::DryRun, None).await?),
        }
    }
    Ok(decided)
}

fn is_of(fact: &Fact, command: &Command) -> bool {
    let Command::Allocate(request) = command else { return false };
    match &fact.event {
        Event::Admitted { allocation, .. } => is_demand_of(&allocation.demand, request, &fact.names),
        Event::Denied { demand, .. } => is_demand_of(demand, request, &fact.names),
        _ => false,
    }
}

fn is_demand_of(made: &Demand, request: &Request, names: &Names) -> bool {
    names.node(made.ingress) == Some(&request.ingress)
        && names.node(made.egress) == Some(&request.egress)
        && made.class_type == request.class_type
        && made.bandwidth == request.bandwidth
        && made.attributes.aggregator == request.attributes.aggregator
        && made.attributes.annotations == request.attributes.annotations
}

/// Each entry with what was decided about it; those that could not be read were not decided.
fn render(room: &ApiState, entries: Entries, decided: Vec<CommandOutcome>, mode: Mode) -> Response {
    let mut decided = decided.into_iter();
    let undecided = || Problem::new(&problem_catalogue::INTERNAL, "nothing was decided about this request");
    let settled: Vec<Result<Arc<Fact>, Problem>> = entries
        .into_iter()
        .map(|entry| match entry {
            Ok(_) => decided.next().ok_or_else(undecided)?.map_err(in_body),
            Err(problem) => Err(problem),
        })
        .collect();
    let conditions = room.app.conditions();
    let outcomes = settled.iter().map(|settled| match settled {
        Ok(fact) => admitted_or_denied(fact, mode, &conditions),
        Err(problem) => refused(problem),
    });
    json(&BatchOutcome { outcomes: outcomes.collect() })
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
