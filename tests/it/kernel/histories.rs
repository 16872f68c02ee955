//! Random histories: they obey the invariants at every step, and replay to the same state.

use std::collections::BTreeSet;
use std::sync::Arc;

use kernel::allocation::Protection;
use kernel::audit::audit;
use kernel::bam::{Model, ModelKind, VictimOrder};
use kernel::class::{ClassType, Priority, TeClass};
use kernel::command::{Expected, LinkChange, ModelChange, OnMisfit};
use kernel::id::{AllocationId, LinkIx, Sequence};
use kernel::intent::Numbering;
use kernel::path::{Disjointness, Metric, Workspace};
use kernel::policy::BandwidthModel;
use kernel::topology::LinkState;
use kernel::units::{Bandwidth, Millis};
use kernel::{Command, Recorded, State, apply, decide};
use proptest::prelude::*;

use super::{World, classes, model, name, network, request, resize, set_model};

#[derive(Clone, Debug)]
enum Step {
    Ask { from: usize, to: usize, class: u8, bandwidth: u64, metric: u8, hops: u8 },
    Resize { which: usize, bandwidth: u64 },
    Release { which: usize },
    Link { which: usize, state: u8, capacity: u64 },
    Model { kind: u8, te: bool },
    Topology { without: usize },
    Expire,
    Recover { which: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ask = (0..5_usize, 0..5_usize, 0..3_u8, 1..400_u64, 0..5_u8, 0..8_u8)
        .prop_map(|(from, to, class, bandwidth, metric, hops)| Step::Ask { from, to, class, bandwidth, metric, hops });
    prop::collection::vec(
        prop_oneof![
            14 => ask,
            3 => (any::<usize>(), 1..600_u64).prop_map(|(which, bandwidth)| Step::Resize { which, bandwidth }),
            4 => any::<usize>().prop_map(|which| Step::Release { which }),
            2 => (any::<usize>(), 0..3_u8, 1..1_500_u64).prop_map(|(which, state, capacity)| Step::Link { which, state, capacity }),
            1 => (0..4_u8, any::<bool>()).prop_map(|(kind, te)| Step::Model { kind, te }),
            1 => any::<usize>().prop_map(|without| Step::Topology { without }),
            1 => Just(Step::Expire),
            3 => any::<usize>().prop_map(|which| Step::Recover { which }),
        ],
        1..80,
    )
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

fn command(world: &World, step: &Step, at: u64) -> Command {
    let topology = world.state.network("net").unwrap().topology();
    let living = |which: usize| {
        let count = world.state.allocation_count().max(1);
        world.state.allocations_after(None).nth(which % count).map_or(AllocationId(0), |lsp| lsp.id)
    };
    match *step {
        Step::Ask { from, to, class, bandwidth, metric, hops } => {
            let mut request = request(NODES[from], NODES[to], class, bandwidth);
            request.constraints.metric = Some(
                [Metric::Congestion, Metric::Te, Metric::Hops, Metric::Delay, Metric::CongestionTe]
                    [usize::from(metric)],
            );
            request.constraints.max_hops = (hops > 4).then(|| u32::from(hops) - 3);
            request.attributes.expires_at = (hops == 1).then(|| Millis(at + 10));
            request.attributes.flow = (bandwidth % 3 > 0).then(Box::default);
            let disjointness = [Disjointness::Link, Disjointness::Srlg, Disjointness::Node][usize::from(hops) % 3];
            let (is_revertive, is_best_effort) = (hops % 2 == 0, bandwidth % 2 == 0);
            let is_shared = bandwidth % 7 < 3;
            let protection = Protection { disjointness, is_shared, is_revertive, is_best_effort };
            request.attributes.protection = (bandwidth % 5 < 2).then_some(protection);
            Command::Allocate(Box::new(request))
        }
        Step::Resize { which, bandwidth } => resize(living(which), bandwidth),
        Step::Release { which } => Command::Release { id: living(which) },
        Step::Link { which, state, capacity } => {
            let (_, link) = topology.links().nth(which % topology.link_count()).unwrap();
            let change = LinkChange {
                state: Some([LinkState::Up, LinkState::Down, LinkState::Maintenance][usize::from(state)]),
                capacity: Bandwidth::from_bps(capacity),
                ..LinkChange::default()
            };
            Command::ChangeLink { topology: name("net"), link: link.name.clone(), change }
        }
        Step::Model { kind, te } => {
            let kind = [ModelKind::Mam, ModelKind::Rdm, ModelKind::Gbam, ModelKind::Atcs][usize::from(kind)];
            let te_class = |class: u8| TeClass {
                class_type: ClassType::new(class).unwrap(),
                priority: Priority::new(7 - class).unwrap(),
            };
            let te_classes = if te { (0..3).map(te_class).collect() } else { vec![] };
            let model = Model::new(kind, classes([40, 35, 25]), te_classes).unwrap();
            let mut model = BandwidthModel::uniform(model);
            model.policy.victim_order = if te { VictimOrder::LowestFirst } else { VictimOrder::HighestFirst };
            set_model(model, ModelChange::Hard)
        }
        Step::Topology { without } => {
            let mut links = LINKS.to_vec();
            links.remove(without % LINKS.len());
            Command::PutTopology {
                name: name("net"),
                topology: Arc::new(network(&links)),
                expected: Expected::Any,
                misfits: OnMisfit::Evict,
            }
        }
        Step::Expire => Command::Expire,
        Step::Recover { which } => {
            let recovering: Vec<_> = world.state.recovering_after(None).collect();
            let id = recovering.get(which % recovering.len().max(1)).copied().unwrap_or(living(which));
            Command::Recover { id, may_return: which % 4 > 0 }
        }
    }
}

/// No two living allocations share a label or a meter, and one with another path has another label and the same meter.
fn check_numbers(state: &State, before: Option<&State>) -> Result<(), TestCaseError> {
    let ours = Numbering::DEFAULT;
    let (mut labels, mut meters) = (BTreeSet::new(), BTreeSet::new());
    for allocation in state.allocations_after(None).filter(|lsp| lsp.demand.attributes.flow.is_some()) {
        let topology = &allocation.demand.topology;
        let number = state.flow_number(allocation.id).unwrap();
        prop_assert!(labels.insert((topology, ours.label(number))) && meters.insert((topology, ours.meter(number))));
        let old = before
            .and_then(|before| Some((before.allocation(allocation.id)?, before.flow_number(allocation.id)?, before)));
        let Some((old, old_number, before)) = old else { continue };
        let links = |state: &State, path: &[LinkIx]| {
            let topology = state.network("net").unwrap().topology();
            path.iter().map(|link| topology.link(*link).unwrap().name.clone()).collect::<Vec<_>>()
        };
        let is_moved = links(before, &old.path) != links(state, &allocation.path);
        prop_assert!(!is_moved || ours.label(number) != ours.label(old_number), "{old:?} {allocation:?}");
        prop_assert_eq!(ours.meter(number), ours.meter(old_number));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_histories_obey_the_invariants(steps in steps()) {
        let mut world = World::new(network(&LINKS), model(ModelKind::Atcs, [40, 35, 25]));
        let mut versions = vec![];
        for (step, at) in steps.iter().zip(1_000..) {
            world.now = at;
            let command = command(&world, step, at);
            // A dry run of the same decision, in a version that is dropped.
            if let Ok(event) = decide(&world.state, &command, Millis(at), &mut Workspace::default()) {
                let sequence = Sequence(world.state.sequence().0 + 1);
                let recorded = Recorded { sequence, at: Millis(at), event };
                apply(&mut world.state.clone(), &recorded).unwrap();
                prop_assert_eq!(&world.run(command).unwrap(), &recorded.event);
            }
            prop_assert_eq!(audit(&world.state), vec![]);
            check_numbers(&world.state, versions.last())?;
            versions.push(world.state.clone());
        }
        // Each version is still what its part of the history says.
        let mut replayed = State::new();
        for recorded in &world.history {
            apply(&mut replayed, recorded).unwrap();
            for version in versions.iter().filter(|version| version.sequence() == replayed.sequence()) {
                prop_assert_eq!(&replayed, version);
            }
        }
        prop_assert_eq!(&replayed, &world.state);
        // Releasing everything returns every book to zero.
        for id in world.state.allocations_after(None).map(|lsp| lsp.id).collect::<Vec<_>>() {
            world.must(Command::Release { id });
        }
        let network = world.state.network("net").unwrap();
        for (link, _) in network.topology().links() {
            prop_assert_eq!(network.ledger().booked(link), [0; 8]);
            prop_assert_eq!(network.ledger().count_on(link), 0);
        }
    }
}
