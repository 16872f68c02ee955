//! What backup paths take beside working paths: of an allocation of equal bandwidth between each two nodes, in each direction,
//! the bandwidth booked for backup paths over that of the working paths, link by link. Each link is protected alone.
//! Dedicated backup paths, shared ones, and what a linear programme would need for the same working paths if it might split
//! backup paths and place all at once: its optimum lies between the two figures, of which the lower is certified by the dual
//! and the higher has a solution. `cargo bench --bench redundancy -- TOPOLOGY...`.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a bench prints and stops"
)]

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use kernel::allocation::{LspAttributes, Protection};
use kernel::bam::{ClassConfig, Model, ModelKind};
use kernel::class::ClassType;
use kernel::command::{Expected, ModelChange, NamedConstraints, OnMisfit, Request};
use kernel::id::{LinkIx, Name, NodeIx};
use kernel::path::{Disjointness, Metric, Workspace};
use kernel::policy::{BandwidthModel, Policy, RelocationPolicy};
use kernel::topology::Topology;
use kernel::units::{Bandwidth, Millis, Overbooking, Share};
use kernel::{Command, Event, Recorded, State, apply, decide};

const UNIT_BPS: u64 = 1_000;
const ROUNDS: u32 = 4_000;

fn main() {
    println!("backup over working bandwidth, one unit between each two nodes that two paths join, by hops");
    println!(
        "{:>28} {:>8} {:>10} {:>10} {:>16} {:>12}",
        "map", "demands", "dedicated", "shared", "programme", "its shared"
    );
    for file in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        let bytes = std::fs::read(&file).expect("a file that can be read");
        let topology = roomy(&formats::read(&bytes, &Default::default()).expect("a good file").topology);
        let (dedicated, _) = redundancy(&topology, false);
        let (shared, pairs) = redundancy(&topology, true);
        let working: Vec<Vec<LinkIx>> = pairs;
        let hops: usize = working.iter().map(Vec::len).sum();
        let (least, most) = programme(&topology, &working);
        let part = |load: f64| load / hops as f64 * 100.0;
        let name = file.rsplit('/').next().unwrap_or(&file);
        println!(
            "{name:>28} {:>8} {:>8.1} % {:>8.1} % {:>6.1}-{:.1} % {:>10.2} x",
            working.len(),
            dedicated * 100.0,
            shared * 100.0,
            part(least),
            part(most),
            shared * 100.0 / part(most),
        );
    }
}

/// The same map with room for all, and hops as metric.
fn roomy(topology: &Topology) -> Topology {
    let nodes = topology.nodes().map(|(_, node)| node.clone()).collect();
    let links = topology.links().map(|(_, link)| {
        let mut link = link.clone();
        link.capacity = Bandwidth::saturating_from_bps(1_000_000_000_000);
        link.max_reservable = link.capacity;
        link.srlg = vec![];
        link
    });
    Topology::new(nodes, links.collect()).expect("it was good before")
}

/// Backup over working bandwidth, and the working paths.
fn redundancy(topology: &Topology, is_shared: bool) -> (f64, Vec<Vec<LinkIx>>) {
    let (mut state, workspace) = (State::new(), &mut Workspace::default());
    let mut run = |state: &mut State, command: &Command| {
        let event = decide(state, command, Millis(0), workspace).unwrap_or_else(|refusal| panic!("{refusal}"));
        let recorded = Recorded { sequence: state.sequence().next(), at: Millis(0), event };
        apply(state, &recorded).expect("what was decided can be applied");
        recorded.event
    };
    let name = Name::new("bench").expect("a name");
    let (topology, misfits) = (Arc::new(topology.clone()), OnMisfit::Refuse);
    let put = Command::PutTopology {
        name: name.clone(),
        topology: Arc::clone(&topology),
        expected: Expected::Unsaid,
        misfits,
    };
    run(&mut state, &put);
    let class_type = ClassType::LOWEST;
    let (share, none) = (Share::WHOLE, Share::NONE);
    let class = ClassConfig { class_type, share, high_to_low: none, low_to_high: none, overbooking: Overbooking::NONE };
    let mut model = BandwidthModel::uniform(Model::new(ModelKind::Mam, vec![class], vec![]).expect("a model"));
    model.policy =
        Policy { path_metric: Metric::Hops, relocation: RelocationPolicy { max_moves: 0 }, ..Policy::default() };
    let (model, expected, switch) = (Arc::new(model), Expected::Any, ModelChange::Hard);
    run(&mut state, &Command::SetModel { topology: name, model, expected, switch });
    let names: Vec<Name> = topology.nodes().map(|(_, node)| node.name.clone()).collect();
    let disjointness = Disjointness::Link;
    let protection = Protection { disjointness, is_shared, is_revertive: false, is_best_effort: false };
    let (mut booked_working, mut paths) = (0_u64, vec![]);
    for ingress in &names {
        for egress in names.iter().filter(|egress| *egress != ingress) {
            let request = Request {
                topology: None,
                ingress: ingress.clone(),
                egress: egress.clone(),
                class_type,
                bandwidth: Bandwidth::saturating_from_bps(UNIT_BPS),
                setup_priority: None,
                hold_priority: None,
                constraints: NamedConstraints::default(),
                moves_max: None,
                hold_for: None,
                duration: None,
                attributes: LspAttributes { protection: Some(protection), ..LspAttributes::default() },
            };
            if let Event::Admitted { allocation, .. } = run(&mut state, &Command::Allocate(Box::new(request))) {
                booked_working += allocation.path.len() as u64 * UNIT_BPS;
                paths.push(allocation.path.to_vec());
            }
        }
    }
    let ledger = state.network("bench").expect("there is one").ledger();
    let booked: u64 = topology.links().map(|(link, _)| ledger.booked(link).iter().sum::<u64>()).sum();
    ((booked - booked_working) as f64 / booked_working as f64, paths)
}

