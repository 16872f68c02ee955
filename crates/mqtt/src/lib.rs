//! The broker: the door of the `mqtt` room.
//!
//! It serves any MQTT user and knows nothing of bandwidth: no other room of the house is named here.
//!
//! [`codec`] reads and writes packets. `session` is one client's protocol as a machine without I/O. `router` finds who
//! gets what. `store` is where sessions, queued and retained messages and wills live. [`broker`] brings them together: a
//! replica, which keeps nothing that another could not take over. [`auth`] says who may do what; [`transport`] is what a
//! connection may come through. [`limits`] names every limit.

pub mod codec;

pub mod auth;
pub mod broker;
pub mod limits;
mod message;
mod metrics;
mod router;
mod session;
mod settings;
mod store;
pub mod transport;

pub use broker::{Broker, BrokerStartError, LocalClient, LocalClientError, RoutingSizes, Transport};
pub use message::{ClientId, Message, ReplicaId, UnixMs};
pub use metrics::{Count, Metrics, STORE_LATENCY_BOUNDS_US};
pub use settings::Settings;
pub use store::StoreError;
pub use store::memory::Memory;
pub use store::redis::{Durability, RedisAddressError};
