//! Where the orchestrator is: the URL of its REST interface, or that of an MQTT broker that it listens at.

use api::client::{ClientError, bearer};
use reqwest::header::HeaderValue;
use reqwest::{RequestBuilder, Url, header};

/// The ports that are registered for MQTT, and for MQTT over TLS.
const MQTT_PORT: u16 = 1_883;
const MQTTS_PORT: u16 = 8_883;

/// The address of the orchestrator for one aggregator.
#[derive(Clone)]
pub(crate) enum OrchestratorEndpoint {
    Http(OrchestratorUrls),
    Broker(BrokerEndpoint),
}

/// The orchestrator's URLs for one aggregator.
#[derive(Clone, Debug)]
pub(crate) struct OrchestratorUrls {
    pub(super) metadata: Url,
    pub(super) rates: Url,
    /// The gateway's credentials.
    authorization: Option<HeaderValue>,
}

/// A broker that the orchestrator listens at.
#[derive(Clone)]
pub(crate) struct BrokerEndpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_tls: bool,
    pub(super) password: Option<String>,
}

/// A text is not the URL of an orchestrator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OrchestratorUrlError {
    /// Another scheme, or no host.
    #[error(
        "invalid orchestrator '{0}': give an http, https, mqtt or mqtts URL, such as http://127.0.0.1:8080 or mqtt://127.0.0.1:1883"
    )]
    Form(String),
    /// The URL of a broker has more than host and port, which may be secret.
    #[error(
        "invalid orchestrator: give mqtt://HOST:PORT or mqtts://HOST:PORT alone; the password is in the token file"
    )]
    BrokerParts,
    /// TLS needs the name in a certificate.
    #[error("invalid orchestrator '{0}': over mqtts the host is a name or an IPv4 address")]
    BracketedHost(String),
}

impl OrchestratorEndpoint {
    /// The endpoint at a URL, for the aggregator `id`.
    pub(crate) fn parse(text: &str, id: &str) -> Result<Self, OrchestratorUrlError> {
        let invalid = || OrchestratorUrlError::Form(text.to_owned());
        let url: Url = text.parse().map_err(|_| invalid())?;
        if !url.has_host() {
            return Err(invalid());
        }
        match url.scheme() {
            "http" | "https" => OrchestratorUrls::below(&url, id).map(Self::Http).ok_or_else(invalid),
            "mqtt" | "mqtts" => BrokerEndpoint::read(&url).map(Self::Broker),
            _ => Err(invalid()),
        }
    }

    /// The same, where the gateway shows a token.
    ///
    /// # Errors
    /// The token is not visible ASCII.
    pub(crate) fn with_token(self, token: &str) -> Result<Self, ClientError> {
        let authorization = bearer(token)?;
        Ok(match self {
            Self::Http(urls) => Self::Http(OrchestratorUrls { authorization: Some(authorization), ..urls }),
            Self::Broker(broker) => Self::Broker(BrokerEndpoint { password: Some(token.to_owned()), ..broker }),
        })
    }
}

impl OrchestratorUrls {
    fn below(base: &Url, id: &str) -> Option<Self> {
        let below = |rest: &[&str]| {
            let mut url = base.clone();
            url.path_segments_mut().ok()?.pop_if_empty().extend(["v1", "aggregators", id]).extend(rest);
            Some(url)
        };
        Some(Self { metadata: below(&["metadata"])?, rates: below(&["rates", "stream"])?, authorization: None })
    }

    pub(super) fn authorize(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization),
            None => request,
        }
    }
}

impl BrokerEndpoint {
    fn read(url: &Url) -> Result<Self, OrchestratorUrlError> {
        let has_user = !url.username().is_empty() || url.password().is_some();
        let has_more = !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some();
        if has_user || has_more {
            return Err(OrchestratorUrlError::BrokerParts);
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let is_tls = url.scheme() == "mqtts";
        if is_tls && host.starts_with('[') {
            return Err(OrchestratorUrlError::BracketedHost(url.to_string()));
        }
        let port = url.port().unwrap_or(if is_tls { MQTTS_PORT } else { MQTT_PORT });
        Ok(Self { host, port, is_tls, password: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(text: &str, id: &str) -> OrchestratorUrls {
        match OrchestratorEndpoint::parse(text, id).unwrap() {
            OrchestratorEndpoint::Http(urls) => urls,
            OrchestratorEndpoint::Broker(_) => panic!("{text}"),
        }
    }

    fn broker(text: &str) -> BrokerEndpoint {
        match OrchestratorEndpoint::parse(text, "ag1").unwrap() {
            OrchestratorEndpoint::Broker(broker) => broker,
            OrchestratorEndpoint::Http(_) => panic!("{text}"),
        }
    }

    #[test]
    fn urls_are_below_the_orchestrator() {
        let urls = urls("http://127.0.0.1:8080/base/", "ag 1");
        assert_eq!(urls.metadata.as_str(), "http://127.0.0.1:8080/base/v1/aggregators/ag%201/metadata");
        assert_eq!(urls.rates.as_str(), "http://127.0.0.1:8080/base/v1/aggregators/ag%201/rates/stream");
        for bad in ["127.0.0.1:8080", "mailto:x", "ftp://x", "mqtt:x", ""] {
            assert!(matches!(OrchestratorEndpoint::parse(bad, "a"), Err(OrchestratorUrlError::Form(_))), "{bad}");
        }
    }

    #[test]
    fn a_broker_is_a_host_and_a_port() {
        for (text, host, port, is_tls) in [
            ("mqtt://127.0.0.1:1999", "127.0.0.1", 1_999, false),
            ("mqtt://[::1]/", "[::1]", 1_883, false),
            ("mqtts://broker.example", "broker.example", 8_883, true),
        ] {
            let found = broker(text);
            assert_eq!((found.host.as_str(), found.port, found.is_tls), (host, port, is_tls), "{text}");
        }
        for bad in ["mqtt://user:secret@x", "mqtt://user@x", "mqtt://x/topic", "mqtt://x?client_id=a", "mqtt://x#a"] {
            let error = OrchestratorEndpoint::parse(bad, "a").err();
            assert_eq!(error, Some(OrchestratorUrlError::BrokerParts), "{bad}");
        }
        let error = OrchestratorEndpoint::parse("mqtts://[::1]", "a").err();
        assert!(matches!(error, Some(OrchestratorUrlError::BracketedHost(_))), "{error:?}");
    }
}
