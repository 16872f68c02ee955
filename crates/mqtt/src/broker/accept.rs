//! Where connections come in: CONNECT, the claim on the session, and what is left to do when a connection is over.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::io::read_buf;
use tokio_util::sync::CancellationToken;

use super::client_handler::{Conversation, End};
use super::connection::{ConnectionTask, Stream, say_last};
use super::replica::Hub;
use super::session_handle::{ClientConnection, Connection};
use crate::auth::Principal;
use crate::codec::{Connack, Connect, DecodeError, Decoder, Packet, Reason, Version};
use crate::limits::{CONNECT_WAIT, FAREWELL, MOVE_WAIT, TAKE_WAIT};
use crate::message::{Message, unix_ms};
use crate::session::Outbox;
use crate::session::handshake::{Agreed, ServerLimits, agree, refusal};
use crate::store::{DedupKey, Holder, Op, SessionExpiry, WillFate};

/// Serves one connection from its first byte to its last. It has its seat among those who wait until it counts as a
/// client, or is turned away.
pub(crate) async fn receive<S: Stream>(
    hub: Arc<Hub>,
    stream: S,
    from: Option<SocketAddr>,
    seat: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    // In memory of its own, so that a connection that sleeps keeps nothing of its beginning and its end.
    let greeted = Box::pin(greet(&hub, stream, from, &stop)).await;
    drop(seat);
    let Some(mut connection) = greeted else { return };
    let end = tokio::select! {
        end = connection.serve() => end,
        () = leave_on(&stop) => End::Told(hub.settings.farewell()),
    };
    Box::pin(part(&hub, connection, end)).await;
    hub.metrics.connections.sub(1);
}

/// CONNECT, and what it is answered; `None`: the client is not let in.
async fn greet<S: Stream>(
    hub: &Arc<Hub>,
    mut stream: S,
    from: Option<SocketAddr>,
    stop: &CancellationToken,
) -> Option<Box<ConnectionTask<S>>> {
    let mut decoder = Decoder::server(hub.settings.packet_max_bytes);
    let mut buffer = BytesMut::with_capacity(FIRST_BYTES);
    let first = tokio::time::timeout(CONNECT_WAIT, first_packet(&mut stream, &mut decoder, &mut buffer)).await;
    let connect = match first {
        Ok(Ok(Some(connect))) => connect,
        Ok(Err(error)) => {
            refuse_malformed(hub, stream, &decoder, error).await;
            return None;
        }
        // Too slow, or gone.
        Err(_) | Ok(Ok(None)) => return None,
    };
    match admit(hub, &connect, from, stop).await {
        Ok((agreed, guest)) => enter(hub, stream, (decoder, buffer), agreed, guest).await,
        Err(reason) => {
            hub.metrics.refused.add(1);
            tracing::info!(client = %connect.client_id, ?from, reason = reason.words(), "refused");
            answer(stream, &refusal(reason), connect.version).await;
            None
        }
    }
}

/// What a CONNECT usually needs at most.
const FIRST_BYTES: usize = 512;

/// `None`: the client left.
async fn first_packet<S: Stream>(
    stream: &mut S,
    decoder: &mut Decoder,
    buffer: &mut BytesMut,
) -> Result<Option<Box<Connect>>, DecodeError> {
    loop {
        match decoder.decode(buffer)? {
            Some(Packet::Connect(connect)) => return Ok(Some(connect)),
            // The decoder lets nothing else be first.
            Some(_) => return Ok(None),
            None => {}
        }
        if !matches!(read_buf(stream, buffer).await, Ok(1..)) {
            return Ok(None);
        }
    }
}

/// What is no CONNECT is answered only where the version is known well enough to say so [MQTT-3.1.4-1], [MQTT-3.1.2-2].
async fn refuse_malformed<S: Stream>(hub: &Hub, stream: S, decoder: &Decoder, error: DecodeError) {
    hub.metrics.refused.add(1);
    hub.metrics.protocol_errors.add(1);
    tracing::debug!(%error, "no CONNECT");
    match (error, decoder.version()) {
        (DecodeError::UnsupportedVersion(level), _) => {
            let version = if level > 5 { Version::V5 } else { Version::V3 };
            answer(stream, &refusal(Reason::UnsupportedVersion), version).await;
        }
        (_, Some(Version::V5)) => answer(stream, &refusal(error.reason()), Version::V5).await,
        _ => say_last(stream, BytesMut::new()).await,
    }
}

async fn answer<S: Stream>(stream: S, connack: &Connack, version: Version) {
    let mut bytes = BytesMut::new();
    let packet = Packet::Connack(Box::new(connack.clone()));
    if packet.encode(version, u32::MAX, &mut bytes).is_ok() {
        say_last(stream, bytes).await;
    }
}

