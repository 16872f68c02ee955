//! Lists of allocations: those that live from the state, those that are over from the journal, in one order by id.

use std::sync::Arc;

use axum::extract::OriginalUri;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::access::Room;
use super::extract::FromQuery;
use super::own_feed;
use super::problem::{BadRequest, InternalError, Problem, Unavailable, Unprocessable};
use super::render;
use super::{pagination, problem_catalogue};
use crate::app::scalars::StoredName;
use crate::app::{AnnotationFilter, Condition, Conditions, Past, PastFilter};
use api::allocation::{AllocationDocument, AllocationPage, AllocationState};
use api::instant::Instant;
use kernel::allocation::{Allocation, EndCause};
use kernel::annotation::AnnotationField;
use kernel::class::ClassType;
use kernel::id::{AllocationId, LinkIx, Name};
use kernel::preemption_notice::PreemptionNotice;
use kernel::state::Network;
use kernel::units::Millis;
use kernel::{Names, State as KernelState};

/// How many living allocations one request looks at, so that the writer does not wait for long. A page may be short for
/// it; its cursor says where to go on.
const SCANNED_MAX: usize = 100_000;

/// Which allocations are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// In this topology.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    topology: Option<StoredName>,
    /// In this state; absent: in any, living or ended.
    #[param(nullable = false)]
    state: Option<AllocationState>,
    /// Of this class type.
    #[param(nullable = false, maximum = 7)]
    class_type: Option<u8>,
    /// That enter at this node.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    ingress: Option<StoredName>,
    /// That leave at this node.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    egress: Option<StoredName>,
    /// Whose path, or backup path, has this link.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    link: Option<StoredName>,
    /// That this aggregator asked for.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    aggregator: Option<StoredName>,
    /// For this tenant.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    tenant: Option<StoredName>,
    /// That are called so; before a trailing `*`, whose name begins so. Upper and lower case differ.
    #[param(nullable = false, example = "ACME*")]
    name: Option<String>,
    /// Of this customer; the beginning before a trailing `*`.
    #[param(nullable = false)]
    customer: Option<String>,
    /// Of those that ask for protection and live: with their backup path (`true`), or without it (`false`).
    #[param(nullable = false)]
    protected: Option<bool>,
    /// Of those that a booking will preempt or devolve, as far as that is foreseen: after this instant.
    #[param(nullable = false, value_type = Option<String>, format = DateTime)]
    preempted_after: Option<Instant>,
    /// Of those that a booking will preempt or devolve, as far as that is foreseen: before this instant.
    #[param(nullable = false, value_type = Option<String>, format = DateTime)]
    preempted_before: Option<Instant>,
    /// In which order; with a minus the largest or newest first. Absent: by id. Only of allocations that live, where no more
    /// than 100,000 have to be looked at: all that live, or those of `link`. The cursor counts then: what comes or goes between
    /// two pages shifts them.
    #[param(nullable = false, inline)]
    sort: Option<AllocationOrder>,
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The cursor of the page.
    #[param(nullable = false, pattern = "^[0-9]{1,18}$")]
    after: Option<String>,
}

/// The order of allocations.
#[derive(Deserialize, ToSchema, Clone, Copy)]
enum AllocationOrder {
    #[serde(rename = "bandwidth_bps")]
    Bandwidth,
    #[serde(rename = "-bandwidth_bps")]
    BandwidthDown,
    #[serde(rename = "created_at")]
    Created,
    #[serde(rename = "-created_at")]
    CreatedDown,
    #[serde(rename = "updated_at")]
    Updated,
    #[serde(rename = "-updated_at")]
    UpdatedDown,
}

impl AllocationOrder {
    fn sort(self, found: &mut [(Arc<Allocation>, Names)]) {
        let is_down = matches!(self, Self::BandwidthDown | Self::CreatedDown | Self::UpdatedDown);
        // Turned round twice, those that are equal keep their order.
        if is_down {
            found.reverse();
        }
        match self {
            Self::Bandwidth | Self::BandwidthDown => found.sort_by_key(|(one, _)| one.demand.bandwidth),
            Self::Created | Self::CreatedDown => found.sort_by_key(|(one, _)| one.created_at),
            Self::Updated | Self::UpdatedDown => found.sort_by_key(|(one, _)| one.updated_at),
        }
        if is_down {
            found.reverse();
        }
    }
}

