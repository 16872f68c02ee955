//! The background tasks of a replica: it reads the notices of other replicas, renews its lease, publishes wills that are
//! due, and publishes `$SYS`.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::accept::publish_will;
use super::match_cache::MatchCache;
use super::replica::Replica;
use super::session_handle::Connection;
use crate::codec::{Qos, Reason};
use crate::limits::{FORWARDED_MATCHES_MAX, SWEEP_INTERVAL, SYS_INTERVAL};
use crate::message::{Message, unix_ms};
use crate::session::encode_cache::with_encode_cache;
use crate::store::{DedupKey, DueWork, Notice, NumberedMessages, OrphanedShareMessage, StoreError};

/// Between two tries to be known to the store again.
const REJOIN_EVERY: Duration = Duration::from_millis(200);

/// Applies the notices of other replicas, until the broker stops.
pub(crate) async fn read_notices(replica: Arc<Replica>, stop: CancellationToken) {
    let mut match_cache = MatchCache::with_capacity(FORWARDED_MATCHES_MAX);
    while !stop.is_cancelled() {
        match replica.store.notices().await {
            Ok(notices) => notices.into_iter().for_each(|notice| apply_notice(&replica, notice, &mut match_cache)),
            Err(StoreError::Shut) => return,
            Err(StoreError::LeaseLost(_)) if !stop.is_cancelled() => rejoin(&replica).await,
            Err(_) => return,
        }
    }
}

fn apply_notice(replica: &Replica, notice: Notice, match_cache: &mut MatchCache) {
    match notice {
        Notice::Changed(change) => {
            replica.apply_change(change);
        }
        Notice::Forwarded { message, to } => replica.deliver_forwarded(&message, to, match_cache),
        Notice::Numbered(NumberedMessages { holder, first, messages }) => {
            let connection = replica.session(&holder.client).and_then(|session| session.lock().connection.clone());
            // A message for another epoch is in the queue.
            if let Some(Connection::Client(connection)) =
                connection.filter(|connection| connection.epoch() == holder.epoch)
            {
                with_encode_cache(|cache| {
                    connection.post(|outbox| outbox.enqueue_run(first, messages, unix_ms(), cache))
                });
            }
        }
        Notice::Wake(client) => {
            if let Some(Connection::Client(connection)) =
                replica.session(&client).and_then(|session| session.lock().connection.clone())
            {
                connection.post(|outbox| outbox.fall_behind());
            }
        }
        Notice::Kick { client, epoch } => {
            let connection = replica.session(&client).and_then(|session| session.lock().connection.clone());
            if let Some(Connection::Client(connection)) = connection.filter(|connection| connection.epoch() == epoch)
                && connection.close(Reason::SessionTakenOver)
            {
                replica.metrics.taken_over.add(1);
            }
        }
    }
}

/// The lease was lost, and other replicas have detached the sessions held here: a new snapshot is read, and the clients
/// reconnect.
async fn rejoin(replica: &Replica) {
    tracing::warn!(replica = %replica.me, "the lease was lost; joining again");
    match replica.store.join(unix_ms()).await {
        Ok(snapshot) => {
            replica.load_snapshot(snapshot);
            for connection in replica.connections() {
                if let Connection::Client(connection) = connection {
                    connection.close(Reason::ServerBusy);
                }
            }
        }
        Err(error) => {
            tracing::warn!(%error, "cannot join");
            tokio::time::sleep(REJOIN_EVERY).await;
        }
    }
}

/// Renews the lease and publishes what is due, until the broker stops.
pub(crate) async fn sweep_store(replica: Arc<Replica>, stop: CancellationToken) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut giving_out: Option<JoinHandle<()>> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let now_ms = unix_ms();
        replica.remove_expired(now_ms);
        match replica.store.sweep(now_ms).await {
            // In a task of its own: it may wait for room in an inbox, and the lease does not wait.
            Ok(due) => {
                replica.metrics.expired.add(due.expired);
                // The next sweep finds again what is still due.
                if giving_out.as_ref().is_some_and(|giving_out| !giving_out.is_finished()) {
                    continue;
                }
                let (replica, stop) = (Arc::clone(&replica), stop.clone());
                giving_out = Some(tokio::spawn(async move {
                    let _ = stop.run_until_cancelled(publish_due(&replica, due)).await;
                }));
            }
            // The task that reads notices joins again.
            Err(error) => tracing::debug!(%error, "no sweep"),
        }
    }
}

async fn publish_due(replica: &Replica, due: DueWork) {
    for will in due.wills {
        let dedup_key = DedupKey::Will { client: will.client, epoch: will.epoch };
        publish_will(replica, &will.message, Some(dedup_key)).await;
    }
    for OrphanedShareMessage { id, message, share } in due.orphaned {
        if let Err(error) = replica.redeliver_shared(&message, &share, Some(DedupKey::Orphaned { id })).await {
            tracing::debug!(%error, "not passed on");
        }
    }
}

/// Publishes `$SYS`, until the broker stops. It is of this replica alone and not in the store.
pub(crate) async fn publish_sys(replica: Arc<Replica>, stop: CancellationToken) {
    let mut ticks = interval(SYS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let started = std::time::Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let (metrics, sizes) = (&replica.metrics, replica.sizes());
        let sum = |counts: &[crate::metrics::Count; 3]| counts.iter().map(|count| count.get()).sum::<u64>();
        let told = [
            ("version", concat!("watermaster ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("uptime", format!("{} seconds", started.elapsed().as_secs())),
            ("clients/connected", metrics.connections.get().to_string()),
            ("clients/total", sizes.sessions.to_string()),
            ("messages/received", sum(&metrics.received).to_string()),
            ("messages/sent", sum(&metrics.sent).to_string()),
            ("bytes/received", metrics.received_bytes.get().to_string()),
            ("bytes/sent", metrics.sent_bytes.get().to_string()),
            ("subscriptions/count", sizes.subscriptions.to_string()),
            ("retained messages/count", sizes.retained.to_string()),
            ("publish/messages/dropped", metrics.dropped_slow.get().to_string()),
        ];
        let mut match_cache = MatchCache::default();
        for (topic, text) in told {
            let Some(message) = Message::new(&format!("$SYS/broker/{topic}"), text, Qos::AtMostOnce) else { continue };
            let message = Arc::new(message);
            replica.retain(&message);
            replica.deliver_forwarded(&message, None, &mut match_cache);
        }
    }
}
