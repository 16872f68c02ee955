//! Watermaster: a bandwidth allocator for an SDN backbone.
pub mod app;
pub mod cli;
pub mod config;
pub mod formats;
pub mod http;
pub mod journal;
pub mod kernel;
pub mod telemetry;
