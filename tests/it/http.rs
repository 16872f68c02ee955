//! The REST interface, driven without a socket over a journal in a temporary folder.

mod harness;

mod access;
mod isolation;
mod dashboard;
mod aggregators;
mod bidirectional;
mod bookings;
mod maintenance;
mod broker;
mod controllers;
mod annotations;
mod document;
mod events;
mod holds;
mod failure_study;
mod headroom;
mod link_history;
mod lists;
mod optimization;
mod problems;
mod promises;
mod protection;
mod scenarios;
mod tenants;
mod tour;
mod uploads;
