//! The beginning and end of a connection: CONNECT, the claim of the session, and its release.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use bytestring::ByteString;
use tokio_util::io::read_buf;
use tokio_util::sync::CancellationToken;

use super::ConnectPermit;
use super::client_handler::{ClientHandler, ConnectionEnd};
use super::connection::{BufferedBytes, ConnectionTask, Stream, write_and_close};
use super::publish::refuse_topic;
use super::replica::Replica;
use super::session_handle::{ClientConnection, Connection, ConnectionOrigin};
use crate::auth::Principal;
use crate::codec::{Connack, Connect, DecodeError, Decoder, Packet, Reason, Version, topic};
use crate::limits::{CLAIM_WAIT, CLOSE_WAIT, CONNECT_WAIT, MOVE_WAIT};
use crate::message::{Message, unix_ms};
use crate::session::handshake::{NegotiatedConnect, ServerLimits, negotiate, refusal_connack};
use crate::session::{ConnectionTerms, Outbox};
use crate::store::{
    ClaimedSession, DedupKey, SessionExpiry, SessionHolder, StoreError, StoreOp, WillFate, claim_session,
};

/// From where a connection comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionSource {
    /// `None`: from inside this process.
    pub(crate) address: Option<SocketAddr>,
    /// The certificate (X.509 in DER) that the client has proved to be its own.
    pub(crate) certificate: Option<Arc<[u8]>>,
}

/// Serves one connection from its first byte to its last. It holds its permit until its CONNECT is accepted or refused.
pub(crate) async fn serve_connection<S: Stream>(
    replica: Arc<Replica>,
    stream: S,
    from: ConnectionSource,
    permit: ConnectPermit,
    stop: CancellationToken,
) {
    // In memory of its own, so that a connection that sleeps keeps nothing of its beginning and its end.
    let greeted = Box::pin(accept_client(&replica, stream, &from, &stop)).await;
    drop(permit);
    let Some(mut connection) = greeted else { return };
    let end = tokio::select! {
        end = connection.serve() => end,
        () = drain_delay(&stop) => ConnectionEnd::Closed(replica.settings.stop_reason()),
    };
    Box::pin(close_session(&replica, connection, end)).await;
    replica.metrics.connections.sub(1);
}

/// Handles CONNECT; `None`: the client is refused.
async fn accept_client<S: Stream>(
    replica: &Arc<Replica>,
    mut stream: S,
    from: &ConnectionSource,
    stop: &CancellationToken,
) -> Option<Box<ConnectionTask<S>>> {
    let mut decoder = Decoder::server(replica.settings.packet_max_bytes);
    let mut buffer = BytesMut::with_capacity(FIRST_BYTES);
    let mut buffered = BufferedBytes::new(&replica.metrics, replica.settings.buffered_bytes_max);
    let first = first_packet(&mut stream, &mut decoder, &mut buffer, &mut buffered);
    let first = tokio::time::timeout(CONNECT_WAIT, first).await;
    drop(buffered);
    let connect = match first {
        Ok(Ok(Some(connect))) => connect,
        Ok(Err(error)) => {
            refuse_malformed(replica, stream, &decoder, error).await;
            return None;
        }
        // Too slow, or gone.
        Err(_) | Ok(Ok(None)) => return None,
    };
    match authorize(replica, &connect, from, stop).await {
        Ok((agreed, principal)) => {
            open_session(replica, stream, from.address, (decoder, buffer), agreed, principal).await
        }
        Err(reason) => {
            replica.metrics.refused.add(1);
            if let Some(unlogged) = replica.refusal_log.admit(unix_ms()) {
                tracing::info!(client = %connect.client_id, from = ?from.address, reason = reason.words(), unlogged, "refused");
            }
            let most = connect.properties.packet_max_bytes.map_or(u32::MAX, Into::into);
            send_connack(stream, &refusal_connack(reason), connect.version, most).await;
            None
        }
    }
}

/// Bytes of a usual CONNECT.
const FIRST_BYTES: usize = 512;

/// `None`: the client left, or there is no room for what it sends.
async fn first_packet<S: Stream>(
    stream: &mut S,
    decoder: &mut Decoder,
    buffer: &mut BytesMut,
    buffered: &mut BufferedBytes,
) -> Result<Option<Box<Connect>>, DecodeError> {
    loop {
        match decoder.decode(buffer)? {
            Some(Packet::Connect(connect)) => return Ok(Some(connect)),
            // The decoder lets nothing else be first.
            Some(_) => return Ok(None),
            None => {}
        }
        if !matches!(read_buf(stream, buffer).await, Ok(1..)) || !buffered.count(buffer.capacity()) {
            return Ok(None);
        }
    }
}

