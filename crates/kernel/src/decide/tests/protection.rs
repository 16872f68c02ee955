//! Two paths, both booked: what a cut does to them, and how they are whole again.

use proptest::prelude::*;

use super::*;
use crate::allocation::Allocation;
use crate::allocation::Protection;
use crate::event::{Denial, DisplacedBy};
use crate::id::LinkIx;
use crate::path::{Disjointness, are_disjoint};
use crate::policy::Restoration;

pub(super) const PROTECTION: Protection =
    Protection { disjointness: Disjointness::Link, is_shared: false, is_revertive: false, is_best_effort: false };
const SHARED: Protection = Protection { is_shared: true, ..PROTECTION };
const REVERTIVE: Protection = Protection { is_revertive: true, ..PROTECTION };

const DIAMOND: [(&str, u64); 5] = [("a-b", 100), ("b-d", 100), ("a-c", 100), ("c-d", 100), ("a-d", 30)];

fn protected(protection: Protection, request: Request) -> Request {
    let mut request = request;
    request.attributes.protection = Some(protection);
    request
}

fn diamond() -> World {
    World::new(&DIAMOND, model(ModelKind::Mam, &[100]))
}

fn backup(world: &World, id: AllocationId) -> Option<Vec<String>> {
    let network = world.state.network("net").unwrap();
    let name = |link: &_| network.topology().link(*link).unwrap().name.to_string();
    Some(world.state.allocation(id).unwrap().backup()?.iter().map(name).collect())
}

fn booked(world: &World, link: &str) -> u64 {
    let network = world.state.network("net").unwrap();
    network.ledger().booked(network.topology().link_named(link).unwrap()).iter().sum()
}

fn up() -> LinkChange {
    LinkChange { state: Some(LinkState::Up), ..LinkChange::default() }
}

#[test]
fn both_paths_are_booked_and_given_back() {
    let mut world = diamond();
    let (id, _) = world.admit(protected(PROTECTION, request("a", "d", 0, 60)));
    assert_eq!((world.path(id).len(), backup(&world, id).unwrap().len()), (2, 2));
    assert_eq!(DIAMOND.map(|(link, _)| booked(&world, link)), [60, 60, 60, 60, 0]);
    world.must(resize(id, 90));
    assert_eq!(DIAMOND.map(|(link, _)| booked(&world, link)), [90, 90, 90, 90, 0]);
    world.must(Command::Release { id });
    assert_eq!(DIAMOND.map(|(link, _)| booked(&world, link)), [0; 5]);
}

#[test]
fn a_pair_that_cannot_be_is_denied_with_what_is_missing() {
    let mut world = diamond();
    world.admit(over_link("a-b", 0, 50));
    let Event::Denied { denial, .. } = world.ask(protected(PROTECTION, request("a", "d", 0, 60))) else { panic!() };
    let Denial::NoBackup { largest_admissible, binding, .. } = denial else { panic!("{denial:?}") };
    assert_eq!((largest_admissible.as_bps(), binding.is_empty()), (50, false));
    assert!(world.is_admissible(protected(PROTECTION, request("a", "d", 0, 50))));
    // One path has the bandwidth, and who says so gets it.
    let best_effort = Protection { is_best_effort: true, ..PROTECTION };
    let (id, _) = world.admit(protected(best_effort, request("a", "d", 0, 60)));
    assert!(world.state.allocation(id).unwrap().is_unprotected());
}

/// Only a-b leads out of a.
#[test]
fn a_topology_without_a_pair_names_the_link_that_every_path_needs() {
    let links = [("a-b", 100), ("b-d", 100), ("b-c", 100), ("c-d", 100)];
    let mut world = World::new(&links, model(ModelKind::Mam, &[100]));
    let Event::Denied { denial, .. } = world.ask(protected(PROTECTION, request("a", "d", 0, 60))) else { panic!() };
    let Denial::NoBackup { largest_admissible, binding, .. } = denial else { panic!("{denial:?}") };
    let first = world.state.network("net").unwrap().topology().link_named("a-b").unwrap();
    assert_eq!(binding.iter().map(|binding| binding.link).collect::<Vec<_>>(), [first]);
    assert!(largest_admissible.is_zero());
}

