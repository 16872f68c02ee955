//! A bounded conversation with a controller over HTTP: every answer is bounded in time and in bytes.
//!
//! What must stay true: no redirect is followed and no proxy is asked; a body is read up to a limit and no further; at most
//! [`REQUESTS_IN_FLIGHT_MAX`] requests are under way; an excerpt that ends in an error is short and printable.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::outbound::{ForbiddenAddress, OutboundNetworks};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, Url, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::{DriverError, REQUESTS_IN_FLIGHT_MAX, Unreachable};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a whole exchange may take. Reading a few hundred rules takes a loaded controller a second or two.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest answer that is read.
const ANSWER_MAX_BYTES: u64 = 8 << 20;
/// How much of an answer is shown in an error.
const EXCERPT_MAX_CHARS: usize = 120;

/// A controller to talk to.
#[derive(Debug)]
pub(super) struct Dialogue {
    client: Client,
    /// Ends in a slash.
    base: Url,
    credentials: Option<Credentials>,
    gate: Semaphore,
}

/// Our user at a controller (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    /// The password; not shown.
    pub password: String,
    /// A URL of the origin that they are for (RFC 6454 section 4).
    pub origin: Url,
}

impl Credentials {
    fn is_for(&self, url: &Url) -> bool {
        self.origin.origin() == url.origin()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What was answered.
#[derive(Debug)]
pub(super) struct ControllerReply {
    pub(super) what: &'static str,
    pub(super) status: u16,
    /// The body, all of it.
    pub(super) body: Vec<u8>,
    /// How long it took.
    pub(super) took: Duration,
}

impl Dialogue {
    /// Prepares a conversation; nothing is sent.
    ///
    /// # Errors
    /// The address is none of HTTP, or not in these networks.
    pub(super) fn new(
        base: &str,
        credentials: Option<Credentials>,
        networks: &OutboundNetworks,
    ) -> Result<Self, DriverError> {
        let bad = || DriverError::Unreachable { why: Unreachable::BadAddress };
        let mut base = Url::parse(base).map_err(|_| bad())?;
        let plain = matches!(base.scheme(), "http" | "https") && base.query().is_none() && base.fragment().is_none();
        if !plain || base.host_str().is_none_or(str::is_empty) || !base.username().is_empty() {
            return Err(bad());
        }
        if !networks.allow_url(&base) {
            return Err(DriverError::Unreachable { why: Unreachable::ForbiddenAddress });
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        // The client takes the process's provider; if there is one already, that one is right.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(EXCHANGE_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(REQUESTS_IN_FLIGHT_MAX)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(networks.clone()))
            .build()
            .map_err(|_| bad())?;
        // They are for one origin, whatever address somebody gives a controller.
        let credentials = credentials.filter(|credentials| credentials.is_for(&base));
        Ok(Self { client, base, credentials, gate: Semaphore::new(REQUESTS_IN_FLIGHT_MAX) })
    }

    /// GET.
    pub(super) async fn get(&self, what: &'static str, path: &str) -> Result<ControllerReply, DriverError> {
        self.exchange(what, Method::GET, path, None).await
    }
    /// DELETE.
    pub(super) async fn delete(&self, what: &'static str, path: &str) -> Result<ControllerReply, DriverError> {
        self.exchange(what, Method::DELETE, path, None).await
    }

    /// POST.
    pub(super) async fn post(
        &self,
        what: &'static str,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<ControllerReply, DriverError> {
        // What we send is made of integers, strings, lists and objects with string keys: it always serialises.
        let body = serde_json::to_vec(body).map_err(|_| DriverError::Unsupported { what })?;
        self.exchange(what, Method::POST, path, Some(body)).await
    }

    async fn exchange(
        &self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<ControllerReply, DriverError> {
        let unreachable = |why| DriverError::Unreachable { why };
        let url = self.base.join(path).map_err(|_| unreachable(Unreachable::BadAddress))?;
        // The gate is never closed.
        let _turn = self.gate.acquire().await.map_err(|_| unreachable(Unreachable::Broken))?;
        let started = Instant::now();
        let mut request = self.client.request(method, url);
        if let Some(Credentials { username, password, .. }) = &self.credentials {
            request = request.basic_auth(username, Some(password));
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut answer = request.send().await.map_err(|error| unreachable(why(&error)))?;
        let status = answer.status().as_u16();
        let too_long = || DriverError::TooLong { what, limit_bytes: ANSWER_MAX_BYTES };
        if answer.content_length().is_some_and(|length| length > ANSWER_MAX_BYTES) {
            return Err(too_long());
        }
        let mut body = vec![];
        while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(why(&error)))? {
            if (body.len() + chunk.len()) as u64 > ANSWER_MAX_BYTES {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(ControllerReply { what, status, body, took: started.elapsed() })
    }
}

fn why(error: &reqwest::Error) -> Unreachable {
    let causes = std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source());
    if causes.into_iter().any(|cause| cause.is::<ForbiddenAddress>()) {
        Unreachable::ForbiddenAddress
    } else if error.is_timeout() {
        Unreachable::TooSlow
    } else if error.is_connect() {
        Unreachable::NoConnection
    } else {
        Unreachable::Broken
    }
}

impl ControllerReply {
    /// Whether the status is one of success.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The JSON of a 200.
    ///
    /// # Errors
    /// The status is another, or it is no such JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, DriverError> {
        if self.status != 200 {
            return Err(self.refused());
        }
        serde_json::from_slice(&self.body).map_err(|_| self.garbage())
    }

    /// This answer as a refusal.
    pub(super) fn refused(&self) -> DriverError {
        self.log("a controller refused");
        DriverError::Refused { what: self.what, status: self.status }
    }

    /// This answer as nonsense.
    pub(super) fn garbage(&self) -> DriverError {
        self.log("a controller's answer makes no sense");
        DriverError::Garbage { what: self.what }
    }

    /// What it said is for the log alone: the address may be anybody's, and its answer not for whoever gave it.
    fn log(&self, text: &str) {
        tracing::debug!(what = self.what, status = self.status, excerpt = %excerpt(&self.body), "{text}");
    }
}

/// The beginning of an answer, fit to be shown: of a traceback only its last line.
fn excerpt(body: &[u8]) -> Box<str> {
    let text = String::from_utf8_lossy(&body[body.len().saturating_sub(64 << 10)..]);
    let text = text.trim();
    let telling = if text.starts_with("Traceback") { text.lines().next_back().unwrap_or(text) } else { text };
    let shown: String = telling.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT_MAX_CHARS).collect();
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::super::stub::Stub;
    use super::*;

    fn dialogue(base: &str) -> Result<Dialogue, DriverError> {
        Dialogue::new(base, None, &OutboundNetworks::default())
    }

    #[tokio::test]
    async fn what_controllers_may_do_ends_in_time_and_bytes() {
        let unreachable = |why| Some(DriverError::Unreachable { why });
        let closed = dialogue("http://127.0.0.1:1").unwrap();
        assert_eq!(closed.get("x", "x").await.err(), unreachable(Unreachable::NoConnection));

        let endless = Stub::raw("HTTP/1.1 200 OK\r\n\r\n", &vec![b'x'; 10 << 20]);
        let talk = dialogue(&endless.url()).unwrap();
        assert!(matches!(talk.get("x", "x").await, Err(DriverError::TooLong { what: "x", .. })));

        let boast = Stub::raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", b"");
        let talk = dialogue(&boast.url()).unwrap();
        assert!(matches!(talk.get("x", "x").await, Err(DriverError::TooLong { .. })));

        let noise = Stub::raw("\0\x01\x02 not HTTP at all\r\n\r\n", b"");
        let talk = dialogue(&noise.url()).unwrap();
        assert_eq!(talk.get("x", "x").await.err(), unreachable(Unreachable::Broken));

        let cut = Stub::raw("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n", b"{");
        let talk = dialogue(&cut.url()).unwrap();
        assert_eq!(talk.get("x", "x").await.err(), unreachable(Unreachable::Broken));

        let away = Stub::raw("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", b"");
        let talk = dialogue(&away.url()).unwrap();
        assert_eq!(talk.get("x", "x").await.unwrap().status, 302);
    }

    #[tokio::test]
    async fn a_page_and_a_traceback_are_told_shortly() {
        let page = Stub::raw("HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n", b"<html>hello\x07there</html>");
        let reply = dialogue(&page.url()).unwrap().get("x", "x").await.unwrap();
        let garbage = reply.json::<serde_json::Value>().err();
        assert_eq!(garbage, Some(DriverError::Garbage { what: "x" }));
        assert_eq!(&*excerpt(b"Traceback (most recent call last):\n  File\nValueError: no\n"), "ValueError: no");
        assert_eq!(excerpt(&[b'y'; 10_000]).len(), EXCERPT_MAX_CHARS);
    }

    #[test]
    fn an_address_is_one_of_http_and_nothing_else() {
        for bad in ["", "x", "ftp://h/", "http://", "http://h/?q", "http://h/#f", "http://u:p@h/", "file:///etc"] {
            assert_eq!(dialogue(bad).err(), Some(DriverError::Unreachable { why: Unreachable::BadAddress }), "{bad}");
        }
        assert_eq!(dialogue("http://h:1/onos").unwrap().base.as_str(), "http://h:1/onos/");
    }

    #[tokio::test]
    async fn a_controller_is_in_the_networks_that_are_allowed() {
        let forbidden = Some(DriverError::Unreachable { why: Unreachable::ForbiddenAddress });
        assert_eq!(dialogue("http://169.254.169.254/").err(), forbidden);
        let stub = Stub::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"{}");
        let named = stub.url().replace("127.0.0.1", "localhost");
        let elsewhere = OutboundNetworks::only(&["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(Dialogue::new(&stub.url(), None, &elsewhere).err(), forbidden);
        // What a name leads to is known when it is connected to.
        let talk = Dialogue::new(&named, None, &elsewhere).unwrap();
        assert_eq!(talk.get("x", "x").await.err(), forbidden);
        let here = OutboundNetworks::only(&["127.0.0.0/8".parse().unwrap()]);
        assert!(Dialogue::new(&named, None, &here).unwrap().get("x", "x").await.is_ok());
    }
}
