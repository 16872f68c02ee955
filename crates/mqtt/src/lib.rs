//! A stateless MQTT 3.1.1 and 5 broker. Its replicas keep sessions, queues, retained messages and wills in a shared store,
//! so that any replica can take over any session. It knows nothing of bandwidth: no other crate of the workspace is
//! named here.
//!
//! [`codec`] reads and writes packets. `session` is one client's protocol without I/O. `router` finds the subscribers of
//! a topic. `store` holds sessions, queued and retained messages and wills, in memory, in a SQLite file (feature
//! `sqlite`) or in Redis. [`Broker`] is one
//! replica. [`auth`] says what a client may do; [`transport`] is TLS and WebSocket. [`limits`] names every limit.
//!
//! A broker inside a process, and a client of it:
//!
//! ```
//! use watermaster_mqtt::codec::Qos;
//! use watermaster_mqtt::{Broker, Message, Settings};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let broker = Broker::embedded(Settings::default()).await?;
//! let mut client = broker.client("example").await?;
//! client.subscribe("sensors/#", Qos::AtLeastOnce).await?;
//! if let Some(message) = Message::new("sensors/1", "21.5", Qos::AtLeastOnce) {
//!     client.publish(message).await?;
//! }
//! let received = client.next().await;
//! assert_eq!(received.map(|message| message.topic.to_string()).as_deref(), Some("sensors/1"));
//! drop(client);
//! broker.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```

#![warn(missing_docs)]

pub mod codec;

pub mod auth;
pub mod broker;
pub mod limits;
pub mod address;
mod message;
mod metrics;
mod router;
mod session;
mod settings;
mod store;
pub mod transport;

pub use broker::{
    Broker, BrokerStartError, ClientStatus, ConnectionOrigin, ConnectionStatus, Intake, LocalClient, LocalClientError,
    Transport,
};
pub use message::{ClientId, Message, ReplicaId, UnixMs, unix_ms};
pub use metrics::{Count, Metrics, RoutingSizes, STORE_LATENCY_BOUNDS_US};
pub use settings::{Settings, ShareOffline};
pub use store::memory::Memory;
pub use store::redis::{Durability, RedisAddressError};
#[cfg(feature = "sqlite")]
pub use store::sqlite::{Sqlite, SqliteAddress, SqliteError, Synchronous, open_sqlite_file};
pub use store::{SessionStatus, StoreError, SubscriptionStatus};