fn over_link(link: &str, class: u8, bandwidth: u64) -> Request {
    let (from, to) = link.split_once('-').unwrap();
    request(from, to, class, bandwidth)
}

#[test]
fn a_cut_switches_over_and_a_repair_brings_back_what_was() {
    let mut world = diamond();
    let (id, _) = world.admit(protected(REVERTIVE, request("a", "d", 0, 60)));
    let (working, standby) = (world.path(id), backup(&world, id).unwrap());
    let (displaced, _) = world.change(&working[0], down());
    assert_eq!(displaced.len(), 1);
    assert!(matches!((&displaced[0].fate, displaced[0].cause), (Fate::Rerouted(_), DisplacedBy::Link)));
    assert_eq!((world.path(id), backup(&world, id)), (standby.clone(), None));
    assert_eq!(world.state.recovering_after(None).collect::<Vec<_>>(), [id]);
    // Nothing else leads there with so much bandwidth.
    assert_eq!(world.decide(&Command::Recover { id, may_return: true }), Err(Refusal::NothingDue));
    world.change(&working[0], up());
    assert!(matches!(world.must(Command::Recover { id, may_return: true }), Event::Recovered { .. }));
    assert_eq!((world.path(id), backup(&world, id)), (working, Some(standby)));
    assert_eq!(world.state.recovering_after(None).count(), 0);
}

#[test]
fn a_cut_of_the_backup_path_moves_no_traffic() {
    let mut world = diamond();
    let (id, _) = world.admit(protected(PROTECTION, request("a", "d", 0, 20)));
    let (working, standby) = (world.path(id), backup(&world, id).unwrap());
    assert_eq!(working, ["a-d"]);
    let (displaced, _) = world.change(&standby[0], down());
    assert_eq!(displaced[0].fate, Fate::Unprotected);
    assert_eq!(world.path(id), working);
    let Event::Recovered { allocation } = world.must(Command::Recover { id, may_return: true }) else { panic!() };
    assert!(!allocation.is_unprotected() && backup(&world, id).unwrap() != standby);
}

/// Without having asked to return, it stays where it is and gets the other path as its backup.
#[test]
fn who_is_not_revertive_stays_on_the_path_that_took_over() {
    let mut world = diamond();
    let (id, _) = world.admit(protected(PROTECTION, request("a", "d", 0, 60)));
    let (working, standby) = (world.path(id), backup(&world, id).unwrap());
    world.change(&working[1], down());
    world.change(&working[1], up());
    world.must(Command::Recover { id, may_return: true });
    assert_eq!((world.path(id), backup(&world, id)), (standby, Some(working)));
}

/// The room of a backup path is its own: what is restored beside it takes none of it.
#[test]
fn nothing_takes_the_room_of_a_backup_path_before_it_is_used() {
    let mut world = World::new(&DIAMOND[..4], model(ModelKind::Mam, &[100]));
    let (other, _) = world.admit(request("a", "d", 0, 30));
    let (id, _) = world.admit(protected(PROTECTION, request("a", "d", 0, 60)));
    let shared = world.path(other)[0].clone();
    let (displaced, _) = world.change(&shared, down());
    let of = |id| displaced.iter().find(|gone| gone.id == id).map(|gone| gone.fate.clone());
    assert!(!matches!(of(id), Some(Fate::Ended(_))), "{displaced:?}");
}

