//! A consumer: subscribes to named topics at gateways, keeps its subscriptions alive, and says what it got.

mod discovery;
mod subscription_task;
mod webhook_server;
pub mod stats;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Url;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::client;
use super::clock::{GatewayClock, wall_ms};
use super::limits::{CALLBACK_WAIT, NAME_MAX_BYTES, STOP_WAIT, TOPIC_MAX_BYTES, WISHES_MAX};
use super::qos_level::{Level, LevelError};
use super::wire::BatchDocument;
use mqtt::codec::topic;
use stats::{ConsumerSummary, MessageLog, Tally};
use subscription_task::SubscribeContext;

/// How many lines may wait to be written; then gateways are held up.
const LINES_MAX: usize = 1_024;

/// What is wanted of a gateway: `gateway=http://127.0.0.1:8090,topic=plant/#,qos_level=2` on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionSpec {
    /// Where.
    pub gateway: Url,
    /// What: an MQTT filter.
    pub topic: String,
    /// In which level.
    pub level: Level,
}

/// What is wanted of whoever offers it: `plant/#` or `plant/#,qos_level=2` on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedWish {
    /// What: a topic or an MQTT filter.
    pub topic: String,
    /// In which level.
    pub level: Level,
}

/// What a consumer is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerOptions {
    /// Its name.
    pub name: String,
    /// Its node in the orchestrator's topology.
    pub node: Option<String>,
    /// What it wants of gateways that it knows.
    pub wishes: Vec<SubscriptionSpec>,
    /// Who knows the others.
    pub orchestrator: Option<Url>,
    /// What it wants of whoever offers it, as the orchestrator says.
    pub names: Vec<NamedWish>,
    /// How it gets it.
    pub reach: DeliveryMode,
}

/// How gateways reach a consumer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeliveryMode {
    /// They post to it.
    Callback {
        /// Where it listens. Each QoS level beyond the lowest that is wanted gets a port of its own, the next ones (or any,
        /// where this one is any), so that switches can tell the levels apart.
        listen: SocketAddr,
        /// Where gateways find that; absent: at the same address. There is one, and so one port for all levels.
        public_url: Option<Url>,
    },
    /// It reads streams: nobody has to reach it.
    Stream,
}

/// Why a consumer cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// Not `member=value`.
    #[error("'{0}' is not of the form gateway=URL,topic=FILTER,qos_level=0..2")]
    Form(String),
    /// No gateway, or none that can be asked.
    #[error("'{0}' is no http or https URL")]
    Url(String),
    /// No topic, or no filter.
    #[error("'{0}' is no topic filter")]
    Topic(String),
    /// No level.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// The name or the node is none.
    #[error("'{0}' must have 1 to {NAME_MAX_BYTES} bytes and no control characters")]
    Name(String),
    /// There is nobody to ask who offers a name.
    #[error("to subscribe by name an orchestrator is needed")]
    Orchestrator,
    /// Nothing is wanted, or too much.
    #[error("there must be 1 to {WISHES_MAX} subscriptions")]
    Count,
    /// Its address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
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

impl FromStr for NamedWish {
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

/// An http or https URL.
///
/// # Errors
/// It is none.
pub fn url(text: &str) -> Result<Url, ConsumerError> {
    let none = || ConsumerError::Url(text.to_owned());
    let url: Url = text.parse().map_err(|_| none())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(none()) }
}

/// What the tasks of a consumer share.
struct ConsumerState {
    options: ConsumerOptions,
    clock: GatewayClock,
    stop: CancellationToken,
    tally: Mutex<Tally>,
    lines: mpsc::Sender<MessageLog>,
    /// For each wish what callbacks have to know to be believed; drawn anew with each subscription.
    tokens: Mutex<Vec<String>>,
}

impl ConsumerState {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> MutexGuard<'_, Vec<String>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another subscription begins; its number, unless there are too many.
    fn open(&self, wish: &SubscriptionSpec) -> Option<usize> {
        let mut tally = self.tally();
        if tally.wish_count() >= WISHES_MAX {
            return None;
        }
        self.tokens().push(String::new());
        Some(tally.add(wish.gateway.to_string(), wish.topic.clone(), wish.level))
    }

    /// A batch arrived; waits until its lines are taken.
    async fn take(&self, wish: usize, batch: &BatchDocument) {
        let now = self.clock.now();
        let lines = self.tally().note(now, wall_ms(), wish, batch);
        for line in lines {
            // Nobody reads lines any more when the consumer stops.
            let _ = self.lines.send(line).await;
        }
    }
}

/// Where batches come in.
struct CallbackListener {
    /// Of this level; `None`: of every level.
    level: Option<Level>,
    listener: TcpListener,
    url: Url,
}

