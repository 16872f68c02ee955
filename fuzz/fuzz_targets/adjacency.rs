//! Any bytes, read as `Format::Adjacency`, make a topology that survives a round trip or a clean error.
#![no_main]

use formats::Format;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watermaster_fuzz::round_trip(bytes, Format::Adjacency));
