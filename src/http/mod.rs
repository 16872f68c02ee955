//! Speech: the REST interface. A handler parses, submits and renders; nothing is decided here. The door is [`router`];
//! [`document`] is the OpenAPI document of what it serves, made from the same declarations.
//!
//! What must stay true: every answer that is not a success is an RFC 9457 problem of a kind in the table `kind`.
#![expect(unused_qualifications, reason = "utoipa::path writes the types of its parameters as super::Type")]

mod middleware;
mod access;
mod request_rate;

mod aggregator;
mod allocation;
mod allocation_list;
mod batch;
mod broker;
mod content_lookup;
mod controller;
mod dashboard;
mod event;
mod failure_study;
mod headroom;
mod availability;
mod health;
mod layout;
mod link;
mod maintenance;
mod link_history;
mod model;
mod optimization;
mod proposed_plans;
mod path;
mod pages;
mod session;
mod tenant;
mod token;
mod topology;
mod what_if;

mod error;
mod examples;
mod extract;
mod fields;
mod idempotency;
mod problem_catalogue;
mod pagination;
mod sorting;
mod openapi_postprocess;
mod problem;
mod event_sse;
mod own_feed;
mod parse;
mod render;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, Fact};
use crate::auth::Authenticator;
use api::event::EventDocument;
use api::outbound::OutboundNetworks;
use api::own_hosts::OwnHosts;
use formats;
use mqtt::Broker;

pub use access::Peer;
pub use aggregator::{rejected_report, unreadable_report};

use idempotency::InFlight;

/// The longest body, where it is not a topology.
pub const BODY_MAX_BYTES: usize = 1 << 20;

/// What the room speaks for.
#[derive(Clone)]
pub struct Context {
    /// By which the state is reached.
    pub app: App,
    /// Of this program.
    pub version: &'static str,
    /// Who is let in.
    pub authenticator: Authenticator,
    /// Which hosts it answers for.
    pub own_hosts: OwnHosts,
    /// The networks that controllers may be in.
    pub controller_networks: OutboundNetworks,
    /// The MQTT broker that operators look at; `None`: there is none.
    pub broker: Option<Broker>,
    /// What is served beside the interface, under the same rules.
    pub beside: Router,
}

impl Context {
    /// Without a broker or anything beside the interface, under any host name, for everybody.
    pub fn new(app: App, version: &'static str) -> Self {
        let (authenticator, own_hosts) = (Authenticator::default(), OwnHosts::default());
        let controller_networks = OutboundNetworks::default();
        Self { app, version, authenticator, own_hosts, controller_networks, broker: None, beside: Router::new() }
    }
}

/// What every handler has at hand. It is cloned for each request.
#[derive(Clone)]
struct ApiState(Arc<ApiParts>);

impl Deref for ApiState {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.0
    }
}

struct ApiParts {
    app: App,
    version: &'static str,
    authenticator: Authenticator,
    /// What a proxy has put in front of paths.
    prefix: Arc<str>,
    controller_networks: OutboundNetworks,
    in_flight: InFlight,
    layouts: layout::Layouts,
    broker: Option<Broker>,
    plans: proposed_plans::ProposedPlans,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Watermaster",
        description = "A bandwidth allocator for an SDN backbone. Quantities are integers, with their unit last in the \
            name; ids are strings; times are RFC 3339 in UTC. Every GET that answers JSON takes `fields`, a list of \
            names such as `fields=id,bandwidth_bps`: of the answer, or of each item of a list, it has those members alone. \
            Errors are RFC 9457 problems; their types are pages of \
            this server.",
    ),
    components(schemas(
        api::problem::ProblemDocument,
        api::topology::MissingCapacity,
        api::topology::ExportFormat
    )),
    tags(
        (name = "topologies", description = "Networks, their links and their bandwidth models"),
        (name = "allocations", description = "Bandwidth requests and what became of them"),
        (name = "aggregators", description = "What aggregators of the edge report and may send"),
        (name = "controllers", description = "SDN controllers, through which switches are reached"),
        (name = "broker", description = "The MQTT broker: clients, sessions, retained messages"),
        (name = "events", description = "What happened, in order"),
        (name = "access", description = "Who may do what"),
        (name = "service", description = "Probes"),
    )
)]
struct Declared;

/// Everything that is served.
pub fn router(context: Context) -> Router {
    let authenticator = context.authenticator.clone();
    let page = dashboard::router(authenticator.page_client().map(|client| client.issuer.as_str()));
    let room = ApiState(Arc::new(ApiParts {
        app: context.app,
        version: context.version,
        authenticator: context.authenticator,
        prefix: Arc::clone(context.own_hosts.prefix()),
        controller_networks: context.controller_networks,
        in_flight: InFlight::default(),
        layouts: layout::Layouts::default(),
        broker: context.broker,
        plans: proposed_plans::ProposedPlans::default(),
    }));
    let (routes, document) = routes().split_for_parts();
    let guard = access::Guard::new(Some(room.app.clone()), authenticator, &document);
    let fields = fields::AnswerFields::new(&document);
    let pages = pages::router(&openapi_postprocess::polish(document)).merge(page);
    assemble((routes, fields), context.beside, guard, pages, context.own_hosts).with_state(room)
}

