//! Controllers over REST, with a simulated network: what is admitted is installed, what goes wrong is said and put right,
//! and what is foreign is never touched.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kernel::intent::{Action, Cookie, Dpid, Match, Numbering, PortNo, Rule, RuleKey, TABLE};
use serde_json::{Value, json};
use watermaster::app::DriverFactory;
use watermaster::southbound::{Driver, Faults, Simulated};

use super::harness::{Answer, TestService};

mod damage;
mod links;
mod refused;
mod settings;
mod splits;
mod traffic;

/// Four switches in a ring, a host at port 1 of each.
const RING: &str = r#"{
    "nodes": [
        {"id": "s1", "dpid": "1", "host_ports": [1]}, {"id": "s2", "dpid": "2", "host_ports": [1]},
        {"id": "s3", "dpid": "3", "host_ports": [1]}, {"id": "s4", "dpid": "4", "host_ports": [1, 9]}
    ],
    "links": [
        {"id": "12", "from": "s1", "to": "s2", "capacity_bps": 100000000, "from_port": 2, "to_port": 3, "bidirectional": true},
        {"id": "23", "from": "s2", "to": "s3", "capacity_bps": 100000000, "from_port": 2, "to_port": 3, "bidirectional": true},
        {"id": "34", "from": "s3", "to": "s4", "capacity_bps": 100000000, "from_port": 2, "to_port": 3, "bidirectional": true},
        {"id": "41", "from": "s4", "to": "s1", "capacity_bps": 100000000, "from_port": 2, "to_port": 3, "bidirectional": true}
    ]
}"#;

const OURS: Numbering = Numbering::DEFAULT;
const TAG: u8 = OURS.cookie_tag();
/// Long enough for a machine that does much else; nothing is asserted about speed.
const PATIENCE: Duration = Duration::from_secs(60);

fn network(faults: Faults) -> Simulated {
    Simulated::with_faults(&formats::read(RING.as_bytes(), &formats::ReadOptions::default()).unwrap().topology, faults)
}

fn driving(network: &Simulated) -> DriverFactory {
    let network = network.clone();
    Arc::new(move |_, _| Ok(Arc::new(network.clone()) as Arc<dyn Driver>))
}

async fn ring(network: &Simulated) -> TestService {
    let service = TestService::open_in(tempfile::tempdir().unwrap(), driving(network)).await;
    let put = service.send("PUT", "/v1/topologies/ring", &[], RING).await;
    assert_eq!(put.status, 201, "{put:?}");
    service
}

