//! The kernel as a whole: the examples that need paths, restoration and resizing, and random histories.

mod histories;
mod quotas;

use std::sync::Arc;

use kernel::allocation::{EndCause, LspAttributes};
use kernel::annotation::{Annotation, AnnotationField};
use kernel::audit::audit;
use kernel::bam::{ClassConfig, Model, ModelKind};
use kernel::class::{ClassType, Priority, TeClass};
use kernel::command::{
    AllocationChange, Expected, HopKind, LinkChange, ModelChange, NamedConstraints, NamedHop, NamedRouteHop, OnMisfit,
    Request,
};
use kernel::event::{Denial, Displaced, Fate, PathObstacle};
use kernel::id::{AllocationId, Name, NodeIx, Sequence};
use kernel::path::Workspace;
use kernel::policy::{BandwidthModel, PathChoice, Policy, Restoration};
use kernel::topology::{CapacitySource, Link, LinkState, Node, Topology};
use kernel::units::{Bandwidth, Micros, Millis, Overbooking, Share};
use kernel::{Command, Event, Recorded, Refusal, State, apply, decide};

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// `"a-b"` makes a link of that name from a to b.
pub(crate) fn network(links: &[(&str, u64)]) -> Topology {
    let mut nodes: Vec<Node> = vec![];
    let mut at = |text: &str| {
        let found = nodes.iter().position(|node| node.name.as_str() == text);
        let place = found.unwrap_or_else(|| {
            nodes.push(Node { name: name(text), label: None, position: None, switch: None });
            nodes.len() - 1
        });
        NodeIx(u32::try_from(place).unwrap())
    };
    let links = links.iter().map(|(text, capacity)| {
        let (from, to) = text.split('#').next().unwrap().split_once('-').unwrap();
        Link {
            name: name(text),
            from: at(from),
            to: at(to),
            capacity: Bandwidth::from_bps(*capacity).unwrap(),
            max_reservable: Bandwidth::from_bps(*capacity).unwrap(),
            te_metric: 1,
            delay: Micros(10),
            srlg: vec![],
            admin_group: 1,
            state: LinkState::Up,
            from_port: None,
            to_port: None,
            twin: None,
            capacity_from: CapacitySource::Given,
            is_avoided: false,
        }
    });
    let links = links.collect();
    Topology::new(nodes, links).unwrap()
}

/// Another bandwidth.
fn resize(id: AllocationId, bps: u64) -> Command {
    let bandwidth = Bandwidth::from_bps(bps);
    Command::Change { id, change: Box::new(AllocationChange { bandwidth, ..AllocationChange::default() }) }
}

fn model(kind: ModelKind, shares: [u32; 3]) -> BandwidthModel {
    BandwidthModel::uniform(Model::new(kind, classes(shares), vec![]).unwrap())
}

fn classes(shares: [u32; 3]) -> Vec<ClassConfig> {
    let class = |(number, share): (u8, u32)| ClassConfig {
        class_type: ClassType::new(number).unwrap(),
        share: Share::from_ppm(share * 10_000).unwrap(),
        high_to_low: Share::from_ppm(500_000).unwrap(),
        low_to_high: Share::from_ppm(250_000).unwrap(),
        overbooking: Overbooking::NONE,
    };
    (0..).zip(shares).map(class).collect()
}

/// A state with its history.
struct World {
    state: State,
    history: Vec<Recorded>,
    workspace: Workspace,
    now: u64,
}

impl World {
    fn new(topology: Topology, model: BandwidthModel) -> Self {
        let mut world = Self { state: State::new(), history: vec![], workspace: Workspace::default(), now: 1_000 };
        world.must(Command::PutTopology {
            name: name("net"),
            topology: Arc::new(topology),
            expected: Expected::Unsaid,
            misfits: OnMisfit::Refuse,
        });
        world.must(set_model(model, ModelChange::Hard));
        world
    }

    fn run(&mut self, command: Command) -> Result<Event, Refusal> {
        let at = Millis(self.now);
        let event = decide(&self.state, &command, at, &mut self.workspace)?;
        let recorded = Recorded { sequence: Sequence(self.state.sequence().0 + 1), at, event: event.clone() };
        apply(&mut self.state, &recorded).unwrap();
        self.history.push(recorded);
        Ok(event)
    }

