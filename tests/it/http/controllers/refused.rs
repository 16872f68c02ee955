//! What is refused, and why there are no rules.

use super::*;
use api::outbound::OutboundNetworks;
use watermaster::app::{ControllerAccess, driver_factory};

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
