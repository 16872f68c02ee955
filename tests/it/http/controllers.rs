//! Controllers over REST, with a simulated network: what is admitted is installed, what goes wrong is said and put right,
//! and what is foreign is never touched.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::outbound::OutboundNetworks;
use futures_util::StreamExt;
use kernel::intent::{
    Action, Cookie, CookieFilter, Dpid, LABEL_MIN, LABEL_PRIORITY, Match, PortNo, Rule, RuleKey, TABLE,
};
use serde_json::{Value, json};
use watermaster::app::{AppOptions, ControllerAccess, DriverFactory, driver_factory};
use watermaster::southbound::{Adjacency, Driver, Faults, Simulated};

use super::harness::{Answer, TestService};

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
    let ours = |dpid| network.rules_held(dpid).iter().filter(|rule| rule.cookie.is_ours()).count();
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
async fn who_needs_no_rules_or_cannot_have_them_says_so() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let plain = r#"{"ingress":"s1","egress":"s3","class_type":0,"bandwidth_bps":5}"#;
    let plain = service.post("/v1/allocations", plain).await.json();
    assert_eq!(plain["state"], "active");
    assert_eq!(plain["warnings"].as_array().unwrap().len(), 1);
    let id = admit(&service, "s1", "s4", 1).await;
    let uri = format!("/v1/allocations/{id}");
    let seen = until(&service, &uri, |seen| seen["state"] == "degraded").await;
    assert_eq!(seen["reason"], "node 's4' has 2 host ports and the flow's out_port names none of them");
    let listed = service.get("/v1/allocations?state=degraded").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["reason"], seen["reason"]);
    let body = r#"{"ingress":"s1","egress":"s4","class_type":0,"bandwidth_bps":5,
                   "flow":{"ipv4_dst":"10.9.0.1","out_port":9}}"#;
    let good = service.post("/v1/allocations", body).await.json();
    assert_eq!(good["flow"]["out_port"], 9);
    active(&service, good["id"].as_str().unwrap()).await;
    service.close().await;
}

#[tokio::test]
async fn a_controller_that_is_away_keeps_nobody_waiting_and_nothing_is_lost() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let first = admit(&service, "s1", "s3", 0).await;
    active(&service, &first).await;
    network.set_away(true);
    for host in 1..40 {
        admit(&service, "s1", "s3", host).await;
    }
    let seen = until(&service, "/v1/controllers/c", |seen| seen["reachable"] == false).await;
    assert!(seen["last_error"].as_str().unwrap().contains("cannot be reached"), "{seen}");
    let waiting =
        until(&service, "/v1/allocations?state=degraded", |seen| seen["items"].as_array().unwrap().len() == 39);
    assert!(waiting.await["items"][0]["reason"].as_str().unwrap().contains("cannot be reached"));
    let (before, begin) = (network.call_counts().0, Instant::now());
    eventually("the controller is asked again", || network.call_counts().0 >= before + 3).await;
    assert!(begin.elapsed() >= Duration::from_millis(100), "a controller that is away is asked in a hot loop");
    network.set_away(false);
    let seen = calm(&service).await;
    assert_eq!(seen["rules"]["installed"], 160);
    assert_eq!(held(&network), (120, 40));
    service.close().await;
}