    fn must(&mut self, command: Command) -> Event {
        self.run(command).unwrap()
    }

    fn ask(&mut self, from: &str, to: &str, class: u8, bandwidth: u64) -> Event {
        self.must(Command::Allocate(Box::new(request(from, to, class, bandwidth))))
    }

    fn admitted(&mut self, from: &str, to: &str, class: u8, bandwidth: u64) -> AllocationId {
        match self.ask(from, to, class, bandwidth) {
            Event::Admitted { allocation, displaced } if displaced.is_empty() => allocation.id,
            other => panic!("{other:?}"),
        }
    }

    fn path(&self, id: AllocationId) -> Vec<String> {
        let allocation = self.state.allocation(id).unwrap();
        let topology = self.state.network("net").unwrap().topology();
        allocation.path.iter().map(|link| topology.link(*link).unwrap().name.to_string()).collect()
    }

    fn used(&self, link: &str) -> [u64; 3] {
        let network = self.state.network("net").unwrap();
        let booked = network.ledger().booked(network.topology().link_named(link).unwrap());
        [booked[0], booked[1], booked[2]]
    }
}

fn set_model(model: BandwidthModel, switch: ModelChange) -> Command {
    Command::SetModel { topology: name("net"), model: Arc::new(model), expected: Expected::Any, switch }
}

pub(crate) fn request(from: &str, to: &str, class: u8, bandwidth: u64) -> Request {
    Request {
        topology: None,
        ingress: name(from),
        egress: name(to),
        class_type: ClassType::new(class).unwrap(),
        bandwidth: Bandwidth::from_bps(bandwidth).unwrap(),
        setup_priority: None,
        hold_priority: None,
        constraints: NamedConstraints::default(),
        moves_max: None,
        hold_for: None,
        duration: None,
        attributes: LspAttributes::default(),
    }
}

fn link_state(link: &str, state: LinkState) -> Command {
    let change = LinkChange { state: Some(state), ..LinkChange::default() };
    Command::ChangeLink { topology: name("net"), link: name(link), change }
}

fn fates(displaced: &[Displaced]) -> Vec<(u64, Option<EndCause>)> {
    let ended = |fate: &Fate| match fate {
        Fate::Ended(cause) => Some(*cause),
        Fate::Rerouted(_) | Fate::Unprotected => None,
    };
    displaced.iter().map(|gone| (gone.id.0, ended(&gone.fate))).collect()
}

#[test]
fn e12_a_block_on_one_link_leaves_the_others_untouched() {
    let mut world = World::new(network(&[("a-b", 1_000), ("b-c", 1_000)]), model(ModelKind::Rdm, [40, 35, 25]));
    for _ in 0..10 {
        world.admitted("a", "b", 0, 100);
    }
    world.admitted("b", "c", 2, 250);
    let before = world.state.clone();
    let Event::Denied { denial, .. } = world.ask("a", "c", 2, 100) else { panic!("denied") };
    let Denial::InsufficientBandwidth { binding, largest_admissible } = denial else { panic!("bandwidth") };
    assert!(largest_admissible.is_zero());
    let topology = world.state.network("net").unwrap().topology();
    let names: Vec<_> = binding.iter().map(|b| topology.link(b.link).unwrap().name.as_str()).collect();
    assert_eq!(names, ["b-c"]);
    assert_eq!(binding[0].available, Bandwidth::ZERO);
    assert_eq!(before.network("net"), world.state.network("net"));
}

#[test]
fn e13_a_victim_leaves_all_its_links_at_once() {
    let mut world = World::new(network(&[("a-b", 1_000), ("b-c", 1_000)]), model(ModelKind::Rdm, [40, 35, 25]));
    let ids: Vec<_> = (0..10).map(|_| world.admitted("a", "c", 0, 100)).collect();
    let Event::Admitted { displaced, .. } = world.ask("a", "c", 2, 150) else { panic!("admitted") };
    let preempted = Some(EndCause::Preempted);
    assert_eq!(fates(&displaced), [(ids[9].0, preempted), (ids[8].0, preempted)]);
    assert_eq!(world.used("a-b"), [800, 0, 150]);
    assert_eq!(world.used("b-c"), [800, 0, 150]);
}

