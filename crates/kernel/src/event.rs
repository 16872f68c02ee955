//! All that can have happened. An event is one decision, whole: an admission carries its victims, so that no sequence
//! number ever stands between a reservation and the room that was made for it.

use std::sync::Arc;

use super::allocation::{Allocation, EndCause, Flow};
use super::bam::Cause;
use super::class::{ClassType, Priority};
use super::controller::Controller;
use super::id::{AllocationId, LinkIx, Name, NodeIx, Sequence};
use super::path::Constraints;
use super::policy::BandwidthModel;
use super::topology::{Link, Topology};
use super::units::{Bandwidth, Micros, Millis};

/// An event with its place and time.
#[derive(Clone, PartialEq, Debug)]
pub struct Recorded {
    /// Its place in the journal.
    pub sequence: Sequence,
    /// When it was decided.
    pub at: Millis,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A topology was uploaded, or a new revision of it.
    TopologyPut {
        /// Its name.
        name: Name,
        /// What it is now.
        topology: Arc<Topology>,
        /// Who had to leave their path; paths are in the new revision's numbers.
        displaced: Vec<Displaced>,
    },
    /// A topology was forgotten.
    TopologyDeleted {
        /// Which.
        name: Name,
    },
    /// Another bandwidth model is in force.
    ModelSet {
        /// For which topology.
        topology: Name,
        /// The model.
        model: Arc<BandwidthModel>,
        /// Who had to leave their path.
        displaced: Vec<Displaced>,
    },
    /// A link changed, and its twin with it where fate is shared.
    LinkChanged {
        /// Of which topology.
        topology: Name,
        /// The links as they are now.
        links: Vec<(LinkIx, Link)>,
        /// Who had to leave their path.
        displaced: Vec<Displaced>,
        /// Who should have left a link in maintenance but has nowhere to go.
        stranded: Vec<AllocationId>,
    },
    /// A request was admitted.
    Admitted {
        /// What it became.
        allocation: Arc<Allocation>,
        /// Who had to leave their path for it.
        displaced: Vec<Displaced>,
    },
    /// A request was refused for lack of a path or of bandwidth. Nothing changed.
    Denied {
        /// What was asked.
        demand: Box<Demand>,
        /// Why not.
        denial: Denial,
    },
    /// An allocation has another bandwidth, other constraints or another path.
    Resized {
        /// As it is now.
        allocation: Arc<Allocation>,
        /// Who had to leave their path for it.
        displaced: Vec<Displaced>,
    },
    /// An allocation was let go.
    Released {
        /// Which.
        id: AllocationId,
    },
    /// Allocations came to their time.
    Expired {
        /// Which, in order.
        ids: Vec<AllocationId>,
    },
    /// A topology's switches are reached through this controller.
    ControllerPut {
        /// As it is now.
        controller: Arc<Controller>,
    },
    /// A controller is let be.
    ControllerDeleted {
        /// Which.
        name: Name,
    },
}

/// Somebody who had to leave their path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Displaced {
    /// Who.
    pub id: AllocationId,
    /// What made them leave.
    pub cause: DisplacedBy,
    /// What became of them.
    pub fate: Fate,
}

/// What made an allocation leave its path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DisplacedBy {
    /// Another's demand, or another model.
    Yielding(Cause),
    /// A link that broke, is drained, shrank or is no longer there.
    Link,
}

/// What becomes of somebody who had to leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// They go another way.
    Rerouted(Arc<[LinkIx]>),
    /// They are over.
    Ended(EndCause),
}

/// A request with its names resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Demand {
    /// The allocation to be changed, if the request was for a change.
    pub of: Option<AllocationId>,
    /// In which topology.
    pub topology: Name,
    /// Where traffic enters.
    pub ingress: NodeIx,
    /// Where it leaves.
    pub egress: NodeIx,
    /// In which class.
    pub class_type: ClassType,
    /// Against whom it asks.
    pub setup_priority: Priority,
    /// Against whom it would hold.
    pub hold_priority: Priority,
    /// How much.
    pub bandwidth: Bandwidth,
    /// Who asks.
    pub aggregator: Option<Name>,
    /// When it would end by itself.
    pub expires_at: Option<Millis>,
    /// What the path must obey.
    pub constraints: Option<Box<Constraints>>,
    /// Which packets it is for.
    pub flow: Option<Box<Flow>>,
}

/// Why there is no path for a demand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denial {
    /// There are paths, but none has the bandwidth.
    InsufficientBandwidth {
        /// The links that lack it on the path that comes nearest.
        binding: Vec<Binding>,
        /// The most that would be admitted.
        largest_admissible: Bandwidth,
    },
    /// A constraint leaves no path, whatever the bandwidth.
    NoPath(PathObstacle),
    /// There is a path, but it costs more than the policy pays under overload.
    TooCongested {
        /// What it costs, in percent of an empty link for each hop of the fewest.
        cost_percent: u64,
        /// What the policy pays.
        limit_percent: u32,
    },
}

/// A link that lacks bandwidth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Which.
    pub link: LinkIx,
    /// What the class could have there.
    pub available: Bandwidth,
}

/// Which constraint leaves no path. Constraints are told in the order in which they are laid on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathObstacle {
    /// No links lead there at all.
    Disconnected,
    /// They do, but are down or in maintenance.
    LinksDown,
    /// What is excluded cuts it off.
    Excluded,
    /// The administrative groups cut it off.
    AdminGroup,
    /// What is to be included, or the explicit route, cannot be met.
    Route,
    /// It takes more links.
    MaxHops {
        /// The least it takes.
        least: u32,
    },
    /// It takes longer.
    MaxDelay {
        /// The least it takes.
        least: Micros,
    },
    /// The search was given up.
    SearchLimit,
}
