//! All that can be asked of the kernel. One closed set: whatever can trigger work stands here. Commands refer by name;
//! names are resolved when the command is decided.

use std::sync::Arc;

use super::allocation::{LspAttributes, Protection};
use super::annotation::{Annotation, AnnotationField};
use super::auto_bandwidth::AutoBandwidth;
use super::class::{ClassType, Priority};
use super::controller::{ControllerAddress, DriverKind, RulesOnDelete};
use super::id::{AllocationId, Name, Sequence};
use super::intent::RuleSettings;
use super::path::Metric;
use super::policy::BandwidthModel;
use super::preemption_notice::PreemptionNotice;
use super::tenant::TenantTerms;
use super::topology::{LinkState, Topology};
use super::units::{Bandwidth, Micros, Millis};

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
        /// What to do with allocations that do not fit the new revision.
        misfits: OnMisfit,
    },
    /// Delete a topology that carries no allocation.
    DeleteTopology {
        /// The topology.
        name: Name,
        /// The revision that the sender knows.
        expected: Expected,
    },
    /// Put another bandwidth model in force.
    SetModel {
        /// The topology.
        topology: Name,
        /// The model.
        model: Arc<BandwidthModel>,
        /// The revision of the model that the sender knows; a change needs it.
        expected: Expected,
        /// Whether allocations over the new bounds are displaced.
        switch: ModelChange,
    },
    /// Change a link.
    ChangeLink {
        /// The topology of the link.
        topology: Name,
        /// The link.
        link: Name,
        /// The parts that change.
        change: LinkChange,
    },
    /// A bandwidth request.
    Allocate(Box<Request>),
    /// Another bandwidth, other constraints, times or another protection for an allocation, judged as one, make-before-break.
    /// Other annotations alone leave its path and its reservation as they are.
    Change {
        /// The allocation.
        id: AllocationId,
        /// The parts that change.
        change: Box<AllocationChange>,
    },
    /// Put an allocation in force that was held.
    Confirm {
        /// The allocation.
        id: AllocationId,
    },
    /// Another path for an allocation, make-before-break. What it obeys stays as it is.
    Reroute {
        /// The allocation.
        id: AllocationId,
        /// The links of the path, from ingress to egress.
        path: Vec<Name>,
    },
    /// Find a backup path for an allocation that has lost its own, or let its traffic return to the path that had failed.
    Recover {
        /// The allocation.
        id: AllocationId,
        /// Whether its traffic may return now.
        may_return: bool,
    },
    /// Release an allocation.
    Release {
        /// The allocation.
        id: AllocationId,
    },
    /// Give allocations notice that a booking will preempt or devolve them at its start, or lift it: what was foreseen on a version
    /// of the state. What is not so any more is left out.
    GiveNotice {
        /// The topology of the allocations.
        topology: Name,
        /// The allocations; `None`: nothing is foreseen any more.
        notices: Vec<(AllocationId, Option<PreemptionNotice>)>,
    },
    /// Let allocations expire whose time has come.
    Expire,
    /// Start the scheduled allocation whose time has come first; those whose end has come expire before.
    Start,
    /// Reach a topology's switches through a controller.
    PutController {
        /// Its name here.
        name: Name,
        /// The dialect of its REST interface.
        driver: DriverKind,
        /// Its base URL; `None` for the simulated one.
        address: Option<ControllerAddress>,
        /// The topology whose switches it has.
        topology: Name,
        /// How its rules and meters are made.
        settings: RuleSettings,
    },
    /// Stop using a controller.
    DeleteController {
        /// The controller.
        name: Name,
        /// What becomes of the rules on its switches.
        rules: RulesOnDelete,
    },
    /// Let another instance write to a controller's switches.
    LeadController {
        /// The controller.
        name: Name,
        /// The instance that is to lead.
        instance: Name,
        /// The term that it takes to be over: refused if there was another leader since.
        after: u64,
    },
    /// Let another instance schedule, or none.
    LeadScheduler {
        /// The instance that is to schedule.
        instance: Option<Name>,
        /// The term that it takes to be over: refused if there was another since.
        after: u64,
    },
    /// Plan maintenance of links, and of nodes with all of their links.
    PlanMaintenance {
        /// The topology.
        topology: Name,
        /// The links.
        links: Vec<Name>,
        /// The nodes.
        nodes: Vec<Name>,
        /// When it begins.
        starts_at: Millis,
        /// When it is over.
        ends_at: Millis,
        /// What it is for.
        note: Option<Annotation>,
    },
    /// Forget maintenance that was planned. What has begun is over now, and forgotten when its links are in service again.
    EndMaintenance {
        /// The topology.
        topology: Name,
        /// The event that planned it.
        id: Sequence,
    },
    /// Make a tenant, or change what it is entitled to.
    PutTenant {
        /// Its name.
        name: Name,
        /// What it is entitled to.
        terms: TenantTerms,
    },
    /// Forget a tenant that has no allocation.
    DeleteTenant {
        /// The tenant.
        name: Name,
    },
}

