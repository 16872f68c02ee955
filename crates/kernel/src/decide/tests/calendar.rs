//! Bookings: the worked examples of docs/adr/0010, and what becomes of a booking before it starts.

use super::*;
use crate::allocation::EndCause;
use crate::event::Denial;
use crate::topology::LinkState::{Down, Up};

/// A world with a clock.
pub(super) struct Timeline {
    pub(super) world: World,
    pub(super) now: u64,
    pub(super) history: Vec<Recorded>,
}

impl Timeline {
    pub(super) fn new(links: &[(&str, u64)], model: BandwidthModel) -> Self {
        let mut line =
            Self { world: World { state: State::new(), workspace: Workspace::default() }, now: 0, history: vec![] };
        line.run(put(topology(links))).unwrap();
        line.run(set_model(model)).unwrap();
        line
    }

    pub(super) fn run(&mut self, command: Command) -> Result<Event, Refusal> {
        let at = Millis(self.now);
        let event = decide(&self.world.state, &command, at, &mut self.world.workspace)?;
        let recorded = Recorded { sequence: self.world.state.sequence().next(), at, event };
        apply(&mut self.world.state, &recorded).unwrap();
        assert_eq!(audit(&self.world.state), [], "after {:?}", recorded.event);
        self.history.push(recorded.clone());
        Ok(recorded.event)
    }

    pub(super) fn ask(&mut self, request: Request) -> Event {
        self.run(Command::Allocate(Box::new(request))).unwrap()
    }

    /// An allocation from a to b from one instant until another; 0 is at once, and for ever.
    pub(super) fn book(&mut self, class: u8, bandwidth: u64, (from, until): (u64, u64)) -> AllocationId {
        let mut asked = request("a", "b", class, bandwidth);
        asked.attributes.starts_at = (from > 0).then_some(Millis(from));
        asked.attributes.expires_at = (until > 0).then_some(Millis(until));
        match self.ask(asked) {
            Event::Admitted { allocation, .. } => allocation.id,
            other => panic!("{other:?}"),
        }
    }

    /// What it displaced, or the largest bandwidth that would be admitted.
    fn outcome(&mut self, request: Request) -> Result<Vec<(u64, Option<EndCause>)>, u64> {
        match self.ask(request) {
            Event::Admitted { displaced, .. } => Ok(fates(&displaced)),
            Event::Denied { denial: Denial::InsufficientBandwidth { largest_admissible, .. }, .. } => {
                Err(largest_admissible.as_bps())
            }
            other => panic!("{other:?}"),
        }
    }

    /// What happens by itself until then, instant by instant.
    pub(super) fn pass(&mut self, until: u64) -> Vec<Event> {
        let mut events = vec![];
        loop {
            let next = [self.world.state.next_deadline(), self.world.state.next_start()].into_iter().flatten().min();
            let Some(Millis(at)) = next.filter(|at| at.0 <= until) else { break };
            self.now = self.now.max(at);
            events.push(self.run(Command::Start).unwrap());
        }
        self.now = self.now.max(until);
        events
    }

    fn id(&self) -> u64 {
        self.world.state.sequence().0
    }
}

pub(super) fn set_model(model: BandwidthModel) -> Command {
    Command::SetModel {
        topology: name("net"),
        model: Arc::new(model),
        expected: Expected::Any,
        switch: ModelChange::Hard,
    }
}

fn fates(displaced: &[Displaced]) -> Vec<(u64, Option<EndCause>)> {
    let end = |fate: &Fate| if let Fate::Ended(cause) = fate { Some(*cause) } else { None };
    displaced.iter().map(|gone| (gone.id.0, end(&gone.fate))).collect()
}

fn booking(class: u8, bandwidth: u64, from: u64, to: u64) -> Request {
    let mut request = request("a", "b", class, bandwidth);
    request.attributes.starts_at = (from > 0).then_some(Millis(from));
    request.attributes.expires_at = (to > 0).then_some(Millis(to));
    request
}

pub(super) const SHARES: [u32; 3] = [40, 35, 25];

fn one_link(kind: ModelKind) -> Timeline {
    Timeline::new(&[("a-b", 1_000)], model(kind, &SHARES))
}

#[test]
fn mam_bookings_keep_their_share_and_may_touch() {
    let mut line = one_link(ModelKind::Mam);
    assert_eq!(line.outcome(booking(2, 250, 10, 20)), Ok(vec![]));
    assert_eq!(line.outcome(booking(2, 100, 0, 0)), Err(0));
    assert_eq!(line.outcome(booking(2, 250, 0, 10)), Ok(vec![]));
    assert_eq!(line.outcome(booking(2, 250, 20, 30)), Ok(vec![]));
    let kinds: Vec<_> = line.pass(30).into_iter().map(|event| matches!(event, Event::Started { .. })).collect();
    assert_eq!(kinds, [false, true, false, true, false]);
    assert_eq!(line.world.state.allocation_count(), 0);
}

