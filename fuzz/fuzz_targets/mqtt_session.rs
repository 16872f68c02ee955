//! Any bytes as a walk through the broker: packets in any order on several connections (see `tests/it/mqtt/walk.rs`).
#![no_main]

#[path = "../../tests/it/mqtt/walk.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| walk::walk(bytes));