/// A consumer with its address taken.
pub struct Consumer {
    desk: Arc<ConsumerState>,
    /// One for each level, unless all come by one or none does.
    doors: Vec<CallbackListener>,
    lines: mpsc::Receiver<MessageLog>,
}

impl Consumer {
    /// Checks what it is told and takes its address.
    ///
    /// # Errors
    /// Either cannot be.
    pub async fn build(options: ConsumerOptions) -> Result<Self, ConsumerError> {
        for name in std::iter::once(&options.name).chain(&options.node) {
            if name.is_empty() || name.len() > NAME_MAX_BYTES || name.chars().any(char::is_control) {
                return Err(ConsumerError::Name(name.clone()));
            }
        }
        if !options.names.is_empty() && options.orchestrator.is_none() {
            return Err(ConsumerError::Orchestrator);
        }
        if !(1..=WISHES_MAX).contains(&(options.wishes.len() + options.names.len())) {
            return Err(ConsumerError::Count);
        }
        let known = options.wishes.iter().map(|wish| wish.level);
        let levels: BTreeSet<Level> = known.chain(options.names.iter().map(|named| named.level)).collect();
        let mut doors = vec![];
        match &options.reach {
            DeliveryMode::Stream => {}
            DeliveryMode::Callback { listen, public_url: Some(url) } => {
                doors.push(open(*listen, None, Some(url)).await?)
            }
            DeliveryMode::Callback { listen, public_url: None } => {
                for (place, level) in (0..).zip(levels) {
                    let port = if listen.port() == 0 { 0 } else { listen.port().saturating_add(place) };
                    doors.push(open(SocketAddr::new(listen.ip(), port), Some(level), None).await?);
                }
            }
        }
        let tally = Mutex::new(Tally::new([]));
        let tokens = Mutex::default();
        let (sender, lines) = mpsc::channel(LINES_MAX);
        let (clock, stop) = (GatewayClock::start(), CancellationToken::new());
        let desk = Arc::new(ConsumerState { options, clock, stop, tally, lines: sender, tokens });
        Ok(Self { desk, doors, lines })
    }

    /// Consumes until `stop` is cancelled or `log` wants no more; then unsubscribes and says what it got.
    ///
    /// # Errors
    /// It cannot begin.
    pub async fn run(
        self,
        stop: CancellationToken,
        mut log: impl FnMut(&MessageLog) -> bool,
    ) -> Result<ConsumerSummary, ConsumerError> {
        let Self { desk, doors, mut lines } = self;
        let tasks = TaskTracker::new();
        let (short, long) = (client(Some(CALLBACK_WAIT))?, client(None)?);
        let means = |level: Level| {
            let door = doors.iter().find(|door| door.level.is_none_or(|own| own == level));
            SubscribeContext { base: door.map(|door| door.url.clone()), short: short.clone(), long: long.clone() }
        };
        for wish in &desk.options.wishes {
            if let Some(place) = desk.open(wish) {
                tasks.spawn(subscription_task::keep(Arc::clone(&desk), place, wish.clone(), means(wish.level)));
            }
        }
        for (named, orchestrator) in desk.options.names.iter().zip(desk.options.orchestrator.iter().cycle()) {
            let means = means(named.level);
            tasks.spawn(discovery::find(Arc::clone(&desk), orchestrator.clone(), named.clone(), means, tasks.clone()));
        }
        for door in doors {
            tasks.spawn(webhook_server::serve(Arc::clone(&desk), door.listener));
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(line) = lines.recv() => if !log(&line) { break },
            }
        }
        desk.stop.cancel();
        lines.close();
        tasks.close();
        if tokio::time::timeout(STOP_WAIT, tasks.wait()).await.is_err() {
            tracing::warn!("not every gateway answered in time to end a subscription");
        }
        while let Ok(line) = lines.try_recv() {
            log(&line);
        }
        let summary = desk.tally().summary(&desk.options.name);
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
    fn wishes_are_read_and_checked() {
        let wish: SubscriptionSpec = "gateway=http://127.0.0.1:8090,topic=plant/+/t,qos_level=2".parse().unwrap();
        assert_eq!((wish.topic.as_str(), wish.level.number()), ("plant/+/t", 2));
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
        let named = |text: &str| text.parse::<NamedWish>().map(|named| (named.topic, named.level.number()));
        assert_eq!(named("plant/a,b/#,qos_level=2").unwrap(), ("plant/a,b/#".to_owned(), 2));
        assert_eq!(named("plant").unwrap(), ("plant".to_owned(), 0));
        for text in ["", "a/#/b", "t,qos_level=3", "t,qos_level=x", ",qos_level=1"] {
            assert!(named(text).is_err(), "{text}");
        }
    }
}