#[test]
fn a_free_detour_is_preferred_to_victims_unless_hops_are_what_counts() {
    let links = [("a-b", 100), ("a-c", 100), ("c-b", 100)];
    let mut world = World::new(network(&links), model(ModelKind::Rdm, [40, 35, 25]));
    let first = world.admitted("a", "b", 0, 100);
    assert_eq!(world.path(first), ["a-b"]);
    let second = world.admitted("a", "b", 2, 20);
    assert_eq!(world.path(second), ["a-c", "c-b"]);

    let mut hops = model(ModelKind::Rdm, [40, 35, 25]);
    hops.policy = Policy { path_choice: PathChoice::FewestHops, restoration: Restoration::None, ..Policy::default() };
    let mut world = World::new(network(&links), hops);
    let first = world.admitted("a", "b", 0, 100);
    let Event::Admitted { allocation, displaced } = world.ask("a", "b", 2, 20) else { panic!("admitted") };
    assert_eq!(world.path(allocation.id), ["a-b"]);
    assert_eq!(fates(&displaced), [(first.0, Some(EndCause::Preempted))]);
}

#[test]
fn a_victim_is_offered_another_path_first() {
    let mut rdm = model(ModelKind::Rdm, [40, 35, 25]);
    rdm.policy.path_choice = PathChoice::FewestHops;
    let mut world = World::new(network(&[("a-b", 100), ("a-c", 100), ("c-b", 100)]), rdm);
    let first = world.admitted("a", "b", 0, 100);
    let Event::Admitted { displaced, .. } = world.ask("a", "b", 2, 20) else { panic!("admitted") };
    assert_eq!(fates(&displaced), [(first.0, None)]);
    assert_eq!(world.path(first), ["a-c", "c-b"]);
}

#[test]
fn a_resize_does_not_count_itself_twice_and_a_refused_one_changes_nothing() {
    let mut world = World::new(network(&[("a-b", 1_000)]), model(ModelKind::Mam, [40, 35, 25]));
    let id = world.admitted("a", "b", 0, 300);
    let resize = |bandwidth| resize(id, bandwidth);
    assert!(matches!(world.must(resize(400)), Event::Resized { .. }));
    assert_eq!(world.used("a-b"), [400, 0, 0]);
    assert!(matches!(world.must(resize(401)), Event::Denied { .. }));
    assert_eq!(world.used("a-b"), [400, 0, 0]);
    assert!(matches!(world.must(resize(1)), Event::Resized { .. }));
    assert_eq!(world.used("a-b"), [1, 0, 0]);
    assert_eq!(world.run(resize(0)), Err(Refusal::NoBandwidth));
}

#[test]
fn annotations_alone_move_nothing_and_follow_the_allocation() {
    let mut world =
        World::new(network(&[("a-b", 100), ("a-c", 100), ("c-b", 100)]), model(ModelKind::Rdm, [40, 35, 25]));
    let text = |text| Annotation::parse(text).unwrap();
    let annotate = |id, texts: &[_]| {
        let annotations = texts.iter().map(|(field, said)| (*field, text(*said))).collect();
        Command::Change { id, change: Box::new(AllocationChange { annotations, ..AllocationChange::default() }) }
    };
    let first = world.admitted("a", "b", 0, 100);
    let id = world.admitted("a", "b", 0, 100);
    assert_eq!(world.path(id), ["a-c", "c-b"]);
    world.must(Command::Release { id: first });
    let change = [(AnnotationField::Name, "east"), (AnnotationField::Note, "n")];
    let Event::Resized { allocation, displaced } = world.must(annotate(id, &change)) else { panic!("resized") };
    assert_eq!((displaced, allocation.demand.attributes.annotations.iter().count()), (vec![], 2));
    assert_eq!((world.path(id), world.used("a-b")), (vec!["a-c".to_owned(), "c-b".to_owned()], [0, 0, 0]));
    world.must(annotate(id, &[(AnnotationField::Note, "")]));
    // One that leaves its path is named as it is called by now.
    let down = LinkChange { state: Some(LinkState::Down), ..LinkChange::default() };
    let cut = Command::ChangeLink { topology: name("net"), link: name("a-c"), change: down };
    let Event::LinkChanged { displaced, .. } = world.must(cut) else { panic!("changed") };
    assert_eq!((displaced.len(), displaced[0].id, world.path(id)), (1, id, vec!["a-b".to_owned()]));
    let named: Vec<_> = displaced[0].annotations.iter().map(|(field, text)| (field, text.as_str())).collect();
    assert_eq!(named, [(AnnotationField::Name, "east")]);
    assert_eq!(world.run(annotate(first, &change)), Err(Refusal::UnknownAllocation(first)));
}

