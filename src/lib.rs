//! Watermaster: a bandwidth allocator for an SDN backbone.
pub mod kernel;
pub mod formats;
pub mod cli;