/// A better class takes the bandwidth of the backup path: the traffic stays where it is.
#[test]
fn who_loses_its_backup_path_to_a_better_class_goes_on_unprotected() {
    let mut atcs = model(ModelKind::Atcs, &[50, 50]);
    atcs.policy.relocation.max_moves = 0;
    let mut world = World::new(&DIAMOND[..4], atcs);
    let (id, _) = world.admit(protected(PROTECTION, request("a", "d", 1, 80)));
    let standby = backup(&world, id).unwrap();
    let (_, displaced) = world.admit(over_link(&standby[0], 0, 50));
    assert_eq!(displaced.iter().map(|gone| gone.fate.clone()).collect::<Vec<_>>(), [Fate::Unprotected]);
    assert_eq!(backup(&world, id), None);
}

/// What was asked for and stands by is used, whatever the policy says of those that have nothing.
#[test]
fn a_backup_path_is_used_without_restoration_too() {
    let mut mam = model(ModelKind::Mam, &[100]);
    mam.policy.restoration = Restoration::None;
    let mut world = World::new(&DIAMOND, mam);
    let (id, _) = world.admit(protected(PROTECTION, request("a", "d", 0, 60)));
    let (bare, _) = world.admit(request("a", "d", 0, 10));
    let standby = backup(&world, id).unwrap();
    for link in [world.path(id)[0].clone(), world.path(bare)[0].clone()] {
        world.change(&link, down());
    }
    assert_eq!((world.path(id), world.state.allocation(bare)), (standby, None));
}

/// Where two links come to share a duct, the one is no backup for the other.
#[test]
fn a_backup_path_that_comes_to_share_a_risk_is_none() {
    let mut world = World::new(&DIAMOND[..4], model(ModelKind::Mam, &[100]));
    let by_risk = Protection { disjointness: Disjointness::Srlg, ..PROTECTION };
    let (id, _) = world.admit(protected(by_risk, request("a", "d", 0, 10)));
    let duct = || LinkChange { srlg: Some(vec![7]), ..LinkChange::default() };
    world.change("a-b", duct());
    let (displaced, _) = world.change("c-d", duct());
    assert_eq!(displaced.iter().map(|gone| gone.fate.clone()).collect::<Vec<_>>(), [Fate::Unprotected]);
    assert_eq!(backup(&world, id), None);
}

/// What is booked is what working paths and dedicated backup paths take, and the most that any failure needs of the shared ones.
fn check_pools(state: &State) {
    let network = state.network("net").unwrap();
    let topology = network.topology();
    let all: Vec<_> = state.allocations_after(None).collect();
    let shares = |one: &Allocation| one.demand.attributes.booked_protection().is_some_and(|asked| asked.is_shared);
    for (link, _) in topology.links() {
        for slot in network.ledger().slots().iter() {
            let of_slot = || all.iter().filter(|one| network.slot_of(one) == Some(slot));
            let takes = |path: &[LinkIx], one: &Allocation| {
                if path.contains(&link) { one.demand.bandwidth.as_bps() } else { 0 }
            };
            let own: u64 = of_slot()
                .map(|one| {
                    let dedicated = one.backup().filter(|_| !shares(one));
                    takes(&one.path, one) + dedicated.map_or(0, |backup| takes(backup, one))
                })
                .sum();
            let needed = |breaks: &dyn Fn(&Allocation) -> bool| -> u64 {
                let sharing = of_slot().filter(|one| shares(one) && breaks(one));
                sharing.map(|one| one.backup().map_or(0, |backup| takes(backup, one))).sum()
            };
            let by_link = topology.links().map(|(failed, _)| needed(&|one| one.path.contains(&failed)));
            let inner =
                |one: &Allocation, node| one.path.iter().skip(1).any(|link| topology.link(*link).unwrap().from == node);
            let by_node = topology.nodes().map(|(failed, _)| needed(&|one| inner(one, failed)));
            assert_eq!(network.ledger().booked(link)[slot.at()], own + by_link.chain(by_node).max().unwrap_or(0));
        }
    }
}

