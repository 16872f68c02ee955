//! The buffer against a naive one, and its promises under random use.

use proptest::prelude::*;

use std::collections::VecDeque;

use super::*;

fn message(payload_bytes: usize, policy: OverflowPolicy) -> Arc<TopicMessage> {
    Arc::new(TopicMessage::new("t".into(), &vec![b'x'; payload_bytes], policy, 0))
}

#[derive(Clone, Debug)]
enum Act {
    Offer(u64, usize, OverflowPolicy),
    Take(u64),
    Settle(u64, u8),
    Remove(u64),
    Resume(u64, u64),
}

fn act() -> impl Strategy<Value = Act> {
    let policy = prop_oneof![Just(OverflowPolicy::Fifo), Just(OverflowPolicy::Circular)];
    prop_oneof![
        6 => (0..4_u64, 0..300_usize, policy).prop_map(|(lane, bytes, policy)| Act::Offer(lane, bytes, policy)),
        3 => (1..2_000_u64).prop_map(Act::Take),
        3 => (0..4_u64, 0..3_u8).prop_map(|(lane, how)| Act::Settle(lane, how)),
        1 => (0..4_u64).prop_map(Act::Remove),
        1 => (3..4_u64, 0..5_u64).prop_map(|(lane, back)| Act::Resume(lane, back)),
    ]
}

fn is_consistent(buffer: &Buffer) -> bool {
    let inside: usize = buffer.lanes.values().map(Lane::len).sum();
    let sum = |part: fn(&LaneLoad) -> u64| buffer.lanes.values().map(|lane| part(&lane.load())).sum::<u64>();
    let ready = |side| {
        let lanes = buffer.lanes.values().filter(move |lane| lane.side == side);
        lanes.map(|lane| lane.load().ready_bytes).sum::<u64>()
    };
    let share = |(name, share): (&Arc<str>, &ConsumerShare)| {
        let lanes = || buffer.lanes.values().filter(|lane| lane.consumer == *name);
        let active = lanes().filter(|lane| lane.load().is_active).count();
        share.bytes == lanes().map(Lane::bytes).sum::<u64>() && share.lanes == lanes().count() && share.active == active
    };
    let counts = buffer.counts;
    buffer.lanes.values().all(Lane::is_consistent)
        && buffer.consumers.iter().all(share)
        && buffer.bytes == sum(|load| load.bytes)
        && buffer.replay_bytes == sum(|load| load.replay_bytes)
        && buffer.backlog_bytes == sum(|load| load.backlog_bytes)
        && buffer.ready_bytes == [ready(LaneTarget::Here), ready(LaneTarget::Away)]
        && buffer.bytes + buffer.replay_bytes <= buffer.capacity_bytes
        && counts.offered == counts.delivered + counts.dropped() + inside as u64
}

/// The messages of a lane that are not over, as the spool would find them again.
fn waiting_in_state(lane: &Lane, all: &BTreeMap<u64, OverflowPolicy>) -> Vec<u64> {
    let state = lane.state();
    all.iter()
        .filter(|(sequence, policy)| state.is_waiting(**sequence, **policy))
        .map(|(sequence, _)| *sequence)
        .collect()
}

