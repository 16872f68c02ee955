//! A filling of the plan, with the entry of each of its flows and the tenants that it is divided between.

use std::sync::Arc;

use crate::id::LinkIx;
use crate::scheduler::AggregatorIx;
use crate::scheduler::max_min::{FlowIx, MaxMin, TenantShares};

/// A filling. Without tenants it is kept up to date after changes; with tenants it is filled anew after each.
#[derive(Clone, Debug)]
pub(super) struct OwnedMaxMin {
    filling: MaxMin,
    owners: Vec<u32>,
    senders: Vec<AggregatorIx>,
    shares: TenantShares,
    /// By flow, its rate in 1/1024 bit/s as it is divided between tenants; empty where there are none.
    divided: Vec<u128>,
    /// Whether something has changed since it was divided.
    is_stale: bool,
}

impl OwnedMaxMin {
    pub(super) fn new(filling: MaxMin) -> Self {
        let shares = TenantShares::default();
        Self { filling, owners: vec![], senders: vec![], shares, divided: vec![], is_stale: false }
    }

    /// Adds a flow of an entry and its aggregator.
    pub(super) fn add(
        &mut self,
        (owner, sender): (u32, AggregatorIx),
        path: &Arc<[LinkIx]>,
        weight: u32,
        demand_bps: u64,
    ) -> FlowIx {
        self.is_stale = true;
        let ix = self.filling.join(path, weight, demand_bps);
        if self.owners.len() <= ix.at() {
            self.owners.resize(ix.at() + 1, u32::MAX);
            self.senders.resize(ix.at() + 1, AggregatorIx(u32::MAX));
        }
        if let (Some(place), Some(from)) = (self.owners.get_mut(ix.at()), self.senders.get_mut(ix.at())) {
            (*place, *from) = (owner, sender);
        }
        ix
    }

    pub(super) fn remove(&mut self, ix: FlowIx) {
        self.is_stale = true;
        self.filling.remove(ix);
    }

    pub(super) fn set_demand(&mut self, ix: FlowIx, demand_bps: u64) {
        self.is_stale = true;
        self.filling.set_demand(ix, demand_bps);
    }

    pub(super) fn set_capacity(&mut self, link: LinkIx, capacity_bps: u64) {
        self.is_stale = true;
        self.filling.set_capacity(link, capacity_bps);
    }

    pub(super) fn set_capacity_units(&mut self, link: LinkIx, capacity: u128) {
        self.is_stale = true;
        self.filling.set_capacity_units(link, capacity);
    }

    pub(super) fn set_shares(&mut self, shares: TenantShares) {
        (self.is_stale, self.shares) = (true, shares);
    }

    /// The rate of a flow as of the last update, in 1/1024 bit/s.
    pub(super) fn rate_units(&self, ix: FlowIx) -> u128 {
        self.divided.get(ix.at()).copied().unwrap_or_else(|| self.filling.rate_units(ix))
    }

    /// The entries whose rate may have changed.
    pub(super) fn update(&mut self) -> Vec<u32> {
        let moved = self.filling.update();
        if self.shares.len() == 0 {
            if self.divided.is_empty() {
                return moved.into_iter().filter_map(|ix| self.owners.get(ix.at()).copied()).collect();
            }
            self.divided.clear();
            return self.owners.clone();
        }
        if !std::mem::take(&mut self.is_stale) {
            return vec![];
        }
        let divided = self.filling.fill_by_tenants(&self.senders, &self.shares);
        let before = std::mem::replace(&mut self.divided, divided);
        let differs = |(at, rate): &(usize, &u128)| before.get(*at) != Some(*rate);
        let changed = self.divided.iter().enumerate().filter(differs);
        changed.filter_map(|(at, _)| self.owners.get(at).copied()).collect()
    }
}
