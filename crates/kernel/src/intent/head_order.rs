//! The order of flows that enter at one switch and say equally much of their packets. Where two overlap, OpenFlow 1.3 §5.3
//! leaves it open which rule of equal priority gets the packets; here the older allocation does, and the younger one has its
//! rule below. Two that say the same are one place: the oldest has it, the next inherits.

use std::collections::{BTreeMap, BTreeSet};

use super::lsp_rules::RANKS;
use super::rule::{Dpid, Ipv4Match};
use crate::allocation::Ipv4Prefix;
use crate::id::AllocationId;

/// The flows at a switch that say equally much.
pub(super) type HeadLevel = (Dpid, u16);

/// What is said of packets, without what it is.
type MatchShape = (bool, Option<u8>, Option<u8>, bool, bool);

/// The place of a flow among the others of its level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// So many older flows that overlap stand above it, one above the other.
    Rank(u16),
    /// An older allocation has the same flow.
    Heir(AllocationId),
    /// More older flows than there are ranks.
    TooLow,
}

/// All flows, by level.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadOrder {
    levels: BTreeMap<HeadLevel, Flows>,
}

#[derive(Clone, Debug, Default)]
struct Flows {
    claimants: BTreeMap<Ipv4Match, BTreeSet<AllocationId>>,
    shapes: BTreeMap<MatchShape, usize>,
}

impl HeadOrder {
    /// A flow is claimed by an allocation: the allocations whose standing may be another now.
    pub(super) fn add(&mut self, level: HeadLevel, flow: Ipv4Match, id: AllocationId) -> Vec<AllocationId> {
        let flows = self.levels.entry(level).or_default();
        if flows.claimants.entry(flow).or_default().insert(id) {
            *flows.shapes.entry(shape(&flow)).or_default() += 1;
        }
        flows.concerned(&flow)
    }

    /// A flow is not claimed any more: the allocations whose standing may be another now.
    pub(super) fn remove(&mut self, level: HeadLevel, flow: Ipv4Match, id: AllocationId) -> Vec<AllocationId> {
        let Some(flows) = self.levels.get_mut(&level) else { return vec![] };
        let concerned = flows.concerned(&flow);
        let Some(claimants) = flows.claimants.get_mut(&flow) else { return vec![] };
        if claimants.remove(&id)
            && let Some(count) = flows.shapes.get_mut(&shape(&flow))
        {
            *count -= 1;
        }
        if claimants.is_empty() {
            flows.claimants.remove(&flow);
        }
        flows.shapes.retain(|_, count| *count > 0);
        if flows.claimants.is_empty() {
            self.levels.remove(&level);
        }
        concerned
    }

    /// The standing of allocations with the flow of a level that each claims, or one of several that differ in the port alone.
    pub(super) fn standings(
        &self,
        level: HeadLevel,
        claims: &BTreeMap<AllocationId, Ipv4Match>,
    ) -> Vec<(AllocationId, Standing)> {
        let Some(flows) = self.levels.get(&level) else { return vec![] };
        let ranks = flows.ranks();
        let standing = |(id, flow): (&AllocationId, &Ipv4Match)| {
            let owner = *flows.claimants.get(flow)?.first()?;
            let standing = match ranks.get(&owner).copied().unwrap_or(0) {
                _ if owner != *id => Standing::Heir(owner),
                rank if rank < RANKS => Standing::Rank(rank),
                _ => Standing::TooLow,
            };
            Some((*id, standing))
        };
        claims.iter().filter_map(standing).collect()
    }
}

impl Flows {
    /// Flows of one shape overlap only if they are the same.
    fn is_of_one_shape(&self) -> bool {
        self.shapes.len() < 2
    }

    fn concerned(&self, flow: &Ipv4Match) -> Vec<AllocationId> {
        if self.is_of_one_shape() {
            self.claimants.get(flow).into_iter().flatten().copied().collect()
        } else {
            self.claimants.values().flatten().copied().collect()
        }
    }

    /// How many flows stand above that of each owner, where not none.
    fn ranks(&self) -> BTreeMap<AllocationId, u16> {
        let mut ranks = BTreeMap::new();
        if self.is_of_one_shape() {
            return ranks;
        }
        // A flow enters at every host port of its switch.
        let mut by_age: BTreeMap<AllocationId, Vec<&Ipv4Match>> = BTreeMap::new();
        for (flow, claimants) in &self.claimants {
            if let Some(owner) = claimants.first() {
                by_age.entry(*owner).or_default().push(flow);
            }
        }
        for (id, flows) in &by_age {
            let overlaps =
                |older: &[&Ipv4Match]| older.iter().any(|older| flows.iter().any(|flow| overlap(older, flow)));
            let above = by_age.range(..id).filter(|(_, older)| overlaps(older));
            let rank = above.map(|(older, _)| ranks.get(older).map_or(1, |rank: &u16| rank.saturating_add(1))).max();
            ranks.extend(rank.map(|rank| (*id, rank)));
        }
        ranks
    }
}

