//! The store in Redis: for any number of replicas. Every operation is within one call of a script, which others may share
//! (a [`bundle`]), so that it happens wholly or not at all; all of a replica's commands share one [`mod@line`], and one
//! blocking read brings it what others have to say.
//!
//! One master at a time (found by the sentinels, if there are any): the scripts make up keys, so Redis Cluster is not
//! for them. After a failover or a restart the numbers in Redis may be behind those that connections have seen:
//! whoever notices another run of the server joins anew and lets its clients resume from what Redis has, and what they
//! acknowledged before is not believed: sessions are held under a generation that every new run raises (`run.lua`).

mod address;
mod batcher;
mod command;
mod notifications;
mod request;
mod pipeline;
mod script;
mod stored_form;
mod reply;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

pub(crate) use address::RedisAddress;
pub use address::RedisAddressError;
pub use pipeline::Durability;

use super::{
    ClaimedSession, DueWork, Notice, Queued, RoutingSnapshot, SessionClaim, SessionHolder, Store, StoreError,
    StoreFuture, StoreOp, StoreOutcome,
};
use crate::limits::{LEASE, REAP_COUNT};
use crate::message::{ReplicaId, UnixMs};
use command::StoreCommand;
use notifications::NotificationReader;
use pipeline::RedisPipeline;
use reply::Values;
use request::{Answered, Payload};

/// What all keys begin with; `common.lua` says the same. It changes with the form of what is stored: builds that would not
/// understand each other do not meet.
const PREFIX: &str = "wm2:";

/// Between two looks whether an inbox has room: at first, and at most.
const ROOM_WAIT_MIN: Duration = Duration::from_millis(10);
const ROOM_WAIT_MAX: Duration = Duration::from_millis(250);

/// A replica's handle.
pub(crate) struct RedisStore {
    me: ReplicaId,
    /// `me` as it stands in Redis.
    name: String,
    pipeline: RedisPipeline,
    reader: Mutex<NotificationReader>,
    /// For the tokens of publications.
    tokens: AtomicU64,
}

impl RedisStore {
    /// A new replica's handle; it connects when it is used.
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
        let lease_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
        let mut begin = vec![redis::cmd("GET"), redis::cmd("SMEMBERS"), redis::cmd("HVALS")];
        for (command, key) in begin.iter_mut().zip(["ver", "ids", "ret"]) {
            command.arg(format!("{PREFIX}{key}"));
        }
        let mut known = redis::cmd("SADD");
        known.arg(format!("{PREFIX}replicas")).arg(&self.name);
        let mut lease = redis::cmd("SET");
        lease.arg(format!("{PREFIX}lease:{}", self.name)).arg(1).arg("PX").arg(lease_ms);
        // Known first, so that whatever changes after the picture is heard.
        let mut commands = vec![lease, known];
        commands.append(&mut begin);
        let mut values = Values::new(self.pipeline.query(commands).await?).skip(2);
        let version = values.number().unwrap_or(0);
        let clients = values.texts();
        let retained = values.list().filter_map(|value| stored_form::read_message(value.bytes()?)).collect();
        let mut sessions = Vec::with_capacity(clients.len());
        for some in clients.chunks(REAP_COUNT) {
            let mut commands = Vec::with_capacity(some.len() * 2);
            for client in some {
                let mut state = redis::cmd("HMGET");
                state.arg(format!("{PREFIX}s:{client}")).arg("owner").arg("lasting");
                let mut subscriptions = redis::cmd("HGETALL");
                subscriptions.arg(format!("{PREFIX}sub:{client}"));
                commands.extend([state, subscriptions]);
            }
            let mut values = Values::new(self.pipeline.query(commands).await?);
            sessions.extend(some.iter().filter_map(|client| reply::session_picture(client, &mut values)));
        }
        Ok(RoutingSnapshot { version, sessions, retained })
    }

    /// Asks a script, once.
    async fn call(&self, command: redis::Cmd) -> Result<Values, StoreError> {
        Ok(Values::new(self.pipeline.query(vec![command]).await?))
    }
}

impl Store for RedisStore {
    fn replica(&self) -> ReplicaId {
        self.me
    }

