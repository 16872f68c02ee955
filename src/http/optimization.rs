//! Optimisation: plans of moves, worked out beside the writer and made by it. A plan that was proposed is kept in memory,
//! by this replica alone, until newer ones take its place.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::response::Response;

use super::access::Room;
use super::extract::{FromPath, JsonBody};
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable, Unprocessable,
    UnsupportedMediaType,
};
use super::problem_catalogue;
use super::render::{json, optimization_plan};
use crate::app::scalars::StoredName;
use crate::app::{Atomicity, Mode, Submission, SubmitError};
use api::optimization::{
    ObjectiveName, OptimizationAnswer, OptimizationApplied, OptimizationRequest, PLANNED_MOVES_DEFAULT,
    PLANNED_MOVES_MAX, PlanApplication,
};
use kernel::event::Event;
use kernel::id::{LinkIx, Name};
use kernel::path::Workspace;
use kernel::topology::Link;
use kernel::{Command, Recorded, Refusal, State, apply, decide};
use optimizer::lower_max_utilisation;

/// How long a plan is worked on at most.
const TIME_MAX: Duration = Duration::from_secs(20);
/// The most plans that are kept.
const PLANS_MAX: usize = 64;

/// The plans that were proposed, the newest last.
#[derive(Clone, Default)]
pub(super) struct ProposedPlans(Arc<Mutex<VecDeque<ProposedPlan>>>);

#[derive(Clone)]
struct ProposedPlan {
    id: String,
    topology: Name,
    commands: Vec<Command>,
}

impl ProposedPlans {
    fn with<R>(&self, look: impl FnOnce(&mut VecDeque<ProposedPlan>) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, plan: ProposedPlan) {
        self.with(|plans| {
            plans.retain(|other| (&other.topology, &other.id) != (&plan.topology, &plan.id));
            if plans.len() >= PLANS_MAX {
                plans.pop_front();
            }
            plans.push_back(plan);
        });
    }

    fn find(&self, topology: &Name, id: &str) -> Option<ProposedPlan> {
        self.with(|plans| plans.iter().find(|plan| plan.id == id && plan.topology == *topology).cloned())
    }
}

