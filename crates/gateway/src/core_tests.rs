//! The core, stepped through time.

use std::time::Duration;

use api::gateway::{SubscriptionRequest, TopicPolicy};
use proptest::prelude::*;

use super::super::limits::{BACKOFF_MAX, BATCH_OVERHEAD_BYTES, EFFICIENT_BATCH_BYTES};
use super::super::subscription::DeliveryTarget;
use super::super::wire_cost;
use super::*;

#[path = "core_pace_tests.rs"]
mod pace;

fn core(fallback_bps: PerLevel<u64>, buffer_bytes: u64) -> GatewayCore {
    let settings = GatewaySettings {
        node: "here".to_owned(),
        buffer_bytes: [buffer_bytes; 3],
        fallback_bps,
        policies: PolicyDocument {
            policy: OverflowPolicy::Circular,
            policies: vec![TopicPolicy {
                topic: "log/#".to_owned(),
                policy: Some(OverflowPolicy::Fifo),
                qos_level: None,
            }],
        },
        first_id: 1,
    };
    GatewayCore::new(SinceStart(0), settings)
}

fn terms(filter: &str, level: u8) -> SubscriptionTerms {
    let request = SubscriptionRequest {
        topic: filter.to_owned(),
        qos_level: Some(level.try_into().unwrap()),
        callback_url: Some("http://consumer.example/in".to_owned()),
        consumer: None,
        node: Some("away".to_owned()),
    };
    SubscriptionTerms::check(request, "127.0.0.1:1".parse().unwrap(), None).unwrap()
}

