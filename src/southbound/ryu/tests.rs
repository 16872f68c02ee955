//! The driver against a controller made of words: exchanges as they were recorded with os-ken 1.4.1, and worse ones.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::super::Unreachable;
use super::super::stub::{Stub, StubRequest};
use super::*;
use kernel::id::AllocationId;
use kernel::intent::{
    Action, Bucket, IpFamily, Match, MeterId, MplsLabel, Numbering, PortNo, RuleKey, SwitchFault, Ways,
};

const SWITCH: Dpid = Dpid(1);
const TAG: u8 = Numbering::DEFAULT.cookie_tag();
const PORTS: &str = r#"{"1": [
    {"hw_addr": "b6:9b:68:85:3a:ee", "name": "s1-h1", "config": 0, "state": 4, "curr_speed": 10000000, "port_no": 1},
    {"hw_addr": "02:00:00:00:00:01", "name": "s1", "config": 1, "state": 1, "curr_speed": 10000000, "port_no": "LOCAL"},
    {"hw_addr": "ca:d1:67:1c:0a:50", "name": "s1-s2", "config": 0, "state": 4, "curr_speed": 10000000, "port_no": 2}]}"#;
const ABOUT: &str = r#"{"version": 1, "items_max": 1000}"#;

fn cookie(allocation: u64) -> Cookie {
    Cookie::new(TAG, 1, AllocationId(allocation)).unwrap()
}

fn transit(allocation: u64, out: u32) -> Rule {
    let label = MplsLabel::new(100_000 + u32::try_from(allocation).unwrap()).unwrap();
    Rule {
        place: RuleKey {
            table: 0,
            priority: 30_000,
            matches: Match::Mpls { label, bottom_of_stack: true, in_port: None },
        },
        cookie: cookie(allocation),
        actions: vec![Action::PopMpls(IpFamily::V4), Action::Output(PortNo(out))],
    }
}

fn told(rule: &Rule) -> Value {
    let Match::Mpls { label, .. } = rule.place.matches else { panic!("a transit rule") };
    let actions: Vec<String> = rule
        .actions
        .iter()
        .map(|action| match action {
            Action::PopMpls(family) => format!("POP_MPLS:{}", family.ethertype()),
            Action::Output(port) => format!("OUTPUT:{}", port.0),
            other => panic!("{other:?}"),
        })
        .collect();
    json!({"priority": rule.place.priority, "cookie": rule.cookie.0, "table_id": 0, "actions": actions,
        "match": {"dl_type": 34887, "mpls_label": label.number(), "mpls_bos": 1}})
}

/// A controller whose switch 1 holds the rules that it was sent, unless `drops` says that it loses one.
fn switch(drops: impl Fn(u64) -> bool + Send + Sync + 'static) -> Stub {
    let held: Arc<Mutex<Vec<Rule>>> = Arc::default();
    Stub::answering(move |(_, path, body)| {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let number = |name: &str| body[name].as_u64().unwrap_or_default();
        let which = CookieFilter { value: number("cookie"), mask: number("cookie_mask") };
        let mut held = held.lock().unwrap();
        let met: Vec<Value> = held.iter().filter(|rule| which.meets(rule.cookie)).map(told).collect();
        match path.as_str() {
            "/stats/portdesc/1" => (200, PORTS.to_owned()),
            "/stats/aggregateflow/1" => (200, json!({"1": [{"flow_count": met.len()}]}).to_string()),
            "/stats/flow/1" => (200, json!({"1": met}).to_string()),
            "/stats/flowentry/add" => {
                let allocation = Cookie(number("cookie")).allocation().0;
                if !drops(allocation) {
                    let out = body["actions"][1]["port"].as_u64().unwrap();
                    held.push(transit(allocation, u32::try_from(out).unwrap()));
                }
                (200, String::new())
            }
            "/stats/flowentry/delete_strict" => {
                held.retain(|rule| !which.meets(rule.cookie));
                (200, String::new())
            }
            _ => (404, String::new()),
        }
    })
}

