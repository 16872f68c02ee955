//! Decisions on small networks, and what must hold after any of them.

mod bidirectional;
mod calendar;
mod calendar_oracle;
mod changes;
mod headroom;
mod lost_switches;
mod maintenance;
mod notice;
mod protection;
mod relocation;
mod reroute;
mod restoration;
mod victims;

use std::sync::Arc;

use crate::allocation::LspAttributes;
use crate::audit::audit;
use crate::bam::{ClassConfig, Model, ModelKind};
use crate::class::ClassType;
use crate::command::{
    AllocationChange, Command, Expected, LinkChange, ModelChange, NamedConstraints, OnMisfit, Request,
};
use crate::event::{Displaced, Event, Fate, Recorded};
use crate::id::{AllocationId, Name, NodeIx};
use crate::path::Workspace;
use crate::policy::BandwidthModel;
use crate::refusal::Refusal;
use crate::state::State;
use crate::topology::{CapacitySource, Link, LinkState, Node, Topology};
use crate::units::{Bandwidth, Micros, Millis, Overbooking, Share};
use crate::{apply, decide};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// `("a-b", 100)` is a link of that name from a to b of 100 bit/s; what follows a `#` tells parallel links apart.
fn topology(links: &[(&str, u64)]) -> Topology {
    let mut nodes: Vec<Node> = vec![];
    let mut at = |text: &str| {
        let place = nodes.iter().position(|node| node.name.as_str() == text).unwrap_or_else(|| {
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

fn model(kind: ModelKind, percents: &[u32]) -> BandwidthModel {
    let class = |(number, percent): (u8, &u32)| ClassConfig {
        class_type: ClassType::new(number).unwrap(),
        share: Share::from_ppm(percent * 10_000).unwrap(),
        high_to_low: Share::from_ppm(500_000).unwrap(),
        low_to_high: Share::from_ppm(250_000).unwrap(),
        overbooking: Overbooking::NONE,
    };
    let classes = (0..).zip(percents).map(class).collect();
    BandwidthModel::uniform(Model::new(kind, classes, vec![]).unwrap())
}

fn resize(id: AllocationId, bps: u64) -> Command {
    Command::resize(id, Bandwidth::from_bps(bps).unwrap())
}

fn change(id: AllocationId, change: AllocationChange) -> Command {
    Command::Change { id, change: Box::new(change) }
}

fn request(from: &str, to: &str, class: u8, bandwidth: u64) -> Request {
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

struct World {
    state: State,
    workspace: Workspace,
}

impl World {
    fn new(links: &[(&str, u64)], model: BandwidthModel) -> Self {
        let mut world = Self { state: State::new(), workspace: Workspace::default() };
        world.must(put(topology(links)));
        world.must(Command::SetModel {
            topology: name("net"),
            model: Arc::new(model),
            expected: Expected::Any,
            switch: ModelChange::Hard,
        });
        world
    }

    fn decide(&mut self, command: &Command) -> Result<Event, Refusal> {
        decide(&self.state, command, Millis(0), &mut self.workspace)
    }

    fn must(&mut self, command: Command) -> Event {
        let event = self.decide(&command).unwrap();
        let recorded = Recorded { sequence: self.state.sequence().next(), at: Millis(0), event };
        apply(&mut self.state, &recorded).unwrap();
        assert_eq!(audit(&self.state), []);
        recorded.event
    }

    fn ask(&mut self, request: Request) -> Event {
        self.must(Command::Allocate(Box::new(request)))
    }

    fn admit(&mut self, request: Request) -> (AllocationId, Vec<Displaced>) {
        match self.ask(request) {
            Event::Admitted { allocation, displaced } => (allocation.id, displaced),
            other => panic!("{other:?}"),
        }
    }

    fn is_admissible(&mut self, request: Request) -> bool {
        matches!(self.decide(&Command::Allocate(Box::new(request))), Ok(Event::Admitted { .. }))
    }

    fn change(&mut self, link: &str, change: LinkChange) -> (Vec<Displaced>, Vec<AllocationId>) {
        match self.must(Command::ChangeLink { topology: name("net"), link: name(link), change }) {
            Event::LinkChanged { displaced, stranded, .. } => (displaced, stranded),
            other => panic!("{other:?}"),
        }
    }

    fn path(&self, id: AllocationId) -> Vec<String> {
        let network = self.state.network("net").unwrap();
        let path = &self.state.allocation(id).unwrap().path;
        path.iter().map(|link| network.topology().link(*link).unwrap().name.to_string()).collect()
    }
}

fn put(topology: Topology) -> Command {
    Command::PutTopology {
        name: name("net"),
        topology: Arc::new(topology),
        expected: Expected::Unsaid,
        misfits: OnMisfit::Evict,
    }
}

fn down() -> LinkChange {
    LinkChange { state: Some(LinkState::Down), ..LinkChange::default() }
}

fn is_ended(displaced: &Displaced) -> bool {
    matches!(displaced.fate, Fate::Ended(_))
}