/// For a time nothing is shared; from its start on, what lasts is a member of the pool.
#[test]
fn a_booking_shares_when_it_has_started_and_lasts() {
    let mut world = diamond();
    let (first, _) = world.admit(protected(SHARED, request("a", "d", 0, 30)));
    let before = booked(&world, "c-d");
    let mut later = protected(SHARED, request("a", "d", 0, 20));
    later.attributes.starts_at = Some(Millis(10));
    let (id, _) = world.admit(later);
    assert_eq!(booked(&world, "c-d"), before, "it is in the books of then");
    let event = decide(&world.state, &Command::Start, Millis(10), &mut world.workspace).unwrap();
    let recorded = Recorded { sequence: world.state.sequence().next(), at: Millis(10), event };
    apply(&mut world.state, &recorded).unwrap();
    assert_eq!(audit(&world.state), []);
    check_pools(&world.state);
    for id in [first, id] {
        world.must(Command::Release { id });
    }
    assert_eq!(DIAMOND.map(|(link, _)| booked(&world, link)), [0; 5]);
}

/// Two that do not fail together need their common backup path once.
#[test]
fn backup_paths_share_their_bandwidth_where_no_failure_needs_both() {
    let links = [("a-d", 100), ("b-d", 100), ("a-c", 100), ("b-c", 100), ("c-d", 60)];
    let mut world = World::new(&links, model(ModelKind::Mam, &[100]));
    let (one, _) = world.admit(protected(SHARED, request("a", "d", 0, 60)));
    let (two, _) = world.admit(protected(SHARED, request("b", "d", 0, 60)));
    assert_eq!(
        (backup(&world, one).unwrap(), backup(&world, two).unwrap()),
        (strings(["a-c", "c-d"]), strings(["b-c", "c-d"]))
    );
    assert_eq!(booked(&world, "c-d"), 60);
    check_pools(&world.state);
    assert!(!world.is_admissible(request("c", "d", 0, 1)));
    // The first failure takes the room, and is told to the other.
    let (displaced, _) = world.change("a-d", down());
    let fate = |id| displaced.iter().find(|gone| gone.id == id).unwrap().fate.clone();
    assert!(matches!(fate(one), Fate::Rerouted(_)));
    assert_eq!((fate(two), booked(&world, "c-d")), (Fate::Unprotected, 60));
    world.change("a-d", up());
    world.must(Command::Release { id: one });
    world.must(Command::Recover { id: two, may_return: true });
    assert_eq!(backup(&world, two).unwrap(), strings(["b-c", "c-d"]));
}

/// Two over one fibre fail together: each needs its room.
#[test]
fn backup_paths_of_what_fails_together_add_up() {
    let links = [("a-d", 200), ("a-c", 200), ("c-d", 100)];
    let mut world = World::new(&links, model(ModelKind::Mam, &[100]));
    world.admit(protected(SHARED, request("a", "d", 0, 60)));
    assert!(!world.is_admissible(protected(SHARED, request("a", "d", 0, 60))));
    world.admit(protected(SHARED, request("a", "d", 0, 40)));
    assert_eq!(booked(&world, "c-d"), 100);
}

/// A class that takes what was shared leaves working paths alone.
#[test]
fn shared_backup_paths_yield_before_working_paths() {
    let links = [("a-d", 100), ("a-c", 100), ("c-d", 100)];
    let mut atcs = model(ModelKind::Atcs, &[50, 50]);
    atcs.policy.relocation.max_moves = 0;
    let mut world = World::new(&links, atcs);
    let (id, _) = world.admit(protected(SHARED, request("a", "d", 1, 60)));
    let (standing, _) = world.admit(over_link("c-d", 1, 40));
    let (_, displaced) = world.admit(over_link("c-d", 0, 50));
    assert_eq!(
        displaced.iter().map(|gone| (gone.id, gone.fate.clone())).collect::<Vec<_>>(),
        [(id, Fate::Unprotected)]
    );
    assert!(world.state.allocation(standing).is_some());
}