#[test]
fn a_resize_may_move_to_a_path_that_has_room() {
    let mut world =
        World::new(network(&[("a-b", 100), ("a-c", 500), ("c-b", 500)]), model(ModelKind::Mam, [40, 35, 25]));
    let id = world.admitted("a", "b", 0, 40);
    assert_eq!(world.path(id), ["a-b"]);
    world.must(resize(id, 200));
    assert_eq!(world.path(id), ["a-c", "c-b"]);
    assert_eq!(world.used("a-b"), [0, 0, 0]);
}

#[test]
fn a_broken_link_restores_the_best_first_and_names_who_is_lost() {
    let mut world =
        World::new(network(&[("a-b", 1_000), ("a-c", 100), ("c-b", 100)]), model(ModelKind::Rdm, [40, 35, 25]));
    let low = world.admitted("a", "b", 0, 90);
    let high = world.admitted("a", "b", 2, 25);
    let Event::LinkChanged { displaced, .. } = world.must(link_state("a-b", LinkState::Down)) else { panic!("link") };
    assert_eq!(fates(&displaced), [(high.0, None), (low.0, Some(EndCause::Failed))]);
    assert_eq!(world.path(high), ["a-c", "c-b"]);
    let Event::Denied { denial, .. } = world.ask("a", "b", 0, 500) else { panic!("denied") };
    assert!(matches!(denial, Denial::InsufficientBandwidth { .. }));
    world.must(link_state("a-b", LinkState::Up));
    world.admitted("a", "b", 0, 500);
}

#[test]
fn a_better_class_whose_link_broke_may_make_others_yield() {
    let mut world =
        World::new(network(&[("a-b", 100), ("a-c", 100), ("c-b", 100)]), model(ModelKind::Rdm, [40, 35, 25]));
    let high = world.admitted("a", "b", 2, 25);
    let low = world.admitted("a", "c", 0, 90);
    let Event::LinkChanged { displaced, .. } = world.must(link_state("a-b", LinkState::Down)) else { panic!("link") };
    assert_eq!(fates(&displaced), [(high.0, None), (low.0, Some(EndCause::Preempted))]);
}

#[test]
fn maintenance_drains_what_it_can_and_names_what_it_cannot() {
    let mut world =
        World::new(network(&[("a-b", 1_000), ("a-c", 100), ("c-b", 100)]), model(ModelKind::Mam, [40, 35, 25]));
    let small = world.admitted("a", "b", 0, 30);
    let large = world.admitted("a", "b", 0, 300);
    let event = world.must(link_state("a-b", LinkState::Maintenance));
    let Event::LinkChanged { displaced, stranded, .. } = event else { panic!("link") };
    assert_eq!(fates(&displaced), [(small.0, None)]);
    assert_eq!(stranded, [large]);
    assert_eq!(world.path(large), ["a-b"]);
    assert!(matches!(world.ask("a", "b", 0, 20), Event::Denied { .. }));
}

#[test]
fn a_hard_change_of_model_ends_what_has_no_room_and_a_soft_one_nothing() {
    let start = || {
        let mut world = World::new(network(&[("a-b", 1_000)]), model(ModelKind::Atcs, [40, 35, 25]));
        let ids: Vec<_> = (0..6).map(|_| world.admitted("a", "b", 2, 100)).collect();
        (world, ids)
    };
    let (mut world, ids) = start();
    let event = world.must(set_model(model(ModelKind::Mam, [40, 35, 25]), ModelChange::Hard));
    let Event::ModelSet { displaced, .. } = event else { panic!("model") };
    let devolved = Some(EndCause::Devolved);
    let expected: Vec<_> = ids.iter().rev().take(4).map(|id| (id.0, devolved)).collect();
    assert_eq!(fates(&displaced), expected);
    assert_eq!(world.used("a-b"), [0, 0, 200]);

    let (mut world, _) = start();
    world.must(set_model(model(ModelKind::Mam, [40, 35, 25]), ModelChange::Soft));
    assert_eq!(world.used("a-b"), [0, 0, 600]);
    assert!(matches!(world.ask("a", "b", 2, 1), Event::Denied { .. }));
}

