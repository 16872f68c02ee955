//! Bookings: the worked examples of docs/adr/0010, and random histories against a reckoning of every instant by hand.

use proptest::prelude::*;

use super::*;
use crate::allocation::{Allocation, EndCause};
use crate::bam::{Booked, SLOTS, Slot};
use crate::event::Denial;
use crate::id::LinkIx;
use crate::topology::LinkState::{Down, Maintenance, Up};

/// A world with a clock.
struct Timeline {
    world: World,
    now: u64,
    history: Vec<Recorded>,
}

impl Timeline {
    fn new(links: &[(&str, u64)], model: BandwidthModel) -> Self {
        let mut line =
            Self { world: World { state: State::new(), workspace: Workspace::default() }, now: 0, history: vec![] };
        line.run(put(topology(links))).unwrap();
        line.run(set_model(model)).unwrap();
        line
    }

    fn run(&mut self, command: Command) -> Result<Event, Refusal> {
        let at = Millis(self.now);
        let event = decide(&self.world.state, &command, at, &mut self.world.workspace)?;
        let recorded = Recorded { sequence: self.world.state.sequence().next(), at, event };
        apply(&mut self.world.state, &recorded).unwrap();
        assert_eq!(audit(&self.world.state), [], "after {:?}", recorded.event);
        self.history.push(recorded.clone());
        Ok(recorded.event)
    }

