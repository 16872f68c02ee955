//! Every operation of the document with the tokens of a tenant, about what is another's: nothing of it is told, and nothing of it
//! is changed.

use axum::http::StatusCode;
use serde_json::{Value, json};
use watermaster::auth::{Permission, needed};
use watermaster::http::document;

use super::access::{ADMINISTRATOR, closed, make, with};
use super::harness::{Answer, TestService, request};

/// In every text that is the other tenant's.
const MARK: &str = "mark-of-the-other";
/// What a path may name of a tenant.
#[derive(Debug)]
struct Owned {
    tenant: &'static str,
    allocation: String,
    aggregator: String,
    token: String,
}

impl Owned {
    /// A tenant with an allocation, one that ended, a denial, an aggregator that has reported, and a token.
    async fn make(service: &TestService, tenant: &'static str, mark: &str) -> Self {
        let aggregator = format!("gateway {mark}");
        let terms = json!({"aggregators": [aggregator], "quotas": [{"class_type": 7, "max_allocations": 77}]});
        let put = with(service, ADMINISTRATOR, "PUT", &format!("/v1/tenants/{tenant}"), &terms.to_string()).await;
        assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
        let made = make(service, json!({"name": format!("token {mark}"), "role": "requester", "tenant": tenant})).await;
        let (secret, token) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap().to_owned());
        let ask = async |bps: u64| {
            let mut asked: Value = serde_json::from_str(&request(1, bps)).unwrap();
            for field in ["name", "customer", "note"] {
                asked[field] = json!(format!("{field} {mark}"));
            }
            with(service, secret, "POST", "/v1/allocations", &asked.to_string()).await
        };
        let ended = ask(1_000).await.json()["id"].as_str().unwrap().to_owned();
        let release = with(service, secret, "DELETE", &format!("/v1/allocations/{ended}"), "").await;
        assert_eq!(release.status, StatusCode::NO_CONTENT);
        assert_eq!(ask(99_000_000_000).await.status, StatusCode::CONFLICT);
        let allocation = ask(2_000).await.json()["id"].as_str().unwrap().to_owned();
        let report = json!({"node": "a", "at": "1970-01-01T00:16:40Z"}).to_string();
        let path = format!("/v1/aggregators/{}/metadata", aggregator.replace(' ', "%20"));
        let reported = with(service, ADMINISTRATOR, "PUT", &path, &report).await;
        assert!(!reported.status.is_server_error(), "{reported:?}");
        Self { tenant, allocation, aggregator, token }
    }

    fn path(&self, template: &str) -> String {
        let segments = template.split('/').map(|segment| match segment {
            "{topology}" => "net".to_owned(),
            "{link}" => "ab".to_owned(),
            "{tenant}" => self.tenant.to_owned(),
            "{id}" if template.contains("/allocations/") => self.allocation.clone(),
            "{id}" if template.contains("/aggregators/") => self.aggregator.replace(' ', "%20"),
            "{id}" if template.contains("/tokens/") => self.token.clone(),
            segment if segment.starts_with('{') => "999".to_owned(),
            segment => segment.to_owned(),
        });
        segments.collect::<Vec<_>>().join("/")
    }
}

struct Operation {
    id: String,
    method: String,
    path: String,
    /// The query that it has to have.
    query: String,
    /// The example of its body, about the topology and nodes that are there.
    body: String,
}

fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(document()).unwrap();
    let mut found = vec![];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let mut body = operation["requestBody"]["content"]["application/json"]["example"].clone();
            localise(&mut body);
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let queries = parameters.iter().filter(|one| one["in"] == "query" && one["required"] == true);
            let query: Vec<String> = queries.map(|one| query_of(one["name"].as_str().unwrap())).collect();
            found.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                query: if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) },
                body: if body.is_null() { "{}".to_owned() } else { body.to_string() },
            });
        }
    }
    found
}

fn query_of(name: &str) -> String {
    let value = match name {
        "from" | "ingress" => "a",
        "to" | "egress" => "b",
        "at" => "1970-01-01T00:16:40Z",
        _ => "1",
    };
    format!("{name}={value}")
}