#[test]
fn a_new_revision_keeps_what_still_fits() {
    let mut world =
        World::new(network(&[("a-b", 1_000), ("a-c", 1_000), ("c-b", 1_000)]), model(ModelKind::Mam, [40, 35, 25]));
    let kept = world.admitted("a", "c", 0, 100);
    let moved = world.admitted("a", "b", 0, 100);
    let put = |misfits| Command::PutTopology {
        name: name("net"),
        topology: Arc::new(network(&[("c-b", 1_000), ("a-c", 1_000)])),
        expected: Expected::Any,
        misfits,
    };
    assert_eq!(world.run(put(OnMisfit::Refuse)), Err(Refusal::Misfits { misfits: vec![moved] }));
    let Event::TopologyPut { displaced, .. } = world.must(put(OnMisfit::Evict)) else { panic!("topology") };
    assert_eq!(fates(&displaced), [(moved.0, None)]);
    assert_eq!(world.path(kept), ["a-c"]);
    assert_eq!(world.path(moved), ["a-c", "c-b"]);
    assert_eq!(audit(&world.state), []);
}

#[test]
fn impossible_requests_are_refused_with_their_reason() {
    let te = |class, priority| TeClass {
        class_type: ClassType::new(class).unwrap(),
        priority: Priority::new(priority).unwrap(),
    };
    let te_classes = vec![te(0, 3), te(0, 2), te(1, 1), te(2, 0)];
    let by_priority = Model::new(ModelKind::Rdm, classes([40, 35, 25]), te_classes).unwrap();
    let mut world = World::new(network(&[("a-b", 1_000), ("c-d", 10)]), BandwidthModel::uniform(by_priority));
    let mut refused = |change: &dyn Fn(&mut Request)| {
        let mut request = request("a", "b", 0, 10);
        change(&mut request);
        world.run(Command::Allocate(Box::new(request))).unwrap_err()
    };
    assert!(matches!(refused(&|r| r.ingress = name("x")), Refusal::UnknownNode { field: "ingress", .. }));
    assert!(matches!(refused(&|r| r.egress = name("a")), Refusal::SameEnds(_)));
    assert!(matches!(refused(&|r| r.class_type = ClassType::new(5).unwrap()), Refusal::UnknownClassType { .. }));
    assert!(matches!(refused(&|r| r.setup_priority = Priority::new(5)), Refusal::UnknownTeClass { .. }));
    assert!(matches!(
        refused(&|r| (r.setup_priority, r.hold_priority) = (Priority::new(2), Priority::new(3))),
        Refusal::HoldWorseThanSetup { .. }
    ));
    assert!(matches!(refused(&|r| r.attributes.expires_at = Some(Millis(5))), Refusal::AlreadyExpired));
    assert!(matches!(refused(&|r| r.bandwidth = Bandwidth::ZERO), Refusal::NoBandwidth));
    assert!(matches!(refused(&|r| r.topology = Some(name("y"))), Refusal::UnknownTopology(_)));
    let unknown = |r: &mut Request| r.constraints.exclude = vec![NamedHop::Either(name("zz"))];
    assert!(matches!(refused(&unknown), Refusal::UnknownHop { field: "exclude", .. }));
    let Event::Denied { denial, .. } = world.ask("a", "d", 0, 1) else { panic!("denied") };
    assert_eq!(denial, Denial::NoPath(PathObstacle::Disconnected));
}

