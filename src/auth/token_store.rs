//! Access tokens: 256 random bits, told once and kept as their SHA-256. The database has them; each replica holds a copy that
//! it reads anew every two seconds, and at once when it meets a token that it does not know.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Identity;
use crate::journal::{AccessTokenRecord, Journal, JournalError, TOKENS_MAX, TokenDigest};
use api::access::{Role, TokenRequest};
use kernel::id::{Name, NameError};
use kernel::units::Millis;

/// By which a token is seen to be one, by people and by scanners for leaked secrets.
const PREFIX: &str = "wm_";
/// How often the copy is read anew: the longest that a revoked token is good for.
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// How often unknown tokens may have it read anew.
const UNKNOWN_EVERY: Duration = Duration::from_millis(250);
/// How often a token's use is noted.
const USE_NOTED_EVERY_MS: u64 = 60_000;
/// The longest that a token is good for: a hundred years.
const LIFETIME_MAX_MS: u64 = 100 * 365 * 24 * 60 * 60 * 1_000;

/// Why a token is not accepted, not made, or not revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is none of ours, or was revoked.
    #[error("unknown token")]
    Unknown,
    /// Its time is over.
    #[error("the token '{0}' has expired")]
    Expired(Name),
    /// A later version of this program knows its role.
    #[error("the token '{0}' has a role that is not known")]
    UnknownRole(Name),
    /// A name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It would never be good for anything, or for too long.
    #[error("a token lasts from 1 millisecond to {LIFETIME_MAX_MS} milliseconds")]
    Lifetime,
    /// There are too many.
    #[error("there are {TOKENS_MAX} tokens: revoke some first")]
    TooMany,
    /// A token of an aggregator is for one, and none other is.
    #[error("a token is for one aggregator if its role is 'aggregator', and for none otherwise")]
    Aggregator,
    /// The system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The database failed.
    #[error(transparent)]
    Journal(Box<JournalError>),
}

impl From<JournalError> for TokenError {
    fn from(error: JournalError) -> Self {
        Self::Journal(Box::new(error))
    }
}

/// The tokens of a database. Cheap to clone.
#[derive(Clone)]
pub struct TokenStore {
    inner: Arc<TokenStoreInner>,
}

impl std::fmt::Debug for TokenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenStore").finish_non_exhaustive()
    }
}

struct TokenStoreInner {
    journal: Journal,
    now: Box<dyn Fn() -> Millis + Send + Sync>,
    known: ArcSwap<BTreeMap<TokenDigest, AccessTokenRecord>>,
    read_at: tokio::sync::Mutex<Instant>,
    /// Accepted besides those of the database, with the rights of an administrator.
    administrator: Option<TokenDigest>,
    used: Mutex<BTreeMap<String, Millis>>,
    /// Counts up when the copy is another than before.
    changes: watch::Sender<u64>,
}

impl TokenStore {
    /// Reads the tokens. `administrator` is one that comes with the configuration.
    ///
    /// # Errors
    /// The database failed.
    pub async fn open(
        journal: Journal,
        administrator: Option<&str>,
        now: impl Fn() -> Millis + Send + Sync + 'static,
    ) -> Result<Self, JournalError> {
        let known = ArcSwap::from_pointee(by_digest(journal.tokens().await?));
        let administrator = administrator.filter(|token| !token.is_empty()).map(digest);
        let (read_at, used) = (tokio::sync::Mutex::new(Instant::now()), Mutex::default());
        let (changes, _) = watch::channel(0);
        let now = Box::new(now);
        let inner = TokenStoreInner { journal, now, known, read_at, administrator, used, changes };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Says in the log how many tokens there are, and which is the newest: it may have been made while no service ran.
    pub fn log_held(&self) {
        let known = self.inner.known.load();
        let newest = known.values().max_by_key(|token| token.created_at);
        tracing::info!(
            count = known.len(),
            newest = newest.map(|token| token.id.as_str()),
            name = newest.map(|token| token.name.as_str()),
            role = newest.map(|token| token.role.as_str()),
            created_at_ms = newest.map(|token| token.created_at.0),
            "access tokens"
        );
    }

    /// Whether anybody could be let in.
    pub fn is_empty(&self) -> bool {
        self.inner.administrator.is_none() && self.inner.known.load().is_empty()
    }

    /// The tokens, the oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list(&self) -> Result<Vec<AccessTokenRecord>, JournalError> {
        self.inner.journal.tokens().await
    }

