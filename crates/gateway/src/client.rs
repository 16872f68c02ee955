//! The HTTP clients of gateways and consumers: no redirects, no proxies, a limit on every wait.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use api::outbound::OutboundNetworks;
use reqwest::{Client, Url, redirect};

use super::limits::{CALLBACK_CONNECT_WAIT, CALLBACK_WAIT, IDLE_CONNECTION_MAX};

/// The addresses from which a gateway sends to consumers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct SourceAddresses {
    pub(super) ipv4: Option<Ipv4Addr>,
    pub(super) ipv6: Option<Ipv6Addr>,
}

impl SourceAddresses {
    /// Whether it is one of them.
    pub(super) fn has(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.ipv4 == Some(address),
            IpAddr::V6(address) => self.ipv6 == Some(address),
        }
    }
}

/// The clients for callbacks: connections from an address of one version of IP reach none of the other.
#[derive(Clone)]
pub(super) struct CallbackClients {
    to_ipv6: Client,
    to_others: Client,
}

impl CallbackClients {
    /// With connections that come from these addresses.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn from(sources: SourceAddresses) -> Result<Self, reqwest::Error> {
        let client = |source| client_from(source, Some(CALLBACK_WAIT));
        let (v4, v6) = (sources.ipv4.map(IpAddr::V4), sources.ipv6.map(IpAddr::V6));
        Ok(Self { to_ipv6: client(v6)?, to_others: client(v4)? })
    }

    /// That for a callback; a name of a host is looked up for IPv4 where there is a source of it.
    pub(super) fn to(&self, url: &Url) -> &Client {
        let is_ipv6 = url.host_str().is_some_and(|host| host.starts_with('['));
        if is_ipv6 { &self.to_ipv6 } else { &self.to_others }
    }
}

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
fn client_from(source: Option<IpAddr>, wait: Option<Duration>) -> Result<Client, reqwest::Error> {
    // Another part of the process may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder =
        Client::builder().redirect(redirect::Policy::none()).no_proxy().connect_timeout(CALLBACK_CONNECT_WAIT);
    let builder = builder
        .local_address(source)
        .tcp_nodelay(true)
        .dns_resolver(Arc::new(OutboundNetworks::default()))
        // Before a consumer's or the service's listener closes it.
        .pool_idle_timeout(IDLE_CONNECTION_MAX)
        .user_agent(concat!("watermaster/", env!("CARGO_PKG_VERSION")));
    match wait {
        Some(wait) => builder.timeout(wait),
        None => builder,
    }
    .build()
}
