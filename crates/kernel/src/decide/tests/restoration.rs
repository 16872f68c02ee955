//! What the network's own changes do to the allocations on it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::class::{Priority, TeClass};
use crate::command::NamedHop;
use crate::path::Metric;

fn te(mut model: BandwidthModel) -> BandwidthModel {
    model.policy.path_metric = Metric::Te;
    model
}

fn metric(value: u32) -> LinkChange {
    LinkChange { te_metric: Some(value), ..LinkChange::default() }
}

fn over(link: &str, request: Request) -> Request {
    let include = vec![NamedHop::Link(name(link))];
    Request { constraints: NamedConstraints { include, ..NamedConstraints::default() }, ..request }
}

fn outcomes(displaced: &[Displaced]) -> Vec<(AllocationId, bool)> {
    displaced.iter().map(|gone| (gone.id, is_ended(gone))).collect()
}

/// A borrower was restored first; the class whose share it took has its share all the same.
#[test]
fn a_restored_borrower_yields_to_a_class_within_its_share() {
    let mut world = World::new(&[("a-b", 100), ("a-b#2", 90)], te(model(ModelKind::Atcs, &[50, 50])));
    world.change("a-b#2", metric(5));
    let (borrower, _) = world.admit(request("a", "b", 1, 90));
    let (owner, _) = world.admit(request("a", "b", 0, 10));
    let (displaced, _) = world.change("a-b", down());
    assert_eq!(outcomes(&displaced), [(borrower, true), (owner, false)]);
}

/// The first on the list is over its share and gets the way out; what is left is too little for the second, which is
/// within its share on a third link where another borrows.
#[test]
fn a_standing_borrower_yields_to_a_class_within_its_share() {
    let links = [("a-b", 100), ("a-b#2", 90), ("a-b#3", 90)];
    let mut world = World::new(&links, te(model(ModelKind::Atcs, &[50, 50])));
    world.change("a-b#2", metric(5));
    world.change("a-b#3", metric(9));
    world.admit(over("a-b#3", request("a", "b", 1, 90)));
    world.admit(request("a", "b", 1, 90));
    let (owner, _) = world.admit(request("a", "b", 0, 10));
    let (displaced, _) = world.change("a-b", down());
    assert!(outcomes(&displaced).contains(&(owner, false)), "{displaced:?}");
    assert_eq!(displaced.iter().filter(|gone| is_ended(gone)).count(), 1);
}

/// 60 and 50 of CT1 do not fit, and once one of them has gone the other does.
#[test]
fn the_end_of_one_allocation_restores_another() {
    let mut world = World::new(&[("a-b", 100), ("a-b#2", 100)], te(model(ModelKind::Atcs, &[50, 50])));
    world.change("a-b#2", metric(5));
    world.admit(over("a-b#2", request("a", "b", 1, 60)));
    world.admit(request("a", "b", 1, 50));
    world.admit(request("a", "b", 0, 45));
    let (displaced, _) = world.change("a-b", down());
    assert_eq!(displaced.iter().filter(|gone| is_ended(gone)).count(), 1, "{displaced:?}");
    assert!(!world.is_admissible(request("a", "b", 1, 60)));
}

/// One change of capacity and delay: what no longer fits is judged by the new delay.
#[test]
fn one_change_is_judged_by_the_attributes_after_it() {
    let mut by_delay = model(ModelKind::Mam, &[100]);
    by_delay.policy.path_metric = Metric::Delay;
    let mut world = World::new(&[("a-b", 100), ("a-b#2", 100)], by_delay);
    world.change("a-b#2", LinkChange { delay: Some(Micros(15)), ..LinkChange::default() });
    let constraints = NamedConstraints { max_delay: Some(Micros(20)), ..NamedConstraints::default() };
    let ids = [60, 40].map(|bandwidth| {
        world.admit(Request { constraints: constraints.clone(), ..request("a", "b", 0, bandwidth) }).0
    });
    let change = LinkChange { capacity: Bandwidth::from_bps(50), delay: Some(Micros(80)), ..LinkChange::default() };
    let (displaced, stranded) = world.change("a-b", change);
    assert_eq!(stranded, []);
    assert_eq!(displaced.iter().filter(|gone| is_ended(gone)).count(), 0, "{displaced:?}");
    assert!(ids.into_iter().all(|id| world.path(id) == ["a-b#2"]));
}

