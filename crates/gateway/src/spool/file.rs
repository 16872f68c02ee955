//! The file: its rows, and how they come back after a restart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use api::qos_level::Level;
use bytes::Bytes;
use mqtt::{SqliteAddress, SqliteError, Synchronous, open_sqlite_file};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::super::buffer::{LaneState, SubscriptionId};
use super::super::clock::SinceStart;
use super::super::core::{GatewayCore, LastValue};
use super::super::message::TopicMessage;
use super::super::subscription::{DeliveryTarget, SubscriptionTerms};
use super::segment::{StoredMessage, read_segment};
use super::segment_index::{LivingMessage, SegmentIndex, SpooledSegment};
use super::segment_lease::{ReleasedSegments, SegmentLease};

/// The file's `user_version`: it changes with the tables and with the form of what they hold.
const FORM: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file cannot be opened.
    #[error("the spool: {0}")]
    File(#[from] SqliteError),
    /// The file cannot be read.
    #[error("the spool cannot be read: {0}")]
    Read(#[from] Box<sqlx::Error>),
}

impl From<sqlx::Error> for SpoolError {
    fn from(error: sqlx::Error) -> Self {
        Self::Read(Box::new(error))
    }
}

/// What a consumer asked for, as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredTerms {
    topic: String,
    qos_level: Level,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    consumer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(default)]
    is_local: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer: Option<std::net::IpAddr>,
}

impl StoredTerms {
    pub(super) fn of(terms: SubscriptionTerms) -> Self {
        let SubscriptionTerms { filter, level, target, consumer, node, is_local, peer } = terms;
        let callback_url = match target {
            DeliveryTarget::Callback(url) => Some(url.to_string()),
            DeliveryTarget::Stream => None,
        };
        Self { topic: filter, qos_level: level, callback_url, consumer, node, is_local, peer }
    }

    /// `None`: the URL is none.
    fn into_terms(self) -> Option<SubscriptionTerms> {
        let Self { topic: filter, qos_level: level, callback_url, consumer, node, is_local, peer } = self;
        let target = match callback_url {
            Some(url) => DeliveryTarget::Callback(url.parse().ok()?),
            None => DeliveryTarget::Stream,
        };
        Some(SubscriptionTerms { filter, level, target, consumer, node, is_local, peer })
    }
}

/// The file with the names that the gateway had.
pub(crate) struct SpoolFile {
    pub(super) connection: SqliteConnection,
    /// The instance that numbers subscriptions and messages.
    pub(crate) instance: String,
    pub(super) next_id: u64,
    policies: Option<String>,
}

impl SpoolFile {
    /// Opens the file, which is made if it is not there; `instance` is that of a new one.
    ///
    /// # Errors
    /// Its form is another, or SQLite cannot open it.
    pub(crate) async fn open(path: PathBuf, synchronous: Synchronous, instance: String) -> Result<Self, SpoolError> {
        let mut connection = open_sqlite_file(&SqliteAddress { path, synchronous }, FORM, SCHEMA).await?;
        sqlx::query("INSERT OR IGNORE INTO gateway (name, value) VALUES ('instance', ?)")
            .bind(instance)
            .execute(&mut connection)
            .await?;
        let rows = sqlx::query("SELECT name, value FROM gateway").fetch_all(&mut connection).await?;
        let values: BTreeMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let instance = values.get("instance").cloned().unwrap_or_default();
        let next_id = values.get("next_id").and_then(|id| id.parse().ok()).unwrap_or(0);
        let policies = values.get("policies").cloned();
        Ok(Self { connection, instance, next_id, policies })
    }

