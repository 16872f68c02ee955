//! Who may do what: every operation of the document against every role, and what tokens are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::own_hosts::OwnHosts;
use axum::http::StatusCode;
use serde_json::{Value, json};
use watermaster::auth::{Authenticator, OPERATIONS, Permission, TokenStore, needed};
use watermaster::http::document;

use super::harness::{PAIR, TestService, request};

pub(super) const ADMINISTRATOR: &str = "wm_the-token-of-the-test-that-everything-begins-with";
const ROLES: [&str; 5] = ["viewer", "aggregator", "requester", "engineer", "admin"];

/// A service that asks who one is, and its clock.
pub(super) async fn closed() -> (TestService, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let now = Arc::clone(&clock);
    let service = TestService::guarded(async |journal| {
        let now = move || kernel::units::Millis(now.load(Ordering::Relaxed));
        Authenticator::new(TokenStore::open(journal, Some(ADMINISTRATOR), now).await.unwrap(), true)
    });
    let service = service.await;
    let answer = with(&service, ADMINISTRATOR, "PUT", "/v1/topologies/net", PAIR).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    (service, clock)
}

pub(super) async fn with(
    service: &TestService,
    token: &str,
    method: &str,
    uri: &str,
    body: &str,
) -> super::harness::Answer {
    let bearer = format!("Bearer {token}");
    service.send(method, uri, &[("authorization", &bearer)], body.to_owned()).await
}

/// A token; its tenant is made if it is not there.
pub(super) async fn make(service: &TestService, request: Value) -> Value {
    if let Some(tenant) = request["tenant"].as_str() {
        let path = format!("/v1/tenants/{tenant}");
        if with(service, ADMINISTRATOR, "GET", &path, "").await.status == StatusCode::NOT_FOUND {
            with(service, ADMINISTRATOR, "PUT", &path, "{}").await;
        }
    }
    let answer = with(service, ADMINISTRATOR, "POST", "/v1/tokens", &request.to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()
}

/// A token of each role.
async fn of_each_role(service: &TestService) -> BTreeMap<&'static str, String> {
    let mut tokens = BTreeMap::new();
    for role in ROLES {
        let mut request = json!({"name": format!("a {role}"), "role": role});
        if role == "aggregator" {
            request["aggregator"] = json!("gw1");
        }
        tokens.insert(role, make(service, request).await["token"].as_str().unwrap().to_owned());
    }
    tokens
}

/// The operations of the document: id, method, and a path that names nothing that is there.
fn operations() -> Vec<(String, String, String)> {
    let document = serde_json::to_value(document()).unwrap();
    let mut found = vec![];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            let path = path.replace("{aggregator}", "gw1");
            let path = path.split('/').map(|part| if part.starts_with('{') { "999" } else { part });
            found.push((id, method.to_uppercase(), path.collect::<Vec<_>>().join("/")));
        }
    }
    found
}

#[test]
fn the_table_is_that_of_the_document() {
    let mut documented: Vec<_> = operations().into_iter().map(|(id, ..)| id).collect();
    let mut known: Vec<_> = OPERATIONS.iter().map(|(id, _)| (*id).to_owned()).collect();
    documented.sort();
    known.sort();
    assert_eq!(documented, known);
    assert_eq!(needed("something_new"), Permission::Administer);
}

#[tokio::test]
async fn each_role_may_do_what_the_table_says_and_nobody_else_anything() {
    let (service, _) = closed().await;
    let tokens = of_each_role(&service).await;
    for (id, method, path) in operations() {
        if id.ends_with("_stream") {
            continue;
        }
        let permission = needed(&id);
        let answer = service.send(&method, &path, &[], "{}").await;
        let is_refused = answer.status == StatusCode::UNAUTHORIZED;
        assert_eq!(is_refused, permission != Permission::Open, "{id} without a token: {answer:?}");
        if is_refused {
            assert_eq!(answer.problem(), "unauthenticated", "{id}");
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{id}");
        }
        for (role, token) in &tokens {
            let answer = with(&service, token, &method, &path, "{}").await;
            let may = permission == Permission::Open || permission.roles().iter().any(|able| able.as_str() == *role);
            let is_forbidden = answer.status == StatusCode::FORBIDDEN && answer.problem() == "role-needed";
            assert_eq!(is_forbidden, !may, "{id} as {role}: {answer:?}");
            assert!(!answer.status.is_server_error(), "{id} as {role}: {answer:?}");
        }
    }
    service.close().await;
}

