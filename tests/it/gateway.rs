//! Gateways and consumers over real HTTP on loopback, with an orchestrator of the test and consumers that misbehave.

#[path = "gateway/edge.rs"]
mod edge;

#[path = "gateway/bad_input.rs"]
mod bad_input;
#[path = "gateway/consumer.rs"]
mod consumer;
#[path = "gateway/coding.rs"]
mod coding;
#[path = "gateway/delivery.rs"]
mod delivery;
#[path = "gateway/kept.rs"]
mod kept;
#[path = "gateway/orchestrated.rs"]
mod orchestrated;
#[path = "gateway/named.rs"]
mod named;
#[path = "gateway/together.rs"]
mod together;
