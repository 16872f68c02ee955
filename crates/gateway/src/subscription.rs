//! Subscriptions: who wants what, in which level, how it reaches them, and how patient the gateway is with them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use reqwest::Url;

use super::buffer::SubscriptionId;
use super::clock::SinceStart;
use super::limits::{BACKOFF_MAX_US, BACKOFF_MIN_US, CALLBACK_URL_MAX_BYTES, NAME_MAX_BYTES, TOPIC_MAX_BYTES};
use super::qos_level::Level;
use super::wire::SubscriptionRequest;
use mqtt::codec::{TopicFault, topic};

/// How batches reach a consumer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeliveryTarget {
    /// They are posted.
    Callback(Url),
    /// The consumer reads a stream.
    Stream,
}

/// What a consumer wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionTerms {
    /// Which topics.
    pub filter: String,
    /// In which level.
    pub level: Level,
    /// How it gets there.
    pub way: DeliveryTarget,
    /// Who; absent: named after the subscription.
    pub consumer: Option<String>,
    /// Where; absent: where the gateway is.
    pub node: Option<String>,
}

/// Why a subscription is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The filter is none.
    #[error("the topic filter is malformed: {0}")]
    Filter(TopicFault),
    /// A filter of something that is not supported.
    #[error("shared subscriptions are not offered here")]
    Shared,
    /// Something is too long, empty, or has control characters.
    #[error("{field} must have 1 to {max} bytes and no control characters")]
    Text {
        /// Which member.
        field: &'static str,
        /// The limit.
        max: usize,
    },
    /// The URL is none, or not one that can be posted to.
    #[error("callback_url is no http or https URL without credentials")]
    Url,
    /// Batches would come back.
    #[error("callback_url leads to this gateway")]
    Loop,
    /// No room.
    #[error("there are {max} subscriptions, no more can be taken")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

impl SubscribeError {
    /// The member of the request that is at fault.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Filter(_) | Self::Shared => Some("topic"),
            Self::Text { field, .. } => Some(field),
            Self::Url | Self::Loop => Some("callback_url"),
            Self::TooMany { .. } => None,
        }
    }
}

impl SubscriptionTerms {
    /// Checks what a consumer asks for, of a gateway that listens at `own`.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn check(request: SubscriptionRequest, own: SocketAddr) -> Result<Self, SubscribeError> {
        let SubscriptionRequest { topic: filter, qos_level, callback_url, consumer, node } = request;
        text("topic", &filter, TOPIC_MAX_BYTES)?;
        topic::check_filter(&filter).map_err(SubscribeError::Filter)?;
        if topic::shared(&filter).is_some() {
            return Err(SubscribeError::Shared);
        }
        for (field, said) in [("consumer", &consumer), ("node", &node)] {
            said.as_deref().map_or(Ok(()), |said| text(field, said, NAME_MAX_BYTES))?;
        }
        let way = match callback_url {
            None => DeliveryTarget::Stream,
            Some(url) => DeliveryTarget::Callback(callback(&url, own)?),
        };
        Ok(Self { filter, level: qos_level, way, consumer, node })
    }

    /// Where batches are posted to, if the URL says the address itself and others than this machine can reach it.
    fn endpoint(&self) -> Option<SocketAddrV4> {
        let DeliveryTarget::Callback(url) = &self.way else { return None };
        let address: Ipv4Addr = url.host_str()?.parse().ok()?;
        Some(SocketAddrV4::new(routable(address)?, url.port_or_known_default()?))
    }
}

/// Where somebody was met, if that means the same to everybody: an IPv4 address, perhaps in the clothes of IPv6.
pub(super) fn met_at(peer: SocketAddr) -> Option<SocketAddrV4> {
    match peer.ip().to_canonical() {
        IpAddr::V4(address) => Some(SocketAddrV4::new(routable(address)?, peer.port())),
        IpAddr::V6(_) => None,
    }
}

/// An address that means the same to everybody.
pub(super) fn routable(address: Ipv4Addr) -> Option<Ipv4Addr> {
    let is_private_to_somebody = address.is_loopback() || address.is_unspecified() || address.is_link_local();
    (!is_private_to_somebody && !address.is_multicast() && !address.is_broadcast()).then_some(address)
}

fn text(field: &'static str, said: &str, max: usize) -> Result<(), SubscribeError> {
    let good = !said.is_empty() && said.len() <= max && !said.chars().any(char::is_control);
    if good { Ok(()) } else { Err(SubscribeError::Text { field, max }) }
}

fn callback(url: &str, own: SocketAddr) -> Result<Url, SubscribeError> {
    text("callback_url", url, CALLBACK_URL_MAX_BYTES)?;
    let url: Url = url.parse().map_err(|_| SubscribeError::Url)?;
    let good = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none();
    if !good {
        return Err(SubscribeError::Url);
    }
    if leads_to(&url, own) { Err(SubscribeError::Loop) } else { Ok(url) }
}

