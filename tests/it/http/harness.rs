//! A service in a temporary folder, and one who asks it.

use api::outbound::OutboundNetworks;
use api::own_hosts::OwnHosts;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use mqtt::{Broker, Settings};
use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;
use tower::ServiceExt;
use watermaster::app::{App, AppOptions, ControllerAccess, DriverFactory, Tasks, driver_factory};
use watermaster::auth::Authenticator;
use watermaster::http::{Context, router};
use watermaster::journal::Journal;

/// Two nodes with one fibre of 100 Mbit/s, and a longer way over a third.
pub(super) const TRIANGLE: &str = r#"{
    "nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}],
    "links": [
        {"id": "ab", "from": "a", "to": "b", "capacity_bps": 100000000, "bidirectional": true},
        {"id": "ac", "from": "a", "to": "c", "capacity_bps": 100000000, "bidirectional": true},
        {"id": "cb", "from": "c", "to": "b", "capacity_bps": 100000000, "bidirectional": true}
    ]
}"#;

/// One fibre of 100 Mbit/s.
pub(super) const PAIR: &str = r#"{
    "nodes": [{"id": "a"}, {"id": "b"}],
    "links": [{"id": "ab", "from": "a", "to": "b", "capacity_bps": 100000000, "bidirectional": true}]
}"#;

pub(super) struct TestService {
    pub(super) app: App,
    pub(super) broker: Broker,
    router: Router,
    tasks: Tasks,
    folder: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// The last part of a problem's type.
    pub(super) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status.as_u16());
        assert!(document["title"].is_string() && document["detail"].is_string() && document["instance"].is_string());
        document["type"].as_str().unwrap().strip_prefix("/problems/").unwrap().to_owned()
    }
}

impl TestService {
    pub(super) async fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), driver_factory(ControllerAccess::default())).await
    }

    /// The same journal, as another program has it.
    pub(super) async fn journal(&self) -> Journal {
        let url = format!("sqlite://{}/journal.db", self.folder.path().display()).parse().unwrap();
        Journal::open(&url).await.unwrap()
    }

    /// The database of the journal, behind its back.
    pub(super) async fn database(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.folder.path().join("journal.db")).connect().await.unwrap()
    }

    /// In a folder that may have been used before, with drivers from this factory.
    pub(super) async fn open_in(folder: TempDir, driver_factory: DriverFactory) -> Self {
        Self::open_with(folder, AppOptions { driver_factory, ..AppOptions::default() }).await
    }

    /// With these options of the application.
    pub(super) async fn open_with(folder: TempDir, options: AppOptions) -> Self {
        Self::open_all(folder, options, Broker::embedded(Settings::default()).await.unwrap()).await
    }

    /// With this broker.
    pub(super) async fn with_broker(broker: Broker) -> Self {
        Self::open_all(tempfile::tempdir().unwrap(), AppOptions::default(), broker).await
    }

    async fn open_all(folder: TempDir, options: AppOptions, broker: Broker) -> Self {
        let url = format!("sqlite://{}/journal.db", folder.path().display()).parse().unwrap();
        let (app, tasks) = App::start_with(Journal::open(&url).await.unwrap(), options).await.unwrap();
        let router = router(Context { broker: Some(broker.clone()), ..Context::new(app.clone(), "test") });
        Self { app, broker, router, tasks, folder }
    }

    /// With a door that lets in whom this lets in.
    pub(super) async fn guarded(authenticator: impl AsyncFnOnce(Journal) -> Authenticator) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/journal.db", folder.path().display()).parse().unwrap();
        let journal = Journal::open(&url).await.unwrap();
        let authenticator = authenticator(journal.clone()).await;
        let (app, tasks) = App::start(journal).await.unwrap();
        let broker = Broker::embedded(Settings::default()).await.unwrap();
        let context = Context { authenticator, broker: Some(broker.clone()), ..Context::new(app.clone(), "test") };
        Self { app, broker, router: router(context), tasks, folder }
    }

    /// The same, found by others elsewhere.
    pub(super) fn found_at(self, own_hosts: OwnHosts) -> Self {
        let router = router(Context { own_hosts, ..Context::new(self.app.clone(), "test") });
        Self { router, ..self }
    }

    /// The same, with controllers in these networks alone.
    pub(super) fn with_controllers_in(self, networks: OutboundNetworks) -> Self {
        let router = router(Context { controller_networks: networks, ..Context::new(self.app.clone(), "test") });
        Self { router, ..self }
    }

    /// Stops the service; what it wrote down stays.
    pub(super) async fn leave(self) -> TempDir {
        self.tasks.stop(&self.app).await;
        self.folder
    }

    /// With a topology named `net`.
    pub(super) async fn with(topology: &str) -> Self {
        let service = Self::open().await;
        let answer = service.send("PUT", "/v1/topologies/net", &[], topology.to_owned()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        service
    }

    pub(super) async fn close(self) {
        self.tasks.stop(&self.app).await;
    }

    /// Without waiting for the body.
    pub(super) async fn ask(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response {
        let mut request = Request::new(body.into());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        *request.uri_mut() = uri.parse().unwrap();
        request.headers_mut().insert(header::HOST, "service".parse().unwrap());
        request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(super) async fn send(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let (parts, body) = self.ask(method, uri, headers, body).await.into_parts();
        let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(super) async fn get(&self, uri: &str) -> Answer {
        self.send("GET", uri, &[], "").await
    }

    pub(super) async fn post(&self, uri: &str, body: &str) -> Answer {
        self.send("POST", uri, &[], body.to_owned()).await
    }

    pub(super) async fn patch(&self, uri: &str, body: &str) -> Answer {
        self.send("PATCH", uri, &[], body.to_owned()).await
    }

    pub(super) async fn put(&self, uri: &str, etag: &str, body: &str) -> Answer {
        self.send("PUT", uri, &[("if-match", etag)], body.to_owned()).await
    }

    pub(super) async fn delete(&self, uri: &str) -> Answer {
        self.send("DELETE", uri, &[], "").await
    }

    /// Has a request from `a` to `b` admitted, and says how it is called.
    pub(super) async fn admit(&self, class_type: u8, bps: u64) -> String {
        let answer = self.post("/v1/allocations", &request(class_type, bps)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }
}

/// A request from `a` to `b`.
pub(super) fn request(class_type: u8, bps: u64) -> String {
    format!(r#"{{"ingress":"a","egress":"b","class_type":{class_type},"bandwidth_bps":{bps}}}"#)
}
