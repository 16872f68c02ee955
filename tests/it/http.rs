//! The REST interface, driven without a socket over a journal in a temporary folder.

#[path = "http/desk.rs"]
mod desk;

#[path = "http/tour.rs"]
mod tour;
