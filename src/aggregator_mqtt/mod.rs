//! The orchestrator's side of MQTT: metadata in, retained rates out, birth and will. The same documents as over HTTP. What
//! must stay true: whatever is published, it costs bounded memory and at most a line in the log; rates of one aggregator
//! are published with rising sequence numbers; one who is forgotten leaves nothing retained.

mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

use self::topics::{Topic, TopicKind};
use crate::app::{App, RateNews, Scheduler};
use formats::aggregator::{METADATA_MAX_BYTES, MetadataDocument, RatesDocument};
use kernel::id::Name;
use kernel::scheduler::engine::AggregatorView;
use mqtt::codec::Qos;
use mqtt::{Broker, LocalClient, LocalClientError, Message};

/// How long is waited before something that failed is tried again.
const BACKOFF: Duration = Duration::from_secs(1);
/// How many aggregators are looked at at once when it is not known who has something new.
const PAGE: usize = 1_000;

/// Speaks for the orchestrator until the service stops.
pub async fn run(app: App, broker: Broker) {
    let stop = app.stopping();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            ended = speak(&app, &broker) => match ended {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the orchestrator lost its MQTT session, and takes another"),
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(BACKOFF) => {}
        }
    }
}

/// One session; it ends with the broker.
async fn speak(app: &App, broker: &Broker) -> Result<(), LocalClientError> {
    let mut client = broker.client("orchestrator").await?;
    let mut news = app.scheduler().news();
    for filter in topics::FILTERS {
        client.subscribe(filter, Qos::AtLeastOnce).await?;
    }
    let mut desk = MqttSession { scheduler: app.scheduler().clone(), told: BTreeMap::new(), owed: BTreeSet::new() };
    desk.owe_all();
    loop {
        desk.pay(&client).await;
        tokio::select! {
            message = client.next() => match message {
                Some(message) => desk.hear(&message).await,
                None => return Ok(()),
            },
            item = news.recv() => match item {
                Ok(RateNews::Changed(view)) => desk.tell(&client, &view).await,
                Ok(RateNews::Forgotten(id)) => desk.clear(&client, id).await,
                Err(RecvError::Lagged(_)) => desk.owe_all(),
                Err(RecvError::Closed) => return Ok(()),
            },
            () = sleep(BACKOFF), if !desk.owed.is_empty() => {}
        }
    }
}

struct MqttSession {
    scheduler: Scheduler,
    /// The last rates that each aggregator was told.
    told: BTreeMap<Name, u64>,
    /// Who could not be told something.
    owed: BTreeSet<Name>,
}

impl MqttSession {
    /// Takes in what was published.
    async fn hear(&mut self, message: &Message) {
        match topics::read(&message.topic) {
            Ok(Topic { id, said: TopicKind::Metadata }) => self.take_report(id, &message.payload).await,
            Ok(Topic { id, said: TopicKind::State }) => self.take_state(id, &message.payload),
            Err(error) => {
                tracing::info!(topic = %message.topic.escape_debug(), %error, "not the topic of an aggregator")
            }
        }
    }

    async fn take_report(&self, id: Name, payload: &[u8]) {
        if payload.len() > METADATA_MAX_BYTES {
            return tracing::info!(%id, bytes = payload.len(), "metadata is longer than {METADATA_MAX_BYTES} bytes");
        }
        let document: MetadataDocument = match serde_json::from_slice(payload) {
            Ok(document) => document,
            Err(error) => return tracing::info!(%id, %error, "metadata cannot be read"),
        };
        match document.metadata() {
            // A queue that is full holds the session up, which the broker bounds.
            Ok(metadata) => drop(self.scheduler.post(id, metadata).await),
            Err(error) => tracing::info!(%id, %error, "metadata cannot be meant"),
        }
    }

    /// Birth and will; what else is said there means nothing.
    fn take_state(&self, id: Name, payload: &[u8]) {
        match payload {
            b"lost" => {
                tracing::info!(%id, "an aggregator was lost");
                if let Err(error) = self.scheduler.silence(id) {
                    tracing::warn!(%error, "that an aggregator was lost was not heard; its lease will tell");
                }
            }
            b"online" => tracing::info!(%id, "an aggregator is online"),
            b"" => {}
            _ => tracing::info!(%id, "the state of an aggregator is neither online nor lost"),
        }
    }

    /// Publishes what an aggregator may send, if that is newer than what it was told.
    async fn tell(&mut self, client: &LocalClient, view: &AggregatorView) {
        let sequence = view.rates.sequence;
        if self.told.get(&view.id).is_some_and(|told| *told >= sequence) {
            return;
        }
        let payload = serde_json::to_vec(&RatesDocument::of(&view.rates)).unwrap_or_default();
        if publish(client, &view.id, payload).await {
            self.owed.remove(&view.id);
            self.told.insert(view.id.clone(), sequence);
        } else {
            self.owed.insert(view.id.clone());
        }
    }

    /// An empty retained message takes what was retained away (MQTT 5 §3.3.1.3).
    async fn clear(&mut self, client: &LocalClient, id: Name) {
        self.told.remove(&id);
        if publish(client, &id, vec![]).await {
            self.owed.remove(&id)
        } else {
            self.owed.insert(id)
        };
    }

    /// Tells those who could not be told.
    async fn pay(&mut self, client: &LocalClient) {
        for id in std::mem::take(&mut self.owed) {
            match self.scheduler.aggregator(&id) {
                Some(view) => self.tell(client, &view).await,
                None => self.clear(client, id).await,
            }
            if !self.owed.is_empty() {
                // The broker does not answer: later.
                return self.owe_all();
            }
        }
    }

    fn owe_all(&mut self) {
        let mut after: Option<Name> = None;
        loop {
            let page: Vec<Arc<AggregatorView>> = self.scheduler.aggregators(after.as_ref(), PAGE);
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            self.owed.extend(page.iter().map(|view| view.id.clone()));
        }
        // Of those who were forgotten meanwhile something may be retained.
        self.owed.extend(self.told.keys().cloned());
    }
}

async fn publish(client: &LocalClient, id: &Name, payload: Vec<u8>) -> bool {
    let Some(message) = Message::new(&topics::rates(id), payload, Qos::AtLeastOnce) else { return true };
    match client.publish(message.retained()).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%id, %error, "rates could not be published, and are tried again");
            false
        }
    }
}
