//! Events and their stored form: nothing is lost on the way there and back, the form is the one that journals in the field
//! have, and what is stale or hostile is an error.

use std::collections::BTreeMap;

use self::fixture::{Happened, World, name};
use super::batch::RecordBatch;
use super::decode::{decode, decode_fact};
use super::encode::encode;
use super::error::{BatchError, RecordDecodeError, RecordEncodeError};
use super::record::EventRecord;
use kernel::allocation::{EndCause, LspAttributes, Protection, Recovery};
use kernel::annotation::{Annotation, AnnotationField, Annotations};
use kernel::bam::Cause;
use kernel::event::{Binding, Denial, Displaced, DisplacedBy, Event, Fate, PathObstacle, Recorded};
use kernel::id::{AllocationId, LinkIx, NodeIx, Sequence};
use kernel::path::Disjointness;
use kernel::units::{Bandwidth, Micros, Millis};
use kernel::{Fact, State, apply};
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};
use serde_json::{Value, json};

#[path = "../../tests/it/journal/fixture.rs"]
#[expect(dead_code, reason = "the tests of whole journals use the rest of it")]
mod fixture;

fn annotations(customer: &str) -> Annotations {
    [(AnnotationField::Customer, Annotation::parse(customer).unwrap())].into_iter().collect()
}

fn through_json(record: &EventRecord) -> EventRecord {
    serde_json::from_str(&serde_json::to_string(record).unwrap()).unwrap()
}

#[test]
fn every_kind_of_event_survives_its_stored_form() {
    let expected = [
        ("allocation_admitted", true),
        ("allocation_denied", false),
        ("allocation_recovered", false),
        ("allocation_released", false),
        ("allocation_resized", true),
        ("allocation_start_failed", false),
        ("allocation_started", false),
        ("allocations_expired", false),
        ("controller_deleted", false),
        ("controller_led", false),
        ("controller_put", false),
        ("link_changed", true),
        ("maintenance_ended", false),
        ("maintenance_planned", true),
        ("model_set", true),
        ("preemption_foreseen", false),
        ("scheduler_led", false),
        ("tenant_deleted", false),
        ("tenant_put", false),
        ("topology_deleted", false),
        ("topology_put", true),
    ]
    .map(|(kind, is_displacing)| (kind.to_owned(), is_displacing));
    let mut kinds: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let seen = |kinds: &BTreeMap<String, (u32, u32)>| -> Vec<(String, bool)> {
        kinds.iter().map(|(kind, (_, displaced))| (kind.clone(), *displaced > 0)).collect()
    };
    // Until each kind was there: some are rare.
    for seed in 100..600 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            let Some(Happened { fact, before, .. }) = world.step() else { continue };
            let record = encode(&fact).unwrap();
            assert_eq!(through_json(&record), record);
            let read = decode(&record, fact.sequence, fact.at, &before).unwrap();
            assert_eq!((read.sequence, read.at, read.event), (fact.sequence, fact.at, fact.event));
            let read = decode_fact(&record, read.sequence, read.at).unwrap();
            assert_eq!(encode(&read).unwrap(), record, "without a state");
            let shown = serde_json::to_value(&record).unwrap();
            let counts = kinds.entry(shown["kind"].as_str().unwrap().to_owned()).or_default();
            counts.0 += 1;
            counts.1 += u32::from(shown["displaced"].is_array());
        }
        if seed >= 150 && seen(&kinds) == expected {
            break;
        }
    }
    assert_eq!(seen(&kinds), expected, "{kinds:?}");
}

/// An admission, and the state before it.
fn just_admitted() -> (Fact, State) {
    let mut world = World::new(40);
    loop {
        let Some(Happened { fact, before, .. }) = world.step() else { continue };
        if matches!(fact.event, Event::Admitted { .. }) {
            return (fact, before);
        }
    }
}

