//! Tokens of an OpenID provider: JWTs that it signed (RFC 7519, OpenID Connect Core 1.0 section 3.1.3.7). Its keys are found
//! by discovery, kept for ten minutes, and asked for anew when a token names one that is not known. A token that was verified
//! is remembered for a minute, or until it expires.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::Identity;
use api::access::Role;
use kernel::id::Name;
use kernel::units::Millis;

/// What is accepted; neither `none` nor a shared secret.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::ES256, Algorithm::ES384, Algorithm::RS256, Algorithm::PS256, Algorithm::EdDSA];
/// How long keys are kept.
const KEYS_KEPT: Duration = Duration::from_secs(600);
/// How long they are good while the provider does not answer.
const KEYS_KEPT_AWAY: Duration = Duration::from_secs(3_600);
/// How often unknown keys may have them asked for anew.
const KEYS_EVERY: Duration = Duration::from_secs(5);
/// How long the provider may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The longest answer of the provider.
const ANSWER_MAX_BYTES: usize = 1 << 20;
/// How much of the name of an unknown key is in the log: whoever sends a token chooses it.
const KEY_ID_SHOWN_MAX_CHARS: usize = 64;
/// By how much clocks may differ, in seconds: so long after its end a token is good yet.
pub(crate) const LEEWAY_S: u64 = 30;
/// How long a verified token is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many are.
const REMEMBERED_MAX: usize = 10_000;

/// A provider, and what its tokens say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProviderSettings {
    /// The issuer's URL, as its tokens name it.
    pub issuer: String,
    /// For whom its tokens have to be.
    pub audience: String,
    /// The claim with the role or roles; parts after dots are members of objects.
    pub role_claim: String,
    /// The claim with the tenant, in the same way.
    pub tenant_claim: String,
    /// Whether viewers and requesters have to have a tenant.
    pub is_tenant_required: bool,
    /// Which role a value of the claim stands for; without any, values are roles themselves.
    pub roles: BTreeMap<String, Role>,
}

/// Why a token of a provider is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It is no token, its signature is wrong, or it is not for us, or not now.
    #[error("not a valid token of the provider: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// It is signed in a way that is not accepted.
    #[error("tokens signed by {0:?} are not accepted")]
    Algorithm(Algorithm),
    /// The provider has no such key.
    #[error("the provider has no key {0:?}")]
    UnknownKey(String),
    /// It gives no role.
    #[error("the claim '{0}' gives no role")]
    NoRole(String),
    /// It gives no tenant, and has to.
    #[error("the claim '{0}' gives no tenant")]
    NoTenant(String),
    /// Its subject or tenant is no name.
    #[error("the claim '{0}' is no name")]
    NoName(&'static str),
    /// The provider does not answer, or makes no sense.
    #[error("the OpenID provider cannot be used: {0}")]
    Provider(String),
}

/// A provider whose tokens are accepted.
pub(super) struct Provider {
    settings: ProviderSettings,
    http: reqwest::Client,
    keys: ArcSwapOption<Keys>,
    asking: tokio::sync::Mutex<Option<Instant>>,
    remembered: Mutex<BTreeMap<[u8; 32], (Instant, Identity)>>,
}

