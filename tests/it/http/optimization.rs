//! Optimisation: a plan is proposed, made as it says, at once or step by step, and made once; what cannot be made any more
//! changes nothing.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::harness::{TRIANGLE, TestService};

const PLANS: &str = "/v1/topologies/net/optimizations";

/// Three allocations on the direct link, which fill it to 90 %.
async fn filled() -> (TestService, Vec<Value>) {
    let service = TestService::with(TRIANGLE).await;
    let mut ids = vec![];
    for _ in 0..3 {
        let request = r#"{"ingress":"a","egress":"b","class_type":2,"bandwidth_bps":30000000,"customer":"ACME",
            "constraints":{"path_metric":"hops"}}"#;
        ids.push(service.post("/v1/allocations", request).await.json()["id"].take());
    }
    (service, ids)
}

async fn plan(service: &TestService, body: &Value) -> Value {
    let answer = service.post(PLANS, &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_plan_is_proposed_and_then_made_once() {
    let (service, ids) = filled().await;
    let events = service.get("/v1/events").await.text;
    let proposed = plan(&service, &json!({"objective": "max_utilisation"})).await;
    assert_eq!(service.get("/v1/events").await.text, events);
    assert_eq!((&proposed["before_ppm"], &proposed["after_ppm"]), (&json!(900_000), &json!(600_000)));
    // 90 Mbit/s over two ways of 100 Mbit/s each.
    let value = &proposed["value"];
    let bound = value["bound"].as_u64().unwrap();
    assert!((449_950..=450_000).contains(&bound), "{bound}");
    assert_eq!(value["reached_ppm"], bound * 1_000_000 / 600_000);
    assert_eq!((&value["unit"], &value["bound_from"]), (&json!("ppm"), &json!("linear_program")));
    assert_eq!((&value["before"], &value["after"]), (&json!(900_000), &json!(600_000)));
    let step = json!({"id": ids[0], "customer": "ACME", "bandwidth_bps": 30_000_000, "from": ["ab"], "to": ["ac", "cb"],
        "max_ppm": 600_000, "value": 600_000});
    assert_eq!(proposed["moves"], json!([step]));
    assert_eq!(proposed["links"][0], json!({"link": "ab", "before_ppm": 900_000, "after_ppm": 600_000}));
    assert_eq!((&proposed["applied"], &proposed["cut_short"]), (&json!(false), &json!(false)));
    let place = format!("{PLANS}/{}", proposed["id"].as_str().unwrap());
    assert_eq!(service.get(&place).await.json(), proposed);

    let apply = format!("{place}/apply");
    let applied = service.post(&apply, "").await;
    assert_eq!((applied.status, &applied.json()["moves"]), (StatusCode::OK, &json!(1)));
    let moved = service.get(&format!("/v1/allocations/{}", ids[0].as_str().unwrap())).await.json();
    assert_eq!((&moved["path"], &moved["constraints"]["path_metric"]), (&json!(["ac", "cb"]), &json!("hops")));
    let events = service.get("/v1/events").await.text;
    let again = service.post(&apply, "").await.json();
    assert_eq!(again, json!({"id": proposed["id"], "moves": 0, "moves_done": 1}));
    let made = service.get(&place).await.json();
    assert_eq!((&made["applied"], &made["moves_done"]), (&json!(true), &json!(1)));
    assert_eq!(service.get("/v1/events").await.text, events);
    assert_eq!(plan(&service, &json!({"objective": "max_utilisation"})).await["moves"], json!([]));
    service.close().await;
}

#[tokio::test]
async fn a_plan_may_be_made_at_once_and_is_not_if_it_does_not_fit_any_more() {
    let (service, ids) = filled().await;
    let proposed = plan(&service, &json!({"objective": "max_utilisation", "max_moves": 1})).await;
    // The way that the plan wants is full.
    let full = r#"{"ingress":"a","egress":"c","class_type":2,"bandwidth_bps":80000000,"constraints":{"max_hops":1}}"#;
    assert_eq!(service.post("/v1/allocations", full).await.status, StatusCode::CREATED);
    let apply = format!("{PLANS}/{}/apply", proposed["id"].as_str().unwrap());
    let refused = service.post(&apply, "").await;
    assert_eq!((refused.problem().as_str(), &refused.json()["request"]), ("insufficient-bandwidth", &json!(0)));
    let still = service.get(&format!("/v1/allocations/{}", ids[0].as_str().unwrap())).await.json();
    assert_eq!(still["path"], json!(["ab"]));
    service.close().await;

    let (service, ids) = filled().await;
    let made = plan(&service, &json!({"objective": "max_utilisation", "apply": "auto"})).await;
    assert_eq!((&made["applied"], &made["moves"][0]["id"]), (&json!(true), &ids[0]));
    assert_eq!(service.get("/v1/topologies/net/links/ab").await.json()["utilisation_ppm"], 600_000);
    service.close().await;
}

/// Moves that can still be made, and would not help: 30 Mbit/s beside 60 on a way that was empty, while the other is at 60.
#[tokio::test]
async fn a_plan_that_does_not_help_any_more_is_refused() {
    let (service, ids) = filled().await;
    let proposed = plan(&service, &json!({"objective": "max_utilisation", "max_moves": 1})).await;
    let path = format!("/v1/allocations/{}", ids[2].as_str().unwrap());
    assert_eq!(service.delete(&path).await.status, StatusCode::NO_CONTENT);
    let other = r#"{"ingress":"a","egress":"c","class_type":2,"bandwidth_bps":60000000,"constraints":{"max_hops":1}}"#;
    assert_eq!(service.post("/v1/allocations", other).await.status, StatusCode::CREATED);
    let apply = format!("{PLANS}/{}/apply", proposed["id"].as_str().unwrap());
    let refused = service.post(&apply, "").await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::CONFLICT, "plan-outdated"));
    assert_eq!(service.get("/v1/topologies/net/links/ab").await.json()["utilisation_ppm"], 600_000);
    service.close().await;
}