#[test]
fn every_fate_and_denial_survives_its_stored_form() {
    let (fact, before) = just_admitted();
    let Event::Admitted { allocation, .. } = &fact.event else { panic!("{fact:?}") };
    let survives = |event: Event| {
        let fact = Fact { event, ..fact.clone() };
        let record = encode(&fact).unwrap();
        let read = decode(&through_json(&record), fact.sequence, fact.at, &before).unwrap();
        assert_eq!(read.event, fact.event);
    };
    let ends = [EndCause::Released, EndCause::Expired, EndCause::Preempted, EndCause::Devolved, EndCause::Failed];
    let mut allocation = kernel::allocation::Allocation::clone(allocation);
    allocation.demand.constraints = Some(Box::default());
    let others = [Fate::Rerouted([LinkIx(1), LinkIx(0)].into()), Fate::Unprotected];
    let fates = ends.map(Fate::Ended).into_iter().chain(others);
    let causes = [
        DisplacedBy::Link,
        DisplacedBy::Relocation,
        DisplacedBy::Contention(Cause::Preempted),
        DisplacedBy::Contention(Cause::Devolved),
    ];
    let displaced = fates.zip(causes.into_iter().cycle()).zip(5..);
    let displaced = displaced.map(|((fate, cause), id)| Displaced {
        id: AllocationId(id),
        annotations: annotations(if id == 5 { "" } else { "ACME" }),
        cause,
        fate,
    });
    survives(Event::Admitted { allocation: allocation.clone().into(), displaced: displaced.collect() });
    let disjointness = Disjointness::Node;
    for (backup, reverts_to) in [(None, Some(0)), (Some(1), None), (Some(1), Some(0)), (None, None)] {
        let mut protected = allocation.clone();
        let path = |link: Option<u32>| link.map(|link| [LinkIx(link)].into());
        protected.recovery = Recovery::of(path(backup), path(reverts_to));
        let (is_revertive, is_best_effort) = (backup.is_some(), reverts_to.is_some());
        protected.demand.attributes.protection =
            Some(Protection { disjointness, is_shared: is_revertive, is_revertive, is_best_effort });
        survives(Event::Recovered { allocation: protected.into() });
    }
    let mut demand = allocation.demand.clone();
    demand.bandwidth = Bandwidth::MAX;
    demand.constraints = None;
    demand.attributes =
        LspAttributes {
            expires_at: Some(Millis(u64::MAX)), annotations: annotations("é"), ..LspAttributes::default()
        };
    let of = Some(AllocationId(u64::MAX));
    let obstacles = [
        PathObstacle::Disconnected,
        PathObstacle::LinksDown,
        PathObstacle::Excluded,
        PathObstacle::AdminGroup,
        PathObstacle::Route,
        PathObstacle::MaxHops { least: 3 },
        PathObstacle::MaxDelay { least: Micros(4) },
        PathObstacle::SearchLimit,
    ];
    let binding = vec![Binding { link: LinkIx(0), available: Bandwidth::ZERO }];
    let others = [
        Denial::NoBackup { disjointness, binding: binding.clone(), largest_admissible: Bandwidth::ZERO },
        Denial::InsufficientBandwidth { binding, largest_admissible: Bandwidth::MAX },
        Denial::TooCongested { cost_percent: u64::MAX, limit_percent: u32::MAX },
    ];
    for denial in obstacles.map(Denial::NoPath).into_iter().chain(others) {
        survives(Event::Denied { of, demand: Box::new(demand.clone()), denial });
    }
}

