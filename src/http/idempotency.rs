//! Idempotency keys: a request that is repeated is answered again, not done again. What it made is in the journal, so the
//! answer is rendered from there by the code that rendered it first.
//!
//! A single request that was refused outright changed nothing and is decided again; of a batch, the refusals are kept too.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::access::Room;
use super::extract::one;
use super::problem::Problem;
use super::{ApiState, problem_catalogue};
use crate::app::{CommandOutcome, Fact, Submission, SubmissionKey, SubmitError};
use kernel::id::Sequence;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key.
const KEY_MAX_BYTES: usize = 255;

/// The key of a request, and what of the request is fingerprinted besides its body.
pub(super) struct IdempotencyKey(Option<Box<KeyedRequest>>);

#[derive(Clone)]
struct KeyedRequest {
    key: String,
    method: Method,
    uri: Uri,
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let malformed = || {
            Problem::new(
                &problem_catalogue::MALFORMED_HEADER,
                "Idempotency-Key has to be 1 to 255 visible ASCII characters",
            )
        };
        let Some(value) = one(&parts.headers, &IDEMPOTENCY_KEY).map_err(|()| malformed())? else {
            return Ok(Self(None));
        };
        let is_good = (1..=KEY_MAX_BYTES).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
        let key = value.to_str().ok().filter(|_| is_good).ok_or_else(malformed)?.to_owned();
        Ok(Self(Some(Box::new(KeyedRequest { key, method: parts.method.clone(), uri: parts.uri.clone() }))))
    }
}

/// The keys whose requests are being answered.
#[derive(Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<BTreeSet<String>>>);

/// A key that is taken until this is dropped.
struct ReservedKey {
    in_flight: InFlight,
    key: String,
}

impl InFlight {
    fn take(&self, key: &str) -> Result<ReservedKey, Problem> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
        if !is_new {
            let detail = "a request with this key is being answered";
            return Err(Problem::new(&problem_catalogue::IDEMPOTENCY_IN_FLIGHT, detail));
        }
        Ok(ReservedKey { in_flight: self.clone(), key: key.to_owned() })
    }
}

impl Drop for ReservedKey {
    fn drop(&mut self) {
        self.in_flight.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// What a request with a key is.
pub(super) enum Lookup {
    /// To be done.
    First(IdempotentSubmit),
    /// Done before.
    Again(FormerAnswer),
}

/// What became of a request that was done before.
pub(super) struct FormerAnswer {
    pub(super) facts: Vec<Arc<Fact>>,
    /// What was answered to its refused commands, as [`SubmissionKey::refusals`] wrote it.
    pub(super) refusals: Option<String>,
}

/// What became of a request that was submitted.
pub(super) enum Submitted {
    /// It was decided.
    Now(Vec<CommandOutcome>),
    /// A request with its key was faster, at another replica.
    Before(FormerAnswer),
}

/// By which a request is submitted for the first time.
#[derive(Default)]
pub(super) struct IdempotentSubmit(Option<(SubmissionKey, ReservedKey)>);

impl IdempotentSubmit {
    /// Has a submission decided. The key stays taken until it is, even if the client has disconnected and asks again.
    pub(super) async fn submit(
        self,
        room: &ApiState,
        submission: Submission,
        refusals: Option<fn(&[CommandOutcome]) -> String>,
    ) -> Result<Submitted, Problem> {
        let Some((key, taken)) = self.0 else {
            return Ok(Submitted::Now(room.app.submit(submission).await?));
        };
        let key = SubmissionKey { refusals, ..key };
        let (app, asked) = (room.app.clone(), key.clone());
        let decided = tokio::spawn(async move {
            let decided = app.submit(Submission { key: Some(key), ..submission }).await;
            drop(taken);
            decided
        });
        match decided.await.unwrap_or(Err(SubmitError::Stopping)) {
            Err(SubmitError::KeyTaken) => {
                let replay = replay(room, &asked.key, &asked.fingerprint).await?;
                replay.map(Submitted::Before).ok_or_else(|| SubmitError::KeyTaken.into())
            }
            decided => Ok(Submitted::Now(decided?)),
        }
    }
}

impl IdempotencyKey {
    /// Whether there is one.
    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// The key of a part of the request, which begins with command `first`: that of the whole for the first part.
    pub(super) fn of_part(&self, first: usize) -> Self {
        let mut asked = self.0.clone();
        if let Some(asked) = asked.as_mut().filter(|_| first > 0) {
            // No key from outside has a control character.
            asked.key = format!("{}\u{1e}{first}", asked.key);
        }
        Self(asked)
    }

    /// Looks the key up.
    pub(super) async fn look_up(self, room: &Room, body: &[u8]) -> Result<Lookup, Problem> {
        let Some(mut asked) = self.0 else { return Ok(Lookup::First(IdempotentSubmit::default())) };
        // A key is its sender's: another's request under the same key is another one. A name has no control characters.
        if let Some(name) = &room.caller.identity.name {
            asked.key = format!("{name}\u{1f}{}", asked.key);
        }
        let fingerprint = asked.fingerprint(body);
        let taken = room.in_flight.take(&asked.key)?;
        if let Some(replay) = replay(room, &asked.key, &fingerprint).await? {
            return Ok(Lookup::Again(replay));
        }
        let key = SubmissionKey { key: asked.key, fingerprint, refusals: None };
        Ok(Lookup::First(IdempotentSubmit(Some((key, taken)))))
    }
}

/// What a key stands for, if it was used before.
async fn replay(room: &ApiState, key: &str, fingerprint: &str) -> Result<Option<FormerAnswer>, Problem> {
    let Some(receipt) = room.app.receipt(key).await? else { return Ok(None) };
    if receipt.fingerprint != fingerprint {
        let detail = "this key was used for a request with another path or body";
        return Err(Problem::new(&problem_catalogue::IDEMPOTENCY_MISMATCH, detail));
    }
    let before = Sequence(receipt.first.0.saturating_sub(1));
    let facts = room.app.facts_after(before, receipt.count).await?;
    Ok(Some(FormerAnswer { facts, refusals: receipt.refusals }))
}

impl KeyedRequest {
    fn fingerprint(&self, body: &[u8]) -> String {
        let mut hash = Sha256::new();
        for part in [self.method.as_str(), self.uri.path(), self.uri.query().unwrap_or_default()] {
            hash.update(part);
            hash.update([0]);
        }
        hash.update(body);
        let mut hex = String::with_capacity(64);
        for byte in hash.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

/// Says that an answer was given before.
pub(super) fn replayed(mut response: Response) -> Response {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
