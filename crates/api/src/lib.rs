//! The public documents of the service and of a gateway, each once, with serde and schema; how they are read; and the typed
//! [`client`] that speaks them. Without features it does no I/O.

pub mod aggregator;
pub mod gateway;
pub mod instant;
pub mod problem;
pub mod qos_level;
pub mod sse;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod retry;
