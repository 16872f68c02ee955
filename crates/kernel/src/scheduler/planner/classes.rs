//! The levels on each link under its bandwidth model: the own share of each in the first filling, and what it may borrow as a
//! resource of the second.

use std::sync::Arc;

use super::{FirstPiece, Planner};
use crate::bam::Booked;
use crate::id::LinkIx;
use crate::scheduler::class_bounds::ClassBounds;
use crate::scheduler::equal_share::Claimant;
use crate::scheduler::max_min::{RATE_MAX_BPS, UNIT};
use crate::scheduler::{LEVELS, QosLevel};
use crate::units::Bandwidth;

/// The levels on a link under its model.
#[derive(Clone, Debug)]
pub(super) struct LinkClasses {
    pub(super) bounds: ClassBounds,
    /// By level, the sum of demands, in bit/s.
    pub(super) wanted: [u128; LEVELS],
    /// By level, the sum of first pieces, in 1/1024 bit/s.
    pub(super) first: [u128; LEVELS],
}

impl Planner {
    /// What other clients have booked on a link, by class type; `None`: nothing new goes over it.
    pub fn set_others(&mut self, link: LinkIx, others: Option<Booked>) {
        if self.classes.get_mut(link.at()).is_some_and(|classes| classes.bounds.set_others(others)) {
            self.update_pools(link);
            self.leave(link, 0);
        }
    }

    /// Whether the model lets the levels have so much of a link beside what other clients have.
    pub(in crate::scheduler) fn admits(&self, link: LinkIx, levels_bps: &[u64; LEVELS]) -> bool {
        self.classes.get(link.at()).is_none_or(|classes| classes.bounds.admits(levels_bps))
    }

    /// Sets what each level has of a link before the others: its share, or under a model its class's own, even where other
    /// classes borrowed it. Over a link that takes nothing new the level has its part of what is left.
    pub(super) fn update_pools(&mut self, link: LinkIx) {
        let (Some(all), FirstPiece::Pools(pools)) = (self.capacity.get(link.at()).copied(), &mut self.first) else {
            return;
        };
        let usable = self.settings.usable;
        for ((pool, share), level) in pools.iter_mut().zip(self.settings.shares).zip(QosLevel::ALL) {
            let bounds = self.classes.get(link.at()).map(|classes| &classes.bounds);
            let own =
                bounds.and_then(|bounds| Some(bounds.own_bps(level)?.min(share.of(usable.of(bounds.total_bps())))));
            pool.set_capacity(link, own.unwrap_or_else(|| share.of(all)));
        }
    }

    /// The links of a flow, and the bounds of levels in which it counts.
    pub(super) fn resources(&self, party: &Claimant) -> Arc<[LinkIx]> {
        if self.classes.is_empty() {
            return Arc::clone(&party.path);
        }
        let bounds = party.path.iter().filter_map(|link| Some((*link, self.classes.get(link.at())?)));
        let counted = bounds.flat_map(|(link, classes)| {
            classes.bounds.counted_in(party.level).iter().map(move |level| self.resource(link, *level))
        });
        party.path.iter().copied().chain(counted).collect()
    }

    /// The bound of a level on a link, as a resource of the second filling.
    fn resource(&self, link: LinkIx, level: QosLevel) -> LinkIx {
        let at = self.capacity.len() + link.at() * LEVELS + level.at();
        LinkIx(u32::try_from(at).unwrap_or(u32::MAX))
    }

    pub(super) fn count_demand(&mut self, party: &Claimant, old: Bandwidth, new: Bandwidth) {
        if self.classes.is_empty() || old == new {
            return;
        }
        let (old, new) = (self.most_of(old), self.most_of(new));
        for link in party.path.iter() {
            if let Some(classes) = self.classes.get_mut(link.at()).filter(|classes| classes.bounds.binds()) {
                let wanted = &mut classes.wanted[party.level.at()];
                *wanted = (*wanted + new).saturating_sub(old);
                self.leave(*link, 0);
            }
        }
    }

    /// The most that a flow of this demand is given: each of its two pieces is rounded up to a step.
    fn most_of(&self, demand: Bandwidth) -> u128 {
        let bps = u128::from(demand.as_bps());
        if bps == 0 { 0 } else { bps + (bps >> self.settings.step_bits) + 2 }
    }

    /// Sets what the model leaves each level beyond its first pieces.
    pub(super) fn update_bounds(&mut self, link: LinkIx) {
        let Some(classes) = self.classes.get(link.at()).filter(|classes| classes.bounds.binds()) else { return };
        for level in QosLevel::ALL {
            let limit =
                u128::from(classes.bounds.limit_bps(level, &classes.wanted).min(RATE_MAX_BPS)) * u128::from(UNIT);
            let more = limit.saturating_sub(classes.first[level.at()]);
            self.common.set_capacity_units(self.resource(link, level), more);
        }
    }
}
