//! Moves before a denial.

use proptest::prelude::*;

use super::*;
use crate::command::{HopKind, NamedHop, NamedRouteHop};
use crate::event::DisplacedBy;
use crate::ledger_draft::LedgerDraft;
use crate::ledger_entry::LedgerEntry;
use crate::policy::{RelocationPolicy, Restoration};

const TRIANGLE: [(&str, u64); 3] = [("a-b", 100), ("a-c", 100), ("c-b", 100)];

/// Over one link only.
fn direct(request: Request) -> Request {
    Request { constraints: NamedConstraints { max_hops: Some(1), ..NamedConstraints::default() }, ..request }
}

fn with_moves(mut model: BandwidthModel, max_moves: u8) -> BandwidthModel {
    model.policy.relocation = RelocationPolicy { max_moves };
    model
}

fn moved(displaced: &[Displaced]) -> Vec<AllocationId> {
    displaced.iter().filter(|gone| gone.cause == DisplacedBy::Relocation).map(|gone| gone.id).collect()
}

#[test]
fn a_standing_allocation_makes_way_for_a_demand_that_has_no_other() {
    let mut world = World::new(&TRIANGLE, model(ModelKind::Mam, &[100]));
    let (standing, _) = world.admit(request("a", "b", 0, 60));
    assert_eq!(world.path(standing), ["a-b"]);
    let (asker, displaced) = world.admit(direct(request("a", "b", 0, 50)));
    assert_eq!(moved(&displaced), [standing]);
    assert_eq!((world.path(standing), world.path(asker)), (vec!["a-c".into(), "c-b".into()], vec!["a-b".into()]));
}

#[test]
fn a_request_says_how_many_may_move_for_it() {
    for (of_the_model, of_the_request, is_admitted) in [(0, Some(1), true), (3, Some(0), false), (3, None, true)] {
        let mut world = World::new(&TRIANGLE, with_moves(model(ModelKind::Mam, &[100]), of_the_model));
        world.admit(request("a", "b", 0, 60));
        let asked = Request { moves_max: of_the_request, ..direct(request("a", "b", 0, 50)) };
        assert_eq!(world.is_admissible(asked), is_admitted, "{of_the_model} {of_the_request:?}");
    }
}

#[test]
fn as_many_move_as_it_takes_and_no_more_than_may() {
    let run = |max_moves, bandwidth| {
        let mut world = World::new(&TRIANGLE, with_moves(model(ModelKind::Mam, &[100]), max_moves));
        for _ in 0..4 {
            world.admit(direct(request("a", "b", 0, 1)));
        }
        let route = vec![NamedRouteHop { hop: NamedHop::Link(name("a-b")), looseness: HopKind::Loose }];
        let pinned = NamedConstraints { route, ..NamedConstraints::default() };
        world.admit(Request { constraints: pinned, ..request("a", "b", 0, 6) });
        let mut by_te = [30, 30, 30].map(|bandwidth| request("a", "b", 0, bandwidth));
        for request in &mut by_te {
            request.constraints.metric = Some(crate::path::Metric::Te);
            world.admit(request.clone());
        }
        match world.ask(direct(request("a", "b", 0, bandwidth))) {
            Event::Admitted { displaced, .. } => Some(moved(&displaced).len()),
            _ => None,
        }
    };
    assert_eq!(run(3, 30), Some(1));
    assert_eq!(run(3, 60), Some(2));
    assert_eq!(run(3, 90), Some(3));
    assert_eq!(run(2, 90), None);
    assert_eq!(run(0, 30), None);
    // What is pinned stays, and so do those that may take one hop only.
    assert_eq!(run(10, 91), None);
}

#[test]
fn a_higher_class_does_not_move_for_a_lower_one() {
    let mut world = World::new(&TRIANGLE, model(ModelKind::Atcs, &[50, 50]));
    world.admit(request("a", "b", 1, 50));
    let (borrower, _) = world.admit(request("a", "b", 0, 50));
    let mut only_higher = World::new(&TRIANGLE, model(ModelKind::Atcs, &[10, 90]));
    only_higher.admit(request("a", "b", 1, 90));
    only_higher.admit(direct(request("a", "b", 0, 10)));
    assert!(!only_higher.is_admissible(direct(request("a", "b", 0, 10))));
    assert!(world.state.allocation(borrower).is_some());
}

#[test]
fn nothing_moves_where_nothing_is_rerouted() {
    let mut none = model(ModelKind::Mam, &[100]);
    none.policy.restoration = Restoration::None;
    let mut world = World::new(&TRIANGLE, none);
    world.admit(request("a", "b", 0, 60));
    assert!(!world.is_admissible(direct(request("a", "b", 0, 50))));
}

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];
const LINKS: [(&str, u64); 12] = [
    ("a-b", 100),
    ("b-a", 100),
    ("b-c", 70),
    ("c-b", 70),
    ("c-d", 100),
    ("d-c", 90),
    ("d-a", 50),
    ("a-d", 100),
    ("a-c", 30),
    ("a-b#2", 40),
    ("d-e", 100),
    ("e-a", 100),
];

proptest! {
    #![proptest_config(crate::property_cases(200))]

    /// Every move has room on all links of its new path when it is made, and in the end the demand has.
    #[test]
    fn every_step_of_a_relocation_keeps_all_bounds(
        kind in prop_oneof![Just(ModelKind::Mam), Just(ModelKind::Rdm), Just(ModelKind::Gbam), Just(ModelKind::Atcs)],
        max_moves in 1..4_u8,
        asks in prop::collection::vec((0..5_usize, 0..5_usize, 0..3_u8, 1..40_u64, prop::option::weighted(0.3, 1..4_u32)), 20..70),
    ) {
        let mut world = World::new(&LINKS, with_moves(model(kind, &[40, 35, 25]), max_moves));
        for (from, to, class, bandwidth, max_hops) in asks.into_iter().filter(|(from, to, ..)| from != to) {
            let before = world.state.clone();
            let constraints = NamedConstraints { max_hops, ..NamedConstraints::default() };
            let request = Request { constraints, ..request(NODES[from], NODES[to], class, bandwidth) };
            let Event::Admitted { allocation, displaced } = world.ask(request) else { continue };
            prop_assert!(moved(&displaced).len() <= usize::from(max_moves));
            let network = before.network("net").unwrap();
            let mut draft = LedgerDraft::new(&network.ledger);
            for step in displaced.iter().filter(|gone| gone.cause == DisplacedBy::Relocation) {
                let standing = before.allocation(step.id).unwrap();
                let Fate::Rerouted(path) = &step.fate else { panic!("{step:?}") };
                prop_assert!(standing.demand.class_type <= allocation.demand.class_type);
                let hops = u32::try_from(path.len()).unwrap();
                let most = standing.demand.constraints.as_ref().and_then(|constraints| constraints.max_hops);
                prop_assert!(most.is_none_or(|most| hops <= most));
                let entry = network.entry_of(standing).unwrap();
                // Both paths are held for a moment; links on both are held once.
                draft.leave(&entry);
                for link in path.iter() {
                    prop_assert!(draft.free_bps(*link, entry.slot) >= entry.bandwidth.as_bps());
                }
                draft.enter(&LedgerEntry { links: path.clone(), ..entry });
            }
            let entry = network.entry_of(&allocation).unwrap();
            for link in entry.links.iter() {
                prop_assert!(draft.reach_bps(*link, entry.slot) >= entry.bandwidth.as_bps());
            }
        }
    }
}
