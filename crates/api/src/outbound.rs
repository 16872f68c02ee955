//! Where we connect because somebody gave us a URL: never to addresses that belong to the link itself, among which the
//! metadata services of clouds are (RFC 3927, RFC 4291 section 2.5.6; 169.254.169.254, fd00:ec2::254). A name is looked at
//! after it was resolved, each time anew.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The metadata service of a cloud, in IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// An address is one that nobody is to lead us to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the address is of the link itself, or nobody's")]
pub struct ForbiddenAddress;

/// Whether we may be led to an address.
pub fn is_allowed(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !address.is_link_local() && !address.is_multicast() && !address.is_broadcast(),
        IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_multicast() && address != METADATA_V6,
    }
}

/// Whether we may be led to a URL, as far as it says: an address that is written out is not resolved.
pub fn is_allowed_url(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.parse().map_or(true, is_allowed)
}

/// Resolves names to the addresses among theirs that are allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuardedResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| is_allowed(address.ip())).collect();
            if allowed.is_empty() {
                return Err(ForbiddenAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_link_are_refused_however_they_are_written() {
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://0xa9fea9fe/",
            "http://2852039166/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://224.0.0.1/",
        ] {
            assert!(!is_allowed_url(&url.parse().unwrap()), "{url}");
        }
        for url in ["http://10.0.0.1:8080/", "http://localhost/", "http://[::1]/", "http://onos.example/"] {
            assert!(is_allowed_url(&url.parse().unwrap()), "{url}");
        }
    }
}
