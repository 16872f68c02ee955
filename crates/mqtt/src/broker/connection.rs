//! A connection: bytes in, bytes out, the clock, and the store's answers, in one task.
//!
//! What must stay true: the packets of one wake-up are handled in one batch and answered in one write; an idle connection
//! holds no buffer; a connection reads no more while its packets wait for the store, so that memory is bounded and a
//! publisher is held back by its own socket.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::io::poll_read_buf;

use super::client_handler::{AfterCommit, ClientHandler, ConnectionEnd};
use super::session_handle::Connection;
use crate::codec::{Decoder, Reason};
use crate::limits::{BACKPRESSURE_WAIT, CLOSE_WAIT, LOAD_MESSAGES, PACKETS_PER_WAKE, READ_BYTES, SLOW_CONSUMER_WAIT};
use crate::message::unix_ms;
use crate::session::encode_cache::with_encode_cache;
use crate::store::{Queued, StoreFuture, StoreOutcome, commit_with};

/// Bytes that a connection reads at first to complete a packet.
const REST_BYTES: usize = 4096;

/// The byte stream of a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Each continuation of a batch with the outcome of its operation.
type Committed = Vec<(AfterCommit, StoreOutcome)>;

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
}

thread_local! {
    /// Where sockets are read into: one for all connections of a thread.
    static READING: RefCell<BytesMut> = RefCell::default();
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
        }
    }

    /// Serves the client until the end.
    pub(crate) async fn serve(&mut self) -> ConnectionEnd {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        loop {
            let more = match self.poll_once(cx) {
                Ok(more) => more,
                Err(end) => return Poll::Ready(end),
            };
            if !more {
                return Poll::Pending;
            }
        }
    }

    /// Does what is possible now; returns whether there may be more.
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionEnd> {
        let mut more = self.poll_store(cx)?;
        more |= self.poll_input(cx)?;
        if self.yields_to_receivers(cx) {
            return Ok(false);
        }
        more |= self.poll_out_queue(cx)?;
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
            let found = found.map_err(|_| ConnectionEnd::Closed(Reason::ServerBusy))?;
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
        let store = Arc::clone(&self.handler.replica.store);
        let committing = Box::pin(async move { commit_with(&*store, batch).await });
        self.committing = Some((committing, Instant::now()));
        true
    }

    /// Reads and handles packets, unless a commit is under way or a receiver is congested.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionEnd> {
        if self.committing.is_some() || self.is_paused(cx) {
            return Ok(false);
        }
        if self.may_have_packet {
            let mut rest = std::mem::take(&mut self.rest);
            self.handle_packets(&mut rest)?;
            self.rest = if rest.is_empty() { BytesMut::new() } else { rest };
            return Ok(true);
        }
        let read = if self.rest.is_empty() {
            READING.with(|reading| match reading.try_borrow_mut() {
                Ok(mut reading) => self.read_shared(cx, &mut reading),
                Err(_) => self.read_shared(cx, &mut BytesMut::new()),
            })?
        } else {
            let mut rest = std::mem::take(&mut self.rest);
            rest.reserve(rest.len().clamp(REST_BYTES, READ_BYTES));
            let read = self.read_into(cx, &mut rest);
            if !rest.is_empty() {
                self.rest = rest;
            }
            read?
        };
        Ok(read)
    }

    /// Reads into memory that all connections of the thread share; an incomplete packet moves to memory of its own.
    fn read_shared(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Result<bool, ConnectionEnd> {
        buffer.reserve(READ_BYTES);
        let read = self.read_into(cx, buffer);
        if !buffer.is_empty() {
            self.rest = BytesMut::from(&buffer[..]);
            buffer.clear();
        }
        read
    }

    /// Reads once into `buffer`, and handles the packets that are whole.
    fn read_into(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Result<bool, ConnectionEnd> {
        let count = match poll_read_buf(Pin::new(&mut self.stream), cx, buffer) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0) | Err(_)) => return Err(ConnectionEnd::Lost),
            Poll::Ready(Ok(count)) => count,
        };
        self.handler.replica.metrics.received_bytes.add(count as u64);
        self.handle_packets(buffer).map(|()| true)
    }

    /// Handles the packets that are whole, and acknowledges all of them together.
    fn handle_packets(&mut self, buffer: &mut BytesMut) -> Result<(), ConnectionEnd> {
        let (before, now) = (buffer.len(), Instant::now());
        let acks = self.decode_packets(buffer);
        if buffer.len() < before {
            // A packet, or more than one. A piece of one is no sign of life.
            (self.received_at, self.written_at) = (now, now);
        }
        let answered = self.handler.flush_acks();
        self.commit();
        acks.and(answered)
    }

    fn decode_packets(&mut self, buffer: &mut BytesMut) -> Result<(), ConnectionEnd> {
        let now_ms = unix_ms();
        self.may_have_packet = false;
        for _ in 0..PACKETS_PER_WAKE {
            let packet = self.decoder.decode(buffer).map_err(|error| {
                tracing::debug!(client = %self.handler.session.0.client, %error, "not a packet");
                ConnectionEnd::Closed(error.reason())
            })?;
            let Some(packet) = packet else { return Ok(()) };
            self.handler.handle(packet, now_ms)?;
        }
        self.may_have_packet = !buffer.is_empty();
        Ok(())
    }

    /// Whether a slow consumer has to be waited for.
    fn is_paused(&mut self, cx: &mut Context<'_>) -> bool {
        let me = Connection::Client(Arc::clone(&self.handler.connection));
        for connection in self.handler.congested.drain(..) {
            // A connection does not wait for itself: its acknowledgements are in the socket that would not be read.
            if !connection.is(&me) && !self.congested.iter().any(|known| known.is(&connection)) {
                self.congested.push(connection);
            }
        }
        if self.congested.is_empty() {
            return false;
        }
        let replica = &self.handler.replica;
        let ends = self.pause_ends.get_or_insert_with(|| {
            replica.metrics.held_back.add(1);
            Box::pin(sleep_until(Instant::now() + BACKPRESSURE_WAIT))
        });
        let ended = ends.as_mut().poll(cx).is_ready();
        self.congested.retain(|connection| connection.hold_back(cx.waker()));
        if ended || self.congested.is_empty() {
            self.congested.clear();
            self.pause_ends = None;
        }
        !self.congested.is_empty()
    }

    /// Takes the output for the client; returns whether there is a new operation for the store.
    fn poll_out_queue(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionEnd> {
        let mut queue = self.handler.connection.lock();
        if let Some(reason) = queue.close {
            return Err(ConnectionEnd::Closed(reason));
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
        queue.sleep(cx.waker());
        drop(queue);
        if let Some(after) = after {
            let (store, holder) = (Arc::clone(&self.handler.replica.store), self.handler.connection.holder.clone());
            self.loading = Some(Box::pin(async move { store.load(holder, after, LOAD_MESSAGES).await }));
        }
        let more = after.is_some() || !discarded.is_empty();
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
        self.timer.as_mut().reset(next);
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
        if let Ok(outcomes) = commit_with(&*self.handler.replica.store, batch).await {
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
