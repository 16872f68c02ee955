//! What a replica does besides serving its clients: it hears the others, renews its lease, publishes wills that are due,
//! and tells `$SYS`.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::accept::publish_will;
use super::replica::{Hub, MatchCache};
use super::session_handle::Connection;
use crate::codec::{Qos, Reason};
use crate::limits::{MATCHES_REMEMBERED_FOR_OTHERS, SWEEP_EVERY, SYS_EVERY};
use crate::message::{Message, unix_ms};
use crate::session::encode_cache::with_encoded;
use crate::store::{DedupKey, Due, Notice, Numbered, OrphanedShareMessage, StoreError};

/// Between two tries to be known to the store again.
const REJOIN_EVERY: Duration = Duration::from_millis(200);

/// Hears what other replicas say, for ever.
pub(crate) async fn listen(hub: Arc<Hub>, stop: CancellationToken) {
    let mut seen = MatchCache::of(MATCHES_REMEMBERED_FOR_OTHERS);
    while !stop.is_cancelled() {
        match hub.store.notices().await {
            Ok(notices) => notices.into_iter().for_each(|notice| hear(&hub, notice, &mut seen)),
            Err(StoreError::Shut) => return,
            Err(StoreError::LeaseLost(_)) if !stop.is_cancelled() => rejoin(&hub).await,
            Err(_) => return,
        }
    }
}

fn hear(hub: &Hub, notice: Notice, seen: &mut MatchCache) {
    match notice {
        Notice::Changed(change) => {
            hub.change(change);
        }
        Notice::Forwarded { message, to } => hub.deliver_forwarded(&message, to, seen),
        Notice::Numbered(Numbered { holder, first, messages }) => {
            let link = hub.party(&holder.client).and_then(|party| party.lock().link.clone());
            // Of another time the queue has it.
            if let Some(Connection::Wire(wire)) = link.filter(|link| link.epoch() == holder.epoch) {
                with_encoded(|encoded| wire.post(|outbox| outbox.follow(first, messages, unix_ms(), encoded)));
            }
        }
        Notice::Wake(client) => {
            if let Some(Connection::Wire(wire)) = hub.party(&client).and_then(|party| party.lock().link.clone()) {
                wire.post(|outbox| outbox.fall_behind());
            }
        }
        Notice::Kick { client, epoch } => {
            let link = hub.party(&client).and_then(|party| party.lock().link.clone());
            if let Some(Connection::Wire(wire)) = link.filter(|link| link.epoch() == epoch) {
                hub.metrics.taken_over.add(1);
                wire.close(Reason::SessionTakenOver);
            }
        }
    }
}

/// The lease was lost: the others have taken what was held here. Everything is read anew, and clients come again.
async fn rejoin(hub: &Hub) {
    tracing::warn!(replica = %hub.me, "the lease was lost; joining again");
    match hub.store.join(unix_ms()).await {
        Ok(picture) => {
            hub.learn(picture);
            for link in hub.links() {
                if let Connection::Wire(wire) = link {
                    wire.close(Reason::ServerBusy);
                }
            }
        }
        Err(error) => {
            tracing::warn!(%error, "cannot join");
            tokio::time::sleep(REJOIN_EVERY).await;
        }
    }
}

/// Renews the lease and looks for what is due, for ever.
pub(crate) async fn sweep(hub: Arc<Hub>, stop: CancellationToken) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut giving_out: Option<JoinHandle<()>> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        match hub.store.sweep(unix_ms()).await {
            // By itself: it may have to wait for room somewhere, and the lease does not wait.
            Ok(due) if giving_out.as_ref().is_none_or(JoinHandle::is_finished) => {
                let (hub, stop) = (Arc::clone(&hub), stop.clone());
                giving_out = Some(tokio::spawn(async move {
                    let _ = stop.run_until_cancelled(give_out(&hub, due)).await;
                }));
            }
            // What is still due comes with the next.
            Ok(_) => {}
            // Whoever listens joins again.
            Err(error) => tracing::debug!(%error, "no sweep"),
        }
    }
}

async fn give_out(hub: &Hub, due: Due) {
    for will in due.wills {
        let guard = DedupKey::Will { client: will.client, epoch: will.epoch };
        publish_will(hub, &will.message, Some(guard)).await;
    }
    for OrphanedShareMessage { id, message, share } in due.left {
        if let Err(error) = hub.pass_on(&message, &share, Some(DedupKey::Left { id })).await {
            tracing::debug!(%error, "not passed on");
        }
    }
}

/// Tells `$SYS`, for ever. It is this replica's alone: the store has none of it.
pub(crate) async fn tell_sys(hub: Arc<Hub>, stop: CancellationToken) {
    let mut ticks = interval(SYS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let started = std::time::Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let (metrics, sizes) = (&hub.metrics, hub.sizes());
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
        let mut seen = MatchCache::default();
        for (topic, text) in told {
            let Some(message) = Message::new(&format!("$SYS/broker/{topic}"), text, Qos::AtMostOnce) else { continue };
            let message = Arc::new(message);
            hub.retain(&message);
            hub.deliver_forwarded(&message, None, &mut seen);
        }
    }
}
