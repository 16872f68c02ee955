//! Lists, their filters and their pages; and computed paths.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::harness::{PAIR, TRIANGLE, TestService};

/// Every item, page by page, along the Link headers.
async fn walk(service: &TestService, first: &str) -> Vec<Value> {
    let (mut uri, mut items) = (first.to_owned(), vec![]);
    loop {
        let page = service.get(&uri).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        items.extend(page.json()["items"].as_array().unwrap().clone());
        if page.json()["next"].is_null() {
            assert!(page.headers.get("link").is_none());
            return items;
        }
        let link = page.header("link");
        uri = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn living_and_ended_allocations_are_one_list() {
    let service = TestService::with(TRIANGLE).await;
    let mut all = vec![];
    for class_type in [0, 1, 2, 0, 1] {
        all.push(service.admit(class_type, 1_000).await);
    }
    for id in [&all[1], &all[3]] {
        service.delete(&format!("/v1/allocations/{id}")).await;
    }
    let odd = r#"{"ingress":"c","egress":"b","class_type":0,"bandwidth_bps":1,"aggregator":"gw 1",
        "flow":{"ipv4_dst":"10.0.0.1","ip_proto":6,"l4_dst":1883},"expires_at":"2100-01-01T00:00:00Z"}"#;
    let made = service.post("/v1/allocations", odd).await.json();
    assert_eq!(
        (&made["flow"]["ipv4_dst"], &made["expires_at"]),
        (&json!("10.0.0.1/32"), &json!("2100-01-01T00:00:00.000Z"))
    );
    let id = made["id"].as_str().unwrap().to_owned();
    all.push(id.clone());

    assert_eq!(ids(&walk(&service, "/v1/allocations").await), all);
    assert_eq!(ids(&walk(&service, "/v1/allocations?limit=1&topology=net").await), all);
    let by = async |filter: &str| {
        let items = walk(&service, &format!("/v1/allocations?limit=2&{filter}")).await;
        ids(&items).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(by("state=released").await, [&*all[1], &all[3]]);
    assert_eq!(by("state=active").await, [&*all[0], &all[2], &all[4], &id]);
    assert_eq!(by("state=expired").await, [""; 0]);
    assert_eq!(by("class_type=1").await, [&*all[1], &all[4]]);
    assert_eq!(by("link=ab&state=active").await, [&*all[0], &all[2], &all[4]]);
    assert_eq!(by("link=ab").await, all[..5]);
    assert_eq!(by("aggregator=gw%201").await, [&*id]);
    assert_eq!(by("ingress=c").await, [&*id]);
    assert_eq!(by("egress=c").await, [""; 0]);
    assert_eq!(by("topology=other").await, [""; 0]);
    service.close().await;
}

#[tokio::test]
async fn topologies_and_links_are_listed_in_pages() {
    let service = TestService::with(TRIANGLE).await;
    service.send("PUT", "/v1/topologies/a%2Fb", &[], PAIR).await;
    let topologies = walk(&service, "/v1/topologies?limit=1").await;
    assert_eq!((&topologies[0]["topology"], &topologies[1]["topology"]), (&json!("a/b"), &json!("net")));
    assert_eq!((&topologies[1]["links"], &topologies[1]["model"]), (&json!(6), &json!("atcs")));
    let links = walk(&service, "/v1/topologies/net/links?limit=4").await;
    assert_eq!(links.len(), 6);
    assert_eq!(links[0]["unreserved"].as_array().unwrap().len(), 3);
    assert_eq!(links[0]["classes"][0]["private_bps"], 25_000_000);
    let graphml = service.get("/v1/topologies/net?format=graphml").await;
    assert_eq!(graphml.header("content-type"), "application/graphml+xml");
    let copy = service.send("PUT", "/v1/topologies/copy", &[], graphml.text).await;
    assert_eq!((&copy.json()["format"], &copy.json()["links"]), (&json!("graphml"), &json!(6)));
    service.close().await;
}

#[tokio::test]
async fn paths_are_computed_without_effect() {
    let service = TestService::with(TRIANGLE).await;
    let uri = "/v1/topologies/net/paths";
    let ask = async |more: &str| {
        let body = format!(r#"{{"ingress":"a","egress":"b","class_type":2,"bandwidth_bps":60000000{more}}}"#);
        service.post(uri, &body).await
    };
    let two = ask(r#","count":5"#).await.json();
    let paths: Vec<_> = two["paths"].as_array().unwrap().iter().map(|path| path["path"].clone()).collect();
    assert_eq!(paths, [json!(["ab"]), json!(["ac", "cb"])]);
    assert_eq!((&two["paths"][1]["nodes"], &two["paths"][1]["hops"]), (&json!(["a", "c", "b"]), &json!(2)));
    assert_eq!(ask(r#","disjoint":"node""#).await.json()["paths"].as_array().unwrap().len(), 2);
    assert_eq!(ask(r#","disjoint":"node","count":2"#).await.problem(), "impossible-request");
    assert_eq!(ask(r#","count":17"#).await.problem(), "impossible-request");
    assert_eq!(ask(r#","constraints":{"max_hops":0}"#).await.json()["least_hops"], 1);
    let alone = ask(r#","disjoint":"link","constraints":{"max_hops":1}"#).await;
    assert_eq!((alone.problem().as_str(), &alone.json()["constraint"]), ("no-path", &json!("disjoint")));

    // Full of a lower class everywhere: what is left needs victims.
    service.admit(0, 100_000_000).await;
    service.admit(0, 100_000_000).await;
    assert_eq!(ask("").await.json()["paths"][0]["needs_victims"], true);
    assert_eq!(
        service.post(uri, r#"{"ingress":"a","egress":"z","class_type":2,"bandwidth_bps":1}"#).await.problem(),
        "unknown-reference"
    );
    let much = service.post(uri, r#"{"ingress":"a","egress":"b","class_type":2,"bandwidth_bps":100000001}"#).await;
    assert_eq!(
        (much.problem().as_str(), &much.json()["largest_admissible_bps"]),
        ("insufficient-bandwidth", &json!(75_000_000))
    );
    assert_eq!(
        service
            .post("/v1/topologies/other/paths", r#"{"ingress":"a","egress":"b","class_type":2,"bandwidth_bps":1}"#)
            .await
            .problem(),
        "unknown-topology"
    );
    service.close().await;
}

/// Lists in an order of what they are, page by page, and with some members alone.
#[tokio::test]
async fn lists_are_sorted_and_cut() {
    let service = TestService::with(TRIANGLE).await;
    for bps in [3_000, 9_000, 5_000, 7_000] {
        service.admit(0, bps).await;
    }
    let mut found = vec![];
    let mut path = "/v1/allocations?sort=-bandwidth_bps&limit=3&fields=id,bandwidth_bps".to_owned();
    loop {
        let answer = service.get(&path).await;
        let page = answer.json();
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item.as_object().unwrap().len(), 2, "{item}");
            found.push(item["bandwidth_bps"].as_u64().unwrap());
        }
        if page["next"].is_null() {
            break;
        }
        let link = answer.header("link").to_owned();
        assert!(link.contains("fields=id,bandwidth_bps"), "{link}");
        path = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
    }
    assert_eq!(found, [9_000, 7_000, 5_000, 3_000]);
    let links = service.get("/v1/topologies/net/links?sort=-utilisation_ppm&limit=1&fields=link").await.json();
    assert_eq!(links["items"], serde_json::json!([{"link": "ab"}]));
    let all = service.get("/v1/topologies/net/links?fields=link").await.json();
    let idle = service.get("/v1/topologies/net/links?sort=-reserved_bps&fields=link").await.json();
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter().map(|item| item["link"].as_str().unwrap().to_owned());
        items.filter(|link| link != "ab").collect()
    };
    assert_eq!(names(&idle), names(&all), "those that are equal keep their order");
    let next = links["next"].as_str().unwrap();
    let rest = service.get(&format!("/v1/topologies/net/links?sort=-utilisation_ppm&after={next}")).await.json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 5);
    let one = service.get("/v1/topologies/net?fields=nodes").await;
    assert_eq!(one.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["nodes"]);
    for (path, status) in [
        ("/v1/allocations?sort=mood", 400),
        ("/v1/allocations?sort=bandwidth_bps&state=released", 422),
        ("/v1/allocations?fields=", 400),
        ("/v1/allocations?fields=a%20b", 400),
    ] {
        assert_eq!(service.get(path).await.status.as_u16(), status, "{path}");
    }
    for (path, field, there) in [
        ("/v1/allocations?fields=id,colour", "`colour`", "`bandwidth_bps`"),
        ("/v1/topologies/net/links?fields=id", "`id`", "`utilisation_ppm`"),
        ("/v1/topologies/net/links/ab?fields=items", "`items`", "`measured_bps`"),
        ("/v1/events?fields=happened", "`happened`", "`sequence`"),
        ("/v1/topologies?fields=next", "`next`", "`topology`"),
        ("/v1/topologies/net/history?fields=x", "`x`", "`step_ms`"),
    ] {
        let answer = service.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (400, "malformed-query".to_owned()), "{path}");
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(problem["field"] == "fields" && detail.contains(field) && detail.contains(there), "{path}: {detail}");
    }
    service.close().await;
}

/// Every list has orders; a key that is none of them is named, with those that there are.
#[tokio::test]
async fn every_list_is_sorted_by_the_server() {
    let service = TestService::with(TRIANGLE).await;
    for (name, topology) in [("a", PAIR), ("b", PAIR)] {
        service.send("PUT", &format!("/v1/topologies/{name}"), &[], topology).await;
    }
    let in_b = r#"{"topology":"b","ingress":"a","egress":"b","class_type":0,"bandwidth_bps":1000}"#;
    assert_eq!(service.post("/v1/allocations", in_b).await.status, StatusCode::CREATED);
    for (tenant, bps) in [("ant", 3_000), ("bee", 9_000), ("cat", 3_000)] {
        service.send("PUT", &format!("/v1/tenants/{tenant}"), &[], "{}").await;
        let body = json!({"topology": "net", "ingress": "a", "egress": "b", "class_type": 0, "bandwidth_bps": bps, "tenant": tenant});
        assert_eq!(service.post("/v1/allocations", &body.to_string()).await.status, StatusCode::CREATED);
    }
    for (controller, topology) in [("one", "net"), ("two", "a"), ("six", "b")] {
        let body = json!({"driver": "simulated", "topology": topology}).to_string();
        let put = service.send("PUT", &format!("/v1/controllers/{controller}"), &[], body).await;
        assert!(put.status.is_success(), "{put:?}");
    }
    let by = async |list: &str, member: &str, query: &str| -> Vec<String> {
        let items = walk(&service, &format!("/v1/{list}?limit=2&{query}")).await;
        items.iter().map(|item| item[member].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(by("topologies", "topology", "sort=-links").await, ["net", "a", "b"]);
    assert_eq!(by("topologies", "topology", "sort=-allocations").await, ["net", "b", "a"]);
    assert_eq!(by("topologies", "topology", "sort=-topology").await, ["net", "b", "a"]);
    // Those that are equal keep their order, whichever way the list goes.
    assert_eq!(by("tenants", "id", "sort=bandwidth_bps").await, ["ant", "cat", "bee"]);
    assert_eq!(by("tenants", "id", "sort=-bandwidth_bps").await, ["bee", "ant", "cat"]);
    assert_eq!(by("controllers", "id", "sort=topology").await, ["two", "six", "one"]);
    assert_eq!(by("controllers", "id", "").await, ["one", "six", "two"]);
    assert_eq!(service.get("/v1/controllers").await.json()["items"].as_array().unwrap().len(), 3);

    for (list, key) in [
        ("topologies", "`-allocations`"),
        ("topologies/net/links", "`-utilisation_ppm`"),
        ("allocations", "`-bandwidth_bps`"),
        ("tenants", "`-bandwidth_bps`"),
        ("tokens", "`last_used_at`"),
        ("aggregators", "`-heard_at`"),
        ("controllers", "`-topology`"),
        ("topologies/net/maintenances", "`-starts_at`"),
        ("topologies/net/optimizations", "`-move_count`"),
        ("contents?name=x", "`heard_at`"),
        ("broker/clients", "`-waiting_bytes`"),
        ("broker/retained", "`-payload_bytes`"),
    ] {
        let join = if list.contains('?') { '&' } else { '?' };
        let answer = service.get(&format!("/v1/{list}{join}sort=mood")).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::BAD_REQUEST, "malformed-query".to_owned()),
            "{list}"
        );
        assert_eq!(answer.json()["field"], "sort", "{list}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(key), "{list}: {answer:?}");
    }
    // Every list of the document takes `fields`, and knows the members of its items.
    let document = serde_json::to_value(watermaster::http::document()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        let answer = &item["get"]["responses"]["200"]["content"]["application/json"];
        let parameters = item["get"]["parameters"].as_array().into_iter().flatten();
        let fields = parameters.filter(|one| one["name"] == "fields").count();
        assert_eq!(fields, usize::from(answer.is_object()), "{path}");
    }
    let order = service.get("/v1/events?order=sideways").await.json();
    assert_eq!((&order["field"], order["detail"].as_str().unwrap().contains("`desc`")), (&json!("order"), true));
    let cursor = service.get("/v1/topologies?sort=links&after=net").await;
    assert_eq!((cursor.problem(), cursor.json()["field"].clone()), ("malformed-query".to_owned(), json!("after")));
    service.close().await;
}
