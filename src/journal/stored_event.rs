//! Events as they come out of the journal: followed by a state, or read as facts whatever the state is.

use std::net::IpAddr;
use std::sync::Arc;

use super::chain::{ChainDigest, ChainHead, RowDigest};
use super::column::number;
use super::decode::{decode, decode_fact};
use super::error::{JournalError, RecordDecodeError};
use super::record::EventRecord;
use super::statement::FRAME;
use kernel::fact::Actor;
use kernel::id::{Name, Sequence};
use kernel::state::State;
use kernel::units::Millis;
use kernel::{Fact, Recorded};

/// Sequence, time, body, actor, digest.
pub(super) type JournalRow = (i64, i64, String, Option<String>, Option<String>);

/// An event in its stored form.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its place in the journal.
    pub sequence: Sequence,
    at: Millis,
    record: EventRecord,
    /// Who had it decided.
    pub actor: Option<Arc<Actor>>,
    row: RowDigest,
    digest: Option<ChainDigest>,
}

impl StoredEvent {
    pub(super) fn parse((row, at_ms, body, actor, digest): &JournalRow) -> Result<Self, JournalError> {
        let record =
            serde_json::from_str(body).map_err(|error| JournalError::Damaged { table: "journal", row: *row, error })?;
        let sequence = Sequence(number("journal", *row, *row)?);
        let at = Millis(number("journal", *row, *at_ms)?);
        let text = actor.as_deref().unwrap_or_default();
        let row = RowDigest::of(sequence.0, at.0, text, body.as_bytes());
        let digest = digest.as_deref().map(ChainDigest::read);
        Ok(Self { sequence, at, record, actor: read_actor(text).map(Arc::new), row, digest })
    }

    /// Its place in the chain, as its row says.
    pub fn head(&self) -> ChainHead {
        ChainHead { sequence: self.sequence, digest: self.digest.unwrap_or_default() }
    }

    /// Whether it is the one that was written after the event of this digest. One from before there was a chain follows
    /// another such only.
    pub fn follows(&self, before: ChainDigest) -> bool {
        match self.digest {
            Some(digest) => digest == self.row.after(before),
            None => before == ChainDigest::default(),
        }
    }

    /// The event, to be applied to `state`.
    ///
    /// # Errors
    /// The record does not fit the state.
    pub fn decode(&self, state: &State) -> Result<Recorded, RecordDecodeError> {
        decode(&self.record, self.sequence, self.at, state)
    }

    pub(super) fn into_fact(self) -> Result<Fact, JournalError> {
        let fact = decode_fact(&self.record, self.sequence, self.at);
        let fact = fact.map(|fact| fact.by(self.actor));
        fact.map_err(|error| JournalError::Decode { at: self.sequence, error })
    }
}

/// An actor as it is stored: the name, framed, the address, if it is known, and behind a space the id of the token, if there is
/// one. Names have no control characters, addresses no spaces.
pub(super) fn actor_text(Actor { name, address, token }: &Actor) -> String {
    let address = address.map(|address| address.to_string()).unwrap_or_default();
    let token = token.as_ref().map(|token| format!(" {token}")).unwrap_or_default();
    format!("{}{address}{token}", framed(name))
}

/// What the stored form of every actor of this name contains.
pub(super) fn framed(name: &Name) -> String {
    format!("{FRAME}{name}{FRAME}")
}

fn read_actor(text: &str) -> Option<Actor> {
    let (name, rest) = text.strip_prefix(FRAME)?.split_once(FRAME)?;
    let (address, token) = rest.split_once(' ').map_or((rest, None), |(address, token)| (address, Some(token)));
    let token = token.and_then(|token| Name::new(token).ok());
    Some(Actor { name: Name::new(name).ok()?, address: address.parse::<IpAddr>().ok(), token })
}
