//! The gate: whose a request is, and whether they may do what it asks for. What they may see of others' is up to the
//! handlers, which have it in their [`Room`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use utoipa::openapi::{HttpMethod, OpenApi};

use super::extract::one;
use super::problem::Problem;
use super::request_rate::RequestRates;
use super::{ApiState, problem_catalogue};
use crate::app::{App, Fact, Mode, Submission, SubmitError};
use crate::auth::{Authenticator, Identity, PeerCertificate, Permission, Unauthenticated, needed};
use api::access::Role;
use kernel::fact::Actor;
use kernel::id::{AllocationId, Name};
use kernel::{Command, Refusal};

/// The cookie that the page is recognised by.
pub(super) const COOKIE: &str = "watermaster_token";
/// The longest credential that is looked at.
const CREDENTIAL_MAX_BYTES: usize = 16 << 10;
/// The route of the figures, which is not an operation of the interface.
const METRICS: &str = "/metrics";

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// From where it came.
    pub address: SocketAddr,
    /// Whether it is over TLS.
    pub is_encrypted: bool,
    /// The certificate that the client has shown.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// What the gate knows.
pub(super) struct Guard {
    /// Which knows the tenants; `None`: there are none.
    app: Option<App>,
    rates: RequestRates,
    authenticator: Authenticator,
    /// What is needed, by route and method.
    needed: BTreeMap<String, BTreeMap<&'static str, Permission>>,
}

impl Guard {
    /// For the operations of a document.
    pub(super) fn new(app: Option<App>, authenticator: Authenticator, document: &OpenApi) -> Self {
        let mut table: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
        for (route, item) in &document.paths.paths {
            for (method, operation) in [
                (HttpMethod::Get, &item.get),
                (HttpMethod::Put, &item.put),
                (HttpMethod::Post, &item.post),
                (HttpMethod::Patch, &item.patch),
                (HttpMethod::Delete, &item.delete),
            ] {
                if let Some(id) = operation.as_ref().and_then(|operation| operation.operation_id.as_deref()) {
                    table.entry(route.clone()).or_default().insert(name_of(&method), needed(id));
                }
            }
        }
        Self { app, rates: RequestRates::default(), authenticator, needed: table }
    }

    fn permission(&self, route: &str, method: &Method) -> Permission {
        let method = if method == Method::HEAD { "GET" } else { method.as_str() };
        if route == METRICS {
            return if self.authenticator.has_open_metrics() { Permission::Open } else { Permission::SeeAll };
        }
        let known = self.needed.get(route).and_then(|methods| methods.get(method));
        // A method that the route does not have is answered as such, to whoever may read.
        known.copied().unwrap_or(Permission::Read)
    }
}

fn name_of(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Put => "PUT",
        HttpMethod::Post => "POST",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Delete => "DELETE",
        _ => "",
    }
}

/// Lets a request in, or not.
pub(super) async fn admit(guard: &Guard, mut request: Request) -> Result<Request, Problem> {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let permission = guard.permission(route, request.method());
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.clone());
    let certificate = peer.as_ref().and_then(|peer| peer.certificate.as_deref());
    let from = peer.as_ref().map(|peer| peer.address);
    let identity = guard.authenticator.identify(credential(request.headers())?, certificate, from).await;
    let identity = match identity {
        Ok(identity) if permission == Permission::SeeAll && sees_one_tenant(&identity) => {
            let detail = "this is of all tenants, and the token is for one";
            return Err(Problem::new(&problem_catalogue::NOT_YOURS, detail));
        }
        Ok(identity) if permission == Permission::Open || identity.may(permission) => identity,
        Ok(identity) => return Err(forbidden(&identity, permission)),
        Err(_) if permission == Permission::Open => Identity { role: Role::Viewer, ..Identity::local() },
        Err(reason) => return Err(unauthenticated(reason)),
    };
    let admits = |tenant: &&Name| guard.app.as_ref().is_none_or(|app| guard.rates.admit(app, tenant));
    if let Some(tenant) = identity.tenant.as_ref().filter(|tenant| !admits(tenant)) {
        let detail = format!("the tenant '{tenant}' has more requests a second than it may");
        return Err(Problem::new(&problem_catalogue::TOO_MANY_REQUESTS, detail));
    }
    request.extensions_mut().insert(Caller { identity: Arc::new(identity), peer });
    Ok(request)
}

/// The token of a request: in its Authorization (RFC 6750 section 2.1), or in the page's cookie.
fn credential(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let malformed = |detail| Problem::new(&problem_catalogue::MALFORMED_HEADER, detail).with("field", "authorization");
    let value = one(headers, &header::AUTHORIZATION).map_err(|()| malformed("a request has one Authorization"))?;
    let credential = match value {
        Some(value) => {
            let text = value.to_str().map_err(|_| malformed("Authorization is not ASCII"))?;
            let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
            if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
                return Err(malformed("Authorization has to be 'Bearer' and a token"));
            }
            Some(token.trim())
        }
        None => cookie(headers),
    };
    match credential {
        Some(long) if long.len() > CREDENTIAL_MAX_BYTES => Err(malformed("the token is too long")),
        credential => Ok(credential),
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| token).filter(|token| !token.is_empty())
}

/// Engineers see the network as a whole.
fn sees_one_tenant(identity: &Identity) -> bool {
    identity.tenant.is_some() && !matches!(identity.role, Role::Engineer | Role::Admin)
}

