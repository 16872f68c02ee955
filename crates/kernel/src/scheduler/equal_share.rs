//! The even division of the PSIoT-Orch paper: each link's bandwidth is divided evenly between the aggregators that use it, each
//! part between the QoS levels by their shares, and that between the destinations of the level. A flow gets the least
//! that a link of its path gives it, whatever it asks for. What must stay true: what a link gives out is never more than
//! it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::max_min::UNIT;
use super::{AggregatorIx, LEVELS, QosLevel};
use crate::id::LinkIx;
use crate::units::{PPM, Share};

/// The flows on each link, counted by aggregator and level.
#[derive(Clone, Debug)]
pub(super) struct Even {
    shares: [Share; LEVELS],
    links: Vec<LinkShares>,
    dirty: BTreeSet<u32>,
}

#[derive(Clone, Debug, Default)]
struct LinkShares {
    capacity_bps: u64,
    /// How many destinations each aggregator reaches over this link, by level.
    parties: BTreeMap<AggregatorIx, [u32; LEVELS]>,
    members: BTreeSet<u32>,
}

/// A flow as far as it counts here.
#[derive(Clone, Debug)]
pub(super) struct Claimant {
    pub(super) aggregator: AggregatorIx,
    pub(super) level: QosLevel,
    pub(super) path: Arc<[LinkIx]>,
}

impl Even {
    pub(super) fn new(shares: [Share; LEVELS], capacities_bps: &[u64]) -> Self {
        let link_shares = |capacity_bps: &u64| LinkShares { capacity_bps: *capacity_bps, ..LinkShares::default() };
        Self { shares, links: capacities_bps.iter().map(link_shares).collect(), dirty: BTreeSet::new() }
    }

    pub(super) fn set_capacity(&mut self, link: LinkIx, capacity_bps: u64) {
        if let Some(link_shares) = self.links.get_mut(link.at()) {
            link_shares.capacity_bps = capacity_bps;
            self.dirty.insert(link.0);
        }
    }

    pub(super) fn join(&mut self, member: u32, party: &Claimant) {
        for link in party.path.iter() {
            let Some(link_shares) = self.links.get_mut(link.at()) else { continue };
            link_shares.parties.entry(party.aggregator).or_default()[party.level.at()] += 1;
            link_shares.members.insert(member);
            self.dirty.insert(link.0);
        }
    }

    pub(super) fn leave(&mut self, member: u32, party: &Claimant) {
        for link in party.path.iter() {
            let Some(link_shares) = self.links.get_mut(link.at()) else { continue };
            if let Some(counts) = link_shares.parties.get_mut(&party.aggregator) {
                counts[party.level.at()] = counts[party.level.at()].saturating_sub(1);
                if *counts == [0; LEVELS] {
                    link_shares.parties.remove(&party.aggregator);
                }
            }
            link_shares.members.remove(&member);
            self.dirty.insert(link.0);
        }
    }

    /// The flows whose part may have changed since the last call.
    pub(super) fn touched(&mut self) -> BTreeSet<u32> {
        let dirty = std::mem::take(&mut self.dirty);
        let touched = dirty.iter().filter_map(|link| self.links.get(*link as usize));
        touched.flat_map(|link_shares| link_shares.members.iter().copied()).collect()
    }

    /// The part of a flow that has joined, in 1/1024 bit/s.
    pub(super) fn part_units(&self, party: &Claimant) -> u128 {
        let parts = party.path.iter().map(|link| {
            let Some(link_shares) = self.links.get(link.at()) else { return 0 };
            let destinations =
                link_shares.parties.get(&party.aggregator).map_or(1, |counts| counts[party.level.at()]).max(1);
            let aggregators = u128::try_from(link_shares.parties.len()).unwrap_or(u128::MAX).max(1);
            let whole = u128::from(link_shares.capacity_bps)
                * u128::from(UNIT)
                * u128::from(self.shares[party.level.at()].as_ppm());
            whole / (u128::from(PPM) * aggregators * u128::from(destinations))
        });
        parts.min().unwrap_or(0)
    }
}