    fn join(&self, _: UnixMs) -> StoreFuture<'_, RoutingSnapshot> {
        Box::pin(async move {
            // What was said to this replica before it knew anything is of no use; and what is said from now on must
            // not be missed.
            let mut reader = self.reader.lock().await;
            let inbox = format!("{PREFIX}in:{}", self.name);
            let mut forget = redis::cmd("DEL");
            forget.arg(&inbox).arg(format!("{PREFIX}inb:{}", self.name));
            self.pipeline.query(vec![forget]).await?;
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

    fn claim(&self, claim: SessionClaim) -> StoreFuture<'_, ClaimedSession> {
        Box::pin(async move {
            let mut call = script::TAKE.call();
            let will = claim.will.as_ref().map_or_else(Vec::new, |will| {
                let mut text = format!("{}:", will.delay_s).into_bytes();
                text.extend(stored_form::write_message(&will.message));
                text
            });
            call.arg(&self.name).arg(&*claim.client).arg(u8::from(claim.clean_start));
            call.arg(claim.expiry_s).arg(claim.now_ms).arg(will);
            let mut answer = self.call(call).await?.next_list();
            Ok(ClaimedSession {
                epoch: answer.number().unwrap_or(0),
                version: answer.number().unwrap_or(0),
                present: answer.number() == Some(1),
                last: answer.number().unwrap_or(0),
                sent: answer.number().unwrap_or(0),
                will: {
                    let message = answer.bytes();
                    let there = answer.number() == Some(1);
                    message.filter(|_| there).and_then(stored_form::read_message)
                },
                subscriptions: reply::subscriptions(&mut answer.next_list()),
                received: {
                    let mut received = answer.next_list().numbers();
                    received.sort_unstable();
                    received
                },
                inbound: answer.next_list().numbers().into_iter().filter_map(|id| u16::try_from(id).ok()).collect(),
            })
        })
    }

    fn commit(&self, batch: Vec<StoreOp>) -> StoreFuture<'_, Vec<StoreOutcome>> {
        let token = || format!("{}-{}", self.name, self.tokens.fetch_add(1, Ordering::Relaxed));
        let errands = batch.into_iter().map(|op| StoreCommand::of(op, &self.name, token)).collect();
        Box::pin(async move {
            let Answered { mut outcomes, mut held, .. } = self.pipeline.submit(Payload::Outcomes(errands)).await?;
            let mut pause = ROOM_WAIT_MIN;
            while !held.is_empty() {
                tracing::debug!(count = held.len(), "an inbox has no room; publications wait");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ROOM_WAIT_MAX);
                let again = self.pipeline.submit(Payload::OutcomesApart(held)).await?;
                let waiting = outcomes.iter_mut().filter(|outcome| outcome.is_none());
                waiting.zip(again.outcomes).for_each(|(slot, outcome)| *slot = outcome);
                held = again.held;
            }
            Ok(outcomes.into_iter().flatten().collect())
        })
    }

    fn load(&self, holder: SessionHolder, after: u64, count: usize) -> StoreFuture<'_, Vec<Queued>> {
        Box::pin(async move {
            let mut call = script::LOAD.call();
            call.arg(&self.name).arg(&*holder.client).arg(holder.epoch).arg(after).arg(count);
            let entries = self.call(call).await?.next_list();
            Ok(entries.filter_map(reply::queued).collect())
        })
    }

    fn sweep(&self, now_ms: UnixMs) -> StoreFuture<'_, DueWork> {
        Box::pin(async move {
            let lease_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
            let mut call = script::SWEEP.call();
            call.arg(&self.name).arg(now_ms).arg(lease_ms).arg(REAP_COUNT);
            let mut answer = self.call(call).await?.next_list();
            if answer.signed() != Some(0) {
                self.reader.lock().await.invalidate();
                return Err(StoreError::LeaseLost(self.me));
            }
            let wills = reply::due_wills(&mut answer.next_list());
            Ok(DueWork { wills, orphaned: reply::left(answer.next_list()) })
        })
    }

    fn leave(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut lease = redis::cmd("DEL");
            lease.arg(format!("{PREFIX}lease:{}", self.name));
            let mut inbox = redis::cmd("DEL");
            inbox.arg(format!("{PREFIX}in:{}", self.name)).arg(format!("{PREFIX}inb:{}", self.name));
            self.pipeline.query(vec![lease, inbox]).await?;
            Ok(())
        })
    }

    fn is_available(&self) -> bool {
        self.pipeline.is_well()
    }
}
