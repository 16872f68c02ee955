//! Bandwidth models.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::Response;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{FromPath, FromQuery, IfMatch, JsonBody, etag};
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, NotFound, PreconditionFailed, PreconditionRequired, Problem,
    TooLarge, Unavailable, Unprocessable, UnsupportedMediaType,
};
use super::topology::unknown;
use super::wire::{Effects, json};
use super::{ApiState, error};
use crate::app::scalars::StoredName;
use crate::app::{EventRecord, Mode};
use formats::bandwidth_model::{
    ClassDocument, Document, ModelName, OverrideDocument, PathChoiceName, PathMetricName, RestorationName,
    TeClassDocument, VictimOrderName,
};
use kernel::Refusal;
use kernel::command::{Command, Expected, ModelChange};

/// A bandwidth model as it is in force.
#[derive(Serialize, ToSchema)]
#[schema(as = BandwidthModelInForce)]
struct ModelView {
    #[serde(flatten)]
    document: Document,
    /// What to give in If-Match, in quotation marks.
    revision: String,
}

/// Reads the bandwidth model that is in force.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/bandwidth-model",
    tag = "topologies",
    summary = "Read the bandwidth model",
    params(("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255)),
    responses(
        (status = 200, description = "The model", body = ModelView, headers(("ETag" = String, description = "Its revision"))),
        BadRequest, NotFound, InternalError,
    )
)]
pub(super) async fn model_get(
    State(room): State<ApiState>,
    FromPath(StoredName(topology)): FromPath<StoredName>,
) -> Result<Response, Problem> {
    let found = room.app.read(|state| {
        let network = state.network(topology.as_str())?;
        Some((Arc::clone(network.model()), network.model_revision()))
    });
    let (model, revision) = found.await.ok_or_else(|| unknown(&topology))?;
    let view = ModelView { document: Document::from_model(&model), revision: revision.0.to_string() };
    let mut response = json(&view);
    response.headers_mut().insert(header::ETAG, etag(revision));
    Ok(response)
}

/// A bandwidth model and the policies that go with it. What was read can be put back as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BandwidthModelRequest)]
pub(super) struct ModelRequest {
    /// Which model.
    model: ModelName,
    /// The class types, at most eight. Absent: CT0, CT1 and CT2 with 25, 35 and 40 %.
    #[serde(default)]
    #[schema(max_items = 8)]
    classes: Vec<ClassDocument>,
    /// TE-classes (RFC 4124); absent: the class is the only priority.
    #[serde(default)]
    #[schema(max_items = 8)]
    te_classes: Vec<TeClassDocument>,
    /// Which class yields first.
    #[serde(default)]
    victim_order: VictimOrderName,
    /// Which path is taken when some need victims.
    #[serde(default)]
    path_choice: PathChoiceName,
    /// What paths minimise where a request does not say.
    #[serde(default)]
    path_metric: PathMetricName,
    /// What becomes of who has to leave a path.
    #[serde(default)]
    restoration: RestorationName,
    /// Under the `congestion` metric: refuse a path whose congestion exceeds this many percent of an empty path with the
    /// fewest hops. Absent: never.
    #[schema(minimum = 100, maximum = 1_000_000)]
    refuse_above_percent: Option<u32>,
    /// Links with bounds of their own.
    #[serde(default)]
    #[schema(max_items = 10_000)]
    link_overrides: Vec<OverrideDocument>,
    /// Not read: If-Match counts.
    #[serde(default, rename = "revision")]
    #[schema(value_type = Option<String>)]
    _revision: Option<IgnoredAny>,
}

impl ModelRequest {
    fn document(self) -> Document {
        Document {
            model: self.model,
            classes: self.classes,
            te_classes: self.te_classes,
            victim_order: self.victim_order,
            path_choice: self.path_choice,
            path_metric: self.path_metric,
            restoration: self.restoration,
            refuse_above_percent: self.refuse_above_percent,
            link_overrides: self.link_overrides,
        }
    }
}

/// How a change of model comes into force.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ModelQuery {
    /// Whether those who are there may stay until they end by themselves, even where the new model has no room for them.
    #[serde(default)]
    #[param(required = false)]
    soft: bool,
    /// Whether it is only to be known what would happen. Needs no If-Match.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// A bandwidth model that was put, and what that did.
#[derive(Serialize, ToSchema)]
#[schema(as = BandwidthModelOutcome)]
struct ModelAnswer<'a> {
    #[serde(flatten)]
    document: Document,
    /// What to give in If-Match, in quotation marks; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revision: Option<String>,
    /// What was made of the document, such as shares scaled to the whole.
    warnings: Vec<String>,
    #[serde(flatten)]
    effects: Effects<'a>,
    /// There, and true, if nothing of this happened.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    dry_run: bool,
}

/// Puts another bandwidth model in force, and says who has to leave their path for it.
#[utoipa::path(
    put,
    path = "/v1/topologies/{topology}/bandwidth-model",
    tag = "topologies",
    summary = "Put another bandwidth model in force",
    params(
        ("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255),
        ModelQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag of the model to be replaced, or *; needed unless it is a dry run", nullable = false, pattern = r#"^(\*|(W/)?"[^"]*")$"#),
    ),
    request_body(content = ModelRequest, description = "The model", example = json!({
        "model": "rdm",
        "classes": [
            {"class_type": 0, "share_ppm": 500_000},
            {"class_type": 1, "share_ppm": 300_000},
            {"class_type": 2, "share_ppm": 200_000}
        ]
    })),
    responses(
        (status = 200, description = "The model in force, or as it would be, and who has to leave", body = ModelAnswer<'static>,
            headers(("ETag" = String, description = "Its revision"))),
        BadRequest, Forbidden, NotFound, Conflict, PreconditionFailed, TooLarge, UnsupportedMediaType, Unprocessable,
        PreconditionRequired, InternalError, Unavailable,
    )
)]
pub(super) async fn model_put(
    State(room): State<ApiState>,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    FromQuery(query): FromQuery<ModelQuery>,
    IfMatch(expected): IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (model, warnings) = body.read::<ModelRequest>()?.document().to_model()?;
    let document = Document::from_model(&model);
    let expected = match expected {
        Expected::Unsaid if query.dry_run => Expected::Any,
        expected => expected,
    };
    let mode = if query.dry_run { Mode::DryRun } else { Mode::Commit };
    let switch = if query.soft { ModelChange::Soft } else { ModelChange::Hard };
    let command = Command::SetModel { topology, model: Arc::new(model), expected, switch };
    let fact = room.ask(command, mode).await?.map_err(|refusal| match refusal {
        Refusal::UnknownLink { .. } => error::in_body(refusal),
        refusal => refusal.into(),
    })?;
    let EventRecord::ModelSet { displaced, .. } = &fact.record else { return Err(error::unexpected(&fact)) };
    let effects = Effects::of(displaced);
    let revision = (!query.dry_run).then(|| fact.sequence.0.to_string());
    let mut response = json(&ModelAnswer { document, revision, warnings, effects, dry_run: query.dry_run });
    if !query.dry_run {
        response.headers_mut().insert(header::ETAG, etag(fact.sequence));
    }
    Ok(response)
}