/// Whether a URL says plainly that it leads to `own`. Names that only lead there in fact are found out by the first
/// delivery, which carries the instance of the gateway.
fn leads_to(url: &Url, own: SocketAddr) -> bool {
    if url.port_or_known_default() != Some(own.port()) {
        return false;
    }
    let host = url.host_str().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let is_here = |address: IpAddr| address == own.ip() || address.is_unspecified() || own_is_any(own, address);
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(is_here)
}

fn own_is_any(own: SocketAddr, address: IpAddr) -> bool {
    address.is_loopback() && (own.ip().is_unspecified() || own.ip().is_loopback())
}

/// A subscription.
#[derive(Clone, Debug)]
pub struct ConsumerSubscription {
    /// Which.
    pub id: SubscriptionId,
    /// What is wanted.
    pub wanted: SubscriptionTerms,
    /// Deliveries that failed since the last that did not.
    pub failures: u32,
    /// Since when nothing arrives, or nobody reads; `None`: all is well.
    pub silent_since: Option<SinceStart>,
    /// Where batches were last seen to go.
    pub met: Option<SocketAddrV4>,
}

impl ConsumerSubscription {
    /// Whether it wants a topic.
    pub fn wants(&self, name: &str) -> bool {
        topic::matches(&self.wanted.filter, name)
    }

    /// Where batches go, if others than this machine can reach it: what the URL says, else what was seen.
    pub fn endpoint(&self) -> Option<SocketAddrV4> {
        self.wanted.endpoint().or(self.met)
    }

    /// It was seen where batches go; whether that is elsewhere than was known.
    pub fn meet(&mut self, met: SocketAddrV4) -> bool {
        let before = self.endpoint();
        self.met = Some(met);
        self.endpoint() != before
    }

    /// Who.
    pub fn consumer(&self) -> String {
        self.wanted.consumer.clone().unwrap_or_else(|| self.id.to_string())
    }

    /// How long to wait after so many failures. Those of different subscriptions spread, so that a consumer with many does
    /// not get all of them at once.
    pub fn pause_us(&self) -> u64 {
        let doubled = BACKOFF_MIN_US << self.failures.saturating_sub(1).min(16);
        let pause = doubled.min(BACKOFF_MAX_US);
        let spread = self.id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
        pause - pause / 4 * spread / 256
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: &str, url: Option<&str>) -> Result<SubscriptionTerms, SubscribeError> {
        let request = SubscriptionRequest {
            topic: filter.to_owned(),
            qos_level: Level::LOWEST,
            callback_url: url.map(str::to_owned),
            consumer: None,
            node: None,
        };
        SubscriptionTerms::check(request, "127.0.0.1:8090".parse().unwrap())
    }

    #[test]
    fn what_cannot_work_is_refused_at_once() {
        assert!(check("plant/+/t", Some("http://127.0.0.1:8091/in")).is_ok());
        assert!(check("plant/#", Some("https://consumer.example/in")).is_ok());
        assert_eq!(check("plant/#/x", None).unwrap_err().field(), Some("topic"));
        assert_eq!(check("$share/g/x", None), Err(SubscribeError::Shared));
        assert_eq!(check(&"x".repeat(256), None).unwrap_err().field(), Some("topic"));
        for url in ["", "ftp://x/", "file:///etc/passwd", "/x", "http://", "http://user:pw@x/", "http://x/\n"] {
            assert_eq!(check("t", Some(url)).unwrap_err().field(), Some("callback_url"), "{url}");
        }
        let own = ["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "0.0.0.0", "[::]", "[::1]", "2130706433"];
        for host in own {
            let url = format!("http://{host}:8090/v1/subscriptions");
            assert_eq!(check("t", Some(&url)), Err(SubscribeError::Loop), "{host}");
        }
    }

    #[test]
    fn where_batches_go_is_what_the_url_says_or_what_was_seen() {
        let of = |url: Option<&str>, peer: &str| {
            let wanted = check("t", url).unwrap();
            let met = met_at(peer.parse().unwrap());
            let subscription =
                ConsumerSubscription { id: SubscriptionId(3), wanted, failures: 0, silent_since: None, met };
            subscription.endpoint().map(|endpoint| endpoint.to_string())
        };
        assert_eq!(of(Some("http://10.0.0.9:81/"), "10.0.0.8:5"), Some("10.0.0.9:81".to_owned()));
        assert_eq!(of(Some("http://consumer.example/"), "10.0.0.8:80"), Some("10.0.0.8:80".to_owned()));
        assert_eq!(of(None, "[::ffff:10.0.0.8]:50000"), Some("10.0.0.8:50000".to_owned()));
        for nowhere in ["127.0.0.1:5", "[::ffff:127.0.0.1]:5", "[2001:db8::1]:5"] {
            assert_eq!(of(None, nowhere), None);
        }
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        let wanted = check("t", None).unwrap();
        let mut subscription =
            ConsumerSubscription { id: SubscriptionId(3), wanted, failures: 1, silent_since: None, met: None };
        let mut last = 0;
        for failures in 1..100 {
            subscription.failures = failures;
            let pause = subscription.pause_us();
            assert!(pause >= last && (BACKOFF_MIN_US / 2..=BACKOFF_MAX_US).contains(&pause));
            last = pause;
        }
    }
}
