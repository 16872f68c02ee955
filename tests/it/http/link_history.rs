//! The past of links: what was sampled is answered in steps, coarser ones are merged, and what cannot be asked names its
//! parameter.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::StatusCode;
use kernel::units::Millis;
use serde_json::{Value, json};
use watermaster::app::{AppOptions, LINKS_SAMPLED_MAX, LinkHistoryAges, Retention};
use watermaster::journal::{Journal, SampleResolution, SampledTopology};

use super::harness::{PAIR, TRIANGLE, TestService};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// 2030-01-05T00:00:00Z: the clock of the service is not there yet, so that it samples nothing by itself.
const MIDNIGHT_MS: u64 = 1_893_801_600_000;

fn minute(number: u64) -> Millis {
    Millis(MIDNIGHT_MS + number * MINUTE_MS)
}

fn at(number: u64) -> String {
    api::instant::Instant(minute(number).0).to_string()
}

async fn sample(service: &TestService, minutes: impl IntoIterator<Item = u64>) {
    for number in minutes {
        service.app.sample_links(minute(number)).await.unwrap();
    }
}

async fn points(service: &TestService, from: u64, to: u64, step: u64) -> (u64, Vec<Value>) {
    let uri =
        format!("/v1/topologies/net/links/ab/history?from={}&to={}&step_ms={}", at(from), at(to), step * MINUTE_MS);
    let answer = service.get(&uri).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let points = answer.json()["points"].as_array().unwrap().clone();
    (answer.json()["step_ms"].as_u64().unwrap() / MINUTE_MS, points)
}

/// When, the mean and the most, in Mbit/s.
fn figures(points: &[Value]) -> Vec<(String, u64, u64)> {
    let of = |point: &Value, member: &str| point[member].as_u64().unwrap() / 1_000_000;
    let figures = points.iter().map(|point| {
        (point["at"].as_str().unwrap().to_owned(), of(point, "reserved_mean_bps"), of(point, "reserved_max_bps"))
    });
    figures.collect()
}

