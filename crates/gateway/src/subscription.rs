//! Subscriptions: the topics and level that a consumer asked for, how batches reach it, and when a failed delivery is tried
//! again.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use api::gateway::SubscriptionRequest;
use api::outbound::{self, OutboundNetworks};
use api::qos_level::Level;
use api::retry::Retry;
use reqwest::Url;

use super::buffer::SubscriptionId;
use super::clock::SinceStart;
use super::limits::{BACKOFF_MAX, BACKOFF_MIN, CALLBACK_URL_MAX_BYTES, NAME_MAX_BYTES, TOPIC_MAX_BYTES};
use mqtt::codec::{TopicFault, topic};

/// How batches reach a consumer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeliveryTarget {
    /// They are posted to a URL.
    Callback(Url),
    /// The consumer reads a stream.
    Stream,
}

/// What a consumer asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionTerms {
    /// The topics: an MQTT filter.
    pub filter: String,
    /// The QoS level.
    pub level: Level,
    /// Where batches go.
    pub target: DeliveryTarget,
    /// The name of the consumer; `None`: the id of the subscription.
    pub consumer: Option<String>,
    /// The node of the consumer; `None`: that of the gateway if the consumer is on its machine, else none that the
    /// orchestrator knows.
    pub node: Option<String>,
    /// Whether batches are posted to the gateway's own machine.
    pub is_local: bool,
    /// The address of the consumer that subscribed.
    pub peer: Option<IpAddr>,
}

/// Why a subscription is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubscribeError {
    /// Not a topic filter.
    #[error("invalid topic filter: {0}")]
    Filter(TopicFault),
    /// The filter of a shared subscription.
    #[error("shared subscriptions are not offered here")]
    Shared,
    /// A filter of topics that begin with `$`.
    #[error("topics that begin with $ are the broker's own, and not offered here")]
    Reserved,
    /// A text is too long, empty, or has control characters.
    #[error("invalid {field}: give 1 to {max} bytes without control characters")]
    Text {
        /// The member of the request.
        field: &'static str,
        /// The limit.
        max: usize,
    },
    /// Not a URL that can be posted to.
    #[error("invalid callback_url: give an http or https URL without credentials")]
    Url,
    /// Batches would come back.
    #[error("invalid callback_url: it leads to this gateway")]
    Loop,
    /// No room.
    #[error("there are {max} subscriptions, and no more are accepted")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// No room for another of this consumer.
    #[error("there are {max} subscriptions of this consumer or address, and no more are accepted")]
    TooManyOfOwner {
        /// The limit.
        max: usize,
    },
}

impl SubscribeError {
    /// The member of the request that is at fault.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Filter(_) | Self::Shared | Self::Reserved => Some("topic"),
            Self::Text { field, .. } => Some(field),
            Self::Url | Self::Loop => Some("callback_url"),
            Self::TooMany { .. } | Self::TooManyOfOwner { .. } => None,
        }
    }
}

impl SubscriptionTerms {
    /// Checks the request of a consumer at `peer` to a gateway that listens at `own`.
    ///
    /// # Errors
    /// The first member that is invalid.
    pub fn check(request: SubscriptionRequest, own: SocketAddr, peer: Option<IpAddr>) -> Result<Self, SubscribeError> {
        let SubscriptionRequest { topic: filter, qos_level, callback_url, consumer, node } = request;
        text("topic", &filter, TOPIC_MAX_BYTES)?;
        topic::check_filter(&filter).map_err(SubscribeError::Filter)?;
        if topic::shared(&filter).is_some() {
            return Err(SubscribeError::Shared);
        }
        if filter.starts_with('$') {
            return Err(SubscribeError::Reserved);
        }
        for (field, name) in [("consumer", &consumer), ("node", &node)] {
            name.as_deref().map_or(Ok(()), |name| text(field, name, NAME_MAX_BYTES))?;
        }
        let target = match callback_url {
            None => DeliveryTarget::Stream,
            Some(url) => DeliveryTarget::Callback(callback(&url, own)?),
        };
        let is_local = matches!(&target, DeliveryTarget::Callback(url) if is_local(url, own));
        Ok(Self {
            filter,
            level: qos_level.unwrap_or(Level::LOWEST),
            target,
            consumer,
            node,
            is_local,
            peer: peer.map(|peer| peer.to_canonical()),
        })
    }