/// An invalid CONNECT is answered only if its version is known [MQTT-3.1.4-1], [MQTT-3.1.2-2].
async fn refuse_malformed<S: Stream>(replica: &Replica, stream: S, decoder: &Decoder, error: DecodeError) {
    replica.metrics.refused.add(1);
    replica.metrics.protocol_errors.add(1);
    tracing::debug!(%error, "no CONNECT");
    match (error, decoder.version()) {
        (DecodeError::UnsupportedVersion(level), _) => {
            let version = if level > 5 { Version::V5 } else { Version::V3 };
            send_connack(stream, &refusal_connack(Reason::UnsupportedVersion), version, u32::MAX).await;
        }
        (_, Some(Version::V5)) => send_connack(stream, &refusal_connack(error.reason()), Version::V5, u32::MAX).await,
        // 3.1.3.1 of 3.1.1: return code 2.
        (DecodeError::ClientId, Some(Version::V3)) => {
            send_connack(stream, &refusal_connack(error.reason()), Version::V3, u32::MAX).await;
        }
        _ => write_and_close(stream, BytesMut::new()).await,
    }
}

/// A CONNACK larger than the client takes is not sent [MQTT-3.1.2-24]; the connection is closed all the same.
async fn send_connack<S: Stream>(stream: S, connack: &Connack, version: Version, max_bytes: u32) {
    let mut bytes = BytesMut::new();
    let packet = Packet::Connack(Box::new(connack.clone()));
    if packet.encode(version, max_bytes, &mut bytes).is_err() {
        bytes.clear();
    }
    write_and_close(stream, bytes).await;
}

/// Authenticates a client and agrees the terms of its connection.
async fn authorize(
    replica: &Replica,
    connect: &Connect,
    from: &ConnectionSource,
    stop: &CancellationToken,
) -> Result<(NegotiatedConnect, Principal), Reason> {
    if stop.is_cancelled() {
        return Err(Reason::ServerUnavailable);
    }
    if !replica.connect_rates.admit(from.address, Instant::now()) {
        replica.metrics.connects_too_fast.add(1);
        replica.warn_too_fast(from.address, "CONNECTs");
        return Err(Reason::ConnectionRateExceeded);
    }
    if replica.metrics.connections.get() >= replica.settings.connections_max as u64 {
        return Err(Reason::ServerBusy);
    }
    let house = ServerLimits {
        packet_max_bytes: replica.settings.packet_max_bytes,
        keep_alive_max_s: replica.settings.keep_alive_max_s.map(Into::into),
        receive_max: replica.settings.receive_max,
        session_expiry_max_s: replica.settings.session_expiry_max_s,
    };
    let agreed = negotiate(connect, &house)?;
    if !agreed.fits_client() {
        return Err(Reason::PacketTooLarge);
    }
    let (name, password) = (connect.username.as_deref(), connect.password.as_deref());
    let access = replica.access();
    // The password counts before the certificate: it is of the request.
    let certificate = from.certificate.as_ref().filter(|_| password.is_none());
    let principal = match certificate.and_then(|certificate| access.admit_certificate(certificate)) {
        Some(certified) => certified?,
        None => access.admit(name, password, from.address).await.inspect_err(|reason| {
            if *reason == Reason::ConnectionRateExceeded {
                replica.metrics.passwords_held_back.add(1);
            }
        })?,
    };
    let refusal = connect.will.as_ref().and_then(|will| refuse_topic(&principal, &agreed.client, &will.topic));
    refusal.map_or(Ok((agreed, principal)), Err)
}

/// Claims the session and attaches the connection to it.
async fn open_session<S: Stream>(
    replica: &Arc<Replica>,
    stream: S,
    address: Option<SocketAddr>,
    (decoder, rest): (Decoder, BytesMut),
    mut agreed: NegotiatedConnect,
    principal: Principal,
) -> Option<Box<ConnectionTask<S>>> {
    let claim = agreed.claim(principal.user(), unix_ms());
    let claiming = async {
        replica.hand_over(&agreed.client, principal.user()).await?;
        claim_session(&*replica.store, claim.clone()).await
    };
    let mut claimed = match tokio::time::timeout(CLAIM_WAIT, claiming).await {
        Ok(Ok(claimed)) => claimed,
        refused => {
            replica.metrics.refused.add(1);
            let reason = match refused {
                Ok(Err(StoreError::SessionsFull)) => Reason::QuotaExceeded,
                Ok(Err(StoreError::NotOwner)) => Reason::NotAuthorized,
                _ => Reason::ServerUnavailable,
            };
            let ConnectionTerms { version, packet_max_bytes, .. } = agreed.terms;
            send_connack(stream, &refusal_connack(reason), version, packet_max_bytes).await;
            return None;
        }
    };
    let holder = SessionHolder { client: Arc::clone(&agreed.client), epoch: claimed.epoch };
    agreed.terms.lasting = claim.is_stored(claimed.present);
    let mut outbox = Outbox::new(agreed.terms.clone());
    outbox.send(&Packet::Connack(Box::new(agreed.connack(claimed.present && !decoder.is_3_1()))));
    outbox.resume(&claimed);
    let revoked = take_revoked(&principal, &agreed.client, &mut claimed);
    let user = principal.user().map(Arc::from);
    let origin = ConnectionOrigin { address, user, connected_at_ms: unix_ms() };
    let connection = ClientConnection::new(holder, outbox, origin);
    let session =
        replica.attach(&agreed.client, Connection::Client(Arc::clone(&connection)), agreed.terms.lasting, &claimed);
    replica.metrics.connects.add(1);
    replica.metrics.connections.add(1);
    if let Some(will) = claimed.will {
        publish_will(replica, &will, None).await;
    }
    let rest = BytesMut::from(&rest[..]);
    let mut handler =
        ClientHandler::new(Arc::clone(replica), connection, session, principal, agreed.expiry_s, &claimed.inbound);
    handler.revoke(revoked);
    claimed.subscriptions.iter().for_each(|(filter, _)| handler.release_share(filter));
    Some(Box::new(ConnectionTask::new(stream, decoder, rest, handler, agreed.keep_alive_timeout)))
}

