//! What a request says beside its demand: when it is held, starts and ends, and its annotations. Nothing is looked for.

use std::sync::Arc;

use super::resolve;
use crate::allocation::{Allocation, LspAttributes};
use crate::annotation::{Annotation, AnnotationField};
use crate::command::Request;
use crate::event::Event;
use crate::id::AllocationId;
use crate::refusal::Refusal;
use crate::state::State;
use crate::units::Millis;

/// The attributes of a request, with its times as instants.
pub(super) fn with_times(request: &Request, now: Millis) -> Result<LspAttributes, Refusal> {
    let mut attributes = request.attributes.clone();
    let invalid = |field, why| Err(Refusal::ImpossibleTime { field, why });
    attributes.held_until = held_until(request.hold_for, now)?;
    if let Some(Millis(duration_ms)) = request.duration {
        if attributes.expires_at.is_some() {
            return invalid("duration_ms", "the request says when it expires, too");
        }
        if duration_ms == 0 {
            return invalid("duration_ms", "it must be above zero");
        }
        let starts_at = attributes.starts_at.unwrap_or(now);
        attributes.expires_at = Some(Millis(starts_at.0.saturating_add(duration_ms)));
    }
    let Some(starts_at) = attributes.starts_at else { return Ok(attributes) };
    if starts_at <= now {
        return invalid("starts_at", "it is not in the future");
    }
    if attributes.expires_at.is_some_and(|at| at <= starts_at) {
        return invalid("expires_at", "it is not after starts_at");
    }
    if attributes.held_until.is_some_and(|until| until > starts_at) {
        return invalid("hold_ms", "the hold lasts beyond starts_at");
    }
    Ok(attributes)
}

/// The longest hold: a day.
const HOLD_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

fn held_until(hold_for: Option<Millis>, now: Millis) -> Result<Option<Millis>, Refusal> {
    match hold_for {
        None => Ok(None),
        Some(Millis(ms)) if (1..=HOLD_MAX_MS).contains(&ms) => Ok(Some(Millis(now.0.saturating_add(ms)))),
        Some(_) => Err(Refusal::HoldLength { max_ms: HOLD_MAX_MS }),
    }
}

/// What was held is in force from now on. Its books were taken when it was admitted.
pub(super) fn confirm(state: &State, id: AllocationId, now: Millis) -> Result<Event, Refusal> {
    let mut confirmed = Allocation::clone(resolve::allocation(state, id)?);
    let attributes = &mut confirmed.demand.attributes;
    // One whose time is over is not there any more, whether or not anybody has noticed.
    match attributes.held_until.take() {
        Some(until) if until > now => {}
        Some(_) => return Err(Refusal::UnknownAllocation(id)),
        None => return Err(Refusal::NotHeld(id)),
    }
    confirmed.updated_at = now;
    Ok(Event::Resized { allocation: Arc::new(confirmed), displaced: vec![] })
}

/// Other annotations alone: nothing is looked for, whatever the links and the bandwidth model have become.
pub(super) fn annotate(
    state: &State,
    id: AllocationId,
    annotations: &[(AnnotationField, Option<Annotation>)],
    now: Millis,
) -> Result<Event, Refusal> {
    let mut changed = Allocation::clone(resolve::allocation(state, id)?);
    let attributes = &mut changed.demand.attributes;
    attributes.annotations = attributes.annotations.with(annotations.iter().cloned());
    changed.updated_at = now;
    Ok(Event::Resized { allocation: Arc::new(changed), displaced: vec![] })
}
