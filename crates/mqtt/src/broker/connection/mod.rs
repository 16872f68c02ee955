//! A connection: bytes in, bytes out, the clock, and the store's answers, in one task.
//!
//! What must stay true: the packets of one wake-up are handled in one batch and answered in one write; an idle connection
//! holds no buffer; a connection reads no more while its packets wait for the store, or two batches for the intake, so that
//! memory is bounded and a publisher is held back by its own socket.

mod buffered;
mod input;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::client_handler::{ClientHandler, Committed, ConnectionEnd, commit_batch};
use super::session_handle::Connection;
use crate::codec::{Decoder, Reason};
use crate::limits::{CLOSE_WAIT, HANDOVER_WAIT, LOAD_MESSAGES, SLOW_CONSUMER_WAIT, TURN};
use crate::message::unix_ms;
use crate::session::encode_cache::with_encode_cache;
use crate::store::{Queued, StoreFuture};
pub(crate) use buffered::BufferedBytes;

/// The byte stream of a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// A connection after its CONNECT.
pub(crate) struct ConnectionTask<S> {
    stream: S,
    decoder: Decoder,
    /// Bytes that are not handled yet: the beginning of a packet, or whole packets.
    rest: BytesMut,
    /// Whether `rest` may hold a whole packet.
    may_have_packet: bool,
    writing: BytesMut,
    flushing: bool,
    pub(crate) handler: ClientHandler,
    committing: Option<(StoreFuture<'static, Committed>, Instant)>,
    loading: Option<StoreFuture<'static, Vec<Queued>>>,
    keep_alive_timeout: Option<Duration>,
    timer: Pin<Box<Sleep>>,
    received_at: Instant,
    /// When the client last took something.
    written_at: Instant,
    congested: Vec<Connection>,
    pause_ends: Option<Pin<Box<Sleep>>>,
    /// Whether it has let its receivers write first.
    has_yielded: bool,
    /// A newer connection waits for the session until then.
    handover_ends: Option<Instant>,
    buffered: BufferedBytes,
}

impl<S: Stream> ConnectionTask<S> {
    pub(crate) fn new(
        stream: S,
        decoder: Decoder,
        rest: BytesMut,
        handler: ClientHandler,
        keep_alive_timeout: Option<Duration>,
    ) -> Self {
        let now = Instant::now();
        let replica = &handler.replica;
        let buffered = BufferedBytes::new(&replica.metrics, replica.settings.buffered_bytes_max);
        let first = keep_alive_timeout.unwrap_or(SLOW_CONSUMER_WAIT).min(SLOW_CONSUMER_WAIT);
        Self {
            stream,
            decoder,
            may_have_packet: !rest.is_empty(),
            rest,
            writing: BytesMut::new(),
            flushing: false,
            handler,
            committing: None,
            loading: None,
            keep_alive_timeout,
            timer: Box::pin(sleep_until(now + first)),
            received_at: now,
            written_at: now,
            congested: Vec::new(),
            pause_ends: None,
            has_yielded: false,
            handover_ends: None,
            buffered,
        }
    }