#[tokio::test]
async fn a_link_has_a_past() {
    let service = TestService::with(PAIR).await;
    sample(&service, 0..5).await;
    let low = service.admit(0, 30_000_000).await;
    service.admit(2, 20_000_000).await;
    sample(&service, 5..8).await;
    service.patch("/v1/topologies/net/links/ab", r#"{"state":"maintenance"}"#).await;
    service.delete(&format!("/v1/allocations/{low}")).await;
    // Nothing is sampled from minute 9 to 19.
    sample(&service, [8, 20]).await;
    // An instant is sampled once, and none before the newest.
    sample(&service, [8, 7]).await;

    let (step, found) = points(&service, 0, 30, 1).await;
    assert_eq!((step, found.len()), (1, 10));
    let class =
        |class_type: u8, bps: u64| json!({"class_type": class_type, "reserved_mean_bps": bps, "reserved_max_bps": bps});
    assert_eq!(
        found[5],
        json!({"at": at(5), "state": "up", "capacity_bps": 100_000_000, "max_reservable_bps": 100_000_000,
            "reserved_mean_bps": 50_000_000, "reserved_max_bps": 50_000_000,
            "classes": [class(0, 30_000_000), class(2, 20_000_000)]})
    );
    assert_eq!((&found[8]["state"], &found[8]["classes"]), (&json!("maintenance"), &json!([class(2, 20_000_000)])));
    let (_, merged) = points(&service, 0, 30, 10).await;
    // (3 × 50 + 20) / 9 in the first ten minutes, of which nine were sampled.
    assert_eq!(figures(&merged), [(at(0), 18, 50), (at(20), 20, 20)]);
    assert_eq!(
        (&merged[0]["state"], merged[0]["classes"][0]["reserved_mean_bps"].as_u64()),
        (&json!("maintenance"), Some(10_000_000))
    );

    let then = service.get(&format!("/v1/topologies/net/history?at={}", at(19))).await.json();
    assert_eq!((&then["at"], &then["step_ms"], &then["sequence"]), (&json!(at(8)), &json!(60_000), &json!(5)));
    let link = |name: &str| then["links"].as_array().unwrap().iter().find(|one| one["link"] == name).unwrap().clone();
    assert_eq!((&link("ab")["reserved_max_bps"], &link("ab~")["reserved_max_bps"]), (&json!(20_000_000), &json!(0)));
    let since = service.get("/v1/events?after=5").await.json();
    assert_eq!(since["items"], json!([]));
    service.close().await;
}

#[tokio::test]
async fn what_is_older_is_merged_and_then_gone() {
    let folder = tempfile::tempdir().unwrap();
    let service = TestService::open_in(folder, watermaster::app::driver_factory(Default::default())).await;
    service.send("PUT", "/v1/topologies/net", &[], PAIR).await;
    let day = 24 * 60;
    sample(&service, (0..day).step_by(5)).await;
    let id = service.admit(0, 40_000_000).await;
    sample(&service, (day..2 * day + 1).step_by(5)).await;
    service.delete(&format!("/v1/allocations/{id}")).await;

    // As long as the minutes are there, they are answered; without them what they were merged into says the same.
    let (_, fine) = points(&service, 0, 2 * day, 60).await;
    let journal = service.journal().await;
    forget(&journal, minute(3 * day)).await;
    let first = journal.next_link_sampling(SampleResolution::Minute, Millis(0)).await.unwrap().unwrap();
    assert_eq!(first.at, minute(day));
    assert_eq!(points(&service, 0, 2 * day, 60).await, (60, fine));
    let (step, coarse) = points(&service, day - 15, day + 15, 1).await;
    assert_eq!((step, figures(&coarse)), (15, vec![(at(day - 15), 0, 0), (at(day), 40, 40)]));

    forget(&journal, Millis(MIDNIGHT_MS + 40 * DAY_MS)).await;
    let (step, six_hours) = points(&service, 0, 2 * day, 60).await;
    let quarters_of_a_day =
        (0..8).map(|six| (at(six * 360), if six < 4 { 0 } else { 40 }, if six < 4 { 0 } else { 40 }));
    assert_eq!((step, figures(&six_hours)), (360, quarters_of_a_day.collect::<Vec<_>>()));
    forget(&journal, Millis(MIDNIGHT_MS + 500 * DAY_MS)).await;
    assert_eq!(points(&service, 0, 2 * day, 60).await, (60, vec![]));
    let gone = service.get(&format!("/v1/topologies/net/history?at={}", at(day))).await;
    assert_eq!((gone.status, gone.problem()), (StatusCode::NOT_FOUND, "not-sampled".to_owned()));
    assert_eq!(gone.json().get("first_at"), None);
    service.close().await;
}

async fn forget(journal: &Journal, now: Millis) {
    while journal.forget_some_link_history(&Retention::default(), now).await.unwrap() > 0 {}
}

/// A topology that was deleted and put again is another one: what was sampled before, also in the same minute and in merged
/// periods, is not its past.
#[tokio::test]
async fn another_topology_of_the_same_name_has_no_past() {
    let service = TestService::with(PAIR).await;
    let id = service.admit(0, 30_000_000).await;
    sample(&service, 0..20).await;
    assert_eq!(points(&service, 0, 60, 1).await.1.len(), 20);
    service.delete(&format!("/v1/allocations/{id}")).await;
    assert_eq!(service.send("DELETE", "/v1/topologies/net", &[], "").await.status, StatusCode::NO_CONTENT);
    service.send("PUT", "/v1/topologies/net", &[], PAIR).await;
    assert_eq!(points(&service, 0, 60, 1).await.1.len(), 0);
    let then = service.get(&format!("/v1/topologies/net/history?at={}", at(5))).await.json();
    assert_eq!(then["links"], json!([]));
    sample(&service, 20..46).await;
    let (_, found) = points(&service, 0, 60, 15).await;
    assert_eq!(figures(&found), [(at(15), 0, 0), (at(30), 0, 0), (at(45), 0, 0)]);
    // What was merged of the old one is not seen either when the minutes are gone.
    forget(&service.journal().await, minute(3 * 24 * 60)).await;
    assert_eq!(figures(&points(&service, 0, 60, 15).await.1), [(at(15), 0, 0), (at(30), 0, 0)]);
    // A change of the topology leaves its past.
    service.send("PUT", "/v1/topologies/net", &[], TRIANGLE).await;
    assert_eq!(points(&service, 0, 60, 15).await.1.len(), 2);
    let folder = service.leave().await;
    let service = TestService::open_with(folder, AppOptions::default()).await;
    assert_eq!(points(&service, 0, 60, 15).await.1.len(), 2, "a restart makes no other topology of it");
    service.close().await;
}

/// A row is written where something changed, and one a block where nothing did.
#[tokio::test]
async fn a_link_at_rest_takes_a_row_a_block() {
    let service = TestService::with(PAIR).await;
    sample(&service, 0..180).await;
    service.send("DELETE", "/v1/topologies/net", &[], "").await;
    sample(&service, 180..183).await;
    let mut database = service.database().await;
    let rows = "SELECT COUNT(*), MAX(LENGTH(samples)) FROM link_history WHERE step_ms = 60000 AND block_ms >= $1";
    let query = sqlx::query_as(rows).bind(i64::try_from(MIDNIGHT_MS).unwrap());
    let (count, longest): (i64, i64) = query.fetch_one(&mut database).await.unwrap();
    // Two directions, three hours.
    assert_eq!((count, longest < 100), (6, true));
    service.send("PUT", "/v1/topologies/net", &[], PAIR).await;
    let then = service.get(&format!("/v1/topologies/net/history?at={}", at(181))).await.json();
    assert_eq!(then["links"], json!([]), "the topology was not there");
    service.close().await;
}

#[tokio::test]
async fn a_time_that_cannot_be_asked_for_names_its_parameter() {
    let service = TestService::with(PAIR).await;
    let history = "/v1/topologies/net/links/ab/history";
    let cases = [
        (format!("{history}?from=yesterday"), "malformed-query", Some("from")),
        (format!("{history}?to=2030-13-01T00:00:00Z"), "malformed-query", Some("to")),
        (format!("{history}?from={}&to={}", at(2), at(2)), "impossible-request", Some("from")),
        (format!("{history}?step_ms=59999"), "impossible-request", Some("step_ms")),
        (format!("{history}?step_ms=0"), "impossible-request", Some("step_ms")),
        (format!("{history}?step_ms=60000"), "impossible-request", Some("step_ms")),
        (format!("{history}?step_ms=x"), "malformed-query", None),
        (format!("{history}?colour=x"), "malformed-query", None),
        ("/v1/topologies/net/links/none/history".to_owned(), "unknown-link", None),
        ("/v1/topologies/none/links/ab/history".to_owned(), "unknown-topology", None),
        ("/v1/topologies/none/history".to_owned(), "unknown-topology", None),
        ("/v1/topologies/net/history?at=now".to_owned(), "malformed-query", Some("at")),
        ("/v1/topologies/net/history?at=2001-01-01T00:00:00Z".to_owned(), "not-sampled", Some("at")),
    ];
    for (uri, kind, field) in cases {
        let answer = service.get(&uri).await;
        assert_eq!(answer.problem(), kind, "{uri}");
        assert!(field.is_none_or(|field| answer.json()["field"] == field), "{uri}: {answer:?}");
    }
    service.close().await;
}

#[tokio::test]
async fn another_service_on_the_database_goes_on_where_the_first_one_ended() {
    let service = TestService::with(PAIR).await;
    service.admit(0, 10_000_000).await;
    sample(&service, 0..3).await;
    let folder = service.leave().await;
    let service = TestService::open_with(folder, AppOptions::default()).await;
    sample(&service, 3..5).await;
    let (_, found) = points(&service, 0, 5, 1).await;
    assert_eq!((found.len(), figures(&found)[4].1), (5, 10));
    let mut database = service.database().await;
    let text = "SELECT samples FROM link_history WHERE link = 'ab' AND block_ms >= $1";
    let query = sqlx::query_scalar(text).bind(i64::try_from(MIDNIGHT_MS).unwrap());
    let samples: String = query.fetch_one(&mut database).await.unwrap();
    assert!(samples.starts_with("[0,") && samples.matches("\"up\"").count() == 1, "nothing changed: {samples}");
    let other = tempfile::tempdir().unwrap();
    let copy = Journal::open(&format!("sqlite://{}/copy.db", other.path().display()).parse().unwrap()).await.unwrap();
    service.journal().await.carry_link_history(&copy).await.unwrap();
    let name = |text: &str| kernel::id::Name::new(text).unwrap();
    let (topology, link) = (name("net"), name("ab"));
    let carried = copy
        .link_samples(SampleResolution::Minute, SampledTopology::any(&topology), &link, (minute(0), minute(9)))
        .await
        .unwrap();
    assert_eq!(carried.len(), 5);
    service.close().await;
}

/// The ages that are in force without a word in the configuration stand in two places.
#[test]
fn ages_by_default_are_those_of_the_configuration() {
    let config = watermaster::config::ConfigFile::default().complete().unwrap().link_history;
    let LinkHistoryAges { minutes, quarter_hours, six_hours } = LinkHistoryAges::default();
    let ages = [config.keep_minutes_ms, config.keep_quarter_hours_ms, config.keep_six_hours_ms];
    assert_eq!(ages.map(|ms| ms.map(Duration::from_millis)), [minutes, quarter_hours, six_hours].map(Some));
}

/// Of 20,002 links two of the last topology by name are not sampled: they have no past, and are counted.
#[tokio::test]
async fn links_beyond_the_bound_are_counted() {
    let service = TestService::with(PAIR).await;
    let nodes: Vec<_> = (0..101).map(|node| json!({"id": format!("n{node:03}")})).collect();
    let links = (0..LINKS_SAMPLED_MAX).map(|link| {
        let (from, to) = (link % 101, (link % 101 + 1 + link / 101 % 100) % 101);
        json!({"id": format!("l{link:05}"), "from": format!("n{from:03}"), "to": format!("n{to:03}"),
            "capacity_bps": 1_000_000})
    });
    let many = json!({"nodes": nodes, "links": links.collect::<Vec<_>>()}).to_string();
    let put = service.send("PUT", "/v1/topologies/zeta", &[], many).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    sample(&service, [0]).await;
    let then = async |topology: &str| {
        let answer = service.get(&format!("/v1/topologies/{topology}/history?at={}", at(0))).await.json();
        let links = answer["links"].as_array().unwrap().iter().map(|link| link["link"].as_str().unwrap().to_owned());
        links.collect::<BTreeSet<_>>()
    };
    assert_eq!(then("net").await.len(), 2);
    let sampled = then("zeta").await;
    assert_eq!(sampled.len(), LINKS_SAMPLED_MAX - 2);
    let left_out: Vec<_> =
        (0..LINKS_SAMPLED_MAX).map(|link| format!("l{link:05}")).filter(|link| !sampled.contains(link)).collect();
    let points = async |link: &str| {
        let uri = format!("/v1/topologies/zeta/links/{link}/history?from={}&to={}", at(0), at(1));
        service.get(&uri).await.json()["points"].as_array().unwrap().len()
    };
    assert_eq!((points(&left_out[0]).await, points(&left_out[1]).await), (0, 0));
    assert_eq!(points(sampled.first().unwrap()).await, 1);
    assert_eq!(service.app.links_left_out(), 2);
    service.close().await;
}