fn driver(stub: &Stub) -> Ryu {
    Ryu::new(&stub.url(), &OutboundNetworks::default(), Numbering::DEFAULT).unwrap()
}

#[tokio::test]
async fn what_is_sent_one_by_one_is_read_back() {
    let stub = switch(|allocation| allocation == 3);
    let steps: Vec<RuleStep> = (1..=20).map(|allocation| RuleStep::PutRule(transit(allocation, 2))).collect();
    let outcomes = driver(&stub).apply(SWITCH, &steps).await.unwrap();
    for (at, outcome) in outcomes.iter().enumerate() {
        let expected = if at == 2 { StepOutcome::Refused(SwitchFault::ReadBackDiffers) } else { StepOutcome::InForce };
        assert_eq!(*outcome, expected, "{at}");
    }
    // Twenty cookies lie close together: they are read at once, and not one by one.
    let readings = stub.asked().iter().filter(|(_, path, _)| path == "/stats/flow/1").count();
    assert!(readings <= 4, "{readings}");
    let rules = driver(&stub).rules(SWITCH, CookieFilter::tagged(TAG)).await.unwrap();
    assert_eq!(rules.len(), 19);
    assert!(rules.contains(&transit(20, 2)));
}

#[tokio::test]
async fn nothing_is_taken_away_for_what_did_not_come() {
    let stub = switch(|allocation| allocation == 3);
    let old = Rule { cookie: Cookie::new(TAG, 0, AllocationId(3)).unwrap(), ..transit(9, 2) };
    let delete = |rule: &Rule| RuleStep::DeleteRule { place: rule.place.clone(), cookie: rule.cookie };
    let meter = RuleStep::DeleteMeter(MeterId(10_001));
    let steps = [
        RuleStep::PutRule(transit(3, 2)),
        RuleStep::PutRule(transit(4, 2)),
        delete(&old),
        delete(&transit(4, 2)),
        meter,
    ];
    let outcomes = driver(&stub).apply(SWITCH, &steps).await.unwrap();
    let refused = StepOutcome::Refused;
    assert_eq!(
        outcomes,
        [
            refused(SwitchFault::ReadBackDiffers),
            StepOutcome::InForce,
            refused(SwitchFault::AfterFailure),
            StepOutcome::InForce,
            refused(SwitchFault::AfterFailure)
        ]
    );
    assert!(!stub.asked().iter().any(|(_, path, _)| path.contains("meterentry")));
}

#[tokio::test]
async fn what_is_wrong_is_not_sent() {
    let stub = switch(|_| false);
    let opaque = Rule { actions: vec![Action::Opaque("GROUP:1".into())], ..transit(2, 2) };
    let steps = [RuleStep::PutRule(transit(1, 7)), RuleStep::PutRule(opaque), RuleStep::DeleteMeter(MeterId(1))];
    let outcomes = driver(&stub).apply(SWITCH, &steps).await.unwrap();
    assert_eq!(outcomes[0], StepOutcome::Refused(SwitchFault::NoSuchPort { port: PortNo(7) }));
    assert!(matches!(outcomes[1], StepOutcome::Refused(SwitchFault::Unsupported { .. })));
    assert!(matches!(outcomes[2], StepOutcome::Refused(SwitchFault::Unsupported { .. })));
    assert!(stub.asked().iter().all(|(_, path, _)| !path.contains("entry")), "{:?}", stub.asked());
    let many = vec![RuleStep::DeleteMeter(MeterId(10_001)); super::super::STEPS_MAX + 1];
    assert!(driver(&stub).apply(SWITCH, &many).await.is_err());
}