/// What backup paths for these working paths need at least, in units: of each link the most that any one failure asks of it,
/// which is a game between who routes and who says which failure counts on which link. Its value lies between what the
/// answers to each mix of failures need, and what their mean needs.
fn programme(topology: &Topology, working: &[Vec<LinkIx>]) -> (f64, f64) {
    let fibre = |link: LinkIx| topology.link(link).and_then(|one| one.twin).map_or(link, |twin| twin.min(link));
    let broken_by: Vec<BTreeSet<LinkIx>> =
        working.iter().map(|path| path.iter().map(|link| fibre(*link)).collect()).collect();
    let failures: Vec<LinkIx> = broken_by.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let place: BTreeMap<LinkIx, usize> = failures.iter().enumerate().map(|(at, link)| (*link, at)).collect();
    let links = topology.link_count();
    let mut load = vec![vec![0.0_f64; failures.len()]; links];
    let mut weights = vec![vec![1.0 / failures.len() as f64; failures.len()]; links];
    let (mut least, mut most) = (0.0_f64, f64::MAX);
    for round in 1..=ROUNDS {
        let mut answer = 0.0;
        let mut now = vec![vec![0.0_f64; failures.len()]; links];
        for (path, broken) in working.iter().zip(&broken_by) {
            let ends =
                (topology.link(path[0]).expect("a link").from, topology.link(path[path.len() - 1]).expect("a link").to);
            let price = |link: LinkIx| -> f64 { broken.iter().map(|one| weights[link.0 as usize][place[one]]).sum() };
            let (cost, backup) = cheapest(topology, ends, |link| (!broken.contains(&fibre(link))).then(|| price(link)));
            answer += cost;
            for link in backup {
                broken.iter().for_each(|one| now[link.0 as usize][place[one]] += 1.0);
            }
        }
        least = least.max(answer);
        let step = 1.0 / f64::from(round);
        for (sum, own) in load.iter_mut().flatten().zip(now.iter().flatten()) {
            *sum += (own - *sum) * step;
        }
        let needed = |of: &[f64]| of.iter().copied().fold(0.0, f64::max);
        most = most.min(load.iter().map(|of| needed(of)).sum());
        // Failures that ask for more than the mean has count for more.
        for (of, weights) in load.iter().zip(&mut weights) {
            let top = needed(of);
            let sharpness = 0.5 * f64::from(round).sqrt() / top.max(1.0) * 4.0;
            let raised: Vec<f64> = of.iter().map(|own| ((own - top) * sharpness).exp()).collect();
            let sum: f64 = raised.iter().sum();
            weights.iter_mut().zip(raised).for_each(|(weight, raised)| *weight = raised / sum);
        }
        if most - least < 0.005 * most {
            break;
        }
    }
    (least, most)
}

/// The cheapest path by these prices; of equal ones the one of fewest hops.
fn cheapest(
    topology: &Topology,
    (from, to): (NodeIx, NodeIx),
    price: impl Fn(LinkIx) -> Option<f64>,
) -> (f64, Vec<LinkIx>) {
    #[derive(PartialEq)]
    struct Reached(f64, NodeIx);
    impl Eq for Reached {}
    impl Ord for Reached {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            other.0.total_cmp(&self.0).then_with(|| other.1.cmp(&self.1))
        }
    }
    impl PartialOrd for Reached {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    let mut leaving: BTreeMap<NodeIx, Vec<(LinkIx, NodeIx)>> = BTreeMap::new();
    topology.links().for_each(|(ix, link)| leaving.entry(link.from).or_default().push((ix, link.to)));
    let mut best: BTreeMap<NodeIx, (f64, Option<LinkIx>)> = BTreeMap::from([(from, (0.0, None))]);
    let mut queue = BinaryHeap::from([Reached(0.0, from)]);
    while let Some(Reached(cost, at)) = queue.pop() {
        if at == to {
            break;
        }
        if best[&at].0 < cost {
            continue;
        }
        for (link, next) in leaving.get(&at).into_iter().flatten() {
            let Some(price) = price(*link) else { continue };
            let sum = cost + price + 1e-9;
            if best.get(next).is_none_or(|(known, _)| sum < *known) {
                best.insert(*next, (sum, Some(*link)));
                queue.push(Reached(sum, *next));
            }
        }
    }
    let (mut path, mut at) = (vec![], to);
    while let Some((_, Some(link))) = best.get(&at) {
        path.push(*link);
        at = topology.link(*link).expect("a link").from;
    }
    (path.iter().filter_map(|link| price(*link)).sum(), path)
}
