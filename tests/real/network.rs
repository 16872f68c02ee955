//! A real Watermaster that drives the lab: its own process, its own database, asked over REST as anybody would.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::ask;
use crate::lab::{Lab, address, await_that};
use crate::running::Running;

/// How long something may take that has nothing to wait for but a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The topology's name.
const RING: &str = "ring";
/// The file in which it stands.
pub(crate) const RING_FILE: &str = include_str!("../../topologies/ring.json");
/// What its links are said to carry.
const RING_BPS: u64 = 10_000_000;

/// Where hosts reach this machine, on any port.
const MANAGEMENT: &str = "10.78.1.1:0";

/// A service with the ring and, mostly, a controller.
pub(crate) struct Network {
    service: Option<Running>,
    folder: tempfile::TempDir,
}

impl Network {
    /// A new one that drives the lab.
    pub(crate) fn of(lab: &Lab) -> Self {
        let network = Self::without_controller(RING_BPS);
        network.control(lab.url());
        network
    }

    /// A new one with links of this capacity that drives the lab.
    pub(crate) fn with_capacity(lab: &Lab, capacity_bps: u64) -> Self {
        let network = Self::without_controller(capacity_bps);
        network.control(lab.url());
        network
    }

    /// The same, found by hosts under the address that they reach this machine by.
    pub(crate) fn for_hosts(lab: &Lab, capacity_bps: u64) -> Self {
        let network = Self::listening(MANAGEMENT, capacity_bps, None);
        network.control(lab.url());
        network
    }

    /// The same with these settings in its configuration file.
    pub(crate) fn with_settings(lab: &Lab, capacity_bps: u64, settings: &str) -> Self {
        let network = Self::listening("127.0.0.1:0", capacity_bps, Some(settings));
        network.control(lab.url());
        network
    }

    /// A new one that drives nothing.
    pub(crate) fn without_controller(capacity_bps: u64) -> Self {
        Self::listening("127.0.0.1:0", capacity_bps, None)
    }

