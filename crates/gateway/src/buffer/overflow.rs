//! Overflow: which messages go for a new one.

use std::collections::BTreeMap;

use api::gateway::OverflowPolicy;

use super::super::lane::Lane;
use super::{Buffer, SubscriptionId};

/// What a lane would lose to a new message.
#[derive(Clone, Copy, Debug, Default)]
struct LaneCut {
    circular: usize,
    fifo: usize,
    bytes: u64,
}

impl Buffer {
    /// Makes room for `size` bytes in a lane; whether there is now.
    pub(super) fn make_room(&mut self, id: SubscriptionId, policy: OverflowPolicy, size: u64) -> bool {
        while self.bytes + self.replay_bytes + size > self.capacity_bytes && self.replay_bytes > 0 {
            let longest = self.lanes.iter().max_by_key(|(_, lane)| lane.load().replay_bytes).map(|(id, _)| *id);
            let excess = self.bytes + self.replay_bytes + size - self.capacity_bytes;
            let Some(longest) = longest else { break };
            self.victims.insert(longest);
            self.change(longest, |lane| {
                let until = lane.load().replay_bytes.saturating_sub(excess);
                while lane.load().replay_bytes > until && lane.trim_replay() {}
            });
        }
        let free = self.capacity_bytes.saturating_sub(self.bytes);
        let Some(lane) = self.lanes.get(&id) else { return false };
        if size <= free {
            // A lane that refused a large message does not go on with small ones that fit into less.
            return policy == OverflowPolicy::Circular || lane.refused_bytes <= free;
        }
        let Some(cuts) = self.plan_cuts(id, policy, size, free) else { return false };
        for (victim, cut) in cuts {
            self.victims.insert(victim);
            let is_own = victim == id;
            self.change(victim, |lane| {
                (0..cut.circular).for_each(|_| lane.drop_circular());
                (0..cut.fifo).for_each(|_| lane.drop_fifo());
            });
            let count = (cut.circular + cut.fifo) as u64;
            self.count(victim, count, |counts| if is_own { &mut counts.overwritten } else { &mut counts.pushed_out });
        }
        true
    }

    /// The messages that go so that `size` bytes fit; `None`: they would not.
    fn plan_cuts(
        &self,
        id: SubscriptionId,
        policy: OverflowPolicy,
        size: u64,
        free: u64,
    ) -> Option<BTreeMap<SubscriptionId, LaneCut>> {
        let mut cuts: BTreeMap<SubscriptionId, LaneCut> = BTreeMap::new();
        let mut exhausted = vec![];
        let mut freed = free;
        while freed < size {
            let victim = self.largest_holder(id, size, &cuts, &exhausted)?;
            let (lane, is_own) = (self.lanes.get(&victim)?, victim == id);
            let cut = cuts.entry(victim).or_default();
            let fifo = || lane.fifo_bytes(cut.fifo).filter(|_| !is_own);
            match (lane.circular_bytes(cut.circular), fifo()) {
                // The consumer that holds most sends something that does not replace its own.
                _ if is_own && policy == OverflowPolicy::Fifo => return None,
                (Some(bytes), _) => {
                    (cut.circular, cut.bytes, freed) = (cut.circular + 1, cut.bytes + bytes, freed + bytes)
                }
                (None, Some(bytes)) => (cut.fifo, cut.bytes, freed) = (cut.fifo + 1, cut.bytes + bytes, freed + bytes),
                (None, None) => exhausted.push(victim),
            }
        }
        Some(cuts)
    }

    /// The lane that holds most of the consumer that holds most, less what they would lose already. The lane of the new
    /// message is taken for it without a search if it has about its equal part.
    fn largest_holder(
        &self,
        id: SubscriptionId,
        size: u64,
        cuts: &BTreeMap<SubscriptionId, LaneCut>,
        exhausted: &[SubscriptionId],
    ) -> Option<SubscriptionId> {
        let own = self.lanes.get(&id)?;
        let own_share = self.consumers.get(&own.consumer)?;
        let part = self.capacity_bytes / (self.consumers.len() as u64).max(1);
        let lane_part = part / (own_share.lanes as u64).max(1);
        let has_part = own_share.bytes + size > part && own.bytes() + size > lane_part && own.bytes() >= size;
        if has_part && !exhausted.contains(&id) {
            return Some(id);
        }
        let cut_of = |id: &SubscriptionId| cuts.get(id).map_or(0, |cut| cut.bytes);
        let mut consumer_cuts: BTreeMap<&str, u64> = BTreeMap::new();
        for (victim, cut) in cuts {
            if let Some(lane) = self.lanes.get(victim) {
                *consumer_cuts.entry(&lane.consumer).or_default() += cut.bytes;
            }
        }
        let held = |lane: &Lane| {
            let all = self.consumers.get(&lane.consumer).map_or(0, |share| share.bytes);
            all - consumer_cuts.get(&*lane.consumer).copied().unwrap_or(0)
        };
        let own_held = (held(own), own.bytes() - cut_of(&id));
        let candidates = self.lanes.iter().filter(|(other, lane)| lane.bytes() > 0 && !exhausted.contains(other));
        let largest =
            candidates.map(|(other, lane)| ((held(lane), lane.bytes() - cut_of(other), *other == id), *other));
        let ((consumer, lane, _), victim) = largest.max()?;
        // Nobody loses messages to one who holds as much.
        (victim == id || (consumer, lane) > own_held).then_some(victim)
    }
}
