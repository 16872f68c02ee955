//! An event with the names behind its numbers. Nodes and links are numbers in an [`Event`], and a later revision of the
//! topology gives the same numbers to other nodes; a [`Fact`] stays readable whatever the topology has become since.

use std::net::IpAddr;
use std::sync::Arc;

use super::event::{Event, Recorded};
use super::id::{LinkIx, Name, NodeIx, Sequence};
use super::state::State;
use super::topology::Topology;
use super::units::Millis;

/// A recorded event with the names of the nodes and links that it numbers.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Its place in the journal.
    pub sequence: Sequence,
    /// When it was decided.
    pub at: Millis,
    /// What happened.
    pub event: Event,
    /// The names in the topology that was in force then; empty for events that number nothing.
    pub names: Names,
    /// Who had it decided; `None` for what happens by itself, and where nobody is asked who they are.
    pub actor: Option<Arc<Actor>>,
}

/// Who had a command decided, as the door knows them. For the audit log: no decision looks at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// What they are called.
    pub name: Name,
    /// From where they came.
    pub address: Option<IpAddr>,
    /// The id of the token that they showed, if it has one.
    pub token: Option<Name>,
}

/// The names behind the numbers of nodes and links.
#[derive(Clone, Debug)]
pub struct Names(Source);

#[derive(Clone, Debug)]
enum Source {
    Topology(Arc<Topology>),
    Listed { nodes: Arc<[Name]>, links: Arc<[Name]> },
}

impl Fact {
    /// An event that was just applied to `state`.
    pub fn of(recorded: Recorded, state: &State) -> Self {
        let Recorded { sequence, at, event } = recorded;
        let names = match &event {
            Event::TopologyPut { topology, .. } => Names::of(topology),
            event => {
                let network = numbered_topology(event).and_then(|name| state.network(name.as_str()));
                network.map_or_else(Names::none, |network| Names::of(network.topology()))
            }
        };
        Self { sequence, at, event, names, actor: None }
    }

    /// The same, with who had it decided.
    #[must_use]
    pub fn by(self, actor: Option<Arc<Actor>>) -> Self {
        Self { actor, ..self }
    }

    /// The topology that the event is about; none if it names allocations or a controller alone.
    pub fn topology(&self) -> Option<&Name> {
        match &self.event {
            Event::TopologyDeleted { name }
            | Event::MaintenanceEnded { topology: name, .. }
            | Event::PreemptionForeseen { topology: name, .. } => Some(name),
            Event::ControllerPut { controller } => Some(&controller.topology),
            event => numbered_topology(event),
        }
    }
}

/// The topology whose numbers an event has.
fn numbered_topology(event: &Event) -> Option<&Name> {
    match event {
        Event::TopologyPut { name, .. } => Some(name),
        Event::ModelSet { topology, .. }
        | Event::LinkChanged { topology, .. }
        | Event::MaintenancePlanned { topology, .. } => Some(topology),
        Event::Admitted { allocation, .. }
        | Event::Resized { allocation, .. }
        | Event::Started { allocation, .. }
        | Event::Recovered { allocation } => Some(&allocation.demand.topology),
        Event::Denied { demand, .. } | Event::StartFailed { demand, .. } => Some(&demand.topology),
        Event::TopologyDeleted { .. }
        | Event::MaintenanceEnded { .. }
        | Event::PreemptionForeseen { .. }
        | Event::Released { .. }
        | Event::Expired { .. }
        | Event::ControllerPut { .. }
        | Event::ControllerLed { .. }
        | Event::SchedulerLed { .. }
        | Event::ControllerDeleted { .. }
        | Event::TenantPut { .. }
        | Event::TenantDeleted { .. } => None,
    }
}

impl Names {
    /// Those of a topology.
    pub fn of(topology: &Arc<Topology>) -> Self {
        Self(Source::Topology(Arc::clone(topology)))
    }

    /// Those of lists: number `n` is the `n`th name.
    pub fn listed(nodes: impl IntoIterator<Item = Name>, links: impl IntoIterator<Item = Name>) -> Self {
        Self(Source::Listed { nodes: nodes.into_iter().collect(), links: links.into_iter().collect() })
    }

    /// No names.
    pub fn none() -> Self {
        Self::listed([], [])
    }

    /// The name of a node; none if the number is of another topology.
    pub fn node(&self, node: NodeIx) -> Option<&Name> {
        match &self.0 {
            Source::Topology(topology) => topology.node(node).map(|node| &node.name),
            Source::Listed { nodes, .. } => usize::try_from(node.0).ok().and_then(|at| nodes.get(at)),
        }
    }

    /// The name of a link; none if the number is of another topology.
    pub fn link(&self, link: LinkIx) -> Option<&Name> {
        match &self.0 {
            Source::Topology(topology) => topology.link(link).map(|link| &link.name),
            Source::Listed { links, .. } => usize::try_from(link.0).ok().and_then(|at| links.get(at)),
        }
    }

    /// The names of the links of a path.
    pub fn path<'a>(&'a self, path: &'a [LinkIx]) -> impl Iterator<Item = &'a Name> {
        path.iter().filter_map(|link| self.link(*link))
    }
}
