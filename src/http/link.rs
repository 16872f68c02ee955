//! Links: what they carry, and changes to them.

use axum::extract::OriginalUri;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::access::Room;
use super::extract::{FromPath, FromQuery, JsonBody};
use super::problem::{
    BadRequest, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable, Unprocessable, UnsupportedMediaType,
};
use super::render::{self, AllocationList, json};
use super::topology::{DryRunQuery, unknown};
use super::{error, pagination, parse};
use crate::app::scalars::StoredName;
use crate::app::{Conditions, Fact};
use api::link::{LinkDocument, LinkFigures, LinkOutcome, LinkPage, LinkRequest};
use kernel::command::Command;
use kernel::event::Event;
use kernel::id::{AllocationId, LinkIx, Name};
use kernel::state::Network;
use kernel::topology::Link;
use kernel::{Recorded, Refusal, State as KernelState, apply};

/// Which links are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The cursor of the page.
    #[param(nullable = false, pattern = "^[0-9]{1,18}$")]
    after: Option<String>,
    /// In which order; with a minus the largest first. Absent: as in the topology. The cursor counts
    /// then: where an order changes between two pages, a link may be on both, or on none.
    #[param(nullable = false, inline)]
    sort: Option<LinkOrder>,
    /// Whether each link lists the allocations on it; true if absent. Their number is always there.
    #[serde(default = "yes")]
    #[param(required = false, default = true)]
    allocations: bool,
}

/// The order of links.
#[derive(Deserialize, ToSchema, Clone, Copy)]
enum LinkOrder {
    #[serde(rename = "link")]
    Name,
    #[serde(rename = "-link")]
    NameDown,
    #[serde(rename = "capacity_bps")]
    Capacity,
    #[serde(rename = "-capacity_bps")]
    CapacityDown,
    #[serde(rename = "reserved_bps")]
    Reserved,
    #[serde(rename = "-reserved_bps")]
    ReservedDown,
    #[serde(rename = "utilisation_ppm")]
    Utilisation,
    #[serde(rename = "-utilisation_ppm")]
    UtilisationDown,
}

impl LinkOrder {
    /// All links of a network in this order.
    fn sorted(self, network: &Network) -> Vec<LinkIx> {
        let reserved = |ix: LinkIx| network.ledger().booked(ix).iter().fold(0_u64, |sum, bps| sum.saturating_add(*bps));
        let mut links: Vec<_> = network.topology().links().collect();
        let utilisation = |(ix, link): &(LinkIx, &Link)| {
            u128::from(reserved(*ix)) * 1_000_000 / u128::from(link.capacity.as_bps().max(1))
        };
        let is_down = matches!(self, Self::NameDown | Self::CapacityDown | Self::ReservedDown | Self::UtilisationDown);
        // Turned round twice, those that are equal keep their order.
        if is_down {
            links.reverse();
        }
        match self {
            Self::Name | Self::NameDown => links.sort_by_key(|(_, link)| link.name.clone()),
            Self::Capacity | Self::CapacityDown => links.sort_by_key(|(_, link)| link.capacity),
            Self::Reserved | Self::ReservedDown => links.sort_by_key(|(ix, _)| reserved(*ix)),
            Self::Utilisation | Self::UtilisationDown => links.sort_by_cached_key(utilisation),
        }
        if is_down {
            links.reverse();
        }
        links.into_iter().map(|(ix, _)| ix).collect()
    }
}

fn yes() -> bool {
    true
}

/// Lists a topology's links, each with what is booked on it.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/links",
    tag = "topologies",
    summary = "List links with what is booked on them",
    params(("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255), ListQuery),
    responses(
        (status = 200, description = "A page of them", body = LinkPage, headers(("Link" = String, description = "rel=\"next\": the next page"))),
        BadRequest, NotFound, InternalError,
    )
)]
pub(super) async fn link_list(
    room: Room,
    OriginalUri(uri): OriginalUri,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    FromQuery(query): FromQuery<ListQuery>,
) -> Result<Response, Problem> {
    let limit = pagination::limit(query.limit)?;
    let after = pagination::cursor(query.after.as_deref())?;
    let conditions = room.app.conditions();
    let found = room.app.read(|state| {
        let network = state.network(topology.as_str())?;
        let later = network.topology().links().filter(|(ix, _)| after.is_none_or(|after| u64::from(ix.0) > after));
        let list = if query.allocations { AllocationList::Listed } else { AllocationList::Counted };
        let document =
            |ix, link| own_alone(&room, state, render::link(network, ix, link, conditions.link(&topology, ix), list));
        if let Some(order) = query.sort {
            let from = after.and_then(|after| usize::try_from(after).ok()).unwrap_or(0);
            let page = order.sorted(network).into_iter().enumerate().skip(from).take(limit + 1);
            let page = page.filter_map(|(at, ix)| Some((at as u64 + 1, document(ix, network.topology().link(ix)?))));
            return Some(page.collect::<Vec<_>>());
        }
        let page = later.take(limit + 1).map(|(ix, link)| (u64::from(ix.0), document(ix, link)));
        Some(page.collect::<Vec<_>>())
    });
    let mut found = found.ok_or_else(|| unknown(&topology))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(cursor, _)| cursor.to_string());
    let page = LinkPage { items: found.into_iter().map(|(_, link)| link).collect(), next };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// Reads a link, with what is booked on it.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/links/{link}",
    tag = "topologies",
    summary = "Read a link with what is booked on it",
    params(
        ("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255),
        ("link" = String, Path, description = "Which", min_length = 1, max_length = 255),
    ),
    responses((status = 200, description = "The link", body = LinkDocument), BadRequest, NotFound, InternalError)
)]
pub(super) async fn link_get(
    room: Room,
    FromPath(names): FromPath<(StoredName, StoredName)>,
) -> Result<Response, Problem> {
    let (StoredName(topology), StoredName(name)) = names;
    let conditions = room.app.conditions();
    let link = room.app.read(|state| {
        let network = state.network(topology.as_str()).ok_or_else(|| unknown(&topology))?;
        let ix = network.topology().link_named(name.as_str());
        let found = ix.and_then(|ix| Some((ix, network.topology().link(ix)?)));
        let (ix, link) = found.ok_or_else(|| Problem::from(no_link(&topology, &name)))?;
        let report = conditions.link(&topology, ix);
        Ok::<_, Problem>(own_alone(&room, state, render::link(network, ix, link, report, AllocationList::Listed)))
    });
    Ok(json(&link?))
}