/// Whether a client may come in.
async fn admit(
    hub: &Hub,
    connect: &Connect,
    from: Option<SocketAddr>,
    stop: &CancellationToken,
) -> Result<(Agreed, Principal), Reason> {
    if stop.is_cancelled() {
        return Err(Reason::ServerUnavailable);
    }
    if hub.metrics.connections.get() >= hub.settings.connections_max as u64 {
        return Err(Reason::ServerBusy);
    }
    let house = ServerLimits {
        packet_max_bytes: hub.settings.packet_max_bytes,
        keep_alive_max_s: hub.settings.keep_alive_max_s.map(Into::into),
    };
    let agreed = agree(connect, &house)?;
    let (name, password) = (connect.username.as_deref(), connect.password.as_deref());
    let guest = hub.settings.access.admit(name, password, from).await?;
    if let Some(will) = &connect.will
        && !guest.may_publish(&agreed.client, &will.topic)
    {
        return Err(Reason::NotAuthorized);
    }
    Ok((agreed, guest))
}

/// The session is claimed, and the client becomes known.
async fn enter<S: Stream>(
    hub: &Arc<Hub>,
    stream: S,
    (decoder, rest): (Decoder, BytesMut),
    agreed: Agreed,
    guest: Principal,
) -> Option<Box<ConnectionTask<S>>> {
    let version = agreed.terms.version;
    let taken = match tokio::time::timeout(TAKE_WAIT, hub.store.take(agreed.claim(unix_ms()))).await {
        Ok(Ok(taken)) => taken,
        _ => {
            hub.metrics.refused.add(1);
            answer(stream, &refusal(Reason::ServerUnavailable), version).await;
            return None;
        }
    };
    let holder = Holder { client: Arc::clone(&agreed.client), epoch: taken.epoch };
    let mut outbox = Outbox::new(agreed.terms.clone());
    outbox.say(&Packet::Connack(Box::new(agreed.welcome(taken.present))));
    outbox.resume(&taken);
    let wire = ClientConnection::new(holder, outbox);
    let party = hub.attach(&agreed.client, Connection::Wire(Arc::clone(&wire)), agreed.terms.lasting, &taken);
    hub.metrics.connects.add(1);
    hub.metrics.connections.add(1);
    if let Some(will) = taken.will {
        publish_will(hub, &will, None).await;
    }
    let rest = BytesMut::from(&rest[..]);
    let talk = Conversation::new(Arc::clone(hub), wire, party, guest, agreed.expiry_s, &taken.inbound);
    Some(Box::new(ConnectionTask::new(stream, decoder, rest, talk, agreed.silence_max)))
}

/// Everybody leaves when the replica stops, but not all in one instant.
async fn leave_on(stop: &CancellationToken) {
    stop.cancelled().await;
    let spread = crate::limits::DRAIN_SPREAD.as_millis().max(1);
    let wait_ms = u128::from(crate::message::random()) % spread;
    Box::pin(tokio::time::sleep(std::time::Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)))).await;
}

/// Lets the session go.
async fn part<S: Stream>(hub: &Hub, mut connection: Box<ConnectionTask<S>>, end: End) {
    let holder = connection.talk.wire.holder.clone();
    let moves = end == End::Told(Reason::UseAnotherServer) || end == End::Told(Reason::ServerShuttingDown);
    let reason = match end {
        End::Told(reason) => Some(reason),
        End::Goodbye { .. } | End::Lost => None,
    };
    tracing::debug!(client = %holder.client, ?end, "over");
    if reason.is_some_and(|reason| reason != Reason::SessionTakenOver && !moves) {
        hub.metrics.protocol_errors.add(1);
    }
    connection.settle().await;
    let (party, expiry_s) = (connection.talk.party.clone(), connection.talk.expiry_s);
    let (sent, left) = {
        let mut mailbox = connection.talk.wire.lock();
        mailbox.over = true;
        mailbox.relieve();
        (mailbox.outbox.progress().sent, mailbox.outbox.leave())
    };
    hub.detach(&party, holder.epoch, expiry_s > 0);
    let now_ms = unix_ms();
    let will = match end {
        End::Goodbye { will: false } => WillFate::Dropped,
        _ if moves => WillFate::Due(now_ms + u64::try_from(MOVE_WAIT.as_millis()).unwrap_or(0)),
        _ => WillFate::Due(now_ms),
    };
    let rest = SessionExpiry::after(expiry_s, now_ms);
    let mut detached = hub.store.commit(vec![Op::Detach { holder, sent, rest, will }]);
    // Who sees the connection closed and comes again to another replica finds the session as it was left.
    let in_time = tokio::time::timeout(FAREWELL, &mut detached).await.is_ok();
    connection.close(reason).await;
    for (message, share) in left {
        // What no store keeps goes to another member now.
        let _ = hub.pass_on(&message, &share, None).await;
    }
    if !in_time {
        // Whoever fails here leaves it to the sweep of another.
        let _ = detached.await;
    }
}

/// Publishes a will, under its guard if it has one.
pub(super) async fn publish_will(hub: &Hub, will: &Arc<Message>, guard: Option<DedupKey>) {
    let message = Message::clone(will).born(unix_ms());
    match hub.publish(message, guard).await {
        Ok(true) => hub.metrics.wills.add(1),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "a will was not published"),
    }
}
