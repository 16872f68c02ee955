//! Watermaster: a bandwidth allocator for an SDN backbone.
pub mod journal;
pub mod kernel;