    /// Gives the core everything that was kept. What cannot be read is named in the log and left out.
    ///
    /// # Errors
    /// SQLite cannot read the file.
    pub(super) async fn load(
        &mut self,
        now: SinceStart,
        core: &mut GatewayCore,
        released: &ReleasedSegments,
    ) -> Result<SegmentIndex, SpoolError> {
        match self.policies.as_deref().map(serde_json::from_str) {
            None => {}
            Some(Ok(policies)) => core.set_policies(policies),
            Some(Err(error)) => tracing::error!(%error, "the spool: the policies cannot be read"),
        }
        self.load_topics(core).await?;
        let states = self.load_lanes().await?;
        for row in sqlx::query("SELECT id, terms FROM subscription ORDER BY id").fetch_all(&mut self.connection).await?
        {
            let (id, text): (i64, String) = (row.get(0), row.get(1));
            let terms = serde_json::from_str::<StoredTerms>(&text).ok().and_then(StoredTerms::into_terms);
            match terms {
                Some(terms) => {
                    let id = SubscriptionId(id.unsigned_abs());
                    core.restore_subscription(now, id, terms, states.get(&id));
                }
                None => tracing::error!(subscription = id, "the spool: a subscription cannot be read, and ends"),
            }
        }
        let mut index = SegmentIndex::default();
        for row in sqlx::query("SELECT id, messages FROM segment ORDER BY id").fetch_all(&mut self.connection).await? {
            let (id, bytes): (i64, Vec<u8>) = (row.get(0), row.get(1));
            let (id, bytes_count) = (id.unsigned_abs(), bytes.len());
            let (messages, is_whole) = read_segment(Bytes::from(bytes));
            if !is_whole {
                tracing::error!(segment = id, "the spool: a segment cannot be read to its end; the rest of it is lost");
            }
            let hold = SegmentLease::new(id, released);
            let living = messages.into_iter().filter_map(|stored| restore_message(core, &states, stored, &hold));
            index.insert(SpooledSegment { id, bytes: bytes_count, messages: living.collect() });
        }
        core.finish_restore(self.next_id);
        Ok(index)
    }

    async fn load_topics(&mut self, core: &mut GatewayCore) -> Result<(), SpoolError> {
        let text = "SELECT name, at_ms, messages, payload FROM topic ORDER BY at_ms";
        for row in sqlx::query(text).fetch_all(&mut self.connection).await? {
            let (topic, payload): (String, Vec<u8>) = (row.get(0), row.get(3));
            let (at_ms, messages): (i64, i64) = (row.get(1), row.get(2));
            core.restore_topic(&LastValue {
                topic: topic.into(),
                payload: payload.into(),
                at_ms: at_ms.unsigned_abs(),
                messages: messages.unsigned_abs(),
            });
        }
        Ok(())
    }

    async fn load_lanes(&mut self) -> Result<BTreeMap<SubscriptionId, LaneState>, SpoolError> {
        let rows = sqlx::query("SELECT id, state FROM lane").fetch_all(&mut self.connection).await?;
        let state = |row: sqlx::sqlite::SqliteRow| {
            let (id, text): (i64, String) = (row.get(0), row.get(1));
            let read = serde_json::from_str(&text);
            let read = read.inspect_err(|error| tracing::error!(%error, lane = id, "the spool: a lane cannot be read"));
            Some((SubscriptionId(id.unsigned_abs()), read.ok()?))
        };
        Ok(rows.into_iter().filter_map(state).collect())
    }
}

/// Gives the core a message for those of its places where it waits; `None`: it waits nowhere.
fn restore_message(
    core: &mut GatewayCore,
    states: &BTreeMap<SubscriptionId, LaneState>,
    stored: StoredMessage,
    hold: &Arc<SegmentLease>,
) -> Option<LivingMessage> {
    let places = stored.places.iter().map(|(id, sequence)| (SubscriptionId(*id), *sequence));
    let waits = |(id, sequence): &(SubscriptionId, u64)| {
        states.get(id).is_none_or(|state| state.is_waiting(*sequence, stored.policy))
    };
    let places: Vec<_> = places.filter(waits).collect();
    // A slice of the segment's bytes would keep all of them in memory.
    let members = Bytes::copy_from_slice(&stored.members);
    let message = Arc::new(TopicMessage::restored(stored.topic, stored.policy, members));
    message.hold_segment(hold);
    core.restore_message(&message, &places);
    (Arc::strong_count(&message) > 1).then(|| (Arc::downgrade(&message), places))
}