#[test]
fn the_stored_form_keeps_its_spelling() {
    let admitted = json!({
        "kind": "allocation_admitted",
        "allocation": {
            "id": "17", "topology": "one", "ingress": "a", "egress": "c", "class_type": 2, "setup_priority": 3,
            "hold_priority": 3, "bandwidth_bps": 5000, "aggregator": "ag-1", "expires_at_ms": 99,
            "constraints": {
                "metric": "te", "max_hops": 3, "max_delay_us": 10, "include": [{"node": "b"}], "exclude": [{"link": "ba"}],
                "exclude_any": 4, "route": [{"hop": {"node": "b"}, "strict": true}]
            },
            "flow": {"in_port": 1, "ipv4_src": "10.0.0.0/8", "ip_proto": 6, "l4_dst": 443, "out_port": 9},
            "annotations": {"name": "east", "customer": "ACME", "note": "n"},
            "path": ["ab", "bc"], "created_at_ms": 7, "updated_at_ms": 8
        },
        "displaced": [
            {"id": "3", "cause": "preempted", "fate": "rerouted", "path": ["ab"]},
            {"id": "4", "annotations": {"name": "west"}, "cause": "link", "fate": "failed"}
        ]
    });
    let denied = json!({
        "kind": "allocation_denied",
        "demand": {
            "topology": "one", "ingress": "a", "egress": "c", "class_type": 0, "setup_priority": 7, "hold_priority": 7,
            "bandwidth_bps": 1
        },
        "denial": {
            "reason": "insufficient_bandwidth", "binding": [{"link": "ab", "available_bps": 0}],
            "largest_admissible_bps": 0
        }
    });
    let put = json!({
        "kind": "topology_put", "topology": "one",
        "content": {
            "nodes": [
                {"name": "a", "label": "A", "position": {"geographic": {"latitude_udeg": -1, "longitude_udeg": 2}},
                 "switch": {"dpid": "00000000000000ff", "host_ports": [1]}},
                {"name": "b", "position": {"drawing": {"x_milli": 1, "y_milli": 2}}}
            ],
            "links": [
                {"name": "ab", "from": "a", "to": "b", "capacity_bps": 10, "max_reservable_bps": 9, "te_metric": 1,
                 "delay_us": 5, "srlg": [1], "admin_group": 1, "state": "up", "from_port": 2, "to_port": 3, "twin": "ba",
                 "capacity_from": "given"}
            ]
        }
    });
    let model = json!({
        "kind": "model_set", "topology": "one",
        "model": {
            "default": {
                "model": "rdm",
                "classes": [{"class_type": 0, "share_ppm": 1000000, "high_to_low_ppm": 0, "low_to_high_ppm": 0,
                             "overbooking_ppm": 1000000}],
                "te_classes": [{"class_type": 0, "priority": 7}]
            },
            "overrides": {"ab": {"model": "gbam", "classes": []}},
            "policy": {"victim_order": "highest_first", "victim_policy": "fewest", "path_choice": "avoid_victims", "path_metric": "congestion",
                       "restoration": "reroute", "relocation": {"max_moves": 1}, "refuse_above_percent": 200}
        }
    });
    let rest = [
        json!({"kind": "allocation_released", "id": "18446744073709551615"}),
        json!({"kind": "allocations_expired", "ids": ["1", "2"]}),
        json!({"kind": "topology_deleted", "topology": "one"}),
        json!({"kind": "controller_put",
               "controller": {"name": "c", "driver": "ryu", "url": "http://127.0.0.1:8080", "topology": "one"}}),
        json!({"kind": "controller_put", "controller": {"name": "c", "driver": "simulated", "topology": "one"}}),
        json!({"kind": "controller_deleted", "controller": "c"}),
        json!({"kind": "link_changed", "topology": "one", "links": [], "stranded": ["5"]}),
    ];
    for stored in [admitted, denied, put, model].into_iter().chain(rest) {
        let record: EventRecord = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), stored);
    }
}

