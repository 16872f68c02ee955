//! The store in Redis: for any number of replicas. Every operation is within one call of a script, which operations of
//! other connections may share (a [`batcher`]), so that it happens wholly or not at all; all commands of a replica share
//! one [`pipeline`], and one blocking read ([`notifications`]) brings what other replicas write for it.
//!
//! One master at a time (found by the sentinels, if there are any): the scripts make up keys, so Redis Cluster cannot
//! serve them. After a failover or a restart the numbers in Redis may be behind those that connections have seen: a
//! replica that finds another run of the server joins anew and lets its clients resume from what Redis has. Their older
//! acknowledgements are refused: a session is held under a generation, which every new run raises (`generation.lua`).

mod address;
mod batcher;
mod command;
mod notifications;
mod request;
mod pipeline;
mod script;
mod reply;
mod reply_place;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

pub(crate) use address::RedisAddress;
pub use address::RedisAddressError;
pub use pipeline::Durability;

use super::{
    ClaimedSession, DueWork, Notice, Queued, RoutingSnapshot, SessionClaim, SessionHolder, SessionStatus, Store,
    StoreError, StoreFuture, StoreOp, StoreOutcome, stored_form, unsettled_version, warn_unsettled,
};
use crate::limits::{LEASE, REAP_COUNT, SUBSCRIBE_WAIT};
use crate::message::{ClientId, ReplicaId, UnixMs};
use command::StoreCommand;
use notifications::NotificationReader;
use pipeline::{RedisPipeline, backoff};
use reply::StoreReply;
use request::PendingCommand;

/// Prefix of all keys. It changes with the stored form, so that builds with different forms do not share keys.
const PREFIX: &str = "wm3:";

/// Pauses between two tries while an inbox has no room: the first and the longest.
const ROOM_WAIT_MIN: Duration = Duration::from_millis(10);
const ROOM_WAIT_MAX: Duration = Duration::from_millis(250);

/// Pauses between two looks at what the other replicas have applied.
const SETTLE_WAIT_MIN: Duration = Duration::from_millis(1);
const SETTLE_WAIT_MAX: Duration = Duration::from_millis(50);

/// The store as one replica uses it.
pub(crate) struct RedisStore {
    me: ReplicaId,
    /// `me` in the form that Redis has.
    name: String,
    pipeline: RedisPipeline,
    reader: Mutex<NotificationReader>,
    /// Counts the tokens of publications.
    tokens: AtomicU64,
}

impl RedisStore {
    /// For a new replica; it connects when it is first used.
    pub(crate) fn new(address: RedisAddress, durability: Durability) -> Arc<Self> {
        let me = ReplicaId::draw();
        Arc::new(Self {
            me,
            name: me.to_string(),
            pipeline: RedisPipeline::open(address.clone(), me.to_string(), durability),
            reader: Mutex::new(NotificationReader::new(address)),
            tokens: AtomicU64::new(0),
        })
    }

    async fn read_snapshot(&self) -> Result<RoutingSnapshot, StoreError> {
        let key = |name: &str| format!("{PREFIX}{name}");
        let mut lease = redis::cmd("SET");
        lease.arg(key("lease:") + &self.name).arg(1).arg("PX").arg(lease_ms());
        let mut known = redis::cmd("SADD");
        known.arg(key("replicas")).arg(&self.name);
        let (mut version, mut clients, mut retained) = (redis::cmd("GET"), redis::cmd("SMEMBERS"), redis::cmd("HVALS"));
        version.arg(key("ver"));
        clients.arg(key("ids"));
        retained.arg(key("ret"));
        // Known first, so that changes after the snapshot reach the inbox.
        let replies = self.pipeline.query([lease, known, version, clients, retained]).await?;
        let [_, _, version, clients, retained] = replies.each_ref().map(StoreReply);
        let retained = retained.items().filter_map(|value| stored_form::read_message(value.bytes()?)).collect();
        let version = version.number().unwrap_or(0);
        let clients: Vec<&str> = clients.items().filter_map(StoreReply::text).collect();
        let mut sessions = Vec::with_capacity(clients.len());
        for clients in clients.chunks(REAP_COUNT) {
            let mut call = script::ROUTED.call();
            call.arg(clients);
            let reply = self.call(call).await?;
            let found = clients.iter().zip(StoreReply(&reply).items());
            sessions.extend(found.filter_map(|(client, one)| reply::routed_session(client, one.at(0), one.at(1))));
        }
        Ok(RoutingSnapshot { version, sessions, retained })
    }