proptest! {
    #[test]
    fn bytes_are_bounded_and_every_message_is_accounted_for(
        capacity in 200_u64..4_000,
        acts in proptest::collection::vec(act(), 1..300),
    ) {
        let mut buffer = Buffer::new(capacity);
        let (mut last, mut accepted) = (BTreeMap::new(), BTreeMap::new());
        for act in acts {
            match act {
                Act::Offer(lane, bytes, policy) => {
                    let id = SubscriptionId(lane);
                    if !buffer.lanes.contains_key(&id) {
                        // Two consumers with two lanes each; of one the second is a stream.
                        buffer.add_lane(id, &(lane / 2).to_string().into(), LaneTarget::Away);
                        buffer.open(id);
                        last.insert(id, 0);
                        accepted.insert(id, BTreeMap::new());
                    }
                    let before = buffer.counts;
                    if let Some(sequence) = buffer.offer(id, &message(bytes, policy)) {
                        accepted.get_mut(&id).unwrap().insert(sequence, policy);
                    } else {
                        let (lost, was_lost) = (buffer.counts.dropped(), before.dropped());
                        prop_assert_eq!(lost, was_lost + 1, "something was dropped for nothing");
                    }
                }
                Act::Take(budget) => {
                    if let Some((id, items)) = buffer.next_batch(LaneTarget::Away, budget, 8) {
                        prop_assert!(!items.is_empty() && items.len() <= 8);
                        prop_assert!(items.is_sorted_by_key(|item| item.sequence));
                        prop_assert!(items[0].sequence > last[&id], "delivered twice or out of order");
                    }
                }
                Act::Resume(lane, back) => {
                    let id = SubscriptionId(lane);
                    let Some(known) = last.get_mut(&id) else { continue };
                    let seen = known.saturating_sub(back);
                    buffer.finish_delivery(id, DeliveryEnd::Failed);
                    buffer.resume(id, Some(seen));
                    *known = seen;
                }
                Act::Settle(lane, how) => {
                    let id = SubscriptionId(lane);
                    // A stream rejects nothing.
                    let [delivered, rejected] = match lane {
                        3 => [DeliveryEnd::Written; 2],
                        _ => [DeliveryEnd::Delivered, DeliveryEnd::Rejected],
                    };
                    let how = [delivered, rejected, DeliveryEnd::Failed][usize::from(how)];
                    let newest = buffer.lanes.get(&id).and_then(Lane::newest_in_flight);
                    if let (Some(newest), true) = (newest, how != DeliveryEnd::Failed) {
                        last.insert(id, newest);
                    }
                    buffer.finish_delivery(id, how);
                }
                Act::Remove(lane) => buffer.remove_lane(SubscriptionId(lane)),
            }
            prop_assert!(is_consistent(&buffer), "{buffer:?}");
            for (id, lane) in &buffer.lanes {
                let held: Vec<u64> = lane.held_sequences();
                prop_assert_eq!(&waiting_in_state(lane, &accepted[id]), &held, "{:?}", lane);
            }
        }
    }

    /// With one lane and one policy it is a plain queue.
    #[test]
    fn one_lane_is_a_plain_queue(
        capacity in 100_u64..2_000,
        policy in prop_oneof![Just(OverflowPolicy::Fifo), Just(OverflowPolicy::Circular)],
        sizes in proptest::collection::vec((0..300_usize, any::<bool>()), 1..200),
    ) {
        let id = SubscriptionId(1);
        let mut buffer = Buffer::new(capacity);
        buffer.add_lane(id, &"c".into(), LaneTarget::Away);
        buffer.open(id);
        let (mut naive, mut refused): (VecDeque<(u64, u64)>, u64) = (VecDeque::new(), 0);
        for (sequence, (size, take)) in (1_u64..).zip(sizes) {
            let message = message(size, policy);
            buffer.offer(id, &message);
            let bytes = message.bytes();
            let used = |queue: &VecDeque<(u64, u64)>| queue.iter().map(|(_, bytes)| bytes).sum::<u64>();
            if bytes <= capacity {
                while policy == OverflowPolicy::Circular && used(&naive) + bytes > capacity {
                    naive.pop_front();
                }
                // A fifo queue that had no room for a large message waits until it has.
                let wanted = if policy == OverflowPolicy::Fifo { bytes.max(refused) } else { bytes };
                if used(&naive) + wanted <= capacity {
                    naive.push_back((sequence, bytes));
                    refused = 0;
                } else {
                    refused = refused.max(bytes);
                }
            }
            if take {
                let taken = buffer.next_batch(LaneTarget::Away, 1, 1).map(|(_, items)| items[0].sequence);
                prop_assert_eq!(taken, naive.pop_front().map(|(sequence, _)| sequence));
                buffer.finish_delivery(id, DeliveryEnd::Delivered);
            }
            prop_assert_eq!(buffer.bytes(), used(&naive));
        }
    }

    /// A lane that is behind gets as much as every other, whatever the sizes of the messages.
    #[test]
    fn busy_lanes_share_equally(sizes in proptest::collection::vec(1..500_usize, 3..4), budget in 1_u64..3_000) {
        let mut buffer = Buffer::new(1 << 30);
        let mut sent = vec![0_u64; sizes.len()];
        for (lane, size) in sizes.iter().enumerate() {
            buffer.add_lane(SubscriptionId(lane as u64), &lane.to_string().into(), LaneTarget::Away);
            buffer.open(SubscriptionId(lane as u64));
            // More than the batches below can hold, so that no lane runs dry.
            let message = message(*size, OverflowPolicy::Fifo);
            for _ in 0..1_000 {
                buffer.offer(SubscriptionId(lane as u64), &message);
            }
        }
        for _ in 0..60 {
            let (id, items) = buffer.next_batch(LaneTarget::Away, budget, 16).unwrap();
            sent[usize::try_from(id.0).unwrap()] += items.iter().map(|item| item.message.bytes()).sum::<u64>();
            buffer.finish_delivery(id, DeliveryEnd::Delivered);
        }
        let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
        prop_assert!(most - least <= 2 * budget.max(700), "{sent:?}");
    }
}

