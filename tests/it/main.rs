//! The tests that need nothing but the crate.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a test that fails should stop; figures in tests are small"
)]

mod app;
mod architecture;
mod demo;
mod formats;
mod aggregator_mqtt;
mod gateway;
mod http;
mod journal;
mod kernel;
mod mqtt;
mod rates;
mod replay;
