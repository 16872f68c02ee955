//! The network by the client: topologies, links, bandwidth models, controllers, and the aggregators on it.

use reqwest::Method;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH};

use super::{
    ANSWER_MAX, ANSWER_MAX_BYTES, Client, ClientError, Effect, Page, PageRequest, checked, dry_run, json, read,
};
use crate::aggregator::{Aggregator, AggregatorHistory};
use crate::availability::{AvailabilityAnswer, AvailabilityRequest};
use crate::bandwidth_model::{BandwidthModelDocument, BandwidthModelInForce, BandwidthModelOutcome};
use crate::controller::{ControllerDocument, ControllerPage, ControllerRequest, ControllerRules};
use crate::failure_study::{FailureStudyAnswer, FailureStudyRequest};
use crate::instant::Instant;
use crate::link::{LinkDocument, LinkOutcome, LinkPage, LinkRequest};
use crate::link_history::{LinkHistoryAnswer, TopologyHistoryAnswer};
use crate::maintenance::{MaintenanceDocument, MaintenanceOutcome, MaintenancePage, MaintenanceRequest};
use crate::optimization::{
    OptimizationAnswer, OptimizationApplied, OptimizationPage, OptimizationRequest, PlanApplyRequest,
};
use crate::path::HeadroomAnswer;
use crate::tenant::{TenantDocument, TenantPage, TenantRequest};
use crate::topology::{MissingCapacity, TopologyDocument, TopologyFormat, TopologyOutcome, TopologyPage};

/// How a topology is uploaded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Upload {
    /// The format, where it is not to be recognised.
    pub format: Option<TopologyFormat>,
    /// The capacity of links that have none.
    pub default_capacity_bps: Option<u64>,
    /// What becomes of links that have no capacity.
    pub on_missing_capacity: Option<MissingCapacity>,
    /// Which network, of a file that holds several.
    pub network: Option<String>,
    /// Whether allocations that do not fit are rerouted, and fail without another path.
    pub evict: bool,
    /// The revision that is replaced, as it was answered; absent: whichever is there, if there is one.
    pub revision: Option<String>,
    /// Whether it is to happen.
    pub effect: Effect,
}

/// What becomes of living allocations for which another bandwidth model has no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ModelTransition {
    /// They are rerouted, preempted or devolved at once.
    #[default]
    Hard,
    /// They stay until they end by themselves.
    Soft,
}

impl Client {
    /// Uploads a topology of any format that is read, or a new revision of one.
    ///
    /// # Errors
    /// It cannot be read, or allocations do not fit it.
    pub async fn topology_put(&self, name: &str, file: Vec<u8>, how: &Upload) -> Result<TopologyOutcome, ClientError> {
        let mut query = dry_run(how.effect);
        query.extend(how.format.map(|format| ("format", format.to_string())));
        query.extend(how.default_capacity_bps.map(|bps| ("default_capacity_bps", bps.to_string())));
        query.extend(how.on_missing_capacity.map(|what| ("on_missing_capacity", what.to_string())));
        query.extend(how.network.iter().map(|network| ("network", network.clone())));
        query.extend(how.evict.then(|| ("evict", "true".to_owned())));
        let mut headers = HeaderMap::new();
        if how.effect == Effect::Real
            && let Some(revision) = self.revision(name, how).await?
        {
            headers.insert(IF_MATCH, revision);
        }
        let url = self.url(&["v1", "topologies", name], &query);
        let mut request = self.http.put(url).headers(headers).timeout(ANSWER_MAX);
        request = request.header(CONTENT_TYPE, "application/octet-stream").body(file);
        read(checked(request.send().await?, ANSWER_MAX_BYTES).await?).await
    }

