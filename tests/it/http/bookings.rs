//! Allocations that are booked for later.

use std::time::Duration;

use api::instant::Instant;
use axum::http::StatusCode;
use serde_json::{Value, json};
use watermaster::app::AppOptions;

use super::harness::{PAIR, TestService};

fn booking(starts_at: &str, more: Value) -> String {
    let mut body =
        json!({"ingress": "a", "egress": "b", "class_type": 0, "bandwidth_bps": 70_000_000, "starts_at": starts_at});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

/// In so many milliseconds.
fn soon(service: &TestService, ms: u64) -> String {
    Instant(service.app.now().0 + ms).to_string()
}

#[tokio::test]
async fn a_booking_is_scheduled_listed_changed_and_released() {
    let service = TestService::with(PAIR).await;
    let asked = booking("2100-01-01T00:00:00Z", json!({"duration_ms": 7_200_000}));
    let planned = service.post("/v1/allocations?dry_run=true", &asked).await;
    assert_eq!((planned.status, &planned.json()["state"]), (StatusCode::OK, &json!("scheduled")));
    let answer = service.post("/v1/allocations", &asked).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let booked = answer.json();
    assert_eq!(booked["state"], "scheduled");
    assert_eq!(booked["starts_at"], "2100-01-01T00:00:00.000Z");
    assert_eq!(booked["expires_at"], "2100-01-01T02:00:00.000Z");
    let link = service.get("/v1/topologies/net/links/ab").await.json();
    assert_eq!((&link["reserved_bps"], &link["allocation_count"]), (&json!(0), &json!(0)));
    let one = format!("/v1/allocations/{}", booked["id"].as_str().unwrap());
    let listed = service.get("/v1/allocations?state=scheduled&link=ab").await.json();
    assert_eq!(listed["items"][0]["id"], booked["id"]);
    assert_eq!(service.get("/v1/allocations?state=active").await.json()["items"], json!([]));
    let changed = service.patch(&one, r#"{"bandwidth_bps": 8000000}"#).await.json();
    assert_eq!((&changed["bandwidth_bps"], &changed["state"]), (&json!(8_000_000), &json!("scheduled")));
    assert_eq!(service.delete(&one).await.status, StatusCode::NO_CONTENT);
    assert_eq!(service.get(&one).await.json()["state"], "released");
    service.close().await;
}

#[tokio::test]
async fn a_booking_starts_by_itself() {
    let service = TestService::with(PAIR).await;
    let mut commits = service.app.subscribe();
    let mut answer = service.post("/v1/allocations", &booking(&soon(&service, 20), json!({}))).await;
    // On a slow machine that was not soon enough.
    for wait in [200, 2_000] {
        if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
            answer = service.post("/v1/allocations", &booking(&soon(&service, wait), json!({}))).await;
        }
    }
    let one = format!("/v1/allocations/{}", answer.json()["id"].as_str().unwrap());
    let started = async {
        while service.get(&one).await.json()["state"] != "active" {
            commits.recv().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), started).await.unwrap();
    let events = service.get("/v1/events?limit=1000").await.json();
    let kinds: Vec<_> = events["items"].as_array().unwrap().iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["topology_put", "allocation_admitted", "allocation_started"]);
    let started = &events["items"][2]["data"]["allocation"];
    assert_eq!((&started["starts_at"], &started["path"]), (&Value::Null, &json!(["ab"])));
    let link = service.get("/v1/topologies/net/links/ab").await.json();
    assert_eq!((&link["reserved_bps"], &link["allocation_count"]), (&json!(70_000_000), &json!(1)));
    service.close().await;
}

