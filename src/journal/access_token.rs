//! Access tokens as they are kept. The token itself is nowhere: a digest tells whether one is it.

use std::fmt;
use std::str::FromStr;

use super::column::{column, number};
use super::{BULK_MAX, Journal, JournalError, on_bulk, on_either, on_reader, statement, within};
use kernel::id::Name;
use kernel::units::Millis;

/// The most tokens that are kept.
pub const TOKENS_MAX: usize = 10_000;

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenDigest(pub [u8; 32]);

/// A token, without itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessTokenRecord {
    /// By which it is revoked.
    pub id: String,
    /// By which it is recognised.
    pub digest: TokenDigest,
    /// Who bears it.
    pub name: Name,
    /// The word of what they may do.
    pub role: String,
    /// For whom.
    pub tenant: Option<Name>,
    /// As which aggregator.
    pub aggregator: Option<Name>,
    /// When it was made.
    pub created_at: Millis,
    /// When it ends.
    pub expires_at: Option<Millis>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Millis>,
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Not even the digest is for a log.
impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest")
    }
}

impl FromStr for TokenDigest {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(());
        }
        for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()).ok_or(())?;
        }
        Ok(Self(digest))
    }
}

type TokenRow = (String, String, String, String, Option<String>, Option<String>, i64, Option<i64>, Option<i64>);

impl AccessTokenRecord {
    /// A row, unless somebody else than this program wrote it.
    fn parse(row: TokenRow) -> Option<Self> {
        let (id, digest, name, role, tenant, aggregator, created_at, expires_at, last_used_at) = row;
        let instant = |value| number("access_token", 0, value).map(Millis).ok();
        let name_of = |text: Option<String>| text.as_deref().map(Name::new).transpose();
        Some(Self {
            id,
            digest: digest.parse().ok()?,
            name: Name::new(&name).ok()?,
            role,
            tenant: name_of(tenant).ok()?,
            aggregator: name_of(aggregator).ok()?,
            created_at: instant(created_at)?,
            expires_at: match expires_at {
                Some(at) => Some(instant(at)?),
                None => None,
            },
            last_used_at: last_used_at.and_then(instant),
        })
    }
}

impl Journal {
    /// Every token, the oldest first. A row that cannot be read lets nobody in, and is named in the log.
    ///
    /// # Errors
    /// The database failed.
    pub async fn tokens(&self) -> Result<Vec<AccessTokenRecord>, JournalError> {
        let rows: Vec<TokenRow> =
            on_reader!(self, |connection| sqlx::query_as(statement::TOKENS).fetch_all(connection).await?);
        let read = rows.into_iter().filter_map(|row| {
            let id = row.0.clone();
            let token = AccessTokenRecord::parse(row);
            if token.is_none() {
                tracing::warn!(id, "an access token cannot be read, and is not accepted");
            }
            token
        });
        Ok(read.collect())
    }

    /// Keeps a token.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_token(&self, token: &AccessTokenRecord) -> Result<(), JournalError> {
        let instant = |at: Option<Millis>| at.map(|at| column(at.0)).transpose();
        let created_at = column(token.created_at.0)?;
        let (expires_at, last_used_at) = (instant(token.expires_at)?, instant(token.last_used_at)?);
        on_bulk!(self, |connection| {
            let query = sqlx::query(statement::TOKEN_PUT).bind(&token.id).bind(token.digest.to_string());
            let query = query.bind(token.name.as_str()).bind(&token.role);
            let query = query.bind(token.tenant.as_ref().map(Name::as_str));
            let query = query.bind(token.aggregator.as_ref().map(Name::as_str));
            query.bind(created_at).bind(expires_at).bind(last_used_at).execute(connection).await?.rows_affected()
        });
        Ok(())
    }

    /// Forgets a token; whether there was one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_token(&self, id: &str) -> Result<bool, JournalError> {
        Ok(on_bulk!(self, |connection| {
            sqlx::query(statement::TOKEN_DELETE).bind(id).execute(connection).await?.rows_affected() > 0
        }))
    }

    /// Forgets the tokens of a tenant; how many there were.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_tokens_of(&self, tenant: &Name) -> Result<u64, JournalError> {
        Ok(on_bulk!(self, |connection| {
            let query = sqlx::query(statement::TOKENS_DELETE_OF_TENANT).bind(tenant.as_str());
            query.execute(connection).await?.rows_affected()
        }))
    }

    /// Notes when a token was used.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_token_used(&self, id: &str, at: Millis) -> Result<(), JournalError> {
        let at = column(at.0)?;
        on_bulk!(self, |connection| {
            sqlx::query(statement::TOKEN_USED).bind(id).bind(at).execute(connection).await?.rows_affected()
        });
        Ok(())
    }
}
