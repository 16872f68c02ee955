//! The listener of every interface over HTTP: the service's, a broker's probes, a gateway's, and that at which a consumer takes
//! batches. Whoever connects has deadlines and one place of so many, and is heard to the end before it is refused. Nothing here
//! knows what is asked.

mod listener;
mod unread_body;

pub use listener::{HttpListener, PeerConnection};
