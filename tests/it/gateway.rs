//! Gateways and consumers over real HTTP on loopback, with an orchestrator of the test and consumers that misbehave.

mod edge;

mod bad_input;
mod consumer;
mod coding;
mod delivery;
mod kept;
mod orchestrated;
mod named;
mod over_mqtt;
mod together;
