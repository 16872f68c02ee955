//! Bandwidths that follow the traffic that switches count.

use super::*;
use kernel::id::AllocationId;
use kernel::intent::CookieFilter;

const OVERFLOWING: &str = r#"{"minimum_bandwidth_bps": 1000000, "maximum_bandwidth_bps": 20000000,
    "sample_interval_ms": 1000, "overflow_count": 1, "overflow_threshold_percent": 10}"#;

async fn follow(service: &TestService) -> String {
    let mut body = json!({"ingress": "s1", "egress": "s3", "class_type": 0, "bandwidth_bps": 2_000_000,
                          "flow": {"ipv4_dst": "10.0.0.3"}});
    body["auto_bandwidth"] = serde_json::from_str(OVERFLOWING).unwrap();
    let planned = service.post("/v1/allocations?dry_run=true", &body.to_string()).await.json();
    assert_eq!(planned["auto_bandwidth"]["overflow_count"], 1);
    let answer = service.post("/v1/allocations", &body.to_string()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let asked = answer.json()["auto_bandwidth"].clone();
    assert_eq!((&asked["adjustment_interval_ms"], &asked["underflow_count"]), (&json!(86_400_000), &json!(0)));
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn status_has(seen: &Value, part: &str) -> bool {
    seen["auto_bandwidth_status"]["reason"].as_str().is_some_and(|reason| reason.contains(part))
}

#[tokio::test]
async fn a_bandwidth_follows_what_its_rules_count() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    let id = follow(&service).await;
    let one = format!("/v1/allocations/{id}");
    assert!(status_has(&service.get(&one).await.json(), "the topology has no controller"));
    control(&service).await;
    active(&service, &id).await;
    until(&service, &one, |seen| status_has(seen, "this controller cannot count the packets of rules")).await;

    let which = CookieFilter::of(TAG, AllocationId(id.parse().unwrap()));
    network.count_bytes(Dpid(1), which, 1);
    let seen = until(&service, &one, |seen| seen["auto_bandwidth_status"]["measured_bps"] == 0).await;
    assert_eq!((&seen["bandwidth_bps"], &seen["auto_bandwidth_status"]["reason"]), (&json!(2_000_000), &Value::Null));
    assert!(seen["auto_bandwidth_status"]["adjusts_at"].is_string());
    network.count_bytes(Dpid(1), which, 1 << 40);
    until(&service, &one, |seen| seen["bandwidth_bps"] == 20_000_000).await;
    active(&service, &id).await;
    eventually("the meter lets so much through", || network.meters_held(Dpid(1))[0].rate_kbps == 20_000).await;
    let events = service.get("/v1/events?actor=auto-bandwidth").await.json();
    assert_eq!(events["items"][0]["kind"], "allocation_resized", "{events}");

    // No link carries as much as is wanted: the bandwidth stays, and the answer says why.
    let more = OVERFLOWING.replace("20000000", "900000000");
    let patched = service.patch(&one, &format!(r#"{{"auto_bandwidth": {more}}}"#)).await;
    assert_eq!(patched.status, 200, "{patched:?}");
    until(&service, &one, |seen| seen["auto_bandwidth_status"]["measured_bps"] == 0).await;
    network.count_bytes(Dpid(1), which, 1 << 40);
    let seen = until(&service, &one, |seen| status_has(seen, "900000000 bit/s were denied")).await;
    assert_eq!(seen["bandwidth_bps"], 20_000_000);

    // The settings outlive a restart; at the end of an interval without traffic the minimum is left.
    let service = TestService::open_in(service.leave().await, driving(&network)).await;
    assert_eq!(service.get(&one).await.json()["auto_bandwidth"]["maximum_bandwidth_bps"], 900_000_000);
    let each_second = r#"{"minimum_bandwidth_bps": 1000000, "maximum_bandwidth_bps": 20000000,
        "sample_interval_ms": 1000, "adjustment_interval_ms": 1000}"#;
    service.patch(&one, &format!(r#"{{"auto_bandwidth": {each_second}}}"#)).await;
    until(&service, &one, |seen| seen["bandwidth_bps"] == 1_000_000).await;
    let off = service.patch(&one, r#"{"auto_bandwidth": null}"#).await.json();
    assert!(off.get("auto_bandwidth").is_none() && off.get("auto_bandwidth_status").is_none(), "{off}");
    service.close().await;
}

#[tokio::test]
async fn what_auto_bandwidth_cannot_be_is_refused_with_its_field() {
    let service = ring(&network(Faults::default())).await;
    let id = follow(&service).await;
    for (change, field) in [
        (r#"{"bandwidth_bps": 999999}"#, "bandwidth_bps"),
        (
            r#"{"auto_bandwidth": {"minimum_bandwidth_bps": 0, "maximum_bandwidth_bps": 1}}"#,
            "auto_bandwidth.minimum_bandwidth_bps",
        ),
        (
            r#"{"auto_bandwidth": {"minimum_bandwidth_bps": 2, "maximum_bandwidth_bps": 1}}"#,
            "auto_bandwidth.maximum_bandwidth_bps",
        ),
        (
            r#"{"auto_bandwidth": {"minimum_bandwidth_bps": 1, "maximum_bandwidth_bps": 9000000, "sample_interval_ms": 1}}"#,
            "auto_bandwidth.sample_interval_ms",
        ),
        (
            r#"{"auto_bandwidth": {"minimum_bandwidth_bps": 1, "maximum_bandwidth_bps": 9000000, "overflow_count": 256}}"#,
            "auto_bandwidth.overflow_count",
        ),
    ] {
        let answer = service.patch(&format!("/v1/allocations/{id}"), change).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (422, "impossible-request"), "{change}");
        assert_eq!(answer.json()["field"], field, "{change}");
    }
    let both = json!({"ingress": "s1", "egress": "s3", "class_type": 0, "bandwidth_bps": 1, "bidirectional": true,
                      "auto_bandwidth": {"minimum_bandwidth_bps": 1, "maximum_bandwidth_bps": 1}});
    assert_eq!(service.post("/v1/allocations", &both.to_string()).await.json()["field"], "auto_bandwidth");
    service.close().await;
}
