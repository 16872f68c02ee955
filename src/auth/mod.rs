//! Who asks, and what they may do. The door: an [`Authenticator`] takes the credential of a request, or the certificate of its
//! connection, for an [`Identity`], and
//! [`needed`] says which roles an operation is for. What a principal may see of others' is up to the room that answers.
//!
//! On one machine nobody is asked: without a credential a request is the [`Identity::local`]'s, who may do everything. A
//! credential that is given counts all the same.

mod certificate;
mod oidc;
mod permission;
mod refusal_log;
mod token_store;

use std::net::SocketAddr;
use std::sync::Arc;

use api::access::{OpenIdDocument, Role};
use kernel::id::Name;
use kernel::units::Millis;

pub use crate::journal::{AccessTokenRecord, TokenDigest};
pub use certificate::{CertificateEntry, CertificateEntryError, CertificatePrincipals, PeerCertificate};
pub(crate) use oidc::LEEWAY_S;
use oidc::Provider;
pub use oidc::{ProviderError, ProviderSettings};
pub use permission::{OPERATIONS, Permission, needed};
use refusal_log::RefusalLog;
pub use token_store::{TokenError, TokenStore};

/// Who sends a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// What they are called; `None`: nobody was asked.
    pub name: Option<Name>,
    /// What they may do.
    pub role: Role,
    /// The tenant whose allocations they may see and change; `None`: everybody's.
    pub tenant: Option<Name>,
    /// The only aggregator that they may report for; `None`: any.
    pub aggregator: Option<Name>,
    /// When their credential ends.
    pub expires_at: Option<Millis>,
    /// The access token that they have, if it is one of the database.
    pub token: Option<TokenDigest>,
    /// What their token is called: its id in the database, or its `jti`.
    pub token_id: Option<Name>,
}

impl Identity {
    /// Whoever is on this machine, where nobody is asked.
    pub fn local() -> Self {
        Self {
            name: None,
            role: Role::Admin,
            tenant: None,
            aggregator: None,
            expires_at: None,
            token: None,
            token_id: None,
        }
    }

    /// Whether they may do what needs this.
    pub fn may(&self, permission: Permission) -> bool {
        permission.roles().contains(&self.role)
    }
}

/// Why a request is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// A credential is needed.
    #[error("a token is needed")]
    Missing,
    /// The credential is none of ours, or no longer. Which of these is for the log.
    #[error("the token is not valid")]
    Invalid,
    /// The certificate is nobody's here, or no longer.
    #[error("the certificate is not known here")]
    Certificate,
    /// The tokens cannot be read from the database.
    #[error("tokens cannot be looked up")]
    Unavailable,
}

/// Takes credentials for principals. Cheap to clone.
#[derive(Clone, Default)]
pub struct Authenticator {
    tokens: Option<TokenStore>,
    /// The administrator's token, where there is no store of tokens.
    administrator: Option<TokenDigest>,
    provider: Option<Arc<Provider>>,
    certificates: Arc<CertificatePrincipals>,
    required: bool,
    open_metrics: bool,
    page_client: Option<Arc<OpenIdDocument>>,
    refusals: Arc<RefusalLog>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("required", &self.required).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Of a service that asks who one is only if `required`.
    pub fn new(tokens: TokenStore, required: bool) -> Self {
        Self { tokens: Some(tokens), required, ..Self::default() }
    }

    /// Of a broker without a database: it knows the administrator's token, if that is given.
    pub fn of_broker(administrator: Option<&str>) -> Self {
        let administrator = administrator.filter(|token| !token.is_empty()).map(token_store::digest);
        Self { administrator, ..Self::default() }
    }

    /// Whether a credential could let anybody in.
    pub fn has_credentials(&self) -> bool {
        let has_tokens = self.tokens.as_ref().is_some_and(|tokens| !tokens.is_empty());
        has_tokens || self.administrator.is_some() || self.provider.is_some() || !self.certificates.is_empty()
    }

