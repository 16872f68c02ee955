//! The names under which an HTTP interface is asked, and the pages that are its own.
//!
//! A name that another party controls may lead to this machine (DNS rebinding): a browser takes a page of that name for one
//! of the interface then. So an interface that listens on this machine alone answers under names of this machine alone, and
//! under those that it is told.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Version, header};

/// The probes of a supervisor, which asks by the address of the process (kubelet) and is told that it runs, and nothing else.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

/// Which hosts a request may be for.
#[derive(Clone, Debug, Default)]
pub struct OwnHosts {
    /// Where the interface listens; `None`: anywhere.
    listens_at: Option<IpAddr>,
    /// The names that it has elsewhere, in lower case.
    public: Vec<String>,
    /// What a proxy has put in front of its paths: empty, or a slash and more, without one at the end.
    prefix: Arc<str>,
}

/// The host of a request is not one to answer for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HostFault {
    /// There is none.
    #[error("a request has a Host (RFC 9112 section 3.2)")]
    Missing,
    /// There are several.
    #[error("a request has one Host (RFC 9112 section 3.2)")]
    Several,
    /// It is another's.
    #[error("there is no answer for '{0}' here: tell it --public-host")]
    Unknown(String),
}

/// A request changes something and comes from a page of another site.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ForeignOrigin {
    /// The browser says so.
    #[error("the request comes from a page of another site")]
    Site,
    /// Its origin does.
    #[error("the Origin of the request is not this Host")]
    Origin,
}

impl OwnHosts {
    /// Of an interface that listens at an address, and has these names besides. Where it listens for other machines, and has
    /// no such name, it answers under any: nothing tells it how others call it.
    pub fn new(listens_at: IpAddr, public: &[String]) -> Self {
        let public: Vec<_> = public.iter().map(|name| name.to_lowercase()).collect();
        let is_bound = listens_at.is_loopback() || !public.is_empty();
        Self { listens_at: is_bound.then_some(listens_at), public, prefix: Arc::default() }
    }

    /// The same, found by others at a URL: its host is one of these, and answers lead to paths under it.
    #[must_use]
    pub fn found_at(mut self, host: &str, path: &str) -> Self {
        self.public.push(host.trim_start_matches('[').trim_end_matches(']').to_lowercase());
        self.prefix = Arc::from(path.trim_end_matches('/'));
        self
    }

    /// What a proxy has put in front of paths.
    pub fn prefix(&self) -> &Arc<str> {
        &self.prefix
    }

    /// That a request is for one of these hosts, or a probe.
    ///
    /// # Errors
    /// It is for another, or for none.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), HostFault> {
        let mut named = request.headers().get_all(header::HOST).iter();
        let host = named.next();
        if named.next().is_some() {
            return Err(HostFault::Several);
        }
        if host.is_none() && request.version() == Version::HTTP_11 {
            return Err(HostFault::Missing);
        }
        let authority = request.uri().authority().map(|authority| authority.as_str());
        match authority.or_else(|| host.and_then(|host| host.to_str().ok())) {
            Some(authority) if !self.has(host_of(authority)) && !PROBES.contains(&request.uri().path()) => {
                Err(HostFault::Unknown(authority.to_owned()))
            }
            _ => Ok(()),
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

/// That a request changes nothing, or does not come from a page of another site.
///
/// Browsers say in Sec-Fetch-Site from where a request comes, whatever a proxy makes of its Host; older ones send the Origin
/// alone, which has to be the Host then. A client that sends neither is no browser.
///
/// # Errors
/// It would change something, and comes from such a page.
pub fn check_origin<B>(request: &Request<B>) -> Result<(), ForeignOrigin> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let headers: &HeaderMap = request.headers();
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => return Ok(()),
        Some(_) => return Err(ForeignOrigin::Site),
        None => {}
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let own = named.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    match (origin.to_str().ok().and_then(|origin| origin.split_once("://")), own) {
        (Some((scheme, site)), Some(own)) if is_same(scheme, site, own) => Ok(()),
        _ => Err(ForeignOrigin::Origin),
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
    fn an_interface_on_this_machine_answers_under_its_names() {
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
    fn probes_are_answered_under_any_name() {
        let public = hosts("0.0.0.0", &["net.example"]);
        let ask = |host: &str, path: &str| {
            public.check(&Request::get(path).header(header::HOST, host).body(()).unwrap()).is_ok()
        };
        assert!(ask("10.42.0.7:8080", "/livez") && ask("10.42.0.7:8080", "/readyz") && ask("net.example", "/v1/links"));
        for path in ["/v1/links", "/", "/livez/", "/metrics", "/v1/livez"] {
            assert!(!ask("10.42.0.7:8080", path), "{path}");
        }
        let none = Request::get("/livez").body(()).unwrap();
        assert_eq!(public.check(&none), Err(HostFault::Missing));
    }

    #[test]
    fn ports_are_no_part_of_a_name_and_default_ones_go_without_saying() {
        assert_eq!(["a:80", "[::1]:8080", "[::1]", "a"].map(host_of), ["a", "[::1]", "[::1]", "a"]);
        assert!(is_same("http", "a:80", "A") && is_same("https", "a", "a:443") && is_same("http", "a:81", "a:81"));
        assert!(!is_same("https", "a", "a:80") && !is_same("http", "a:81", "a") && !is_same("http", "a", "b"));
    }
}
