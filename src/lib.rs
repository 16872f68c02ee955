//! Watermaster: a bandwidth allocator for an SDN backbone.
pub mod formats;
pub mod kernel;
pub mod cli;
