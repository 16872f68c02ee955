//! The machine, stepped through time.

use proptest::prelude::*;

use super::super::limits::{BACKOFF_MAX_US, BATCH_OVERHEAD_BYTES};
use super::super::wire::SubscriptionRequest;
use super::*;

fn machine(fallback_bps: PerLevel<u64>, buffer_bytes: u64) -> Machine {
    let settings = GatewaySettings {
        node: "here".to_owned(),
        buffer_bytes: [buffer_bytes; 3],
        fallback_bps,
        policies: vec![("log/#".to_owned(), OverflowPolicy::Fifo)],
        policy: OverflowPolicy::Circular,
        first_id: 1,
    };
    Machine::new(SinceStart(0), settings)
}

fn wanted(filter: &str, level: u8) -> SubscriptionTerms {
    let request = SubscriptionRequest {
        topic: filter.to_owned(),
        qos_level: level.try_into().unwrap(),
        callback_url: Some("http://consumer.example/in".to_owned()),
        consumer: None,
        node: Some("away".to_owned()),
    };
    SubscriptionTerms::check(request, "127.0.0.1:1".parse().unwrap()).unwrap()
}

fn payload(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

fn size(batch: &DeliveryBatch) -> u64 {
    wire_cost::batch_bytes(batch.items.iter().map(|item| item.message.bytes()).sum::<u64>())
}

#[test]
fn a_message_reaches_each_subscription_in_its_level() {
    let mut machine = machine([1_000_000; 3], 100_000);
    let low = machine.subscribe(SinceStart(0), wanted("a/#", 0)).unwrap();
    let best = machine.subscribe(SinceStart(0), wanted("a/+", 2)).unwrap();
    machine.offer(SinceStart(0), 0, "a/b", payload(10));
    machine.offer(SinceStart(0), 0, "b", payload(10));
    let now = SinceStart(1_000_000);
    let batches: Vec<_> = std::iter::from_fn(|| machine.dispatch(now)).collect();
    assert_eq!(batches.iter().map(|batch| batch.subscription).collect::<Vec<_>>(), [best, low]);
    assert!(machine.settle(now, low, Ending::Arrived));
    // A new subscription is found by topics that are known already.
    let late = machine.subscribe(now, wanted("a/b", 1)).unwrap();
    machine.offer(now, 0, "a/b", payload(10));
    assert_eq!(machine.buffer(1.try_into().unwrap()).lane(late).unwrap().0.offered, 1);
    assert_eq!(machine.contents().get("a/b").unwrap().messages, 2);
}

/// No link of the orchestrator leads to a consumer at the gateway's own node: the plan says nothing about it.
#[test]
fn consumers_here_need_no_rate() {
    let mut machine = machine([0; 3], 100_000);
    let now = SinceStart(1_000_000);
    for node in [None, Some("here".to_owned()), Some("away".to_owned())] {
        machine.subscribe(now, SubscriptionTerms { node, ..wanted("t", 0) }).unwrap();
    }
    machine.offer(now, 0, "t", payload(10));
    let deadline = machine.next_deadline(SinceStart(0)).unwrap();
    let batches: Vec<_> = std::iter::from_fn(|| machine.dispatch(deadline.max(now))).collect();
    assert_eq!(batches.iter().map(|batch| batch.subscription.0).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn new_rates_are_obeyed_at_once_and_end_with_their_lease() {
    let mut machine = machine([0; 3], 1_000_000);
    let id = machine.subscribe(SinceStart(0), wanted("t", 1)).unwrap();
    for _ in 0..1_000 {
        machine.offer(SinceStart(0), 0, "t", payload(500));
    }
    assert_eq!(machine.dispatch(SinceStart(10_000_000)), None);
    let mut now = SinceStart(10_000_000);
    let rates = |sequence, bps| LevelRates {
        sequence,
        at_ms: sequence,
        lease_ms: 2_000,
        levels_bps: [0, bps, 0],
        fallback_bps: [Some(0); 3],
        is_work_conserving: false,
    };
    let run = |machine: &mut Machine, mut now: SinceStart, until: SinceStart| {
        let mut sent = 0;
        while let Some(at) = machine.next_deadline(now).filter(|at| *at <= until) {
            now = now.max(at);
            machine.tick(now);
            while let Some(batch) = machine.dispatch(now) {
                sent += size(&batch) * 8;
                machine.settle(now, id, Ending::Arrived);
            }
        }
        sent
    };
    machine.learn(now, rates(1, 800_000));
    let first = run(&mut machine, now, now.after(1_000_000));
    assert!(first.abs_diff(800_000) <= 100_000, "{first}");
    now = now.after(1_000_000);
    machine.learn(now, rates(2, 80_000));
    let second = run(&mut machine, now, now.after(1_000_000));
    assert!(second <= 100_000, "{second}");
    let third = run(&mut machine, now.after(1_000_000), now.after(5_000_000));
    assert!(third <= 100_000, "one more second of lease: {third}");
    assert_eq!(machine.dispatch(now.after(60_000_000)), None);
}

/// What is reported as arriving is what sending it takes, however large the messages and however full the batches are: a
/// gateway that is given what it asks for keeps up, and asks for no more than it uses.
#[test]
fn what_is_asked_for_is_what_is_sent() {
    for (payload_bytes, every_us) in [(10, 100_000), (100, 5_000), (1_000, 10_000), (8_000, 40_000)] {
        let mut machine = machine([50_000_000; 3], 1_000_000);
        let id = machine.subscribe(SinceStart(0), wanted("t", 2)).unwrap();
        let mut now = SinceStart(0);
        while now.0 < 6_000_000 {
            machine.offer(now, 0, "t", payload(payload_bytes));
            while let Some(batch) = machine.dispatch(now) {
                machine.settle(now, id, Ending::Arrived);
                assert!(!batch.items.is_empty());
            }
            now = now.after(every_us);
        }
        let (arrival_bps, sent_bps) = machine.flows_bps(now)[2];
        let asked_bps = machine.topic_bps(now, machine.contents().get("t").unwrap(), 2.try_into().unwrap());
        assert!(sent_bps > payload_bytes as u64 * 8_000_000 / every_us, "more than the payload travels");
        for told in [arrival_bps, asked_bps] {
            assert!(told.abs_diff(sent_bps) < sent_bps / 20, "{payload_bytes} bytes: {told} asked, {sent_bps} sent");
        }
    }
}

#[test]
fn one_that_fails_waits_by_itself_and_ends_when_patience_does() {
    let mut machine = machine([10_000_000; 3], 100_000);
    let dead = machine.subscribe(SinceStart(0), wanted("t", 0)).unwrap();
    let living = machine.subscribe(SinceStart(0), wanted("t", 0)).unwrap();
    let (mut now, mut attempts, mut arrived, mut longest, mut last) = (SinceStart(0), 0_u64, 0, 0, None::<SinceStart>);
    while machine.subscription(dead).is_some() {
        now = now.after(200_000);
        assert!(now.0 < 2 * PATIENCE_US, "patience does not end");
        machine.offer(now, 0, "t", payload(100));
        machine.tick(now);
        while let Some(batch) = machine.dispatch(now) {
            let is_dead = batch.subscription == dead;
            machine.settle(now, batch.subscription, if is_dead { Ending::Failed } else { Ending::Arrived });
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
    assert!(longest <= BACKOFF_MAX_US + 400_000, "{longest}");
    let (counts, _) = machine.lane(machine.subscription(living).unwrap());
    assert_eq!((counts.dropped(), counts.delivered), (0, arrived as u64));
    assert!(counts.offered - counts.delivered <= 1);
}

#[test]
fn streams_wait_for_their_reader_and_not_for_ever() {
    let mut machine = machine([1_000_000; 3], 10_000);
    let id =
        machine.subscribe(SinceStart(0), SubscriptionTerms { way: DeliveryTarget::Stream, ..wanted("t", 0) }).unwrap();
    machine.offer(SinceStart(0), 0, "t", payload(10));
    let now = SinceStart(1_000_000);
    assert_eq!(machine.dispatch(now), None);
    machine.attach(id);
    let first = machine.dispatch(now).unwrap();
    machine.detach(now, id);
    assert_eq!(machine.dispatch(now), None);
    machine.attach(id);
    assert_eq!(machine.dispatch(now.after(1_000_000)).unwrap().items, first.items);
    machine.detach(now, id);
    assert_eq!(machine.tick(now.after(PATIENCE_US - 1)), []);
    assert_eq!(machine.tick(now.after(PATIENCE_US)), [id]);
    assert!(machine.subscription(id).is_none());
}

proptest! {
    /// However consumers answer and rates change, levels keep to their rates and the buffers to their limits, and time
    /// never stands still: after the deadline something is done.
    #[test]
    fn levels_keep_to_their_rates(
        steps in proptest::collection::vec((0..100_000_u64, 0..3_u8, 0..2_000_usize, 0..4_u8, 0..2_000_000_u64), 1..150),
    ) {
        let mut machine = machine([500_000, 250_000, 1_000_000], 20_000);
        let ids: Vec<_> = (0..3).map(|level| machine.subscribe(SinceStart(0), wanted("#", level)).unwrap()).collect();
        let (mut now, mut sequence) = (SinceStart(0), 0);
        let (mut allowed, mut sent, mut burst) = ([0_u128; 3], [0_u128; 3], [0_u128; 3]);
        for (wait_us, pick, bytes, answer, rate_bps) in steps {
            for at in 0..3 {
                let bps = machine.rates(now).0.levels_bps[at];
                allowed[at] += u128::from(bps) * u128::from(wait_us);
                burst[at] = burst[at].max(u128::from(bps) * 100_000);
            }
            now = now.after(wait_us);
            machine.tick(now);
            machine.offer(now, 0, if bytes % 2 == 0 { "log/x" } else { "t" }, payload(bytes));
            if answer == 0 {
                sequence += 1;
                let levels_bps = std::array::from_fn(|at| if at == usize::from(pick) { rate_bps } else { 300_000 });
                machine.learn(now, LevelRates {
                    sequence, at_ms: 0, lease_ms: 1 << 40, levels_bps, fallback_bps: [None; 3], is_work_conserving: false,
                });
            }
            while let Some(batch) = machine.dispatch(now) {
                sent[batch.level.at()] += u128::from(size(&batch)) * 8_000_000;
                let ending = [Ending::Arrived, Ending::Failed, Ending::Rejected, Ending::Arrived][usize::from(answer)];
                machine.settle(now, batch.subscription, ending);
            }
            for at in 0..3 {
                let overdraft = u128::from(BATCH_OVERHEAD_BYTES + 2_200) * 8_000_000;
                prop_assert!(sent[at] <= allowed[at] + burst[at] + overdraft, "level {at}");
                prop_assert!(machine.buffers[at].bytes() <= 20_000);
            }
            if let Some(at) = machine.next_deadline(now) {
                prop_assert!(at > now, "nothing left to do now");
            }
        }
        for id in ids {
            prop_assert!(machine.unsubscribe(id));
        }
        prop_assert!(machine.buffers.iter().all(|buffer| buffer.bytes() == 0));
    }
}