#[tokio::test]
async fn a_token_is_told_once_and_ends_when_it_is_said() {
    let (service, clock) = closed().await;
    let made = make(&service, json!({"name": "deploy", "role": "requester", "expires_in_ms": 5_000})).await;
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("wm_") && token.len() == 46, "{token}");
    let ask = || with(&service, token, "GET", "/v1/topologies", "");
    assert_eq!(ask().await.status, StatusCode::OK);
    let listed = with(&service, ADMINISTRATOR, "GET", "/v1/tokens", "").await;
    assert!(!listed.text.contains(token), "{listed:?}");
    assert_eq!(listed.json()["items"][0]["name"], "deploy");
    make(&service, json!({"name": "audit", "role": "viewer"})).await;
    let first = with(&service, ADMINISTRATOR, "GET", "/v1/tokens?sort=name&limit=1", "").await.json();
    assert_eq!((&first["items"][0]["name"], &first["next"]), (&json!("audit"), &json!("1")));
    let last = with(&service, ADMINISTRATOR, "GET", "/v1/tokens?sort=name&limit=1&after=1", "").await.json();
    assert_eq!((&last["items"][0]["name"], &last["next"]), (&json!("deploy"), &Value::Null));
    // Its time.
    clock.fetch_add(4_999, Ordering::Relaxed);
    assert_eq!(ask().await.status, StatusCode::OK);
    clock.fetch_add(1, Ordering::Relaxed);
    let answer = ask().await;
    assert_eq!(
        (answer.status, answer.json()["detail"].as_str().unwrap()),
        (StatusCode::UNAUTHORIZED, "the token is not valid")
    );
    // Revoked.
    let made = make(&service, json!({"name": "gone", "role": "admin"})).await;
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert_eq!(with(&service, token, "GET", "/v1/session", "").await.json()["role"], "admin");
    let revoke = format!("/v1/tokens/{id}");
    assert_eq!(with(&service, ADMINISTRATOR, "DELETE", &revoke, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(with(&service, token, "GET", "/v1/session", "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(with(&service, ADMINISTRATOR, "DELETE", &revoke, "").await.status, StatusCode::NOT_FOUND);
    service.close().await;
}

fn cookie_of(authorization: &str) -> String {
    format!("watermaster_token={}", authorization.split(' ').nth(1).unwrap_or_default())
}

#[tokio::test]
async fn a_tenant_that_is_made_again_knows_no_token_of_the_one_before() {
    let (service, _) = closed().await;
    let request = json!({"name": "portal", "role": "requester", "tenant": "acme"});
    let old = make(&service, request.clone()).await;
    let other = make(&service, json!({"name": "other", "role": "requester", "tenant": "other"})).await;
    let text = |made: &Value| made["token"].as_str().unwrap().to_owned();
    let ask = async |made: &Value| with(&service, &text(made), "GET", "/v1/allocations", "").await.status.as_u16();
    assert_eq!((ask(&old).await, ask(&other).await), (200, 200));
    // While it has an allocation the tenant stays, and so do its tokens.
    let held = with(&service, &text(&old), "POST", "/v1/allocations", &self::request(0, 1_000)).await.json();
    let delete = async |path: &str| with(&service, ADMINISTRATOR, "DELETE", path, "").await;
    assert_eq!(delete("/v1/tenants/acme").await.problem(), "tenant-in-use");
    assert_eq!(ask(&old).await, 200);
    let path = format!("/v1/allocations/{}", held["id"].as_str().unwrap());
    assert_eq!(delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete("/v1/tenants/acme").await.status, StatusCode::NO_CONTENT);
    assert_eq!(ask(&old).await, 401);
    let new = make(&service, request).await;
    assert_eq!((ask(&old).await, ask(&new).await, ask(&other).await), (401, 200, 200));
    let listed = with(&service, ADMINISTRATOR, "GET", "/v1/tokens", "").await.json();
    let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|token| &token["id"]).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&&other["id"]) && ids.contains(&&new["id"]), "{listed}");
    service.close().await;
}

