//! All that can be asked of the kernel. One closed set: whatever can trigger work stands here. Commands speak in names;
//! what they refer to is resolved when they are decided.

use std::sync::Arc;

use super::allocation::Flow;
use super::class::{ClassType, Priority};
use super::controller::{ControllerAddress, DriverKind};
use super::id::{AllocationId, Name, Sequence};
use super::path::Metric;
use super::policy::BandwidthModel;
use super::topology::{LinkState, Topology};
use super::units::{Bandwidth, Micros};

/// Something to be decided.
#[derive(Clone, Debug)]
pub enum Command {
    /// Upload a topology, or a new revision of one.
    PutTopology {
        /// Its name.
        name: Name,
        /// What it is.
        topology: Arc<Topology>,
        /// The revision that the sender knows; a change needs it.
        expected: Expected,
        /// What becomes of allocations that do not fit the new revision.
        misfits: OnMisfit,
    },
    /// Forget a topology that carries nothing.
    DeleteTopology {
        /// Which.
        name: Name,
        /// The revision that the sender knows.
        expected: Expected,
    },
    /// Put another bandwidth model in force.
    SetModel {
        /// For which topology.
        topology: Name,
        /// The model.
        model: Arc<BandwidthModel>,
        /// The revision of the model that the sender knows; a change needs it.
        expected: Expected,
        /// What becomes of allocations that the new model has no room for.
        switch: ModelChange,
    },
    /// Change a link.
    ChangeLink {
        /// Of which topology.
        topology: Name,
        /// Which link.
        link: Name,
        /// What about it.
        change: LinkChange,
    },
    /// A bandwidth request.
    Allocate(Box<Request>),
    /// Another bandwidth or other constraints for an allocation, make-before-break.
    Resize {
        /// Which.
        id: AllocationId,
        /// The new bandwidth; absent: as it is.
        bandwidth: Option<Bandwidth>,
        /// The new constraints; absent: as they are.
        constraints: Option<Box<NamedConstraints>>,
    },
    /// Let an allocation go.
    Release {
        /// Which.
        id: AllocationId,
    },
    /// End what is due.
    Expire,
    /// Reach a topology's switches through a controller.
    PutController {
        /// What we call it.
        name: Name,
        /// Which dialect it speaks.
        driver: DriverKind,
        /// Where it is.
        address: Option<ControllerAddress>,
        /// Whose switches it has.
        topology: Name,
    },
    /// Let a controller be. What it installed stays.
    DeleteController {
        /// Which.
        name: Name,
    },
}

/// What the sender of a change expects to be changing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Nothing was said: enough to create, not enough to change.
    Unsaid,
    /// Whatever is there.
    Any,
    /// This revision.
    Revision(Sequence),
}

/// What becomes of allocations that do not fit a new revision of their topology.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnMisfit {
    /// The upload is refused.
    Refuse,
    /// They are re-routed or ended.
    Evict,
}

/// How another bandwidth model comes into force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModelChange {
    /// At once: who has no room is re-routed or ended.
    Hard,
    /// For new demands only: who is there may end by themselves.
    Soft,
}

/// A change to a link; absent parts stay.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkChange {
    /// In service, broken or to be drained. The other direction of the same fibre shares this.
    pub state: Option<LinkState>,
    /// Another capacity; the maximum reservable bandwidth keeps its proportion to it unless given too.
    pub capacity: Option<Bandwidth>,
    /// Another maximum reservable bandwidth.
    pub max_reservable: Option<Bandwidth>,
    /// Another TE metric.
    pub te_metric: Option<u32>,
    /// Another delay.
    pub delay: Option<Micros>,
    /// Other shared-risk groups.
    pub srlg: Option<Vec<u32>>,
    /// Another administrative group.
    pub admin_group: Option<u32>,
}

/// A bandwidth request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// In which topology; absent: in the only one, or the only one that has both nodes.
    pub topology: Option<Name>,
    /// Where traffic enters.
    pub ingress: Name,
    /// Where it leaves.
    pub egress: Name,
    /// In which class.
    pub class_type: ClassType,
    /// How much.
    pub bandwidth: Bandwidth,
    /// Absent: the worst that the class has.
    pub setup_priority: Option<Priority>,
    /// Absent: as the setup priority.
    pub hold_priority: Option<Priority>,
    /// Who asks.
    pub aggregator: Option<Name>,
    /// When it ends by itself.
    pub expires_at: Option<super::units::Millis>,
    /// What the path must obey.
    pub constraints: NamedConstraints,
    /// Which packets it is for.
    pub flow: Option<Box<Flow>>,
}

/// Path constraints in names (RFC 3209 §4.3 and §4.7, RFC 5440 §7.12).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NamedConstraints {
    /// What the path minimises; absent: as the topology's policy says.
    pub metric: Option<Metric>,
    /// The most links.
    pub max_hops: Option<u32>,
    /// The most one-way delay.
    pub max_delay: Option<Micros>,
    /// To be passed, in this order.
    pub include: Vec<NamedHop>,
    /// To be avoided.
    pub exclude: Vec<NamedHop>,
    /// Every link has one of these colours; 0: no such constraint.
    pub include_any: u32,
    /// No link has any of these colours.
    pub exclude_any: u32,
    /// The explicit route.
    pub route: Vec<NamedRouteHop>,
}

/// A node or link by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NamedHop {
    /// A node.
    Node(Name),
    /// A link.
    Link(Name),
    /// The node of this name, or else the link.
    Either(Name),
}

/// One hop of an explicit route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedRouteHop {
    /// Which.
    pub hop: NamedHop,
    /// Whether it must come right after the one before, or merely at some time after it.
    pub looseness: HopKind,
}

/// How an explicit route's hop follows the one before it (the L bit of RFC 3209 §4.3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HopKind {
    /// Right after.
    Strict,
    /// At some time after.
    Loose,
}
