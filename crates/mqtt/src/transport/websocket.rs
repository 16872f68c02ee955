//! MQTT over WebSocket (section 6): binary frames only [MQTT-6.0.0-1], packets wherever the frames end [MQTT-6.0.0-2], and
//! the subprotocol `mqtt` [MQTT-6.0.0-3], [MQTT-6.0.0-4] (`mqttv3.1` for clients of 3.1).

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::limits::{HANDSHAKE_WAIT, OUTBOUND_BYTES_MAX, READ_BYTES};

/// The subprotocols: of 3.1.1 and 5, and of 3.1.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// What is read from or written to the socket at a time.
const SOCKET_BUFFER_BYTES: usize = 8 * 1024;

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum WebSocketError {
    /// The handshake took too long.
    #[error("the handshake took too long")]
    TimedOut,
    /// It is no WebSocket, or not one for MQTT.
    #[error(transparent)]
    Handshake(#[from] tungstenite::Error),
}

/// Which pages may connect. A browser says which page connects; other clients say nothing.
#[derive(Clone, Copy, Debug)]
pub struct KnownPages<'a> {
    /// Origins such as `https://page.example`; `*`: any.
    pub origins: &'a [String],
    /// Whether a page of the broker's own host may, however that is called. Where the broker serves this machine alone, a
    /// foreign page's name may have been made to lead here (DNS rebinding): then only by address or as `localhost`.
    pub trusts_names: bool,
}

/// The server's side of the handshake. No message is taken that is larger than `message_max_bytes`.
pub async fn accept_websocket<S>(
    stream: S,
    message_max_bytes: usize,
    pages: KnownPages<'_>,
) -> Result<WebSocket<S>, WebSocketError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(SOCKET_BUFFER_BYTES)
        .write_buffer_size(SOCKET_BUFFER_BYTES)
        .max_write_buffer_size(2 * OUTBOUND_BYTES_MAX)
        .max_message_size(Some(message_max_bytes))
        .max_frame_size(Some(message_max_bytes));
    #[expect(clippy::result_large_err, reason = "the library's callback has this type")]
    let callback = |request: &Request, response: Response| {
        if is_foreign(request, pages) {
            return Err(refusal(StatusCode::FORBIDDEN, "pages of this origin may not connect"));
        }
        subprotocol(request, response)
    };
    let accepting = tokio_tungstenite::accept_hdr_async_with_config(stream, callback, Some(config));
    let accepted = tokio::time::timeout(HANDSHAKE_WAIT, accepting).await.map_err(|_| WebSocketError::TimedOut)?;
    Ok(WebSocket { inner: accepted?, rest: Bytes::new() })
}

fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut refusal = ErrorResponse::new(Some(why.to_owned()));
    *refusal.status_mut() = status;
    refusal
}

/// Whether a page of another host connects that is not known.
fn is_foreign(request: &Request, pages: KnownPages<'_>) -> bool {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = request.headers().get(header::ORIGIN) else { return false };
    let Ok(origin) = origin.to_str() else { return true };
    let host = origin.split_once("://").map(|(_, authority)| without_port(authority));
    let is_trusted = |host: &str| pages.trusts_names || cannot_be_rebound(host);
    let is_same = host.is_some_and(is_trusted) && host == header(header::HOST).map(without_port);
    !is_same && !pages.origins.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(origin))
}

/// Whether a host is an address, or the one name that no answer of the DNS makes lead elsewhere.
fn cannot_be_rebound(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

/// The host of an authority. (An address of IPv6 stands in brackets.)
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Agrees on the subprotocol, or refuses the handshake.
#[expect(clippy::result_large_err, reason = "the library's callback has this type")]
fn subprotocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut names = offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let Some(known) = names.find_map(|name| SUBPROTOCOLS.into_iter().find(|known| name.trim() == *known)) else {
        return Err(refusal(StatusCode::BAD_REQUEST, "the subprotocol is mqtt"));
    };
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(known));
    Ok(response)
}

/// A WebSocket as a stream of bytes.
#[derive(Debug)]
pub struct WebSocket<S> {
    inner: WebSocketStream<S>,
    /// What was received and not yet read.
    rest: Bytes,
}

fn io_error(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(Message::Binary(data))) => self.rest = data,
                // What is not binary closes the connection [MQTT-6.0.0-1].
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let length = self.rest.len().min(out.remaining());
        out.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.inner).poll_ready(cx)).map_err(io_error)?;
        let length = bytes.len().min(READ_BYTES);
        let frame = Bytes::copy_from_slice(&bytes[..length]);
        Pin::new(&mut self.inner).start_send(Message::Binary(frame)).map_err(io_error)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.inner).poll_close(cx)) {
            Ok(()) | Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(io_error(error))),
        }
    }
}
