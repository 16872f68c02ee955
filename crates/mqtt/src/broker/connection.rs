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

use super::client_handler::{Conversation, End, Steps};
use super::session_handle::Connection;
use crate::codec::{Decoder, Reason};
use crate::limits::{FAREWELL, LOAD_COUNT, PACKETS_A_WAKE, PRESSURE_WAIT, READ_BYTES, SLOW_CONSUMER_WAIT};
use crate::message::unix_ms;
use crate::session::encode_cache::with_encoded;
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
    fresh: bool,
    writing: BytesMut,
    flushing: bool,
    pub(crate) talk: Conversation,
    committing: Option<(StoreFuture<Vec<StoreOutcome>>, Steps, Instant)>,
    loading: Option<StoreFuture<Vec<Queued>>>,
    silence_max: Option<Duration>,
    timer: Pin<Box<Sleep>>,
    heard_at: Instant,
    /// When the client last took something.
    took_at: Instant,
    paused: Vec<Connection>,
    pause_ends: Option<Pin<Box<Sleep>>>,
    /// Whether others are going first.
    waits: bool,
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
        talk: Conversation,
        silence_max: Option<Duration>,
    ) -> Self {
        let now = Instant::now();
        let first = silence_max.unwrap_or(SLOW_CONSUMER_WAIT).min(SLOW_CONSUMER_WAIT);
        Self {
            stream,
            decoder,
            fresh: !rest.is_empty(),
            rest,
            writing: BytesMut::new(),
            flushing: false,
            talk,
            committing: None,
            loading: None,
            silence_max,
            timer: Box::pin(sleep_until(now + first)),
            heard_at: now,
            took_at: now,
            paused: Vec::new(),
            pause_ends: None,
            waits: false,
        }
    }

    /// Serves the client until the end.
    pub(crate) async fn serve(&mut self) -> End {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let more = match self.turn(cx) {
                Ok(more) => more,
                Err(end) => return Poll::Ready(end),
            };
            if !more {
                return Poll::Pending;
            }
        }
    }

    /// Does what can be done now; says whether there may be more.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut more = self.poll_store(cx)?;
        more |= self.poll_input(cx)?;
        if self.lets_others_go_first(cx) {
            return Ok(false);
        }
        more |= self.empty_mailbox(cx)?;
        more |= self.poll_output(cx)?;
        more |= self.poll_clock(cx)?;
        Ok(more)
    }

    /// After it gave something to others, a connection lets them write before it answers its own client, once: what is
    /// new is on its way sooner, and the answer waits for less than it takes to read more.
    fn lets_others_go_first(&mut self, cx: &Context<'_>) -> bool {
        self.waits = self.talk.has_stirred() && !self.waits;
        if self.waits {
            cx.waker().wake_by_ref();
        }
        self.waits
    }

    /// What the store has answered, and the next batch.
    fn poll_store(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut more = false;
        if let Some((waiting, _, _)) = &mut self.committing
            && let Poll::Ready(answer) = waiting.as_mut().poll(cx)
            && let Some((_, steps, began)) = self.committing.take()
        {
            self.talk.hub.metrics.note_store(began.elapsed());
            let outcomes = answer.map_err(|_| End::Told(Reason::ServerBusy))?;
            self.talk.follow_up(outcomes, steps, unix_ms())?;
            more = true;
        }
        if let Some(loading) = &mut self.loading
            && let Poll::Ready(found) = loading.as_mut().poll(cx)
        {
            self.loading = None;
            let found = found.map_err(|_| End::Told(Reason::ServerBusy))?;
            self.talk.wire.lock().outbox.loaded(found, LOAD_COUNT);
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
        let Some(batch) = self.talk.take_batch(unix_ms()) else { return false };
        let (ops, steps) = batch.parts();
        let store = Arc::clone(&self.talk.hub.store);
        let waiting = Box::pin(async move { store.commit(ops).await });
        self.committing = Some((waiting, steps, Instant::now()));
        true
    }

    /// Reads and hears packets, unless what was heard waits or somebody has to be waited for.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.committing.is_some() || self.is_paused(cx) {
            return Ok(false);
        }
        if self.fresh {
            let mut rest = std::mem::take(&mut self.rest);
            self.hear(&mut rest)?;
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
    fn read_shared(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Result<bool, End> {
        buffer.reserve(READ_BYTES);
        let read = self.read_into(cx, buffer);
        if !buffer.is_empty() {
            self.rest = BytesMut::from(&buffer[..]);
            buffer.clear();
        }
        read
    }

    /// Reads once behind what `buffer` holds, and hears what is whole.
    fn read_into(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Result<bool, End> {
        let count = match poll_read_buf(Pin::new(&mut self.stream), cx, buffer) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0) | Err(_)) => return Err(End::Lost),
            Poll::Ready(Ok(count)) => count,
        };
        self.talk.hub.metrics.received_bytes.add(count as u64);
        self.hear(buffer).map(|()| true)
    }

    /// Hears the packets that are whole, and answers all of them together.
    fn hear(&mut self, buffer: &mut BytesMut) -> Result<(), End> {
        let (before, now) = (buffer.len(), Instant::now());
        let heard = self.hear_each(buffer);
        if buffer.len() < before {
            // A packet, or more than one. A piece of one is no sign of life.
            (self.heard_at, self.took_at) = (now, now);
        }
        let answered = self.talk.answer();
        self.commit();
        heard.and(answered)
    }

    fn hear_each(&mut self, buffer: &mut BytesMut) -> Result<(), End> {
        let now_ms = unix_ms();
        self.fresh = false;
        for _ in 0..PACKETS_A_WAKE {
            let packet = self.decoder.decode(buffer).map_err(|error| {
                tracing::debug!(client = %self.talk.party.0.client, %error, "not a packet");
                End::Told(error.reason())
            })?;
            let Some(packet) = packet else { return Ok(()) };
            self.talk.hear(packet, now_ms)?;
        }
        self.fresh = !buffer.is_empty();
        Ok(())
    }

    /// Whether a slow consumer has to be waited for.
    fn is_paused(&mut self, cx: &mut Context<'_>) -> bool {
        let me = Connection::Wire(Arc::clone(&self.talk.wire));
        for link in self.talk.pressed.drain(..) {
            // Nobody waits for himself: his acknowledgements are in the socket that would not be read.
            if !link.is(&me) && !self.paused.iter().any(|known| known.is(&link)) {
                self.paused.push(link);
            }
        }
        if self.paused.is_empty() {
            return false;
        }
        let hub = &self.talk.hub;
        let ends = self.pause_ends.get_or_insert_with(|| {
            hub.metrics.held_back.add(1);
            Box::pin(sleep_until(Instant::now() + PRESSURE_WAIT))
        });
        let over = ends.as_mut().poll(cx).is_ready();
        self.paused.retain(|link| link.hold_back(cx.waker()));
        if over || self.paused.is_empty() {
            self.paused.clear();
            self.pause_ends = None;
        }
        !self.paused.is_empty()
    }

    /// Takes what is for the client; says whether that gave the store something to do.
    fn empty_mailbox(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut mailbox = self.talk.wire.lock();
        if let Some(reason) = mailbox.close {
            return Err(End::Told(reason));
        }
        let now_ms = if mailbox.outbox.is_owed() { unix_ms() } else { 0 };
        with_encoded(|encoded| mailbox.outbox.pump(now_ms, encoded));
        mailbox.relieve();
        let passed_over = mailbox.outbox.take_passed_over();
        let progress = mailbox.outbox.progress();
        if self.writing.is_empty() && mailbox.outbox.has_output() {
            self.writing = mailbox.outbox.take_output();
            mailbox.outbox.tell(&self.talk.hub.metrics);
        }
        let after = mailbox.outbox.wants().filter(|_| self.loading.is_none());
        if after.is_some() {
            mailbox.outbox.begin_load();
        }
        mailbox.sleep(cx.waker());
        drop(mailbox);
        if let Some(after) = after {
            let (store, holder) = (Arc::clone(&self.talk.hub.store), self.talk.wire.holder.clone());
            self.loading = Some(Box::pin(async move { store.load(holder, after, LOAD_COUNT).await }));
        }
        let more = after.is_some() || !passed_over.is_empty();
        self.talk.forget(passed_over, progress);
        Ok(more)
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut more = false;
        while !self.writing.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.writing) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(0) | Err(_)) => return Err(End::Lost),
                Poll::Ready(Ok(count)) => {
                    self.talk.hub.metrics.sent_bytes.add(count as u64);
                    self.writing.advance(count);
                    self.took_at = Instant::now();
                    self.flushing = true;
                    more = self.writing.is_empty();
                }
            }
        }
        if self.flushing {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(_)) => return Err(End::Lost),
                Poll::Ready(Ok(())) => self.flushing = false,
            }
        }
        if more {
            let written = std::mem::take(&mut self.writing);
            self.talk.wire.lock().outbox.give_back(written);
        }
        Ok(more)
    }

    /// Keep-alive [MQTT-3.1.2-22], and clients that take nothing.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.timer.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        let now = Instant::now();
        // While the store is away nothing is read: the silence is ours.
        if self.committing.is_some() {
            self.heard_at = now;
        }
        if self.silence_max.is_some_and(|most| now >= self.heard_at + most) {
            return Err(End::Told(Reason::KeepAliveTimeout));
        }
        let stuck = !self.writing.is_empty() || self.talk.wire.lock().outbox.is_pressed();
        if stuck && now >= self.took_at + SLOW_CONSUMER_WAIT {
            self.talk.hub.metrics.slow_consumers.add(1);
            return Err(End::Told(Reason::QuotaExceeded));
        }
        let mut next = now + SLOW_CONSUMER_WAIT;
        if let Some(most) = self.silence_max {
            next = next.min(self.heard_at + most);
        }
        self.timer.as_mut().reset(next);
        Ok(true)
    }

    /// What is still to be done before the session is let go: nothing that was begun is left half done.
    pub(crate) async fn settle(&mut self) {
        if let Some((waiting, steps, _)) = self.committing.take()
            && let Ok(outcomes) = waiting.await
        {
            let _ = self.talk.follow_up(outcomes, steps, unix_ms());
        }
        if let Some(batch) = self.talk.take_batch(unix_ms()) {
            let (ops, steps) = batch.parts();
            if let Ok(outcomes) = self.talk.hub.store.commit(ops).await {
                let _ = self.talk.follow_up(outcomes, steps, unix_ms());
            }
        }
    }

    /// Says what is left to say, and closes; a client that does not listen is not waited for.
    pub(crate) async fn close(mut self, reason: Option<Reason>) {
        if let Some(reason) = reason {
            self.talk.wire.lock().outbox.say_goodbye(reason);
        }
        let last = self.talk.wire.lock().outbox.take_output();
        self.writing.extend_from_slice(&last);
        say_last(self.stream, self.writing).await;
    }
}

/// Writes the last bytes and shuts the socket.
pub(super) async fn say_last<S: Stream>(mut stream: S, mut bytes: BytesMut) {
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
