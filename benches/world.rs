//! A kernel under load: a generated network with a population of allocations at a chosen load, which benches then churn.

use std::sync::Arc;

use kernel::allocation::LspAttributes;
use kernel::bam::{ClassConfig, Model, ModelKind};
use kernel::class::ClassType;
use kernel::command::{Expected, ModelChange, NamedConstraints, OnMisfit, Request};
use kernel::id::{AllocationId, Name};
use kernel::path::{Metric, Workspace};
use kernel::policy::{BandwidthModel, Policy};
use kernel::topology::Topology;
use kernel::units::{Bandwidth, Millis, Overbooking, Share};
use kernel::{Command, Event, Recorded, Refusal, State, apply, decide};

use crate::networks::Draw;

/// A state, and what it takes to change it.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) living: Vec<AllocationId>,
    pub(crate) workspace: Workspace,
    draw: Draw,
    nodes: u64,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Admitted,
    Denied,
}

impl World {
    /// An empty network under ATCS with the three QoS levels.
    pub(crate) fn new(topology: Topology, metric: Metric, seed: u64) -> Self {
        let nodes = topology.node_count() as u64;
        let mut world =
            Self { state: State::new(), living: vec![], workspace: Workspace::default(), draw: Draw::new(seed), nodes };
        let name = named("bench");
        world.run(&Command::PutTopology {
            name: name.clone(),
            topology: Arc::new(topology),
            expected: Expected::Unsaid,
            misfits: OnMisfit::Refuse,
        });
        let mut model = BandwidthModel::uniform(atcs());
        model.policy = Policy { path_metric: metric, ..Policy::default() };
        let (expected, switch) = (Expected::Any, ModelChange::Hard);
        world.run(&Command::SetModel { topology: name, model: Arc::new(model), expected, switch });
        world
    }

    /// A request between two random nodes, in a random class, of half to one and a half times `mean_bps`.
    pub(crate) fn request(&mut self, mean_bps: u64) -> Command {
        let ingress = self.draw.below(self.nodes);
        let egress = (ingress + 1 + self.draw.below(self.nodes - 1)) % self.nodes;
        let class = u8::try_from(self.draw.below(3)).unwrap_or(0);
        let bandwidth = mean_bps / 2 + self.draw.below(mean_bps.max(1)) + 1;
        Command::Allocate(Box::new(Request {
            topology: None,
            ingress: named(&format!("n{ingress}")),
            egress: named(&format!("n{egress}")),
            class_type: ClassType::new(class).expect("three classes"),
            bandwidth: Bandwidth::saturating_from_bps(bandwidth),
            setup_priority: None,
            hold_priority: None,
            constraints: NamedConstraints::default(),
            moves_max: None,
            hold_for: None,
            duration: None,
            attributes: LspAttributes::default(),
        }))
    }

    /// Somebody living, at random, who then is no longer in `living`.
    pub(crate) fn somebody(&mut self) -> Option<Command> {
        while !self.living.is_empty() {
            let at = usize::try_from(self.draw.below(self.living.len() as u64)).unwrap_or(0);
            let id = self.living.swap_remove(at);
            // Preempted allocations are still in the list.
            if self.state.allocation(id).is_some() {
                return Some(Command::Release { id });
            }
        }
        None
    }

    /// Decides and applies.
    pub(crate) fn run(&mut self, command: &Command) -> Seen {
        let event = decide(&self.state, command, Millis(0), &mut self.workspace);
        let event = event.unwrap_or_else(|refusal: Refusal| panic!("the bench asks only what may be asked: {refusal}"));
        let recorded = Recorded { sequence: self.state.sequence().next(), at: Millis(0), event };
        apply(&mut self.state, &recorded).expect("what was decided can be applied");
        match recorded.event {
            Event::Denied { .. } => Seen::Denied,
            Event::Admitted { allocation, .. } => {
                self.living.push(allocation.id);
                Seen::Admitted
            }
            _ => Seen::Admitted,
        }
    }

    /// Asks until `count` live, or until so few are admitted that it will not come to that.
    pub(crate) fn populate(&mut self, count: usize, mean_bps: u64) {
        for _ in 0..3 * count {
            if self.state.allocation_count() >= count {
                return;
            }
            let request = self.request(mean_bps);
            self.run(&request);
        }
    }

    /// The mean over links of booked over reservable bandwidth.
    pub(crate) fn utilisation(&self) -> f64 {
        let network = self.state.network("bench").expect("there is one network");
        let part = |(ix, link): (_, &kernel::topology::Link)| {
            let booked: u64 = network.ledger().booked(ix).iter().sum();
            booked as f64 / link.max_reservable.as_bps() as f64
        };
        let links = network.topology().link_count() as f64;
        network.topology().links().map(part).sum::<f64>() / links
    }
}

/// The population at which one request in ten is denied, for requests of `mean_bps`: a full network.
pub(crate) fn full_population(topology: &Topology, metric: Metric, mean_bps: u64) -> usize {
    let mut world = World::new(topology.clone(), metric, 99);
    loop {
        let mut denied = 0;
        for _ in 0..500 {
            let request = world.request(mean_bps);
            denied += usize::from(world.run(&request) == Seen::Denied);
        }
        if denied >= 50 {
            return world.state.allocation_count();
        }
    }
}

fn atcs() -> Model {
    let class = |(number, percent): (u8, u32)| ClassConfig {
        class_type: ClassType::new(number).expect("three classes"),
        share: Share::from_ppm(percent * 10_000).expect("a share"),
        high_to_low: Share::WHOLE,
        low_to_high: Share::WHOLE,
        overbooking: Overbooking::NONE,
    };
    Model::new(ModelKind::Atcs, [(0, 25), (1, 35), (2, 40)].map(class).to_vec(), vec![]).expect("a good model")
}

fn named(text: &str) -> Name {
    Name::new(text).expect("a short name")
}
