//! What a body may look like: compressed, marked, with integers written in any way; and files that hold several networks.

use std::io::Write;

use axum::http::StatusCode;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::harness::{PAIR, TestService};

fn packed(plain: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(vec![], Compression::fast());
    packer.write_all(plain).unwrap();
    packer.finish().unwrap()
}

#[tokio::test]
async fn integers_are_numbers_of_integer_value() {
    let service = TestService::with(PAIR).await;
    let uri = "/v1/allocations?dry_run=true";
    let ask = |bps: &str| format!(r#"{{"ingress":"a","egress":"b","class_type":0.0,"bandwidth_bps":{bps}}}"#);
    for bps in ["1e6", "1000000.0", "10.5E5"] {
        let answer = service.post(uri, &ask(bps)).await;
        assert_eq!(answer.status, StatusCode::OK, "{bps}: {answer:?}");
        assert_eq!(answer.json()["bandwidth_bps"], if bps == "10.5E5" { 1_050_000 } else { 1_000_000 }, "{bps}");
    }
    for bps in ["1.5", "1e-1", "1e30"] {
        assert_eq!(service.post(uri, &ask(bps)).await.problem(), "malformed-body", "{bps}");
    }
    assert_eq!(service.post(uri, &format!("\u{feff}{}", ask("1"))).await.status, StatusCode::OK);
    let last = r#"{"ingress":"a","egress":"b","class_type":0,"bandwidth_bps":1,"expires_at":"9999-12-31T23:59:59Z"}"#;
    let answer = service.post(uri, last).await;
    assert_eq!(answer.json()["expires_at"], "9999-12-31T23:59:59.000Z", "{answer:?}");
    let batch = r#"[{"ingress":"a","egress":"b","class_type":0,"bandwidth_bps":1e6}]"#;
    let answer = service.post("/v1/allocations/batch?dry_run=true", batch).await;
    assert_eq!(answer.json()["outcomes"][0]["allocation"]["bandwidth_bps"], 1_000_000, "{answer:?}");
    service.close().await;
}

#[tokio::test]
async fn bodies_may_be_compressed_within_their_bound() {
    let service = TestService::with(PAIR).await;
    let gzip = [("content-encoding", "gzip")];
    let request = br#"{"ingress":"a","egress":"b","class_type":0,"bandwidth_bps":1}"#;
    let post = async |headers: &[(&str, &str)], body: Vec<u8>| {
        service.send("POST", "/v1/allocations?dry_run=true", headers, body).await
    };
    assert_eq!(post(&gzip, packed(request)).await.status, StatusCode::OK);
    assert_eq!(post(&gzip, request.to_vec()).await.problem(), "malformed-body");
    let bomb = [&request[..], &vec![b' '; 1 << 20]].concat();
    assert_eq!(post(&gzip, packed(&bomb)).await.problem(), "body-too-large");
    let refused = post(&[("content-encoding", "br")], request.to_vec()).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-coding")
    );
    assert_eq!(refused.header("accept-encoding"), "gzip");

    let put =
        async |headers: &[(&str, &str)], body: Vec<u8>| service.send("PUT", "/v1/topologies/new", headers, body).await;
    let large = [PAIR.as_bytes(), &vec![b' '; 2 << 20]].concat();
    assert_eq!(put(&gzip, packed(&large)).await.status, StatusCode::CREATED);
    let bomb = packed(&vec![b' '; formats::INPUT_MAX_BYTES + 1]);
    assert_eq!(put(&gzip, bomb.clone()).await.problem(), "body-too-large");
    assert_eq!(put(&[], bomb).await.problem(), "body-too-large", "a compressed file is known by its content, too");
    service.close().await;
}

#[tokio::test]
async fn one_network_of_several_is_chosen() {
    let service = TestService::open().await;
    let layers = r#"{"ietf-network:networks": {"network": [
        {"network-id": "optical", "node": [{"node-id": "A"}, {"node-id": "B"}, {"node-id": "C"}]},
        {"network-id": "ip", "node": [{"node-id": "A"}, {"node-id": "B"}]}]}}"#;
    let put = async |query: &str| {
        service.send("PUT", &format!("/v1/topologies/net?dry_run=true{query}"), &[], layers.to_owned()).await
    };
    let refused = put("").await;
    assert_eq!(refused.problem(), "unreadable-topology");
    assert!(refused.json()["detail"].as_str().unwrap().contains("'optical', 'ip'"), "{refused:?}");
    assert_eq!(put("&network=ip").await.json()["nodes"], 2);
    assert_eq!(put("&network=optical").await.json()["nodes"], 3);
    assert_eq!(put("&network=mpls").await.problem(), "unreadable-topology");
    service.close().await;
}
