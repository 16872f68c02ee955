//! A consumer: subscribes at gateways, keeps its subscriptions alive, and counts what arrives.

mod discovery;
mod takeover;
mod subscription_task;
mod webhook_server;
pub mod stats;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::gateway::BatchDocument;
use api::qos_level::{Level, LevelError};
use reqwest::Url;
use reqwest::header::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::client;
use super::clock::{GatewayClock, wall_ms};
use super::limits::{CALLBACK_WAIT, CONSUMER_SUBSCRIPTIONS_MAX, NAME_MAX_BYTES, STOP_WAIT, TOPIC_MAX_BYTES};
use mqtt::codec::topic;
use stats::{ConsumerStats, ConsumerSummary, MessageLog};
use subscription_task::SubscribeContext;

/// The most messages that may wait to be logged; then gateways are held up.
const LOG_MAX: usize = 1_024;

/// A subscription at one gateway: `gateway=http://127.0.0.1:8090,topic=plant/#,qos_level=2` on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionSpec {
    /// The URL of the gateway.
    pub gateway: Url,
    /// The topics: an MQTT filter.
    pub topic: String,
    /// The QoS level.
    pub level: Level,
}

/// A subscription at every gateway that offers the name: `plant/#` or `plant/#,qos_level=2` on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedSubscription {
    /// The name: a topic or an MQTT filter.
    pub topic: String,
    /// The QoS level.
    pub level: Level,
}

/// The options of a consumer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerOptions {
    /// Its name.
    pub name: String,
    /// Its node in the orchestrator's topology.
    pub node: Option<String>,
    /// The subscriptions at known gateways.
    pub subscriptions: Vec<SubscriptionSpec>,
    /// The URL of the orchestrator, which knows the gateways that offer a name.
    pub orchestrator: Option<Url>,
    /// Who we are to it (`api::client::bearer`); absent: it asks nobody.
    pub orchestrator_authorization: Option<HeaderValue>,
    /// The subscriptions by name.
    pub names: Vec<NamedSubscription>,
    /// How many gateways send a name.
    pub sources: NameSources,
    /// How batches arrive.
    pub delivery: DeliveryMode,
    /// What gateways may do to make them smaller.
    pub coding: BatchCoding,
}

/// The gateways from which a consumer takes a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NameSources {
    /// Every gateway that offers it.
    #[default]
    All,
    /// One of them; another takes over when it does not answer any more.
    One,
}

/// The content coding that a consumer accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BatchCoding {
    /// RFC 8878.
    #[default]
    Zstd,
    /// None: batches arrive as they are.
    Identity,
}

/// How batches reach a consumer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeliveryMode {
    /// Gateways post batches.
    Callback {
        /// The address to listen on. Each QoS level beyond the first gets a port of its own, the next ones (or any, where
        /// this one is any), so that switches can tell the levels apart.
        listen: SocketAddr,
        /// The URL at which gateways find that; absent: the address itself. There is one, and so one port for all levels.
        public_url: Option<Url>,
    },
    /// The consumer reads streams: gateways need not reach it.
    Stream,
}

/// Why a consumer cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// Not `member=value`.
    #[error("invalid subscription: '{0}' is not of the form gateway=URL,topic=FILTER,qos_level=0..2")]
    Form(String),
    /// Not a URL that can be requested.
    #[error("invalid URL '{0}': give an http or https URL")]
    Url(String),
    /// Not a topic filter.
    #[error("invalid topic filter '{0}'")]
    Topic(String),
    /// Not a QoS level.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// The name of the consumer or of its node.
    #[error("invalid name '{0}': give 1 to {NAME_MAX_BYTES} bytes without control characters")]
    Name(String),
    /// Subscriptions by name without an orchestrator.
    #[error("a subscription by name needs an orchestrator: give its URL")]
    Orchestrator,
    /// A filter, of which each gateway may offer another part.
    #[error("invalid name '{0}': to be taken from one gateway it has no wildcard")]
    Wildcard(String),
    /// No subscription, or too many.
    #[error("invalid number of subscriptions: give 1 to {CONSUMER_SUBSCRIPTIONS_MAX}")]
    Count,
    /// Its address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        error: std::io::Error,
    },
    /// Its HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

impl FromStr for SubscriptionSpec {
    type Err = ConsumerError;

    fn from_str(text: &str) -> Result<Self, ConsumerError> {
        let (mut gateway, mut filter, mut level) = (None, None, Level::LOWEST);
        for part in text.split(',') {
            let form = || ConsumerError::Form(part.to_owned());
            let (member, value) = part.split_once('=').ok_or_else(form)?;
            match member {
                "gateway" => gateway = Some(url(value)?),
                "topic" => filter = Some(value),
                "qos_level" => level = value.parse::<u8>().map_err(|_| form())?.try_into()?,
                _ => return Err(form()),
            }
        }
        let topic = checked(filter.unwrap_or_default())?;
        let gateway = gateway.ok_or_else(|| ConsumerError::Url(String::new()))?;
        Ok(Self { gateway, topic, level })
    }
}

