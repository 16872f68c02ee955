//! The HTTP clients of gateways and consumers: no redirects, no proxies, a limit on every wait.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use api::outbound::OutboundNetworks;
use reqwest::{Client, redirect};

use super::limits::CALLBACK_CONNECT_WAIT;

/// A client whose requests take `wait` at most; `None`: for streams.
///
/// # Errors
/// TLS cannot be set up.
pub(super) fn client(wait: Option<Duration>) -> Result<Client, reqwest::Error> {
    client_from(None, wait)
}

/// A client whose connections come from an address.
///
/// # Errors
/// TLS cannot be set up.
pub(super) fn client_from(source: Option<Ipv4Addr>, wait: Option<Duration>) -> Result<Client, reqwest::Error> {
    // Another part of the process may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder =
        Client::builder().redirect(redirect::Policy::none()).no_proxy().connect_timeout(CALLBACK_CONNECT_WAIT);
    let builder = builder
        .local_address(source.map(IpAddr::V4))
        .tcp_nodelay(true)
        .dns_resolver(Arc::new(OutboundNetworks::default()))
        .user_agent(concat!("watermaster/", env!("CARGO_PKG_VERSION")));
    match wait {
        Some(wait) => builder.timeout(wait),
        None => builder,
    }
    .build()
}
