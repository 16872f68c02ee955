//! The core, stepped through time.

use std::time::Duration;

use api::gateway::{SubscriptionRequest, TopicPolicy};
use proptest::prelude::*;

use super::super::limits::{BACKOFF_MAX, BATCH_OVERHEAD_BYTES, EFFICIENT_BATCH_BYTES};
use super::super::subscription::DeliveryTarget;
use super::super::wire_cost;
use super::*;

fn core(fallback_bps: PerLevel<u64>, buffer_bytes: u64) -> GatewayCore {
    let settings = GatewaySettings {
        node: "here".to_owned(),
        buffer_bytes: [buffer_bytes; 3],
        fallback_bps,
        policies: PolicyDocument {
            policy: OverflowPolicy::Circular,
            policies: vec![TopicPolicy { topic: "log/#".to_owned(), policy: OverflowPolicy::Fifo }],
        },
        first_id: 1,
    };
    GatewayCore::new(SinceStart(0), settings)
}

fn terms(filter: &str, level: u8) -> SubscriptionTerms {
    let request = SubscriptionRequest {
        topic: filter.to_owned(),
        qos_level: level.try_into().unwrap(),
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

/// A batch is planned as those before it were coded, and charged with what it took: the rate is used, and kept to.
#[test]
fn rates_are_kept_to_on_the_wire() {
    for (coded_percent, changes) in [(25, false), (4, false), (100, false), (30, true)] {
        let mut core = core([0, 0, 400_000], 10_000_000);
        let id = core.subscribe(SinceStart(0), terms("t", 2)).unwrap();
        let (mut now, mut sent_bytes, mut batches) = (SinceStart(0), 0, 0);
        let end = SinceStart(20_000_000);
        while now < end {
            while core.buffer(2.try_into().unwrap()).backlog_bytes() < 2_000_000 {
                core.offer(now, 0, "t", payload(200));
            }
            while let Some(batch) = core.dispatch(now) {
                let messages_bytes: u64 = batch.items.iter().map(|item| item.message.bytes()).sum();
                // What devices send may become easier or harder to code at any time.
                let percent = if changes && now.0 > 10_000_000 { 100 } else { coded_percent };
                let plain_bytes = usize::try_from(200 + messages_bytes).unwrap();
                let body =
                    wire_cost::SentBody { plain_bytes, sent_bytes: plain_bytes * percent / 100, head_bytes: 400 };
                core.settle(now, id, batch.charge.unwrap(), body);
                sent_bytes += wire_cost::in_packets((body.sent_bytes + body.head_bytes) as u64);
                batches += 1;
                core.finish_delivery(now, id, DeliveryOutcome::Delivered);
            }
            now = core.next_deadline(now).unwrap().min(end);
            core.tick(now);
        }
        let allowed_bytes = 400_000 / 8 * 20;
        assert!(sent_bytes <= allowed_bytes + 70_000, "{coded_percent} %: {sent_bytes} of {allowed_bytes}");
        assert!(sent_bytes >= allowed_bytes * 98 / 100, "{coded_percent} %: {sent_bytes} of {allowed_bytes}");
        assert!(batches < 400, "{coded_percent} %: {batches} batches");
        let measured_bps = core.flows_bps(now)[2].1;
        assert!(measured_bps.abs_diff(400_000) < 40_000, "{coded_percent} %: {measured_bps} bit/s measured");
    }
}

/// One batch is in flight: what a level gains until it is answered is in the next one, and no more than that at once.
#[test]
fn long_round_trips_cost_no_rate() {
    for (answer_us, least_percent) in [(0, 98), (50_000, 98), (100_000, 97), (200_000, 97), (400_000, 95)] {
        let mut core = core([0, 0, 20_000_000], 100_000_000);
        let id = core.subscribe(SinceStart(0), terms("t", 2)).unwrap();
        let (mut now, mut sent_bytes, mut largest, mut answer_at) = (SinceStart(0), 0, 0, None::<SinceStart>);
        while now.0 < 5_000_000 {
            while core.buffer(2.try_into().unwrap()).backlog_bytes() < 4_000_000 {
                core.offer(now, 0, "t", payload(1_000));
            }
            if answer_at.is_some_and(|at| at <= now) {
                core.finish_delivery(now, id, DeliveryOutcome::Delivered);
                answer_at = None;
            }
            while let Some(batch) = core.dispatch(now) {
                assert_eq!(answer_at, None, "one batch is in flight");
                // The answer is a millisecond late, as it is where there is something else to do.
                answer_at = Some(now.after(answer_us + 1_000));
                sent_bytes += size(&batch);
                largest = largest.max(size(&batch));
            }
            now = core.next_deadline(now).into_iter().chain(answer_at).min().unwrap();
            core.tick(now);
        }
        let allowed_bytes = 20_000_000 / 8 * 5;
        assert!(sent_bytes * 100 >= allowed_bytes * least_percent, "{answer_us}: {sent_bytes} of {allowed_bytes}");
        assert!(sent_bytes <= allowed_bytes + largest, "{answer_us}: {sent_bytes} of {allowed_bytes}");
        let bucket_bytes = 20_000_000 / 8 * (answer_us.max(100_000) * 5 / 4 + 10_000) / 1_000_000;
        assert!(largest <= bucket_bytes, "{answer_us}: {largest} bytes at once");
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

proptest! {
    /// However consumers answer and rates change, levels keep to their rates and the buffers to their limits, and time
    /// never stands still: after the deadline something is done.
    #[test]
    fn levels_keep_to_their_rates(
        steps in proptest::collection::vec((0..100_000_u64, 0..3_u8, 0..2_000_usize, 0..4_u8, 0..2_000_000_u64), 1..150),
    ) {
        let mut core = core([500_000, 250_000, 1_000_000], 20_000);
        let ids: Vec<_> = (0..3).map(|level| core.subscribe(SinceStart(0), terms("#", level)).unwrap()).collect();
        let (mut now, mut sequence) = (SinceStart(0), 0);
        let (mut allowed, mut sent, mut burst) = ([0_u128; 3], [0_u128; 3], [0_u128; 3]);
        for (wait_us, pick, bytes, answer, rate_bps) in steps {
            for at in 0..3 {
                let bps = core.rates(now).0.levels_bps[at];
                allowed[at] += u128::from(bps) * u128::from(wait_us);
                burst[at] = burst[at].max(u128::from(bps) * 100_000);
            }
            now = now.after(wait_us);
            core.tick(now);
            core.offer(now, 0, if bytes % 2 == 0 { "log/x" } else { "t" }, payload(bytes));
            if answer == 0 {
                sequence += 1;
                let levels_bps = std::array::from_fn(|at| if at == usize::from(pick) { rate_bps } else { 300_000 });
                core.apply_rates(now, LevelRates {
                    sequence, at_ms: 0, lease_ms: 1 << 40, levels_bps, fallback_bps: [None; 3], unserved: [None; 3], is_work_conserving: false,
                });
            }
            while let Some(batch) = core.dispatch(now) {
                sent[batch.level.at()] += u128::from(size(&batch)) * 8_000_000;
                let ending = [DeliveryOutcome::Delivered, DeliveryOutcome::Failed, DeliveryOutcome::Rejected, DeliveryOutcome::Delivered][usize::from(answer)];
                core.finish_delivery(now, batch.subscription, ending);
            }
            for at in 0..3 {
                let overdraft = u128::from(BATCH_OVERHEAD_BYTES + 2_200 + EFFICIENT_BATCH_BYTES) * 8_000_000;
                prop_assert!(sent[at] <= allowed[at] + burst[at] + overdraft, "level {at}");
                prop_assert!(core.buffers[at].bytes() <= 20_000);
            }
            if let Some(at) = core.next_deadline(now) {
                prop_assert!(at > now, "nothing left to do now");
            }
        }
        for id in ids {
            prop_assert!(core.unsubscribe(id));
        }
        prop_assert!(core.buffers.iter().all(|buffer| buffer.bytes() == 0));
    }
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

/// At 80 kbit/s messages of 20 bytes share batches: most of the rate is messages, and none waits for longer than a batch
/// takes.
#[test]
fn narrow_links_carry_messages_and_not_heads() {
    let mut core = core([0, 0, 80_000], 1_000_000);
    let id = core.subscribe(SinceStart(0), terms("t", 2)).unwrap();
    let (mut now, mut messages_bytes, mut sent_bytes, mut oldest_us) = (SinceStart(0), 0_u64, 0_u64, 0_u64);
    while now.0 < 60_000_000 {
        now = now.after(15_000);
        // About three quarters of the rate.
        core.offer(now, now.0 / 1_000, "t", payload(20));
        core.tick(now);
        while let Some(batch) = core.dispatch(now) {
            messages_bytes += batch.items.iter().map(|item| item.message.bytes()).sum::<u64>();
            sent_bytes += size(&batch);
            // Messages are numbered, and one arrives every 15 ms.
            oldest_us = oldest_us.max(now.0 - batch.items[0].sequence * 15_000);
            core.finish_delivery(now, id, DeliveryOutcome::Delivered);
        }
    }
    assert!(messages_bytes * 10 >= sent_bytes * 6, "{messages_bytes} of {sent_bytes} are messages");
    assert!(oldest_us <= 1_000_000, "{oldest_us} µs");
}

/// One batch is in flight, and the next waits for its answer: with 50 ms between them it is large enough to use the rate.
#[test]
fn long_round_trips_cost_nothing_of_the_rate() {
    let mut core = core([0, 0, 20_000_000], 64_000_000);
    let id = core.subscribe(SinceStart(0), terms("t", 2)).unwrap();
    for _ in 0..40_000 {
        core.offer(SinceStart(0), 0, "t", payload(1_000));
    }
    let (mut now, mut sent_bytes) = (SinceStart(100_000), 0);
    while now.0 < 5_100_000 {
        now = core.next_deadline(now).unwrap().max(now);
        core.tick(now);
        let Some(batch) = core.dispatch(now) else { continue };
        sent_bytes += size(&batch);
        now = now.after(50_000);
        core.finish_delivery(now, id, DeliveryOutcome::Delivered);
    }
    let used_ppm = sent_bytes * 8 * 1_000_000 / (20_000_000 * 5);
    assert!((950_000..=1_060_000).contains(&used_ppm), "{used_ppm} ppm of the rate");
}
