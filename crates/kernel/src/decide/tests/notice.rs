//! Notice ahead of what bookings will preempt.

use std::collections::BTreeMap;

use super::calendar::Timeline;
use super::*;
use crate::foresee;
use crate::preemption_notice::PreemptionNotice;

fn foreseen(line: &Timeline, until: u64) -> BTreeMap<AllocationId, PreemptionNotice> {
    foresee(&line.world.state, Millis(until), &mut Workspace::default())
}

/// Gives notice of all that is foreseen until then, and lifts what is not.
fn look(line: &mut Timeline, until: u64) -> Result<Event, Refusal> {
    let foreseen = foreseen(line, until);
    let standing = line.world.state.notices().iter().map(|(id, _)| (id, None));
    let mut notices: BTreeMap<_, _> = standing.collect();
    notices.extend(foreseen.into_iter().map(|(id, notice)| (id, Some(notice))));
    line.run(Command::GiveNotice { topology: name("net"), notices: notices.into_iter().collect() })
}

#[test]
fn who_will_be_preempted_has_notice_and_then_is() {
    let mut line = Timeline::new(&[("a-b", 100)], model(ModelKind::Rdm, &[60, 40]));
    let brief = line.book(0, 40, (0, 10));
    let lasting = line.book(0, 60, (0, 0));
    let by = line.book(1, 40, (10, 20));
    assert_eq!(foreseen(&line, 100), BTreeMap::new(), "what ends before the start makes room enough");
    let never = AllocationChange { expires_at: Some(None), ..AllocationChange::default() };
    line.run(change(brief, never)).unwrap();
    assert_eq!(foreseen(&line, 9), BTreeMap::new(), "it is looked no further");
    let notice = PreemptionNotice { at: Millis(10), by };
    assert_eq!(foreseen(&line, 10), BTreeMap::from([(brief, notice)]));
    let event = look(&mut line, 10).unwrap();
    let told = Event::PreemptionForeseen { topology: name("net"), notices: vec![(brief, Some(notice))] };
    assert_eq!(event, told);
    assert_eq!(look(&mut line, 10), Err(Refusal::NothingDue), "it is told once");
    // Moved, it is told again; gone, it is lifted.
    let later = AllocationChange { starts_at: Some(Some(Millis(15))), ..AllocationChange::default() };
    line.run(change(by, later.clone())).unwrap();
    let stale = vec![(lasting, Some(notice))];
    assert_eq!(line.run(Command::GiveNotice { topology: name("net"), notices: stale }), Err(Refusal::NothingDue));
    look(&mut line, 100).unwrap();
    assert_eq!(line.world.state.notices().of(brief), Some(PreemptionNotice { at: Millis(15), by }));
    let events = line.pass(15);
    assert!(matches!(&events[..], [Event::Started { displaced, .. }] if displaced[0].id == brief), "{events:?}");
    assert_eq!(line.world.state.notices().count(), 0, "who is over has no notice");
}

#[test]
fn a_notice_is_lifted_when_the_booking_is_released() {
    let mut line = Timeline::new(&[("a-b", 100)], model(ModelKind::Rdm, &[60, 40]));
    let low = line.book(0, 100, (5, 0));
    let by = line.book(1, 40, (10, 20));
    look(&mut line, 100).unwrap();
    assert_eq!(line.world.state.notices().of(low).map(|notice| notice.by), Some(by), "bookings have notice, too");
    line.run(Command::Release { id: by }).unwrap();
    assert_eq!(
        look(&mut line, 100),
        Ok(Event::PreemptionForeseen { topology: name("net"), notices: vec![(low, None)] })
    );
}