#[tokio::test]
async fn what_others_break_is_repaired_and_what_is_theirs_stays() {
    let network = network(Faults::default());
    network.write_directly(Dpid(2), foreign(0));
    network.write_directly(Dpid(2), foreign(0x99));
    let service = ring(&network).await;
    control(&service).await;
    for host in 0..10 {
        admit(&service, "s1", "s3", host).await;
    }
    calm(&service).await;
    // Another program's that happens to have the tag.
    let stray = Cookie::new(3, kernel::id::AllocationId(77)).unwrap();
    network.write_directly(Dpid(2), Rule { cookie: stray, ..foreign(1) });
    let right: Vec<_> = (1..=4).map(|dpid| network.rules_held(Dpid(dpid))).collect();
    let is_right = || (1..=4).map(|dpid| network.rules_held(Dpid(dpid))).collect::<Vec<_>>() == right;
    assert!(
        network.delete_directly(Dpid(2), CookieFilter::OURS) + network.delete_directly(Dpid(4), CookieFilter::OURS)
            == 11
    );
    network.write_directly(Dpid(2), Rule { cookie: stray, ..foreign(1) });
    let mut corrupt = network.rules_held(Dpid(1))[0].clone();
    corrupt.actions = vec![Action::Output(PortNo(1))];
    network.write_directly(Dpid(1), corrupt);
    // A leftover of an allocation that is over.
    let label = kernel::intent::MplsLabel::new(LABEL_MIN + 7).unwrap();
    let place = RuleKey {
        table: TABLE,
        priority: LABEL_PRIORITY,
        matches: Match::Mpls { label, bottom_of_stack: true, in_port: None },
    };
    network.write_directly(Dpid(3), Rule { place, cookie: stray, actions: vec![Action::Output(PortNo(1))] });
    eventually("the rules are repaired", is_right).await;
    network.restart(Dpid(3));
    eventually("a restart is repaired", is_right).await;
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
async fn a_foreign_rule_in_the_way_is_said_and_left_alone() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let id = admit(&service, "s1", "s3", 0).await;
    active(&service, &id).await;
    let own = network.rules_held(Dpid(1)).into_iter().find(|rule| rule.cookie.is_ours()).unwrap();
    let theirs = Rule { cookie: Cookie(0xabc), actions: vec![Action::Output(PortNo(1))], ..own.clone() };
    network.write_directly(Dpid(1), theirs.clone());
    let uri = format!("/v1/allocations/{id}");
    let seen = until(&service, &uri, |seen| seen["state"] == "degraded").await;
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.contains("foreign rule with cookie 0xabc on switch 0000000000000001"), "{reason}");
    eventually("the rest of the path goes", || held(&network) == (0, 0)).await;
    assert_eq!(network.rules_held(Dpid(1)), [theirs], "neither replaced nor deleted");
    network.delete_directly(Dpid(1), CookieFilter::ALL);
    active(&service, &id).await;
    assert!(network.rules_held(Dpid(1)).contains(&own));
    service.close().await;
}

