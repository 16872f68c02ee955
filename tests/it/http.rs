//! The REST interface, driven without a socket over a journal in a temporary folder.

#[path = "http/harness.rs"]
mod harness;

#[path = "http/access.rs"]
mod access;
#[path = "http/dashboard.rs"]
mod dashboard;
#[path = "http/aggregators.rs"]
mod aggregators;
#[path = "http/bookings.rs"]
mod bookings;
mod maintenance;
#[path = "http/broker.rs"]
mod broker;
#[path = "http/controllers.rs"]
mod controllers;
#[path = "http/annotations.rs"]
mod annotations;
#[path = "http/document.rs"]
mod document;
#[path = "http/events.rs"]
mod events;
#[path = "http/holds.rs"]
mod holds;
#[path = "http/failure_study.rs"]
mod failure_study;
#[path = "http/headroom.rs"]
mod headroom;
#[path = "http/link_history.rs"]
mod link_history;
#[path = "http/lists.rs"]
mod lists;
#[path = "http/optimization.rs"]
mod optimization;
#[path = "http/problems.rs"]
mod problems;
#[path = "http/promises.rs"]
mod promises;
#[path = "http/protection.rs"]
mod protection;
#[path = "http/scenarios.rs"]
mod scenarios;
#[path = "http/tour.rs"]
mod tour;
#[path = "http/uploads.rs"]
mod uploads;
