//! Tenants: quotas, and what is held of them.

use std::num::NonZeroU32;

use axum::extract::OriginalUri;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Room;
use super::extract::{FromPath, FromQuery, JsonBody};
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable, Unprocessable,
    UnsupportedMediaType,
};
use super::render::{self, json};
use super::sorting::{self, list_orders};
use super::{error, pagination, parse, problem_catalogue};
use crate::app::Mode;
use crate::app::scalars::StoredName;
use api::tenant::{QuotaDocument, QuotaUse, TenantDocument, TenantPage, TenantRequest};
use formats::aggregator::AggregatorId;
use kernel::command::Command;
use kernel::event::Event;
use kernel::id::Name;
use kernel::tenant::{self, TENANT_WEIGHT_MAX, Tenant, TenantTerms};
use kernel::{Refusal, State as KernelState};

/// Which page of tenants is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// In which order; with a minus the largest first. Absent: by name. The cursor counts then: where an order
    /// changes between two pages, an item may be on both, or on none.
    #[param(nullable = false, inline)]
    sort: Option<TenantOrder>,
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The cursor of the page.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    after: Option<StoredName>,
}

list_orders! {
    /// The order of tenants.
    TenantOrder of TenantDocument {
        Id "id" IdDown "-id" |one| one.id.clone();
        Bandwidth "bandwidth_bps" BandwidthDown "-bandwidth_bps" |one| one.bandwidth_bps;
        Allocations "allocations" AllocationsDown "-allocations" |one| one.allocations;
    }
}

/// Lists tenants, by name or in an order; to whoever is for one, that one.
#[utoipa::path(
    get,
    path = "/v1/tenants",
    tag = "access",
    summary = "List tenants, and what they hold of their quotas",
    params(ListQuery),
    responses(
        (status = 200, description = "A page of them", body = TenantPage, headers(("Link" = String, description = "rel=\"next\": the next page"))),
        BadRequest, InternalError,
    )
)]
pub(super) async fn tenant_list(
    room: Room,
    OriginalUri(uri): OriginalUri,
    FromQuery(query): FromQuery<ListQuery>,
) -> Result<Response, Problem> {
    let limit = pagination::limit(query.limit)?;
    let after = query.after.as_ref().map(|StoredName(name)| name);
    let found: Vec<TenantDocument> = room.app.read(|state| {
        let seen = state.tenants().filter(|tenant| room.sees(Some(&tenant.name)));
        let first = after.filter(|_| query.sort.is_none());
        let seen = seen.filter(|tenant| first.is_none_or(|first| tenant.name > *first));
        let most = if query.sort.is_some() { usize::MAX } else { limit + 1 };
        seen.take(most).map(|tenant| document(state, tenant)).collect()
    });
    let (items, next) = match &query.sort {
        Some(order) => sorting::page(found, order, after.map(Name::as_str), limit)?,
        None => pagination::cut(found, limit, |last| last.id.clone()),
    };
    let page = TenantPage { items, next };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// Reads a tenant, and what it holds.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}",
    tag = "access",
    summary = "Read a tenant, and what it holds of its quotas",
    params(("tenant" = String, Path, description = "Which", min_length = 1, max_length = 255)),
    responses((status = 200, description = "The tenant", body = TenantDocument), BadRequest, NotFound, InternalError)
)]
pub(super) async fn tenant_get(
    room: Room,
    FromPath(StoredName(name)): FromPath<StoredName>,
) -> Result<Response, Problem> {
    let found = room.app.read(|state| {
        let tenant = state.tenant(name.as_str()).filter(|tenant| room.sees(Some(&tenant.name)))?;
        Some(document(state, tenant))
    });
    Ok(json(&found.ok_or(Refusal::UnknownTenant(name))?))
}

