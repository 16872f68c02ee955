//! The tests that need nothing but the crate.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails should stop")]

mod kernel;