    /// Makes a token: what is kept of it, and itself.
    ///
    /// # Errors
    /// A name is none, there are too many, or the database failed.
    pub async fn create(&self, request: &TokenRequest) -> Result<(AccessTokenRecord, String), TokenError> {
        let created_at = (self.inner.now)();
        let expires_at = match request.expires_in_ms {
            Some(lifetime) if (1..=LIFETIME_MAX_MS).contains(&lifetime) => Some(Millis(created_at.0 + lifetime)),
            Some(_) => return Err(TokenError::Lifetime),
            None => None,
        };
        if request.aggregator.is_some() != (request.role == Role::Aggregator) {
            return Err(TokenError::Aggregator);
        }
        if self.inner.journal.tokens().await?.len() >= TOKENS_MAX {
            return Err(TokenError::TooMany);
        }
        let mut random = [0; 38];
        getrandom::fill(&mut random)?;
        let (id, secret) = random.split_at(6);
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        let record = AccessTokenRecord {
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            digest: digest(&token),
            name: Name::new(&request.name)?,
            role: request.role.as_str().to_owned(),
            tenant: request.tenant.as_deref().map(Name::new).transpose()?,
            aggregator: request.aggregator.as_deref().map(Name::new).transpose()?,
            created_at,
            expires_at,
            last_used_at: None,
        };
        self.inner.journal.put_token(&record).await?;
        self.refresh().await?;
        Ok((record, token))
    }