#[test]
fn what_does_not_fit_the_state_is_named() {
    let (fact, before) = just_admitted();
    let good = serde_json::to_value(encode(&fact).unwrap()).unwrap();
    let with = |field: &str, value: Value| {
        let mut bad = good.clone();
        bad["allocation"][field] = value;
        decode(&serde_json::from_value(bad).unwrap(), fact.sequence, fact.at, &before)
    };
    assert_eq!(with("topology", json!("none")), Err(RecordDecodeError::UnknownTopology(name("none"))));
    assert!(
        matches!(with("ingress", json!("none")), Err(RecordDecodeError::UnknownNode { node, .. }) if node == name("none"))
    );
    assert!(
        matches!(with("path", json!(["none"])), Err(RecordDecodeError::UnknownLink { link, .. }) if link == name("none"))
    );
    assert_eq!(with("class_type", json!(8)), Err(RecordDecodeError::OutOfRange { field: "class_type", value: 8 }));
    let huge = Err(RecordDecodeError::OutOfRange { field: "bandwidth_bps", value: u64::MAX });
    assert_eq!(with("bandwidth_bps", json!(u64::MAX)), huge);
    let mut bad = good.clone();
    bad["displaced"] = json!([{"id": "1", "cause": "link", "fate": "rerouted"}]);
    let read = decode(&serde_json::from_value(bad).unwrap(), fact.sequence, fact.at, &before);
    assert_eq!(read, Err(RecordDecodeError::NoPath(AllocationId(1))));
    for (field, value) in [("id", json!(17)), ("id", json!("-1")), ("topology", json!("")), ("path", json!(["a\nb"]))] {
        let mut bad = good.clone();
        bad["allocation"][field] = value;
        assert!(serde_json::from_value::<EventRecord>(bad).is_err());
    }
}

#[test]
fn what_is_not_of_the_state_is_not_written() {
    let (fact, _) = just_admitted();
    let Event::Admitted { allocation, .. } = &fact.event else { panic!("{fact:?}") };
    let mut batch = RecordBatch::new();
    batch.push(&fact, &[]).unwrap();
    assert!(matches!(batch.push(&fact, &[]), Err(BatchError::OutOfSequence { .. })));
    let mut odd = kernel::allocation::Allocation::clone(allocation);
    odd.demand.egress = NodeIx(99);
    let odd = Event::Resized { allocation: odd.into(), displaced: vec![] };
    let odd = Fact { sequence: fact.sequence.next(), event: odd, ..fact.clone() };
    let no_node = |error: &RecordEncodeError| matches!(error, RecordEncodeError::NoNode { node: NodeIx(99), .. });
    assert!(matches!(batch.push(&odd, &[]), Err(BatchError::Encode(error)) if no_node(&error)));
    assert_eq!(batch.len(), 1);
    let recorded = Recorded { sequence: fact.sequence, at: fact.at, event: fact.event.clone() };
    assert!(matches!(encode(&Fact::of(recorded, &State::new())), Err(RecordEncodeError::NoNode { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A damaged row is an error, or an event that `apply` may judge: never a panic.
    #[test]
    fn damage_is_survived(seed in any::<u32>(), at in any::<prop::sample::Index>(), with in "[ -~]{0,3}") {
        let mut world = World::new(seed.into());
        let mut rows = vec![];
        for _ in 0..60 {
            let Some(Happened { fact, before, .. }) = world.step() else { continue };
            rows.push((serde_json::to_string(&encode(&fact).unwrap()).unwrap(), before));
        }
        for (body, mut before) in rows {
            let mut bytes = body.into_bytes();
            let place = at.index(bytes.len());
            bytes.splice(place..(place + 2).min(bytes.len()), with.bytes());
            let Ok(record) = serde_json::from_slice::<EventRecord>(&bytes) else { continue };
            let sequence = before.sequence().next();
            let _ = decode_fact(&record, sequence, Millis(0));
            let Ok(recorded) = decode(&record, sequence, Millis(0), &before) else { continue };
            let applied = apply(&mut before, &recorded).is_ok();
            prop_assert!(applied == (before.sequence() == sequence));
        }
    }
}

#[test]
fn a_sequence_begins_anywhere() {
    let mut batch = RecordBatch::new();
    assert!(batch.is_empty());
    let released = |sequence| {
        let event = Event::Released { id: AllocationId(1) };
        Fact { sequence: Sequence(sequence), at: Millis(1), event, names: kernel::Names::none(), actor: None }
    };
    batch.push(&released(41), &[]).unwrap();
    assert!(batch.push(&released(43), &[]).is_err());
    batch.push(&released(42), &[]).unwrap();
    assert_eq!((batch.len(), batch.is_empty()), (2, false));
    batch.clear();
    assert!(batch.is_empty());
}