fn shape(flow: &Ipv4Match) -> MatchShape {
    let length = |prefix: Option<Ipv4Prefix>| prefix.map(|prefix| prefix.length);
    (flow.in_port.is_some(), length(flow.src), length(flow.dst), flow.ip_proto.is_some(), flow.l4_dst.is_some())
}

/// Whether a packet can be of both flows.
fn overlap(one: &Ipv4Match, other: &Ipv4Match) -> bool {
    fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
    }
    agree(one.in_port, other.in_port)
        && agree(one.ip_proto, other.ip_proto)
        && agree(one.l4_dst, other.l4_dst)
        && prefixes_overlap(one.src, other.src)
        && prefixes_overlap(one.dst, other.dst)
}

fn prefixes_overlap(one: Option<Ipv4Prefix>, other: Option<Ipv4Prefix>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    let shared = u32::from(one.length.min(other.length)).min(u32::BITS);
    let differ = u32::from(one.address) ^ u32::from(other.address);
    shared == 0 || differ >> (u32::BITS - shared) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: HeadLevel = (Dpid(1), 24);

    fn net(third: u8, length: u8) -> Option<Ipv4Prefix> {
        Some(Ipv4Prefix { address: [10, 0, third, 0].into(), length })
    }

    fn standing(order: &HeadOrder, id: u64, flow: Ipv4Match) -> Option<Standing> {
        let id = AllocationId(id);
        order.standings(LEVEL, &BTreeMap::from([(id, flow)])).first().map(|(_, standing)| *standing)
    }

    #[test]
    fn the_older_of_two_that_overlap_stands_above() {
        let mut order = HeadOrder::default();
        let (from, to) =
            (Ipv4Match { src: net(1, 24), ..Default::default() }, Ipv4Match { dst: net(3, 24), ..Default::default() });
        let other = Ipv4Match { src: net(2, 24), ..Default::default() };
        assert_eq!(order.add(LEVEL, from, AllocationId(5)), [AllocationId(5)]);
        assert_eq!(order.add(LEVEL, to, AllocationId(4)).len(), 2, "both may stand elsewhere now");
        order.add(LEVEL, other, AllocationId(6));
        order.add(LEVEL, to, AllocationId(9));
        assert_eq!(standing(&order, 4, to), Some(Standing::Rank(0)));
        assert_eq!(standing(&order, 5, from), Some(Standing::Rank(1)));
        assert_eq!(standing(&order, 6, other), Some(Standing::Rank(1)), "it does not overlap with the other source");
        assert_eq!(standing(&order, 9, to), Some(Standing::Heir(AllocationId(4))));
        order.remove(LEVEL, to, AllocationId(4));
        assert_eq!(standing(&order, 9, to), Some(Standing::Rank(1)));
        assert_eq!(standing(&order, 5, from), Some(Standing::Rank(0)));
        for (flow, id) in [(from, 5), (other, 6), (to, 9)] {
            order.remove(LEVEL, flow, AllocationId(id));
        }
        assert!(order.levels.is_empty());
    }

    #[test]
    fn there_are_so_many_ranks_and_no_more() {
        let mut order = HeadOrder::default();
        let flow = |at: u8| Ipv4Match { src: net(0, at), dst: net(0, 24 - at), ..Default::default() };
        for at in 0..=24 {
            order.add(LEVEL, flow(at), AllocationId(u64::from(at)));
        }
        assert_eq!(standing(&order, 24, flow(24)), Some(Standing::Rank(24)));
        for at in 25..40 {
            let flow = Ipv4Match { in_port: Some(super::super::PortNo(at)), src: net(0, 20), ..Default::default() };
            order.add(LEVEL, flow, AllocationId(u64::from(at)));
            assert_eq!(standing(&order, at.into(), flow), Some(Standing::Rank(25)), "ports do not overlap");
        }
    }

    #[test]
    fn networks_overlap_where_one_holds_the_other() {
        assert!(prefixes_overlap(net(1, 24), net(1, 32)) && prefixes_overlap(net(1, 16), net(2, 24)));
        assert!(!prefixes_overlap(net(1, 24), net(2, 24)) && prefixes_overlap(net(1, 0), net(200, 32)));
    }
}
