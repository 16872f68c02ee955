//! `watermaster optimization create|list|show|apply`: plans of moves that make a running service's network better.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::connection::{ConnectionError, ServiceConnection};
use super::output::{Column, count, lines, percent, rate, table};
use super::resource_args::{InTopology, ListArgs};
use api::allocation::AllocationRequest;
use api::client::{Client, PageRequest};
use api::optimization::{
    ObjectiveName, ObjectiveUnit, ObjectiveValue, OptimizationAnswer, OptimizationRequest, OptimizationSummary,
    PlanApplication, PlanApplyRequest, PlannedMoveDocument,
};

const COLUMNS: [Column<OptimizationSummary>; 7] = [
    ("PLAN", |plan| plan.id.clone()),
    ("OBJECTIVE", |plan| plan.objective.to_string()),
    ("BEFORE", |plan| valued(&plan.value, plan.value.before)),
    ("AFTER", |plan| valued(&plan.value, plan.value.after)),
    ("BOUND", |plan| valued(&plan.value, plan.value.bound)),
    ("STEPS", |plan| plan.move_count.to_string()),
    ("DONE", |plan| plan.moves_done.to_string()),
];

/// The steps of a plan.
const STEPS: [Column<PlannedMoveDocument>; 6] = [
    ("ALLOCATION", |step| {
        step.id.clone().unwrap_or_else(|| step.request.map(|at| format!("request {at}")).unwrap_or_default())
    }),
    ("NAME", |step| step.name.clone().unwrap_or_default()),
    ("BANDWIDTH", |step| rate(step.bandwidth_bps)),
    ("FROM", |step| step.from.join(" ")),
    ("TO", |step| step.to.join(" ")),
    ("FULLEST LINK THEN", |step| percent(step.max_ppm)),
];

/// The arguments of `watermaster optimization`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    connection: ServiceConnection,
    #[command(subcommand)]
    command: OptimizationCommand,
}

#[derive(Subcommand, Debug)]
enum OptimizationCommand {
    /// Plan moves by an objective; nothing moves before the plan is applied
    Create(Create),
    /// List the plans that the service keeps
    List {
        /// In which topology
        topology: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a plan, its steps and how many of them have been made
    Show(InTopology),
    /// Make the steps of a plan: all that are left, or none
    Apply {
        #[command(flatten)]
        plan: InTopology,
        /// Only until so many of the first steps have been made, one by one
        #[arg(long)]
        through: Option<u64>,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// In which topology
    topology: String,
    /// What is to become better: max_utilisation, total_cost, admit_all or max_min
    #[arg(long, default_value = "max_utilisation")]
    objective: ObjectiveName,
    /// The most moves [default: 100]
    #[arg(long)]
    max_moves: Option<u64>,
    /// Of admit_all: a file with the requests, a JSON list as for a batch
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,
    /// Make the steps at once
    #[arg(long)]
    apply: bool,
}

/// Does what the command says.
///
/// # Errors
/// The service refuses or is not there, or the file of requests cannot be read.
pub fn run(arguments: &Arguments) -> Result<(), ConnectionError> {
    let connection = &arguments.connection;
    match &arguments.command {
        OptimizationCommand::Create(create) => plan(connection, create),
        OptimizationCommand::List { topology, list } => connection.list(
            &COLUMNS,
            list.limit,
            list.sort.as_deref(),
            async |client: &Client, page: PageRequest<'_>| {
                let page = client.optimization_list(topology, page).await?;
                Ok((page.items, page.next))
            },
        ),
        OptimizationCommand::Show(plan) => {
            let found =
                connection.wait(async |client| Ok(client.optimization_get(&plan.topology, &plan.id).await?))?;
            connection.show(&found, || words(&found))
        }
        OptimizationCommand::Apply { plan, through } => apply(connection, plan, *through),
    }
}

fn plan(connection: &ServiceConnection, create: &Create) -> Result<(), ConnectionError> {
    let apply = if create.apply { PlanApplication::Auto } else { PlanApplication::Propose };
    let requests = create.requests.as_ref().map(requests).transpose()?.unwrap_or_default();
    let request = OptimizationRequest { objective: create.objective, max_moves: create.max_moves, requests, apply };
    let made = connection.wait(async |client| Ok(client.optimization_create(&create.topology, &request).await?))?;
    connection.show(&made, || words(&made))
}

/// The requests in a file.
fn requests(path: &PathBuf) -> Result<Vec<AllocationRequest>, ConnectionError> {
    let text = std::fs::read(path)?;
    serde_json::from_slice(&text).map_err(|error| ConnectionError::Document { path: path.clone(), error })
}

fn apply(connection: &ServiceConnection, plan: &InTopology, through: Option<u64>) -> Result<(), ConnectionError> {
    let (request, InTopology { topology, id }) = (PlanApplyRequest { through }, plan);
    let done = connection.wait(async |client| Ok(client.optimization_apply(topology, id, &request).await?))?;
    connection.show(&done, || {
        let made = format!("{} made, {} in all\n", count(done.moves, "step"), done.moves_done);
        let conflict = done.conflict.as_ref().map(|problem| format!("the next cannot be made: {}\n", problem.detail));
        made + &conflict.unwrap_or_default()
    })
}

fn words(plan: &OptimizationAnswer) -> String {
    let steps = if plan.moves.is_empty() { "no step would help\n".to_owned() } else { table(&STEPS, &plan.moves) };
    lines(&COLUMNS, &plan.summary()) + &steps
}

/// A value of the objective, in its unit.
fn valued(of: &ObjectiveValue, value: u64) -> String {
    match of.unit {
        ObjectiveUnit::Ppm => percent(value),
        ObjectiveUnit::Bps => rate(value),
        ObjectiveUnit::MetricBps => format!("{} x metric", rate(value)),
    }
}
