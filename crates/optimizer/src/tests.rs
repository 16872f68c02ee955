//! Studies and plans on rings with chords, against what the kernel does with a copy of the state.

mod failure_study;
mod optimization;

use std::sync::Arc;

use kernel::allocation::{Allocation, LspAttributes};
use kernel::class::ClassType;
use kernel::command::{Expected, NamedConstraints, OnMisfit, Request};
use kernel::id::{LinkIx, Name, NodeIx};
use kernel::path::Workspace;
use kernel::topology::{CapacitySource, Link, LinkState, Node, Topology};
use kernel::units::{Bandwidth, Micros, Millis};
use kernel::{Command, Event, Recorded, State, apply, decide};
use proptest::prelude::*;

fn named(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn run(state: &mut State, command: &Command) -> Event {
    let event = decide(state, command, Millis(0), &mut Workspace::default()).unwrap();
    let recorded = Recorded { sequence: state.sequence().next(), at: Millis(0), event };
    apply(state, &recorded).unwrap();
    recorded.event
}

/// A ring of `nodes` with chords, every fibre of 1,000 bit/s and in a risk group with every third.
fn network(nodes: u32, chords: &[(u32, u32)]) -> State {
    let ring = (0..nodes).map(|node| (node, (node + 1) % nodes));
    let all = ring.chain(chords.iter().map(|(a, b)| (a % nodes, b % nodes)).filter(|(a, b)| a != b));
    let mut links = vec![];
    for (fibre, (a, b)) in (0_u32..).zip(all) {
        for (from, to, twin) in [(a, b, 2 * fibre + 1), (b, a, 2 * fibre)] {
            links.push(Link {
                name: named(&format!("l{fibre}-{from}-{to}")),
                from: NodeIx(from),
                to: NodeIx(to),
                capacity: Bandwidth::saturating_from_bps(1_000),
                max_reservable: Bandwidth::saturating_from_bps(1_000),
                te_metric: 1 + fibre % 3,
                delay: Micros(10),
                srlg: vec![fibre % 3],
                admin_group: 0,
                state: LinkState::Up,
                from_port: None,
                to_port: None,
                twin: Some(LinkIx(twin)),
                capacity_from: CapacitySource::Given,
                is_avoided: false,
            });
        }
    }
    let node = |ix| Node { name: named(&format!("n{ix}")), label: None, position: None, switch: None };
    let topology = Topology::new((0..nodes).map(node).collect(), links).unwrap();
    let mut state = State::new();
    let topology = Arc::new(topology);
    let put =
        Command::PutTopology { name: named("net"), topology, expected: Expected::Unsaid, misfits: OnMisfit::Refuse };
    run(&mut state, &put);
    state
}

fn request(ingress: u32, egress: u32, class: u8, bps: u64) -> Command {
    Command::Allocate(Box::new(Request {
        topology: None,
        ingress: named(&format!("n{ingress}")),
        egress: named(&format!("n{egress}")),
        class_type: ClassType::new(class).unwrap(),
        bandwidth: Bandwidth::saturating_from_bps(bps),
        setup_priority: None,
        hold_priority: None,
        hold_for: None,
        duration: None,
        moves_max: None,
        constraints: NamedConstraints::default(),
        attributes: LspAttributes::default(),
    }))
}

fn all(state: &State) -> Vec<Arc<Allocation>> {
    state.allocations_after(None).cloned().collect()
}

fn utilisation_ppm(state: &State, link: LinkIx) -> u64 {
    state.network("net").unwrap().ledger().booked(link).iter().sum::<u64>() * 1_000
}