/// A link without the allocations of others than the caller's tenant.
fn own_alone(room: &Room, state: &KernelState, mut link: LinkDocument) -> LinkDocument {
    if let Some(own) = room.own_tenant() {
        link.figures.allocations.retain(|id| {
            let living = id.parse().ok().and_then(|id| state.allocation(AllocationId(id)));
            living.is_some_and(|living| living.demand.attributes.tenant.as_ref() == Some(own))
        });
    }
    link
}

fn no_link(topology: &Name, name: &Name) -> Refusal {
    Refusal::UnknownLink { name: name.clone(), topology: topology.clone() }
}

/// Changes a link.
///
/// Taking a link down sends its allocations elsewhere, the best class first, and ends those that have nowhere to go.
/// Maintenance drains it: allocations without another path stay, and are listed in `stranded`.
#[utoipa::path(
    patch,
    path = "/v1/topologies/{topology}/links/{link}",
    tag = "topologies",
    summary = "Change a link",
    params(
        ("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255),
        ("link" = String, Path, description = "Which", min_length = 1, max_length = 255),
        DryRunQuery,
    ),
    request_body(content = LinkRequest, description = "What is to change", example = json!({"state": "down"})),
    responses(
        (status = 200, description = "The link as it is now, or would be, and what that did", body = LinkOutcome),
        BadRequest, Forbidden, NotFound, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn link_change(
    room: Room,
    FromPath(names): FromPath<(StoredName, StoredName)>,
    FromQuery(query): FromQuery<DryRunQuery>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (StoredName(topology), StoredName(name)) = names;
    let change = parse::link_change(body.read::<LinkRequest>()?)?;
    let command = Command::ChangeLink { topology: topology.clone(), link: name.clone(), change };
    let fact = room.submit(command, query.mode()).await?;
    let Event::LinkChanged { links, displaced, stranded, .. } = &fact.event else {
        return Err(error::unexpected(&fact));
    };
    let Some((_, link)) = links.iter().find(|(_, link)| link.name == name) else {
        return Err(error::unexpected(&fact));
    };
    let conditions = room.app.conditions();
    let figures = room.app.read(|state| match query.dry_run.then(|| after(state, &fact)).flatten() {
        Some(after) => figures(&after, &topology, &name, &conditions),
        None => figures(state, &topology, &name, &conditions),
    });
    Ok(json(&LinkOutcome {
        properties: render::properties(&fact.names, link),
        figures: figures.ok_or_else(|| no_link(&topology, &name))?,
        effects: render::effects(displaced, &fact.names),
        links: links.iter().map(|(_, link)| link.name.to_string()).collect(),
        stranded: stranded.iter().map(ToString::to_string).collect(),
        sequence: (!query.dry_run).then_some(fact.sequence.0),
        dry_run: query.dry_run,
    }))
}

/// The state as it would be after an event that was only planned; none if the event does not fit any more.
fn after(state: &KernelState, planned: &Fact) -> Option<KernelState> {
    let mut after = state.clone();
    let recorded = Recorded { sequence: state.sequence().next(), at: planned.at, event: planned.event.clone() };
    apply(&mut after, &recorded).ok()?;
    Some(after)
}

fn figures(state: &KernelState, topology: &Name, name: &Name, conditions: &Conditions) -> Option<LinkFigures> {
    let network = state.network(topology.as_str())?;
    let ix = network.topology().link_named(name.as_str())?;
    let (link, report) = (network.topology().link(ix)?, conditions.link(topology, ix));
    Some(render::figures(network, ix, link, report, AllocationList::Listed))
}
