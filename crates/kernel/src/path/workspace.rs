//! Memory that searches share and reuse. Nothing in it outlives a query except memory and static distances: an answer
//! never depends on what a workspace was used for before.

use super::astar::AstarScratch;
use super::constrained_labels::LabelArena;
use super::distance_table::DistanceTable;

/// Reused by every search of one thread; grows to the largest graph seen and may serve several graphs in turn.
#[derive(Default)]
pub struct Workspace {
    pub(super) table: DistanceTable,
    pub(super) scratch: Scratch,
    /// The path being found.
    pub(super) path: Vec<u32>,
}

/// The memory of the two searches.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) astar: AstarScratch,
    pub(super) labels: LabelArena,
}
