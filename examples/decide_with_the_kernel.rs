//! Decides with the kernel alone: no server, no journal, no clock. Two requests compete for one link; the second is of a
//! higher class and preempts the first, which has no other path.
//!
//!     cargo run --example decide_with_the_kernel

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;

use kernel::allocation::LspAttributes;
use kernel::class::ClassType;
use kernel::command::{Expected, NamedConstraints, OnMisfit, Request};
use kernel::id::{Name, NodeIx};
use kernel::path::Workspace;
use kernel::topology::{CapacitySource, Link, LinkState, Node, Topology};
use kernel::units::{Bandwidth, Micros, Millis};
use kernel::{Command, Event, Recorded, State, apply, decide};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut state, mut workspace) = (State::new(), Workspace::default());
    let commands = [put_topology()?, request(0, 900)?, request(2, 400)?, request(0, 700)?];
    for (second, command) in (0..).zip(&commands) {
        let now = Millis(second * 1_000);
        let event = decide(&state, command, now, &mut workspace)?;
        match &event {
            Event::Admitted { allocation, displaced } => {
                let (class_type, bandwidth) = (allocation.demand.class_type, allocation.demand.bandwidth);
                println!("admitted {}: {class_type}, {bandwidth}; displaced {displaced:?}", allocation.id);
            }
            Event::Denied { denial, .. } => println!("denied: {denial:?}"),
            Event::TopologyPut { name, .. } => println!("topology '{name}' put"),
            other => println!("{other:?}"),
        }
        // The event is what a journal would keep; applied in order, events give the same state anywhere.
        let sequence = state.sequence().next();
        apply(&mut state, &Recorded { sequence, at: now, event })?;
    }
    println!("{} allocation lives, as of event {}", state.allocation_count(), state.sequence().0);
    Ok(())
}

/// Two nodes and a link of 1 Gbit/s, under the model of a topology for which none was set (ATCS).
fn put_topology() -> Result<Command, Box<dyn Error>> {
    let node = |name| Name::new(name).map(|name| Node { name, label: None, position: None, switch: None });
    let gigabit = Bandwidth::saturating_from_bps(1_000_000_000);
    let link = Link {
        name: Name::new("a-b")?,
        from: NodeIx(0),
        to: NodeIx(1),
        capacity: gigabit,
        max_reservable: gigabit,
        te_metric: 1,
        delay: Micros(500),
        srlg: vec![],
        admin_group: 0,
        state: LinkState::Up,
        from_port: None,
        to_port: None,
        twin: None,
        capacity_from: CapacitySource::Given,
        is_avoided: false,
    };
    Ok(Command::PutTopology {
        name: Name::new("net")?,
        topology: Arc::new(Topology::new(vec![node("a")?, node("b")?], vec![link])?),
        expected: Expected::Unsaid,
        misfits: OnMisfit::Refuse,
    })
}

fn request(class_type: u8, mbps: u64) -> Result<Command, Box<dyn Error>> {
    Ok(Command::Allocate(Box::new(Request {
        topology: None,
        ingress: Name::new("a")?,
        egress: Name::new("b")?,
        class_type: ClassType::new(class_type).ok_or("class types run from 0 to 7")?,
        bandwidth: Bandwidth::saturating_from_bps(mbps * 1_000_000),
        setup_priority: None,
        hold_priority: None,
        constraints: NamedConstraints::default(),
        moves_max: None,
        hold_for: None,
        duration: None,
        attributes: LspAttributes::default(),
    })))
}