/// A dead consumer fills its part; a new one gets its part from it.
#[test]
fn a_dead_lane_is_pushed_out_for_a_living_one() {
    let size = message(100, OverflowPolicy::Fifo).bytes();
    for policy in [OverflowPolicy::Fifo, OverflowPolicy::Circular] {
        let mut buffer = Buffer::new(10 * size);
        let (dead, living) = (SubscriptionId(1), SubscriptionId(2));
        buffer.add_lane(dead, &"dead".into(), LaneTarget::Away);
        buffer.add_lane(living, &"living".into(), LaneTarget::Away);
        buffer.open(living);
        for _ in 0..20 {
            buffer.offer(dead, &message(100, policy));
        }
        assert_eq!(buffer.lane(dead).unwrap().1, 10 * size);
        for _ in 0..5 {
            buffer.offer(living, &message(100, policy));
        }
        assert_eq!((buffer.lane(dead).unwrap().1, buffer.lane(living).unwrap().1), (5 * size, 5 * size));
        assert_eq!(buffer.counts().pushed_out, 5);
        let (id, items) = buffer.next_batch(LaneTarget::Away, u64::MAX, 99).unwrap();
        assert_eq!((id, items.len()), (living, 5));
        assert!(
            buffer.next_batch(LaneTarget::Away, u64::MAX, 99).is_none(),
            "the dead lane is closed, the other has something on its way"
        );
    }
}

