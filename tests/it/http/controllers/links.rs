//! What a controller sees of the links.

use super::super::harness::PAIR;
use super::*;
use axum::http::StatusCode;
use kernel::controller::DriverKind;
use kernel::units::Millis;
use watermaster::app::{AppOptions, ControllerAccess, driver_factory};
use watermaster::southbound::Adjacency;

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
    // What was counted is sampled with the rest; where nothing is known, nothing is said.
    service.app.sample_links(Millis(1_893_801_600_000)).await.unwrap();
    let then = service.get("/v1/topologies/ring/history?at=2030-01-05T00:00:00Z").await.json();
    let link = |name: &str| then["links"].as_array().unwrap().iter().find(|one| one["link"] == name).unwrap().clone();
    assert!(link("12")["measured_mean_bps"].is_u64() && link("12")["measured_max_bps"].is_u64(), "{then}");
    let uncontrolled = service.send("PUT", "/v1/topologies/net", &[], PAIR).await;
    assert_eq!(uncontrolled.status, StatusCode::CREATED);
    service.app.sample_links(Millis(1_893_801_660_000)).await.unwrap();
    let past = "/v1/topologies/net/links/ab/history?from=2030-01-05T00:00:00Z&to=2030-01-05T00:05:00Z";
    let points = service.get(past).await.json()["points"].clone();
    assert!(points[0].is_object() && points[0].get("measured_mean_bps").is_none(), "{points}");
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
async fn new_paths_pass_by_a_switch_that_its_controller_has_lost() {
    let network = network(Faults::default());
    // Standing traffic stays where it is: the time after which it leaves does not come.
    let lost_switch_after = Duration::from_secs(3600);
    let options = AppOptions { driver_factory: driving(&network), lost_switch_after, ..AppOptions::default() };
    let service = TestService::open_with(tempfile::tempdir().unwrap(), options).await;
    assert_eq!(service.send("PUT", "/v1/topologies/ring", &[], RING).await.status, 201);
    control(&service).await;
    let standing = admit(&service, "s1", "s3", 0).await;
    active(&service, &standing).await;
    let path = |id: String| {
        let service = &service;
        async move { service.get(&format!("/v1/allocations/{id}")).await.json()["path"].clone() }
    };
    let before = path(standing.clone()).await;
    let (lost, links) = if before[0] == "12" { (2, ["12", "23"]) } else { (4, ["41", "34"]) };
    network.set_silent(Dpid(lost), true);
    for link in links {
        let seen = until(&service, &format!("/v1/topologies/ring/links/{link}"), |seen| seen["avoided"] == true).await;
        assert_eq!(seen["state"], "up");
    }
    let new = admit(&service, "s1", "s3", 1).await;
    active(&service, &new).await;
    assert_ne!(path(new).await, before);
    assert_eq!(path(standing.clone()).await, before);
    // Where it is the only way, it is used, and the allocation says why it is not in force.
    let at = admit(&service, &format!("s{lost}"), "s3", 2).await;
    let reason = format!("switch {} does not answer", Dpid(lost));
    until(&service, &format!("/v1/allocations/{at}"), |seen| seen["state"] == "degraded" && seen["reason"] == reason)
        .await;
    let service = TestService::open_in(service.leave().await, driving(&network)).await;
    assert_eq!(service.get(&format!("/v1/topologies/ring/links/{}", links[0])).await.json()["avoided"], true);
    network.set_silent(Dpid(lost), false);
    for link in links {
        until(&service, &format!("/v1/topologies/ring/links/{link}"), |seen| seen.get("avoided").is_none()).await;
    }
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
async fn a_controller_is_asked_at_its_new_address_at_once() {
    let network = network(Faults::default());
    let (simulated, real) = (driving(&network), driver_factory(ControllerAccess::default()));
    let by_kind: DriverFactory = Arc::new(move |controller, topology| match controller.driver {
        DriverKind::Simulated => simulated(controller, topology),
        DriverKind::Ryu | DriverKind::Onos => real(controller, topology),
    });
    let service = TestService::open_in(tempfile::tempdir().unwrap(), by_kind).await;
    let survey = "/v1/controllers/c/topology?default_capacity_bps=8000000&dry_run=true";
    for _ in 0..5 {
        let nowhere = r#"{"driver":"ryu","url":"http://127.0.0.1:1","topology":"ring"}"#;
        let put = service.send("PUT", "/v1/controllers/c", &[], nowhere).await;
        assert!(matches!(put.status.as_u16(), 200 | 201));
        assert_eq!(service.post(survey, "").await.problem(), "controller-unavailable");
        control(&service).await;
        assert_eq!(service.post(survey, "").await.status, StatusCode::OK);
    }
    service.close().await;
}
