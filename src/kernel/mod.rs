//! The kernel: what is true, what is allowed, what follows. Pure and deterministic.

pub mod class;
pub mod id;
pub mod path;
pub mod topology;
pub mod units;