#[tokio::test]
async fn a_credential_that_is_none_is_refused_whatever_it_looks_like() {
    let (service, _) = closed().await;
    for (value, status) in [
        ("Bearer wm_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 401),
        ("Bearer x", 401),
        ("Bearer", 400),
        ("Basic dXNlcjpwYXNz", 400),
        ("", 400),
        ("Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJtYWxsb3J5In0.c2lnbmF0dXJl", 401),
    ] {
        for (name, sent) in [("authorization", value.to_owned()), ("cookie", cookie_of(value))] {
            let answer = service.send("GET", "/v1/topologies", &[(name, &sent)], "").await;
            assert!(answer.status == 401 || (name == "authorization" && answer.status == status), "{sent}: {answer:?}");
            // Neither head nor body says anything of it.
            let secret = value.split(' ').nth(1).filter(|secret| secret.len() > 1);
            assert!(secret.is_none_or(|secret| !format!("{answer:?}").contains(secret)), "{answer:?}");
            assert!(!answer.headers.contains_key("set-cookie"), "{answer:?}");
        }
    }
    for request in [
        json!({"name": "x", "role": "emperor"}),
        json!({"name": "", "role": "viewer"}),
        json!({"name": "x", "role": "viewer", "expires_in_ms": 0}),
        json!({"name": "x", "role": "aggregator"}),
        json!({"name": "x", "role": "viewer", "aggregator": "gw1"}),
    ] {
        let answer = with(&service, ADMINISTRATOR, "POST", "/v1/tokens", &request.to_string()).await;
        assert!(answer.status.is_client_error(), "{request}: {answer:?}");
    }
    service.close().await;
}

#[tokio::test]
async fn events_name_who_had_them_decided() {
    let (service, _) = closed().await;
    let made = make(&service, json!({"name": "night shift", "role": "engineer"})).await;
    let token = made["token"].as_str().unwrap();
    let answer = with(&service, token, "POST", "/v1/allocations", &request(0, 1_000)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let events = with(&service, token, "GET", "/v1/events", "").await.json();
    let who: Vec<_> = events["items"].as_array().unwrap().iter().map(|event| event["actor"]["name"].clone()).collect();
    assert_eq!(who, [json!("administrator"), json!("night shift")]);
    assert_eq!(
        (&events["items"][0]["actor"]["token"], &events["items"][1]["actor"]["token"]),
        (&Value::Null, &made["id"])
    );
    let own = with(&service, token, "GET", "/v1/events?actor=night%20shift", "").await.json();
    assert_eq!(own["items"].as_array().unwrap().len(), 1);
    assert_eq!(own["items"][0]["kind"], "allocation_admitted");
    let none = with(&service, token, "GET", "/v1/events?actor=night", "").await.json();
    assert_eq!(none["items"], json!([]));
    service.close().await;
}

#[tokio::test]
async fn the_page_keeps_its_token_where_no_script_reads_it() {
    let (service, _) = closed().await;
    let none = service.send("PUT", "/v1/session", &[], "").await;
    assert_eq!(none.status, StatusCode::UNAUTHORIZED);
    let begun = with(&service, ADMINISTRATOR, "PUT", "/v1/session", "").await;
    assert_eq!((begun.status, begun.json()["role"].as_str().unwrap()), (StatusCode::OK, "admin"));
    let cookie = begun.header("set-cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("Secure"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();
    let seen = service.send("GET", "/v1/topologies", &[("cookie", pair)], "").await;
    assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
    let ended = service.send("DELETE", "/v1/session", &[("cookie", pair)], "").await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert!(ended.header("set-cookie").contains("Max-Age=0"));
    let behind = [("authorization", &*format!("Bearer {ADMINISTRATOR}")), ("x-forwarded-proto", "https")];
    assert!(service.send("PUT", "/v1/session", &behind, "").await.header("set-cookie").ends_with("; Secure"));
    service.close().await;
}

#[tokio::test]
async fn an_aggregator_speaks_for_itself_alone() {
    let (service, _) = closed().await;
    let tokens = of_each_role(&service).await;
    let report = json!({"node": "a", "at": "1970-01-01T00:16:40Z"}).to_string();
    let put = async |id: &str| {
        with(&service, &tokens["aggregator"], "PUT", &format!("/v1/aggregators/{id}/metadata"), &report).await
    };
    let other = put("gw2").await;
    assert_eq!((other.status, other.problem().as_str()), (StatusCode::FORBIDDEN, "not-yours"));
    let own = put("gw1").await;
    assert_ne!(own.status, StatusCode::FORBIDDEN, "{own:?}");
    service.close().await;
}

/// A key is its sender's: another's request under the same key is another one.
#[tokio::test]
async fn a_key_is_its_senders() {
    let (service, _) = closed().await;
    let of = async |tenant: &str| {
        let made = make(&service, json!({"name": tenant, "role": "requester", "tenant": tenant})).await;
        format!("Bearer {}", made["token"].as_str().unwrap())
    };
    let (one, other) = (of("one").await, of("other").await);
    let ask = async |bearer: &str| {
        let headers = [("authorization", bearer), ("idempotency-key", "k1")];
        service.send("POST", "/v1/allocations", &headers, request(0, 1_000)).await
    };
    let (first, again, theirs) = (ask(&one).await, ask(&one).await, ask(&other).await);
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_eq!((theirs.status, theirs.json()["tenant"].as_str()), (StatusCode::CREATED, Some("other")), "{theirs:?}");
    assert!(!theirs.headers.contains_key("idempotency-replayed"));
    service.close().await;
}

/// What is of all tenants is not for the tokens of one; a tenant that is not there has no tokens and no allocations.
#[tokio::test]
async fn a_tenants_token_sees_nothing_of_all_tenants() {
    let (service, _) = closed().await;
    let made = make(&service, json!({"name": "acme", "role": "viewer", "tenant": "acme"})).await;
    let acme = made["token"].as_str().unwrap();
    for path in ["/v1/controllers", "/v1/aggregators", "/v1/contents?name=x", "/v1/events?actor=administrator"] {
        assert_eq!(with(&service, acme, "GET", path, "").await.problem(), "not-yours", "{path}");
    }
    let nowhere = json!({"name": "x", "role": "requester", "tenant": "nobody"}).to_string();
    let refused = with(&service, ADMINISTRATOR, "POST", "/v1/tokens", &nowhere).await;
    assert_eq!((refused.problem().as_str(), &refused.json()["field"]), ("unknown-reference", &json!("tenant")));
    let asked: Value = serde_json::from_str(&request(0, 1)).unwrap();
    let mut asked = asked;
    asked["tenant"] = json!("nobody");
    let refused = with(&service, ADMINISTRATOR, "POST", "/v1/allocations", &asked.to_string()).await;
    assert_eq!((refused.problem().as_str(), &refused.json()["field"]), ("unknown-reference", &json!("tenant")));
    service.close().await;
}

/// A stream ends with the token that it was asked for with.
#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let (service, _) = closed().await;
    let made = make(&service, json!({"name": "watcher", "role": "viewer"})).await;
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let stream = service.ask("GET", "/v1/events/stream", &[("authorization", &bearer)], "").await;
    assert_eq!(stream.status(), StatusCode::OK);
    let revoke = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(with(&service, ADMINISTRATOR, "DELETE", &revoke, "").await.status, StatusCode::NO_CONTENT);
    // To its end: it would not come otherwise.
    let whole = axum::body::to_bytes(stream.into_body(), 1 << 20);
    tokio::time::timeout(std::time::Duration::from_secs(20), whole).await.unwrap().unwrap();
    service.close().await;
}

/// On one machine nobody is asked; a token that is given counts all the same.
#[tokio::test]
async fn where_nobody_is_asked_a_token_still_counts() {
    let service = TestService::guarded(async |journal| {
        let now = || kernel::units::Millis(1);
        Authenticator::new(TokenStore::open(journal, Some(ADMINISTRATOR), now).await.unwrap(), false)
    });
    let service = service.await;
    let session = service.get("/v1/session").await.json();
    assert_eq!(session, json!({"authentication_required": false, "role": "admin"}));
    let made = make(&service, json!({"name": "x", "role": "viewer"})).await;
    let token = made["token"].as_str().unwrap();
    assert_eq!(with(&service, token, "POST", "/v1/allocations", "{}").await.status, StatusCode::FORBIDDEN);
    assert_eq!(with(&service, "wm_no", "GET", "/v1/topologies", "").await.status, StatusCode::UNAUTHORIZED);
    service.close().await;
}

/// A tenant sees its own and no other's, and takes no more than it may.
#[tokio::test]
async fn a_tenant_sees_its_own_and_holds_its_quota() {
    let (service, _) = closed().await;
    let quotas = json!({"quotas": [{"class_type": 1, "max_bandwidth_bps": 10_000_000, "max_allocations": 3}]});
    let put = with(&service, ADMINISTRATOR, "PUT", "/v1/tenants/acme", &quotas.to_string()).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    let of = async |tenant: &str| {
        let made = make(&service, json!({"name": tenant, "role": "requester", "tenant": tenant})).await;
        made["token"].as_str().unwrap().to_owned()
    };
    let (acme, other) = (of("acme").await, of("other").await);
    let ask = async |token: &str, bps: u64| with(&service, token, "POST", "/v1/allocations", &request(1, bps)).await;
    let first = ask(&acme, 6_000_000).await;
    assert_eq!((first.status, first.json()["tenant"].as_str()), (StatusCode::CREATED, Some("acme")), "{first:?}");
    let id = first.json()["id"].as_str().unwrap().to_owned();
    // Over the quota, and what is within it still goes.
    let over = ask(&acme, 4_000_001).await;
    assert_eq!((over.status, over.problem().as_str()), (StatusCode::CONFLICT, "quota-exceeded"));
    let said = over.json();
    assert_eq!(
        (&said["tenant"], &said["held"], &said["limit"]),
        (&json!("acme"), &json!(6_000_000), &json!(10_000_000))
    );
    assert_eq!(ask(&acme, 4_000_000).await.status, StatusCode::CREATED);
    let path = format!("/v1/allocations/{id}");
    let grown = with(&service, &acme, "PATCH", &path, r#"{"bandwidth_bps": 6000001}"#).await;
    assert_eq!(grown.problem(), "quota-exceeded");
    assert_eq!(with(&service, &acme, "PATCH", &path, r#"{"bandwidth_bps": 5000000}"#).await.status, StatusCode::OK);
    assert_eq!(ask(&acme, 1_000).await.status, StatusCode::CREATED);
    assert_eq!(ask(&acme, 1).await.problem(), "quota-exceeded");
    // Who else is on a link is nobody's business.
    let on_link = async |token: &str| {
        with(&service, token, "GET", "/v1/topologies/net/links/ab", "").await.json()["allocations"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((on_link(&acme).await, on_link(&other).await), (3, 0));
    // Nobody asks in another's name, and another's is not there.
    let mut theirs: Value = serde_json::from_str(&request(1, 1)).unwrap();
    theirs["tenant"] = json!("acme");
    let answer = with(&service, &other, "POST", "/v1/allocations", &theirs.to_string()).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::FORBIDDEN, "not-yours"));
    for (method, body) in [("GET", ""), ("PATCH", r#"{"bandwidth_bps": 1}"#), ("DELETE", "")] {
        let answer = with(&service, &other, method, &path, body).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::NOT_FOUND, "unknown-allocation"),
            "{method}"
        );
    }
    let count = async |token: &str, uri: &str| {
        with(&service, token, "GET", uri, "").await.json()["items"].as_array().unwrap().len()
    };
    assert_eq!(count(&other, "/v1/allocations").await, 0);
    assert_eq!(count(&other, "/v1/allocations?tenant=acme").await, 0);
    assert_eq!(count(&other, "/v1/tenants").await, 1);
    assert_eq!(count(&acme, "/v1/allocations").await, 3);
    assert_eq!(count(ADMINISTRATOR, "/v1/allocations?tenant=acme").await, 3);
    let held = with(&service, &acme, "GET", "/v1/tenants/acme", "").await.json();
    assert_eq!(
        (&held["quotas"][0]["held_bandwidth_bps"], &held["quotas"][0]["held_allocations"]),
        (&json!(9_001_000), &json!(3))
    );
    // Over, it is still its own alone; and then the tenant may be forgotten.
    assert_eq!(with(&service, ADMINISTRATOR, "DELETE", "/v1/tenants/acme", "").await.problem(), "tenant-in-use");
    assert_eq!(with(&service, &acme, "DELETE", &path, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(with(&service, &other, "GET", &path, "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(with(&service, &acme, "GET", &path, "").await.json()["state"], "released");
    assert_eq!(count(&acme, "/v1/allocations?state=released").await, 1);
    assert_eq!(count(&other, "/v1/allocations?state=released").await, 0);
    service.close().await;
}

/// What others have decided is not on a tenant's feed; what happens to its own is.
#[tokio::test]
async fn a_tenants_feed_is_of_its_own() {
    let (service, _) = closed().await;
    let token = make(&service, json!({"name": "acme", "role": "requester", "tenant": "acme"})).await;
    let acme = token["token"].as_str().unwrap();
    let theirs = with(&service, ADMINISTRATOR, "POST", "/v1/allocations", &request(1, 1_000)).await.json();
    let own = with(&service, acme, "POST", "/v1/allocations", &request(1, 2_000)).await.json();
    for id in [&theirs["id"], &own["id"]] {
        let path = format!("/v1/allocations/{}", id.as_str().unwrap());
        assert_eq!(with(&service, ADMINISTRATOR, "DELETE", &path, "").await.status, StatusCode::NO_CONTENT);
    }
    let events = with(&service, acme, "GET", "/v1/events", "").await.json();
    let seen: Vec<_> =
        events["items"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(seen, ["topology_put", "tenant_put", "allocation_admitted", "allocation_released"]);
    service.close().await;
}

#[tokio::test]
async fn a_tenant_asks_no_more_often_than_it_may() {
    let (service, _) = closed().await;
    let put = with(&service, ADMINISTRATOR, "PUT", "/v1/tenants/acme", r#"{"max_requests_per_s": 3}"#).await;
    assert_eq!((put.status, &put.json()["max_requests_per_s"]), (StatusCode::CREATED, &json!(3)), "{put:?}");
    let made = make(&service, json!({"name": "acme", "role": "requester", "tenant": "acme"})).await;
    let acme = made["token"].as_str().unwrap();
    let mut told = vec![];
    for _ in 0..30 {
        told.push(with(&service, acme, "GET", "/v1/topologies", "").await);
    }
    let refused: Vec<_> = told.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).collect();
    assert!((told[0].status, refused.is_empty()) == (StatusCode::OK, false), "{:?}", told[0]);
    assert_eq!((refused[0].problem().as_str(), refused[0].header("retry-after")), ("too-many-requests", "1"));
    // Others are not held back by it, and neither is it once the limit is gone.
    assert_eq!(with(&service, ADMINISTRATOR, "PUT", "/v1/tenants/acme", "{}").await.status, StatusCode::OK);
    assert_eq!(with(&service, acme, "GET", "/v1/topologies", "").await.status, StatusCode::OK);
    service.close().await;
}

/// Somebody of a better class learns that there was room to be made, and not whose.
#[tokio::test]
async fn others_victims_are_not_named() {
    let (service, _) = closed().await;
    let of = async |tenant: &str| {
        let made = make(&service, json!({"name": tenant, "role": "requester", "tenant": tenant})).await;
        made["token"].as_str().unwrap().to_owned()
    };
    let (low, high) = (of("low").await, of("high").await);
    let ask = async |token: &str, class: u8, bps: u64| {
        with(&service, token, "POST", "/v1/allocations", &request(class, bps)).await
    };
    let victim = ask(&low, 0, 90_000_000).await.json();
    let taken = ask(&high, 2, 70_000_000).await;
    assert_eq!(taken.status, StatusCode::CREATED, "{taken:?}");
    assert_eq!((&taken.json()["victims"], &taken.json()["preempted"]), (&json!([]), &json!([])));
    let path = format!("/v1/allocations/{}", victim["id"].as_str().unwrap());
    assert_eq!(with(&service, &low, "GET", &path, "").await.json()["state"], "preempted");
    // Whose it was hears of it, and not for whom.
    let told = with(&service, &low, "GET", "/v1/events", "").await.json();
    let last = told["items"].as_array().unwrap().last().unwrap();
    assert_eq!(last["kind"], "allocations_displaced", "{last}");
    assert_eq!((&last["data"]["victims"][0]["id"], &last["data"]["allocation"]), (&victim["id"], &Value::Null));
    service.close().await;
}

/// Behind a proxy with a prefix, what an answer leads to is under it.
#[tokio::test]
async fn answers_lead_to_where_others_find_the_service() {
    let own_hosts = OwnHosts::new("127.0.0.1".parse().unwrap(), &[]).found_at("net.example", "/watermaster/");
    let service = TestService::with(PAIR).await.found_at(own_hosts);
    let host = [("host", "net.example")];
    let made = service.send("POST", "/v1/allocations", &host, request(0, 1)).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/watermaster/v1/allocations/{id}"));
    service.send("POST", "/v1/allocations", &host, request(0, 1)).await;
    let page = service.send("GET", "/v1/allocations?limit=1", &host, "").await;
    assert!(page.header("link").starts_with("</watermaster/v1/allocations?"), "{page:?}");
    service.close().await;
}