impl Command {
    /// Another bandwidth for an allocation.
    pub fn resize(id: AllocationId, bandwidth: Bandwidth) -> Self {
        Self::Change { id, change: Box::new(AllocationChange { bandwidth: Some(bandwidth), ..Default::default() }) }
    }
}

/// What the sender of a change expects to be changing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// No revision given: enough to create, not enough to change.
    Unsaid,
    /// Whatever is there.
    Any,
    /// This revision.
    Revision(Sequence),
}

/// What to do with allocations that do not fit a new revision of their topology.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnMisfit {
    /// The upload is refused.
    Refuse,
    /// Each is rerouted or fails.
    Evict,
}

/// How another bandwidth model comes into force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModelChange {
    /// At once: allocations over the new bounds are rerouted, preempted or devolved.
    Hard,
    /// For new demands only: living allocations stay until they are released or expire.
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
    /// Whether a controller has lost a switch at its end. The other direction of the same fibre shares this.
    pub is_avoided: Option<bool>,
    /// Whether the state is what a controller sees, which a controller may undo; false: an operator decided it.
    pub is_reported: bool,
    /// The state that the link has to be in: in another, nothing is due.
    pub expected: Option<LinkState>,
    /// When it is known to be over: bookings that start later stay on a link in maintenance.
    pub until: Option<Millis>,
}

/// A change to an allocation; absent parts stay.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AllocationChange {
    /// Another bandwidth.
    pub bandwidth: Option<Bandwidth>,
    /// Other constraints, in the place of all that it had.
    pub constraints: Option<NamedConstraints>,
    /// Another start, as long as it has not started; `Some(None)`: at once.
    pub starts_at: Option<Option<Millis>>,
    /// Another end; `Some(None)`: none, it lasts until it is released.
    pub expires_at: Option<Option<Millis>>,
    /// How long it lasts from its start, or from now if it has started; in the place of `expires_at`.
    pub duration: Option<Millis>,
    /// Another protection, or a backup path now for one that lacks it; `Some(None)`: no protection any more.
    pub protection: Option<Option<Protection>>,
    /// Another way to follow its traffic; `Some(None)`: its bandwidth stays as it is.
    pub auto_bandwidth: Option<Option<Box<AutoBandwidth>>>,
    /// Annotations to be set or, where there is no text, cleared.
    pub annotations: Vec<(AnnotationField, Option<Annotation>)>,
}

/// A bandwidth request, in names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The topology; `None`: the only one, or the only one that has both nodes.
    pub topology: Option<Name>,
    /// The node where traffic enters.
    pub ingress: Name,
    /// The node where traffic leaves.
    pub egress: Name,
    /// The class type.
    pub class_type: ClassType,
    /// To be reserved on every link of the path; above zero.
    pub bandwidth: Bandwidth,
    /// `None`: the worst that the class has.
    pub setup_priority: Option<Priority>,
    /// `None`: as the setup priority.
    pub hold_priority: Option<Priority>,
    /// What the path must obey.
    pub constraints: NamedConstraints,
    /// How many standing allocations may be moved for this one; `None`: as many as the topology's policy says.
    pub moves_max: Option<u8>,
    /// How long it is held without being in force, until it is confirmed; `None`: it is in force at once.
    pub hold_for: Option<Millis>,
    /// How long it lasts from its start; `None`: as long as the attributes say.
    pub duration: Option<Millis>,
    /// What needs no resolving.
    pub attributes: LspAttributes,
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
    /// Hops that the path passes, in this order.
    pub include: Vec<NamedHop>,
    /// Hops that the path avoids.
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
    /// The node or link.
    pub hop: NamedHop,
    /// Strict or loose.
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
