//! The gateway (IoTGW-Ag) and the consumer: the edge of PSIoT-Orch (Moraes, Reale, Martins). A separate program that happens
//! to share a binary with the orchestrator and knows nothing of its insides: they speak over the network.
//!
//! ```text
//!     devices ──MQTT──▶ broker ──▶ core: contents, buffers by level ──paced──▶ callbacks, streams ──▶ consumers
//!                                    ▲ rate lease    │    ▲      │
//!              orchestrator ──rates──┘ ◀──metadata───┘    └spool─┘
//! ```
//!
//! Pure, with time as an argument: [`buffer`], [`token_bucket`], [`rate_meter`], [`topic_cache`], [`rate_lease`],
//! [`report_clock`], [`wire_cost`], and [`core`], which they make up. The shell around it: `runtime` (the lock, and the
//! signals between tasks), `intake` (what the broker gives), [`spool`] (what outlives the process), `server`, `callback`,
//! `orchestrator`, [`generator`], `run`. [`consumer`] is the other side. The documents are [`api::gateway`] and
//! [`api::aggregator`]; [`limits`] has every limit.
//!
//! A gateway on free ports, without an orchestrator:
//!
//! ```
//! use watermaster_gateway::Gateway;
//! use watermaster_gateway::options::GatewayOptions;
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), watermaster_gateway::GatewayError> {
//! let anywhere = ([127, 0, 0, 1], 0).into();
//! let options = GatewayOptions { listen: anywhere, mqtt_listen: anywhere, ..GatewayOptions::default() };
//! let gateway = Gateway::build(options).await?;
//! println!("subscribe at http://{}/v1/subscriptions", gateway.address());
//! let stop = CancellationToken::new();
//! stop.cancel(); // An operator's Ctrl-C.
//! gateway.run(stop).await?;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod run;
pub use run::{Gateway, GatewayError};
pub mod options;

pub mod core;

pub mod buffer;
mod lane;
mod lane_queue;
pub mod topic_cache;
pub mod rate_meter;
pub mod token_bucket;
pub mod rate_lease;
pub mod report_clock;
pub mod subscription;
pub mod wire_cost;

pub mod spool;
mod server;
mod runtime;
mod intake;

mod content_coding;
mod callback;
pub mod generator;
mod metrics;
mod orchestrator;
mod view;

pub mod consumer;

mod client;
pub mod clock;
pub mod limits;
pub mod message;
mod problem;
