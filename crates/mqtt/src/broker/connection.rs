//! A connection: bytes in, bytes out, the clock, and the store's answers, in one task.
//!
//! What must stay true: everything that came in one wake-up is carried out in one batch and answered in one write; an
//! idle connection holds no buffer; nobody reads more while what was read waits for the store, so that memory is bounded
//! and a publisher is held back by its own socket.

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

use super::client_handler::{ClientHandler, ConnectionEnd, Steps};
use super::session_handle::Connection;
use crate::codec::{Decoder, Reason};
use crate::limits::{FAREWELL, LOAD_COUNT, PACKETS_A_WAKE, PRESSURE_WAIT, READ_BYTES, SLOW_CONSUMER_WAIT};
use crate::message::unix_ms;
use crate::session::encode_cache::with_encode_cache;
use crate::store::{Queued, StoreError, StoreOutcome};

/// What a connection with the beginning of a packet reads at a time, at first.
const REST_BYTES: usize = 4096;

/// What is read and written.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// A connection after its CONNECT.
pub(crate) struct ConnectionTask<S> {
    stream: S,
    decoder: Decoder,
    /// The beginning of a packet, and what came behind it.
    rest: BytesMut,
    /// Whether `rest` may hold a whole packet.
    may_have_packet: bool,
    writing: BytesMut,
    flushing: bool,
    pub(crate) handler: ClientHandler,
    committing: Option<(StoreFuture<Vec<StoreOutcome>>, Steps, Instant)>,
    loading: Option<StoreFuture<Vec<Queued>>>,
    keep_alive_timeout: Option<Duration>,
    timer: Pin<Box<Sleep>>,
    received_at: Instant,
    /// When the client last took something.
    written_at: Instant,
    congested: Vec<Connection>,
    pause_ends: Option<Pin<Box<Sleep>>>,
    /// Whether others are going first.
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

    /// Does what can be done now; says whether there may be more.
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

    /// After it gave something to others, a connection lets them write before it answers its own client, once: what is
    /// new is on its way sooner, and the answer waits for less than it takes to read more.
    fn yields_to_receivers(&mut self, cx: &Context<'_>) -> bool {
        self.has_yielded = self.handler.take_has_delivered() && !self.has_yielded;
        if self.has_yielded {
            cx.waker().wake_by_ref();
        }
        self.has_yielded
    }

    /// What the store has answered, and the next batch.
    fn poll_store(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionEnd> {
        let mut more = false;
        if let Some((waiting, _, _)) = &mut self.committing
            && let Poll::Ready(answer) = waiting.as_mut().poll(cx)
            && let Some((_, steps, began)) = self.committing.take()
        {
            self.handler.replica.metrics.record_store_batch(began.elapsed());
            let outcomes = answer.map_err(|_| ConnectionEnd::Closed(Reason::ServerBusy))?;
            self.handler.follow_up(outcomes, steps, unix_ms())?;
            more = true;
        }
        if let Some(loading) = &mut self.loading
            && let Poll::Ready(found) = loading.as_mut().poll(cx)
        {
            self.loading = None;
            let found = found.map_err(|_| ConnectionEnd::Closed(Reason::ServerBusy))?;
            self.handler.connection.lock().outbox.on_loaded(found, LOAD_COUNT);
            more = true;
        }
        more |= self.commit();
        Ok(more)
    }

    /// Gives the store what there is to do, one batch at a time. Returns whether a new one began.
    fn commit(&mut self) -> bool {
        if self.committing.is_some() {
            return false;
        }
        let Some(batch) = self.handler.take_batch(unix_ms()) else { return false };
        let (ops, steps) = batch.parts();
        let store = Arc::clone(&self.handler.replica.store);
        let waiting = Box::pin(async move { store.commit(ops).await });
        self.committing = Some((waiting, steps, Instant::now()));
        true
    }

    /// Reads and hears packets, unless what was heard waits or somebody has to be waited for.
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

    /// Reads into memory that all connections of the thread share; what is left in it moves out.
    fn read_shared(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Result<bool, ConnectionEnd> {
        buffer.reserve(READ_BYTES);
        let read = self.read_into(cx, buffer);
        if !buffer.is_empty() {
            self.rest = BytesMut::from(&buffer[..]);
            buffer.clear();
        }
        read
    }

    /// Reads once behind what `buffer` holds, and hears what is whole.
    fn read_into(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Result<bool, ConnectionEnd> {
        let count = match poll_read_buf(Pin::new(&mut self.stream), cx, buffer) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0) | Err(_)) => return Err(ConnectionEnd::Lost),
            Poll::Ready(Ok(count)) => count,
        };
        self.handler.replica.metrics.received_bytes.add(count as u64);
        self.handle_packets(buffer).map(|()| true)
    }

    /// Hears the packets that are whole, and answers all of them together.
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
        for _ in 0..PACKETS_A_WAKE {
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
            // Nobody waits for himself: his acknowledgements are in the socket that would not be read.
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
            Box::pin(sleep_until(Instant::now() + PRESSURE_WAIT))
        });
        let ended = ends.as_mut().poll(cx).is_ready();
        self.congested.retain(|connection| connection.hold_back(cx.waker()));
        if ended || self.congested.is_empty() {
            self.congested.clear();
            self.pause_ends = None;
        }
        !self.congested.is_empty()
    }

    /// Takes what is for the client; says whether that gave the store something to do.
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
            self.loading = Some(Box::pin(async move { store.load(holder, after, LOAD_COUNT).await }));
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

    /// What is still to be done before the session is let go: nothing that was begun is left half done.
    pub(crate) async fn finish_commits(&mut self) {
        if let Some((waiting, steps, _)) = self.committing.take()
            && let Ok(outcomes) = waiting.await
        {
            let _ = self.handler.follow_up(outcomes, steps, unix_ms());
        }
        if let Some(batch) = self.handler.take_batch(unix_ms()) {
            let (ops, steps) = batch.parts();
            if let Ok(outcomes) = self.handler.replica.store.commit(ops).await {
                let _ = self.handler.follow_up(outcomes, steps, unix_ms());
            }
        }
    }

    /// Says what is left to say, and closes; a client that does not listen is not waited for.
    pub(crate) async fn close(mut self, reason: Option<Reason>) {
        if let Some(reason) = reason {
            self.handler.connection.lock().outbox.say_goodbye(reason);
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
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}