/// An example speaks of networks that are not there.
fn localise(example: &mut Value) {
    match example {
        Value::Object(members) => {
            members.remove("tenant");
            for (name, value) in members.iter_mut() {
                match (name.as_str(), &value) {
                    ("topology", Value::String(_)) => *value = json!("net"),
                    ("ingress" | "from" | "node", Value::String(_)) => *value = json!("a"),
                    ("egress" | "to", Value::String(_)) => *value = json!("b"),
                    _ => localise(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(localise),
        _ => {}
    }
}

/// What is asked, as another with a token of this role would.
async fn ask(service: &TestService, operation: &Operation, owned: &Owned, token: &str) -> Answer {
    let uri = format!("{}{}", owned.path(&operation.path), operation.query);
    with(service, token, &operation.method, &uri, &operation.body).await
}

/// The tokens of both tenants, of each role that one may have.
async fn tokens(service: &TestService, tenant: &str) -> Vec<(&'static str, String)> {
    let mut tokens = vec![];
    for role in ["viewer", "requester"] {
        let made = make(service, json!({"name": format!("{role} of {tenant}"), "role": role, "tenant": tenant})).await;
        tokens.push((role, made["token"].as_str().unwrap().to_owned()));
    }
    tokens
}

/// What an administrator sees of the other tenant.
async fn state_of(service: &TestService, other: &Owned) -> Vec<Value> {
    let mut seen = vec![];
    for path in [format!("/v1/allocations/{}", other.allocation), format!("/v1/tenants/{}", other.tenant)] {
        seen.push(with(service, ADMINISTRATOR, "GET", &path, "").await.json());
    }
    let tokens = with(service, ADMINISTRATOR, "GET", "/v1/tokens", "").await.json();
    let theirs = tokens["items"].as_array().unwrap().iter().find(|token| token["id"] == other.token.as_str());
    seen.push(theirs.unwrap()["id"].clone());
    seen
}

#[tokio::test]
async fn no_operation_tells_or_changes_what_is_another_tenants() {
    let (service, _) = closed().await;
    let own = Owned::make(&service, "acme", "of acme").await;
    let other = Owned::make(&service, "other", MARK).await;
    let before = state_of(&service, &other).await;
    let mut tried = 0;
    for (role, token) in tokens(&service, "acme").await {
        for operation in operations().iter().filter(|operation| !operation.id.ends_with("_stream")) {
            let (id, permission) = (&operation.id, needed(&operation.id));
            let may = permission == Permission::Open || permission.roles().iter().any(|able| able.as_str() == role);
            let answer = ask(&service, operation, &other, &token).await;
            tried += 1;
            let at = format!("{id} as {role} of acme about other's: {answer:?}");
            assert!(!answer.status.is_server_error(), "{at}");
            // But for the names in the question itself.
            let echoed = operation.path.contains("/aggregators/{id}");
            assert!(echoed || !answer.text.contains(MARK), "{at}");
            let expected = match permission {
                _ if !may => Some("role-needed"),
                Permission::SeeAll => Some("not-yours"),
                _ if operation.path.contains("/allocations/{id}") => Some("unknown-allocation"),
                _ if operation.path.contains("/tenants/{tenant}") => Some("unknown-tenant"),
                _ => None,
            };
            if let Some(problem) = expected {
                assert_eq!(answer.problem(), problem, "{at}");
            }
            // Its own is there for it, under the same operation.
            if may && operation.method == "GET" && operation.path.contains('{') && expected.is_some() {
                let answer = ask(&service, operation, &own, &token).await;
                let is_hidden = permission == Permission::SeeAll;
                assert_eq!(answer.status == StatusCode::OK, !is_hidden, "{id} as {role} about its own: {answer:?}");
            }
        }
    }
    assert!(tried > 100, "{tried}");
    assert_eq!(state_of(&service, &other).await, before);
    // An engineer is of no tenant, and sees both.
    let engineer = make(&service, json!({"name": "nights", "role": "engineer"})).await;
    for owned in [&own, &other] {
        let path = owned.path("/v1/allocations/{id}");
        let seen = with(&service, engineer["token"].as_str().unwrap(), "GET", &path, "").await;
        assert_eq!((seen.status, &seen.json()["tenant"]), (StatusCode::OK, &json!(owned.tenant)), "{seen:?}");
    }
    service.close().await;
}

/// Clients take `.` and `..` for the segment before them, so that nothing is called so.
#[tokio::test]
async fn what_is_found_by_a_path_is_called_neither_dot_nor_two() {
    let service = TestService::open().await;
    let link = json!({
        "nodes": [{"id": "a"}, {"id": "b"}],
        "links": [{"id": "..", "from": "a", "to": "b", "capacity_bps": 1_000}]
    });
    let put = service.send("PUT", "/v1/topologies/net", &[], link.to_string()).await;
    assert!(put.status.is_client_error() && put.text.contains("segments of a path"), "{put:?}");
    for name in [".", ".."] {
        for (path, body) in [
            (format!("/v1/topologies/{name}"), super::harness::PAIR.to_owned()),
            (format!("/v1/tenants/{name}"), "{}".to_owned()),
            (format!("/v1/controllers/{name}"), json!({"driver": "simulated", "topology": "net"}).to_string()),
        ] {
            let answer = service.send("PUT", &path, &[], body).await;
            assert_eq!(answer.problem(), "impossible-request", "{path}: {answer:?}");
            assert!(answer.json()["field"].is_string(), "{answer:?}");
        }
        let report = json!({"node": "a", "at": "2030-01-01T00:00:00Z"}).to_string();
        let answer = service.send("PUT", &format!("/v1/aggregators/{name}/metadata"), &[], report).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    }
    service.close().await;
}