struct Keys {
    set: JwkSet,
    since: Instant,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Claims {
    exp: u64,
    sub: String,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Provider {
    pub(super) fn new(settings: ProviderSettings) -> Result<Self, ProviderError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let redirect = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().timeout(ANSWER_MAX).redirect(redirect).build().map_err(unusable)?;
        let (keys, asking) = (ArcSwapOption::empty(), tokio::sync::Mutex::new(None));
        Ok(Self { settings, http, keys, asking, remembered: Mutex::default() })
    }

    /// Whose a token is.
    pub(super) async fn find(&self, token: &str) -> Result<Identity, ProviderError> {
        if let Some(identity) = self.recall(&digest(token)) {
            return Ok(identity);
        }
        let (algorithm, kid) = signed_by(token)?;
        let key = self.key(&kid).await?;
        self.verify(token, algorithm, &key)
    }

    /// Whose a token is by the keys that were found last, however old they are: without waiting. For a client that came in by
    /// it; the provider may be away since.
    pub(super) fn find_known(&self, token: &str) -> Option<Identity> {
        self.recall(&digest(token)).or_else(|| {
            let (algorithm, kid) = signed_by(token).ok()?;
            let key = self.keys.load_full()?.find(&kid)?.ok()?;
            self.verify(token, algorithm, &key).ok()
        })
    }

    fn verify(&self, token: &str, algorithm: Algorithm, key: &DecodingKey) -> Result<Identity, ProviderError> {
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_S;
        let TokenData { claims, .. } = decode::<Claims>(token, key, &validation)?;
        let identity = self.identity(&claims)?;
        self.remember(digest(token), &claims, &identity);
        Ok(identity)
    }

    fn identity(&self, claims: &Claims) -> Result<Identity, ProviderError> {
        let ProviderSettings { role_claim, tenant_claim, roles, .. } = &self.settings;
        let values: Vec<&str> = match claim(&claims.others, role_claim) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => vec![],
        };
        let role_of = |value: &&str| match roles.is_empty() {
            true => value.parse().ok(),
            false => roles.get(*value).copied(),
        };
        // Of several, the one that may most.
        let role = values.iter().filter_map(role_of).max().ok_or_else(|| ProviderError::NoRole(role_claim.clone()))?;
        let tenant = match claim(&claims.others, tenant_claim) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Name::new(text).map_err(|_| ProviderError::NoName("tenant"))?),
            Some(_) => return Err(ProviderError::NoName("tenant")),
        };
        // Without a tenant one sees everybody's.
        if tenant.is_none() && self.settings.is_tenant_required && matches!(role, Role::Viewer | Role::Requester) {
            return Err(ProviderError::NoTenant(tenant_claim.clone()));
        }
        Ok(Identity {
            name: Some(Name::new(&claims.sub).map_err(|_| ProviderError::NoName("sub"))?),
            role,
            tenant,
            token: None,
            token_id: claims.others.get("jti").and_then(Value::as_str).and_then(|id| Name::new(id).ok()),
            aggregator: match role {
                Role::Aggregator => Some(Name::new(&claims.sub).map_err(|_| ProviderError::NoName("sub"))?),
                _ => None,
            },
            expires_at: Some(Millis(claims.exp.saturating_mul(1_000))),
        })
    }

    fn recall(&self, digest: &[u8; 32]) -> Option<Identity> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, identity) = remembered.get(digest)?;
        (*until > Instant::now()).then(|| identity.clone())
    }

    fn remember(&self, digest: [u8; 32], claims: &Claims, identity: &Identity) {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let left = Duration::from_secs(claims.exp.saturating_sub(now_s));
        let now = Instant::now();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, (until, _)| *until > now);
        }
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(digest, (now + left.min(REMEMBERED), identity.clone()));
        }
    }

    async fn key(&self, kid: &str) -> Result<DecodingKey, ProviderError> {
        let known = self.keys.load_full().filter(|keys| keys.since.elapsed() < KEYS_KEPT);
        if let Some(key) = known.as_deref().and_then(|keys| keys.find(kid)) {
            return key;
        }
        let asked = self.ask_for_keys().await;
        // Those that were found last are good for a while when the provider is away.
        let keys = self.keys.load_full().filter(|keys| keys.since.elapsed() < KEYS_KEPT_AWAY);
        match (keys.as_deref().and_then(|keys| keys.find(kid)), asked) {
            (Some(key), _) => key,
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(ProviderError::UnknownKey(kid.chars().take(KEY_ID_SHOWN_MAX_CHARS).collect())),
        }
    }

    /// At most every few seconds, whoever asks: an attacker's tokens cost the provider nothing.
    async fn ask_for_keys(&self) -> Result<(), ProviderError> {
        let mut asked_at = self.asking.lock().await;
        if asked_at.is_some_and(|at| at.elapsed() < KEYS_EVERY) {
            return Ok(());
        }
        *asked_at = Some(Instant::now());
        let well_known = format!("{}/.well-known/openid-configuration", self.settings.issuer.trim_end_matches('/'));
        let found: Discovery = self.get(&well_known).await?;
        if found.issuer != self.settings.issuer {
            return Err(ProviderError::Provider(format!("its issuer is '{}'", found.issuer)));
        }
        let set = self.get(&found.jwks_uri).await?;
        self.keys.store(Some(Arc::new(Keys { set, since: Instant::now() })));
        Ok(())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, ProviderError> {
        let answer = self.http.get(url).send().await.and_then(reqwest::Response::error_for_status);
        let body = api::client::body(answer.map_err(unusable)?, ANSWER_MAX_BYTES).await;
        let body = body.map_err(|error| ProviderError::Provider(error.to_string()))?;
        serde_json::from_slice(&body).map_err(|error| ProviderError::Provider(error.to_string()))
    }
}

impl Keys {
    fn find(&self, kid: &str) -> Option<Result<DecodingKey, ProviderError>> {
        let found = match kid.is_empty() {
            // A provider with one key need not name it.
            true => self.set.keys.first().filter(|_| self.set.keys.len() == 1),
            false => self.set.find(kid),
        };
        found.map(|key| Ok(DecodingKey::from_jwk(key)?))
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// How a token says that it is signed: an algorithm that is accepted, and the name of the key.
fn signed_by(token: &str) -> Result<(Algorithm, String), ProviderError> {
    let header = decode_header(token)?;
    match ALGORITHMS.contains(&header.alg) {
        true => Ok((header.alg, header.kid.unwrap_or_default())),
        false => Err(ProviderError::Algorithm(header.alg)),
    }
}

fn unusable(error: reqwest::Error) -> ProviderError {
    ProviderError::Provider(error.to_string())
}

/// A claim, or a member of one.
fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let mut found = claims.get(parts.next()?)?;
    for part in parts {
        found = found.get(part)?;
    }
    Some(found)
}