#[tokio::test]
async fn on_a_bad_day_everything_comes_right_in_the_end() {
    for seed in 0..4 {
        let bad = Faults { seed, lose_ppm: 100_000, refuse_ppm: 100_000, restart_ppm: 3_000, delay_max_ms: 3 };
        let network = network(bad);
        let service = ring(&network).await;
        control(&service).await;
        let mut living = vec![];
        for host in 0..30 {
            living.push(admit(&service, ["s1", "s2", "s4"][host as usize % 3], "s3", host + 1).await);
            if host % 3 == 1 {
                let gone = living.remove(0);
                service.delete(&format!("/v1/allocations/{gone}")).await;
            }
            if host == 15 {
                service.patch("/v1/topologies/ring/links/12", r#"{"state":"maintenance"}"#).await;
            }
        }
        network.set_faults(Faults::default());
        calm(&service).await;
        let listed = service.get("/v1/allocations?state=active").await.json();
        assert_eq!(listed["items"].as_array().unwrap().len(), living.len(), "seed {seed}");
        for id in living {
            service.delete(&format!("/v1/allocations/{id}")).await;
        }
        until(&service, "/v1/controllers/c", |seen| seen["rules"]["intended"] == 0 && seen["rules"]["drifting"] == 0)
            .await;
        assert_eq!(held(&network), (0, 0), "seed {seed}");
        service.close().await;
    }
}

#[tokio::test]
async fn a_silent_switch_is_not_taken_for_an_empty_one() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let through = admit(&service, "s1", "s3", 0).await;
    active(&service, &through).await;
    network.set_silent(Dpid(3), true);
    let path = format!("/v1/allocations/{through}");
    let seen = until(&service, &path, |seen| seen["state"] == "degraded").await;
    assert_eq!(seen["reason"], "switch 0000000000000003 does not answer");
    let new = admit(&service, "s2", "s3", 1).await;
    until(&service, &format!("/v1/allocations/{new}"), |seen| seen["state"] == "degraded").await;
    assert!(
        !network.rules_held(Dpid(2)).iter().any(|rule| matches!(rule.place.matches, Match::Ip(_))),
        "a head with no tail"
    );
    network.set_silent(Dpid(3), false);
    active(&service, &through).await;
    active(&service, &new).await;
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
async fn what_is_damaged_again_and_again_is_said() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let id = admit(&service, "s1", "s3", 0).await;
    let other = admit(&service, "s2", "s4", 1).await;
    active(&service, &id).await;
    let uri = format!("/v1/allocations/{id}");
    let mut reasons = vec![];
    while !reasons.last().is_some_and(|last: &String| last.contains("another program changes it")) {
        network.delete_directly(Dpid(3), CookieFilter::OURS);
        let seen = service.get(&uri).await.json();
        if let Some(reason) = seen["reason"].as_str().filter(|reason| reasons.last().is_none_or(|last| last != reason))
        {
            reasons.push(reason.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        reasons.iter().any(|reason| reason.contains("was gone on switch 0000000000000003: it is written again")),
        "{reasons:?}"
    );
    assert_ne!(service.get(&format!("/v1/allocations/{other}")).await.json()["reason"], json!(reasons.last()));
    active(&service, &id).await;
    service.close().await;
}

#[tokio::test]
async fn a_cut_link_is_noticed_and_its_return_too() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let id = admit(&service, "s1", "s2", 0).await;
    active(&service, &id).await;
    let link = Adjacency { from: (Dpid(1), PortNo(2)), to: (Dpid(2), PortNo(3)) };
    network.set_link(link, false);
    until(&service, "/v1/topologies/ring/links/12", |seen| seen["state"] == "down").await;
    let moved = until(&service, &format!("/v1/allocations/{id}"), |seen| seen["state"] == "active").await;
    assert_eq!(moved["path"].as_array().unwrap().len(), 3);
    network.set_link(link, true);
    until(&service, "/v1/topologies/ring/links/12", |seen| seen["state"] == "up").await;
    // What was taken down before a restart comes back after it.
    network.set_link(link, false);
    until(&service, "/v1/topologies/ring/links/12", |seen| {
        let problem = seen["problem"].as_str().unwrap_or_default();
        seen["state"] == "down" && problem == "port 2 of switch 0000000000000001 is down or not there"
    })
    .await;
    let service = TestService::open_in(service.leave().await, driving(&network)).await;
    assert_eq!(service.get("/v1/topologies/ring/links/12").await.json()["state"], "down");
    network.set_link(link, true);
    until(&service, "/v1/topologies/ring/links/12", |seen| seen["state"] == "up" && seen["problem"].is_null()).await;
    // What an operator takes down stays down, though the controller sees it.
    service.patch("/v1/topologies/ring/links/34", r#"{"state":"down"}"#).await;
    network.send_bytes(Dpid(1), PortNo(2), 1 << 40);
    until(&service, "/v1/topologies/ring/links/12", |seen| seen["measured_bps"].as_u64() == Some(0)).await;
    network.send_bytes(Dpid(1), PortNo(2), 5_000_000);
    let seen = until(&service, "/v1/topologies/ring/links/12", |seen| seen["measured_bps"].as_u64() > Some(0)).await;
    assert!(seen["measured_at"].is_string());
    assert_eq!(service.get("/v1/topologies/ring/links/34").await.json()["state"], "down");
    service.close().await;
}

#[tokio::test]
async fn a_port_that_is_gone_and_a_wire_that_leads_elsewhere_cut_the_link() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let id = admit(&service, "s1", "s2", 0).await;
    active(&service, &id).await;
    network.remove_port(Dpid(1), PortNo(2));
    until(&service, "/v1/topologies/ring/links/12", |seen| seen["state"] == "down").await;
    let moved = until(&service, &format!("/v1/allocations/{id}"), |seen| seen["state"] == "active").await;
    assert_eq!(moved["path"].as_array().unwrap().len(), 3);
    // The wire from s3 to s4 comes out at another port of s2.
    let link = Adjacency { from: (Dpid(3), PortNo(2)), to: (Dpid(4), PortNo(3)) };
    network.swap_wire(link, (Dpid(2), PortNo(9)));
    let seen = until(&service, "/v1/topologies/ring/links/34", |seen| seen["state"] == "down").await;
    assert_eq!(
        seen["problem"],
        "port 2 of switch 0000000000000003 leads to port 9 of switch 0000000000000002, not where the topology says"
    );
    service.close().await;
}

#[tokio::test]
async fn traffic_leaves_a_switch_that_its_controller_has_lost() {
    let network = network(Faults::default());
    let lost_switch_after = Duration::ZERO;
    let options = AppOptions { driver_factory: driving(&network), lost_switch_after, ..AppOptions::default() };
    let service = TestService::open_with(tempfile::tempdir().unwrap(), options).await;
    assert_eq!(service.send("PUT", "/v1/topologies/ring", &[], RING).await.status, 201);
    control(&service).await;
    let by = admit(&service, "s1", "s3", 0).await;
    active(&service, &by).await;
    let uri = format!("/v1/allocations/{by}");
    let before = service.get(&uri).await.json()["path"].clone();
    let (lost, link) = if before[0] == "12" { (2, "12") } else { (4, "41") };
    let at = admit(&service, &format!("s{lost}"), "s3", 1).await;
    active(&service, &at).await;
    network.set_silent(Dpid(lost), true);
    let link = format!("/v1/topologies/ring/links/{link}");
    until(&service, &link, |seen| seen["state"] == "maintenance").await;
    let moved = until(&service, &uri, |seen| seen["state"] == "active").await;
    assert_ne!(moved["path"], before);
    let stays = service.get(&format!("/v1/allocations/{at}")).await.json();
    assert_eq!(stays["state"], "degraded", "it has no other way in, and is not ended: {stays}");
    network.set_silent(Dpid(lost), false);
    until(&service, &link, |seen| seen["state"] == "up").await;
    active(&service, &at).await;
    service.close().await;
}

#[tokio::test]
async fn the_network_of_a_controller_is_imported() {
    let network = network(Faults::default());
    let service = TestService::open_in(tempfile::tempdir().unwrap(), driving(&network)).await;
    control(&service).await;
    let uri = "/v1/controllers/c/topology";
    assert_eq!(service.post(uri, "").await.problem(), "impossible-request");
    let tried = service.post(&format!("{uri}?default_capacity_bps=8000000&dry_run=true"), "").await.json();
    assert_eq!((&tried["dry_run"], &tried["revision"]), (&json!(true), &Value::Null));
    let made = service.post(&format!("{uri}?default_capacity_bps=8000000"), "").await.json();
    assert_eq!((&made["nodes"], &made["links"]), (&json!(4), &json!(8)), "{made}");
    let again = service.post(uri, "").await.json();
    assert_eq!((&again["added_links"], &again["revision"]), (&json!([]), &Value::Null));
    let id = admit(&service, "0000000000000001", "0000000000000003", 1).await;
    active(&service, &id).await;
    network.set_away(true);
    assert_eq!(service.post(uri, "").await.problem(), "controller-unavailable");
    assert_eq!(service.post("/v1/controllers/none/topology", "").await.problem(), "unknown-controller");
    service.close().await;
}

#[tokio::test]
async fn impossible_controllers_are_refused() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    let put = |body: &'static str| service.send("PUT", "/v1/controllers/d", &[], body);
    for (body, problem) in [
        (r#"{"driver":"ryu","topology":"ring"}"#, "impossible-request"),
        (r#"{"driver":"ryu","url":"ftp://x","topology":"ring"}"#, "impossible-request"),
        (r#"{"driver":"ryu","url":"http://u:p@x","topology":"ring"}"#, "impossible-request"),
        (r#"{"driver":"simulated","url":"http://x","topology":"ring"}"#, "impossible-request"),
        (r#"{"driver":"odl","url":"http://x","topology":"ring"}"#, "malformed-body"),
        (r#"{"driver":"simulated"}"#, "malformed-body"),
    ] {
        assert_eq!(put(body).await.problem(), problem, "{body}");
    }
    control(&service).await;
    let second = put(r#"{"driver":"simulated","topology":"ring"}"#).await;
    assert_eq!((second.problem().as_str(), &second.json()["controller"]), ("topology-controlled", &json!("c")));
    assert_eq!(control(&service).await.status, 200);
    assert_eq!(service.get("/v1/controllers").await.json()["items"].as_array().unwrap().len(), 1);
    service.close().await;
}

#[tokio::test]
async fn controllers_are_in_the_networks_that_are_allowed() {
    let put = async |service: &TestService, url: &str| {
        let body = json!({"driver": "ryu", "url": url, "topology": "ring"}).to_string();
        service.send("PUT", "/v1/controllers/c", &[], body).await
    };
    let refused = |answer: Answer, url: &str| {
        assert_eq!(
            (answer.problem().as_str(), &answer.json()["field"]),
            ("impossible-request", &json!("url")),
            "{url}"
        );
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains("networks that may be connected to"), "{url}: {detail}");
    };
    let service = TestService::open().await;
    for url in ["http://169.254.169.254", "http://[fe80::1]:8080", "http://[fd00:ec2::254]", "http://0xa9fea9fe"] {
        refused(put(&service, url).await, url);
    }
    let elsewhere = OutboundNetworks::only(&["10.0.0.0/8".parse().unwrap()]);
    let service = service.with_controllers_in(elsewhere.clone());
    // A name is resolved.
    for url in ["http://127.0.0.1:1", "http://192.0.2.1", "http://[::1]:1", "http://localhost:1"] {
        refused(put(&service, url).await, url);
    }
    // One that leads nowhere yet is left to the connections.
    for url in ["http://10.1.2.3:8080", "http://controller.invalid:8080"] {
        assert_eq!(put(&service, url).await.status.as_u16() / 100, 2, "{url}");
    }
    // So is one that came into the books before the networks were said, or leads elsewhere since.
    let service = service.with_controllers_in(OutboundNetworks::default());
    for url in ["http://127.0.0.1:1", "http://localhost:1"] {
        assert_eq!(put(&service, url).await.status, 200, "{url}");
        let access = ControllerAccess { networks: elsewhere.clone(), ..ControllerAccess::default() };
        let again = TestService::open_in(tempfile::tempdir().unwrap(), driver_factory(access)).await;
        assert_eq!(again.send("PUT", "/v1/topologies/ring", &[], RING).await.status, 201);
        assert_eq!(put(&again, url).await.status, 201, "{url}");
        let told = until(&again, "/v1/controllers/c", |told| told["last_error"].is_string()).await;
        assert!(told["last_error"].as_str().unwrap().contains("networks that controllers may be in"), "{url}: {told}");
        again.close().await;
    }
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

#[tokio::test]
async fn what_no_switch_could_hold_is_refused_with_its_field() {
    let service = ring(&network(Faults::default())).await;
    let ask = async |flow: Value| {
        let body = json!({"ingress": "s1", "egress": "s4", "class_type": 0, "bandwidth_bps": 1_000, "flow": flow});
        service.post("/v1/allocations", &body.to_string()).await
    };
    for (flow, field) in [
        (json!({"l4_dst": 80}), "flow.l4_dst"),
        (json!({"l4_dst": 80, "ip_proto": 1}), "flow.l4_dst"),
        (json!({"ipv4_dst": "10.0.0.1", "in_port": 2}), "flow.in_port"),
        (json!({"ipv4_dst": "10.0.0.1", "out_port": 3}), "flow.out_port"),
    ] {
        let answer = ask(flow.clone()).await;
        assert_eq!(
            (answer.problem().as_str(), &answer.json()["field"]),
            ("impossible-request", &json!(field)),
            "{flow}"
        );
        assert_eq!(answer.status, 422);
    }
    assert_eq!(ask(json!({"l4_dst": 80, "ip_proto": 17, "in_port": 1, "out_port": 9})).await.status, 201);

    let ports = [
        (r#""dpid": "1""#, r#""dpid": "0""#),
        (r#""host_ports": [1]"#, r#""host_ports": [1, 1]"#),
        (r#""host_ports": [1]"#, r#""host_ports": [0]"#),
        (r#""host_ports": [1]"#, r#""host_ports": [2]"#),
        (r#""host_ports": [1]"#, r#""host_ports": [4294967293]"#),
        (r#""from_port": 2"#, r#""from_port": 3"#),
        (r#""from_port": 2"#, r#""from_port": 0"#),
    ];
    for (was, is) in ports {
        let answer = service.send("PUT", "/v1/topologies/odd", &[], RING.replacen(was, is, 1)).await;
        assert_eq!(answer.problem(), "unreadable-topology", "{is}");
        assert!(answer.json()["element"].is_string(), "{answer:?}");
    }
    service.close().await;
}

#[tokio::test]
async fn two_controllers_never_have_one_switch() {
    let service = ring(&network(Faults::default())).await;
    assert_eq!(service.send("PUT", "/v1/topologies/copy", &[], RING).await.status, 201);
    let put = async |name: &str, url: &str, topology: &str| {
        let body = json!({"driver": "ryu", "url": url, "topology": topology}).to_string();
        service.send("PUT", &format!("/v1/controllers/{name}"), &[], body).await
    };
    assert_eq!(put("one", "http://127.0.0.1:1", "ring").await.status, 201);
    for (url, topology) in [("http://127.0.0.1:1/", "elsewhere"), ("http://127.0.0.1:2", "copy")] {
        let answer = put("two", url, topology).await;
        assert_eq!((answer.problem().as_str(), &answer.json()["controller"]), ("switches-shared", &json!("one")));
    }
    // The same the other way: first the controller, then the topology.
    assert_eq!(put("two", "http://127.0.0.1:2", "later").await.status, 201);
    assert_eq!(service.send("PUT", "/v1/topologies/later", &[], RING).await.problem(), "switches-shared");
    // Of its own, a controller may be put again.
    assert_eq!(put("one", "http://127.0.0.1:1", "ring").await.status, 200);
    service.close().await;
}
