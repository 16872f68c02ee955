//! Headroom: the most that would be admitted between two nodes now.

use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Room;
use super::extract::{FromPath, FromQuery};
use super::parse;
use super::problem::{BadRequest, InternalError, NotFound, Problem, Unavailable, Unprocessable};
use super::render::json;
use crate::app::scalars::StoredName;
use api::bandwidth_model::{PathMetricName, RelocationDocument};
use api::constraints::ConstraintsRequest;
use api::path::{HeadroomAnswer, HeadroomDocument};
use kernel::Refusal;
use kernel::command::Request;
use kernel::decide::{Headroom, headroom};
use kernel::path::Workspace;
use kernel::units::Bandwidth;

/// For which demand.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HeadroomQuery {
    /// The node where the path begins.
    #[param(value_type = String, min_length = 1, max_length = 255)]
    from: StoredName,
    /// The node where the path ends.
    #[param(value_type = String, min_length = 1, max_length = 255)]
    to: StoredName,
    /// The class type, 0 (lowest) to 7. Either this or `qos_level`.
    #[param(nullable = false, maximum = 7)]
    class_type: Option<u64>,
    /// The QoS level: the class type of the same number.
    #[param(nullable = false, maximum = 2)]
    qos_level: Option<u64>,
    /// 0 (best) to 7: allocations with a worse hold priority can be preempted. Absent: the worst that the bandwidth model
    /// has for the class.
    #[param(nullable = false, maximum = 7)]
    setup_priority: Option<u64>,
    /// 0 (best) to 7, not worse than the setup priority. Absent: as the setup priority.
    #[param(nullable = false, maximum = 7)]
    hold_priority: Option<u64>,
    /// What the path minimises; absent: as the topology's bandwidth model says.
    #[param(nullable = false)]
    path_metric: Option<PathMetricName>,
    /// The most links of the path.
    #[param(nullable = false)]
    max_hops: Option<u32>,
    /// The most one-way delay of the path, in microseconds.
    #[param(nullable = false)]
    max_delay_us: Option<u64>,
    /// Every link of the path has one of these administrative groups, a mask of 32; 0 asks nothing.
    #[serde(default)]
    #[param(required = false)]
    include_any: u32,
    /// No link of the path has any of these administrative groups.
    #[serde(default)]
    #[param(required = false)]
    exclude_any: u32,
    /// How many standing allocations may be moved; absent: as many as the topology's policy says.
    #[param(nullable = false, maximum = 10)]
    max_moves: Option<u8>,
}

/// Says how much would be admitted between two nodes now, without, with moved and with preempted allocations.
///
/// The figures are found by deciding, and exact to the bit/s; nothing changes. Quotas of tenants are not looked at.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/headroom",
    tag = "topologies",
    summary = "Say how much would be admitted",
    params(("topology" = String, Path, description = "In which topology", min_length = 1, max_length = 255), HeadroomQuery),
    responses(
        (status = 200, description = "How much", body = HeadroomAnswer),
        BadRequest, NotFound, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn headroom_get(
    room: Room,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    FromQuery(query): FromQuery<HeadroomQuery>,
) -> Result<Response, Problem> {
    let request = query.request(topology)?;
    let (asked, sequence, found) = room
        .app
        .work_out(move |state| {
            let found = headroom(state, &request, &mut Workspace::default());
            (request, state.sequence(), found)
        })
        .await?;
    let found = found.map_err(in_query)?;
    Ok(json(&HeadroomAnswer {
        from: asked.ingress.to_string(),
        to: asked.egress.to_string(),
        class_type: asked.class_type.number(),
        setup_priority: found.setup_priority.number(),
        headroom: document(found),
        sequence: sequence.0,
    }))
}

/// The figures.
pub(super) fn document(headroom: Headroom) -> HeadroomDocument {
    HeadroomDocument {
        free_bps: headroom.free.as_bps(),
        with_moves_bps: headroom.with_moves.as_bps(),
        with_preemption_bps: headroom.with_preemption.as_bps(),
    }
}

impl HeadroomQuery {
    fn request(self, topology: kernel::id::Name) -> Result<Request, Problem> {
        let constraints = ConstraintsRequest {
            path_metric: self.path_metric,
            max_hops: self.max_hops,
            max_delay_us: self.max_delay_us,
            include_any: self.include_any,
            exclude_any: self.exclude_any,
            ..ConstraintsRequest::default()
        };
        let max_moves = self.max_moves.map(|max_moves| parse::moves_max(RelocationDocument { max_moves })).transpose();
        Ok(Request {
            topology: Some(topology),
            ingress: self.from.0,
            egress: self.to.0,
            class_type: parse::class_type(self.class_type, self.qos_level)?,
            bandwidth: Bandwidth::saturating_from_bps(1),
            setup_priority: parse::priority("setup_priority", self.setup_priority)?,
            hold_priority: parse::priority("hold_priority", self.hold_priority)?,
            constraints: parse::constraints(constraints)?,
            hold_for: None,
            duration: None,
            moves_max: max_moves.map_err(|problem| problem.with("field", "max_moves"))?,
            attributes: kernel::allocation::LspAttributes::default(),
        })
    }
}

/// The parameters are called otherwise than the members of a request.
pub(super) fn in_query(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::UnknownNode { field, names, topology } => {
            let field = if field == "ingress" { "from" } else { "to" };
            Refusal::UnknownNode { field, names, topology }.into()
        }
        Refusal::SameEnds(_) => Problem::from(refusal).with("field", "to"),
        other => other.into(),
    }
}
