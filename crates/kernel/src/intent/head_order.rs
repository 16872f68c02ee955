//! The order of flows that enter at one switch and say equally much of their packets. Where two overlap, OpenFlow 1.3 §5.3
//! leaves it open which rule of equal priority gets the packets; here the older allocation does, and the younger one has its
//! rule below. Two that say the same are one place: the oldest has it, the next inherits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::action::IpFamily;
use super::datapath::Dpid;
use super::lsp_rules::RANKS;
use super::rule::IpMatch;
use crate::allocation::IpPrefix;
use crate::id::AllocationId;

/// The flows at a switch that say equally much.
pub(super) type HeadLevel = (Dpid, u16);

/// What is said of packets, without what it is.
type MatchShape = (IpFamily, [bool; 5], Option<u8>, Option<u8>);

/// The place of a flow among the others of its level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeadRank {
    /// So many older flows that overlap stand above it, one above the other, that of this allocation the nearest.
    Rank(u16, Option<AllocationId>),
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
    claimants: BTreeMap<IpMatch, BTreeSet<AllocationId>>,
    shapes: BTreeMap<MatchShape, usize>,
}

impl HeadOrder {
    /// A flow is claimed by an allocation: the allocations whose standing may be another now.
    pub(super) fn add(&mut self, level: HeadLevel, flow: IpMatch, id: AllocationId) -> Vec<AllocationId> {
        let flows = self.levels.entry(level).or_default();
        if flows.claimants.entry(flow).or_default().insert(id) {
            *flows.shapes.entry(shape(&flow)).or_default() += 1;
        }
        flows.concerned(&flow)
    }

    /// A flow is not claimed any more: the allocations whose standing may be another now.
    pub(super) fn remove(&mut self, level: HeadLevel, flow: IpMatch, id: AllocationId) -> Vec<AllocationId> {
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
    pub(super) fn head_ranks(
        &self,
        level: HeadLevel,
        claims: &BTreeMap<AllocationId, IpMatch>,
    ) -> Vec<(AllocationId, HeadRank)> {
        let Some(flows) = self.levels.get(&level) else { return vec![] };
        let ranks = flows.ranks();
        let standing = |(id, flow): (&AllocationId, &IpMatch)| {
            let owner = *flows.claimants.get(flow)?.first()?;
            let standing = match ranks.get(&owner).copied() {
                _ if owner != *id => HeadRank::Heir(owner),
                None => HeadRank::Rank(0, None),
                Some((rank, above)) if rank < RANKS => HeadRank::Rank(rank, Some(above)),
                Some(_) => HeadRank::TooLow,
            };
            Some((*id, standing))
        };
        claims.iter().filter_map(standing).collect()
    }

    /// The allocations with a flow of a level, the oldest first.
    pub(super) fn claimants(&self, level: HeadLevel, flow: &IpMatch) -> impl Iterator<Item = AllocationId> + '_ {
        let claimants = self.levels.get(&level).and_then(|flows| flows.claimants.get(flow));
        claimants.into_iter().flatten().copied()
    }
}

impl Flows {
    /// Flows of one shape overlap only if they are the same.
    fn is_of_one_shape(&self) -> bool {
        self.shapes.len() < 2
    }

    fn concerned(&self, flow: &IpMatch) -> Vec<AllocationId> {
        if self.is_of_one_shape() {
            self.claimants.get(flow).into_iter().flatten().copied().collect()
        } else {
            self.claimants.values().flatten().copied().collect()
        }
    }

    /// How many flows stand above that of each owner, and whose is the nearest, where not none.
    fn ranks(&self) -> BTreeMap<AllocationId, (u16, AllocationId)> {
        let mut ranks = BTreeMap::new();
        if self.is_of_one_shape() {
            return ranks;
        }
        // A flow enters at every host port of its switch.
        let mut by_age: BTreeMap<AllocationId, Vec<&IpMatch>> = BTreeMap::new();
        for (flow, claimants) in &self.claimants {
            if let Some(owner) = claimants.first() {
                by_age.entry(*owner).or_default().push(flow);
            }
        }
        for (id, flows) in &by_age {
            let overlaps = |older: &[&IpMatch]| older.iter().any(|older| flows.iter().any(|flow| overlap(older, flow)));
            let above = by_age.range(..id).filter(|(_, older)| overlaps(older));
            let below = |rank: &(u16, AllocationId)| rank.0.saturating_add(1);
            let rank = above.map(|(older, _)| (ranks.get(older).map_or(1, below), *older)).max();
            ranks.extend(rank.map(|rank| (*id, rank)));
        }
        ranks
    }
}

fn shape(flow: &IpMatch) -> MatchShape {
    let IpMatch { family, in_port, vlan, src, dst, dscp, ip_proto, l4_dst } = flow;
    let said = [in_port.is_some(), vlan.is_some(), dscp.is_some(), ip_proto.is_some(), l4_dst.is_some()];
    (*family, said, src.map(|prefix| prefix.length), dst.map(|prefix| prefix.length))
}

