//! The tests that talk to real parts: `tests/run` starts them and says where they are.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that fails should stop")]

mod client;
mod dashboard;
mod driver;
mod journal;
mod lab;
mod network;
mod packets;
mod process;
mod running;
