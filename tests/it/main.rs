//! The tests of `cargo test`: they need nothing but the crate.

mod formats;
