//! Content by name: which gateways offer it. A consumer that wants a name is sent to them, and needs to know no address
//! before. What must stay true: however many aggregators and topics there are, one request looks at a bounded number.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::OriginalUri;
use axum::http::Uri;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Room;
use super::aggregator::scheduled_here;
use super::extract::FromQuery;
use super::problem::{BadRequest, InternalError, Problem, Unavailable, Unprocessable};
use super::sorting::{self, list_orders};
use super::{pagination, problem_catalogue};
use crate::app::scalars::StoredName;
use api::content::{Offer, OfferPage, OfferedName};
use api::instant::Instant;
use formats::aggregator;
use kernel::id::Name;
use kernel::scheduler::engine::AggregatorView;
use mqtt::codec::topic;

/// How many aggregators one request looks at, at most; the next page goes on after them, and no more are sorted.
const LOOKED_AT_MAX: usize = 10_000;
/// How many at a time.
const LOOKED_AT_ONCE: usize = 500;
/// How many names of one gateway are shown.
const NAMES_MAX: usize = 100;

/// What is looked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ContentQuery {
    /// A name, or an MQTT filter such as plant/+/pressure or plant/#.
    #[param(min_length = 1, max_length = 255, example = "plant/#")]
    name: String,
    /// In which order; with a minus the largest first. Absent: by the gateway's id. The cursor counts then: where an order
    /// changes between two pages, an item may be on both, or on none.
    #[param(nullable = false, inline)]
    sort: Option<OfferOrder>,
    /// How many gateways at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The cursor of the page.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    after: Option<StoredName>,
}

fn page(uri: &Uri, items: Vec<Offer>, after: Option<Name>) -> Response {
    let page = OfferPage { items, next: after.map(|id| id.to_string()) };
    pagination::respond(uri, &page, page.next.as_deref())
}

list_orders! {
    /// The order of gateways.
    OfferOrder of Arc<AggregatorView> {
        Aggregator "aggregator" AggregatorDown "-aggregator" |view| view.id.to_string();
        Topology "topology" TopologyDown "-topology" |view| view.topology.to_string();
        Node "node" NodeDown "-node" |view| view.metadata.node.to_string();
        Heard "heard_at" HeardDown "-heard_at" |view| view.heard_at.0;
    }
}

/// Says which gateways offer a name.
///
/// Content is named, not addressed: look a name up here, then subscribe at the gateways found. A gateway that is `stale`
/// or `lost` has not reported lately and may be gone.
#[utoipa::path(
    get,
    path = "/v1/contents",
    tag = "aggregators",
    summary = "Find the gateways that offer a name",
    params(ContentQuery),
    responses(
        (status = 200, description = "A page of them", body = OfferPage, headers(("Link" = String, description = "rel=\"next\": the next page")), example = json!({
            "items": [{
                "aggregator": "ag1", "url": "http://10.0.0.1:8090", "node": "a", "topology": "net", "state": "fresh",
                "heard_at": "2030-01-01T00:00:00.000Z",
                "names": [{"name": "plant/1/pressure", "qos_level": 2, "arrival_bps": 40_000, "subscribers": 1}],
                "names_total": 1
            }]
        })),
        BadRequest, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn content_list(
    room: Room,
    OriginalUri(uri): OriginalUri,
    FromQuery(query): FromQuery<ContentQuery>,
) -> Result<Response, Problem> {
    scheduled_here(&room)?;
    let limit = pagination::limit(query.limit)?;
    topic::check_filter(&query.name).map_err(|fault| {
        let detail = format!("name is no topic and no topic filter: {fault}");
        Problem::new(&problem_catalogue::MALFORMED_QUERY, detail).with("field", "name")
    })?;
    let mut after = query.after.map(|StoredName(name)| name);
    if let Some(order) = &query.sort {
        let mut offering = room.app.scheduler().aggregators(None, LOOKED_AT_MAX + 1);
        sorting::at_most(LOOKED_AT_MAX, &offering)?;
        offering.retain(|view| {
            view.metadata.topics.iter().any(|report| topic::matches(&query.name, report.topic.as_str()))
        });
        let (views, next) = sorting::page(offering, order, after.as_ref().map(Name::as_str), limit)?;
        let items = views.iter().filter_map(|view| offer(view, &query.name)).collect();
        let page = OfferPage { items, next };
        return Ok(pagination::respond(&uri, &page, page.next.as_deref()));
    }
    let mut items = vec![];
    for _ in 0..LOOKED_AT_MAX / LOOKED_AT_ONCE {
        let views = room.app.scheduler().aggregators(after.as_ref(), LOOKED_AT_ONCE);
        for view in &views {
            if items.len() == limit {
                return Ok(page(&uri, items, after));
            }
            after = Some(view.id.clone());
            items.extend(offer(view, &query.name));
        }
        if views.len() < LOOKED_AT_ONCE {
            return Ok(page(&uri, items, None));
        }
    }
    Ok(page(&uri, items, after))
}

/// What an aggregator offers of a name, if anything.
fn offer(view: &AggregatorView, filter: &str) -> Option<Offer> {
    let metadata = &view.metadata;
    let found = metadata.topics.iter().filter(|report| topic::matches(filter, report.topic.as_str()));
    let mut names = vec![];
    let mut all = BTreeSet::new();
    for report in found {
        all.insert(&report.topic);
        if names.len() < NAMES_MAX {
            names.push(OfferedName {
                name: report.topic.to_string(),
                qos_level: report.level.number(),
                arrival_bps: report.arrival.as_bps(),
                subscribers: report.subscribers.len(),
            });
        }
    }
    (!all.is_empty()).then(|| Offer {
        aggregator: view.id.to_string(),
        url: metadata.presence.url.as_ref().map(Name::to_string),
        node: metadata.node.to_string(),
        topology: view.topology.to_string(),
        state: aggregator::freshness(view.standing),
        heard_at: Instant(view.heard_at.0),
        names,
        names_total: all.len(),
    })
}
