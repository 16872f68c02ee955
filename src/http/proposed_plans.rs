//! The plans that were proposed, in the memory of this replica, and how far each has been applied. A step is made once: a
//! plan is applied by one request at a time, and what was made is remembered before the next begins, also where the
//! requester has disconnected.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Instrument;

use super::access::Room;
use super::problem::Problem;
use super::{error, problem_catalogue};
use crate::app::{Atomicity, CommandOutcome, Fact, Mode, Submission, SubmitError};
use api::optimization::{OptimizationAnswer, OptimizationApplied, OptimizationSummary};
use kernel::event::{Event, Fate};
use kernel::id::Name;
use kernel::path::Workspace;
use kernel::units::Millis;
use kernel::{Command, Recorded, State, apply, decide};
use optimizer::Objective;

/// The most plans that are kept.
const PLANS_MAX: usize = 64;

/// How much of a plan is to be applied.
#[derive(Clone, Copy)]
pub(super) enum PlanExtent {
    /// All steps that are left, or none.
    Rest,
    /// Steps one by one until so many of the first have been made.
    Through(usize),
}

/// The newest last.
#[derive(Clone, Default)]
pub(super) struct ProposedPlans(Arc<Mutex<VecDeque<Arc<ProposedPlan>>>>);

/// A plan that can be applied.
pub(super) struct ProposedPlan {
    topology: Name,
    id: String,
    objective: Objective,
    commands: Vec<Command>,
    /// As it is told, with what has been made of it. Held while steps are made.
    told: tokio::sync::Mutex<OptimizationAnswer>,
}

impl ProposedPlans {
    fn with<R>(&self, look: impl FnOnce(&mut VecDeque<Arc<ProposedPlan>>) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a plan; where the same one is kept already, that one with what has been made of it.
    pub(super) fn add(&self, plan: ProposedPlan) -> Arc<ProposedPlan> {
        self.with(|plans| {
            let is_same = |other: &&Arc<ProposedPlan>| (&other.topology, &other.id) == (&plan.topology, &plan.id);
            if let Some(same) = plans.iter().find(is_same) {
                return Arc::clone(same);
            }
            if plans.len() >= PLANS_MAX {
                plans.pop_front();
            }
            let plan = Arc::new(plan);
            plans.push_back(Arc::clone(&plan));
            plan
        })
    }

    /// The plans of a topology, the oldest first.
    pub(super) async fn summaries(&self, topology: &Name) -> Vec<OptimizationSummary> {
        let plans: Vec<_> =
            self.with(|plans| plans.iter().filter(|plan| plan.topology == *topology).cloned().collect());
        let mut summaries = Vec::with_capacity(plans.len());
        for plan in plans {
            summaries.push(plan.told.lock().await.summary());
        }
        summaries
    }

    fn remove(&self, topology: &Name, id: &str) {
        self.with(|plans| plans.retain(|plan| plan.id != id || plan.topology != *topology));
    }

    pub(super) fn find(&self, topology: &Name, id: &str) -> Result<Arc<ProposedPlan>, Problem> {
        let found = self.with(|plans| plans.iter().find(|plan| plan.id == id && plan.topology == *topology).cloned());
        found.ok_or_else(|| Problem::new(&problem_catalogue::UNKNOWN_PLAN, format!("there is no plan '{id}' here")))
    }
}

impl ProposedPlan {
    pub(super) fn new(topology: Name, objective: Objective, told: OptimizationAnswer, commands: Vec<Command>) -> Self {
        Self { topology, id: told.id.clone(), objective, commands, told: tokio::sync::Mutex::new(told) }
    }

    pub(super) fn step_count(&self) -> usize {
        self.commands.len()
    }

    /// The plan with what has been made of it.
    pub(super) async fn told(&self) -> OptimizationAnswer {
        self.told.lock().await.clone()
    }

    /// Makes steps; goes on with that if the requester disconnects.
    pub(super) async fn apply(self: Arc<Self>, room: Room, extent: PlanExtent) -> Result<OptimizationApplied, Problem> {
        let applying = async move {
            match extent {
                PlanExtent::Rest => self.apply_rest(&room).await,
                PlanExtent::Through(steps) => self.apply_through(&room, steps).await,
            }
        };
        tokio::spawn(applying.in_current_span()).await.map_err(|error| {
            tracing::error!(%error, "a plan was given up while it was applied");
            Problem::new(&problem_catalogue::INTERNAL, "the plan was given up")
        })?
    }

