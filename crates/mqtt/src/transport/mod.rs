//! What a connection may come through besides plain TCP: TLS and WebSocket, each a stream of bytes like the other. Nothing
//! here knows of packets, and nothing waits for ever: a handshake that takes too long is closed.

mod tls;
mod websocket;

pub use tls::{Tls, TlsError};
pub use websocket::{WebSocket, WebSocketError, accept_websocket};
