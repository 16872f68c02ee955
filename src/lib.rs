//! Watermaster: a bandwidth allocator for an SDN backbone.
pub mod cli;
pub mod formats;
pub mod kernel;
