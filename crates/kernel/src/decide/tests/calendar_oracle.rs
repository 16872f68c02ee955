//! Random histories of bookings against a reckoning of every instant from the allocations alone.

use proptest::prelude::*;

use super::calendar::{SHARES, Timeline, set_model};
use super::*;
use crate::allocation::Allocation;
use crate::bam::{Booked, SLOTS, Slot};
use crate::decide::availability;
use crate::event::Denial;
use crate::id::LinkIx;
use crate::topology::LinkState::{Down, Maintenance, Up};

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
                let (created_at, updated_at) = (Millis(0), Millis(0));
                let refused = Allocation { id, demand: *demand, path, recovery: None, created_at, updated_at };
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

proptest! {
    #![proptest_config(crate::property_cases(128))]

    #[test]
    fn what_is_said_to_be_available_is_admitted_and_nothing_else(
        steps in steps(), kind in 0..4_usize, class in 0..3_u8, bandwidth in 1..50_u64, duration in 1..20_u64,
    ) {
        let mut line = Timeline::new(&LINKS, model(KINDS[kind], &SHARES));
        for step in &steps {
            match step {
                Step::Pass { time } => drop(line.pass(line.now + time)),
                step => drop(line.run(command(&line, step))),
            }
        }
        let (from, to) = (line.now + 3, line.now + 45);
        let mut asked = Request { moves_max: Some(0), ..request("a", "d", class, bandwidth) };
        let window = (Millis(from), Millis(to));
        let (state, mut workspace) = (line.world.state.clone(), Workspace::default());
        let found = availability(&state, &asked, window, Millis(duration), Millis(line.now), &mut workspace).unwrap();
        prop_assert_eq!(found.until, None);
        let mut is_admitted = |start: u64, end: u64, bandwidth: u64| {
            asked.attributes.starts_at = Some(Millis(start));
            asked.attributes.expires_at = Some(Millis(end));
            asked.bandwidth = Bandwidth::from_bps(bandwidth).unwrap();
            line.world.is_admissible(asked.clone())
        };
        for start in from..=to - duration {
            let is_within = |(one, other): &(Millis, Millis)| one.0 <= start && start + duration <= other.0;
            let is_said = found.windows.iter().any(is_within);
            prop_assert_eq!(is_admitted(start, start + duration, bandwidth), is_said, "at {}: {:?}", start, found);
        }
        let largest = found.largest.as_bps();
        prop_assert!(largest == 0 || is_admitted(from, to, largest));
        prop_assert!(!is_admitted(from, to, largest + 1));
    }
}
