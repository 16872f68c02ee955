//! Any bytes as a walk through the broker: packets in any order on several connections (see `tests/it/mqtt/random_client.rs`).
#![no_main]

#[path = "../../tests/it/mqtt/random_client.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| walk::walk(bytes));