/// Whether a packet can be of both flows.
fn overlap(one: &IpMatch, other: &IpMatch) -> bool {
    fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
    }
    one.family == other.family
        && agree(one.in_port, other.in_port)
        && agree(one.vlan, other.vlan)
        && agree(one.dscp, other.dscp)
        && agree(one.ip_proto, other.ip_proto)
        && agree(one.l4_dst, other.l4_dst)
        && prefixes_overlap(one.src, other.src)
        && prefixes_overlap(one.dst, other.dst)
}

fn prefixes_overlap(one: Option<IpPrefix<IpAddr>>, other: Option<IpPrefix<IpAddr>>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    let shared = u32::from(one.length.min(other.length)).min(u128::BITS);
    let differ = from_the_left(one.address) ^ from_the_left(other.address);
    shared == 0 || differ >> (u128::BITS - shared) == 0
}

/// The bits of an address, the first of them in the highest place.
fn from_the_left(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: HeadLevel = (Dpid(1), 24);

    fn net(third: u8, length: u8) -> Option<IpPrefix<IpAddr>> {
        Some(IpPrefix { address: [10, 0, third, 0].into(), length })
    }

    fn standing(order: &HeadOrder, id: u64, flow: IpMatch) -> Option<HeadRank> {
        let id = AllocationId(id);
        order.head_ranks(LEVEL, &BTreeMap::from([(id, flow)])).first().map(|(_, standing)| *standing)
    }

    #[test]
    fn the_older_of_two_that_overlap_stands_above() {
        let mut order = HeadOrder::default();
        let (from, to) =
            (IpMatch { src: net(1, 24), ..Default::default() }, IpMatch { dst: net(3, 24), ..Default::default() });
        let other = IpMatch { src: net(2, 24), ..Default::default() };
        assert_eq!(order.add(LEVEL, from, AllocationId(5)), [AllocationId(5)]);
        assert_eq!(order.add(LEVEL, to, AllocationId(4)).len(), 2, "both may stand elsewhere now");
        order.add(LEVEL, other, AllocationId(6));
        order.add(LEVEL, to, AllocationId(9));
        assert_eq!(standing(&order, 4, to), Some(HeadRank::Rank(0, None)));
        assert_eq!(standing(&order, 5, from), Some(HeadRank::Rank(1, Some(AllocationId(4)))));
        assert_eq!(
            standing(&order, 6, other),
            Some(HeadRank::Rank(1, Some(AllocationId(4)))),
            "it does not overlap with the other source"
        );
        assert_eq!(standing(&order, 9, to), Some(HeadRank::Heir(AllocationId(4))));
        order.remove(LEVEL, to, AllocationId(4));
        assert_eq!(standing(&order, 9, to), Some(HeadRank::Rank(1, Some(AllocationId(6)))));
        assert_eq!(standing(&order, 5, from), Some(HeadRank::Rank(0, None)));
        for (flow, id) in [(from, 5), (other, 6), (to, 9)] {
            order.remove(LEVEL, flow, AllocationId(id));
        }
        assert!(order.levels.is_empty());
    }

    #[test]
    fn there_are_so_many_ranks_and_no_more() {
        let mut order = HeadOrder::default();
        let flow = |at: u8| IpMatch { src: net(0, at), dst: net(0, 24 - at), ..Default::default() };
        for at in 0..=24 {
            order.add(LEVEL, flow(at), AllocationId(u64::from(at)));
        }
        assert_eq!(standing(&order, 24, flow(24)), Some(HeadRank::Rank(24, Some(AllocationId(23)))));
        for at in 25..40 {
            let flow = IpMatch { in_port: Some(super::super::PortNo(at)), src: net(0, 20), ..Default::default() };
            order.add(LEVEL, flow, AllocationId(u64::from(at)));
            assert_eq!(
                standing(&order, at.into(), flow),
                Some(HeadRank::Rank(25, Some(AllocationId(24)))),
                "ports do not overlap"
            );
        }
    }

    #[test]
    fn networks_overlap_where_one_holds_the_other() {
        assert!(prefixes_overlap(net(1, 24), net(1, 32)) && prefixes_overlap(net(1, 16), net(2, 24)));
        assert!(!prefixes_overlap(net(1, 24), net(2, 24)) && prefixes_overlap(net(1, 0), net(200, 32)));
        let six = |last: u16, length| Some(IpPrefix { address: [0xfd00, 0, 0, 0, 0, 0, 0, last].into(), length });
        assert!(prefixes_overlap(six(1, 64), six(2, 128)) && !prefixes_overlap(six(1, 128), six(2, 128)));
        let v6 = IpMatch { family: IpFamily::V6, ..IpMatch::default() };
        assert!(!overlap(&IpMatch::default(), &v6) && overlap(&v6, &v6));
        assert!(!overlap(&IpMatch { vlan: Some(5), ..v6 }, &IpMatch { vlan: Some(6), ..v6 }));
        assert!(overlap(&IpMatch { dscp: Some(5), ..v6 }, &IpMatch { vlan: Some(6), ..v6 }));
    }
}