#[test]
fn rdm_bookings_preempt_when_they_start() {
    let mut line = one_link(ModelKind::Rdm);
    for _ in 0..10 {
        assert_eq!(line.outcome(booking(0, 100, 0, 0)), Ok(vec![]));
    }
    assert_eq!(line.outcome(booking(1, 350, 10, 20)), Ok(vec![]));
    let id = line.id();
    assert_eq!(line.outcome(booking(2, 260, 10, 20)), Err(250));
    let events = line.pass(10);
    let [Event::Started { allocation, displaced }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((allocation.id.0, allocation.is_scheduled(), allocation.updated_at), (id, false, Millis(10)));
    assert_eq!(displaced.len(), 4);
    assert!(displaced.iter().all(|gone| gone.fate == Fate::Ended(EndCause::Preempted)));
}

#[test]
fn atcs_devolves_a_booking_for_a_share_that_it_borrowed() {
    let mut line = one_link(ModelKind::Atcs);
    assert_eq!(line.outcome(booking(2, 600, 10, 20)), Ok(vec![]));
    let id = line.id();
    assert_eq!(line.outcome(booking(0, 400, 0, 0)), Ok(vec![]));
    // What ends before may have it all; what does not takes back its own.
    assert_eq!(line.outcome(booking(1, 100, 0, 10)), Ok(vec![]));
    assert_eq!(line.outcome(booking(1, 100, 0, 0)), Ok(vec![(id, Some(EndCause::Devolved))]));
}

#[test]
fn gbam_books_as_much_as_it_lends() {
    let mut line = one_link(ModelKind::Gbam);
    assert_eq!(line.outcome(booking(2, 438, 10, 20)), Err(437));
    assert_eq!(line.outcome(booking(2, 437, 10, 20)), Ok(vec![]));
}

/// OSCARS summed all reservations in a window instead of taking the worst overlap (its pull request 25).
#[test]
fn bookings_that_do_not_overlap_are_not_summed() {
    let mut line = Timeline::new(&[("a-b", 100)], model(ModelKind::Mam, &[100]));
    for from in [10, 20, 30] {
        assert_eq!(line.outcome(booking(0, 60, from, from + 10)), Ok(vec![]));
    }
    assert_eq!(line.outcome(booking(0, 41, 10, 40)), Err(40));
    assert_eq!(line.outcome(booking(0, 40, 10, 40)), Ok(vec![]));
}

#[test]
fn a_booking_over_a_broken_link_moves_or_waits_for_the_link() {
    let mut line = Timeline::new(&[("a-b", 100), ("a-c", 100), ("c-b", 100)], model(ModelKind::Mam, &[100]));
    assert_eq!(line.outcome(booking(0, 60, 10, 20)), Ok(vec![]));
    let id = AllocationId(line.id());
    assert_eq!(line.world.path(id), ["a-b"]);
    let change = |line: &mut Timeline, link: &str, state| {
        let change = LinkChange { state: Some(state), ..LinkChange::default() };
        match line.run(Command::ChangeLink { topology: name("net"), link: name(link), change }).unwrap() {
            Event::LinkChanged { displaced, stranded, .. } => (fates(&displaced), stranded),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(change(&mut line, "a-b", Down), (vec![(id.0, None)], vec![]));
    assert_eq!(line.world.path(id), ["a-c", "c-b"]);
    assert_eq!(change(&mut line, "c-b", Down), (vec![], vec![id]));
    let mut later = line.world.state.clone();
    let event = decide(&later, &Command::Start, Millis(10), &mut Workspace::default()).unwrap();
    assert!(matches!(event, Event::StartFailed { denial: Denial::NoPath(_), .. }), "{event:?}");
    let recorded = Recorded { sequence: later.sequence().next(), at: Millis(10), event };
    apply(&mut later, &recorded).unwrap();
    assert_eq!((audit(&later), later.allocation_count()), (vec![], 0));
    change(&mut line, "a-b", Up);
    assert!(matches!(line.pass(10)[..], [Event::Started { .. }]));
    assert_eq!(line.world.path(id), ["a-b"]);
}

#[test]
fn a_booking_whose_link_shrinks_ends_before_its_start() {
    let mut line = Timeline::new(&[("a-b", 100)], model(ModelKind::Mam, &[100]));
    assert_eq!(line.outcome(booking(0, 60, 10, 20)), Ok(vec![]));
    let id = line.id();
    let change = LinkChange { capacity: Bandwidth::from_bps(50), ..LinkChange::default() };
    let event = line.run(Command::ChangeLink { topology: name("net"), link: name("a-b"), change }).unwrap();
    let Event::LinkChanged { displaced, .. } = event else { panic!("{event:?}") };
    assert_eq!(fates(&displaced), [(id, Some(EndCause::Failed))]);
    assert_eq!(line.pass(20), []);
}

#[test]
fn bookings_are_changed_released_and_refused_before_their_start() {
    let mut line = Timeline::new(&[("a-b", 100)], model(ModelKind::Mam, &[100]));
    assert_eq!(line.outcome(booking(0, 60, 10, 20)), Ok(vec![]));
    let id = AllocationId(line.id());
    assert!(matches!(line.run(resize(id, 100)).unwrap(), Event::Resized { .. }));
    assert!(matches!(line.run(resize(id, 101)).unwrap(), Event::Denied { .. }));
    assert_eq!(line.outcome(booking(0, 1, 0, 11)), Err(0));
    line.run(Command::Release { id }).unwrap();
    assert_eq!(line.outcome(booking(0, 100, 0, 11)), Ok(vec![]));
    line.now = 5;
    let refused = |line: &mut Timeline, request| match line.run(Command::Allocate(Box::new(request))) {
        Err(Refusal::ImpossibleTime { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&mut line, booking(0, 1, 5, 10)), "starts_at");
    assert_eq!(refused(&mut line, booking(0, 1, 12, 12)), "expires_at");
    assert_eq!(refused(&mut line, Request { duration: Some(Millis(1)), ..booking(0, 1, 12, 13) }), "duration_ms");
    assert_eq!(refused(&mut line, Request { hold_for: Some(Millis(8)), ..booking(0, 1, 12, 13) }), "hold_ms");
}