    fn listening(address: &str, capacity_bps: u64, settings: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Hosts of the lab reach it, and nobody else does.
        let data = folder.path().to_str().unwrap();
        let file = folder.path().join("watermaster.toml");
        let mut words = vec!["--data", data, "--insecure-no-authentication"];
        if let Some(settings) = settings {
            std::fs::write(&file, settings).unwrap();
            words.extend(["--config", file.to_str().unwrap()]);
        }
        let service = Running::start_at(address, &words);
        let network = Self { service: Some(service), folder };
        let ring = RING_FILE.replace(&RING_BPS.to_string(), &capacity_bps.to_string());
        network.put_topology(&ring);
        network
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.service.as_ref().unwrap().address)
    }

    /// Uploads the ring, as it is or otherwise.
    pub(crate) fn put_topology(&self, document: &str) {
        let (status, answer) = self.ask("PUT", &format!("/v1/topologies/{RING}"), Some(document));
        assert!(matches!(status, 200 | 201), "{status} {answer}");
    }

    /// Hands the ring to the controller at this address.
    pub(crate) fn control(&self, url: &str) {
        let body = json!({"driver": "ryu", "url": url, "topology": RING});
        let (status, answer) = self.ask("PUT", "/v1/controllers/lab", Some(&body.to_string()));
        assert!(matches!(status, 200 | 201), "{status} {answer}");
        await_that("it was spoken to", SOON, || self.controller(), |state| state["reachable"].is_boolean());
    }

    /// What is known of the controller.
    pub(crate) fn controller(&self) -> Value {
        self.ask("GET", "/v1/controllers/lab", None).1
    }

    /// Waits until it is seen, with its switches in step.
    pub(crate) fn await_controller(&self) {
        let calm = |state: &Value| state["reachable"] == true && state["rules"]["drifting"] == 0;
        await_that("the controller in step", SOON, || self.controller(), calm);
    }

    /// One class for all, of two priorities: who has the better one may preempt.
    pub(crate) fn one_class_two_priorities(&self) {
        let model = json!({"model": "mam", "classes": [{"class_type": 0, "share_ppm": 1_000_000}],
            "te_classes": [{"class_type": 0, "priority": 0}, {"class_type": 0, "priority": 7}]});
        let path = format!("/v1/topologies/{RING}/bandwidth-model");
        let (status, answer) = self.ask("PUT", &path, Some(&model.to_string()));
        assert!(matches!(status, 200 | 201), "{status} {answer}");
    }

    /// Kills it without warning and starts it again on what it left.
    pub(crate) fn kill_and_start(&mut self) {
        self.service.take().unwrap().kill();
        self.service = Some(Running::start(&["--data", self.folder.path().to_str().unwrap()]));
    }

    /// Asks it something.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        self.try_ask(method, path, body).unwrap()
    }

    /// Asks it something, perhaps in vain.
    pub(crate) fn try_ask(&self, method: &str, path: &str, body: Option<&str>) -> std::io::Result<(u16, Value)> {
        ask(self.service.as_ref().unwrap().address, method, path, body)
    }

    /// Admits a request; its id.
    pub(crate) fn admit(&self, wanted: &Value) -> String {
        let (status, answer) = self.ask("POST", "/v1/allocations", Some(&wanted.to_string()));
        assert_eq!(status, 201, "{wanted} {answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Admits many at once; their ids, in order.
    pub(crate) fn admit_many(&self, wanted: &[Value]) -> Vec<String> {
        let body = json!({"requests": wanted});
        let (status, answer) = self.ask("POST", "/v1/allocations/batch", Some(&body.to_string()));
        assert_eq!(status, 200, "{answer}");
        let outcomes = answer["outcomes"].as_array().unwrap();
        let id = |outcome: &Value| outcome["allocation"]["id"].as_str().map(str::to_owned);
        outcomes.iter().map(|outcome| id(outcome).unwrap_or_else(|| panic!("{outcome}"))).collect()
    }

    /// One allocation.
    pub(crate) fn allocation(&self, id: &str) -> Value {
        let (status, answer) = self.ask("GET", &format!("/v1/allocations/{id}"), None);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Changes one.
    pub(crate) fn change(&self, id: &str, change: &Value) {
        let (status, answer) = self.ask("PATCH", &format!("/v1/allocations/{id}"), Some(&change.to_string()));
        assert_eq!(status, 200, "{answer}");
    }

    /// Lets one go.
    pub(crate) fn release(&self, id: &str) {
        let (status, answer) = self.ask("DELETE", &format!("/v1/allocations/{id}"), None);
        assert_eq!(status, 204, "{answer}");
    }

    /// How many are in this state.
    pub(crate) fn count(&self, state: &str) -> usize {
        let mut found = 0;
        let mut path = format!("/v1/allocations?state={state}&limit=1000");
        loop {
            let (status, page) = self.ask("GET", &path, None);
            assert_eq!(status, 200, "{page}");
            found += page["items"].as_array().unwrap().len();
            match page["next"].as_str() {
                Some(next) => path = format!("/v1/allocations?state={state}&limit=1000&after={next}"),
                None => return found,
            }
        }
    }

    /// Waits until all of these are in force.
    pub(crate) fn await_active(&self, ids: &[&String]) {
        let states = || -> Vec<(String, Value)> {
            let seen = ids.iter().map(|id| self.allocation(id));
            seen.map(|allocation| (allocation["state"].as_str().unwrap().to_owned(), allocation["reason"].clone()))
                .collect()
        };
        await_that("active", SOON, states, |seen| seen.iter().all(|(state, _)| state == "active"));
    }

    /// Waits until so many are in force.
    pub(crate) fn await_count(&self, state: &str, count: usize, within: Duration) -> Duration {
        await_that(state, within, || self.count(state), |found| *found == count)
    }
}

/// A request from host to host.
pub(crate) fn wanted(from: u32, to: u32, bandwidth_bps: u64) -> Value {
    json!({"topology": RING, "ingress": format!("s{from}"), "egress": format!("s{to}"), "class_type": 0,
        "bandwidth_bps": bandwidth_bps, "flow": {"ipv4_src": address(from), "ipv4_dst": address(to)}})
}

/// The same with other members; `flow` is added to.
pub(crate) fn with(mut request: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        match (&mut request[name], value) {
            (Value::Object(old), Value::Object(more)) => old.extend(more.clone()),
            (old, _) => *old = value.clone(),
        }
    }
    request
}

/// So many requests from switch 1 to switch 3, each for another UDP port.
pub(crate) fn many(count: u16, bandwidth_bps: u64) -> Vec<Value> {
    let flow = |number: u16| json!({"flow": {"ip_proto": 17, "l4_dst": 10_000 + number}});
    (0..count).map(|number| with(wanted(1, 3, bandwidth_bps), &flow(number))).collect()
}
