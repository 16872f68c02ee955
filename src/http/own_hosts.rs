//! The names under which the service is asked, and the pages that are its own.
//!
//! A name that somebody else controls may lead to this machine (DNS rebinding): a browser takes a page of that name for one
//! of ours then. So a service that listens on this machine alone answers under names of this machine alone, and under those
//! that it is told.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, Version, header};

use super::extract::one;
use super::problem::Problem;
use super::problem_catalogue;

/// Which hosts a request may be for.
#[derive(Clone, Debug, Default)]
pub struct OwnHosts {
    /// Where the service listens; `None`: anywhere.
    listens_at: Option<IpAddr>,
    /// The names that it has elsewhere, in lower case.
    public: Vec<String>,
    /// What a proxy has put in front of its paths: empty, or a slash and more, without one at the end.
    prefix: Arc<str>,
}

impl OwnHosts {
    /// Of a service that listens at an address, and has these names besides. Where it listens for other machines, and has
    /// no such name, it answers under any: nothing tells it how others call it.
    pub fn new(listens_at: IpAddr, public: &[String]) -> Self {
        let public: Vec<_> = public.iter().map(|name| name.to_lowercase()).collect();
        let is_bound = listens_at.is_loopback() || !public.is_empty();
        Self { listens_at: is_bound.then_some(listens_at), public, prefix: Arc::default() }
    }

    /// The same, found by others at a URL: its host is one of ours, and answers lead to paths under it.
    #[must_use]
    pub fn found_at(mut self, host: &str, path: &str) -> Self {
        self.public.push(host.trim_start_matches('[').trim_end_matches(']').to_lowercase());
        self.prefix = Arc::from(path.trim_end_matches('/'));
        self
    }

    /// What a proxy has put in front of paths.
    pub(super) fn prefix(&self) -> &Arc<str> {
        &self.prefix
    }

    /// Why a request is not answered, if it is for a host that is not ours.
    pub(super) fn refuse(&self, request: &Request) -> Option<Problem> {
        let malformed = |detail| Some(Problem::new(&problem_catalogue::MALFORMED_HEADER, detail).with("field", "host"));
        let Ok(named) = one(request.headers(), &header::HOST) else {
            return malformed("a request has one Host (RFC 9112 section 3.2)");
        };
        if named.is_none() && request.version() == Version::HTTP_11 {
            return malformed("a request has a Host (RFC 9112 section 3.2)");
        }
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let asked = authority.or_else(|| named.and_then(|host| host.to_str().ok()));
        match asked {
            Some(authority) if !self.has(host_of(authority)) => {
                let detail = format!("this service does not answer for '{authority}': tell it --public-host");
                Some(Problem::new(&problem_catalogue::UNKNOWN_HOST, detail))
            }
            _ => None,
        }
    }

    fn has(&self, host: &str) -> bool {
        let Some(listens_at) = self.listens_at else { return true };
        let host = host.trim_end_matches('.').to_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            Ok(address) => address.is_loopback() || address == listens_at || self.public.contains(&host),
            Err(_) => host == "localhost" || self.public.contains(&host),
        }
    }
}

/// An authority without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

/// Why a request is not done, if it would change something and comes from a page of another site.
///
/// Browsers say in Sec-Fetch-Site from where a request comes, whatever a proxy makes of its Host; older ones send the Origin
/// alone, which has to be the Host then. A client that sends neither is no browser.
pub(super) fn foreign_origin(request: &Request) -> Option<Problem> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return None;
    }
    let foreign = |detail| Some(Problem::new(&problem_catalogue::FOREIGN_ORIGIN, detail));
    match request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => return None,
        Some(_) => return foreign("the request comes from a page of another site"),
        None => {}
    }
    let origin = request.headers().get(header::ORIGIN)?;
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let own = named.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    match (origin.to_str().ok().and_then(|origin| origin.split_once("://")), own) {
        (Some((scheme, site)), Some(own)) if is_same(scheme, site, own) => None,
        _ => foreign("the Origin of the request is not this Host"),
    }
}

/// Whether both are one authority: the default port of the scheme may be left out (RFC 6454 section 4).
fn is_same(scheme: &str, site: &str, own: &str) -> bool {
    let default = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let plain = |authority: &str| authority.strip_suffix(default).unwrap_or(authority).to_lowercase();
    plain(site) == plain(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listens_at: &str, public: &[&str]) -> OwnHosts {
        OwnHosts::new(listens_at.parse().unwrap(), &public.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_service_on_this_machine_answers_under_its_names() {
        let local = hosts("127.0.0.1", &["Net.Example"]);
        for own in ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.0.1", "[::1]", "net.example"] {
            assert!(local.has(own), "{own}");
        }
        for other in ["evil.example", "localhost.evil.example", "10.0.0.1", "", "[::2]"] {
            assert!(!local.has(other), "{other}");
        }
        assert!(hosts("0.0.0.0", &[]).has("anything"));
        let public = hosts("10.0.0.1", &["net.example"]);
        assert!(public.has("10.0.0.1") && public.has("net.example") && !public.has("evil.example"));
    }

    #[test]
    fn ports_are_no_part_of_a_name_and_default_ones_go_without_saying() {
        assert_eq!(["a:80", "[::1]:8080", "[::1]", "a"].map(host_of), ["a", "[::1]", "[::1]", "a"]);
        assert!(is_same("http", "a:80", "A") && is_same("https", "a", "a:443") && is_same("http", "a:81", "a:81"));
        assert!(!is_same("https", "a", "a:80") && !is_same("http", "a:81", "a") && !is_same("http", "a", "b"));
    }
}