#[test]
fn what_fails_goes_back_in_order() {
    let id = SubscriptionId(1);
    let mut buffer = Buffer::new(1_000_000);
    buffer.add_lane(id, &"c".into(), LaneTarget::Away);
    buffer.open(id);
    for policy in [OverflowPolicy::Fifo, OverflowPolicy::Circular, OverflowPolicy::Circular, OverflowPolicy::Fifo] {
        buffer.offer(id, &message(9, policy));
    }
    let first = buffer.next_batch(LaneTarget::Away, u64::MAX, 3).unwrap().1;
    buffer.finish_delivery(id, DeliveryEnd::Failed);
    let again = buffer.next_batch(LaneTarget::Away, u64::MAX, 4).unwrap().1;
    assert_eq!(again[..3], first[..]);
    assert_eq!(again.iter().map(|item| item.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

fn with_lanes(capacity: u64, lanes: &[(u64, &str)]) -> Buffer {
    let mut buffer = Buffer::new(capacity);
    for (id, consumer) in lanes {
        buffer.add_lane(SubscriptionId(*id), &(*consumer).into(), LaneTarget::Away);
        buffer.open(SubscriptionId(*id));
    }
    buffer
}

/// Nothing is dropped for a message that then finds no room.
#[test]
fn what_does_not_fit_evicts_nothing() {
    let mut buffer = with_lanes(100_000, &[(1, "a")]);
    let id = SubscriptionId(1);
    assert!((0..9).all(|_| buffer.offer(id, &message(10_000, OverflowPolicy::Fifo)).is_some()));
    assert!((0..5).all(|_| buffer.offer(id, &message(1_000, OverflowPolicy::Circular)).is_some()));
    let before = buffer.bytes();
    assert_eq!(buffer.offer(id, &message(20_000, OverflowPolicy::Circular)), None);
    assert_eq!((buffer.bytes(), buffer.counts().overwritten, buffer.counts().refused), (before, 0, 1));
}

/// A subscription that holds nothing gets a large message in, though it is more than its part, from one that holds much.
#[test]
fn what_a_subscription_holds_counts_and_not_what_comes() {
    let mut buffer = with_lanes(100_000, &[(1, "a"), (2, "b")]);
    let (a, b) = (SubscriptionId(1), SubscriptionId(2));
    assert!((0..95).all(|_| buffer.offer(a, &message(900, OverflowPolicy::Circular)).is_some()));
    assert!(buffer.offer(b, &message(52_000, OverflowPolicy::Circular)).is_some());
    assert!(buffer.lane(a).unwrap().1 > 40_000, "no more than need be is dropped");
    // Its next one replaces it.
    assert!(buffer.offer(b, &message(52_000, OverflowPolicy::Circular)).is_some());
    assert_eq!(buffer.lane(b).unwrap().0.overwritten, 1);
}

/// In a fifo lane that overflows, large messages are refused no more often than small ones.
#[test]
fn large_and_small_messages_are_refused_alike() {
    let mut buffer = with_lanes(100_000, &[(1, "a")]);
    let id = SubscriptionId(1);
    let sizes = [100, 20_000];
    let mut accepted = [0, 0];
    for step in 0..4_000 {
        accepted[step % 2] += u32::from(buffer.offer(id, &message(sizes[step % 2], OverflowPolicy::Fifo)).is_some());
        if step % 10 == 0 && buffer.next_batch(LaneTarget::Away, 21_000, 100).is_some() {
            buffer.finish_delivery(id, DeliveryEnd::Delivered);
        }
    }
    assert!(accepted[0] <= accepted[1] * 2, "{accepted:?} of 2,000 each");
}

/// However many subscriptions a consumer has, it gets one consumer's part of what is sent and of the room.
#[test]
fn consumers_share_and_then_their_subscriptions() {
    let many: Vec<_> = (0..5).map(|id| (id, "many")).chain([(9, "one")]).collect();
    let mut buffer = with_lanes(200_000, &many);
    let mut sent = BTreeMap::<u64, u64>::new();
    for _ in 0..300 {
        for (id, _) in &many {
            for _ in 0..9 {
                buffer.offer(SubscriptionId(*id), &message(500, OverflowPolicy::Circular));
            }
        }
        let (id, items) = buffer.next_batch(LaneTarget::Away, 3_000, 99).unwrap();
        *sent.entry(id.0).or_default() += items.iter().map(|item| item.message.bytes()).sum::<u64>();
        buffer.finish_delivery(id, DeliveryEnd::Delivered);
    }
    let one = sent[&9];
    let all: u64 = sent.values().sum();
    assert!(one.abs_diff(all / 2) <= 6_000, "{sent:?}");
    assert!((0..5).all(|id| sent[&id].abs_diff(all / 10) <= 6_000), "{sent:?}");
    let held = buffer.lane(SubscriptionId(9)).unwrap().1;
    assert!(held.abs_diff(100_000) <= 4_000, "{held}");
}
