//! The tests that talk to real parts: `tests/run` starts them and says where they are.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that fails should stop")]

mod access;
mod books;
mod certificates;
mod certificates_of_mqtt;
mod broker;
mod client;
mod clocks;
mod command_line;
mod dashboard;
mod demo;
mod driver;
mod faults;
mod gateway;
mod gateway_over_mqtt;
mod gateway_over_tls;
mod hosts;
mod journal;
mod lab;
mod line;
mod network;
mod packets;
mod packets_both_ways;
mod packets_of_auto_bandwidth;
mod packets_of_classes;
mod packets_of_failover;
mod packets_of_gateways;
mod packets_of_levels;
mod packets_of_replicas;
mod packets_of_split_flows;
mod operations;
mod packaging;
mod pooler;
mod proxy;
mod process;
mod replicas;
mod replicas_of_the_scheduler;
mod running;
mod secrets;
mod silent_database;
mod takeover;
#[cfg(feature = "otlp")]
mod traces;
