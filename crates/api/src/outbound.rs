//! Where the programs connect because a request gave them a URL: to networks that the operator allows, and never to addresses
//! that belong to the link itself, among which the metadata services of clouds are (RFC 3927, RFC 4291 section 2.5.6;
//! 169.254.169.254, fd00:ec2::254). A name is looked at after it was resolved, each time anew, since it may lead elsewhere by
//! then.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The metadata service of a cloud, in IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// How long [`OutboundNetworks::check`] waits for a name to be resolved.
const RESOLVE_WAIT: Duration = Duration::from_secs(2);

/// No address of a host is one that a request may lead to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the address is in none of the networks that may be connected to, or belongs to the link itself")]
pub struct ForbiddenAddress;

/// The networks that a URL may lead to. As the resolver of an HTTP client it holds for every connection to a name; an
/// address that is written out is not resolved, and has to be checked with the URL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OutboundNetworks {
    /// `None`: all of them.
    allowed: Option<Arc<[IpNet]>>,
}

impl OutboundNetworks {
    /// These networks and no others; addresses of the link itself are refused in them, too.
    pub fn only(networks: &[IpNet]) -> Self {
        Self { allowed: Some(networks.into()) }
    }

    /// Whether an address may be connected to.
    pub fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_reachable = is_of_no_link(address) && embedded(address).all(|inner| is_of_no_link(inner.into()));
        let is_in = |networks: &Arc<[IpNet]>| networks.iter().any(|network| network.contains(&address));
        is_reachable && self.allowed.as_ref().is_none_or(is_in)
    }

    /// Whether a URL may be connected to, as far as it says: a name is not resolved.
    pub fn allow_url(&self, url: &Url) -> bool {
        written_out(url).is_none_or(|address| self.allow(address))
    }

    /// Whether a URL may be connected to, its name resolved. A name that has no address yet is left to the connections.
    ///
    /// # Errors
    /// It has addresses, and none of them is allowed.
    pub async fn check(&self, url: &Url) -> Result<(), ForbiddenAddress> {
        if let Some(address) = written_out(url) {
            return if self.allow(address) { Ok(()) } else { Err(ForbiddenAddress) };
        }
        let name = url.host_str().unwrap_or_default();
        match tokio::time::timeout(RESOLVE_WAIT, tokio::net::lookup_host((name, 0))).await {
            Ok(Ok(found)) => self.of(found).map(drop),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Those of the addresses of a name that are allowed.
    fn of(&self, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, ForbiddenAddress> {
        let allowed: Vec<SocketAddr> = found.filter(|address| self.allow(address.ip())).collect();
        if allowed.is_empty() { Err(ForbiddenAddress) } else { Ok(allowed) }
    }
}

impl Resolve for OutboundNetworks {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(networks.of(found)?.into_iter()) as Addrs)
        })
    }
}

fn is_of_no_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_link_local() && !address.is_multicast() && !address.is_broadcast(),
        IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_multicast() && address != METADATA_V6,
    }
}

/// The IPv4 addresses that a translator or a tunnel may make of an IPv6 address: of NAT64 (RFC 6052 section 2.2, with the prefixes
/// 64:ff9b::/96 and, of RFC 8215, 64:ff9b:1::/48 and longer ones in it), of 6to4 (RFC 3056 section 2), and the mapped and
/// compatible ones (RFC 4291 section 2.5.5).
pub fn embedded(address: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let found: Vec<Ipv4Addr> = match address {
        IpAddr::V4(_) => vec![],
        IpAddr::V6(address) => {
            let [o0, o1, o2, o3, o4, o5, o6, o7, _, o9, o10, o11, o12, o13, o14, o15] = address.octets();
            let last = Ipv4Addr::new(o12, o13, o14, o15);
            match [o0, o1, o2, o3, o4, o5] {
                [0x20, 0x02, a, b, c, d] => vec![Ipv4Addr::new(a, b, c, d)],
                [0, 0x64, 0xff, 0x9b, 0, 1] => vec![
                    Ipv4Addr::new(o6, o7, o9, o10),
                    Ipv4Addr::new(o7, o9, o10, o11),
                    Ipv4Addr::new(o9, o10, o11, o12),
                    last,
                ],
                [0, 0x64, 0xff, 0x9b, 0, 0] => vec![last],
                [0, 0, 0, 0, 0, 0] if !address.is_loopback() && !address.is_unspecified() => vec![last],
                _ => vec![],
            }
        }
    };
    found.into_iter()
}

/// The address in a URL, if that has one and not a name.
fn written_out(url: &Url) -> Option<IpAddr> {
    url.host_str().unwrap_or_default().trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_of_the_link_are_refused_however_they_are_written() {
        let networks = ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap());
        for networks in [OutboundNetworks::default(), OutboundNetworks::only(&networks)] {
            for text in [
                "http://169.254.169.254/latest/meta-data",
                "http://0xa9fea9fe/",
                "http://2852039166/",
                "http://[fe80::1]/",
                "http://[::ffff:169.254.169.254]/",
                "http://[fd00:ec2::254]/",
                "http://[::169.254.169.254]/",
                "http://[64:ff9b::169.254.169.254]/",
                "http://[64:ff9b:1::169.254.169.254]/",
                "http://[64:ff9b:1:a9fe:a9:fe00::]/",
                "http://[64:ff9b:1:a9:fe:a9fe::]/",
                "http://[2002:a9fe:a9fe::1]/",
                "http://224.0.0.1/",
            ] {
                assert!(!networks.allow_url(&url(text)), "{text}");
            }
            let allowed = [
                "http://10.0.0.1:8080/",
                "http://localhost/",
                "http://[::1]/",
                "http://onos.example/",
                "http://[64:ff9b::10.0.0.1]/",
                "http://[2002:a00:1::1]/",
            ];
            for text in allowed {
                assert!(networks.allow_url(&url(text)), "{text}");
            }
        }
    }

    #[test]
    fn networks_that_are_given_are_the_only_ones() {
        let networks = OutboundNetworks::only(&["10.0.0.0/8", "fd12::/16"].map(|network| network.parse().unwrap()));
        for text in ["http://10.255.0.1/", "http://[fd12:1::5]/", "http://[::ffff:10.0.0.1]/"] {
            assert!(networks.allow_url(&url(text)), "{text}");
        }
        for text in ["http://11.0.0.1/", "http://127.0.0.1/", "http://[::1]/", "http://[fd13::1]/", "http://184549377/"]
        {
            assert!(!networks.allow_url(&url(text)), "{text}");
        }
        assert!(!OutboundNetworks::only(&[]).allow_url(&url("http://10.0.0.1/")));
    }

    #[tokio::test]
    async fn a_name_is_what_it_leads_to() {
        let here = OutboundNetworks::only(&["127.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()));
        let elsewhere = OutboundNetworks::only(&["10.0.0.0/8".parse().unwrap()]);
        let localhost = url("http://localhost:8080/");
        assert_eq!(here.check(&localhost).await, Ok(()));
        assert_eq!(elsewhere.check(&localhost).await, Err(ForbiddenAddress));
        assert!(elsewhere.allow_url(&localhost));
        assert!(elsewhere.resolve("localhost".parse().unwrap()).await.is_err());
        assert!(here.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