/// What operators are served by a broker without a service around it.
pub fn broker_router(broker: Broker, authenticator: Authenticator, own_hosts: OwnHosts, beside: Router) -> Router {
    let (routes, document) = broker::routes().split_for_parts();
    let guard = access::Guard::new(None, authenticator, &document);
    let fields = fields::AnswerFields::new(&document);
    assemble((routes, fields), beside, guard, Router::new(), own_hosts).with_state(broker::BrokerState(Some(broker)))
}

/// Operations and what is served beside them behind the gate, pages without it, and what every request passes.
fn assemble<S: Clone + Send + Sync + 'static>(
    (routes, fields): (Router<S>, fields::AnswerFields),
    beside: Router,
    guard: access::Guard,
    pages: Router<S>,
    own_hosts: OwnHosts,
) -> Router<S> {
    routes
        .merge(beside.with_state(()))
        .route_layer(from_fn_with_state((Arc::new(guard), fields), gate))
        .merge(pages)
        .route("/problems/{slug}", get(pages::problem_page))
        .fallback(pages::not_found)
        .method_not_allowed_fallback(pages::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn_with_state(Arc::new(own_hosts), middleware::pass))
}

/// One layer for two, since each is a future of its own for every request.
async fn gate(
    State((guard, fields)): State<(Arc<access::Guard>, fields::AnswerFields)>,
    request: Request,
    next: Next,
) -> Response {
    match access::admit(&guard, request).await {
        Ok(request) => fields::select(&fields, request, next).await,
        Err(problem) => problem.into_response(),
    }
}

/// An event as the interface has it.
pub fn event_document(fact: &Fact) -> EventDocument {
    render::event(fact)
}

/// The OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    openapi_postprocess::polish(routes().split_for_parts().1)
}

fn routes() -> OpenApiRouter<ApiState> {
    let uploads = OpenApiRouter::new()
        .routes(routes!(topology::topology_get, topology::topology_put, topology::topology_delete))
        .layer(DefaultBodyLimit::max(formats::INPUT_MAX_BYTES));
    let reports = OpenApiRouter::new()
        .routes(routes!(aggregator::aggregator_report))
        .layer(DefaultBodyLimit::max(api::aggregator::METADATA_MAX_BYTES));
    OpenApiRouter::with_openapi(Declared::openapi())
        .merge(uploads)
        .merge(reports)
        .routes(routes!(aggregator::aggregator_list))
        .routes(routes!(aggregator::aggregator_get))
        .routes(routes!(aggregator::aggregator_rates))
        .routes(routes!(aggregator::aggregator_history))
        .routes(routes!(aggregator::aggregator_rates_stream))
        .routes(routes!(content_lookup::content_list))
        .routes(routes!(topology::topology_list))
        .routes(routes!(layout::topology_layout))
        .routes(routes!(link::link_list))
        .routes(routes!(link::link_get, link::link_change))
        .routes(routes!(maintenance::maintenance_list, maintenance::maintenance_create))
        .routes(routes!(maintenance::maintenance_get, maintenance::maintenance_delete))
        .routes(routes!(link_history::link_history))
        .routes(routes!(link_history::topology_history))
        .routes(routes!(model::model_get, model::model_put))
        .routes(routes!(path::path_compute))
        .routes(routes!(headroom::headroom_get))
        .routes(routes!(availability::availability_create))
        .routes(routes!(failure_study::failure_study_create))
        .routes(routes!(optimization::optimization_list, optimization::optimization_create))
        .routes(routes!(optimization::optimization_get))
        .routes(routes!(optimization::optimization_apply))
        .routes(routes!(allocation_list::allocation_list, allocation::allocation_create))
        .routes(routes!(batch::allocation_batch))
        .routes(routes!(allocation::allocation_get, allocation::allocation_update, allocation::allocation_release))
        .routes(routes!(allocation::allocation_commit))
        .routes(routes!(tenant::tenant_list))
        .routes(routes!(tenant::tenant_get, tenant::tenant_put, tenant::tenant_delete))
        .routes(routes!(controller::controller_list))
        .routes(routes!(controller::controller_get, controller::controller_put, controller::controller_delete))
        .routes(routes!(controller::controller_survey))
        .merge(broker::routes())
        .routes(routes!(event::event_list))
        .routes(routes!(event::event_stream))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(token::token_list, token::token_create))
        .routes(routes!(token::token_revoke))
        .routes(routes!(session::sign_in_get))
        .routes(routes!(session::session_get, session::session_begin, session::session_end))
}
