//! The figures of the last plan of each topology, as the metrics show them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::App;
use kernel::id::Name;

/// What a plan of moves came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptimizationFigures {
    /// What was to become better, in the word of the interface.
    pub objective: &'static str,
    /// The value of the objective after all steps, in its unit.
    pub value: u64,
    /// What no routing is better than, in the same unit.
    pub bound: u64,
    /// How near the value is to the bound, in parts per million.
    pub reached_ppm: u64,
    /// The maximum utilisation of a link after all steps, in parts per million.
    pub max_ppm: u64,
}

/// By topology; of topologies that are gone nothing is kept.
#[derive(Default)]
pub(super) struct LastOptimizations(Mutex<BTreeMap<Name, OptimizationFigures>>);

impl App {
    /// Keeps the figures of a plan until the next one for the same topology.
    pub fn record_optimization(&self, topology: &Name, figures: OptimizationFigures) {
        let mut last = self.inner.optimizations.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(topology.clone(), figures);
        self.read(|state| last.retain(|name, _| state.network(name.as_str()).is_some()));
    }

    /// The figures of the last plan of each topology.
    pub fn optimizations(&self) -> Vec<(Name, OptimizationFigures)> {
        let last = self.inner.optimizations.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(|state| {
            let living = last.iter().filter(|(name, _)| state.network(name.as_str()).is_some());
            living.map(|(name, figures)| (name.clone(), *figures)).collect()
        })
    }
}