/// Takes away the subscriptions of a resumed session that the client may not have any more.
fn take_revoked(principal: &Principal, client: &str, claimed: &mut ClaimedSession) -> Vec<ByteString> {
    let is_revoked = |(filter, _): &mut (ByteString, _)| !principal.may_subscribe(client, topic::plain(filter));
    claimed.subscriptions.extract_if(.., is_revoked).map(|(filter, _)| filter).collect()
}

/// Connections are closed when the replica stops, spread over a short time.
async fn drain_delay(stop: &CancellationToken) {
    stop.cancelled().await;
    let spread = crate::limits::DRAIN_SPREAD.as_millis().max(1);
    let wait_ms = u128::from(crate::message::random()) % spread;
    Box::pin(tokio::time::sleep(std::time::Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)))).await;
}

/// Detaches the session and closes the connection.
async fn close_session<S: Stream>(replica: &Replica, mut connection: Box<ConnectionTask<S>>, end: ConnectionEnd) {
    let holder = connection.handler.connection.holder.clone();
    let moves = end == ConnectionEnd::Closed(Reason::UseAnotherServer)
        || end == ConnectionEnd::Closed(Reason::ServerShuttingDown);
    let reason = match end {
        ConnectionEnd::Closed(reason) => Some(reason),
        ConnectionEnd::Disconnected { .. } | ConnectionEnd::Lost => None,
    };
    tracing::debug!(client = %holder.client, ?end, "over");
    let is_ours = matches!(reason, Some(Reason::SessionTakenOver | Reason::AdministrativeAction)) || moves;
    if reason.is_some() && !is_ours {
        replica.metrics.protocol_errors.add(1);
    }
    connection.finish_commits().await;
    let (session, expiry_s) = (connection.handler.session.clone(), connection.handler.expiry_s);
    let (sent, left) = {
        let mut queue = connection.handler.connection.lock();
        queue.ended = true;
        queue.relieve();
        (queue.outbox.progress().sent, queue.outbox.take_shared())
    };
    replica.detach(&session, holder.epoch, expiry_s > 0);
    let now_ms = unix_ms();
    let will = match end {
        ConnectionEnd::Disconnected { will: false } => WillFate::Dropped,
        _ if moves => WillFate::Due(now_ms + u64::try_from(MOVE_WAIT.as_millis()).unwrap_or(0)),
        _ => WillFate::Due(now_ms),
    };
    let expiry = SessionExpiry::after(expiry_s, now_ms);
    let mut detached = replica.store.commit(vec![StoreOp::Detach { holder, sent, expiry, will }]);
    // A client that sees the connection closed and reconnects to another replica finds the session detached.
    let in_time = tokio::time::timeout(CLOSE_WAIT, &mut detached).await.is_ok();
    connection.handler.connection.set_detached();
    connection.close(reason).await;
    for (message, share) in left {
        // Messages that no store keeps go to another member now.
        let _ = replica.redeliver_shared(&message, &share, None).await;
    }
    if !in_time {
        // If this fails, the sweep of another replica detaches the session.
        let _ = detached.await;
    }
}

/// Publishes a will, under its guard if it has one.
pub(super) async fn publish_will(replica: &Replica, will: &Arc<Message>, dedup_key: Option<DedupKey>) {
    let message = Message::clone(will).start_expiry(unix_ms());
    match replica.publish(message, dedup_key).await {
        Ok(true) => replica.metrics.wills.add(1),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "a will was not published"),
    }
}
