//! The highest utilisation of every link over many failures, from what each failure moves.

use std::sync::Arc;

use kernel::allocation::Allocation;
use kernel::event::Fate;
use kernel::id::LinkIx;
use kernel::state::Network;
use kernel::topology::Link;
use kernel::units::PPM;

/// The highest utilisation of a link over the scenarios, in parts per million of its maximum reservable bandwidth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorstCase {
    /// Before any failure.
    pub before_ppm: u64,
    /// In the worst scenario; not below [`WorstCase::before_ppm`].
    pub worst_ppm: u64,
    /// The first scenario with that utilisation, as its place in [`outcomes`](crate::failure_study::GrowthStudy::outcomes); `None`: there is none above
    /// what it is before any failure.
    pub scenario: Option<usize>,
}

/// What is booked on every link, and the worst of it so far.
pub(crate) struct WorstLoads {
    loads: Vec<StudiedLink>,
    pub(crate) worst: Vec<WorstCase>,
    /// The links of `loads` that a scenario changes.
    touched: Vec<usize>,
}

struct StudiedLink {
    booked_bps: u64,
    reservable_bps: u64,
    change: LoadChange,
}

/// What a scenario does to a link.
#[derive(Default)]
struct LoadChange {
    is_touched: bool,
    left: u64,
    came: u64,
}

impl WorstLoads {
    pub(crate) fn of(network: &Network) -> Self {
        let load = |(ix, link): (LinkIx, &Link)| StudiedLink {
            booked_bps: network.ledger().booked(ix).iter().fold(0_u64, |sum, bps| sum.saturating_add(*bps)),
            reservable_bps: link.max_reservable.as_bps(),
            change: LoadChange::default(),
        };
        let loads: Vec<StudiedLink> = network.topology().links().map(load).collect();
        let worst = loads.iter().map(|load| {
            let before_ppm = utilisation_ppm(load.booked_bps, load.reservable_bps);
            WorstCase { before_ppm, worst_ppm: before_ppm, scenario: None }
        });
        Self { worst: worst.collect(), loads, touched: vec![] }
    }

    /// Only links that gain can be worse than they were.
    pub(crate) fn look_at(&mut self, scenario: usize, network: &Network, fates: &[(&Arc<Allocation>, Fate)]) {
        let slots = network.ledger().slots();
        for (allocation, fate) in fates {
            // A booking has nothing of a link before its start.
            if allocation.is_scheduled() {
                continue;
            }
            let Some(slot) = network.slot_of(allocation) else { continue };
            let booked = |link: LinkIx| {
                let bounds = network.ledger().bounds(link);
                bounds.map_or(0, |bounds| bounds.booked(slots, slot, allocation.demand.bandwidth))
            };
            let left = network.entry_of(allocation);
            let shared = left.iter().flat_map(|entry| &entry.shared).flat_map(|shared| shared.links.iter());
            for link in left.iter().flat_map(|entry| entry.links.iter()).chain(shared) {
                self.change(*link, |change| change.left = change.left.saturating_add(booked(*link)));
            }
            let now = match fate {
                Fate::Rerouted(path) => path,
                Fate::Unprotected => &allocation.path,
                Fate::Ended(_) => continue,
            };
            let moved = Allocation { path: Arc::clone(now), recovery: None, ..Allocation::clone(allocation) };
            let came = network.entry_of(&moved);
            for link in came.iter().flat_map(|entry| entry.links.iter()) {
                self.change(*link, |change| change.came = change.came.saturating_add(booked(*link)));
            }
        }
        for at in self.touched.drain(..) {
            let (Some(load), Some(worst)) = (self.loads.get_mut(at), self.worst.get_mut(at)) else { continue };
            let LoadChange { left, came, .. } = std::mem::take(&mut load.change);
            let ppm = utilisation_ppm(load.booked_bps.saturating_add(came).saturating_sub(left), load.reservable_bps);
            if ppm > worst.worst_ppm {
                (worst.worst_ppm, worst.scenario) = (ppm, Some(scenario));
            }
        }
    }

    fn change(&mut self, link: LinkIx, change: impl FnOnce(&mut LoadChange)) {
        let Some(load) = self.loads.get_mut(link.at()) else { return };
        if !load.change.is_touched {
            load.change.is_touched = true;
            self.touched.push(link.at());
        }
        change(&mut load.change);
    }
}

/// Rounded down.
pub(crate) fn utilisation_ppm(booked_bps: u64, reservable_bps: u64) -> u64 {
    let wide = u128::from(booked_bps) * u128::from(PPM) / u128::from(reservable_bps.max(1));
    u64::try_from(wide).unwrap_or(u64::MAX)
}
