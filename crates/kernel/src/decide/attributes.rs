//! What a request says beside its demand: when it is held, starts and ends, how it follows its traffic, and its annotations.
//! Nothing is looked for.

use std::sync::Arc;

use super::resolve;
use crate::allocation::{Allocation, Demand, LspAttributes, Owner};
use crate::annotation::{Annotation, AnnotationField};
use crate::auto_bandwidth::AUTO_BANDWIDTHS_MAX;
use crate::command::{AllocationChange, Request};
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
    if let Some(duration) = request.duration {
        if attributes.expires_at.is_some() {
            return invalid("duration_ms", "the request says when it expires, too");
        }
        attributes.expires_at = Some(end_after(duration, &attributes, now)?);
    }
    let Some(starts_at) = attributes.starts_at else { return Ok(attributes) };
    if starts_at <= now {
        return invalid("starts_at", "it is not in the future");
    }
    check_order(&attributes, "hold_ms")?;
    Ok(attributes)
}

/// The attributes of an allocation with other times, protection and annotations.
pub(super) fn changed(old: &LspAttributes, change: &AllocationChange, now: Millis) -> Result<LspAttributes, Refusal> {
    let mut attributes = old.clone();
    let invalid = |field, why| Err(Refusal::ImpossibleTime { field, why });
    match change.starts_at {
        Some(_) if old.starts_at.is_none() => return invalid("starts_at", "the allocation has started"),
        Some(Some(at)) if at <= now => return invalid("starts_at", "it is not in the future"),
        Some(starts_at) => attributes.starts_at = starts_at,
        None => {}
    }
    match (change.expires_at, change.duration) {
        (Some(_), Some(_)) => return invalid("duration_ms", "the change says when it expires, too"),
        (Some(expires_at), None) => attributes.expires_at = expires_at,
        (None, Some(duration)) => attributes.expires_at = Some(end_after(duration, &attributes, now)?),
        (None, None) => {}
    }
    if attributes.expires_at.is_some_and(|at| at <= now) {
        return Err(Refusal::AlreadyExpired);
    }
    check_order(&attributes, "starts_at")?;
    attributes.protection = change.protection.unwrap_or(old.protection);
    if let Some(asked) = &change.auto_bandwidth {
        attributes.auto_bandwidth.clone_from(asked);
    }
    attributes.annotations = attributes.annotations.with(change.annotations.iter().cloned());
    Ok(attributes)
}

/// What measures an allocation has to be able to: its packets are counted at the ingress, in one direction.
pub(super) fn check_auto_bandwidth(state: &State, demand: &Demand, old: Option<&Allocation>) -> Result<(), Refusal> {
    let LspAttributes { auto_bandwidth, is_bidirectional, owner, .. } = &demand.attributes;
    let Some(settings) = auto_bandwidth else { return Ok(()) };
    let invalid = |(field, why)| Refusal::ImpossibleAutoBandwidth { field, why };
    settings.check(demand.bandwidth).map_err(invalid)?;
    if *is_bidirectional {
        return Err(invalid((
            "auto_bandwidth",
            "the packets of a bidirectional allocation are counted in both directions",
        )));
    }
    if *owner == Owner::Scheduler {
        return Err(invalid(("auto_bandwidth", "the QoS scheduler sets the bandwidth of this allocation")));
    }
    let is_new = old.is_none_or(|old| old.demand.attributes.auto_bandwidth.is_none());
    if is_new && state.auto_bandwidth.len() >= AUTO_BANDWIDTHS_MAX {
        return Err(Refusal::TooMany { what: "allocations with auto-bandwidth", max: AUTO_BANDWIDTHS_MAX });
    }
    Ok(())
}

/// The end of what lasts so long from its start, or from now.
fn end_after(duration: Millis, attributes: &LspAttributes, now: Millis) -> Result<Millis, Refusal> {
    if duration.0 == 0 {
        return Err(Refusal::ImpossibleTime { field: "duration_ms", why: "it must be above zero" });
    }
    Ok(Millis(attributes.starts_at.unwrap_or(now).0.saturating_add(duration.0)))
}

/// A booking starts before it expires, and not before its hold is over; `moved` is the field to be blamed for that.
fn check_order(attributes: &LspAttributes, moved: &'static str) -> Result<(), Refusal> {
    let Some(starts_at) = attributes.starts_at else { return Ok(()) };
    let invalid = |field, why| Err(Refusal::ImpossibleTime { field, why });
    if attributes.expires_at.is_some_and(|at| at <= starts_at) {
        return invalid("expires_at", "it is not after starts_at");
    }
    if attributes.held_until.is_some_and(|until| until > starts_at) {
        return invalid(moved, "the hold lasts beyond starts_at");
    }
    Ok(())
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
