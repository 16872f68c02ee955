//! Random histories of bookings against a reckoning of every instant from the allocations alone.

use proptest::prelude::*;

use super::calendar::{SHARES, Timeline, set_model};
use super::*;
use crate::allocation::{Allocation, Protection};
use crate::bam::{Booked, SLOTS, Slot};
use crate::decide::availability;
use crate::event::Denial;
use crate::id::{LinkIx, Sequence};
use crate::path::Disjointness;
use crate::topology::LinkState::{Down, Maintenance, Up};

const NODES: [&str; 4] = ["a", "b", "c", "d"];
const LINKS: [(&str, u64); 7] =
    [("a-b", 100), ("b-c", 70), ("c-d", 100), ("a-c", 30), ("a-b#2", 40), ("b-d", 60), ("d-a", 50)];

#[derive(Clone, Debug)]
enum Step {
    Ask { from: usize, to: usize, class: u8, bandwidth: u64, starts: u64, lasts: u64, kind: Kind },
    Change { which: usize, change: RandomChange },
    Maintain { which: usize, starts: u64, lasts: u64 },
    CallOff { which: usize },
    Confirm { which: usize },
    Release { which: usize },
    Link { which: usize, state: u8, capacity: u64 },
    Model { kind: u8 },
    Topology { without: usize },
    Pass { time: u64 },
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Plain,
    Held,
    Protected,
    ProtectedIfItCan,
}

/// Times count from now.
#[derive(Clone, Debug)]
struct RandomChange {
    bandwidth: Option<u64>,
    starts: Option<Option<u64>>,
    ends: Option<Option<u64>>,
    lasts: Option<u64>,
    protection: Option<Option<bool>>,
}

fn protection(is_best_effort: bool) -> Protection {
    Protection { disjointness: Disjointness::Link, is_shared: false, is_revertive: false, is_best_effort }
}

