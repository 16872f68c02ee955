//! The public documents of the service, and [`client`], which speaks them.

pub mod client;
