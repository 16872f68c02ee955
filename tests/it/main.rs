//! The tests that need nothing but the crate.

mod journal;
