//! What would be decided under another bandwidth model. The present allocations stay as they are; the request is decided
//! with the other model's rules on the same books. It is a dry run of the same code, and nothing of it stays.

use std::sync::Arc;

use super::problem::Problem;
use super::{Room, error, kind};
use crate::app::{Fact, Mode, Submission, SubmitError};
use formats::bandwidth_model::ModelName;
use kernel::bam::{ClassConfig, Kind, Model, ModelError};
use kernel::command::{Command, Expected, Request, Switchover};
use kernel::decide::resolve_network_between;
use kernel::model::BandwidthModel;
use kernel::units::{PPM, Share};

/// What classes lend either way under G-BAM, where the model in force is another and says nothing of loans.
const LOANS_PPM: u32 = PPM / 2;

/// What would become of a request if its topology had another model.
pub(super) async fn decided_under(room: &Room, request: Box<Request>, name: ModelName) -> Result<Arc<Fact>, Problem> {
    let found = room.app.read(|state| {
        let between = (&request.ingress, &request.egress);
        let (name, network) = resolve_network_between(state, request.topology.as_ref(), between.0, between.1)?;
        Ok((name.clone(), Arc::clone(network.model())))
    });
    let (topology, is) = found.await.map_err(error::in_body)?;
    let model = Arc::new(as_kind(&is, kind_of(name)).map_err(impossible)?);
    let set = Command::SetModel { topology, model, expected: Expected::Any, switch: Switchover::Soft };
    let commands = vec![set, Command::Allocate(request)];
    let outcomes = room.app.submit(Submission { commands, mode: Mode::DryRun, key: None }).await?;
    let [set, decided]: [_; 2] = outcomes.try_into().map_err(|_| SubmitError::Stopping)?;
    set.map_err(error::in_body)?;
    decided.map_err(error::in_body)
}

fn kind_of(name: ModelName) -> Kind {
    match name {
        ModelName::Mam => Kind::Mam,
        ModelName::Rdm => Kind::Rdm,
        ModelName::Gbam => Kind::Gbam,
        ModelName::Atcs => Kind::Atcs,
    }
}

/// The same classes, shares and policies under another model.
fn as_kind(is: &BandwidthModel, kind: Kind) -> Result<BandwidthModel, ModelError> {
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

fn convert(model: &Model, kind: Kind) -> Result<Model, ModelError> {
    let loans = Share::from_ppm(LOANS_PPM).unwrap_or(Share::NONE);
    let lend = |class: &ClassConfig| ClassConfig { high_to_low: loans, low_to_high: loans, ..*class };
    // Where the class is the only priority, no TE-classes are configured; G-BAM and ATCS have no others.
    let te_classes = match kind {
        Kind::Mam | Kind::Rdm => model.te_classes().to_vec(),
        Kind::Gbam | Kind::Atcs => vec![],
    };
    Model::new(kind, model.classes().iter().map(lend).collect(), te_classes)
}

fn impossible(error: ModelError) -> Problem {
    Problem::new(&kind::INVALID_MODEL, error.to_string()).with("field", "model")
}