impl FromStr for NamedSubscription {
    type Err = ConsumerError;

    fn from_str(text: &str) -> Result<Self, ConsumerError> {
        // Topics may have commas.
        let (filter, level) = match text.rsplit_once(",qos_level=") {
            None => (text, Level::LOWEST),
            Some((filter, level)) => {
                let level = level.parse::<u8>().map_err(|_| ConsumerError::Form(text.to_owned()))?;
                (filter, level.try_into()?)
            }
        };
        Ok(Self { topic: checked(filter)?, level })
    }
}

fn checked(filter: &str) -> Result<String, ConsumerError> {
    if topic::check_filter(filter).is_err() || filter.len() > TOPIC_MAX_BYTES {
        return Err(ConsumerError::Topic(filter.to_owned()));
    }
    Ok(filter.to_owned())
}

/// Reads an http or https URL.
///
/// # Errors
/// The text is another URL or none.
pub fn url(text: &str) -> Result<Url, ConsumerError> {
    let invalid = || ConsumerError::Url(text.to_owned());
    let url: Url = text.parse().map_err(|_| invalid())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(invalid()) }
}

/// What the tasks of a consumer share.
struct ConsumerState {
    options: ConsumerOptions,
    clock: GatewayClock,
    stop: CancellationToken,
    stats: Mutex<ConsumerStats>,
    log: mpsc::Sender<MessageLog>,
    /// For each subscription the token in the path of its callbacks; drawn anew whenever it is made.
    tokens: Mutex<Vec<String>>,
}

impl ConsumerState {
    fn stats(&self) -> MutexGuard<'_, ConsumerStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> MutexGuard<'_, Vec<String>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a subscription; its index, unless there are too many.
    fn add(&self, spec: &SubscriptionSpec) -> Option<usize> {
        let mut stats = self.stats();
        if stats.subscription_count() >= CONSUMER_SUBSCRIPTIONS_MAX {
            return None;
        }
        self.tokens().push(String::new());
        Some(stats.add(spec.gateway.to_string(), spec.topic.clone(), spec.level))
    }

    /// A batch arrived; waits until its messages are logged.
    async fn on_batch(&self, index: usize, batch: &BatchDocument) {
        let now = self.clock.now();
        let messages = self.stats().record(now, wall_ms(), index, batch);
        for message in messages {
            // The log is closed when the consumer stops.
            let _ = self.log.send(message).await;
        }
    }
}

/// A listener for callbacks.
struct CallbackListener {
    /// For this level; `None`: for every level.
    level: Option<Level>,
    listener: TcpListener,
    url: Url,
}

/// A consumer with its addresses bound.
pub struct Consumer {
    state: Arc<ConsumerState>,
    /// One for each level, one for all with a public URL, or none for streams.
    listeners: Vec<CallbackListener>,
    log: mpsc::Receiver<MessageLog>,
}

impl Consumer {
    /// Checks the options and binds the addresses.
    ///
    /// # Errors
    /// An option is invalid, or an address cannot be bound.
    pub async fn build(options: ConsumerOptions) -> Result<Self, ConsumerError> {
        for name in std::iter::once(&options.name).chain(&options.node) {
            if name.is_empty() || name.len() > NAME_MAX_BYTES || name.chars().any(char::is_control) {
                return Err(ConsumerError::Name(name.clone()));
            }
        }
        if !options.names.is_empty() && options.orchestrator.is_none() {
            return Err(ConsumerError::Orchestrator);
        }
        let filter = options.names.iter().find(|named| named.topic.contains(['+', '#']));
        if let (NameSources::One, Some(named)) = (options.sources, filter) {
            return Err(ConsumerError::Wildcard(named.topic.clone()));
        }
        if !(1..=CONSUMER_SUBSCRIPTIONS_MAX).contains(&(options.subscriptions.len() + options.names.len())) {
            return Err(ConsumerError::Count);
        }
        let known = options.subscriptions.iter().map(|spec| spec.level);
        let levels: BTreeSet<Level> = known.chain(options.names.iter().map(|named| named.level)).collect();
        let mut listeners = vec![];
        match &options.delivery {
            DeliveryMode::Stream => {}
            DeliveryMode::Callback { listen, public_url: Some(url) } => {
                listeners.push(open(*listen, None, Some(url)).await?)
            }
            DeliveryMode::Callback { listen, public_url: None } => {
                for (offset, level) in (0..).zip(levels) {
                    let port = if listen.port() == 0 { 0 } else { listen.port().saturating_add(offset) };
                    listeners.push(open(SocketAddr::new(listen.ip(), port), Some(level), None).await?);
                }
            }
        }
        let stats = Mutex::new(ConsumerStats::default());
        let tokens = Mutex::default();
        let (sender, log) = mpsc::channel(LOG_MAX);
        let (clock, stop) = (GatewayClock::start(), CancellationToken::new());
        let state = Arc::new(ConsumerState { options, clock, stop, stats, log: sender, tokens });
        Ok(Self { state, listeners, log })
    }

