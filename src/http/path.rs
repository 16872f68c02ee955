//! Path computation without any effect.

use super::access::Room;
use super::error::{denial, in_body};
use super::extract::{FromPath, JsonBody};
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable, Unprocessable,
    UnsupportedMediaType,
};
use super::render::json;
use super::topology::unknown;
use super::{headroom, parse, problem_catalogue};
use crate::app::scalars::StoredName;
use api::path::{HeadroomDocument, PATHS_MAX, PathAnswer, PathDocument, PathRequest};
use axum::response::Response;
use kernel::allocation::LspAttributes;
use kernel::bam::Slot;
use kernel::class::{ClassType, Priority, TeClass};
use kernel::command::{NamedConstraints, Request};
use kernel::decide::{self, path_metric, resolve_constraints};
use kernel::event::Denial;
use kernel::id::{Name, NodeIx};
use kernel::path::{
    Disjointness, FoundPath, Links, Metric, PassingBy, Query, Workspace, disjoint_pair, explain, k_shortest, shortest,
};
use kernel::policy::PathChoice;
use kernel::state::Network;
use kernel::units::Bandwidth;
use kernel::{Names, Refusal, State as KernelState};

/// Computes paths, and changes nothing.
///
/// Paths that need no victims are looked for first; if there are none, such as do. Where there is no path at all, the
/// problem is that of a denied request. Admission by price is not computed for the paths; `headroom` is what would be
/// admitted, whatever the bandwidth asked for.
#[utoipa::path(
    post,
    path = "/v1/topologies/{topology}/paths",
    tag = "topologies",
    summary = "Compute paths",
    params(("topology" = String, Path, description = "In which topology", min_length = 1, max_length = 255)),
    request_body(content = PathRequest, description = "What for", example = json!({
        "ingress": "a", "egress": "b", "class_type": 2, "bandwidth_bps": 14_000_000, "count": 3
    })),
    responses(
        (status = 200, description = "The paths", body = PathAnswer),
        BadRequest, Forbidden, NotFound, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn path_compute(
    room: Room,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let asked = CheckedPathQuery::of(body.read::<PathRequest>()?)?;
    Ok(json(&room.app.work_out(move |state| asked.answer(state, &topology)).await??))
}

/// A request whose numbers are in range.
struct CheckedPathQuery {
    ingress: Name,
    egress: Name,
    class_type: ClassType,
    bandwidth: Bandwidth,
    setup_priority: Option<Priority>,
    wanted: PathsWanted,
    constraints: NamedConstraints,
}

#[derive(Clone, Copy)]
enum PathsWanted {
    Best(usize),
    Pair(Disjointness),
}

impl CheckedPathQuery {
    fn of(request: PathRequest) -> Result<Self, Problem> {
        let impossible =
            |field, detail: &str| Problem::new(&problem_catalogue::IMPOSSIBLE, detail.to_owned()).with("field", field);
        let wanted = match (request.count, request.disjoint) {
            (Some(_), Some(_)) => return Err(impossible("count", "disjoint gives two paths: leave count out")),
            (None, Some(name)) => PathsWanted::Pair(parse::disjointness(name)),
            (count, None) => {
                let count = count.unwrap_or(1);
                let in_range = usize::try_from(count).ok().filter(|_| (1..=PATHS_MAX).contains(&count));
                PathsWanted::Best(in_range.ok_or_else(|| impossible("count", "count is not within 1 to 16"))?)
            }
        };
        Ok(Self {
            ingress: parse::name("ingress", &request.ingress)?,
            egress: parse::name("egress", &request.egress)?,
            class_type: parse::class_type(request.class_type, request.qos_level)?,
            bandwidth: parse::bandwidth("bandwidth_bps", request.bandwidth_bps)?,
            setup_priority: parse::priority("setup_priority", request.setup_priority)?,
            wanted,
            constraints: parse::constraints(request.constraints.unwrap_or_default())?,
        })
    }

    fn answer(&self, state: &KernelState, topology: &Name) -> Result<PathAnswer, Problem> {
        let network = state.network(topology.as_str()).ok_or_else(|| unknown(topology))?;
        let (ingress, egress, slot) = self.resolve(network, topology).map_err(in_body)?;
        let constraints = resolve_constraints(&self.constraints, network.topology(), topology, ingress);
        let constraints = constraints.map_err(in_body)?.unwrap_or_default();
        let metric = path_metric(&network.model().policy, &constraints);
        let bandwidth_bps = self.bandwidth.as_bps();
        let query = Query { ingress, egress, bandwidth_bps, metric, constraints: &constraints };
        let mut workspace = Workspace::default();
        let (free, reach) = (network.ledger().free(slot), network.ledger().reach(slot));
        let avoided = network.ledger().avoided();
        let mut found = vec![];
        if !avoided.is_empty() {
            let (free, reach) = (PassingBy { links: &free, avoided }, PassingBy { links: &reach, avoided });
            found = self.free_or_reach(network, (&free, &reach), &query, &mut workspace);
        }
        if found.is_empty() {
            found = self.free_or_reach(network, (&free, &reach), &query, &mut workspace);
        }
        if found.is_empty() {
            return Err(self.why_not(network, &reach, &query, &mut workspace));
        }
        let needs_victims = |path: &FoundPath| path.links.iter().any(|link| free.room_bps(*link) < query.bandwidth_bps);
        let paths = found.iter().map(|path| document(network, path, metric, ingress, needs_victims(path))).collect();
        Ok(PathAnswer { paths, headroom: self.headroom(state, topology, &mut workspace)? })
    }

    /// Of one path.
    fn headroom(
        &self,
        state: &KernelState,
        topology: &Name,
        workspace: &mut Workspace,
    ) -> Result<Option<HeadroomDocument>, Problem> {
        if matches!(self.wanted, PathsWanted::Pair(_)) {
            return Ok(None);
        }
        let request = Request {
            topology: Some(topology.clone()),
            ingress: self.ingress.clone(),
            egress: self.egress.clone(),
            class_type: self.class_type,
            bandwidth: self.bandwidth,
            setup_priority: self.setup_priority,
            hold_priority: None,
            constraints: self.constraints.clone(),
            hold_for: None,
            duration: None,
            moves_max: None,
            attributes: LspAttributes::default(),
        };
        Ok(Some(headroom::document(decide::headroom(state, &request, workspace).map_err(in_body)?)))
    }

    fn resolve(&self, network: &Network, topology: &Name) -> Result<(NodeIx, NodeIx, Slot), Refusal> {
        let node = |field, name: &Name| {
            let unknown = || Refusal::UnknownNode { field, names: [name.clone()].into(), topology: topology.clone() };
            network.topology().node_named(name.as_str()).ok_or_else(unknown)
        };
        let (ingress, egress) = (node("ingress", &self.ingress)?, node("egress", &self.egress)?);
        if ingress == egress {
            return Err(Refusal::SameEnds(self.ingress.clone()));
        }
        if self.bandwidth.is_zero() {
            return Err(Refusal::NoBandwidth);
        }
        let (class_type, model) = (self.class_type, &network.model().model);
        if !model.has_class(class_type) {
            return Err(Refusal::UnknownClassType { class_type, topology: topology.clone() });
        }
        let priority = self.setup_priority.unwrap_or_else(|| model.default_priority(class_type));
        let te_class = TeClass { class_type, priority };
        let unknown = || Refusal::UnknownTeClass { field: "setup_priority", te_class, topology: topology.clone() };
        Ok((ingress, egress, model.slot(class_type, priority).ok_or_else(unknown)?))
    }

    /// Paths without victims, else paths with them.
    fn free_or_reach(
        &self,
        network: &Network,
        (free, reach): (&impl Links, &impl Links),
        query: &Query<'_>,
        workspace: &mut Workspace,
    ) -> Vec<FoundPath> {
        let found = match network.model().policy.path_choice {
            PathChoice::AvoidVictims => self.search(network, free, query, workspace),
            PathChoice::FewestHops => vec![],
        };
        if found.is_empty() { self.search(network, reach, query, workspace) } else { found }
    }

    fn search(
        &self,
        network: &Network,
        links: &impl Links,
        query: &Query<'_>,
        workspace: &mut Workspace,
    ) -> Vec<FoundPath> {
        match self.wanted {
            PathsWanted::Best(1) => shortest(network.graph(), links, query, workspace).into_iter().collect(),
            PathsWanted::Best(count) => k_shortest(network.graph(), links, query, count, workspace).unwrap_or_default(),
            PathsWanted::Pair(disjointness) => {
                let pair = disjoint_pair(network.graph(), links, query, disjointness, workspace);
                pair.map_or(vec![], |(first, second)| vec![first, second])
            }
        }
    }

    fn why_not(&self, network: &Network, links: &impl Links, query: &Query<'_>, workspace: &mut Workspace) -> Problem {
        let is_pair = matches!(self.wanted, PathsWanted::Pair(_));
        if is_pair && shortest(network.graph(), links, query, workspace).is_ok() {
            return Problem::new(
                &problem_catalogue::NO_PATH,
                "there is a path, but no second one that is disjoint from it",
            )
            .with("constraint", "disjoint");
        }
        let why = Denial::from(explain(network.graph(), links, query, workspace));
        let requested = Bandwidth::saturating_from_bps(query.bandwidth_bps);
        let names = Names::of(network.topology());
        denial(self.ingress.as_str(), self.egress.as_str(), self.class_type, requested, &why, &names)
    }
}

fn document(
    network: &Network,
    found: &FoundPath,
    metric: Metric,
    ingress: NodeIx,
    needs_victims: bool,
) -> PathDocument {
    let topology = network.topology();
    let node = |ix| topology.node(ix).map(|node| node.name.to_string());
    let links: Vec<_> = found.links.iter().filter_map(|link| topology.link(*link)).collect();
    let nodes = node(ingress).into_iter().chain(links.iter().filter_map(|link| node(link.to)));
    PathDocument {
        path: links.iter().map(|link| link.name.to_string()).collect(),
        nodes: nodes.collect(),
        hops: links.len(),
        cost: metric.in_1024ths(found.cost),
        delay_us: found.delay.0,
        te_metric: links.iter().map(|link| u64::from(link.te_metric)).sum(),
        needs_victims,
    }
}