/// Plans moves that make a network carry what it carries better; makes them, if told so.
///
/// Moves are looked for on a copy of the state, for at most 20 seconds, and each is decided as it would be made. A proposed
/// plan is applied by its id, as long as the replica that made it runs and 64 newer plans have not taken its place.
#[utoipa::path(
    post,
    path = "/v1/topologies/{topology}/optimizations",
    tag = "topologies",
    summary = "Plan moves that lower the maximum utilisation",
    params(("topology" = String, Path, description = "In which topology", min_length = 1, max_length = 255)),
    request_body(content = OptimizationRequest, description = "What for", example = json!({
        "objective": "max_utilisation", "max_moves": 100, "apply": "propose"
    })),
    responses(
        (status = 200, description = "The plan", body = OptimizationAnswer),
        BadRequest, Forbidden, NotFound, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn optimization_create(
    room: Room,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.read::<OptimizationRequest>()?;
    let ObjectiveName::MaxUtilisation = request.objective;
    let moves_max = moves_max(request.max_moves)?;
    let name = topology.clone();
    let worked_out = room.app.study(move |state| {
        let end = Instant::now() + TIME_MAX;
        let plan = lower_max_utilisation(state, &name, moves_max, || Instant::now() < end)?;
        let network = state.network(name.as_str()).ok_or_else(|| Refusal::UnknownTopology(name.clone()))?;
        let commands = plan.commands(network, &name)?;
        Ok::<_, Refusal>((optimization_plan(state.sequence(), network.topology(), &plan), commands))
    });
    let (mut answer, commands) = worked_out.await??;
    if request.apply == PlanApplication::Auto {
        make_moves(&room, commands).await?;
        answer.applied = true;
    } else {
        room.plans.add(ProposedPlan { id: answer.id.clone(), topology, commands });
    }
    Ok(json(&answer))
}

fn moves_max(asked: Option<u64>) -> Result<usize, Problem> {
    let Some(asked) = asked else { return Ok(PLANNED_MOVES_DEFAULT) };
    let in_range = usize::try_from(asked).ok().filter(|moves| (1..=PLANNED_MOVES_MAX).contains(moves));
    in_range.ok_or_else(|| {
        let detail = format!("max_moves is {asked}, not within 1 to {PLANNED_MOVES_MAX}");
        Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", "max_moves")
    })
}

/// Makes the moves of a proposed plan, all or none.
///
/// Each move is decided again. If one cannot be made any more, its problem is the answer, with `request` for its place
/// counted from 0, and nothing happens.
#[utoipa::path(
    post,
    path = "/v1/topologies/{topology}/optimizations/{id}/apply",
    tag = "topologies",
    summary = "Apply a plan",
    params(
        ("topology" = String, Path, description = "In which topology", min_length = 1, max_length = 255),
        ("id" = String, Path, description = "Which plan", min_length = 1, max_length = 64),
    ),
    responses(
        (status = 200, description = "The moves were made", body = OptimizationApplied),
        BadRequest, Forbidden, NotFound, Conflict, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn optimization_apply(
    room: Room,
    FromPath(place): FromPath<(StoredName, String)>,
) -> Result<Response, Problem> {
    let (StoredName(topology), id) = place;
    let unknown = || Problem::new(&problem_catalogue::UNKNOWN_PLAN, format!("there is no plan '{id}' here"));
    let plan = room.plans.find(&topology, &id).ok_or_else(unknown)?;
    let moves = plan.commands.len();
    if !still_lowers(&room, &topology, plan.commands.clone()).await? {
        let detail = "the network has changed since: the moves would not make its fullest link emptier any more";
        return Err(Problem::new(&problem_catalogue::PLAN_OUTDATED, detail));
    }
    let sequence = make_moves(&room, plan.commands).await?;
    // Once made, it is not made again.
    room.plans.with(|plans| plans.retain(|other| (&other.topology, &other.id) != (&topology, &id)));
    Ok(json(&OptimizationApplied { id, moves, sequence }))
}

/// Whether moves that can be made would leave the fullest link emptier than it is. Of those that cannot be made, making them
/// says why.
async fn still_lowers(room: &Room, topology: &Name, commands: Vec<Command>) -> Result<bool, Problem> {
    let (now, name) = (room.app.now(), topology.clone());
    let lowers = room.app.work_out(move |state| {
        let (mut version, mut workspace) = (state.clone(), Workspace::default());
        for command in &commands {
            let Ok(event) = decide(&version, command, now, &mut workspace) else { return true };
            if matches!(event, Event::Denied { .. }) {
                return true;
            }
            let recorded = Recorded { sequence: version.sequence().next(), at: now, event };
            if apply(&mut version, &recorded).is_err() {
                return true;
            }
        }
        commands.is_empty() || fullest_ppm(&version, &name) < fullest_ppm(state, &name)
    });
    Ok(lowers.await?)
}

/// The utilisation of the fullest link of a network.
fn fullest_ppm(state: &State, topology: &Name) -> u128 {
    let Some(network) = state.network(topology.as_str()) else { return 0 };
    let of_link = |(ix, link): (LinkIx, &Link)| {
        let booked: u128 = network.ledger().booked(ix).iter().map(|bps| u128::from(*bps)).sum();
        booked * 1_000_000 / u128::from(link.max_reservable.as_bps().max(1))
    };
    network.topology().links().map(of_link).max().unwrap_or(0)
}

/// All or none; the sequence number of the last.
async fn make_moves(room: &Room, commands: Vec<Command>) -> Result<Option<u64>, Problem> {
    if commands.is_empty() {
        return Ok(None);
    }
    let actor = room.caller.actor();
    let submission = Submission { commands, atomicity: Atomicity::AllOrNone, mode: Mode::Commit, key: None, actor };
    let last = room.app.submit(submission).await?.pop().ok_or(SubmitError::Stopping)?;
    Ok(Some(last?.sequence.0))
}
