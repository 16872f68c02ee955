//! What a handler leaves unread of the body of a request. A refusal often needs none of it; yet whoever still sends when
//! the answer comes may lose that answer: over HTTP/1.1 the connection is reset, over HTTP/2 the stream is (RFC 9113
//! section 8.1), which some clients take for a failure. So the rest is read first, as far as it is short and comes soon.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use futures_util::StreamExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

/// How much of a body is read that nobody wants, in bytes.
const UNREAD_MAX_BYTES: usize = 1 << 20;
/// How long an answer waits for the rest of such a body.
pub(super) const UNREAD_MAX: Duration = Duration::from_secs(1);

/// Lends the body of a request to whoever answers it. `None`: nothing can be left of it, or the client waits with it until
/// it is asked for (RFC 9110 section 10.1.1).
pub(super) fn lend(request: Request<Incoming>) -> (Request<Body>, Option<UnreadBody>) {
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return (request.map(Body::new), None);
    }
    let (give_back, unread) = oneshot::channel();
    let lent = |body| Body::new(LentBody { body: Some(body), give_back: Some(give_back) });
    (request.map(lent), Some(UnreadBody(unread)))
}

/// A body that goes back to the connection when it is dropped before its end.
struct LentBody {
    body: Option<Incoming>,
    give_back: Option<oneshot::Sender<Incoming>>,
}

impl HttpBody for LentBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for LentBody {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(unread), Some(give_back)) = (unread, self.give_back.take()) {
            // Whoever answered may be gone.
            let _ = give_back.send(unread);
        }
    }
}

/// What is left of a body, once it was answered.
pub(super) struct UnreadBody(oneshot::Receiver<Incoming>);

impl UnreadBody {
    /// Reads and forgets it.
    pub(super) async fn discard(mut self) {
        let Ok(body) = self.0.try_recv() else { return };
        let (mut parts, mut bytes) = (Body::new(body).into_data_stream(), 0);
        let read = async {
            while let Some(Ok(part)) = parts.next().await {
                bytes += part.len();
                if bytes > UNREAD_MAX_BYTES {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(UNREAD_MAX, read).await;
    }
}
