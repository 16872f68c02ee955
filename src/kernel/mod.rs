//! The kernel: what is true, what is allowed, what follows. Pure and deterministic.

pub mod units;
pub mod id;
pub mod class;
pub mod topology;
pub mod bam;