/// A controller with the batch that answers as its script says.
fn with_batch(answer: impl Fn(&StubRequest) -> (u16, String) + Send + Sync + 'static) -> Stub {
    Stub::answering(move |asked| match asked.1.as_str() {
        "/stats/portdesc/1" => (200, PORTS.to_owned()),
        "/watermaster/batch" => (200, ABOUT.to_owned()),
        _ => answer(asked),
    })
}

#[tokio::test]
async fn a_batch_is_believed_when_it_is_acknowledged() {
    let steps = [RuleStep::PutRule(transit(1, 2)), RuleStep::PutRule(transit(2, 2))];
    let refuses = with_batch(|_| (409, r#"{"dpid":1,"sent":2,"errors":[{"index":1,"type":2,"code":4}]}"#.to_owned()));
    let outcomes = driver(&refuses).apply(SWITCH, &steps).await.unwrap();
    assert_eq!(outcomes, [StepOutcome::InForce, StepOutcome::Refused(SwitchFault::Switch { kind: 2, code: 4 })]);

    let silent = with_batch(|_| (504, r#"{"error":"no barrier"}"#.to_owned()));
    assert_eq!(driver(&silent).apply(SWITCH, &steps).await.unwrap(), [StepOutcome::Unknown, StepOutcome::Unknown]);

    let gone = with_batch(|_| (404, r#"{"error":"no switch 1"}"#.to_owned()));
    assert_eq!(driver(&gone).apply(SWITCH, &steps).await, Err(DriverError::UnknownSwitch { dpid: SWITCH }));

    for lie in [
        r#"{"dpid":1,"sent":1,"errors":[]}"#,
        r#"{"dpid":1,"sent":2,"errors":[{"index":2,"type":1,"code":1}]}"#,
        r#"{"sent":-1,"errors":[]}"#,
        "[]",
        "<html>",
    ] {
        let liar = with_batch(move |_| (200, lie.to_owned()));
        let answer = driver(&liar).apply(SWITCH, &steps).await;
        assert!(matches!(answer, Err(DriverError::Garbage { .. })), "{lie}: {answer:?}");
    }
}

#[tokio::test]
async fn a_meter_that_is_there_already_is_given_the_rate() {
    let stub = with_batch(|(_, _, body)| {
        let first =
            body.contains(r#""command":"add","kind":"meter""#) || body.contains(r#""kind":"meter","command":"add""#);
        let errors = if first { json!([{"index": 0, "type": 12, "code": 1}]) } else { json!([]) };
        let items = serde_json::from_str::<Value>(body).unwrap()["items"].as_array().unwrap().len();
        (if first { 409 } else { 200 }, json!({"dpid": 1, "sent": items, "errors": errors}).to_string())
    });
    let meter = Meter { id: MeterId(10_001), rate_kbps: 5000, burst_kbit: 5000 };
    assert_eq!(driver(&stub).apply(SWITCH, &[RuleStep::AddMeter(meter)]).await.unwrap(), [StepOutcome::InForce]);
    assert!(stub.asked().last().unwrap().2.contains("modify"));
}

#[tokio::test]
async fn silence_is_not_emptiness() {
    let silent = Stub::answering(|(_, path, _)| {
        let nothing = if path.contains("desc/") && !path.contains("port") { r#"{"1": {}}"# } else { r#"{"1": []}"# };
        (200, nothing.to_owned())
    });
    // As if the controller had waited for the switch before each answer.
    let driver = Ryu { silence_after: Duration::ZERO, ..driver(&silent) };
    let expected = DriverError::SilentSwitch { dpid: SWITCH };
    assert_eq!(driver.rule_count(SWITCH, CookieFilter::tagged(TAG)).await, Err(expected.clone()));
    assert_eq!(driver.rules(SWITCH, CookieFilter::tagged(TAG)).await, Err(expected.clone()));
    assert_eq!(driver.meters(SWITCH).await, Err(expected.clone()));
    assert_eq!(driver.probe(SWITCH).await, Err(expected.clone()));
    assert_eq!(driver.ports(SWITCH).await, Err(expected.clone()));
    assert_eq!(driver.port_counters(SWITCH).await, Err(expected.clone()));
    assert_eq!(driver.apply(SWITCH, &[RuleStep::PutRule(transit(1, 2))]).await, Err(expected));
}

#[tokio::test]
async fn a_table_is_told_whole_where_the_controller_has_such_an_answer() {
    let meter = json!({"meter_id": 10_001, "flags": ["KBPS", "BURST", "STATS"],
        "bands": [{"type": "DROP", "rate": 5000, "burst_size": 5000}]});
    let table = json!({"rules": [told(&transit(1, 2))], "meters": [meter], "groups": []}).to_string();
    let unknown = DriverError::UnknownSwitch { dpid: SWITCH };
    let silent = DriverError::SilentSwitch { dpid: SWITCH };
    let held = SwitchContent {
        rules: vec![transit(1, 2)],
        meters: vec![Meter { id: MeterId(10_001), rate_kbps: 5000, burst_kbit: 5000 }],
        groups: vec![],
    };
    for (status, body, expected) in [
        (200, table.as_str(), Ok(Some(held))),
        (404, "", Ok(None)),
        (404, "<html>not here</html>", Ok(None)),
        (404, r#"{"error": "no switch 1 is connected"}"#, Err(unknown)),
        (504, r#"{"error": "switch 1 keeps silent"}"#, Err(silent)),
        (504, "a proxy's", Err(DriverError::Refused { what: "read a table", status: 504 })),
        (200, r#"{"rules": []}"#, Err(DriverError::Garbage { what: "read a table" })),
    ] {
        let answer = body.to_owned();
        let stub = Stub::answering(move |_| (status, answer.clone()));
        assert_eq!(driver(&stub).whole(SWITCH).await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn groups_that_an_older_application_does_not_tell_are_read_from_the_controller() {
    let id = 0x5700_0000 + 100_000;
    let group = |id: u32, kind: &str, weight: Option<u16>| {
        let mut bucket = json!({"watch_port": 2, "actions": ["SET_FIELD: {mpls_label:100000}", "OUTPUT:2"]});
        weight.into_iter().for_each(|weight| bucket["weight"] = weight.into());
        json!({"group_id": id, "type": kind, "buckets": [bucket]})
    };
    let actions = vec![Action::SetLabel(MplsLabel::new(100_000).unwrap()), Action::Output(PortNo(2))];
    let split = Ways::Split(vec![Bucket { weight: 64, actions }]);
    // As version 3 tells it, as version 4 does, and a foreign one.
    for (told, expected, readings) in [
        (group(id, "OTHER", None), split.clone(), 1),
        (group(id, "SELECT", Some(64)), split, 0),
        (group(id, "OTHER", Some(64)), Ways::Other, 0),
        (group(7, "OTHER", None), Ways::Other, 0),
    ] {
        let table = json!({"rules": [], "meters": [], "groups": [told]}).to_string();
        let plain = json!({"1": [group(id, "SELECT", Some(64))]}).to_string();
        let stub = Stub::answering(move |(_, path, _)| match path.as_str() {
            "/stats/groupdesc/1" => (200, plain.clone()),
            _ => (200, table.clone()),
        });
        let groups = driver(&stub).whole(SWITCH).await.unwrap().unwrap().groups;
        assert_eq!(groups.into_iter().map(|group| group.ways).collect::<Vec<_>>(), [expected]);
        assert_eq!(stub.asked().iter().filter(|(_, path, _)| path.contains("groupdesc")).count(), readings);
    }
}

#[tokio::test]
async fn half_a_list_is_none() {
    let rule = told(&transit(1, 2));
    let half = Stub::answering(move |(_, path, _)| match path.as_str() {
        "/stats/aggregateflow/1" => (200, r#"{"1": [{"packet_count": 0, "flow_count": 2}]}"#.to_owned()),
        _ => (200, json!({"1": [rule]}).to_string()),
    });
    let answer = driver(&half).rules(SWITCH, CookieFilter::tagged(TAG)).await;
    assert_eq!(answer, Err(DriverError::SilentSwitch { dpid: SWITCH }));
}

#[tokio::test]
async fn whatever_a_controller_answers_is_an_error_with_a_name() {
    let html = "<html><body>It works!</body></html>";
    let answers: [(u16, &str); 12] = [
        (200, html),
        (404, html),
        (404, ""),
        (500, "Traceback (most recent call last):\nTypeError: 'bool' object is not iterable"),
        (301, ""),
        (200, ""),
        (200, "null"),
        (200, "[]"),
        (200, "{}"),
        (200, r#"{"2": []}"#),
        (200, r#"{"1": [{"flow_count": -1}]}"#),
        (200, r#"{"1": [1, "two", null, {"cookie": 1e300}]}"#),
    ];
    for (status, body) in answers {
        let stub = Stub::answering(move |_| (status, body.to_owned()));
        let driver = driver(&stub);
        assert!(driver.rule_count(SWITCH, CookieFilter::tagged(TAG)).await.is_err(), "{status} {body}");
        assert!(driver.rules(SWITCH, CookieFilter::tagged(TAG)).await.is_err(), "{status} {body}");
        assert!(driver.meters(SWITCH).await.is_err(), "{status} {body}");
        assert!(driver.ports(SWITCH).await.is_err(), "{status} {body}");
        assert!(driver.probe(SWITCH).await.is_err(), "{status} {body}");
        assert!(driver.apply(SWITCH, &[RuleStep::PutRule(transit(1, 2))]).await.is_err(), "{status} {body}");
        let listed = driver.switches().await;
        assert!(listed.is_err() || body == "[]", "{status} {body}: {listed:?}");
        let links = driver.links().await;
        assert!(links.is_err() || body == "[]", "{status} {body}: {links:?}");
    }
    let closed = Ryu::new("http://127.0.0.1:1", &OutboundNetworks::default(), Numbering::DEFAULT).unwrap();
    let away = DriverError::Unreachable { why: Unreachable::NoConnection };
    assert_eq!(closed.switches().await, Err(away.clone()));
    assert_eq!(closed.apply(SWITCH, &[RuleStep::PutRule(transit(1, 2))]).await, Err(away));
}

#[test]
fn slices_meet_everything_once() {
    for (which, count) in [
        (CookieFilter::tagged(TAG), 1),
        (CookieFilter::tagged(TAG), 5_000),
        (CookieFilter::tagged(TAG), u64::MAX),
        (CookieFilter::slice(TAG, 3, 4), 900),
        (CookieFilter::exactly(cookie(5)), 9_000),
    ] {
        let slices: Vec<_> = slices(which, count).collect();
        for allocation in 0..10_000 {
            let cookie = cookie(allocation);
            let met = slices.iter().filter(|slice| slice.meets(cookie)).count();
            assert_eq!(met, usize::from(which.meets(cookie)), "{which:?} {allocation}");
        }
    }
    assert_eq!(slices(CookieFilter::tagged(TAG), RULES_AT_ONCE).count(), 1);
    assert_eq!(slices(CookieFilter::tagged(TAG), RULES_AT_ONCE * 4).count(), 4);
}

#[test]
fn the_narrowest_filter_meets_all_and_little_else() {
    let cookies: BTreeSet<Cookie> = (1024..1024 + 16).map(cookie).collect();
    let filter = narrowest(&cookies).unwrap();
    assert!(cookies.iter().all(|cookie| filter.meets(*cookie)));
    assert!((0..4096).map(cookie).filter(|cookie| filter.meets(*cookie)).count() == 16);
    assert_eq!(narrowest(&BTreeSet::new()), None);
}
