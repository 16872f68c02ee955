//! The HTTP clients of gateways and consumers: no redirects, no proxies, a limit on every wait and every answer.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use reqwest::{Client, Response, redirect};

use super::limits::{CALLBACK_CONNECT_WAIT, EVENT_MAX_BYTES};

/// Why there is no useful answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpClientError {
    /// Nothing answered, or it broke off.
    #[error("{}", innermost(.0))]
    Http(#[from] reqwest::Error),
    /// Something else was answered.
    #[error("the answer was {status}{}", .detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default())]
    Status {
        /// The status.
        status: reqwest::StatusCode,
        /// The detail of a problem, if it is one.
        detail: Option<String>,
    },
    /// Too much was answered.
    #[error("the answer has more than {EVENT_MAX_BYTES} bytes")]
    TooLarge,
    /// What was answered is not what should be.
    #[error("the answer cannot be read: {0}")]
    Body(#[from] serde_json::Error),
}

/// What reqwest says alone ("error sending request") helps nobody.
fn innermost(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

/// A client whose requests take `wait` at most; `None`: those that read streams.
///
/// # Errors
/// TLS cannot be set up.
pub(super) fn client(wait: Option<Duration>) -> Result<Client, reqwest::Error> {
    client_from(None, wait)
}

/// A client whose connections come from an address.
///
/// # Errors
/// TLS cannot be set up.
pub(super) fn client_from(source: Option<Ipv4Addr>, wait: Option<Duration>) -> Result<Client, reqwest::Error> {
    // Somebody may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder =
        Client::builder().redirect(redirect::Policy::none()).no_proxy().connect_timeout(CALLBACK_CONNECT_WAIT);
    let builder = builder
        .local_address(source.map(IpAddr::V4))
        .tcp_nodelay(true)
        .user_agent(concat!("watermaster/", env!("CARGO_PKG_VERSION")));
    match wait {
        Some(wait) => builder.timeout(wait),
        None => builder,
    }
    .build()
}

/// The body of a good answer.
pub(super) async fn body(response: Response) -> Result<Vec<u8>, HttpClientError> {
    let status = response.status();
    let text = read(response).await?;
    if status.is_success() {
        return Ok(text);
    }
    #[derive(serde::Deserialize)]
    struct Told {
        detail: String,
    }
    let detail = serde_json::from_slice::<Told>(&text).ok().map(|told| told.detail.chars().take(500).collect());
    Err(HttpClientError::Status { status, detail })
}

async fn read(mut response: Response) -> Result<Vec<u8>, HttpClientError> {
    let mut text = vec![];
    while let Some(chunk) = response.chunk().await? {
        if text.len() + chunk.len() > EVENT_MAX_BYTES {
            return Err(HttpClientError::TooLarge);
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}