    /// What If-Match has to say, if there is something to be replaced.
    async fn revision(&self, name: &str, how: &Upload) -> Result<Option<HeaderValue>, ClientError> {
        if let Some(revision) = &how.revision {
            let value = HeaderValue::from_str(&format!("\"{}\"", revision.trim_matches('"')));
            return value.map(Some).map_err(|_| ClientError::Header { header: "If-Match" });
        }
        let url = self.url(&["v1", "topologies", name], &[]);
        match self.send(Method::GET, url, HeaderMap::new(), None).await {
            Ok(answer) => Ok(answer.headers().get(ETAG).cloned()),
            Err(ClientError::Refused(problem)) if problem.status == StatusCode::NOT_FOUND.as_u16() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A page of topologies, by name unless said otherwise.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn topology_list(&self, page: PageRequest<'_>) -> Result<TopologyPage, ClientError> {
        self.get(self.url(&["v1", "topologies"], &page.query())).await
    }

    /// A page of a topology's links, without who is on them.
    ///
    /// # Errors
    /// There is no such topology, or the service does not answer.
    pub async fn link_list(&self, topology: &str, page: PageRequest<'_>) -> Result<LinkPage, ClientError> {
        let mut query = page.query();
        query.push(("allocations", "false".to_owned()));
        self.get(self.url(&["v1", "topologies", topology, "links"], &query)).await
    }

    /// What a link had from one time to another, in periods of `step_ms` milliseconds; absent: as the service has it.
    ///
    /// # Errors
    /// There is no such link, or there would be too many periods.
    pub async fn link_history(
        &self,
        topology: &str,
        link: &str,
        (from, to): (Option<Instant>, Option<Instant>),
        step_ms: Option<u64>,
    ) -> Result<LinkHistoryAnswer, ClientError> {
        let times = [("from", from), ("to", to)].into_iter().filter_map(|(key, at)| Some((key, at?.to_string())));
        let query: Vec<_> = times.chain(step_ms.map(|ms| ("step_ms", ms.to_string()))).collect();
        self.get(self.url(&["v1", "topologies", topology, "links", link, "history"], &query)).await
    }

    /// The links of a topology as they were at an instant; absent: at the last one that was sampled.
    ///
    /// # Errors
    /// There is no such topology, or nothing is known of that time.
    pub async fn topology_history(
        &self,
        topology: &str,
        at: Option<Instant>,
    ) -> Result<TopologyHistoryAnswer, ClientError> {
        let query: Vec<_> = at.map(|at| ("at", at.to_string())).into_iter().collect();
        self.get(self.url(&["v1", "topologies", topology, "history"], &query)).await
    }

    /// Changes a link.
    ///
    /// # Errors
    /// There is no such link, or the change makes none.
    pub async fn link_change(
        &self,
        topology: &str,
        link: &str,
        change: &LinkRequest,
        effect: Effect,
    ) -> Result<LinkOutcome, ClientError> {
        let url = self.url(&["v1", "topologies", topology, "links", link], &dry_run(effect));
        read(self.send(Method::PATCH, url, HeaderMap::new(), Some(json(change)?)).await?).await
    }

    /// A page of what maintenance is planned for a topology.
    ///
    /// # Errors
    /// There is no such topology, or the service does not answer.
    pub async fn maintenance_list(
        &self,
        topology: &str,
        page: PageRequest<'_>,
    ) -> Result<MaintenancePage, ClientError> {
        self.get(self.url(&["v1", "topologies", topology, "maintenances"], &page.query())).await
    }

    /// Planned maintenance, and who would be without a path.
    ///
    /// # Errors
    /// None of that id is planned, or the service does not answer.
    pub async fn maintenance_get(&self, topology: &str, id: &str) -> Result<MaintenanceDocument, ClientError> {
        self.get(self.url(&["v1", "topologies", topology, "maintenances", id], &[])).await
    }

    /// Plans maintenance.
    ///
    /// # Errors
    /// A link or node is unknown, the time is impossible, or the service does not answer.
    pub async fn maintenance_create(
        &self,
        topology: &str,
        request: &MaintenanceRequest,
        effect: Effect,
    ) -> Result<MaintenanceOutcome, ClientError> {
        let url = self.url(&["v1", "topologies", topology, "maintenances"], &dry_run(effect));
        read(self.send(Method::POST, url, HeaderMap::new(), Some(json(request)?)).await?).await
    }

    /// Calls planned maintenance off.
    ///
    /// # Errors
    /// None of that id is planned, or the service does not answer.
    pub async fn maintenance_delete(&self, topology: &str, id: &str) -> Result<(), ClientError> {
        self.delete(&["v1", "topologies", topology, "maintenances", id], Effect::Real).await
    }

    /// A topology, with its nodes and links.
    ///
    /// # Errors
    /// There is none of that name, or the service does not answer.
    pub async fn topology_get(&self, name: &str) -> Result<TopologyDocument, ClientError> {
        self.get(self.url(&["v1", "topologies", name], &[])).await
    }

    /// What failures would do, now and as traffic grows.
    ///
    /// # Errors
    /// There is no such topology, a growth is out of range, or another study is being worked out.
    pub async fn failure_study_create(
        &self,
        topology: &str,
        request: &FailureStudyRequest,
    ) -> Result<FailureStudyAnswer, ClientError> {
        let url = self.url(&["v1", "topologies", topology, "failure-studies"], &[]);
        read(self.send(Method::POST, url, HeaderMap::new(), Some(json(request)?)).await?).await
    }

    /// A plan of moves that make the network better by an objective, proposed or made at once.
    ///
    /// # Errors
    /// There is no such topology, a member is out of range, or a step cannot be made any more.
    pub async fn optimization_create(
        &self,
        topology: &str,
        request: &OptimizationRequest,
    ) -> Result<OptimizationAnswer, ClientError> {
        let url = self.url(&["v1", "topologies", topology, "optimizations"], &[]);
        read(self.send(Method::POST, url, HeaderMap::new(), Some(json(request)?)).await?).await
    }

    /// A page of the plans that the replica keeps.
    ///
    /// # Errors
    /// There is no such topology.
    pub async fn optimization_list(
        &self,
        topology: &str,
        page: PageRequest<'_>,
    ) -> Result<OptimizationPage, ClientError> {
        self.get(self.url(&["v1", "topologies", topology, "optimizations"], &page.query())).await
    }

    /// A plan that was proposed or applied, and how many of its steps have been made.
    ///
    /// # Errors
    /// There is no such plan.
    pub async fn optimization_get(&self, topology: &str, id: &str) -> Result<OptimizationAnswer, ClientError> {
        self.get(self.url(&["v1", "topologies", topology, "optimizations", id], &[])).await
    }

    /// Makes the steps of a plan: the first ones one by one, or all that are left, or none of them.
    ///
    /// # Errors
    /// There is no such plan, it does not help any more, or one of all steps cannot be made.
    pub async fn optimization_apply(
        &self,
        topology: &str,
        id: &str,
        request: &PlanApplyRequest,
    ) -> Result<OptimizationApplied, ClientError> {
        let url = self.url(&["v1", "topologies", topology, "optimizations", id, "apply"], &[]);
        read(self.send(Method::POST, url, HeaderMap::new(), Some(json(request)?)).await?).await
    }

    /// The most that would be admitted between two nodes now, in a class type, at its default priorities and without
    /// constraints.
    ///
    /// # Errors
    /// There is no such topology, node or class type.
    pub async fn headroom_get(
        &self,
        topology: &str,
        (from, to): (&str, &str),
        class_type: u8,
    ) -> Result<HeadroomAnswer, ClientError> {
        let query = [("from", from.to_owned()), ("to", to.to_owned()), ("class_type", class_type.to_string())];
        self.get(self.url(&["v1", "topologies", topology, "headroom"], &query)).await
    }

    /// When bandwidth could be had between two nodes.
    ///
    /// # Errors
    /// There is no such topology, node or class type, or no such time.
    pub async fn availability_create(
        &self,
        topology: &str,
        request: &AvailabilityRequest,
    ) -> Result<AvailabilityAnswer, ClientError> {
        let url = self.url(&["v1", "topologies", topology, "availabilities"], &[]);
        read(self.send(Method::POST, url, HeaderMap::new(), Some(json(request)?)).await?).await
    }

    /// Deletes a topology that carries nothing.
    ///
    /// # Errors
    /// There is none of that name, or it carries allocations.
    pub async fn topology_delete(&self, name: &str, effect: Effect) -> Result<(), ClientError> {
        self.delete(&["v1", "topologies", name], effect).await
    }

    /// A link, with who is on it.
    ///
    /// # Errors
    /// There is no such link, or the service does not answer.
    pub async fn link_get(&self, topology: &str, link: &str) -> Result<LinkDocument, ClientError> {
        self.get(self.url(&["v1", "topologies", topology, "links", link], &[])).await
    }

    /// The bandwidth model of a topology.
    ///
    /// # Errors
    /// There is no such topology, or the service does not answer.
    pub async fn model_get(&self, topology: &str) -> Result<BandwidthModelInForce, ClientError> {
        self.get(self.url(&["v1", "topologies", topology, "bandwidth-model"], &[])).await
    }

    /// Puts another bandwidth model in force, whichever is now.
    ///
    /// # Errors
    /// The model contradicts itself, or there is no such topology.
    pub async fn model_put(
        &self,
        topology: &str,
        model: &BandwidthModelDocument,
        change: ModelTransition,
        effect: Effect,
    ) -> Result<BandwidthModelOutcome, ClientError> {
        let mut query = dry_run(effect);
        query.extend((change == ModelTransition::Soft).then(|| ("soft", "true".to_owned())));
        let url = self.url(&["v1", "topologies", topology, "bandwidth-model"], &query);
        let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static("*"))]);
        read(self.send(Method::PUT, url, headers, Some(json(model)?)).await?).await
    }

    /// All controllers, by name or, sorted by a member, in that order.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn controller_list(&self, sort: Option<&str>) -> Result<ControllerPage, ClientError> {
        let query: Vec<_> = sort.map(|sort| ("sort", sort.to_owned())).into_iter().collect();
        self.get(self.url(&["v1", "controllers"], &query)).await
    }

    /// A controller, and what is known of it.
    ///
    /// # Errors
    /// There is none of that name, or the service does not answer.
    pub async fn controller_get(&self, name: &str) -> Result<ControllerDocument, ClientError> {
        self.get(self.url(&["v1", "controllers", name], &[])).await
    }

    /// Reaches a topology's switches through a controller.
    ///
    /// # Errors
    /// The address is refused, or the topology has a controller already.
    pub async fn controller_put(
        &self,
        name: &str,
        controller: &ControllerRequest,
        effect: Effect,
    ) -> Result<ControllerDocument, ClientError> {
        let url = self.url(&["v1", "controllers", name], &dry_run(effect));
        read(self.send(Method::PUT, url, HeaderMap::new(), Some(json(controller)?)).await?).await
    }

    /// Deletes a controller; what is known of it, if its rules are still being removed from the switches.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn controller_delete(
        &self,
        name: &str,
        rules: ControllerRules,
        effect: Effect,
    ) -> Result<Option<ControllerDocument>, ClientError> {
        let mut query = dry_run(effect);
        query.push(("rules", rules.to_string()));
        let url = self.url(&["v1", "controllers", name], &query);
        let answer = self.send(Method::DELETE, url, HeaderMap::new(), None).await?;
        if answer.status() == StatusCode::ACCEPTED { read(answer).await.map(Some) } else { Ok(None) }
    }

    /// A page of tenants, by name unless said otherwise.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn tenant_list(&self, page: PageRequest<'_>) -> Result<TenantPage, ClientError> {
        self.get(self.url(&["v1", "tenants"], &page.query())).await
    }

    /// A tenant, and what it holds.
    ///
    /// # Errors
    /// There is none of that name, or the service does not answer.
    pub async fn tenant_get(&self, name: &str) -> Result<TenantDocument, ClientError> {
        self.get(self.url(&["v1", "tenants", name], &[])).await
    }

    /// Makes a tenant, or sets its quotas, rate of requests, weight and aggregators anew.
    ///
    /// # Errors
    /// A quota is impossible, or the service does not answer.
    pub async fn tenant_put(&self, name: &str, tenant: &TenantRequest) -> Result<TenantDocument, ClientError> {
        let url = self.url(&["v1", "tenants", name], &[]);
        read(self.send(Method::PUT, url, HeaderMap::new(), Some(json(tenant)?)).await?).await
    }

    /// Forgets a tenant.
    ///
    /// # Errors
    /// There is none of that name, or it has allocations.
    pub async fn tenant_delete(&self, name: &str) -> Result<(), ClientError> {
        self.delete(&["v1", "tenants", name], Effect::Real).await
    }

    /// A page of aggregators, by id unless said otherwise.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn aggregator_list(&self, page: PageRequest<'_>) -> Result<Page<Aggregator>, ClientError> {
        self.get(self.url(&["v1", "aggregators"], &page.query())).await
    }

    /// An aggregator, with what it reported last and what it may send.
    ///
    /// # Errors
    /// There is none of that id, or the service does not answer.
    pub async fn aggregator_get(&self, id: &str) -> Result<Aggregator, ClientError> {
        self.get(self.url(&["v1", "aggregators", id], &[])).await
    }

    /// What an aggregator had lately.
    ///
    /// # Errors
    /// There is none of that id, or the service does not answer.
    pub async fn aggregator_history(&self, id: &str) -> Result<AggregatorHistory, ClientError> {
        self.get(self.url(&["v1", "aggregators", id, "history"], &[])).await
    }

    async fn delete(&self, parts: &[&str], effect: Effect) -> Result<(), ClientError> {
        self.send(Method::DELETE, self.url(parts, &dry_run(effect)), HeaderMap::new(), None).await.map(drop)
    }
}