    fn ask(&mut self, request: Request) -> Event {
        self.run(Command::Allocate(Box::new(request))).unwrap()
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
    fn pass(&mut self, until: u64) -> Vec<Event> {
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

fn set_model(model: BandwidthModel) -> Command {
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

const SHARES: [u32; 3] = [40, 35, 25];

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
    let resize =
        |bps| Command::Resize { id, bandwidth: Bandwidth::from_bps(bps), constraints: None, annotations: vec![] };
    assert!(matches!(line.run(resize(100)).unwrap(), Event::Resized { .. }));
    assert!(matches!(line.run(resize(101)).unwrap(), Event::Denied { .. }));
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

const NODES: [&str; 4] = ["a", "b", "c", "d"];
const LINKS: [(&str, u64); 7] =
    [("a-b", 100), ("b-c", 70), ("c-d", 100), ("a-c", 30), ("a-b#2", 40), ("b-d", 60), ("d-a", 50)];

#[derive(Clone, Debug)]
enum Step {
    Ask { from: usize, to: usize, class: u8, bandwidth: u64, starts: u64, lasts: u64, held: bool },
    Resize { which: usize, bandwidth: u64 },
    Confirm { which: usize },
    Release { which: usize },
    Link { which: usize, state: u8, capacity: u64 },
    Model { kind: u8 },
    Topology { without: usize },
    Pass { time: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ask = (0..4_usize, 0..4_usize, 0..3_u8, 1..50_u64, 0..40_u64, 0..30_u64, prop::bool::weighted(0.1)).prop_map(
        |(from, to, class, bandwidth, starts, lasts, held)| Step::Ask {
            from,
            to,
            class,
            bandwidth,
            starts,
            lasts,
            held,
        },
    );
    let step = prop_oneof![
        14 => ask,
        2 => (any::<usize>(), 1..70_u64).prop_map(|(which, bandwidth)| Step::Resize { which, bandwidth }),
        1 => any::<usize>().prop_map(|which| Step::Confirm { which }),
        3 => any::<usize>().prop_map(|which| Step::Release { which }),
        2 => (any::<usize>(), 0..3_u8, 1..150_u64)
            .prop_map(|(which, state, capacity)| Step::Link { which, state, capacity }),
        1 => (0..4_u8).prop_map(|kind| Step::Model { kind }),
        1 => any::<usize>().prop_map(|without| Step::Topology { without }),
        3 => (1..15_u64).prop_map(|time| Step::Pass { time }),
    ];
    prop::collection::vec(step, 1..50)
}

const KINDS: [ModelKind; 4] = [ModelKind::Mam, ModelKind::Rdm, ModelKind::Gbam, ModelKind::Atcs];

fn command(line: &Timeline, step: &Step) -> Command {
    let state = &line.world.state;
    let living = |which: usize| {
        let count = state.allocation_count().max(1);
        state.allocations_after(None).nth(which % count).map_or(AllocationId(0), |one| one.id)
    };
    match *step {
        Step::Ask { from, to, class, bandwidth, starts, lasts, held } => {
            let mut asked = request(NODES[from], NODES[to], class, bandwidth);
            asked.attributes.starts_at = (starts > 15).then(|| Millis(line.now + starts - 15));
            asked.duration = (lasts > 5).then_some(Millis(lasts));
            asked.hold_for = held.then_some(Millis(3));
            Command::Allocate(Box::new(asked))
        }
        Step::Resize { which, bandwidth } => Command::Resize {
            id: living(which),
            bandwidth: Bandwidth::from_bps(bandwidth),
            constraints: None,
            annotations: vec![],
        },
        Step::Confirm { which } => Command::Confirm { id: living(which) },
        Step::Release { which } => Command::Release { id: living(which) },
        Step::Link { which, state: link_state, capacity } => {
            let topology = state.network("net").unwrap().topology();
            let (_, link) = topology.links().nth(which % topology.link_count()).unwrap();
            let link_state = Some([Up, Down, Maintenance][usize::from(link_state)]);
            let change =
                LinkChange { state: link_state, capacity: Bandwidth::from_bps(capacity), ..LinkChange::default() };
            Command::ChangeLink { topology: name("net"), link: link.name.clone(), change }
        }
        Step::Model { kind } => set_model(model(KINDS[usize::from(kind)], &SHARES)),
        Step::Topology { without } => {
            let mut links = LINKS.to_vec();
            links.remove(without % LINKS.len());
            Command::PutTopology {
                name: name("net"),
                topology: Arc::new(topology(&links)),
                expected: Expected::Any,
                misfits: OnMisfit::Evict,
            }
        }
        Step::Pass { .. } => Command::Expire,
    }
}

/// What is booked on a link at an instant, from the allocations alone; those that are to start later only from then on.
fn book_at(state: &State, link: LinkIx, at: Millis) -> Booked {
    let network = state.network("net").unwrap();
    let mut booked = [0; SLOTS];
    for allocation in state.allocations_after(None).filter(|one| one.path.contains(&link)) {
        let attributes = &allocation.demand.attributes;
        let is_there =
            attributes.starts_at.is_none_or(|start| start <= at) && attributes.expires_at.is_none_or(|end| at < end);
        if is_there {
            booked[allocation.demand.class_type.at()] += allocation.demand.bandwidth.as_bps();
        }
    }
    assert!(network.ledger().bounds(link).is_some());
    booked
}

fn slot(state: &State, allocation: &Allocation) -> Slot {
    state.network("net").unwrap().slot_of(allocation).unwrap()
}

fn reach(state: &State, link: LinkIx, booked: &Booked, slot: Slot) -> u64 {
    let ledger = state.network("net").unwrap().ledger();
    ledger.bounds(link).unwrap().reach_bps(ledger.slots(), booked, slot)
}

/// Whether a booking can take its bandwidth on a link at its start, beside more in another slot.
fn is_kept(state: &State, booking: &Allocation, link: LinkIx, more: Option<(Slot, u64)>) -> bool {
    let mut booked = book_at(state, link, booking.demand.attributes.starts_at.unwrap());
    let own = slot(state, booking);
    booked[own.at()] -= booking.demand.bandwidth.as_bps();
    if let Some((slot, bps)) = more {
        booked[slot.at()] += bps;
    }
    reach(state, link, &booked, own) >= booking.demand.bandwidth.as_bps()
}

/// Whether a demand may be had on a link, instant by instant.
fn may_be_had(state: &State, demand: &Allocation, link: LinkIx, now: Millis) -> bool {
    let network = state.network("net").unwrap();
    let (own, bps) = (slot(state, demand), demand.demand.bandwidth.as_bps());
    let attributes = &demand.demand.attributes;
    let (from, to) = (attributes.starts_at.unwrap_or(Millis(0)), attributes.expires_at.unwrap_or(Millis(u64::MAX)));
    let at_start = attributes.starts_at.map_or_else(|| network.ledger().booked(link), |at| book_at(state, link, at));
    let mut bookings = state.allocations_after(None).filter(|one| one.is_scheduled() && one.path.contains(&link));
    network.topology().link(link).unwrap().state == Up
        && reach(state, link, &at_start, own) >= bps
        && bookings.all(|booking| {
            let start = booking.demand.attributes.starts_at.unwrap();
            start < from
                || start >= to
                || is_kept(state, booking, link, Some((own, bps)))
                || reach(state, link, &book_at(state, link, start), own) >= bps
        })
        && now.0 < to.0
}

fn leads_there(state: &State, demand: &Allocation, is_open: impl Fn(LinkIx) -> bool) -> bool {
    let topology = state.network("net").unwrap().topology();
    let mut seen = vec![demand.demand.ingress];
    let mut next = 0;
    while let Some(node) = seen.get(next).copied() {
        next += 1;
        for (ix, link) in topology.links().filter(|(ix, link)| link.from == node && is_open(*ix)) {
            assert!(topology.link(ix).is_some());
            if !seen.contains(&link.to) {
                seen.push(link.to);
            }
        }
    }
    seen.contains(&demand.demand.egress)
}

/// At every start to come each booking can take its bandwidth; and if nothing else happens, each does, whatever is
/// preempted for it, and no link ever carries more than its model allows.
fn check_future(line: &Timeline) {
    let state = &line.world.state;
    for booking in state.allocations_after(None).filter(|one| one.is_scheduled()) {
        assert!(booking.path.iter().all(|link| is_kept(state, booking, *link, None)), "{booking:?}");
    }
    let world = World { state: state.clone(), workspace: Workspace::default() };
    let mut future = Timeline { world, now: line.now, history: vec![] };
    for event in future.pass(line.now + 100) {
        if let Event::StartFailed { id, .. } = &event {
            let topology = state.network("net").unwrap().topology();
            let booking = state.allocation(*id).unwrap();
            assert!(booking.path.iter().any(|link| topology.link(*link).unwrap().state != Up), "{event:?}");
        }
    }
    assert!(future.world.state.allocations_after(None).all(|one| !one.is_scheduled()));
}

proptest! {
    #![proptest_config(crate::property_cases(256))]

    #[test]
    fn every_instant_holds_the_model_in_random_histories(steps in steps(), kind in 0..4_usize) {
        let mut line = Timeline::new(&LINKS, model(KINDS[kind], &SHARES));
        for step in &steps {
            let before = line.world.state.clone();
            if let Step::Pass { time } = step {
                line.pass(line.now + time);
            } else if let Ok(Event::Denied { of: None, demand, denial: Denial::InsufficientBandwidth { .. } }) =
                line.run(command(&line, step))
            {
                let (id, path) = (AllocationId(0), Arc::from([]));
                let refused = Allocation { id, demand: *demand, path, created_at: Millis(0), updated_at: Millis(0) };
                let is_open = |link| may_be_had(&before, &refused, link, Millis(line.now));
                prop_assert!(!leads_there(&before, &refused, is_open), "{:?}", refused);
            }
            check_future(&line);
        }
        let mut replayed = State::new();
        for recorded in &line.history {
            apply(&mut replayed, recorded).unwrap();
        }
        prop_assert_eq!(&replayed, &line.world.state);
        for id in replayed.allocations_after(None).map(|one| one.id).collect::<Vec<_>>() {
            line.run(Command::Release { id }).unwrap();
        }
        let ledger = line.world.state.network("net").unwrap().ledger();
        prop_assert!(ledger.links().all(|link| ledger.booked(link) == [0; SLOTS]));
        prop_assert!(ledger.links().all(|link| ledger.calendar.marks(link).is_none()));
        prop_assert_eq!((ledger.bookings(), line.world.state.next_start()), (0, None));
    }
}