    /// Makes all steps that are left, or none of them.
    async fn apply_rest(&self, room: &Room) -> Result<OptimizationApplied, Problem> {
        let mut told = self.told.lock().await;
        let done = told.moves_done;
        let rest = self.helpful_rest(room, done).await?;
        if rest.is_empty() {
            return Ok(applied(&told, 0, None));
        }
        let moves = rest.len();
        let outcomes = self.submit(room, rest, Atomicity::AllOrNone).await.map_err(|error| match error {
            SubmitError::Withdrawn { index, outcome } => SubmitError::Withdrawn { index: done + index, outcome },
            other => other,
        })?;
        let mut sequence = None;
        for outcome in outcomes {
            let fact = outcome?;
            sequence = Some(fact.sequence.0);
            record_step(&mut told, &fact);
        }
        Ok(applied(&told, moves, sequence))
    }

    /// Makes steps one by one until so many have been made, or one cannot be.
    async fn apply_through(&self, room: &Room, through: usize) -> Result<OptimizationApplied, Problem> {
        let mut told = self.told.lock().await;
        let (done, mut sequence) = (told.moves_done, None);
        let steps = through.saturating_sub(done);
        let rest = if steps == 0 { vec![] } else { self.helpful_rest(room, done).await? };
        for command in rest.into_iter().take(steps) {
            let mut outcomes = self.submit(room, vec![command], Atomicity::EachAlone).await?;
            let outcome = outcomes.pop().ok_or(SubmitError::Stopping)?;
            match made(outcome) {
                Ok(fact) => {
                    sequence = Some(fact.sequence.0);
                    record_step(&mut told, &fact);
                }
                Err(problem) => {
                    told.conflict = Some(problem.with("request", told.moves_done).document(None));
                    break;
                }
            }
        }
        let made = told.moves_done.saturating_sub(done);
        Ok(applied(&told, made, sequence))
    }

    /// A plan of which it is not known how far it was applied is forgotten: an admission is not made twice.
    async fn submit(
        &self,
        room: &Room,
        commands: Vec<Command>,
        atomicity: Atomicity,
    ) -> Result<Vec<CommandOutcome>, SubmitError> {
        let actor = room.caller.actor();
        let submission = Submission { commands, atomicity, mode: Mode::Commit, key: None, actor };
        let outcomes = room.app.submit(submission).await;
        if matches!(outcomes, Err(SubmitError::OutcomeUnknown(_))) {
            room.plans.remove(&self.topology, &self.id);
        }
        outcomes
    }

    /// The steps after the first `done`, if they still help.
    async fn helpful_rest(&self, room: &Room, done: usize) -> Result<Vec<Command>, Problem> {
        let rest: Vec<Command> = self.commands.iter().skip(done).cloned().collect();
        let (now, objective, topology, commands) =
            (room.app.now(), self.objective, self.topology.clone(), rest.clone());
        let decide_all = move |state: &State| still_helps(state, objective, &topology, &commands, now);
        if rest.is_empty() || room.app.work_out(decide_all).await? {
            return Ok(rest);
        }
        let detail = "the network has changed since: the steps that are left would not make it better any more";
        Err(Problem::new(&problem_catalogue::PLAN_OUTDATED, detail))
    }
}

/// What happened, or why it did not.
fn made(outcome: CommandOutcome) -> Result<Arc<Fact>, Problem> {
    let fact = outcome.map_err(error::in_body)?;
    match &fact.event {
        Event::Denied { demand, denial, .. } => Err(error::denied(demand, denial, &fact.names)),
        _ => Ok(fact),
    }
}

fn record_step(told: &mut OptimizationAnswer, fact: &Fact) {
    if let (Event::Admitted { allocation, .. }, Some(step)) = (&fact.event, told.moves.get_mut(told.moves_done)) {
        step.id = Some(allocation.id.to_string());
    }
    told.moves_done += 1;
    told.conflict = None;
    told.applied = told.moves_done == told.moves.len();
}

fn applied(told: &OptimizationAnswer, moves: usize, sequence: Option<u64>) -> OptimizationApplied {
    let (id, conflict) = (told.id.clone(), told.conflict.clone());
    OptimizationApplied { id, moves, moves_done: told.moves_done, sequence, conflict }
}

/// Whether steps that can be made would make the network better, with no allocation lost. Of those that cannot be made,
/// making them says why.
fn still_helps(state: &State, objective: Objective, topology: &Name, commands: &[Command], now: Millis) -> bool {
    let (mut version, mut workspace) = (state.clone(), Workspace::default());
    for command in commands {
        let Ok(event) = decide(&version, command, now, &mut workspace) else { return true };
        match &event {
            Event::Denied { .. } => return true,
            Event::Admitted { displaced, .. } if displaced.iter().any(|one| matches!(one.fate, Fate::Ended(_))) => {
                return false;
            }
            _ => {}
        }
        let recorded = Recorded { sequence: version.sequence().next(), at: now, event };
        if apply(&mut version, &recorded).is_err() {
            return true;
        }
    }
    objective.is_improved(topology, state, &version)
}