    /// Whether one at this address may end the subscription: who made it, or who is on the gateway's machine.
    pub fn is_owned_by(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        peer.is_loopback() || self.peer.is_none_or(|own| own == peer)
    }

    /// Where batches are posted, if the URL has an address that other machines can reach.
    fn endpoint(&self) -> Option<SocketAddr> {
        let DeliveryTarget::Callback(url) = &self.target else { return None };
        let address: IpAddr = url.host_str()?.trim_matches(['[', ']']).parse().ok()?;
        peer_endpoint(SocketAddr::new(address, url.port_or_known_default()?))
    }
}

/// The endpoint of a peer, if its address means the same on other machines. One of IPv4 mapped into IPv6 is of IPv4.
pub(super) fn peer_endpoint(peer: SocketAddr) -> Option<SocketAddr> {
    let address = peer.ip().to_canonical();
    is_routable(address).then(|| SocketAddr::new(address, peer.port()))
}

/// Whether an address means the same on other machines.
pub(super) fn is_routable(address: IpAddr) -> bool {
    let is_special = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !is_special && !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

fn text(field: &'static str, text: &str, max: usize) -> Result<(), SubscribeError> {
    let is_valid = !text.is_empty() && text.len() <= max && !text.chars().any(char::is_control);
    if is_valid { Ok(()) } else { Err(SubscribeError::Text { field, max }) }
}

fn callback(url: &str, own: SocketAddr) -> Result<Url, SubscribeError> {
    text("callback_url", url, CALLBACK_URL_MAX_BYTES)?;
    let url: Url = url.parse().map_err(|_| SubscribeError::Url)?;
    let is_valid = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && OutboundNetworks::default().allow_url(&url)
        && url.username().is_empty()
        && url.password().is_none();
    if !is_valid {
        return Err(SubscribeError::Url);
    }
    if leads_to(&url, own) { Err(SubscribeError::Loop) } else { Ok(url) }
}

/// Whether a URL leads to this machine, as far as its address tells.
fn is_local(url: &Url, own: SocketAddr) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let is_here = |address: IpAddr| address.is_loopback() || address == own.ip().to_canonical();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| forms(address).any(is_here))
}

/// An address, and those that a translator or a tunnel may make of it.
fn forms(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    std::iter::once(address.to_canonical()).chain(outbound::embedded(address).map(IpAddr::V4))
}

/// Whether a URL has an address of `own`. Names that resolve to it are detected by the first delivery, which carries the
/// instance of the gateway.
fn leads_to(url: &Url, own: SocketAddr) -> bool {
    if url.port_or_known_default() != Some(own.port()) {
        return false;
    }
    let host = url.host_str().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let is_own = |address: IpAddr| address == own.ip().to_canonical();
    let is_here = |address: IpAddr| is_own(address) || address.is_unspecified() || own_is_any(own, address);
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| forms(address).any(is_here))
}

fn own_is_any(own: SocketAddr, address: IpAddr) -> bool {
    address.is_loopback() && (own.ip().is_unspecified() || own.ip().is_loopback())
}

/// A subscription.
#[derive(Debug)]
pub struct ConsumerSubscription {
    /// Its id.
    pub id: SubscriptionId,
    /// What the consumer asked for.
    pub terms: SubscriptionTerms,
    /// The deliveries that failed since the last that did not.
    pub failures: u32,
    /// Since when deliveries fail, or no stream is read; `None`: neither.
    pub silent_since: Option<SinceStart>,
    /// The peer of the last delivery or stream.
    pub peer: Option<SocketAddr>,
    retry: Retry,
}

impl ConsumerSubscription {
    /// A new subscription.
    pub fn new(id: SubscriptionId, terms: SubscriptionTerms) -> Self {
        // The jitter of different subscriptions differs: a consumer with many does not get all of them at once.
        let retry = Retry::seeded(BACKOFF_MIN, BACKOFF_MAX, id.0);
        Self { id, terms, failures: 0, silent_since: None, peer: None, retry }
    }

    /// Whether a topic matches its filter.
    pub fn matches(&self, name: &str) -> bool {
        topic::matches(&self.terms.filter, name)
    }