fn unauthenticated(reason: Unauthenticated) -> Problem {
    match reason {
        Unauthenticated::Unavailable => Problem::new(&problem_catalogue::JOURNAL_UNAVAILABLE, reason.to_string()),
        Unauthenticated::Missing | Unauthenticated::Invalid | Unauthenticated::Certificate => {
            Problem::new(&problem_catalogue::UNAUTHENTICATED, reason.to_string())
        }
    }
}

fn forbidden(identity: &Identity, permission: Permission) -> Problem {
    let roles: Vec<_> = permission.roles().iter().map(|role| role.as_str()).collect();
    let detail = format!("this is for the roles {}, and the token's is '{}'", roles.join(", "), identity.role);
    Problem::new(&problem_catalogue::ROLE_NEEDED, detail).with("roles", roles)
}

/// Whose a request is, and from where.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) identity: Arc<Identity>,
    peer: Option<Peer>,
}

impl Caller {
    /// Whose the request is that passed the gate.
    pub(super) fn of(parts: &Parts) -> Result<Self, Problem> {
        let defect = || Problem::new(&problem_catalogue::INTERNAL, "the request did not pass the gate");
        parts.extensions.get::<Self>().cloned().ok_or_else(defect)
    }

    /// As events name them; nobody where nobody is asked.
    pub(super) fn actor(&self) -> Option<Arc<Actor>> {
        let name = self.identity.name.clone()?;
        let (address, token) = (self.peer.as_ref().map(|peer| peer.address.ip()), self.identity.token_id.clone());
        Some(Arc::new(Actor { name, address, token }))
    }

    /// Whether the connection is.
    pub(super) fn is_encrypted(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.is_encrypted)
    }
}

/// What a handler has at hand: what all have, and who asks.
#[derive(Clone)]
pub(super) struct Room {
    state: ApiState,
    pub(super) caller: Caller,
}

impl Deref for Room {
    type Target = ApiState;

    fn deref(&self) -> &ApiState {
        &self.state
    }
}

impl FromRequestParts<ApiState> for Room {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        Ok(Self { state: state.clone(), caller: Caller::of(parts)? })
    }
}

impl Room {
    /// Has one command decided: what happened, or the problem.
    pub(super) async fn submit(&self, command: Command, mode: Mode) -> Result<Arc<Fact>, Problem> {
        Ok(self.ask(command, mode).await??)
    }

    /// Has one command decided; a refusal is left to the caller.
    pub(super) async fn ask(&self, command: Command, mode: Mode) -> Result<Result<Arc<Fact>, Refusal>, SubmitError> {
        let submission = Submission { mode, actor: self.caller.actor(), ..Submission::of(command) };
        self.app.submit(submission).await?.pop().ok_or(SubmitError::Stopping)
    }

    /// Waits until the caller is nobody any more: the credential has expired, or was revoked.
    pub(super) fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let (identity, now) = (Arc::clone(&self.caller.identity), self.app.now());
        let tokens = self.authenticator.tokens().cloned();
        async move {
            let expired = async {
                match identity.expires_at {
                    Some(at) => tokio::time::sleep(Duration::from_millis(at.0.saturating_sub(now.0))).await,
                    None => std::future::pending().await,
                }
            };
            let revoked = async {
                match tokens.zip(identity.token) {
                    Some((tokens, token)) => tokens.revoked(token).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = expired => {}
                () = revoked => {}
            }
        }
    }

    /// The tenant beyond which the caller sees nothing; `None`: they see everything.
    pub(super) fn own_tenant(&self) -> Option<&Name> {
        let identity = &self.caller.identity;
        identity.tenant.as_ref().filter(|_| sees_one_tenant(identity))
    }

    /// Whether the caller may see an allocation of this tenant.
    pub(super) fn sees(&self, tenant: Option<&Name>) -> bool {
        self.own_tenant().is_none_or(|own| tenant == Some(own))
    }

    /// A request in the name of the caller's tenant.
    pub(super) fn in_own_name(&self, command: Command) -> Result<Command, Problem> {
        let Some(own) = self.caller.identity.tenant.as_ref() else { return Ok(command) };
        let Command::Allocate(mut request) = command else { return Ok(command) };
        match &request.attributes.tenant {
            Some(other) if other != own => {
                Err(Problem::new(&problem_catalogue::NOT_YOURS, format!("the token is for the tenant '{own}'")))
            }
            _ => {
                request.attributes.tenant = Some(own.clone());
                Ok(Command::Allocate(request))
            }
        }
    }

    /// That the caller may see a living allocation; another's is not there for them.
    pub(super) fn reaches(&self, id: AllocationId) -> Result<(), Problem> {
        let is_others = self.app.read(|state| {
            let allocation = state.allocation(id)?;
            Some(!self.sees(allocation.demand.attributes.tenant.as_ref()))
        });
        if is_others == Some(true) { Err(Refusal::UnknownAllocation(id).into()) } else { Ok(()) }
    }

    /// That the caller may speak for an aggregator.
    pub(super) fn speaks_for(&self, aggregator: &Name) -> Result<(), Problem> {
        match &self.caller.identity.aggregator {
            Some(own) if own != aggregator => {
                let detail = format!("the token is for the aggregator '{own}'");
                Err(Problem::new(&problem_catalogue::NOT_YOURS, detail))
            }
            _ => Ok(()),
        }
    }
}