async fn control(service: &TestService) -> Answer {
    service.send("PUT", "/v1/controllers/c", &[], r#"{"driver":"simulated","topology":"ring"}"#).await
}

async fn admit(service: &TestService, from: &str, to: &str, host: u32) -> String {
    let body = json!({"ingress": from, "egress": to, "class_type": 0, "bandwidth_bps": 1_000_000,
                      "flow": {"ipv4_dst": format!("10.0.{}.{}", host / 250, host % 250 + 1)}});
    let answer = service.post("/v1/allocations", &body.to_string()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Waits until `look` shows what is wanted.
async fn until(service: &TestService, uri: &str, is: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = service.get(uri).await.json();
        if is(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "{uri} never came to be: {seen:#}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until something is so.
async fn eventually(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "it never came to be that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn calm(service: &TestService) -> Value {
    until(service, "/v1/controllers/c", |seen| {
        seen["reachable"] == true
            && seen["rules"]["drifting"] == 0
            && seen["rules"]["intended"] == seen["rules"]["installed"]
            && seen["unsettled_allocations"] == 0
    })
    .await
}

async fn active(service: &TestService, id: &str) {
    until(service, &format!("/v1/allocations/{id}"), |seen| seen["state"] == "active").await;
}

fn held(network: &Simulated) -> (usize, usize) {
    let switches = (1..=4).map(Dpid);
    let ours = |dpid| network.rules_held(dpid).iter().filter(|rule| rule.cookie.tag() == TAG).count();
    (switches.clone().map(ours).sum(), switches.map(|dpid| network.meters_held(dpid).len()).sum())
}

fn foreign(cookie: u64) -> Rule {
    let matches = Match::Foreign { words: format!("arp {cookie}").into(), label: None };
    let place = RuleKey { table: TABLE, priority: 5, matches };
    Rule { place, cookie: Cookie(cookie), actions: vec![Action::Output(PortNo(1))] }
}

#[tokio::test]
async fn what_is_admitted_is_installed_and_what_is_released_disappears() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    let put = control(&service).await;
    assert_eq!((put.status.as_u16(), put.header("location")), (201, "/v1/controllers/c"));
    let id = admit(&service, "s1", "s3", 1).await;
    active(&service, &id).await;
    assert_eq!(held(&network), (3, 1));
    let seen = calm(&service).await;
    assert_eq!(seen["rules"], json!({"intended": 4, "installed": 4, "drifting": 0}));
    assert_eq!(seen["switches"].as_array().unwrap().len(), 4);
    service.patch(&format!("/v1/allocations/{id}"), r#"{"bandwidth_bps": 2000000}"#).await;
    active(&service, &id).await;
    calm(&service).await;
    let meter = network.meters_held(Dpid(1))[0];
    assert_eq!((meter.rate_kbps, meter.burst_kbit), (2_000, 2_000));
    assert_eq!(service.delete(&format!("/v1/allocations/{id}")).await.status, 204);
    until(&service, "/v1/controllers/c", |seen| seen["rules"]["intended"] == 0 && seen["rules"]["drifting"] == 0).await;
    assert_eq!(held(&network), (0, 0));
    service.close().await;
}

#[tokio::test]
async fn switches_have_groups_for_protected_paths_where_they_take_them() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let body = json!({"ingress": "s1", "egress": "s3", "class_type": 0, "bandwidth_bps": 1_000_000,
                      "flow": {"ipv4_dst": "10.0.0.3"}, "protection": {"kind": "dedicated"}});
    let answer = service.post("/v1/allocations", &body.to_string()).await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    active(&service, &id).await;
    assert_eq!(calm(&service).await["fast_failover"], true);
    let groups = || [1, 2, 3, 4].map(|dpid| network.groups_held(Dpid(dpid)).len());
    assert_eq!(groups(), [1, 1, 0, 0], "at the ingress and at the transit");
    let right: Vec<_> = (1..=4).map(|dpid| network.rules_held(Dpid(dpid))).collect();
    network.delete_group_directly(Dpid(1), network.groups_held(Dpid(1))[0].id);
    let is_right = || (1..=4).map(|dpid| network.rules_held(Dpid(dpid))).collect::<Vec<_>>() == right;
    eventually("the group and its rules are there again", || groups() == [1, 1, 0, 0] && is_right()).await;
    service.send("DELETE", &format!("/v1/allocations/{id}"), &[], "").await;
    eventually("nothing is left", || groups() == [0; 4] && held(&network) == (0, 0)).await;
    // A switch without groups: the path is as one that is not protected.
    network.refuse_groups(Dpid(2));
    let answer = service.post("/v1/allocations", &body.to_string()).await;
    active(&service, answer.json()["id"].as_str().unwrap()).await;
    calm(&service).await;
    assert_eq!((groups(), held(&network)), ([0; 4], (3, 1)));
    service.close().await;
}

#[tokio::test]
async fn controllers_and_rules_outlive_a_restart() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    for host in 0..5 {
        admit(&service, "s1", "s3", host).await;
    }
    calm(&service).await;
    let (before, steps) = (network.rules_held(Dpid(1)), network.call_counts().1);
    let service = TestService::open_in(service.leave().await, driving(&network)).await;
    assert_eq!(calm(&service).await["driver"], "simulated");
    assert_eq!((network.rules_held(Dpid(1)), network.call_counts().1), (before, steps), "a restart changes no rule");
    assert_eq!(service.delete("/v1/controllers/c?rules=leave").await.status, 204);
    assert_eq!(service.get("/v1/controllers/c").await.problem(), "unknown-controller");
    assert_eq!(service.delete("/v1/controllers/c").await.problem(), "unknown-controller");
    let listed = service.get("/v1/allocations?state=active").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 5, "without a controller all are in force");
    assert_eq!(held(&network), (15, 5), "what was installed stays");
    service.close().await;
}

#[tokio::test]
async fn a_deleted_controller_takes_its_rules_along() {
    let network = network(Faults::default());
    network.write_directly(Dpid(2), foreign(0x99));
    let service = ring(&network).await;
    control(&service).await;
    let id = admit(&service, "s1", "s3", 0).await;
    active(&service, &id).await;
    assert_eq!(service.delete("/v1/controllers/c?dry_run=true").await.status, 204);
    assert_eq!(service.delete("/v1/controllers/c?rules=what").await.problem(), "malformed-query");
    assert_eq!(held(&network), (3, 1));
    assert_eq!(service.delete("/v1/controllers/c").await.status, 204);
    assert_eq!(held(&network), (0, 0));
    assert_eq!(network.rules_held(Dpid(2)), [foreign(0x99)]);
    assert_eq!(service.get("/v1/controllers/c").await.problem(), "unknown-controller");
    assert_eq!(service.get(&format!("/v1/allocations/{id}")).await.json()["state"], "active", "without a controller");
    service.close().await;
}

#[tokio::test]
async fn a_controller_whose_rules_cannot_be_removed_is_closing_until_they_are() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let id = admit(&service, "s1", "s3", 0).await;
    active(&service, &id).await;
    network.set_silent(Dpid(3), true);
    let answer = service.delete("/v1/controllers/c").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["closing"]), (202, &json!(true)));
    let seen = service.get(&format!("/v1/allocations/{id}")).await.json();
    assert_eq!((&seen["state"], &seen["reason"]), (&json!("degraded"), &json!("its controller is being deleted")));
    // Put again, it stays.
    assert_eq!(control(&service).await.status, 200);
    network.set_silent(Dpid(3), false);
    active(&service, &id).await;
    network.set_silent(Dpid(3), true);
    assert_eq!(service.delete("/v1/controllers/c").await.status, 202);
    network.set_silent(Dpid(3), false);
    eventually("its rules are gone", || held(&network) == (0, 0)).await;
    eventually("it is forgotten", || service.app.read(|state| state.controller("c").is_none())).await;
    service.close().await;
}

#[tokio::test]
async fn the_stream_tells_where_allocations_stand() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    calm(&service).await;
    let response = service.ask("GET", "/v1/events/stream?topology=ring", &[], "").await;
    let mut stream = response.into_body().into_data_stream();
    let id = admit(&service, "s1", "s3", 0).await;
    let mut said = String::new();
    let is_active = |said: &str| {
        said.split_once("event: allocation_state").is_some_and(|(_, told)| told.contains(r#""state":"active""#))
    };
    while !is_active(&said) {
        said.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    assert!(said.contains(&format!(r#""allocation":"{id}""#)), "{said}");
    drop(stream);
    service.close().await;
}
