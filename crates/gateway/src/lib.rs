//! The gateway (IoTGW-Ag) and the consumer: the edge of PSIoT-Orch. A separate program that happens to share a binary with
//! the orchestrator and knows nothing of its insides: they speak over the network.
//!
//! ```text
//!     devices ──MQTT──▶ broker ──▶ machine: contents, buffers by level ──paces──▶ callbacks, streams ──▶ consumers
//!                                     ▲ plan                │
//!               orchestrator ──rates──┘ ◀────metadata───────┘
//! ```
//!
//! Pure, with time as an argument: [`buffer`], [`pace`], [`meter`], [`contents`], [`plan`], [`travel`], and [`machine`], which they
//! make up. The shell around it: `shared` (the lock, and what wakes whom), `server`, `callback`, `report`, [`generator`],
//! `run`. [`consumer`] is the other side. [`wire`] has the documents, [`limits`] every limit.

mod run;
pub use run::{Gateway, GatewayError};
pub mod options;

pub mod core;

pub mod buffer;
pub mod topic_cache;
pub mod rate_meter;
pub mod token_bucket;
pub mod rate_lease;
pub mod subscription;
pub mod wire_cost;

mod server;
mod runtime;

mod callback;
pub mod generator;
mod metrics;
mod orchestrator;
mod view;

pub mod consumer;

mod client;
pub mod clock;
pub mod qos_level;
pub mod limits;
pub mod message;
mod problem;
mod sse;
pub mod wire;