fn payload(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

fn size(batch: &DeliveryBatch) -> u64 {
    wire_cost::batch_bytes(batch.items.iter().map(|item| item.message.bytes()).sum::<u64>())
}

#[test]
fn a_message_reaches_each_subscription_in_its_level() {
    let mut core = core([1_000_000; 3], 100_000);
    let low = core.subscribe(SinceStart(0), terms("a/#", 0)).unwrap();
    let best = core.subscribe(SinceStart(0), terms("a/+", 2)).unwrap();
    core.offer(SinceStart(0), 0, "a/b", payload(10));
    core.offer(SinceStart(0), 0, "b", payload(10));
    let now = SinceStart(1_000_000);
    let batches: Vec<_> = std::iter::from_fn(|| core.dispatch(now)).collect();
    assert_eq!(batches.iter().map(|batch| batch.subscription).collect::<Vec<_>>(), [best, low]);
    assert!(core.finish_delivery(now, low, DeliveryOutcome::Delivered));
    // A new subscription is found by topics that are known already.
    let late = core.subscribe(now, terms("a/b", 1)).unwrap();
    core.offer(now, 0, "a/b", payload(10));
    assert_eq!(core.buffer(1.try_into().unwrap()).lane(late).unwrap().0.offered, 1);
    assert_eq!(core.topics().get("a/b").unwrap().messages, 2);
}

/// No link of the orchestrator leads to a consumer at the gateway's own node: the plan says nothing about it.
#[test]
fn consumers_here_need_no_rate() {
    let mut core = core([0; 3], 100_000);
    let now = SinceStart(1_000_000);
    let [here, away] = ["here", "away"].map(|node| Some(node.to_owned()));
    for (node, is_local) in [(None, true), (here, false), (away, true), (None, false)] {
        core.subscribe(now, SubscriptionTerms { node, is_local, ..terms("t", 0) }).unwrap();
    }
    core.offer(now, 0, "t", payload(10));
    let deadline = core.next_deadline(SinceStart(0)).unwrap();
    let batches: Vec<_> = std::iter::from_fn(|| core.dispatch(deadline.max(now))).collect();
    assert_eq!(batches.iter().map(|batch| batch.subscription.0).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn new_rates_are_obeyed_at_once_and_end_with_their_lease() {
    let mut core = core([0; 3], 1_000_000);
    let id = core.subscribe(SinceStart(0), terms("t", 1)).unwrap();
    for _ in 0..1_000 {
        core.offer(SinceStart(0), 0, "t", payload(500));
    }
    assert_eq!(core.dispatch(SinceStart(10_000_000)), None);
    let mut now = SinceStart(10_000_000);
    let rates = |sequence, bps| LevelRates {
        sequence,
        at_ms: sequence,
        lease_ms: 2_000,
        levels_bps: [0, bps, 0],
        fallback_bps: [Some(0); 3],
        unserved: [None; 3],
        is_work_conserving: false,
    };
    let run = |core: &mut GatewayCore, mut now: SinceStart, until: SinceStart| {
        let mut sent = 0;
        while let Some(at) = core.next_deadline(now).filter(|at| *at <= until) {
            now = now.max(at);
            core.tick(now);
            while let Some(batch) = core.dispatch(now) {
                sent += size(&batch) * 8;
                core.finish_delivery(now, id, DeliveryOutcome::Delivered);
            }
        }
        sent
    };
    core.apply_rates(now, rates(1, 800_000));
    let first = run(&mut core, now, now.after(1_000_000));
    assert!(first.abs_diff(800_000) <= 100_000, "{first}");
    now = now.after(1_000_000);
    core.apply_rates(now, rates(2, 80_000));
    let second = run(&mut core, now, now.after(1_000_000));
    assert!(second <= 100_000, "{second}");
    let third = run(&mut core, now.after(1_000_000), now.after(5_000_000));
    assert!(third <= 100_000, "one more second of lease: {third}");
    assert_eq!(core.dispatch(now.after(60_000_000)), None);
}

/// What is reported as arriving is what sending it takes, however large the messages and however full the batches are: a
/// gateway that is given what it asks for keeps up, and asks for no more than it uses.
#[test]
fn what_is_asked_for_is_what_is_sent() {
    for (payload_bytes, every_us) in [(10, 100_000), (100, 5_000), (1_000, 10_000), (8_000, 40_000)] {
        let mut core = core([50_000; 3], 1_000_000);
        let id = core.subscribe(SinceStart(0), terms("t", 2)).unwrap();
        let mut now = SinceStart(0);
        for sequence in 0.. {
            if now.0 >= 12_000_000 {
                break;
            }
            core.offer(now, 0, "t", payload(payload_bytes));
            while let Some(batch) = core.dispatch(now) {
                // As it is rendered: a little less than planned.
                let messages_bytes: u64 = batch.items.iter().map(|item| item.message.bytes() - 10).sum();
                let plain_bytes = usize::try_from(130 + messages_bytes).unwrap();
                let body = wire_cost::SentBody { plain_bytes, sent_bytes: plain_bytes, head_bytes: 400 };
                core.settle(now, id, batch.charge.unwrap(), body);
                core.finish_delivery(now, id, DeliveryOutcome::Delivered);
            }
            now = now.after(every_us);
            // It is given what it asks for, and what waits within a second, as by an orchestrator.
            let level = 2.try_into().unwrap();
            let asked_bps = core.topic_bps(now, core.topics().get("t").unwrap(), level);
            assert!(core.asked_bps(now, level).abs_diff(asked_bps) <= asked_bps / 20, "a topic and its level agree");
            core.apply_rates(
                now,
                LevelRates {
                    sequence,
                    at_ms: 0,
                    lease_ms: 60_000,
                    levels_bps: [0, 0, asked_bps + core.buffer(level).backlog_bytes() * 8],
                    fallback_bps: [None; 3],
                    unserved: [None; 3],
                    is_work_conserving: false,
                },
            );
        }
        let (asked_bps, sent_bps) = core.flows_bps(now)[2];
        let backlog_bytes = core.buffer(2.try_into().unwrap()).backlog_bytes();
        assert!(sent_bps > payload_bytes as u64 * 8_000_000 / every_us, "more than the payload travels");
        let waits_ms = backlog_bytes * 8_000 / sent_bps;
        assert!(waits_ms <= 600, "{payload_bytes} bytes: {waits_ms} ms of messages wait");
        assert!(asked_bps <= sent_bps * 11 / 10, "{payload_bytes} bytes: {asked_bps} asked, {sent_bps} sent");
    }
}

#[test]
fn one_that_fails_waits_by_itself_and_ends_when_patience_does() {
    let mut core = core([10_000_000; 3], 100_000);
    let dead = core.subscribe(SinceStart(0), terms("t", 0)).unwrap();
    let living = core.subscribe(SinceStart(0), terms("t", 0)).unwrap();
    let (mut now, mut attempts, mut arrived, mut longest, mut last) = (SinceStart(0), 0_u64, 0, 0, None::<SinceStart>);
    while core.subscription(dead).is_some() {
        now = now.after(200_000);
        assert!(now.0 < 2 * SILENCE_MAX_US, "silence does not end");
        core.offer(now, 0, "t", payload(100));
        core.tick(now);
        while let Some(batch) = core.dispatch(now) {
            let is_dead = batch.subscription == dead;
            core.finish_delivery(
                now,
                batch.subscription,
                if is_dead { DeliveryOutcome::Failed } else { DeliveryOutcome::Delivered },
            );
            if is_dead {
                attempts += 1;
                longest = longest.max(last.map_or(0, |last| now.since(last)));
                last = Some(now);
            } else {
                arrived += batch.items.len();
            }
        }
    }
    assert!((20..60).contains(&attempts), "{attempts}");
    assert!(longest <= u64::try_from(BACKOFF_MAX.as_micros()).unwrap() + 400_000, "{longest}");
    let (counts, _) = core.lane(core.subscription(living).unwrap());
    assert_eq!((counts.dropped(), counts.delivered), (0, arrived as u64));
    assert!(counts.offered - counts.delivered <= 1);
}

#[test]
fn streams_wait_for_their_reader_and_not_for_ever() {
    let mut core = core([1_000_000; 3], 10_000);
    let id =
        core.subscribe(SinceStart(0), SubscriptionTerms { target: DeliveryTarget::Stream, ..terms("t", 0) }).unwrap();
    core.offer(SinceStart(0), 0, "t", payload(10));
    let now = SinceStart(1_000_000);
    assert_eq!(core.dispatch(now), None);
    core.attach(id, None, false);
    let first = core.dispatch(now).unwrap();
    core.detach(now, id);
    assert_eq!(core.dispatch(now), None);
    let now = now.after(1_000_000);
    core.attach(id, None, false);
    assert_eq!(core.dispatch(now).unwrap().items, first.items);
    core.detach(now, id);
    assert_eq!(core.tick(now.after(SILENCE_MAX_US - 1)), []);
    assert_eq!(core.tick(now.after(SILENCE_MAX_US)), [id]);
    assert!(core.subscription(id).is_none());
}

/// Demand is what can be delivered: a consumer that fails or hangs for some seconds is none, whatever is kept for it, and one
/// message at a time finds out whether it is back, even where its level has no rate.
#[test]
fn who_cannot_be_reached_is_no_demand_until_it_is_back() {
    for is_hanging in [true, false] {
        let mut core = core([1_000_000; 3], 100_000);
        let id = core.subscribe(SinceStart(0), terms("t", 0)).unwrap();
        let level = 0.try_into().unwrap();
        let mut now = SinceStart(1_000_000);
        core.offer(now, 0, "t", payload(100));
        assert!(core.buffer(level).backlog_bytes() > 0 && core.flows_bps(now)[0].0 > 0);
        assert!(core.dispatch(now).is_some());
        if !is_hanging {
            core.finish_delivery(now, id, DeliveryOutcome::Failed);
        }
        core.apply_rates(
            now,
            LevelRates {
                sequence: 1,
                at_ms: 1,
                lease_ms: 3_600_000,
                levels_bps: [0; 3],
                fallback_bps: [Some(0); 3],
                unserved: [None; 3],
                is_work_conserving: false,
            },
        );
        let revision = core.revision();
        now = now.after(DEMAND_PATIENCE_US);
        core.tick(now);
        assert!(core.revision() > revision, "it is reported at once");
        assert_eq!(core.demand(core.subscription(id).unwrap()), (LaneTarget::Away, true));
        for _ in 0..10 {
            now = now.after(500_000);
            core.offer(now, 0, "t", payload(100));
        }
        assert_eq!((core.buffer(level).backlog_bytes(), core.flows_bps(now)[0].0), (0, 0));
        if is_hanging {
            core.finish_delivery(now, id, DeliveryOutcome::Failed);
        }
        now = now.after(u64::try_from(BACKOFF_MAX.as_micros()).unwrap());
        core.tick(now);
        let probe = core.dispatch(now).unwrap();
        assert_eq!((probe.items.len(), core.dispatch(now)), (1, None));
        core.finish_delivery(now, id, DeliveryOutcome::Delivered);
        assert_eq!(core.demand(core.subscription(id).unwrap()), (LaneTarget::Away, false));
        assert!(core.buffer(level).backlog_bytes() > 0);
    }
}

/// A hung consumer at the gateway's own node is tried again without a debt of its level.
#[test]
fn a_probe_at_the_own_node_costs_no_rate() {
    let mut core = core([0; 3], 100_000);
    let here = SubscriptionTerms { node: Some("here".to_owned()), ..terms("t", 2) };
    let id = core.subscribe(SinceStart(0), here).unwrap();
    let mut now = SinceStart(1_000_000);
    core.offer(now, 0, "t", payload(100));
    assert!(core.dispatch(now).is_some());
    now = now.after(DEMAND_PATIENCE_US);
    core.tick(now);
    core.finish_delivery(now, id, DeliveryOutcome::Failed);
    now = now.after(u64::try_from(BACKOFF_MAX.as_micros()).unwrap());
    core.tick(now);
    assert_eq!(core.dispatch(now).map(|batch| batch.items.len()), Some(1));
    assert!(core.sent_here_bps(now)[2] > 0 && core.flows_bps(now)[2].1 == 0);
}

#[test]
fn who_is_here_is_no_demand() {
    let mut core = core([1_000_000; 3], 100_000);
    let here = SubscriptionTerms { node: Some("here".to_owned()), ..terms("t", 2) };
    core.subscribe(SinceStart(0), here).unwrap();
    for step in 0..100 {
        core.offer(SinceStart(step * 10_000), 0, "t", payload(500));
    }
    let buffer = core.buffer(2.try_into().unwrap());
    assert_eq!((buffer.backlog_bytes(), core.flows_bps(SinceStart(1_000_000))[2].0), (0, 0));
    assert!(buffer.bytes() > 50_000);
}

#[test]
fn a_consumer_is_left_alone_for_as_long_as_it_asks() {
    let mut core = core([1_000_000; 3], 100_000);
    let id = core.subscribe(SinceStart(0), terms("t", 0)).unwrap();
    let now = SinceStart(1_000_000);
    core.offer(now, 0, "t", payload(100));
    assert!(core.dispatch(now).is_some());
    core.finish_delivery(now, id, DeliveryOutcome::Postponed(Duration::from_secs(60)));
    core.tick(now.after(59_000_000));
    assert!(core.dispatch(now.after(59_000_000)).is_none());
    core.tick(now.after(60_000_000));
    assert!(core.dispatch(now.after(60_000_000)).is_some());
    core.finish_delivery(now.after(60_000_000), id, DeliveryOutcome::Postponed(Duration::MAX));
    core.tick(now.after(60_000_000 + 300_000_000));
    assert!(core.dispatch(now.after(60_000_000 + 300_000_000)).is_some(), "no pause is longer than five minutes");
}

/// 413: the batch comes again in halves; one message that is too large is rejected.
#[test]
fn batches_that_are_too_large_come_in_parts() {
    let mut core = core([10_000_000; 3], 100_000);
    let id = core.subscribe(SinceStart(0), terms("t", 0)).unwrap();
    let now = SinceStart(1_000_000);
    for _ in 0..16 {
        core.offer(now, 0, "t", payload(500));
    }
    let mut sizes = vec![];
    while let Some(batch) = core.dispatch(now) {
        sizes.push(batch.items.len());
        let is_small = batch.items.len() <= 4;
        core.finish_delivery(now, id, if is_small { DeliveryOutcome::Delivered } else { DeliveryOutcome::TooLarge });
    }
    assert_eq!(sizes, [16, 8, 4, 4, 4, 4]);
    core.offer(now, 0, "t", payload(500));
    core.dispatch(now).unwrap();
    core.finish_delivery(now, id, DeliveryOutcome::TooLarge);
    assert_eq!(core.lane(core.subscription(id).unwrap()).0.rejected, 1);
}
