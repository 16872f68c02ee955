//! What would be decided under another bandwidth model. The present allocations stay as they are; the request is decided
//! with the other model's rules on the same books. It is a dry run of the same code, and nothing of it stays.

use std::sync::Arc;

use super::problem::Problem;
use super::{ApiState, error, problem_catalogue};
use crate::app::{Atomicity, Fact, Mode, Submission, SubmitError};
use api::bandwidth_model::ModelName;
use formats::bandwidth_model::model_kind;
use kernel::bam::{ClassConfig, Model, ModelError, ModelKind};
use kernel::command::{Command, Expected, ModelChange, Request};
use kernel::decide::resolve_network_between;
use kernel::policy::BandwidthModel;
use kernel::units::{PPM, Share};

/// What classes lend either way under G-BAM, where the model in force is another and says nothing of loans.
const LOANS_PPM: u32 = PPM / 2;

/// What would become of a request if its topology had another model.
pub(super) async fn decided_under(
    room: &ApiState,
    request: Box<Request>,
    name: ModelName,
) -> Result<Arc<Fact>, Problem> {
    let found = room.app.read(|state| {
        let between = (&request.ingress, &request.egress);
        let (name, network) = resolve_network_between(state, request.topology.as_ref(), between.0, between.1)?;
        Ok((name.clone(), Arc::clone(network.model())))
    });
    let (topology, is) = found.map_err(error::in_body)?;
    let model = Arc::new(as_kind(&is, model_kind(name)).map_err(impossible)?);
    let set = Command::SetModel { topology, model, expected: Expected::Any, switch: ModelChange::Soft };
    let commands = vec![set, Command::Allocate(request)];
    let outcomes = room
        .app
        .submit(Submission { commands, atomicity: Atomicity::EachAlone, mode: Mode::DryRun, key: None, actor: None })
        .await?;
    let [set, decided]: [_; 2] = outcomes.try_into().map_err(|_| SubmitError::Stopping)?;
    set.map_err(error::in_body)?;
    decided.map_err(error::in_body)
}

/// The same classes, shares and policies under another model.
fn as_kind(is: &BandwidthModel, kind: ModelKind) -> Result<BandwidthModel, ModelError> {
    if is.model.kind() == kind {
        return Ok(is.clone());
    }
    let overrides = is.overrides.iter().map(|(link, model)| Ok((link.clone(), convert(model, kind)?)));
    Ok(BandwidthModel {
        model: convert(&is.model, kind)?,
        overrides: overrides.collect::<Result<_, ModelError>>()?,
        policy: is.policy,
    })
}

fn convert(model: &Model, kind: ModelKind) -> Result<Model, ModelError> {
    let loans = Share::from_ppm(LOANS_PPM).unwrap_or(Share::NONE);
    let lend = |class: &ClassConfig| ClassConfig { high_to_low: loans, low_to_high: loans, ..*class };
    // Where the class is the only priority, no TE-classes are configured; G-BAM and ATCS have no others.
    let te_classes = match kind {
        ModelKind::Mam | ModelKind::Rdm => model.te_classes().to_vec(),
        ModelKind::Gbam | ModelKind::Atcs => vec![],
    };
    Model::new(kind, model.classes().iter().map(lend).collect(), te_classes)
}

fn impossible(error: ModelError) -> Problem {
    Problem::new(&problem_catalogue::INVALID_MODEL, error.to_string()).with("field", "model")
}