    /// Serves the client until the end.
    pub(crate) async fn serve(&mut self) -> ConnectionEnd {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        let began = Instant::now();
        loop {
            let more = match self.poll_once(cx) {
                Ok(more) => more,
                Err(end) => return Poll::Ready(end),
            };
            if !more {
                return Poll::Pending;
            }
            if self.handler.take_is_over_budget() || began.elapsed() > TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Does what is possible now; returns whether there may be more.
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionEnd> {
        let mut more = self.poll_store(cx)?;
        let has_read = self.poll_input(cx)?;
        more |= has_read;
        if self.yields_to_receivers(cx) {
            return Ok(false);
        }
        let is_drained = !has_read && self.committing.is_none() && self.congested.is_empty();
        more |= self.poll_out_queue(cx, is_drained)?;
        more |= self.poll_output(cx)?;
        more |= self.poll_clock(cx)?;
        Ok(more)
    }

    /// After it delivered messages, a connection lets their receivers write before it answers its own client, once: the
    /// messages leave sooner, and the answer waits for less than it takes to read more.
    fn yields_to_receivers(&mut self, cx: &Context<'_>) -> bool {
        self.has_yielded = self.handler.take_has_delivered() && !self.has_yielded;
        if self.has_yielded {
            cx.waker().wake_by_ref();
        }
        self.has_yielded
    }

    /// Applies what the store has answered, and begins the next commit.
    fn poll_store(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionEnd> {
        let mut more = false;
        if let Some((committing, began)) = &mut self.committing
            && let Poll::Ready(committed) = committing.as_mut().poll(cx)
        {
            self.handler.replica.metrics.record_store_batch(began.elapsed());
            self.committing = None;
            let outcomes = committed.map_err(|_| ConnectionEnd::Closed(Reason::ServerBusy))?;
            self.handler.apply_outcomes(outcomes, unix_ms())?;
            more = true;
        }
        if let Some(loading) = &mut self.loading
            && let Poll::Ready(found) = loading.as_mut().poll(cx)
        {
            self.loading = None;
            let mut found = found.map_err(|_| ConnectionEnd::Closed(Reason::ServerBusy))?;
            self.handler.withhold_revoked(&mut found);
            self.handler.connection.lock().outbox.on_loaded(found, LOAD_MESSAGES);
            more = true;
        }
        more |= self.commit();
        Ok(more)
    }

    /// Commits the gathered operations, one batch at a time. Returns whether a commit began.
    fn commit(&mut self) -> bool {
        if self.committing.is_some() {
            return false;
        }
        let batch = self.handler.take_batch();
        if batch.is_empty() {
            return false;
        }
        let replica = Arc::clone(&self.handler.replica);
        let is_told_refusals = self.handler.is_told_refusals();
        let committing = Box::pin(async move { commit_batch(&replica, batch, is_told_refusals).await });
        self.committing = Some((committing, Instant::now()));
        true
    }

    /// Takes the output for the client; returns whether there is a new operation for the store. `is_drained`: all that
    /// was received is handled. A connection that is taken over ends only then: a DISCONNECT may be among it.
    fn poll_out_queue(&mut self, cx: &mut Context<'_>, is_drained: bool) -> Result<bool, ConnectionEnd> {
        let mut queue = self.handler.connection.lock();
        if let Some(reason) = queue.close {
            if reason != Reason::SessionTakenOver || is_drained {
                return Err(ConnectionEnd::Closed(reason));
            }
            if self.handover_ends.is_none() {
                let ends = Instant::now() + HANDOVER_WAIT;
                self.handover_ends = Some(ends);
                self.timer.as_mut().reset(ends);
            }
        }
        let now_ms = if queue.outbox.has_unacknowledged() { unix_ms() } else { 0 };
        with_encode_cache(|cache| queue.outbox.send_waiting(now_ms, cache));
        queue.relieve();
        let discarded = queue.outbox.take_discarded();
        let progress = queue.outbox.progress();
        if self.writing.is_empty() && queue.outbox.has_output() {
            self.writing = queue.outbox.take_output();
            queue.outbox.report_sent(&self.handler.replica.metrics);
        }
        let after = queue.outbox.load_after().filter(|_| self.loading.is_none());
        if after.is_some() {
            queue.outbox.begin_load();
        }
        let has_new_rights = std::mem::take(&mut queue.has_new_rights);
        queue.sleep(cx.waker());
        let waiting_bytes = queue.outbox.buffered_bytes();
        drop(queue);
        if !self.buffered.count(waiting_bytes + self.writing.len() + self.rest.capacity()) {
            return Err(ConnectionEnd::Closed(Reason::QuotaExceeded));
        }
        if has_new_rights {
            self.handler.check_rights()?;
        }
        if let Some(after) = after {
            let (store, holder) = (Arc::clone(&self.handler.replica.store), self.handler.connection.holder.clone());
            self.loading = Some(Box::pin(async move { store.load(holder, after, LOAD_MESSAGES).await }));
        }
        let more = after.is_some() || !discarded.is_empty() || has_new_rights;
        self.handler.acknowledge_stored(discarded, progress);
        Ok(more)
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionEnd> {
        let mut more = false;
        while !self.writing.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.writing) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(0) | Err(_)) => return Err(ConnectionEnd::Lost),
                Poll::Ready(Ok(count)) => {
                    self.handler.replica.metrics.sent_bytes.add(count as u64);
                    self.writing.advance(count);
                    self.written_at = Instant::now();
                    self.flushing = true;
                    more = self.writing.is_empty();
                }
            }
        }
        if self.flushing {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(_)) => return Err(ConnectionEnd::Lost),
                Poll::Ready(Ok(())) => self.flushing = false,
            }
        }
        if more {
            let written = std::mem::take(&mut self.writing);
            self.handler.connection.lock().outbox.reuse_buffer(written);
        }
        Ok(more)
    }

    /// Keep-alive [MQTT-3.1.2-22], and clients that take nothing.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionEnd> {
        if self.timer.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        let now = Instant::now();
        // While the store is away nothing is read: the silence is ours.
        if self.committing.is_some() {
            self.received_at = now;
        }
        if self.handover_ends.is_some_and(|ends| now >= ends) {
            return Err(ConnectionEnd::Closed(Reason::SessionTakenOver));
        }
        if self.keep_alive_timeout.is_some_and(|most| now >= self.received_at + most) {
            return Err(ConnectionEnd::Closed(Reason::KeepAliveTimeout));
        }
        let stuck = !self.writing.is_empty() || self.handler.connection.lock().outbox.is_congested();
        if stuck && now >= self.written_at + SLOW_CONSUMER_WAIT {
            self.handler.replica.metrics.slow_consumers.add(1);
            return Err(ConnectionEnd::Closed(Reason::QuotaExceeded));
        }
        let mut next = now + SLOW_CONSUMER_WAIT;
        if let Some(most) = self.keep_alive_timeout {
            next = next.min(self.received_at + most);
        }
        self.timer.as_mut().reset(self.handover_ends.map_or(next, |ends| next.min(ends)));
        Ok(true)
    }

    /// Finishes the commits that were begun, before the session is given up.
    pub(crate) async fn finish_commits(&mut self) {
        if let Some((committing, _)) = self.committing.take()
            && let Ok(outcomes) = committing.await
        {
            let _ = self.handler.apply_outcomes(outcomes, unix_ms());
        }
        let batch = self.handler.take_batch();
        if batch.is_empty() {
            return;
        }
        if let Ok(outcomes) = commit_batch(&self.handler.replica, batch, true).await {
            let _ = self.handler.apply_outcomes(outcomes, unix_ms());
        }
    }

    /// Writes what is left, and closes; a client that does not read is waited for only briefly.
    pub(crate) async fn close(mut self, reason: Option<Reason>) {
        if let Some(reason) = reason {
            self.handler.connection.lock().outbox.send_disconnect(reason);
        }
        let last = self.handler.connection.lock().outbox.take_output();
        self.writing.extend_from_slice(&last);
        write_and_close(self.stream, self.writing).await;
    }
}

/// Writes the last bytes and shuts the socket.
pub(super) async fn write_and_close<S: Stream>(mut stream: S, mut bytes: BytesMut) {
    let farewell = poll_fn(|cx| {
        while !bytes.is_empty() {
            match Pin::new(&mut stream).poll_write(cx, &bytes) {
                Poll::Ready(Ok(count)) if count > 0 => bytes.advance(count),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Pin::new(&mut stream).poll_shutdown(cx).map(|_| ())
    });
    let _ = tokio::time::timeout(CLOSE_WAIT, farewell).await;
}