/// Lists allocations, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/allocations",
    tag = "allocations",
    summary = "List allocations, living and ended",
    params(ListQuery),
    responses(
        (status = 200, description = "A page of them", body = AllocationPage, headers(("Link" = String, description = "rel=\"next\": the next page"))),
        BadRequest, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn allocation_list(
    room: Room,
    OriginalUri(uri): OriginalUri,
    FromQuery(query): FromQuery<ListQuery>,
) -> Result<Response, Problem> {
    let limit = pagination::limit(query.limit)?;
    let after = pagination::cursor(query.after.as_deref())?.map(AllocationId);
    let own = room.own_tenant();
    if let (Some(own), Some(StoredName(asked))) = (own, &query.tenant)
        && own != asked
    {
        return Ok(pagination::respond(&uri, &AllocationPage { items: vec![], next: None }, None));
    }
    let filter = query.filter(own)?;
    let conditions = room.app.conditions();
    if let Some(order) = query.sort {
        let page = sorted(&room, &query, &filter, order, after.map_or(0, |after| after.0), limit)?;
        return Ok(pagination::respond(&uri, &page, page.next.as_deref()));
    }
    // First those that live: one that ends in between is found twice then, and not never.
    let living = match filter.cause {
        Some(_) => LivePage::default(),
        None => room.app.read(|state| living(state, &query, &filter, &conditions, after, limit + 1)),
    };
    let is_of_living = query.protected.is_some() || query.is_of_notice();
    let past = if !is_of_living && query.state.is_none_or(|state| end_of(state).is_some()) {
        let most = u32::try_from(limit + 1).unwrap_or(u32::MAX);
        room.app.past(&filter, after, most).await?
    } else {
        vec![]
    };
    let (found, next) = merge(living, past, limit, &conditions);
    let items = found.iter().map(|one| one.document(&room)).collect();
    let page = AllocationPage { items, next: next.map(|id| id.to_string()) };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// A page of living allocations in an order; the cursor is how many came before.
fn sorted(
    room: &Room,
    query: &ListQuery,
    filter: &PastFilter,
    order: AllocationOrder,
    from: u64,
    limit: usize,
) -> Result<AllocationPage, Problem> {
    let impossible = |detail| Err(Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", "sort"));
    if filter.cause.is_some() {
        return impossible("allocations that are over are listed by id alone");
    }
    let conditions = room.app.conditions();
    let mut living = room.app.read(|state| living(state, query, filter, &conditions, None, SCANNED_MAX + 1));
    if living.seen_until.is_some() || living.found.len() > SCANNED_MAX {
        return impossible("more than 100000 allocations would have to be looked at: name a link, or list by id");
    }
    order.sort(&mut living.found);
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let (all, next) = (living.found.len(), from.saturating_add(limit));
    let page = living.found.iter().skip(from).take(limit);
    let items = page.map(|(one, names)| living_document(room, one, names, conditions.of(one)));
    Ok(AllocationPage { items: items.collect(), next: (next < all).then(|| next.to_string()) })
}

impl ListQuery {
    /// Whether those are wanted alone that have notice of preemption.
    fn is_of_notice(&self) -> bool {
        self.preempted_after.is_some() || self.preempted_before.is_some()
    }

    fn is_noticed(&self, notice: Option<PreemptionNotice>) -> bool {
        let is_after = |at: Millis| self.preempted_after.is_none_or(|after| after.0 < at.0);
        let is_before = |at: Millis| self.preempted_before.is_none_or(|before| at.0 < before.0);
        !self.is_of_notice() || notice.is_some_and(|notice| is_after(notice.at) && is_before(notice.at))
    }

    /// What is wanted; of a caller who is for a tenant, its own alone.
    fn filter(&self, own: Option<&Name>) -> Result<PastFilter, Problem> {
        let class_type = self.class_type.map(|number| {
            ClassType::new(number).ok_or_else(|| {
                let detail = format!("class_type is {number}, not within 0 to 7");
                Problem::new(&problem_catalogue::MALFORMED_QUERY, detail).with("field", "class_type")
            })
        });
        let name = |key: &Option<StoredName>| key.as_ref().map(|key| key.0.clone());
        Ok(PastFilter {
            topology: name(&self.topology),
            cause: self.state.and_then(end_of),
            class_type: class_type.transpose()?,
            ingress: name(&self.ingress),
            egress: name(&self.egress),
            link: name(&self.link),
            aggregator: name(&self.aggregator),
            tenant: own.cloned().or_else(|| name(&self.tenant)),
            annotations: [(AnnotationField::Name, &self.name), (AnnotationField::Customer, &self.customer)]
                .into_iter()
                .filter_map(|(field, wanted)| Some(AnnotationFilter::new(field, wanted.as_deref()?)))
                .collect(),
        })
    }
}

/// Why allocations in this state are over, if they are.
fn end_of(state: AllocationState) -> Option<EndCause> {
    Some(match state {
        AllocationState::Held
        | AllocationState::Scheduled
        | AllocationState::Installing
        | AllocationState::Active
        | AllocationState::Rerouting
        | AllocationState::Degraded => return None,
        AllocationState::Released => EndCause::Released,
        AllocationState::Expired => EndCause::Expired,
        AllocationState::Preempted => EndCause::Preempted,
        AllocationState::Devolved => EndCause::Devolved,
        AllocationState::Failed => EndCause::Failed,
    })
}

/// Living allocations that were found.
#[derive(Default)]
struct LivePage {
    found: Vec<(Arc<Allocation>, Names)>,
    /// The last allocation that was looked at.
    seen_until: Option<AllocationId>,
}

fn living(
    state: &KernelState,
    query: &ListQuery,
    filter: &PastFilter,
    conditions: &Conditions,
    after: Option<AllocationId>,
    most: usize,
) -> LivePage {
    let mut living = LivePage::default();
    let mut scan = |allocation: &Arc<Allocation>| {
        if let Some(network) = state.network(allocation.demand.topology.as_str())
            && matches(allocation, network, filter)
            && query.protected.is_none_or(|wanted| is_protected(allocation) == Some(wanted))
            && query.is_noticed(conditions.notices().of(allocation.id))
            && query
                .state
                .is_none_or(|state| state == render::living_state(allocation, conditions.of(allocation).state))
        {
            living.found.push((Arc::clone(allocation), Names::of(network.topology())));
        }
        living.found.len() < most
    };
    if query.is_of_notice() && filter.link.is_none() {
        let ids = conditions.notices().iter().map(|(id, _)| id).filter(|id| after.is_none_or(|after| *id > after));
        ids.filter_map(|id| state.allocation(id)).all(&mut scan);
        return living;
    }
    if filter.link.is_some() {
        let ids = on_link(state, filter, after);
        ids.iter().filter_map(|id| state.allocation(*id)).all(&mut scan);
        return living;
    }
    for (count, allocation) in state.allocations_after(after).enumerate() {
        if count == SCANNED_MAX {
            living.seen_until = Some(AllocationId(allocation.id.0.saturating_sub(1)));
            break;
        }
        if !scan(allocation) {
            break;
        }
    }
    living
}

/// Who is on the links of that name, oldest first.
fn on_link(state: &KernelState, filter: &PastFilter, after: Option<AllocationId>) -> Vec<AllocationId> {
    let wanted = state.networks().filter(|(name, _)| filter.topology.as_ref().is_none_or(|topology| topology == *name));
    let links = wanted.filter_map(|(_, network)| Some((network, link_of(network, filter)?)));
    let ids =
        links.flat_map(|(network, link)| network.ledger().on_link(link).chain(network.ledger().booked_ahead(link)));
    let mut ids: Vec<_> = ids.filter(|id| after.is_none_or(|after| *id > after)).collect();
    ids.sort_unstable();
    ids
}

fn link_of(network: &Network, filter: &PastFilter) -> Option<LinkIx> {
    network.topology().link_named(filter.link.as_ref()?.as_str())
}

fn matches(allocation: &Allocation, network: &Network, filter: &PastFilter) -> bool {
    let topology = network.topology();
    let is_node = |wanted: &Option<_>, ix| {
        let wanted = wanted.as_ref().map(kernel::id::Name::as_str);
        wanted.is_none_or(|name| topology.node_named(name) == Some(ix))
    };
    filter.topology.as_ref().is_none_or(|name| *name == allocation.demand.topology)
        && filter.class_type.is_none_or(|class_type| class_type == allocation.demand.class_type)
        && filter.aggregator.as_ref().is_none_or(|name| allocation.demand.attributes.aggregator.as_ref() == Some(name))
        && filter.tenant.as_ref().is_none_or(|name| allocation.demand.attributes.tenant.as_ref() == Some(name))
        && filter.annotations.iter().all(|one| one.matches(&allocation.demand.attributes.annotations))
        && is_node(&filter.ingress, allocation.demand.ingress)
        && is_node(&filter.egress, allocation.demand.egress)
}

/// Whether an allocation has its backup path; nothing of one that asks for none.
fn is_protected(allocation: &Allocation) -> Option<bool> {
    allocation.demand.attributes.protection.map(|_| !allocation.is_unprotected())
}

/// One that was found.
enum ListedAllocation {
    Living(Arc<Allocation>, Names, Condition),
    Past(Past),
}

impl ListedAllocation {
    fn id(&self) -> AllocationId {
        match self {
            Self::Living(allocation, ..) => allocation.id,
            Self::Past(past) => past.allocation.id,
        }
    }

    fn document(&self, room: &Room) -> AllocationDocument {
        match self {
            Self::Living(allocation, names, condition) => living_document(room, allocation, names, condition.clone()),
            Self::Past(past) => render::past_allocation(past),
        }
    }
}

fn living_document(room: &Room, allocation: &Allocation, names: &Names, condition: Condition) -> AllocationDocument {
    let mut document = render::allocation(allocation, names, condition);
    own_feed::cut_preemptor(room, &mut document.preempted_by);
    document
}

/// Both in one order, each once, as far as both were looked at; and where to go on, if there may be more.
fn merge(
    living: LivePage,
    past: Vec<Past>,
    limit: usize,
    conditions: &Conditions,
) -> (Vec<ListedAllocation>, Option<AllocationId>) {
    let mut found: Vec<ListedAllocation> = past.into_iter().map(ListedAllocation::Past).collect();
    for (allocation, names) in living.found {
        let condition = conditions.of(&allocation);
        found.push(ListedAllocation::Living(allocation, names, condition));
    }
    // Stable: of two with one id, the end comes first and stays.
    found.sort_by_key(ListedAllocation::id);
    found.dedup_by_key(|one| one.id());
    if let Some(until) = living.seen_until {
        found.retain(|one| one.id() <= until);
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next = if more { found.last().map(ListedAllocation::id) } else { living.seen_until };
    (found, next)
}