fn change_of() -> impl Strategy<Value = RandomChange> {
    let rarely = |instants: std::ops::Range<u64>| prop::option::weighted(0.4, prop::option::weighted(0.8, instants));
    let times = (rarely(1..40), rarely(1..60), prop::option::weighted(0.1, 1..30_u64));
    let protection = prop::option::weighted(0.2, prop::option::of(any::<bool>()));
    (prop::option::of(1..70_u64), times, protection).prop_map(|(bandwidth, (starts, ends, lasts), protection)| {
        RandomChange { bandwidth, starts, ends, lasts: lasts.filter(|_| ends.is_none()), protection }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kinds = prop_oneof![
        8 => Just(Kind::Plain),
        1 => Just(Kind::Held),
        1 => Just(Kind::Protected),
        1 => Just(Kind::ProtectedIfItCan),
    ];
    let ask = (0..4_usize, 0..4_usize, 0..3_u8, 1..50_u64, 0..40_u64, 0..30_u64, kinds).prop_map(
        |(from, to, class, bandwidth, starts, lasts, kind)| Step::Ask {
            from,
            to,
            class,
            bandwidth,
            starts,
            lasts,
            kind,
        },
    );
    let step = prop_oneof![
        14 => ask,
        4 => (any::<usize>(), change_of()).prop_map(|(which, change)| Step::Change { which, change }),
        1 => (any::<usize>(), 0..40_u64, 1..15_u64)
            .prop_map(|(which, starts, lasts)| Step::Maintain { which, starts, lasts }),
        1 => any::<usize>().prop_map(|which| Step::CallOff { which }),
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
        Step::Ask { from, to, class, bandwidth, starts, lasts, kind } => {
            let mut asked = request(NODES[from], NODES[to], class, bandwidth);
            asked.attributes.starts_at = (starts > 15).then(|| Millis(line.now + starts - 15));
            asked.duration = (lasts > 5).then_some(Millis(lasts));
            asked.hold_for = (kind == Kind::Held).then_some(Millis(3));
            asked.attributes.protection = match kind {
                Kind::Plain | Kind::Held => None,
                Kind::Protected => Some(protection(false)),
                Kind::ProtectedIfItCan => Some(protection(true)),
            };
            Command::Allocate(Box::new(asked))
        }
        Step::Change { which, change: RandomChange { bandwidth, starts, ends, lasts, protection: asked } } => {
            let instant = |after: Option<u64>| after.map(|after| Millis(line.now + after));
            let changed = AllocationChange {
                bandwidth: bandwidth.and_then(Bandwidth::from_bps),
                starts_at: starts.map(instant),
                expires_at: ends.map(instant),
                duration: lasts.map(Millis),
                protection: asked.map(|asked| asked.map(protection)),
                ..AllocationChange::default()
            };
            change(living(which), changed)
        }
        Step::Maintain { which, starts, lasts } => {
            let topology = state.network("net").unwrap().topology();
            let (_, link) = topology.links().nth(which % topology.link_count()).unwrap();
            let starts_at = line.now + starts;
            Command::PlanMaintenance {
                topology: name("net"),
                links: vec![link.name.clone()],
                nodes: vec![],
                starts_at: Millis(starts_at),
                ends_at: Millis(starts_at + lasts),
                note: None,
            }
        }
        Step::CallOff { which } => {
            let planned = state.network("net").unwrap().maintenances();
            let id = planned.map(|one| one.id).nth(which % 3).unwrap_or(Sequence(0));
            Command::EndMaintenance { topology: name("net"), id }
        }
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
    for allocation in state.allocations_after(None).filter(|one| one.links().contains(&link)) {
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

/// Whether a link is closed to an allocation: maintenance is planned for it, and the allocation has a start or an end.
fn is_closed(state: &State, allocation: &Allocation, link: LinkIx) -> bool {
    let LspAttributes { starts_at, expires_at, .. } = allocation.demand.attributes;
    (starts_at.is_some() || expires_at.is_some()) && is_met(state, allocation, link)
}

/// Whether maintenance is planned for a link while an allocation is to be on it.
fn is_met(state: &State, allocation: &Allocation, link: LinkIx) -> bool {
    let network = state.network("net").unwrap();
    let LspAttributes { starts_at, expires_at, .. } = allocation.demand.attributes;
    let name = &network.topology().link(link).unwrap().name;
    network.maintenances().filter(|planned| planned.links.contains(name)).any(|planned| {
        starts_at.unwrap_or(Millis(0)) < planned.ends_at && expires_at.is_none_or(|end| planned.starts_at < end)
    })
}

/// What is admitted or changed comes on no link that is closed then, if it was not to be there before.
fn check_closures(before: &State, event: &Event) {
    let (Event::Admitted { allocation, .. } | Event::Resized { allocation, .. }) = event else { return };
    let was_met = |link| {
        before.allocation(allocation.id).is_some_and(|old| old.links().contains(&link) && is_met(before, old, link))
    };
    for link in allocation.links().iter() {
        assert!(was_met(*link) || !is_closed(before, allocation, *link), "{allocation:?}");
    }
}

/// Time passes, and what is planned for links comes and goes as the service lets it: links are in service again before a booking
/// starts on them.
fn pass(line: &mut Timeline, until: u64) {
    for now in line.now + 1..=until {
        line.now = now;
        for maintenance in line.world.state.network("net").unwrap().maintenances().cloned().collect::<Vec<_>>() {
            let (is_on, is_over) = (maintenance.starts_at.0 <= now, maintenance.ends_at.0 <= now);
            let (expected, state, until) = match is_over {
                true => (Maintenance, Up, None),
                false => (Up, Maintenance, Some(maintenance.ends_at)),
            };
            for link in maintenance.links.iter().filter(|_| is_on) {
                let (state, expected) = (Some(state), Some(expected));
                let change = LinkChange { state, expected, until, ..LinkChange::default() };
                drop(line.run(Command::ChangeLink { topology: name("net"), link: link.clone(), change }));
            }
            if is_over {
                drop(line.run(Command::EndMaintenance { topology: name("net"), id: maintenance.id }));
            }
        }
        line.pass(now);
    }
}

/// Whether a demand may be had on a link, instant by instant.
fn may_be_had(state: &State, demand: &Allocation, link: LinkIx, now: Millis) -> bool {
    let network = state.network("net").unwrap();
    let (own, bps) = (slot(state, demand), demand.demand.bandwidth.as_bps());
    let attributes = &demand.demand.attributes;
    let (from, to) = (attributes.starts_at.unwrap_or(Millis(0)), attributes.expires_at.unwrap_or(Millis(u64::MAX)));
    let at_start = attributes.starts_at.map_or_else(|| network.ledger().booked(link), |at| book_at(state, link, at));
    let mut bookings = state.allocations_after(None).filter(|one| one.is_scheduled() && one.links().contains(&link));
    network.topology().link(link).unwrap().state == Up
        && !is_closed(state, demand, link)
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
        assert!(booking.links().iter().all(|link| is_kept(state, booking, *link, None)), "{booking:?}");
    }
    let world = World { state: state.clone(), workspace: Workspace::default() };
    let mut future = Timeline { world, now: line.now, history: vec![] };
    pass(&mut future, line.now + 100);
    for Recorded { event, .. } in &future.history {
        if let Event::StartFailed { id, .. } = event {
            let topology = state.network("net").unwrap().topology();
            let booking = state.allocation(*id).unwrap();
            let is_out = |link: &LinkIx| topology.link(*link).unwrap().state != Up || is_closed(state, booking, *link);
            assert!(booking.links().iter().any(is_out), "{event:?}");
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
                let until = line.now + time;
                pass(&mut line, until);
                check_future(&line);
                continue;
            }
            let Ok(event) = line.run(command(&line, step)) else { continue };
            check_closures(&before, &event);
            if let Event::Denied { of, demand, denial: Denial::InsufficientBandwidth { .. } } = event {
                let mut others = before.clone();
                if let Some(id) = of {
                    prop_assert_eq!(others.allocation(id), line.world.state.allocation(id));
                    let recorded = Recorded {
                        sequence: others.sequence().next(),
                        at: Millis(line.now),
                        event: Event::Released { id },
                    };
                    apply(&mut others, &recorded).unwrap();
                }
                let (id, path) = (AllocationId(0), Arc::from([]));
                let (created_at, updated_at) = (Millis(0), Millis(0));
                let refused = Allocation { id, demand: *demand, path, recovery: None, created_at, updated_at };
                let is_open = |link| may_be_had(&others, &refused, link, Millis(line.now));
                prop_assert!(!leads_there(&others, &refused, is_open), "{:?}", refused);
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
                Step::Pass { time } => {
                    let until = line.now + time;
                    pass(&mut line, until);
                }
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
