//! Bandwidth that backup paths share on a link (RFC 4428 §3.3, shared backup path protection): of each failure, the sum of
//! those whose working paths it breaks. One failure at a time is provided for, so the largest sum is what is booked.
//! What must stay true: what a member brought it takes away, to the bit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bam::Slot;
use super::id::{AllocationId, LinkIx, NodeIx};
use super::topology::Topology;

/// Something that fails as a whole, and breaks the working paths over it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Risk {
    /// A fibre, by the lesser number of its links.
    Fibre(LinkIx),
    /// A node.
    Node(NodeIx),
    /// A shared-risk link group (RFC 4202).
    Srlg(u32),
}

/// A backup path whose bandwidth is shared with those that do not fail together with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SharedBackup {
    /// The links of the backup path.
    pub links: Arc<[LinkIx]>,
    /// The failures that break the working path.
    pub risks: Arc<[Risk]>,
}

/// The failures that break a path: of its fibres, of the nodes between its ends, and of the risk groups of its links.
pub(crate) fn risks_of(path: &[LinkIx], topology: &Topology) -> Arc<[Risk]> {
    let links = || path.iter().filter_map(|ix| Some((*ix, topology.link(*ix)?)));
    let fibres = links().map(|(ix, link)| Risk::Fibre(link.twin.map_or(ix, |twin| twin.min(ix))));
    let nodes = links().skip(1).map(|(_, link)| Risk::Node(link.from));
    let groups = links().flat_map(|(_, link)| link.srlg.iter().map(|group| Risk::Srlg(*group)));
    let mut risks: Vec<Risk> = fibres.chain(nodes).chain(groups).collect();
    risks.sort_unstable();
    risks.dedup();
    risks.into()
}

/// The pools of a link, by slot; of those that have members.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SharedPools(BTreeMap<Slot, SharedPool>);

impl SharedPools {
    pub(crate) fn pool(&self, slot: Slot) -> Option<&SharedPool> {
        self.0.get(&slot)
    }

    /// The members of all slots.
    pub(crate) fn members(&self) -> impl Iterator<Item = AllocationId> + '_ {
        self.0.values().flat_map(SharedPool::members)
    }

    /// How much more is booked with this member.
    pub(crate) fn add(&mut self, slot: Slot, id: AllocationId, member: Member) -> u64 {
        let pool = self.0.entry(slot).or_default();
        let before = pool.booked();
        pool.add(id, member);
        pool.booked().saturating_sub(before)
    }

    /// How much less is booked without this member.
    pub(crate) fn remove(&mut self, slot: Slot, id: AllocationId) -> u64 {
        let Some(pool) = self.0.get_mut(&slot) else { return 0 };
        let before = pool.booked();
        pool.remove(id);
        let after = pool.booked();
        if pool.members.is_empty() {
            self.0.remove(&slot);
        }
        before.saturating_sub(after)
    }
}

/// A backup path in a pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    /// What it takes on the link, in bit/s.
    pub(crate) amount_bps: u64,
    pub(crate) risks: Arc<[Risk]>,
}

/// The backup paths that share bandwidth of a slot on a link.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SharedPool {
    members: BTreeMap<AllocationId, Member>,
    sums: BTreeMap<Risk, u64>,
}

impl SharedPool {
    /// What is booked for all of them.
    pub(crate) fn booked(&self) -> u64 {
        self.sums.values().copied().max().unwrap_or(0)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = AllocationId> + '_ {
        self.members.keys().copied()
    }

    pub(crate) fn members_but(&self, one: Option<AllocationId>) -> Vec<AllocationId> {
        self.members().filter(|id| Some(*id) != one).collect()
    }

    /// What one member takes, by itself.
    pub(crate) fn amount_of(&self, one: Option<AllocationId>) -> u64 {
        one.and_then(|id| self.members.get(&id)).map_or(0, |member| member.amount_bps)
    }

    /// What is booked already, and is not needed in any failure that breaks these too.
    pub(crate) fn reusable(&self, risks: &[Risk]) -> u64 {
        let needed = risks.iter().filter_map(|risk| self.sums.get(risk)).copied().max().unwrap_or(0);
        self.booked().saturating_sub(needed)
    }

    fn add(&mut self, id: AllocationId, member: Member) {
        for risk in member.risks.iter() {
            let sum = self.sums.entry(*risk).or_default();
            *sum = sum.saturating_add(member.amount_bps);
        }
        self.members.insert(id, member);
    }

    fn remove(&mut self, id: AllocationId) {
        let Some(member) = self.members.remove(&id) else { return };
        for risk in member.risks.iter() {
            if let Some(sum) = self.sums.get_mut(risk) {
                *sum = sum.saturating_sub(member.amount_bps);
                if *sum == 0 {
                    self.sums.remove(risk);
                }
            }
        }
    }
}