/// Three allocations with a way round, of which a booking in between takes away the last.
#[tokio::test]
async fn a_plan_is_made_step_by_step_up_to_the_first_conflict() {
    let service = TestService::with(TRIANGLE).await;
    let blocker = service
        .post(
            "/v1/allocations",
            r#"{"ingress":"a","egress":"b","class_type":2,"bandwidth_bps":90000000,
        "constraints":{"max_hops":1}}"#,
        )
        .await
        .json();
    for _ in 0..3 {
        let round = r#"{"ingress":"a","egress":"b","class_type":2,"bandwidth_bps":30000000}"#;
        let allocation = service.post("/v1/allocations", round).await.json();
        assert_eq!(allocation["path"], json!(["ac", "cb"]));
    }
    service.delete(&format!("/v1/allocations/{}", blocker["id"].as_str().unwrap())).await;
    let proposed = plan(&service, &json!({"objective": "total_cost"})).await;
    assert_eq!(
        proposed["value"],
        json!({"unit": "metric_bps", "before": 180_000_000, "after": 90_000_000,
        "bound": 90_000_000, "bound_from": "linear_program", "reached_ppm": 1_000_000})
    );
    let values: Vec<_> = proposed["moves"].as_array().unwrap().iter().map(|step| step["value"].clone()).collect();
    assert_eq!(values, [150_000_000, 120_000_000, 90_000_000]);

    let place = format!("{PLANS}/{}", proposed["id"].as_str().unwrap());
    let apply = format!("{place}/apply");
    for (through, moves) in [(1, 1), (1, 0), (2, 1)] {
        let made = service.post(&apply, &json!({"through": through}).to_string()).await.json();
        assert_eq!((&made["moves"], &made["moves_done"]), (&json!(moves), &json!(through)), "{made}");
        assert_eq!(made["sequence"].is_null(), moves == 0);
    }
    let taken = r#"{"ingress":"a","egress":"b","class_type":2,"bandwidth_bps":40000000,"constraints":{"max_hops":1}}"#;
    let taken = service.post("/v1/allocations", taken).await.json();
    let stopped = service.post(&apply, r#"{"through":3}"#).await.json();
    assert_eq!((&stopped["moves"], &stopped["moves_done"]), (&json!(0), &json!(2)));
    let conflict = &stopped["conflict"];
    assert_eq!((&conflict["type"], &conflict["request"]), (&json!("/problems/insufficient-bandwidth"), &json!(2)));
    assert_eq!(service.get(&place).await.json()["conflict"], *conflict);
    let refused = service.post(&apply, "").await;
    assert_eq!((refused.problem().as_str(), &refused.json()["request"]), ("insufficient-bandwidth", &json!(2)));

    service.delete(&format!("/v1/allocations/{}", taken["id"].as_str().unwrap())).await;
    let rest = service.post(&apply, "").await.json();
    assert_eq!((&rest["moves"], &rest["moves_done"], &rest["conflict"]), (&json!(1), &json!(3), &Value::Null));
    let beyond = service.post(&apply, r#"{"through":4}"#).await;
    assert_eq!((beyond.problem().as_str(), &beyond.json()["field"]), ("impossible-request", &json!("through")));
    service.close().await;
}

#[tokio::test]
async fn requests_that_are_denied_are_admitted_after_moves() {
    let (service, ids) = filled().await;
    let request = json!({"ingress": "a", "egress": "b", "class_type": 2, "bandwidth_bps": 40_000_000, "name": "late",
        "relocation": {"max_moves": 0}, "constraints": {"max_hops": 1}});
    assert_eq!(service.post("/v1/allocations", &request.to_string()).await.problem(), "insufficient-bandwidth");
    let events = service.get("/v1/events").await.text;
    let body = json!({"objective": "admit_all", "requests": [request]});
    let proposed = plan(&service, &body).await;
    assert_eq!(
        proposed["value"],
        json!({"unit": "bps", "before": 0, "after": 40_000_000, "bound": 40_000_000,
        "bound_from": "linear_program", "reached_ppm": 1_000_000})
    );
    let steps = proposed["moves"].as_array().unwrap();
    assert_eq!((steps.len(), &steps[0]["to"]), (2, &json!(["ac", "cb"])), "{steps:?}");
    assert!(ids.contains(&steps[0]["id"]));
    assert_eq!(
        steps[1],
        json!({"request": 0, "name": "late", "bandwidth_bps": 40_000_000, "from": [], "to": ["ab"],
        "max_ppm": steps[1]["max_ppm"], "value": 40_000_000})
    );
    assert_eq!(service.get("/v1/events").await.text, events);
    let made = plan(&service, &json!({"objective": "admit_all", "apply": "auto", "requests": body["requests"]})).await;
    assert_eq!((&made["applied"], &made["moves_done"]), (&json!(true), &json!(2)));
    let id = made["moves"][1]["id"].as_str().unwrap();
    let admitted = service.get(&format!("/v1/allocations/{id}")).await.json();
    assert_eq!((&admitted["path"], &admitted["name"]), (&json!(["ab"]), &json!("late")));
    // The same steps after the same event are the same plan, and it is not made twice.
    let apply = format!("{PLANS}/{}/apply", proposed["id"].as_str().unwrap());
    assert_eq!(service.post(&apply, "").await.json()["moves"], 0);
    service.close().await;
}

#[tokio::test]
async fn the_smallest_free_bandwidth_grows() {
    let (service, _) = filled().await;
    let made = plan(&service, &json!({"objective": "max_min", "apply": "auto"})).await;
    let value = &made["value"];
    assert_eq!(
        (&value["before"], &value["after"], &made["applied"]),
        (&json!(10_000_000), &json!(40_000_000), &json!(true))
    );
    // 90 Mbit/s over two ways of 100 Mbit/s each.
    let bound = value["bound"].as_u64().unwrap();
    assert!((55_000_000..=55_005_500).contains(&bound), "{bound}");
    service.close().await;
}

#[tokio::test]
async fn a_plan_out_of_bounds_is_refused() {
    let service = TestService::with(TRIANGLE).await;
    let one = json!({"ingress": "a", "egress": "b", "class_type": 2, "bandwidth_bps": 1});
    let with = |member: &str, value: Value| {
        let mut one = one.clone();
        one[member] = value;
        json!({"objective": "admit_all", "requests": [one]})
    };
    for (body, kind, field) in [
        (json!({"objective": "admit_all"}), "impossible-request", "requests"),
        (json!({"objective": "max_min", "requests": [one]}), "impossible-request", "requests"),
        (json!({"objective": "admit_all", "requests": vec![&one; 101]}), "impossible-request", "requests"),
        (with("topology", json!("other")), "impossible-request", "topology"),
        (with("starts_at", json!("2100-01-01T00:00:00Z")), "impossible-request", "starts_at"),
        (with("bandwidth_bps", json!(0)), "impossible-request", "bandwidth_bps"),
        (with("egress", json!("nowhere")), "unknown-reference", "egress"),
    ] {
        let answer = service.post(PLANS, &body.to_string()).await;
        assert_eq!((answer.problem().as_str(), answer.json()["field"].as_str()), (kind, Some(field)), "{answer:?}");
        assert!(field == "requests" || answer.json()["request"] == 0, "{answer:?}");
    }
    let cases = [
        (json!({"objective": "happiness"}), "malformed-body"),
        (json!({"objective": "max_utilisation", "apply": "maybe"}), "malformed-body"),
        (json!({"objective": "max_utilisation", "max_moves": 0}), "impossible-request"),
        (json!({"objective": "max_utilisation", "max_moves": 1_001}), "impossible-request"),
    ];
    for (body, kind) in cases {
        let answer = service.post(PLANS, &body.to_string()).await;
        assert_eq!(answer.problem(), kind, "{body}");
        assert!(kind == "malformed-body" || answer.json()["field"] == "max_moves", "{answer:?}");
    }
    let elsewhere = service.post("/v1/topologies/other/optimizations", r#"{"objective":"max_utilisation"}"#).await;
    assert_eq!(elsewhere.problem(), "unknown-topology");
    assert_eq!(service.post(&format!("{PLANS}/1-1/apply"), "").await.problem(), "unknown-plan");
    service.close().await;
}