    /// The same, that accepts the tokens of an OpenID provider too.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn with_provider(self, settings: ProviderSettings) -> Result<Self, ProviderError> {
        Ok(Self { provider: Some(Arc::new(Provider::new(settings)?)), ..self })
    }

    /// The same, whose page lets people sign in at the provider as this client.
    #[must_use]
    pub fn with_page_client(self, client: Option<OpenIdDocument>) -> Self {
        Self { page_client: client.map(Arc::new), ..self }
    }

    /// The client as which people sign in at the provider.
    pub fn page_client(&self) -> Option<&OpenIdDocument> {
        self.page_client.as_deref()
    }

    /// The same, that knows the principals of clients' certificates.
    #[must_use]
    pub fn with_certificates(self, certificates: CertificatePrincipals) -> Self {
        Self { certificates: Arc::new(certificates), ..self }
    }

    /// The principals of clients' certificates.
    pub fn certificates(&self) -> &Arc<CertificatePrincipals> {
        &self.certificates
    }

    /// The same, with figures that anybody may read.
    #[must_use]
    pub fn with_open_metrics(self, open_metrics: bool) -> Self {
        Self { open_metrics, ..self }
    }

    /// The same, that asks who one is, or not.
    #[must_use]
    pub fn with_demand(self, required: bool) -> Self {
        Self { required, ..self }
    }

    /// Whether it asks who one is.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Whether anybody may read figures.
    pub fn has_open_metrics(&self) -> bool {
        self.open_metrics
    }

    /// Whether it accepts tokens of an OpenID provider.
    pub fn has_provider(&self) -> bool {
        self.provider.is_some()
    }

    /// The tokens that it knows.
    pub fn tokens(&self) -> Option<&TokenStore> {
        self.tokens.as_ref()
    }

    /// Who sends a request with this credential, over a connection with this certificate. The credential counts before the
    /// certificate: it is of the request.
    ///
    /// # Errors
    /// There is none and one is needed, or it is none of ours. The log says which, and from where.
    pub async fn identify(
        &self,
        credential: Option<&str>,
        certificate: Option<&PeerCertificate>,
        from: Option<SocketAddr>,
    ) -> Result<Identity, Unauthenticated> {
        let certificate = certificate.filter(|_| credential.is_none() && !self.certificates.is_empty());
        if let Some(certificate) = certificate {
            return self.of_certificate(certificate, from);
        }
        match (credential, &self.tokens) {
            (None, _) if self.required => Err(Unauthenticated::Missing),
            (None, _) => Ok(Identity::local()),
            (Some(credential), _) if self.provider.is_some() && is_jwt(credential) => {
                self.of_provider(credential, from).await
            }
            (Some(credential), None) if self.administrator == Some(token_store::digest(credential)) => {
                Ok(token_store::administrator())
            }
            (Some(_), None) => {
                self.refusals.write(&TokenError::Unknown, from);
                Err(Unauthenticated::Invalid)
            }
            (Some(credential), Some(tokens)) => tokens.find(credential).await.map_err(|error| {
                self.refusals.write(&error, from);
                match error {
                    TokenError::Journal(_) => Unauthenticated::Unavailable,
                    _ => Unauthenticated::Invalid,
                }
            }),
        }
    }

    /// Whose a password of another door is: a token of this service or of the provider. Waits for what has to be read or fetched;
    /// `None`: it is neither, or is good no longer.
    ///
    /// # Errors
    /// The provider or the database cannot be asked.
    pub async fn find_password(
        &self,
        password: &str,
        from: Option<SocketAddr>,
    ) -> Result<Option<Identity>, Unauthenticated> {
        let found = match &self.tokens {
            _ if self.is_signed(password) => self.of_provider(password, from).await,
            // Others are passwords of users, and no reason to read the database.
            Some(tokens) if token_store::is_token(password) => match tokens.find(password).await {
                Err(TokenError::Journal(_)) => Err(Unauthenticated::Unavailable),
                found => found.map_err(|_| Unauthenticated::Invalid),
            },
            _ => return Ok(self.find_known_password(password)),
        };
        match found {
            Err(error @ Unauthenticated::Unavailable) => Err(error),
            found => Ok(found.ok()),
        }
    }

    /// Whether the provider decides on a password: it has the form of a JWT, and there is one.
    pub fn is_signed(&self, password: &str) -> bool {
        self.provider.is_some() && is_jwt(password)
    }

    /// Whose such a password is as far as is known, without waiting: for a client that came in by it.
    pub fn find_known_password(&self, password: &str) -> Option<Identity> {
        if let Some(provider) = self.provider.as_ref().filter(|_| is_jwt(password)) {
            return provider.find_known(password);
        }
        match &self.tokens {
            Some(tokens) => tokens.find_known(password),
            None => {
                let is_administrator = self.administrator == Some(token_store::digest(password));
                is_administrator.then(token_store::administrator)
            }
        }
    }

    fn of_certificate(
        &self,
        certificate: &PeerCertificate,
        from: Option<SocketAddr>,
    ) -> Result<Identity, Unauthenticated> {
        self.certificates.find_now(certificate).ok_or_else(|| {
            let from = from.map(|from| from.to_string());
            tracing::warn!(?certificate, from, "a certificate of no principal, or one that has expired, was refused");
            Unauthenticated::Certificate
        })
    }

    async fn of_provider(&self, credential: &str, from: Option<SocketAddr>) -> Result<Identity, Unauthenticated> {
        let Some(provider) = &self.provider else { return Err(Unauthenticated::Invalid) };
        provider.find(credential).await.map_err(|error| {
            self.refusals.write(&error, from);
            match error {
                ProviderError::Provider(_) => Unauthenticated::Unavailable,
                _ => Unauthenticated::Invalid,
            }
        })
    }
}

/// Whether a credential has the three parts of a signed JWT (RFC 7515 section 3.1).
fn is_jwt(credential: &str) -> bool {
    credential.split('.').count() == 3
}