#[tokio::test]
async fn a_start_that_is_not_to_be_had_names_its_field() {
    let service = TestService::with(PAIR).await;
    let (late, later) = ("2100-01-01T00:00:00Z", "2100-01-01T00:00:01Z");
    for (starts_at, more, field) in [
        ("2020-01-01T00:00:00Z", json!({}), "starts_at"),
        (late, json!({"ends_at": late}), "expires_at"),
        (late, json!({"ends_at": later, "duration_ms": 1}), "duration_ms"),
        (late, json!({"duration_ms": 0}), "duration_ms"),
    ] {
        let answer = service.post("/v1/allocations", &booking(starts_at, more)).await;
        assert_eq!((answer.status, &answer.json()["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)));
    }
    let soon = booking(&soon(&service, 1_000), json!({"hold_ms": 60_000}));
    assert_eq!(service.post("/v1/allocations", &soon).await.json()["field"], "hold_ms");
    assert_eq!(service.post("/v1/allocations", &booking("Tuesday", json!({}))).await.status, StatusCode::BAD_REQUEST);
    service.close().await;
}

#[tokio::test]
async fn what_is_available_is_said_in_windows() {
    let service = TestService::with(PAIR).await;
    let booked = booking("2100-01-01T02:00:00Z", json!({"duration_ms": 7_200_000}));
    assert_eq!(service.post("/v1/allocations", &booked).await.status, StatusCode::CREATED);
    let ask = async |bps: u64, more: Value| {
        let mut body = json!({"from": "a", "to": "b", "class_type": 0, "bandwidth_bps": bps, "duration_ms": 3_600_000,
            "window": {"from": "2100-01-01T00:00:00Z", "to": "2100-01-01T08:00:00Z"}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        service.post("/v1/topologies/net/availabilities", &body.to_string()).await
    };
    let found = ask(40_000_000, json!({})).await;
    assert_eq!(found.status, StatusCode::OK, "{found:?}");
    let time = |hour: u8| format!("2100-01-01T0{hour}:00:00.000Z");
    let windows = json!([{"from": time(0), "to": time(2)}, {"from": time(4), "to": time(8)}]);
    let expected =
        json!({"windows": windows, "earliest_start": time(0), "largest_bandwidth_bps": 30_000_000, "sequence": 2});
    assert_eq!(found.json(), expected);
    let found = ask(110_000_000, json!({})).await.json();
    assert_eq!((&found["windows"], &found["earliest_start"]), (&json!([]), &Value::Null));
    for (more, field) in [
        (json!({"from": "x"}), "from"),
        (json!({"to": "a"}), "to"),
        (json!({"duration_ms": 0}), "duration_ms"),
        (json!({"duration_ms": 28_800_001}), "duration_ms"),
        (json!({"window": {"from": "2010-01-01T00:00:00Z", "to": "2010-01-02T00:00:00Z"}}), "window.to"),
    ] {
        let answer = ask(1, more).await;
        assert_eq!((answer.status, &answer.json()["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)));
    }
    service.close().await;
}

#[tokio::test]
async fn times_and_bandwidth_are_changed_as_one_or_not_at_all() {
    let service = TestService::with(PAIR).await;
    let hour = |hour: u8| format!("2100-01-01T0{hour}:00:00.000Z");
    let answer = service.post("/v1/allocations", &booking(&hour(2), json!({"ends_at": hour(4)}))).await.json();
    let one = format!("/v1/allocations/{}", answer["id"].as_str().unwrap());
    service.post("/v1/allocations", &booking(&hour(6), json!({"ends_at": hour(8)}))).await;
    let times = |answer: &Value| (answer["starts_at"].clone(), answer["expires_at"].clone());
    let moved = json!({"starts_at": hour(3), "ends_at": hour(6)}).to_string();
    let tried = service.patch(&format!("{one}?dry_run=true"), &moved).await.json();
    assert_eq!((times(&tried), &tried["dry_run"]), ((json!(hour(3)), json!(hour(6))), &json!(true)));
    assert_eq!(times(&service.get(&one).await.json()), (json!(hour(2)), json!(hour(4))));
    assert_eq!(times(&service.patch(&one, &moved).await.json()), (json!(hour(3)), json!(hour(6))));
    let longer = json!({"expires_at": hour(7)});
    let denied = service.patch(&one, &longer.to_string()).await;
    assert_eq!((denied.status, &denied.json()["largest_admissible_bps"]), (StatusCode::CONFLICT, &json!(30_000_000)));
    let less = json!({"expires_at": hour(7), "bandwidth_bps": 30_000_000}).to_string();
    let changed = service.patch(&one, &less).await.json();
    assert_eq!((times(&changed).1, &changed["bandwidth_bps"]), (json!(hour(7)), &json!(30_000_000)));
    let at_once = service.patch(&one, r#"{"starts_at": null, "expires_at": null}"#).await.json();
    assert_eq!((times(&at_once), &at_once["state"]), ((Value::Null, Value::Null), &json!("active")));
    for (body, field) in [
        (json!({"starts_at": hour(1)}), "starts_at"),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": hour(1), "duration_ms": 1}), "duration_ms"),
    ] {
        let answer = service.patch(&one, &body.to_string()).await;
        assert_eq!((answer.status, &answer.json()["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)));
    }
    let service = TestService::open_with(service.leave().await, AppOptions::default()).await;
    assert_eq!(service.get(&one).await.json()["bandwidth_bps"], json!(30_000_000));
    service.close().await;
}

#[tokio::test]
async fn who_will_be_preempted_is_told_ahead() {
    let service = TestService::with(PAIR).await;
    let mut commits = service.app.subscribe();
    let model = json!({"model": "rdm", "classes": [{"class_type": 0, "share_ppm": 600_000}, {"class_type": 1, "share_ppm": 400_000}]});
    let put = service.put("/v1/topologies/net/bandwidth-model", "*", &model.to_string()).await;
    assert_eq!(put.status, StatusCode::OK, "{put:?}");
    let low = service.admit(0, 100_000_000).await;
    let starts_at = soon(&service, 60 * 60 * 1_000);
    let better = booking(&starts_at, json!({"class_type": 1, "bandwidth_bps": 40_000_000}));
    let by = service.post("/v1/allocations", &better).await.json()["id"].clone();
    let one = format!("/v1/allocations/{low}");
    let mut told = async |is_told: bool| {
        let waited = async {
            loop {
                let seen = service.get(&one).await.json();
                if seen["preempted_at"].is_string() == is_told {
                    return seen;
                }
                commits.recv().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waited).await.unwrap()
    };
    let seen = told(true).await;
    assert_eq!(
        (&seen["preempted_at"], &seen["preempted_by"], &seen["state"]),
        (&json!(starts_at), &by, &json!("active"))
    );
    let found = async |query: &str| {
        let page = service.get(&format!("/v1/allocations?{query}")).await.json();
        page["items"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(found("preempted_before=2100-01-01T00:00:00Z").await, [json!(low)]);
    assert_eq!(found("preempted_after=2100-01-01T00:00:00Z").await, [] as [Value; 0]);
    assert_eq!(service.get("/v1/allocations?preempted_before=Tuesday").await.status, StatusCode::BAD_REQUEST);
    service.delete(&format!("/v1/allocations/{}", by.as_str().unwrap())).await;
    told(false).await;
    let events = service.get("/v1/events?limit=1000").await.json();
    let notices = events["items"].as_array().unwrap().iter().filter(|event| event["kind"] == "preemption_foreseen");
    let notices: Vec<_> = notices.map(|event| event["data"]["notices"].clone()).collect();
    let given = json!([{"id": low, "preempted_at": starts_at, "preempted_by": by}]);
    assert_eq!(notices, [given, json!([{"id": low}])]);
    service.close().await;
}
