//! The public documents of Watermaster, each defined once: what the REST interface answers, what it reads, and what events
//! say, with serde and an OpenAPI schema. The service, its command line, gateways and other programs share them. The feature
//! `client` adds [`client`], a typed client that speaks them; `server` what each server of them checks of a request first
//! ([`own_hosts`]).
//!
//! ```
//! use watermaster_api::allocation::AllocationRequest;
//! use watermaster_api::flow::FlowRequest;
//!
//! let request = AllocationRequest {
//!     ingress: "WA".to_owned(),
//!     egress: "CA1".to_owned(),
//!     qos_level: Some(2),
//!     bandwidth_bps: 14_000_000,
//!     flow: Some(FlowRequest { ipv4_dst: "10.0.0.3".parse().ok(), ..FlowRequest::default() }),
//!     ..AllocationRequest::default()
//! };
//! let text = serde_json::to_string(&request)?;
//! assert!(text.contains(r#""ipv4_dst":"10.0.0.3/32""#));
//! assert_eq!(serde_json::from_str::<AllocationRequest>(&text)?, request);
//! # Ok::<(), serde_json::Error>(())
//! ```

#![warn(missing_docs)]

pub mod allocation;
pub mod availability;
pub mod batch;
pub mod path;
pub mod protection;
pub mod auto_bandwidth;
pub mod constraints;
pub mod flow;
pub mod effects;
pub mod failure_study;
pub mod optimization;

pub mod topology;
pub mod link;
pub mod maintenance;
pub mod link_history;
pub mod bandwidth_model;
pub mod controller;

pub mod event;
pub mod service;
pub mod access;
pub mod tenant;
pub mod problem;

pub mod aggregator;
pub mod broker;
pub mod content;
pub mod gateway;
pub mod qos_level;
pub mod sse;

pub mod instant;
pub mod text;
pub mod words;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod outbound;
#[cfg(feature = "server")]
pub mod own_hosts;
#[cfg(feature = "client")]
pub mod retry;