    /// Where batches go, if other machines can reach it: the address in the URL, else the last peer.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.terms.endpoint().or(self.peer)
    }

    /// A delivery or stream had this peer; whether that changes the endpoint.
    pub fn observe_endpoint(&mut self, peer: SocketAddr) -> bool {
        let before = self.endpoint();
        self.peer = Some(peer);
        self.endpoint() != before
    }

    /// A delivery failed; the time until the next attempt.
    pub fn delivery_failed(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.retry.failed("delivery failed").pause
    }

    /// A delivery was answered, or a stream is read.
    pub fn delivery_answered(&mut self) {
        self.failures = 0;
        self.retry.succeeded();
    }

    /// The name of the consumer.
    pub fn consumer(&self) -> String {
        self.terms.consumer.clone().unwrap_or_else(|| self.id.to_string())
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
            qos_level: None,
            callback_url: url.map(str::to_owned),
            consumer: None,
            node: None,
        };
        SubscriptionTerms::check(request, "127.0.0.1:8090".parse().unwrap(), Some("10.0.0.7".parse().unwrap()))
    }

    #[test]
    fn what_cannot_work_is_refused_at_once() {
        assert!(check("plant/+/t", Some("http://127.0.0.1:8091/in")).is_ok());
        assert!(check("plant/#", Some("https://consumer.example/in")).is_ok());
        assert_eq!(check("plant/#/x", None).unwrap_err().field(), Some("topic"));
        assert_eq!(check("$share/g/x", None), Err(SubscribeError::Shared));
        assert_eq!(check("$SYS/#", None), Err(SubscribeError::Reserved));
        assert_eq!(check(&"x".repeat(256), None).unwrap_err().field(), Some("topic"));
        for url in ["", "ftp://x/", "file:///etc/passwd", "/x", "http://", "http://user:pw@x/", "http://x/\n"] {
            assert_eq!(check("t", Some(url)).unwrap_err().field(), Some("callback_url"), "{url}");
        }
        let own = ["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "0.0.0.0", "[::]", "[::1]", "2130706433"];
        let embedded = ["[::ffff:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[64:ff9b:1::127.0.0.1]"];
        for host in own.into_iter().chain(embedded) {
            let url = format!("http://{host}:8090/v1/subscriptions");
            assert_eq!(check("t", Some(&url)), Err(SubscribeError::Loop), "{host}");
        }
    }

    #[test]
    fn who_named_no_node_is_here_only_on_this_machine() {
        let is_local = |url: &str| check("t", Some(url)).unwrap().is_local;
        assert!(
            is_local("http://127.0.0.1:9/in") && is_local("http://[::1]:9/in") && is_local("http://localhost:9/in")
        );
        assert!(!is_local("http://10.0.0.7/in") && !is_local("http://consumer.example/in"));
        let own = check("t", None).unwrap();
        assert!(own.is_owned_by("::ffff:10.0.0.7".parse().unwrap()) && own.is_owned_by("127.0.0.1".parse().unwrap()));
        assert!(!own.is_owned_by("10.0.0.8".parse().unwrap()));
    }

    #[test]
    fn the_endpoint_is_the_address_of_the_url_or_the_last_peer() {
        let of = |url: Option<&str>, peer: &str| {
            let terms = check("t", url).unwrap();
            let mut subscription = ConsumerSubscription::new(SubscriptionId(3), terms);
            subscription.peer = peer_endpoint(peer.parse().unwrap());
            subscription.endpoint().map(|endpoint| endpoint.to_string())
        };
        assert_eq!(of(Some("http://10.0.0.9:81/"), "10.0.0.8:5"), Some("10.0.0.9:81".to_owned()));
        assert_eq!(of(Some("http://consumer.example/"), "10.0.0.8:80"), Some("10.0.0.8:80".to_owned()));
        assert_eq!(of(None, "[::ffff:10.0.0.8]:50000"), Some("10.0.0.8:50000".to_owned()));
        assert_eq!(of(Some("http://[fd00::9]:81/"), "10.0.0.8:5"), Some("[fd00::9]:81".to_owned()));
        assert_eq!(of(None, "[2001:db8::1]:5"), Some("[2001:db8::1]:5".to_owned()));
        for nowhere in ["127.0.0.1:5", "[::ffff:127.0.0.1]:5", "[::1]:5", "[fe80::1]:5"] {
            assert_eq!(of(None, nowhere), None);
        }
    }
}
