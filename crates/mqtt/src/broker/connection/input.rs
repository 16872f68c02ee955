//! What a connection reads, and when it reads nothing: while its packets wait for the store or for a slow consumer, or two
//! batches for the intake.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::time::{Instant, sleep_until};
use tokio_util::io::poll_read_buf;

use super::super::client_handler::ConnectionEnd;
use super::super::session_handle::Connection;
use super::{ConnectionTask, Stream};
use crate::limits::{BACKPRESSURE_WAIT, PACKETS_PER_WAKE, READ_BYTES};
use crate::message::unix_ms;

/// Bytes that a connection reads at first to complete a packet.
const REST_BYTES: usize = 4096;

thread_local! {
    /// Where sockets are read into: one for all connections of a thread.
    static READING: RefCell<BytesMut> = RefCell::default();
}

impl<S: Stream> ConnectionTask<S> {
    /// Reads and handles packets, unless a commit of operations is under way or a receiver is congested.
    pub(super) fn poll_input(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionEnd> {
        if !self.handler.may_handle() || self.is_paused(cx) {
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
            if self.handler.is_over_budget() || !self.handler.may_handle() {
                break;
            }
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
}
