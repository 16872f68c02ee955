//! A typed client of the REST interface, for programs in Rust and for our own command line. It knows the service by its
//! public interface only and nothing of its insides. What is sent twice happens once: requests for bandwidth carry a key,
//! and only what cannot do harm is tried again.

mod answer;
mod document;
mod events;
mod network;

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::allocation::{AllocationDocument, AllocationOutcome, AllocationPage, AllocationRequest, AllocationUpdate};
use crate::batch::{BatchOutcome, BatchRequests};
use crate::event::EventPage;

pub use super::aggregator::Aggregator;
pub use super::problem::ProblemDocument;
pub use answer::{ClientError, body, checked};
pub use document::{AllocationFilter, Page, PageRequest};
pub use events::Events;
pub use network::{ModelTransition, Upload};

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next request: the service closes it after 30 s.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// How long an answer may take; event streams are not bound by it.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How often something is tried again that found the service busy or gone.
const RETRIES_MAX: usize = 4;
/// How long to wait before the first of those.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// The longest answer that is read.
const ANSWER_MAX_BYTES: usize = 256 << 20;

/// Whether something is to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Effect {
    /// It is.
    #[default]
    Real,
    /// It is only to be known what would happen.
    DryRun,
}

/// A client of one service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// A client of the service at an address such as `http://127.0.0.1:8080`. Nothing is asked yet.
    ///
    /// # Errors
    /// The address is none, or the system's certificates cannot be read.
    pub fn new(address: &str) -> Result<Self, ClientError> {
        // The first one has chosen the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self::with_http(
            reqwest::Client::builder().connect_timeout(CONNECT_MAX).pool_idle_timeout(IDLE_MAX).build()?,
            address,
        )
    }

    /// The same over an HTTP client of the caller's own.
    ///
    /// # Errors
    /// The address is none.
    pub fn with_http(http: reqwest::Client, address: &str) -> Result<Self, ClientError> {
        let base = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let base = base.ok_or_else(|| ClientError::Address { address: address.to_owned() })?;
        Ok(Self { http, base, authorization: None })
    }

    /// The same, which says who it is by an access token.
    ///
    /// # Errors
    /// The token cannot be sent: it is not visible ASCII.
    pub fn with_token(self, token: &str) -> Result<Self, ClientError> {
        Ok(self.with_authorization(Some(bearer(token)?)))
    }

    /// The same with a value of [`bearer`], or without.
    #[must_use]
    pub fn with_authorization(self, authorization: Option<HeaderValue>) -> Self {
        Self { authorization, ..self }
    }

    /// Asks for bandwidth. Sent again under the same key if the service was busy, it still happens once.
    ///
    /// # Errors
    /// A denial is [`ClientError::Refused`] with the links that bind.
    pub async fn allocation_create(
        &self,
        request: &AllocationRequest,
        key: &str,
        effect: Effect,
    ) -> Result<AllocationOutcome, ClientError> {
        let url = self.url(&["v1", "allocations"], &dry_run(effect));
        let key = HeaderValue::from_str(key).map_err(|_| ClientError::Header { header: "Idempotency-Key" })?;
        let headers = HeaderMap::from_iter([(reqwest::header::HeaderName::from_static("idempotency-key"), key)]);
        let body = json(request)?;
        let send = || self.send(Method::POST, url.clone(), headers.clone(), Some(body.clone()));
        read(send.retry(patience()).when(ClientError::is_transient).await?).await
    }

    /// Asks for bandwidth many times at once, decided in order; all of it or none if it is `atomic`.
    ///
    /// # Errors
    /// There are too many at once, or the service does not answer. A denial is an outcome.
    pub async fn allocation_batch(&self, batch: &BatchRequests, key: &str) -> Result<BatchOutcome, ClientError> {
        let url = self.url(&["v1", "allocations", "batch"], &[]);
        let key = HeaderValue::from_str(key).map_err(|_| ClientError::Header { header: "Idempotency-Key" })?;
        let headers = HeaderMap::from_iter([(reqwest::header::HeaderName::from_static("idempotency-key"), key)]);
        let body = json(batch)?;
        let send = || self.send(Method::POST, url.clone(), headers.clone(), Some(body.clone()));
        read(send.retry(patience()).when(ClientError::is_transient).await?).await
    }

    /// One allocation, living or ended.
    ///
    /// # Errors
    /// There is none of that id, or the service does not answer.
    pub async fn allocation_get(&self, id: &str) -> Result<AllocationDocument, ClientError> {
        self.get(self.url(&["v1", "allocations", id], &[])).await
    }

    /// A page of allocations, the oldest first unless said otherwise.
    ///
    /// # Errors
    /// The filter is refused, or the service does not answer.
    pub async fn allocation_list(
        &self,
        filter: &AllocationFilter,
        page: PageRequest<'_>,
    ) -> Result<AllocationPage, ClientError> {
        let mut query = filter.query();
        query.extend(page.query());
        self.get(self.url(&["v1", "allocations"], &query)).await
    }

    /// Changes an allocation, make-before-break.
    ///
    /// # Errors
    /// As [`Client::allocation_create`]; the allocation stays as it was.
    pub async fn allocation_update(
        &self,
        id: &str,
        change: &AllocationUpdate,
        effect: Effect,
    ) -> Result<AllocationOutcome, ClientError> {
        let url = self.url(&["v1", "allocations", id], &dry_run(effect));
        let body = json(change)?;
        read(self.send(Method::PATCH, url, HeaderMap::new(), Some(body)).await?).await
    }

    /// Puts a held allocation in force.
    ///
    /// # Errors
    /// There is none of that id, it is over, or it is in force already.
    pub async fn allocation_commit(&self, id: &str) -> Result<AllocationOutcome, ClientError> {
        let url = self.url(&["v1", "allocations", id, "commit"], &[]);
        read(self.send(Method::POST, url, HeaderMap::new(), None).await?).await
    }

    /// Lets an allocation go.
    ///
    /// # Errors
    /// There is none of that id, or it is over.
    pub async fn allocation_release(&self, id: &str) -> Result<(), ClientError> {
        let url = self.url(&["v1", "allocations", id], &[]);
        self.send(Method::DELETE, url, HeaderMap::new(), None).await.map(drop)
    }

    /// A page of any list under `/v1`, such as `["topologies", "nsfnet", "links"]`, with some members of its items alone. `T` has
    /// those members.
    ///
    /// # Errors
    /// There is no such list or member, or the service does not answer.
    pub async fn list_fields<T: DeserializeOwned>(
        &self,
        list: &[&str],
        page: PageRequest<'_>,
        fields: &[&str],
    ) -> Result<Page<T>, ClientError> {
        let mut query = page.query();
        query.push(("fields", fields.join(",")));
        self.get(self.url(&[&["v1"], list].concat(), &query)).await
    }

    /// A page of the gateways that offer a name, which may be an MQTT filter.
    ///
    /// # Errors
    /// It is neither, or the service does not answer.
    pub async fn content_list(
        &self,
        name: &str,
        limit: u32,
        after: Option<&str>,
    ) -> Result<Page<crate::content::Offer>, ClientError> {
        let mut query = PageRequest { limit, after, sort: None }.query();
        query.push(("name", name.to_owned()));
        self.get(self.url(&["v1", "contents"], &query)).await
    }

    /// A page of events after the one of that sequence number, the oldest first.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn event_list(&self, after: u64, limit: u32) -> Result<EventPage, ClientError> {
        let page = PageRequest { limit, after: Some(&after.to_string()), sort: None };
        self.get(self.url(&["v1", "events"], &page.query())).await
    }

    /// A page of events before the one of that sequence number, or of the last ones, the newest first.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn event_list_newest(&self, before: Option<u64>, limit: u32) -> Result<EventPage, ClientError> {
        let before = before.map(|before| before.to_string());
        let mut query = PageRequest { limit, after: before.as_deref(), sort: None }.query();
        query.push(("order", "desc".to_owned()));
        self.get(self.url(&["v1", "events"], &query)).await
    }

    /// What happens, from after `after` on, or from now on.
    pub fn events(&self, after: Option<u64>, topology: Option<String>) -> Events {
        Events::new(self.clone(), after, topology)
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, ClientError> {
        let send = || self.send(Method::GET, url.clone(), HeaderMap::new(), None);
        read(send.retry(patience()).when(ClientError::is_transient).await?).await
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<Response, ClientError> {
        let mut request = self.request(method, url).headers(headers).timeout(ANSWER_MAX);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        checked(request.send().await?, ANSWER_MAX_BYTES).await
    }

    fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    /// An address of the service: parts are encoded, so that names may have slashes.
    fn url(&self, parts: &[&str], query: &[(&'static str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query.iter().map(|(name, value)| (name, value.as_str())));
        }
        url
    }
}

/// The value of Authorization for an access token (RFC 6750 section 2.1), which no log shows.
///
/// # Errors
/// The token cannot be sent: it is not visible ASCII.
pub fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_| ClientError::Header { header: "Authorization" })?;
    value.set_sensitive(true);
    Ok(value)
}

fn patience() -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(RETRY_FIRST).with_max_times(RETRIES_MAX).with_jitter()
}

fn dry_run(effect: Effect) -> Vec<(&'static str, String)> {
    if effect == Effect::DryRun { vec![("dry_run", "true".to_owned())] } else { vec![] }
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(value).map_err(|error| ClientError::Unreadable { status: 0, error })
}

async fn read<T: DeserializeOwned>(answer: Response) -> Result<T, ClientError> {
    let status = answer.status().as_u16();
    let body = body(answer, ANSWER_MAX_BYTES).await?;
    serde_json::from_slice(&body).map_err(|error| ClientError::Unreadable { status, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_prefixes_kept() {
        let client = Client::new("http://localhost:1/under/").unwrap();
        let url = client.url(&["v1", "topologies", "a/b c", "links"], &[("after", "x&y".to_owned())]);
        assert_eq!(url.as_str(), "http://localhost:1/under/v1/topologies/a%2Fb%20c/links?after=x%26y");
    }

    #[test]
    fn only_addresses_of_services_are_taken() {
        for address in ["", "localhost:8080", "ftp://x", "http://"] {
            assert!(matches!(Client::new(address), Err(ClientError::Address { .. })), "{address}");
        }
    }
}
