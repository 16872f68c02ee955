//! `watermaster model show|put|watch`: the bandwidth models of a running service.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::connection::{ConnectionError, ServiceConnection, effect};
use super::event::{WatchArgs, events_watch};
use super::output::{Column, effects, lines, percent, table};
use super::topology::read_file;
use api::bandwidth_model::{BandwidthModelClass, BandwidthModelDocument};
use api::client::ModelTransition;
use api::event::EventData;

const SHOWN: [Column<BandwidthModelDocument>; 6] = [
    ("MODEL", |model| model.model.to_string()),
    ("METRIC", |model| model.path_metric.to_string()),
    ("VICTIMS", |model| format!("{}, {}", model.victim_order, model.victim_policy)),
    ("PATHS", |model| model.path_choice.to_string()),
    ("RESTORATION", |model| model.restoration.to_string()),
    ("MOVES", |model| model.relocation.max_moves.to_string()),
];

const CLASS_COLUMNS: [Column<BandwidthModelClass>; 5] = [
    ("CLASS", |class| format!("CT{}", class.class_type)),
    ("SHARE", |class| percent(class.share_ppm.into())),
    ("CONSTRAINT", |class| class.constraint_ppm.map(percent).unwrap_or_default()),
    ("LENDS DOWN", |class| percent(class.high_to_low_ppm.into())),
    ("LENDS UP", |class| percent(class.low_to_high_ppm.into())),
];

/// The arguments of `watermaster model`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    connection: ServiceConnection,
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Subcommand, Debug)]
enum ModelCommand {
    /// Show the bandwidth model of a topology
    Show {
        /// Of which topology
        topology: String,
    },
    /// Put another bandwidth model in force
    Put(Put),
    /// Print changes of models, until Ctrl-C
    Watch(WatchArgs),
}

#[derive(Args, Debug)]
struct Put {
    /// Of which topology
    topology: String,
    /// The model as JSON; `-` is standard input
    file: PathBuf,
    /// Let living allocations stay until they end by themselves
    #[arg(long)]
    soft: bool,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
}

/// Does what the command says.
///
/// # Errors
/// The file is no model; the service refuses or is not there.
pub fn run(arguments: &Arguments) -> Result<(), ConnectionError> {
    let connection = &arguments.connection;
    match &arguments.command {
        ModelCommand::Show { topology } => {
            let found = connection.wait(async |client| Ok(client.model_get(topology).await?))?;
            connection.show(&found, || lines(&SHOWN, &found.model) + &table(&CLASS_COLUMNS, &found.model.classes))
        }
        ModelCommand::Put(put) => model_put(connection, put),
        ModelCommand::Watch(watch) => {
            events_watch(connection, watch, |event| matches!(event.data, EventData::ModelSet { .. }))
        }
    }
}

fn model_put(connection: &ServiceConnection, put: &Put) -> Result<(), ConnectionError> {
    let model: BandwidthModelDocument = serde_json::from_slice(&read_file(&put.file)?)
        .map_err(|error| ConnectionError::Document { path: put.file.clone(), error })?;
    let change = if put.soft { ModelTransition::Soft } else { ModelTransition::Hard };
    let done = connection
        .wait(async |client| Ok(client.model_put(&put.topology, &model, change, effect(put.dry_run)).await?))?;
    connection.show(&done, || {
        let word = if put.dry_run { "would be put" } else { "put" };
        let warnings = done.warnings.iter().map(|warning| format!("  {warning}\n"));
        format!("{word}  {}\n", done.model.model) + &effects(&done.effects) + &warnings.collect::<String>()
    })
}