    /// Waits until the other replicas have applied the changes up to a version.
    async fn settle(&self, version: u64) -> Result<(), StoreError> {
        let mut pauses = backoff(SETTLE_WAIT_MIN, SETTLE_WAIT_MAX);
        loop {
            tokio::time::sleep(pauses.next().unwrap_or(SETTLE_WAIT_MAX)).await;
            let mut call = script::SETTLE.call();
            call.arg(&self.name).arg(version);
            if StoreReply(&self.call(call).await?).number() == Some(1) {
                return Ok(());
            }
        }
    }

    /// Calls a script.
    async fn call(&self, command: redis::Cmd) -> Result<redis::Value, StoreError> {
        let [reply] = self.pipeline.query([command]).await?;
        Ok(reply)
    }
}

fn lease_ms() -> u64 {
    u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX)
}

impl Store for RedisStore {
    fn replica(&self) -> ReplicaId {
        self.me
    }

    fn join(&self, _: UnixMs) -> StoreFuture<'_, RoutingSnapshot> {
        Box::pin(async move {
            // Entries from before the snapshot are of no use; those from now on must not be missed.
            let mut reader = self.reader.lock().await;
            let mut clear = redis::cmd("DEL");
            clear.arg(format!("{PREFIX}in:{}", self.name)).arg(format!("{PREFIX}inb:{}", self.name));
            self.pipeline.query([clear]).await?;
            let snapshot = self.read_snapshot().await?;
            reader.start_after(snapshot.version);
            Ok(snapshot)
        })
    }

    fn notices(&self) -> StoreFuture<'_, Vec<Notice>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            reader.wait(self.me, &self.name).await
        })
    }

    fn claim(&self, claim: SessionClaim) -> StoreFuture<'_, Option<ClaimedSession>> {
        Box::pin(async move {
            let mut call = script::CLAIM.call();
            let will = claim.will.as_ref().map_or_else(Vec::new, |will| {
                let mut text = format!("{}:", will.delay_s).into_bytes();
                text.extend(stored_form::write_message(&will.message));
                text
            });
            call.arg(&self.name).arg(&*claim.client).arg(u8::from(claim.clean_start));
            call.arg(claim.expiry_s).arg(claim.now_ms).arg(will).arg(u8::from(claim.takes_over));
            call.arg(claim.user.as_deref().unwrap_or_default());
            let reply = self.call(call).await?;
            let reply = StoreReply(&reply);
            match reply.signed() {
                Some(reply::FENCED) => return Ok(None),
                Some(reply::SESSIONS_FULL) => return Err(StoreError::SessionsFull),
                Some(reply::NOT_OWNER) => return Err(StoreError::NotOwner),
                _ => {}
            }
            let number = |place| reply.at(place).number().unwrap_or(0);
            let mut received: Vec<u64> = reply.at(8).items().filter_map(StoreReply::number).collect();
            received.sort_unstable();
            let packet_id = |id: StoreReply<'_>| u16::try_from(id.number()?).ok();
            reply::log_broken(reply.at(10));
            Ok(Some(ClaimedSession {
                epoch: number(0),
                version: number(1),
                present: number(2) == 1,
                last: number(3),
                sent: number(4),
                will: reply.at(5).bytes().filter(|_| number(6) == 1).and_then(stored_form::read_message),
                subscriptions: reply::subscriptions(reply.at(7)),
                received,
                inbound: reply.at(9).items().filter_map(packet_id).collect(),
            }))
        })
    }

    fn commit(&self, batch: Vec<StoreOp>) -> StoreFuture<'_, Vec<StoreOutcome>> {
        let token = || format!("{}-{}", self.name, self.tokens.fetch_add(1, Ordering::Relaxed));
        let command = |op| PendingCommand::new(StoreCommand::new(op, &self.name, token));
        let commands = batch.into_iter().map(command).collect();
        Box::pin(async move {
            let mut commands = self.pipeline.commit(commands, false).await?;
            let mut pauses = backoff(ROOM_WAIT_MIN, ROOM_WAIT_MAX);
            loop {
                let waiting = commands.iter().filter(|pending| pending.outcome.is_none()).count();
                if waiting == 0 {
                    break;
                }
                tracing::debug!(waiting, "an inbox has no room; publications wait");
                tokio::time::sleep(pauses.next().unwrap_or(ROOM_WAIT_MAX)).await;
                commands = self.pipeline.commit(commands, true).await?;
            }
            let outcomes: Vec<_> = commands.into_iter().filter_map(|pending| pending.outcome).collect();
            if let Some(version) = unsettled_version(&outcomes) {
                match tokio::time::timeout(SUBSCRIBE_WAIT, self.settle(version)).await {
                    Ok(settled) => settled?,
                    Err(_) => warn_unsettled(false),
                }
            }
            Ok(outcomes)
        })
    }

    fn load(&self, holder: SessionHolder, after: u64, count: usize) -> StoreFuture<'_, Vec<Queued>> {
        Box::pin(async move {
            let mut call = script::LOAD.call();
            call.arg(&self.name).arg(&*holder.client).arg(holder.epoch).arg(after).arg(count);
            let entries = self.call(call).await?;
            Ok(StoreReply(&entries).items().filter_map(reply::queued).collect())
        })
    }

    fn sweep(&self, now_ms: UnixMs) -> StoreFuture<'_, DueWork> {
        Box::pin(async move {
            let mut call = script::SWEEP.call();
            call.arg(&self.name).arg(now_ms).arg(lease_ms()).arg(REAP_COUNT);
            let reply = self.call(call).await?;
            let reply = StoreReply(&reply);
            if reply.at(0).signed() != Some(reply::DONE) {
                self.reader.lock().await.invalidate();
                return Err(StoreError::LeaseLost(self.me));
            }
            reply::log_broken(reply.at(4));
            Ok(DueWork {
                wills: reply::due_wills(reply.at(1)),
                orphaned: reply::orphaned(reply.at(2)),
                expired: reply.at(3).number().unwrap_or(0),
            })
        })
    }

    fn look_up(&self, client: ClientId) -> StoreFuture<'_, Option<SessionStatus>> {
        Box::pin(async move {
            let key = |name: &str| format!("{PREFIX}{name}:{client}");
            let command = |name: &str, key: String| {
                let mut command = redis::cmd(name);
                command.arg(key);
                command
            };
            let mut fields = command("HMGET", key("s"));
            fields.arg(&["epoch", "owner", "lasting", "bytes", "user"]);
            let mut expiry = command("ZSCORE", format!("{PREFIX}exp"));
            expiry.arg(&*client);
            let (subscriptions, queue) = (command("HGETALL", key("sub")), command("XLEN", key("q")));
            let (received, inbound) = (command("SCARD", key("r")), command("HLEN", key("i")));
            let replies = self.pipeline.query([fields, expiry, subscriptions, queue, received, inbound]).await?;
            Ok(reply::session_status(replies.each_ref().map(StoreReply)))
        })
    }

    fn leave(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut lease = redis::cmd("DEL");
            lease.arg(format!("{PREFIX}lease:{}", self.name));
            let mut inbox = redis::cmd("DEL");
            inbox.arg(format!("{PREFIX}in:{}", self.name)).arg(format!("{PREFIX}inb:{}", self.name));
            self.pipeline.query([lease, inbox]).await?;
            Ok(())
        })
    }

    fn is_available(&self) -> bool {
        self.pipeline.is_available()
    }
}
