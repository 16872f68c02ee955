//! Access tokens in a database, with or without a service that runs on it: how the first one is made.

use crate::app::Clock;
use crate::auth::{AccessTokenRecord, TokenError, TokenStore};
use crate::config::SecretUrl;
use crate::journal::{DatabaseUrl, DatabaseUrlError, Journal, JournalError};
use api::access::TokenRequest;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum TokenCommandError {
    /// The URL of the database.
    #[error(transparent)]
    Url(#[from] DatabaseUrlError),
    /// The database failed.
    #[error(transparent)]
    Journal(Box<JournalError>),
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It would be for a tenant that there is not.
    #[error("there is no tenant '{0}' in the database: make it first, with watermaster tenant put {0}")]
    UnknownTenant(String),
    /// There is none of this id.
    #[error("there is no token '{0}'")]
    Unknown(String),
}

impl From<JournalError> for TokenCommandError {
    fn from(error: JournalError) -> Self {
        Self::Journal(Box::new(error))
    }
}

async fn store(url: &SecretUrl) -> Result<(Journal, TokenStore), TokenCommandError> {
    let journal = Journal::open(&url.expose().parse::<DatabaseUrl>()?).await?;
    let clock = Clock::new();
    let tokens = TokenStore::open(journal.clone(), None, move || clock.now()).await?;
    Ok((journal, tokens))
}

/// Makes a token: what is kept of it, and itself.
///
/// # Errors
/// The request is impossible, or the database failed.
pub async fn create(url: &SecretUrl, request: &TokenRequest) -> Result<(AccessTokenRecord, String), TokenCommandError> {
    let (journal, tokens) = store(url).await?;
    let made = create_in(&journal, &tokens, request).await;
    journal.close().await;
    made
}

async fn create_in(
    journal: &Journal,
    tokens: &TokenStore,
    request: &TokenRequest,
) -> Result<(AccessTokenRecord, String), TokenCommandError> {
    if let Some(tenant) = &request.tenant {
        let state = journal.restore().await?;
        if state.tenant(tenant).is_none() {
            return Err(TokenCommandError::UnknownTenant(tenant.clone()));
        }
    }
    Ok(tokens.create(request).await?)
}

/// The tokens, the oldest first.
///
/// # Errors
/// The database failed.
pub async fn list(url: &SecretUrl) -> Result<Vec<AccessTokenRecord>, TokenCommandError> {
    let (journal, tokens) = store(url).await?;
    let found = tokens.list().await;
    journal.close().await;
    Ok(found?)
}

/// Revokes a token.
///
/// # Errors
/// There is none of this id, or the database failed.
pub async fn revoke(url: &SecretUrl, id: &str) -> Result<(), TokenCommandError> {
    let (journal, tokens) = store(url).await?;
    let revoked = tokens.revoke(id).await;
    journal.close().await;
    if revoked? { Ok(()) } else { Err(TokenCommandError::Unknown(id.to_owned())) }
}
