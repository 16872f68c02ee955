//! Whether packets that enter a path leave it: a foreign rule of higher priority may take them on the way, where every rule of
//! the path is as it should be. A few allocations at a time, the packets that their rules counted at the ingress and at the
//! egress are compared with what they were before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Worker;
use crate::southbound::DriverError;
use kernel::id::AllocationId;
use kernel::intent::{CookieFilter, Dpid};

/// How many allocations are looked at each time.
const AT_ONCE: usize = 2;
/// From so many packets on that entered, one should have left.
const PACKETS_MIN: u64 = 20;
/// The counters of a switch lag by up to a second.
const LAG: Duration = Duration::from_secs(2);
/// How often in a row nothing arrives before it is said.
const TIMES_MIN: u32 = 2;

/// What was counted of allocations.
#[derive(Default)]
pub(super) struct PathCounters {
    of: BTreeMap<AllocationId, PacketCount>,
    /// The last that was looked at.
    last: Option<AllocationId>,
}

struct PacketCount {
    at: Instant,
    entered: u64,
    left: u64,
    /// How often in a row packets entered and none left, and how many.
    lost: (u32, u64),
}

impl PathCounters {
    /// So many packets have entered and left up to an instant; whether what is said of the allocation changes by it.
    fn add(&mut self, id: AllocationId, at: Instant, entered: u64, left: u64) -> bool {
        let new = PacketCount { at, entered, left, lost: (0, 0) };
        let Some(before) = self.of.get_mut(&id) else {
            self.of.insert(id, new);
            return false;
        };
        let was_lost = before.is_lost();
        // Rules that were written anew count from nothing.
        if entered < before.entered || left != before.left {
            *before = new;
            return was_lost;
        }
        let more = entered - before.entered;
        if more >= PACKETS_MIN && at.duration_since(before.at) >= LAG {
            let (times, packets) = before.lost;
            // What is said is not said again with another number.
            let lost = if was_lost { before.lost } else { (times.saturating_add(1), packets.saturating_add(more)) };
            *before = PacketCount { lost, ..new };
        }
        before.is_lost() != was_lost
    }

    /// Why an allocation is not called in force: how many packets entered of which none left.
    pub(super) fn lost(&self, id: AllocationId) -> Option<u64> {
        self.of.get(&id).filter(|counted| counted.is_lost()).map(|counted| counted.lost.1)
    }

    pub(super) fn forget(&mut self, id: AllocationId) {
        self.of.remove(&id);
    }
}

impl PacketCount {
    fn is_lost(&self) -> bool {
        self.lost.0 >= TIMES_MIN
    }
}

impl Worker {
    /// Compares what entered and what left of the allocations whose turn it is.
    pub(super) async fn count_arrivals(&mut self) -> Result<(), DriverError> {
        for (id, ingress, egress) in self.next_paths() {
            let which = CookieFilter::of(self.driver.settings().numbering.cookie_tag(), id);
            let entered = self.driver.rule_counters(ingress, which).await;
            let left = self.driver.rule_counters(egress, which).await;
            let (entered, left) = match (entered, left) {
                (Ok(entered), Ok(left)) => (entered.packets, left.packets),
                (Err(DriverError::Unsupported { .. }), _) => return Ok(()),
                (Err(error), _) => return self.on_error(ingress, error),
                (_, Err(error)) => return self.on_error(egress, error),
            };
            if self.counters.add(id, Instant::now(), entered, left) {
                self.unsettled.entry(id).or_insert_with(Instant::now);
                if let Some(packets) = self.counters.lost(id) {
                    tracing::warn!(controller = %self.controller.name, allocation = %id, packets, "packets enter and none arrives");
                }
            }
        }
        Ok(())
    }

    /// The allocations that come after those of the last time and whose rules are held, with their ends. Packets are not compared
    /// where more than one path is counted: the cookies of a bidirectional one are of both directions, and of a flow that is
    /// split the first counts what enters for all.
    fn next_paths(&mut self) -> Vec<(AllocationId, Dpid, Dpid)> {
        let after = self.counters.last;
        let path = |id: AllocationId| {
            let mut switches = self.plan.switches_of(id);
            let ingress = switches.next()?;
            let is_known = |dpid: &Dpid| self.seen.contains_key(dpid) && !self.doubtful.contains(dpid);
            let egress = switches.last()?;
            let is_alone = self.plan.has(id) && !self.plan.has_return(id) && !self.plan.is_split(id);
            (is_known(&ingress) && is_known(&egress) && is_alone).then_some((id, ingress, egress))
        };
        let next: Vec<_> = self.plan.paths_after(after).filter_map(path).take(AT_ONCE).collect();
        self.counters.last = next.last().map(|(id, _, _)| *id);
        next
    }

    pub(super) fn lost_packets(&self, id: AllocationId) -> Option<Arc<str>> {
        let packets = self.counters.lost(id)?;
        let mut switches = self.plan.switches_of(id);
        let (ingress, egress) = (switches.next()?, switches.last()?);
        Some(format!("no packet of {packets} that entered at switch {ingress} arrives at switch {egress}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_enter_and_never_leave_are_lost() {
        let (id, start) = (AllocationId(5), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut arrivals = PathCounters::default();
        for (seconds, entered, left, lost) in [
            (0, 1_000, 400, None),
            (2, 1_100, 450, None),
            (4, 1_200, 450, None),
            // Too early, and too few.
            (5, 1_300, 450, None),
            (6, 1_310, 450, Some(210)),
            (8, 1_520, 450, Some(210)),
            (10, 1_620, 451, None),
            (12, 1_720, 451, None),
            // Written anew.
            (14, 30, 0, None),
            (16, 60, 0, None),
            (18, 90, 0, Some(60)),
        ] {
            let before = arrivals.lost(id);
            let changes = arrivals.add(id, at(seconds), entered, left);
            assert_eq!(arrivals.lost(id), lost, "{seconds}");
            assert_eq!(changes, before.is_some() != lost.is_some(), "{seconds}");
        }
    }
}