#[test]
fn a_change_that_breaks_constraints_moves_those_it_can_and_names_the_rest() {
    let mut world = World::new(&[("a-b", 100), ("a-c", 100), ("c-b", 30)], te(model(ModelKind::Mam, &[100])));
    let within = |micros| NamedConstraints { max_delay: Some(Micros(micros)), ..NamedConstraints::default() };
    let colour = NamedConstraints { exclude_any: 4, ..NamedConstraints::default() };
    let ids = [(10, within(15)), (20, within(30)), (5, colour), (3, NamedConstraints::default())]
        .map(|(bandwidth, constraints)| world.admit(Request { constraints, ..request("a", "b", 0, bandwidth) }).0);
    let slower = LinkChange { delay: Some(Micros(5_000)), admin_group: Some(5), ..LinkChange::default() };
    let (displaced, stranded) = world.change("a-b", slower);
    assert_eq!(outcomes(&displaced), [(ids[1], false), (ids[2], false)]);
    assert_eq!(stranded, [ids[0]]);
    assert_eq!(world.path(ids[2]), ["a-c", "c-b"]);
    assert_eq!(world.path(ids[3]), ["a-b"]);
}

#[test]
fn a_new_revision_that_breaks_constraints_does_not_keep_them_where_they_were() {
    let mut world = World::new(&[("a-b", 100), ("a-c", 100), ("c-b", 30)], model(ModelKind::Mam, &[100]));
    let constraints = NamedConstraints { exclude_any: 4, ..NamedConstraints::default() };
    let (id, _) = world.admit(Request { constraints, ..request("a", "b", 0, 10) });
    let mut coloured = topology(&[("a-b", 100), ("a-c", 100), ("c-b", 30)]);
    let ix = coloured.link_named("a-b").unwrap();
    let link = Link { admin_group: 4, ..coloured.link(ix).unwrap().clone() };
    coloured.replace_link(ix, link).unwrap();
    let Command::PutTopology { name, topology, misfits, .. } = put(coloured) else { panic!("a topology") };
    world.must(Command::PutTopology { name, topology, misfits, expected: Expected::Any });
    assert_eq!(world.path(id), ["a-c", "c-b"]);
}

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];
const LINKS: [(&str, u64); 12] = [
    ("a-b", 1_000),
    ("b-a", 1_000),
    ("b-c", 700),
    ("c-b", 700),
    ("c-d", 1_000),
    ("d-c", 900),
    ("d-a", 500),
    ("a-d", 1_000),
    ("a-c", 300),
    ("a-b#2", 400),
    ("d-e", 1_000),
    ("e-a", 1_000),
];

/// Two TE-classes for each class type: CT0 at 6 and 5, CT1 at 5 and 4, CT2 at 4 and 3.
fn with_priorities(kind: ModelKind) -> BandwidthModel {
    let te_class = |(class, is_better): (u8, bool)| TeClass {
        class_type: ClassType::new(class).unwrap(),
        priority: priority(class, is_better),
    };
    let te_classes = (0..3).flat_map(|class| [(class, false), (class, true)]).map(te_class).collect();
    let classes = model(kind, &[40, 35, 25]).model.classes().to_vec();
    BandwidthModel::uniform(Model::new(kind, classes, te_classes).unwrap())
}

fn priority(class: u8, is_better: bool) -> Priority {
    Priority::new(6 - class - u8::from(is_better)).unwrap()
}

impl World {
    /// Whether a request would be admitted on free bandwidth.
    fn is_admissible_freely(&mut self, request: &Request) -> bool {
        let decided = self.decide(&Command::Allocate(Box::new(request.clone())));
        matches!(decided, Ok(Event::Admitted { displaced, .. }) if displaced.is_empty())
    }
}

