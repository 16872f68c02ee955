//! What a connection may come through besides plain TCP: the PROXY protocol of a balancer, TLS and WebSocket, each a stream of
//! bytes like the other. Nothing
//! here knows of packets, and nothing waits for ever: a handshake that takes too long is closed.

mod proxy;
mod tls;
mod renewed_tls;
mod client_verifier;
mod websocket;

pub use proxy::read_proxy_header;
pub use renewed_tls::RenewedTls;
pub use tls::{ClientCertificates, Tls, TlsError, TlsStream};
pub use websocket::{KnownPages, WebSocket, WebSocketError, accept_websocket};