/// Makes a tenant, or changes what it is entitled to. A quota that is lower than what is held ends nothing.
#[utoipa::path(
    put,
    path = "/v1/tenants/{tenant}",
    tag = "access",
    summary = "Make a tenant, or change what it is entitled to",
    params(("tenant" = String, Path, description = "What to call it", min_length = 1, max_length = 255)),
    request_body(content = TenantRequest, example = json!({
        "quotas": [{"topology": "nsfnet", "class_type": 2, "max_bandwidth_bps": 2_000_000_000, "max_allocations": 50}],
        "weight": 2, "aggregators": ["plant-1"]
    })),
    responses(
        (status = 200, description = "Changed", body = TenantDocument),
        (status = 201, description = "Made", body = TenantDocument),
        BadRequest, Forbidden, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn tenant_put(
    room: Room,
    FromPath(StoredName(name)): FromPath<StoredName>,
    body: JsonBody,
) -> Result<Response, Problem> {
    parse::name_in_path("tenant", &name)?;
    let terms = read_terms(body.read()?)?;
    let is_new = room.app.read(|state| state.tenant(name.as_str()).is_none());
    let fact = room.submit(Command::PutTenant { name, terms }, Mode::Commit).await?;
    let Event::TenantPut { tenant } = &fact.event else { return Err(error::unexpected(&fact)) };
    let mut response = json(&room.app.read(|state| document(state, tenant)));
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

/// Forgets a tenant that has no allocation, and revokes its tokens: a tenant that has its name later is another.
#[utoipa::path(
    delete,
    path = "/v1/tenants/{tenant}",
    tag = "access",
    summary = "Forget a tenant",
    params(("tenant" = String, Path, description = "Which", min_length = 1, max_length = 255)),
    responses((status = 204, description = "Forgotten"), BadRequest, Forbidden, NotFound, Conflict, InternalError, Unavailable)
)]
pub(super) async fn tenant_delete(
    room: Room,
    FromPath(StoredName(name)): FromPath<StoredName>,
) -> Result<Response, Problem> {
    let command = || Command::DeleteTenant { name: name.clone() };
    room.submit(command(), Mode::DryRun).await?;
    // Before the tenant goes, so that no failure between leaves tokens of one that is gone; and after, for those made between.
    revoke_tokens(&room, &name).await?;
    room.submit(command(), Mode::Commit).await?;
    revoke_tokens(&room, &name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn revoke_tokens(room: &Room, tenant: &Name) -> Result<(), Problem> {
    let Some(tokens) = room.authenticator.tokens() else { return Ok(()) };
    let revoked = tokens.revoke_all_of(tenant).await?;
    if revoked > 0 {
        tracing::info!(by = ?room.caller.actor(), %tenant, revoked, "the access tokens of a tenant were revoked");
    }
    Ok(())
}

fn read_terms(request: TenantRequest) -> Result<TenantTerms, Problem> {
    let TenantRequest { quotas, max_requests_per_s, weight, aggregators } = request;
    let quotas = quotas.into_iter().enumerate().map(|(at, quota)| read_quota(at, quota));
    let aggregators = aggregators.iter().enumerate().map(|(at, id)| {
        let field = || format!("aggregators[{at}]");
        let impossible = |why| Problem::new(&problem_catalogue::IMPOSSIBLE, format!("{}: {why}", field()));
        AggregatorId::new(id).map(|AggregatorId(id)| id).map_err(|error| impossible(error).with("field", field()))
    });
    let weight = weight.map(|weight| within("weight", weight, TENANT_WEIGHT_MAX)).transpose()?;
    Ok(TenantTerms {
        quotas: quotas.collect::<Result<_, _>>()?,
        requests_max_per_s: max_requests_per_s
            .map(|per_s| within("max_requests_per_s", per_s, REQUESTS_MAX_PER_S))
            .transpose()?,
        weight: weight.unwrap_or(NonZeroU32::MIN),
        aggregators: aggregators.collect::<Result<_, _>>()?,
    })
}

/// The highest rate of requests that a tenant may be given.
const REQUESTS_MAX_PER_S: u32 = 1_000_000;

fn within(field: &'static str, value: u32, max: u32) -> Result<NonZeroU32, Problem> {
    NonZeroU32::new(value).filter(|value| value.get() <= max).ok_or_else(|| {
        Problem::new(&problem_catalogue::IMPOSSIBLE, format!("{field} is from 1 to {max}")).with("field", field)
    })
}

fn read_quota(at: usize, quota: QuotaDocument) -> Result<tenant::Quota, Problem> {
    let impossible = |member: &str, detail: &str| {
        let field = format!("quotas[{at}].{member}");
        Problem::new(&problem_catalogue::IMPOSSIBLE, format!("{field}: {detail}")).with("field", field)
    };
    let QuotaDocument { max_bandwidth_bps, max_bandwidth_hops_bps, max_allocations, .. } = quota;
    if max_bandwidth_bps.or(max_bandwidth_hops_bps).or(max_allocations).is_none() {
        return Err(impossible("max_bandwidth_bps", "a quota limits bandwidth, bandwidth on links, or allocations"));
    }
    let allocations_max = quota.max_allocations.map(u32::try_from).transpose();
    Ok(tenant::Quota {
        topology: quota
            .topology
            .as_deref()
            .map(Name::new)
            .transpose()
            .map_err(|_| impossible("topology", "no name"))?,
        class_type: quota.class_type.map(|number| parse::class_type(Some(number), None)).transpose()?,
        bandwidth_max: quota.max_bandwidth_bps.map(|bps| parse::bandwidth("max_bandwidth_bps", bps)).transpose()?,
        bandwidth_hops_max: max_bandwidth_hops_bps
            .map(|bps| parse::bandwidth("max_bandwidth_hops_bps", bps))
            .transpose()?,
        allocations_max: allocations_max.map_err(|_| impossible("max_allocations", "too many"))?,
    })
}

fn document(state: &KernelState, tenant: &Tenant) -> TenantDocument {
    let all = state.usage_of(&tenant.name, None, None);
    let quotas = tenant.terms.quotas.iter().map(|quota| {
        let held = state.usage_of(&tenant.name, quota.topology.as_ref(), quota.class_type);
        QuotaUse {
            quota: render::quota(quota),
            held_bandwidth_bps: held.bandwidth_bps,
            held_bandwidth_hops_bps: u64::try_from(held.bandwidth_hops_bps).unwrap_or(u64::MAX),
            held_allocations: held.allocations,
        }
    });
    TenantDocument {
        id: tenant.name.to_string(),
        quotas: quotas.collect(),
        max_requests_per_s: tenant.terms.requests_max_per_s.map(NonZeroU32::get),
        weight: tenant.terms.weight.get(),
        aggregators: tenant.terms.aggregators.iter().map(ToString::to_string).collect(),
        bandwidth_bps: all.bandwidth_bps,
        allocations: all.allocations,
    }
}