#[test]
fn constraints_reach_the_path_search() {
    let mut world = World::new(
        network(&[("a-b", 100), ("a-c", 100), ("c-b", 100), ("a-d", 100), ("d-c", 100)]),
        model(ModelKind::Mam, [40, 35, 25]),
    );
    let mut ask = |change: &dyn Fn(&mut NamedConstraints)| {
        let mut request = request("a", "b", 0, 1);
        change(&mut request.constraints);
        match world.must(Command::Allocate(Box::new(request))) {
            Event::Admitted { allocation, .. } => world.path(allocation.id).join(" "),
            Event::Denied { denial, .. } => format!("{denial:?}"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(&|c| c.exclude = vec![NamedHop::Link(name("a-b"))]), "a-c c-b");
    assert_eq!(ask(&|c| c.include = vec![NamedHop::Node(name("d"))]), "a-d d-c c-b");
    let loose = |hop| NamedRouteHop { hop: NamedHop::Either(name(hop)), looseness: HopKind::Loose };
    assert_eq!(ask(&|c| c.route = vec![loose("a"), loose("d-c")]), "a-d d-c c-b");
    assert_eq!(
        ask(&|c| {
            c.exclude = vec![NamedHop::Link(name("a-b"))];
            c.max_hops = Some(1);
        }),
        "NoPath(MaxHops { least: 2 })"
    );
    assert_eq!(ask(&|c| c.exclude_any = 1), "NoPath(AdminGroup)");
    assert_eq!(ask(&|c| c.max_delay = Some(Micros(5))), "NoPath(MaxDelay { least: Micros(10) })");
}

#[test]
fn congestion_spreads_load_that_the_te_metric_would_pile_up() {
    let mut world = World::new(network(&[("a-b", 100), ("a-b#2", 100)]), model(ModelKind::Mam, [40, 35, 25]));
    for _ in 0..4 {
        world.admitted("a", "b", 0, 10);
    }
    assert_eq!(world.used("a-b"), [20, 0, 0]);
    assert_eq!(world.used("a-b#2"), [20, 0, 0]);
}

#[test]
fn the_overload_threshold_refuses_expensive_detours() {
    let mut priced = model(ModelKind::Mam, [40, 35, 25]);
    priced.policy.refuse_above_percent = Some(150);
    let mut world = World::new(network(&[("a-b", 100), ("a-c", 100), ("c-b", 100)]), priced);
    world.admitted("a", "b", 0, 10);
    let Event::Admitted { .. } = world.ask("a", "b", 1, 1) else { panic!("still cheap") };
    for _ in 0..3 {
        world.ask("a", "b", 0, 10);
    }
    let Event::Denied { denial, .. } = world.ask("a", "b", 0, 10) else { panic!("too expensive") };
    assert!(matches!(denial, Denial::TooCongested { limit_percent: 150, .. }), "{denial:?}");
}

#[test]
fn what_is_due_expires_and_nothing_else() {
    let mut world = World::new(network(&[("a-b", 1_000)]), model(ModelKind::Mam, [40, 35, 25]));
    let mut with_deadline = request("a", "b", 0, 10);
    with_deadline.attributes.expires_at = Some(Millis(2_000));
    world.must(Command::Allocate(Box::new(with_deadline)));
    let stays = world.admitted("a", "b", 0, 10);
    assert_eq!(world.state.next_deadline(), Some(Millis(2_000)));
    world.now = 2_000;
    let Event::Expired { ids } = world.must(Command::Expire) else { panic!("expired") };
    assert_eq!(ids.len(), 1);
    assert_eq!(world.state.allocation_count(), 1);
    assert!(world.state.allocation(stays).is_some());
    assert_eq!(world.state.next_deadline(), None);
}

#[test]
fn an_event_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut world = World::new(network(&[("a-b", 1_000)]), model(ModelKind::Mam, [40, 35, 25]));
    world.admitted("a", "b", 0, 10);
    let before = world.state.clone();
    let next = Sequence(before.sequence().0 + 1);
    for (sequence, event) in [
        (Sequence(1), Event::Released { id: AllocationId(3) }),
        (next, Event::Released { id: AllocationId(99) }),
        (next, Event::Expired { ids: vec![AllocationId(3), AllocationId(3)] }),
        (next, Event::TopologyDeleted { name: name("other") }),
    ] {
        let recorded = Recorded { sequence, at: Millis(0), event };
        assert!(apply(&mut world.state, &recorded).is_err());
        assert_eq!(world.state, before);
    }
}