/// Who shares the bandwidth of its backup path gives it back once, whether it yields itself or its backup path does: 27 of CT1
/// need 15 more on c-a, where 14 are shared.
#[test]
fn what_is_shared_is_given_up_once() {
    let mut world = World::new(&MESH, model(ModelKind::Rdm, &[50, 50]));
    let by_node = Protection { disjointness: Disjointness::Node, ..SHARED };
    let asks = [("b", 0, 34, PROTECTION), ("c", 0, 26, PROTECTION), ("c", 0, 34, PROTECTION), ("b", 0, 14, by_node)];
    for (from, class, bandwidth, protection) in asks {
        world.admit(protected(protection, request(from, "a", class, bandwidth)));
    }
    world.ask(protected(PROTECTION, request("b", "a", 1, 27)));
    check_pools(&world.state);
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

const MESH: [(&str, u64); 14] = [
    ("a-b", 100),
    ("b-a", 100),
    ("b-c", 100),
    ("c-b", 100),
    ("c-d", 100),
    ("d-c", 100),
    ("d-a", 100),
    ("a-d", 100),
    ("a-c", 60),
    ("c-a", 60),
    ("b-d", 60),
    ("d-b", 60),
    ("d-e", 100),
    ("c-e", 100),
];

proptest! {
    #![proptest_config(crate::property_cases(256))]

    /// Whatever was admitted, each single cut leaves all protected allocations in force on one of their two paths.
    #[test]
    fn any_single_failure_is_survived(
        asks in prop::collection::vec((0..5_usize, 0..5_usize, 0..2_u8, 1..40_u64, 0..3_u8, 0..3_u8), 1..24),
        kind in 0..4_usize,
    ) {
        let kind = [ModelKind::Mam, ModelKind::Rdm, ModelKind::Gbam, ModelKind::Atcs][kind];
        let mut world = World::new(&MESH, model(kind, &[50, 50]));
        for (from, to, class, bandwidth, disjointness, kind_of_protection) in asks {
            let ends = ["a", "b", "c", "d", "e"];
            if from == to { continue }
            let mut request = request(ends[from], ends[to], class, bandwidth);
            let disjointness = [Disjointness::Link, Disjointness::Srlg, Disjointness::Node][usize::from(disjointness)];
            if kind_of_protection > 0 || kind != ModelKind::Mam {
                let is_shared = kind_of_protection == 2;
                request = protected(Protection { disjointness, is_shared, ..REVERTIVE }, request);
                // What has an end has a backup path of its own.
                request.attributes.expires_at = (bandwidth % 2 == 0).then_some(Millis(1_000));
            }
            world.ask(request);
        }
        let protected: Vec<_> =
            world.state.allocations_after(None).filter(|lsp| lsp.backup().is_some()).cloned().collect();
        for allocation in &protected {
            let graph = world.state.network("net").unwrap().graph();
            let asked = allocation.demand.attributes.protection.unwrap();
            prop_assert!(are_disjoint(graph, &allocation.path, allocation.backup().unwrap(), asked.disjointness));
        }
        check_pools(&world.state);
        // Where classes lend, who is restored without a backup path may take bandwidth as at its admission.
        prop_assume!(kind == ModelKind::Mam || protected.len() == world.state.allocation_count());
        let before = world.state.clone();
        for (link, _) in MESH {
            world.state = before.clone();
            world.change(link, down());
            for allocation in &protected {
                let after = world.state.allocation(allocation.id);
                prop_assert!(after.is_some(), "{:?} did not survive a cut of {}", allocation, link);
                let path = &after.unwrap().path;
                let is_own = *path == allocation.path || Some(path) == allocation.backup();
                prop_assert!(is_own, "{:?} is on {:?} after a cut of {}", allocation, path, link);
            }
            world.change(link, up());
            for id in world.state.recovering_after(None).collect::<Vec<_>>() {
                if world.decide(&Command::Recover { id, may_return: true }).is_ok() {
                    world.must(Command::Recover { id, may_return: true });
                }
            }
        }
    }
}
