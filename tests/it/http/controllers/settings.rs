//! How the rules and meters of a controller are made: its numbers, its meters, its queues.

use super::*;
use kernel::intent::MeterId;

const OTHERS: &str = r#"{"driver": "simulated", "topology": "ring", "queues": true,
    "numbering": {"label_min": 1000, "meter_min": 5, "flows_max": 2, "cookie_tag": 17, "priority_min": 100},
    "policing": {"burst_ms": 50, "packet_bytes": 100}}"#;

#[tokio::test]
async fn rules_are_made_as_the_controller_says() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    let put = service.send("PUT", "/v1/controllers/c", &[], OTHERS).await;
    assert_eq!((put.status.as_u16(), &put.json()["numbering"]["flows_max"]), (201, &json!(2)), "{put:?}");
    assert_eq!(service.get("/v1/controllers/c").await.json()["policing"], json!({"burst_ms": 50, "packet_bytes": 100}));
    let ids = [admit(&service, "s1", "s3", 1).await, admit(&service, "s1", "s3", 2).await];
    for id in &ids {
        active(&service, id).await;
    }
    calm(&service).await;
    let rules = network.rules_held(Dpid(1));
    assert_eq!(rules.len(), 2);
    for rule in &rules {
        assert_eq!(rule.cookie.tag(), 17);
        assert!((100..10_100).contains(&rule.place.priority), "{rule:?}");
        let label =
            |action: &Action| matches!(action, Action::SetLabel(label) if (1000..1008).contains(&label.number()));
        assert!(rule.actions.iter().any(label) && rule.actions.contains(&Action::SetQueue(0)), "{rule:?}");
    }
    // 1 Mbit/s with the labels of packets of 100 bytes.
    let meters: Vec<_> =
        network.meters_held(Dpid(1)).iter().map(|one| (one.id, one.rate_kbps, one.burst_kbit)).collect();
    assert_eq!(meters, [(MeterId(5), 962, 48), (MeterId(6), 962, 48)]);

    let third = admit(&service, "s1", "s3", 3).await;
    let seen = until(&service, &format!("/v1/allocations/{third}"), |seen| seen["state"] == "degraded").await;
    assert!(seen["reason"].as_str().unwrap().starts_with("2 living allocations have flows"), "{seen}");

    assert_eq!(service.delete(&format!("/v1/allocations/{}", ids[0])).await.status, 204);
    active(&service, &third).await;

    let again = service.send("PUT", "/v1/controllers/c", &[], r#"{"driver": "simulated", "topology": "ring"}"#).await;
    assert_eq!((again.status.as_u16(), &again.json()["type"]), (409, &json!("/problems/numbering-fixed")));
    let longer = OTHERS.replace("50", "200");
    assert_eq!(service.send("PUT", "/v1/controllers/c", &[], longer).await.status, 200);
    eventually("bursts are longer", || network.meters_held(Dpid(1)).iter().all(|one| one.burst_kbit == 192)).await;
    assert_eq!(service.delete("/v1/controllers/c").await.status, 204);
    assert_eq!((1..=4).map(|at| network.rules_held(Dpid(at)).len()).sum::<usize>(), 0);
}

#[tokio::test]
async fn numbers_of_other_programs_are_not_read_as_this_services() {
    let network = network(Faults::default());
    // What the service would write by its usual numbers is another program's here.
    let theirs = Cookie::new(TAG, 1, kernel::id::AllocationId(1)).unwrap();
    network.write_directly(Dpid(1), Rule { cookie: theirs, ..foreign(0) });
    let service = ring(&network).await;
    assert_eq!(service.send("PUT", "/v1/controllers/c", &[], OTHERS).await.status, 201);
    let id = admit(&service, "s1", "s3", 1).await;
    active(&service, &id).await;
    assert_eq!(service.delete(&format!("/v1/allocations/{id}")).await.status, 204);
    until(&service, "/v1/controllers/c", |seen| seen["rules"]["intended"] == 0 && seen["rules"]["drifting"] == 0).await;
    let left: Vec<_> = network.rules_held(Dpid(1)).iter().map(|rule| rule.cookie).collect();
    assert_eq!(left, [theirs]);
}

#[tokio::test]
async fn settings_that_no_switch_takes_are_refused_with_their_field() {
    let service = ring(&network(Faults::default())).await;
    for (members, field) in [
        (json!({"numbering": {"label_min": 15}}), "numbering.label_min"),
        (json!({"numbering": {"label_min": 1_000_000}}), "numbering.label_min"),
        (json!({"numbering": {"meter_min": 0}}), "numbering.meter_min"),
        (json!({"numbering": {"flows_max": 0}}), "numbering.flows_max"),
        (json!({"numbering": {"cookie_tag": 0}}), "numbering.cookie_tag"),
        (json!({"numbering": {"priority_min": 60_000}}), "numbering.priority_min"),
        (json!({"policing": {"burst_ms": 0}}), "policing.burst_ms"),
        (json!({"policing": {"packet_bytes": 20}}), "policing.packet_bytes"),
    ] {
        let mut body = json!({"driver": "simulated", "topology": "ring"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let answer = service.send("PUT", "/v1/controllers/c", &[], body.to_string()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["field"]), (422, &json!(field)), "{answer:?}");
    }
}

#[tokio::test]
async fn the_older_of_two_flows_that_overlap_is_named() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let flow = |flow: Value| json!({"ingress": "s1", "egress": "s3", "class_type": 0, "bandwidth_bps": 1_000_000, "flow": flow});
    let mut ids = vec![];
    for said in [json!({"ipv4_src": "10.0.1.0/24"}), json!({"ipv4_dst": "10.0.2.0/24"})] {
        let answer = service.post("/v1/allocations", &flow(said).to_string()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        ids.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    let uri = format!("/v1/allocations/{}", ids[1]);
    let seen = until(&service, &uri, |seen| seen["state"] == "active" && seen["reason"].is_string()).await;
    assert!(seen["reason"].as_str().unwrap().contains(&format!("allocation {}", ids[0])), "{seen}");
    calm(&service).await;
    assert_eq!(service.delete(&format!("/v1/allocations/{}", ids[0])).await.status, 204);
    until(&service, &uri, |seen| seen["state"] == "active" && seen["reason"].is_null()).await;
}