    /// Consumes until `stop` is cancelled or `on_message` returns false; then unsubscribes and sums up.
    ///
    /// # Errors
    /// It cannot begin.
    pub async fn run(
        self,
        stop: CancellationToken,
        mut on_message: impl FnMut(&MessageLog) -> bool,
    ) -> Result<ConsumerSummary, ConsumerError> {
        let Self { state, listeners, mut log } = self;
        let tasks = TaskTracker::new();
        let (short, long) = (client(Some(CALLBACK_WAIT))?, client(None)?);
        let context = |level: Level| {
            let listener = listeners.iter().find(|listener| listener.level.is_none_or(|own| own == level));
            SubscribeContext {
                base: listener.map(|listener| listener.url.clone()),
                short: short.clone(),
                long: long.clone(),
            }
        };
        for spec in &state.options.subscriptions {
            if let Some(index) = state.add(spec) {
                tasks.spawn(subscription_task::run(Arc::clone(&state), index, spec.clone(), context(spec.level)));
            }
        }
        for (named, orchestrator) in state.options.names.iter().zip(state.options.orchestrator.iter().cycle()) {
            let (named, context, (sender, offers)) = (named.clone(), context(named.level), watch::channel(vec![]));
            let (looking, http) = (Arc::clone(&state), context.short.clone());
            let topic = named.topic.clone();
            tasks.spawn(discovery::watch_offers(looking, orchestrator.clone(), topic, http, sender));
            let state = Arc::clone(&state);
            match state.options.sources {
                NameSources::All => {
                    tasks.spawn(discovery::subscribe_everywhere(state, named, context, tasks.clone(), offers))
                }
                NameSources::One => tasks.spawn(takeover::run(state, named, context, offers)),
            };
        }
        for CallbackListener { listener, .. } in listeners {
            tasks.spawn(webhook_server::serve(Arc::clone(&state), listener));
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(message) = log.recv() => if !on_message(&message) { break },
            }
        }
        state.stop.cancel();
        log.close();
        tasks.close();
        if tokio::time::timeout(STOP_WAIT, tasks.wait()).await.is_err() {
            tracing::warn!("not every gateway answered in time to end a subscription");
        }
        while let Ok(message) = log.try_recv() {
            on_message(&message);
        }
        let summary = state.stats().summary(&state.options.name);
        Ok(summary)
    }
}

async fn open(
    listen: SocketAddr,
    level: Option<Level>,
    public_url: Option<&Url>,
) -> Result<CallbackListener, ConsumerError> {
    let failed = |error| ConsumerError::Listen { address: listen, error };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let own = || url(&format!("http://{address}/"));
    let url = public_url.map_or_else(own, |url| Ok(url.clone()))?;
    Ok(CallbackListener { level, listener, url })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_read_and_checked() {
        let spec: SubscriptionSpec = "gateway=http://127.0.0.1:8090,topic=plant/+/t,qos_level=2".parse().unwrap();
        assert_eq!((spec.topic.as_str(), spec.level.number()), ("plant/+/t", 2));
        let bad = [
            "",
            "gateway=x,topic=t",
            "gateway=ftp://x,topic=t",
            "topic=t",
            "gateway=http://x",
            "gateway=http://x,topic=a/#/b",
            "gateway=http://x,topic=t,qos_level=3",
            "gateway=http://x,topic=t,colour=1",
        ];
        for text in bad {
            assert!(text.parse::<SubscriptionSpec>().is_err(), "{text}");
        }
        let named = |text: &str| text.parse::<NamedSubscription>().map(|named| (named.topic, named.level.number()));
        assert_eq!(named("plant/a,b/#,qos_level=2").unwrap(), ("plant/a,b/#".to_owned(), 2));
        assert_eq!(named("plant").unwrap(), ("plant".to_owned(), 0));
        for text in ["", "a/#/b", "t,qos_level=3", "t,qos_level=x", ",qos_level=1"] {
            assert!(named(text).is_err(), "{text}");
        }
    }
}