fn any_change() -> impl Strategy<Value = (usize, u8, u64)> {
    (0..LINKS.len(), 0..3_u8, 1..900_u64)
}

proptest! {
    #![proptest_config(crate::property_cases(200))]

    /// No allocation ends that would be admitted on the books that remain, if nothing moves; but for circles.
    #[test]
    fn no_allocation_fails_that_would_be_admitted(
        kind in prop_oneof![Just(ModelKind::Mam), Just(ModelKind::Rdm), Just(ModelKind::Gbam), Just(ModelKind::Atcs)],
        by_priority in any::<bool>(),
        asks in prop::collection::vec((0..5_usize, 0..5_usize, 0..3_u8, 1..300_u64, any::<bool>()), 20..90),
        changes in prop::collection::vec(any_change(), 1..4),
    ) {
        let by_priority = by_priority && matches!(kind, ModelKind::Mam | ModelKind::Rdm);
        let mut standing = if by_priority { with_priorities(kind) } else { model(kind, &[40, 35, 25]) };
        standing.policy.relocation.max_moves = 0;
        let mut world = World::new(&LINKS, standing);
        let mut asked = BTreeMap::new();
        for (from, to, class, bandwidth, is_better) in asks {
            if from != to {
                let mut request = request(NODES[from], NODES[to], class, bandwidth);
                request.setup_priority = by_priority.then(|| priority(class, is_better));
                if let Event::Admitted { allocation, .. } = world.ask(request.clone()) {
                    asked.insert(allocation.id, request);
                }
            }
        }
        for (which, what, capacity) in changes {
            let change = match what {
                0 => down(),
                1 => LinkChange { capacity: Bandwidth::from_bps(capacity), ..LinkChange::default() },
                _ => LinkChange { state: Some(LinkState::Up), max_reservable: Bandwidth::from_bps(capacity), ..LinkChange::default() },
            };
            let (displaced, _) = world.change(LINKS[which].0, change);
            for gone in displaced.iter().filter(|gone| is_ended(gone)) {
                let request = &asked[&gone.id];
                // Where classes lend, allocations can displace each other in a circle.
                let has_circles = matches!(kind, ModelKind::Gbam | ModelKind::Atcs);
                let would_be_admitted =
                    if has_circles { world.is_admissible_freely(request) } else { world.is_admissible(request.clone()) };
                prop_assert!(!would_be_admitted, "{gone:?} of {displaced:?}");
            }
        }
    }
}

/// CT2 preempts CT1 where that has borrowed, and CT1 takes its share back from CT2: the circle is broken.
#[test]
fn allocations_that_displace_each_other_in_a_circle_do_not_go_round_for_ever() {
    let mut standing = model(ModelKind::Gbam, &[40, 35, 25]);
    standing.policy.relocation.max_moves = 0;
    let mut world = World::new(&LINKS, standing);
    let mut asked = BTreeMap::new();
    for (from, to, class, bandwidth) in [
        (1, 0, 0, 4),
        (1, 3, 0, 185),
        (4, 2, 1, 209),
        (0, 3, 1, 89),
        (2, 3, 0, 176),
        (2, 3, 1, 73),
        (2, 3, 0, 269),
        (2, 1, 1, 61),
        (2, 1, 2, 136),
        (2, 3, 1, 55),
        (0, 3, 2, 275),
        (2, 3, 0, 107),
        (2, 0, 1, 56),
        (2, 0, 2, 1),
    ] {
        let request = request(NODES[from], NODES[to], class, bandwidth);
        if let Event::Admitted { allocation, .. } = world.ask(request.clone()) {
            asked.insert(allocation.id, request);
        }
    }
    let (displaced, _) =
        world.change(LINKS[4].0, LinkChange { capacity: Bandwidth::from_bps(99), ..LinkChange::default() });
    for gone in displaced.iter().filter(|gone| is_ended(gone)) {
        assert!(!world.is_admissible_freely(&asked[&gone.id]), "{gone:?} of {displaced:?}");
    }
}
