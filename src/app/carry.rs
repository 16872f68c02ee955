//! A journal carried away: every event is applied to a state again and, if there is somewhere to put it, written down there.
//! What comes out is known to fit together, whatever kind of database either is.

use super::ended::ended;
use crate::journal::{
    AppendError, BatchError, ChainDigest, ChainHead, Journal, JournalError, PastFilter, RecordBatch, RecordDecodeError,
};
use kernel::id::Sequence;
use kernel::{ApplyError, Fact, State, apply};

/// How many events are carried at once.
const EVENTS_AT_ONCE: u32 = 1_000;

/// Why a journal cannot be carried away.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// One of the databases failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An event does not fit the ones before it.
    #[error("event {at} does not fit the events before it: {error}", at = .at.0)]
    Decode { at: Sequence, error: RecordDecodeError },
    /// An event cannot follow from the ones before it.
    #[error("event {at} cannot follow from the events before it: {error}", at = .at.0)]
    Apply { at: Sequence, error: ApplyError },
    /// An event that should be there is not.
    #[error("event {at} is missing", at = .at.0)]
    Missing { at: Sequence },
    /// An event's digest is not that of its bytes after the event before it.
    #[error("event {at} is not the one that was written: its digest does not match", at = .at.0)]
    Broken { at: Sequence },
    /// An event cannot be written down.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The other journal does not take what is carried.
    #[error("the other journal does not take what is carried: {0}")]
    Append(#[from] AppendError),
}

/// What was carried.
pub struct Carried {
    /// The event of the snapshot that was begun with; 0: every event was applied.
    pub since: Sequence,
    /// The state after the last event.
    pub state: State,
}

/// Applies the events of `from` up to `until` and writes them to `to`, which is empty: from the first one on or, where the
/// journal begins later, from its newest snapshot on, with the allocations that had ended by then. Idempotency keys are not
/// carried.
///
/// # Errors
/// The first event that does not fit, or a database failed.
pub async fn carry(from: &Journal, until: Sequence, to: Option<&Journal>) -> Result<Carried, CarryError> {
    let begins_at_first = from.first_sequence().await? == Sequence(1);
    let (mut state, mut digest) = match begins_at_first {
        true => (State::new(), ChainDigest::default()),
        false => from.read_snapshot().await?,
    };
    let (since, mut batch) = (state.sequence(), RecordBatch::after(digest));
    if let Some(to) = to
        && since > Sequence(0)
    {
        to.begin_with_snapshot(&state, digest).await?;
        carry_past(from, since, to).await?;
    }
    while state.sequence() < until {
        let missing = state.sequence().next();
        let events = from.read_after(state.sequence(), EVENTS_AT_ONCE).await?;
        if events.first().is_none_or(|event| event.sequence != missing) {
            return Err(CarryError::Missing { at: missing });
        }
        batch.clear();
        for event in events.iter().take_while(|event| event.sequence <= until) {
            let at = event.sequence;
            if !event.follows(digest) {
                return Err(CarryError::Broken { at });
            }
            digest = event.head().digest;
            let recorded = event.decode(&state).map_err(|error| CarryError::Decode { at, error })?;
            let before = apply(&mut state, &recorded).map_err(|error| CarryError::Apply { at, error })?;
            let fact = Fact::of(recorded, &state).by(event.actor.clone());
            batch.push(&fact, &ended(&state, &fact, &before))?;
        }
        if let Some(to) = to {
            to.append(&batch).await?;
        }
    }
    Ok(Carried { since, state })
}

/// Holds the digests of the events up to `until` against their bytes; that of the first one that is left is believed.
///
/// # Errors
/// The first event that breaks the chain, or the database failed.
pub async fn check_chain(journal: &Journal, until: Sequence) -> Result<(), CarryError> {
    let first = journal.first_sequence().await?;
    let mut head = ChainHead { sequence: Sequence(first.0.saturating_sub(1)), digest: ChainDigest::default() };
    while head.sequence < until {
        let events = journal.read_after(head.sequence, EVENTS_AT_ONCE).await?;
        if events.is_empty() {
            return Ok(());
        }
        for event in events {
            let at = event.sequence;
            if at != head.sequence.next() {
                return Err(CarryError::Missing { at: head.sequence.next() });
            }
            if !event.follows(head.digest) && (at > first || first == Sequence(1)) {
                return Err(CarryError::Broken { at });
            }
            head = event.head();
        }
    }
    Ok(())
}

/// Copies the allocations that had ended by event `until`.
async fn carry_past(from: &Journal, until: Sequence, to: &Journal) -> Result<(), CarryError> {
    let (mut after, mut batch) = (None, RecordBatch::new());
    loop {
        let page = from.past(&PastFilter::default(), after, EVENTS_AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.allocation.id);
        batch.clear();
        for past in page.iter().filter(|past| past.ended_by <= until) {
            batch.push_past(past)?;
        }
        to.append(&batch).await?;
    }
}
