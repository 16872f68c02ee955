//! Facts and kernel values as documents of the interface.

pub(super) mod broker;
mod event;
mod allocation;
mod auto_bandwidth;
mod effects;
mod failure_study;
mod link;
mod link_past;
mod tenant;
mod optimization;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub(super) use allocation::{
    allocation, end_state, living_state, outcome, past_allocation, planned_admission, planned_outcome, state,
};
pub(super) use effects::effects;
pub(super) use event::{controller_settings, event};
pub(super) use failure_study::failure_study;
pub(super) use link::{AllocationList, figures, link, properties};
pub(super) use link_past::link_past;
pub(super) use optimization::optimization_plan;
pub(super) use tenant::quota;

use super::problem::Problem;
use super::problem_catalogue;
use api::instant::Instant;
use api::maintenance::PlannedMaintenance;
use kernel::Names;
use kernel::annotation::{AnnotationField, Annotations};
use kernel::id::{LinkIx, NodeIx};
use kernel::maintenance::Maintenance;
use kernel::units::Millis;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON answer.
pub(super) fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, JSON)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer has no JSON form");
            Problem::new(&problem_catalogue::INTERNAL, "the answer has no JSON form").into_response()
        }
    }
}

/// A time.
pub(super) fn instant(at: Millis) -> Instant {
    Instant(at.0)
}

/// Planned maintenance.
pub(super) fn maintenance(maintenance: &Maintenance) -> PlannedMaintenance {
    PlannedMaintenance {
        id: maintenance.id.0.to_string(),
        links: maintenance.links.iter().map(ToString::to_string).collect(),
        starts_at: instant(maintenance.starts_at),
        ends_at: instant(maintenance.ends_at),
        note: maintenance.note.as_ref().map(ToString::to_string),
    }
}

/// The text of an annotation.
fn annotation(annotations: &Annotations, field: AnnotationField) -> Option<String> {
    annotations.get(field).map(ToString::to_string)
}

/// The name of a node of a fact.
fn node(names: &Names, node: NodeIx) -> String {
    names.node(node).map(ToString::to_string).unwrap_or_default()
}

/// The names of the links of a path.
fn path(names: &Names, path: &[LinkIx]) -> Vec<String> {
    names.path(path).map(ToString::to_string).collect()
}

/// The name of a link of a fact.
fn link_name(names: &Names, link: LinkIx) -> String {
    names.link(link).map(ToString::to_string).unwrap_or_default()
}