    /// Revokes a token; whether there was one. Other replicas know within two seconds.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revoke(&self, id: &str) -> Result<bool, JournalError> {
        let is_gone = self.inner.journal.delete_token(id).await?;
        self.refresh().await?;
        Ok(is_gone)
    }

    /// Revokes the tokens of a tenant; how many there were. Other replicas know within two seconds.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revoke_all_of(&self, tenant: &Name) -> Result<u64, JournalError> {
        let revoked = self.inner.journal.delete_tokens_of(tenant).await?;
        self.refresh().await?;
        Ok(revoked)
    }

    /// Whose a token is.
    ///
    /// # Errors
    /// It is none of ours, its time is over, or the database had to be asked and failed.
    pub async fn find(&self, token: &str) -> Result<Identity, TokenError> {
        let (digest, now) = (digest(token), (self.inner.now)());
        if self.inner.administrator == Some(digest) {
            return Ok(administrator());
        }
        if let Some(known) = self.inner.known.load().get(&digest) {
            return self.accept(known, now);
        }
        self.refresh_if_older(UNKNOWN_EVERY).await?;
        let known = self.inner.known.load();
        self.accept(known.get(&digest).ok_or(TokenError::Unknown)?, now)
    }

    /// Whose a token is, as far as the copy says: without waiting. A token that is newer than the copy is not known yet.
    pub fn find_known(&self, token: &str) -> Option<Identity> {
        let (digest, now) = (digest(token), (self.inner.now)());
        if self.inner.administrator == Some(digest) {
            return Some(administrator());
        }
        self.accept(self.inner.known.load().get(&digest)?, now).ok()
    }

    fn accept(&self, known: &AccessTokenRecord, now: Millis) -> Result<Identity, TokenError> {
        if known.expires_at.is_some_and(|at| at <= now) {
            return Err(TokenError::Expired(known.name.clone()));
        }
        let role = known.role.parse().map_err(|_| TokenError::UnknownRole(known.name.clone()))?;
        if known.last_used_at.is_none_or(|used| used.0 + USE_NOTED_EVERY_MS < now.0) {
            self.inner.used.lock().unwrap_or_else(PoisonError::into_inner).insert(known.id.clone(), now);
        }
        Ok(Identity {
            name: Some(known.name.clone()),
            role,
            tenant: known.tenant.clone(),
            aggregator: known.aggregator.clone(),
            expires_at: known.expires_at,
            token: Some(known.digest),
            token_id: Name::new(&known.id).ok(),
        })
    }

    /// Tells when a token was made or revoked.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Keeps the copy fresh and notes which tokens were used, until `stop`. While the database does not answer, the copy
    /// stays in force.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        let mut looked_at = (self.inner.now)();
        loop {
            tokio::select! {
                () = tokio::time::sleep(REFRESH_EVERY) => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.note_used().await {
                tracing::warn!(%error, "the use of tokens cannot be noted");
            }
            self.tell_of_expired(&mut looked_at);
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "access tokens cannot be read: those known so far stay in force");
            }
        }
    }

    /// Whoever came in by a token that has expired since goes.
    fn tell_of_expired(&self, looked_at: &mut Millis) {
        let (before, now) = (*looked_at, (self.inner.now)());
        *looked_at = now;
        let is_over = |token: &AccessTokenRecord| token.expires_at.is_some_and(|at| before < at && at <= now);
        if self.inner.known.load().values().any(is_over) {
            self.inner.changes.send_modify(|count| *count += 1);
        }
    }

    /// Waits until a token is revoked.
    pub async fn revoked(&self, token: TokenDigest) {
        let mut changes = self.changes();
        while self.inner.known.load().contains_key(&token) && changes.changed().await.is_ok() {}
    }

    async fn note_used(&self) -> Result<(), JournalError> {
        let used = std::mem::take(&mut *self.inner.used.lock().unwrap_or_else(PoisonError::into_inner));
        for (id, at) in used {
            self.inner.journal.note_token_used(&id, at).await?;
        }
        Ok(())
    }

    async fn refresh(&self) -> Result<(), JournalError> {
        self.refresh_if_older(Duration::ZERO).await
    }

    async fn refresh_if_older(&self, age: Duration) -> Result<(), JournalError> {
        let mut read_at = self.inner.read_at.lock().await;
        if age.is_zero() || read_at.elapsed() >= age {
            // Failing counts as reading: a database that is away is not asked by every request.
            *read_at = Instant::now();
            let known = by_digest(self.inner.journal.tokens().await?);
            let before = self.inner.known.load_full();
            let has_changed = !known.keys().eq(before.keys());
            self.inner.known.store(Arc::new(known));
            if has_changed {
                log_changes(&before, &self.inner.known.load());
                self.inner.changes.send_modify(|count| *count += 1);
            }
        }
        Ok(())
    }
}

/// Tokens are made and revoked by other replicas and by the command line, too: whoever did it, it is in the log.
fn log_changes(before: &BTreeMap<TokenDigest, AccessTokenRecord>, now: &BTreeMap<TokenDigest, AccessTokenRecord>) {
    for token in now.values().filter(|token| !before.contains_key(&token.digest)) {
        tracing::info!(
            id = token.id, name = %token.name, role = token.role,
            tenant = token.tenant.as_ref().map(Name::as_str), aggregator = token.aggregator.as_ref().map(Name::as_str),
            "an access token is accepted from now on"
        );
    }
    for token in before.values().filter(|token| !now.contains_key(&token.digest)) {
        tracing::info!(id = token.id, name = %token.name, role = token.role, "an access token is accepted no more");
    }
}

/// Whether a text looks like a token that was made here.
pub(super) fn is_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

pub(super) fn administrator() -> Identity {
    Identity { name: Name::new("administrator").ok(), ..Identity::local() }
}

fn by_digest(tokens: Vec<AccessTokenRecord>) -> BTreeMap<TokenDigest, AccessTokenRecord> {
    tokens.into_iter().map(|token| (token.digest, token)).collect()
}

pub(super) fn digest(token: &str) -> TokenDigest {
    TokenDigest(Sha256::digest(token).into())
}
