//! That levels keep to their rates, and use them: on narrow links, over long round trips, however batches are coded.

use super::*;

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
