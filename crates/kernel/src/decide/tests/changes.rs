//! Changes of allocations: times, bandwidth and protection, judged as one.

use super::calendar::Timeline;
use super::*;
use crate::allocation::{EndCause, Protection};
use crate::event::Denial;
use crate::path::Disjointness;

const CHANGE: fn() -> AllocationChange = AllocationChange::default;

fn line(links: &[(&str, u64)]) -> Timeline {
    Timeline::new(links, model(ModelKind::Rdm, &[60, 40]))
}

/// Its times after a change, and who was displaced; or the largest bandwidth that would do.
fn changed(line: &mut Timeline, id: AllocationId, what: AllocationChange) -> Result<((u64, u64), Vec<u64>), u64> {
    let before = line.world.state.allocation(id).cloned();
    match line.run(change(id, what)).unwrap() {
        Event::Resized { allocation, displaced } => {
            let time = |at: Option<Millis>| at.map_or(0, |at| at.0);
            let attributes = &allocation.demand.attributes;
            let times = (time(attributes.starts_at), time(attributes.expires_at));
            Ok((times, displaced.iter().map(|gone| gone.id.0).collect()))
        }
        Event::Denied { denial, of, .. } => {
            assert_eq!((of, line.world.state.allocation(id).cloned()), (Some(id), before));
            match denial {
                Denial::InsufficientBandwidth { largest_admissible, .. } => Err(largest_admissible.as_bps()),
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
}

fn until(at: u64) -> AllocationChange {
    AllocationChange { expires_at: Some(Some(Millis(at))), ..CHANGE() }
}

fn from(at: u64) -> AllocationChange {
    AllocationChange { starts_at: Some(Some(Millis(at))), ..CHANGE() }
}

#[test]
fn an_end_moves_as_far_as_the_bookings_after_it_let_it() {
    let mut line = line(&[("a-b", 100)]);
    let id = line.book(1, 40, (0, 50));
    line.book(1, 20, (60, 70));
    assert_eq!(changed(&mut line, id, until(60)), Ok(((0, 60), vec![])));
    assert_eq!(changed(&mut line, id, until(61)), Err(20), "20 of the 40 that the class has is booked from 60");
    // Less bandwidth for longer, in one change.
    let both = AllocationChange { bandwidth: Bandwidth::from_bps(20), ..until(61) };
    assert_eq!(changed(&mut line, id, both), Ok(((0, 61), vec![])));
    let never = AllocationChange { expires_at: Some(None), ..CHANGE() };
    assert_eq!(changed(&mut line, id, never), Ok(((0, 0), vec![])));
    line.now = 10;
    let lasting = AllocationChange { duration: Some(Millis(5)), ..CHANGE() };
    assert_eq!(changed(&mut line, id, lasting), Ok(((0, 15), vec![])), "from now, as it has started");
    let ended = line.pass(20);
    assert!(matches!(&ended[..], [Event::Expired { ids }] if ids[..] == [id]), "{ended:?}");
}

#[test]
fn a_booking_moves_and_takes_its_right_with_it() {
    let mut line = line(&[("a-b", 100)]);
    let low = line.book(0, 100, (40, 50));
    let id = line.book(1, 40, (10, 20));
    // The end stays where it was.
    assert_eq!(changed(&mut line, id, from(15)), Ok(((15, 20), vec![])));
    // Over a booking that borrowed the share of the class: that one is named now.
    let later = AllocationChange { expires_at: Some(Some(Millis(60))), ..from(30) };
    assert_eq!(changed(&mut line, id, later), Ok(((30, 60), vec![low.0])));
    assert!(line.world.state.allocation(low).is_none());
    let at_once = AllocationChange { starts_at: Some(None), ..CHANGE() };
    assert_eq!(changed(&mut line, id, at_once), Ok(((0, 60), vec![])));
    assert_eq!((line.world.state.next_start(), line.world.state.next_deadline()), (None, Some(Millis(60))));
    let refusal = line.run(change(id, from(70))).unwrap_err();
    assert_eq!(refusal.to_string(), "invalid starts_at: the allocation has started");
}

#[test]
fn what_starts_at_once_preempts_at_once() {
    let mut line = line(&[("a-b", 100)]);
    let low = line.book(0, 100, (0, 0));
    let id = line.book(1, 40, (10, 20));
    let event = line.run(change(id, AllocationChange { starts_at: Some(None), ..CHANGE() })).unwrap();
    let Event::Resized { displaced, .. } = event else { panic!("{event:?}") };
    assert_eq!((displaced[0].id, &displaced[0].fate), (low, &Fate::Ended(EndCause::Preempted)));
}

#[test]
fn times_that_cannot_be_are_refused_by_name() {
    let mut line = line(&[("a-b", 100)]);
    let id = line.book(1, 40, (10, 20));
    line.now = 5;
    for (what, why) in [
        (from(5), "invalid starts_at: it is not in the future"),
        (from(20), "invalid expires_at: it is not after starts_at"),
        (until(10), "invalid expires_at: it is not after starts_at"),
        (until(5), "invalid expires_at: it is not in the future"),
        (AllocationChange { duration: Some(Millis(1)), ..until(30) }, "invalid duration_ms"),
        (AllocationChange { duration: Some(Millis(0)), ..CHANGE() }, "invalid duration_ms"),
    ] {
        let refusal = line.run(change(id, what)).unwrap_err().to_string();
        assert!(refusal.starts_with(why), "{refusal}");
    }
    // Its time is over, though it has not expired yet.
    let brief = line.book(0, 1, (0, 6));
    line.now = 6;
    assert_eq!(line.run(change(brief, until(30))), Err(Refusal::UnknownAllocation(brief)));
}

fn protection() -> Protection {
    Protection { disjointness: Disjointness::Link, is_shared: false, is_revertive: false, is_best_effort: false }
}

fn protect(asked: Option<Protection>) -> AllocationChange {
    AllocationChange { protection: Some(asked), ..CHANGE() }
}

fn paths(line: &Timeline, id: AllocationId) -> (Vec<String>, Option<usize>) {
    (line.world.path(id), line.world.state.allocation(id).unwrap().backup().map(|path| path.len()))
}

#[test]
fn protection_is_added_changed_and_dropped_beside_the_working_path() {
    let mut line = line(&[("a-b", 100), ("a-c", 100), ("c-b", 100), ("a-b#2", 100)]);
    let id = line.book(0, 40, (0, 0));
    let working = line.world.path(id);
    assert_eq!(changed(&mut line, id, protect(Some(protection()))), Ok(((0, 0), vec![])));
    assert_eq!(paths(&line, id), (working.clone(), Some(1)));
    // What it has is node-disjoint as well, and becomes shared where it is.
    let shared = Protection { disjointness: Disjointness::Node, is_shared: true, ..protection() };
    assert_eq!(changed(&mut line, id, protect(Some(shared))), Ok(((0, 0), vec![])));
    assert_eq!(paths(&line, id), (working.clone(), Some(1)));
    assert_eq!(changed(&mut line, id, protect(None)), Ok(((0, 0), vec![])));
    assert_eq!(paths(&line, id), (working, None));
    assert!(!line.world.state.allocation(id).unwrap().is_recovering());
}

#[test]
fn a_backup_path_that_is_asked_for_now_may_take_bandwidth() {
    let mut line = line(&[("a-b", 100), ("a-c", 100), ("c-b", 100)]);
    let best_effort = Protection { is_best_effort: true, ..protection() };
    let mut asked = request("a", "b", 1, 40);
    asked.attributes.protection = Some(best_effort);
    line.world.change("a-c", down());
    let Event::Admitted { allocation, .. } = line.ask(asked) else { panic!("denied") };
    let id = allocation.id;
    assert_eq!(paths(&line, id), (vec!["a-b".to_owned()], None));
    assert_eq!(
        changed(&mut line, id, protect(Some(best_effort))),
        Ok(((0, 0), vec![])),
        "there is none, and none need be"
    );
    assert_eq!(paths(&line, id), (vec!["a-b".to_owned()], None));
    line.world.change("a-c", LinkChange { state: Some(LinkState::Up), ..LinkChange::default() });
    let other = line.ask(Request { topology: None, ..request("a", "c", 0, 100) });
    let Event::Admitted { allocation: low, .. } = other else { panic!("{other:?}") };
    assert!(line.run(Command::Recover { id, may_return: false }).is_err(), "that takes nothing from any other");
    assert_eq!(changed(&mut line, id, protect(Some(best_effort))), Ok(((0, 0), vec![low.id.0])));
    assert_eq!(paths(&line, id), (vec!["a-b".to_owned()], Some(2)));
}
