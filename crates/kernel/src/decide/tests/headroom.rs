//! The largest bandwidths that would be admitted, against what is decided about each.

use proptest::prelude::*;

use super::*;
use crate::decide::headroom;
use crate::event::DisplacedBy;
use crate::policy::{PathChoice, RelocationPolicy};

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];
const LINKS: [(&str, u64); 11] = [
    ("a-b", 60),
    ("b-a", 60),
    ("b-c", 47),
    ("c-b", 50),
    ("c-d", 60),
    ("d-c", 55),
    ("d-a", 33),
    ("a-c", 30),
    ("a-b#2", 41),
    ("d-e", 60),
    ("e-a", 60),
];

/// What a decision does to other allocations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Harm {
    None,
    Moves,
    Victims,
}

fn harm(world: &mut World, request: &Request, bandwidth: u64) -> Option<Harm> {
    let bandwidth = Bandwidth::from_bps(bandwidth).unwrap();
    let command = Command::Allocate(Box::new(Request { bandwidth, ..request.clone() }));
    let Ok(Event::Admitted { displaced, .. }) = world.decide(&command) else { return None };
    let is_move = |gone: &Displaced| gone.cause == DisplacedBy::Relocation;
    let worst = if displaced.iter().all(is_move) { Harm::Moves } else { Harm::Victims };
    Some(if displaced.is_empty() { Harm::None } else { worst })
}

/// `bandwidth` is admitted with no more harm than `most`, or is nothing; and one bit/s more is not.
fn is_boundary(world: &mut World, request: &Request, bandwidth: Bandwidth, most: Harm) -> bool {
    let is_good = |harm: Option<Harm>| harm.is_some_and(|harm| harm <= most);
    let bps = bandwidth.as_bps();
    (bps == 0 || is_good(harm(world, request, bps))) && !is_good(harm(world, request, bps + 1))
}

fn world(kind: ModelKind, choice: PathChoice, price: Option<u32>, asks: Vec<(usize, usize, u8, u64)>) -> World {
    let mut model = model(kind, &[40, 35, 25]);
    model.policy.path_choice = choice;
    model.policy.refuse_above_percent = price;
    model.policy.relocation = RelocationPolicy { max_moves: 2 };
    let mut world = World::new(&LINKS, model);
    for (from, to, class, bandwidth) in asks.into_iter().filter(|(from, to, ..)| from != to) {
        world.ask(request(NODES[from], NODES[to], class, bandwidth));
    }
    world
}

proptest! {
    #![proptest_config(crate::property_cases(200))]

    #[test]
    fn so_much_is_admitted_and_one_bit_more_is_not(
        kind in prop_oneof![Just(ModelKind::Mam), Just(ModelKind::Rdm), Just(ModelKind::Gbam), Just(ModelKind::Atcs)],
        choice in prop_oneof![4 => Just(PathChoice::AvoidVictims), 1 => Just(PathChoice::FewestHops)],
        price in prop::option::weighted(0.2, 100..2_000_u32),
        asks in prop::collection::vec((0..5_usize, 0..5_usize, 0..3_u8, 1..25_u64), 0..40),
        (from, further, class) in (0..5_usize, 1..5_usize, 0..3_u8),
        max_hops in prop::option::weighted(0.3, 1..4_u32),
    ) {
        let mut world = world(kind, choice, price, asks);
        let constraints = NamedConstraints { max_hops, ..NamedConstraints::default() };
        let request = Request { constraints, ..request(NODES[from], NODES[(from + further) % 5], class, 1) };
        let found = headroom(&world.state, &request, &mut Workspace::default()).unwrap();
        prop_assert!(found.free <= found.with_moves && found.with_moves <= found.with_preemption);
        prop_assert!(is_boundary(&mut world, &request, found.free, Harm::None), "{:?}", found);
        prop_assert!(is_boundary(&mut world, &request, found.with_moves, Harm::Moves), "{:?}", found);
        prop_assert!(is_boundary(&mut world, &request, found.with_preemption, Harm::Victims), "{:?}", found);

        // Without moves it is the largest of all.
        let still = Request { moves_max: Some(0), ..request };
        let without = headroom(&world.state, &still, &mut Workspace::default()).unwrap();
        let all: Vec<(u64, Harm)> = (1..=130).filter_map(|bps| Some((bps, harm(&mut world, &still, bps)?))).collect();
        let largest = |most| all.iter().filter(|(_, harm)| *harm <= most).map(|(bps, _)| *bps).max().unwrap_or(0);
        prop_assert_eq!(without.free.as_bps(), largest(Harm::None));
        prop_assert_eq!(without.with_preemption.as_bps(), largest(Harm::Victims));
    }
}

#[test]
fn victims_and_moves_make_more_room() {
    let mut world = World::new(&[("a-b", 100), ("a-c", 100), ("c-b", 100)], model(ModelKind::Rdm, &[50, 50]));
    world.admit(request("a", "b", 0, 70));
    let direct = NamedConstraints { max_hops: Some(1), ..NamedConstraints::default() };
    let figures = |world: &World, class, moves_max| {
        let request = Request { constraints: direct.clone(), moves_max, ..request("a", "b", class, 1) };
        let found = headroom(&world.state, &request, &mut Workspace::default()).unwrap();
        [found.free, found.with_moves, found.with_preemption].map(Bandwidth::as_bps)
    };
    // The higher class has 50 of its own; the lower may have all, once the other allocation is on the longer path.
    assert_eq!(figures(&world, 1, None), [30, 30, 50]);
    assert_eq!(figures(&world, 0, None), [30, 100, 100]);
    assert_eq!(figures(&world, 0, Some(0)), [30, 30, 30]);
    world.change("a-b", down());
    assert_eq!(figures(&world, 0, None), [0, 0, 0]);
}
