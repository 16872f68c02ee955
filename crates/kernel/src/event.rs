//! All that can have happened. An event is one decision, whole: an admission carries its victims, so that no sequence
//! number ever stands between a reservation and the bandwidth that was freed for it.

use std::sync::Arc;

use super::allocation::{Allocation, Demand, EndCause};
use super::annotation::Annotations;
use super::bam::Cause;
use super::controller::{Controller, Leader, SchedulerTerm};
use super::id::{AllocationId, LinkIx, Name, Sequence};
use super::maintenance::Maintenance;
use super::path::Disjointness;
use super::policy::BandwidthModel;
use super::preemption_notice::PreemptionNotice;
use super::tenant::Tenant;
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
        /// The displaced allocations; paths are in the new revision's indices.
        displaced: Vec<Displaced>,
    },
    /// A topology was deleted.
    TopologyDeleted {
        /// The topology.
        name: Name,
    },
    /// Another bandwidth model is in force.
    ModelSet {
        /// The topology.
        topology: Name,
        /// The model.
        model: Arc<BandwidthModel>,
        /// The allocations that it displaced.
        displaced: Vec<Displaced>,
    },
    /// A link changed, and its twin with it where fate is shared.
    LinkChanged {
        /// The topology of the links.
        topology: Name,
        /// The links as they are now.
        links: Vec<(LinkIx, Link)>,
        /// The allocations that it displaced.
        displaced: Vec<Displaced>,
        /// Allocations that stay on a link that is in maintenance or breaks their constraints, and scheduled ones on a link
        /// that is out of service, for want of another path.
        stranded: Vec<AllocationId>,
        /// Whether the state of the links is what a controller sees, rather than what an operator decided.
        is_reported: bool,
    },
    /// A request was admitted.
    Admitted {
        /// The allocation that it became.
        allocation: Arc<Allocation>,
        /// The allocations that it displaced.
        displaced: Vec<Displaced>,
    },
    /// A request was refused for lack of a path or of bandwidth. Nothing changed.
    Denied {
        /// The allocation to be changed, if the request was for a change.
        of: Option<AllocationId>,
        /// What was asked for.
        demand: Box<Demand>,
        /// The lack of a path or of bandwidth.
        denial: Denial,
    },
    /// An allocation has another bandwidth, other constraints, another path or other annotations.
    Resized {
        /// As it is now.
        allocation: Arc<Allocation>,
        /// The allocations that it displaced.
        displaced: Vec<Displaced>,
    },
    /// A scheduled allocation started.
    Started {
        /// As it is now.
        allocation: Arc<Allocation>,
        /// The allocations that it displaced.
        displaced: Vec<Displaced>,
    },
    /// A scheduled allocation found no path at its start, and is over.
    StartFailed {
        /// The allocation.
        id: AllocationId,
        /// What was asked for.
        demand: Box<Demand>,
        /// The lack of a path or of bandwidth.
        denial: Denial,
    },
    /// A protected allocation has a backup path again, or its traffic returns to the path that had failed.
    Recovered {
        /// As it is now.
        allocation: Arc<Allocation>,
    },
    /// Allocations have notice that a booking will preempt or devolve them at its start, or have none any more.
    PreemptionForeseen {
        /// Their topology.
        topology: Name,
        /// The allocations, each with what is foreseen now.
        notices: Vec<(AllocationId, Option<PreemptionNotice>)>,
    },
    /// An allocation was released.
    Released {
        /// The allocation.
        id: AllocationId,
    },
    /// Allocations expired.
    Expired {
        /// The allocations, in the order of their deadlines.
        ids: Vec<AllocationId>,
    },
    /// A topology's switches are reached through this controller.
    ControllerPut {
        /// As it is now.
        controller: Arc<Controller>,
    },
    /// Another instance of the service may write to a controller's switches.
    ControllerLed {
        /// The controller.
        name: Name,
        /// The instance, and its term.
        leader: Leader,
    },
    /// Another instance of the service schedules, or none does.
    SchedulerLed {
        /// The instance, and its term.
        lead: SchedulerTerm,
    },
    /// A controller is no longer used.
    ControllerDeleted {
        /// The controller.
        name: Name,
    },
    /// Maintenance was planned, or is over earlier than it was.
    MaintenancePlanned {
        /// The topology.
        topology: Name,
        /// As it is now.
        maintenance: Arc<Maintenance>,
        /// Bookings that have another path because of it.
        displaced: Vec<Displaced>,
        /// Bookings that stay on its links for want of another path.
        stranded: Vec<AllocationId>,
    },
    /// Maintenance is over, or will not be.
    MaintenanceEnded {
        /// The topology.
        topology: Name,
        /// The event that planned it.
        id: Sequence,
    },
    /// A tenant was made, or its quotas, rate of requests, weight or aggregators were set anew.
    TenantPut {
        /// As it is now.
        tenant: Arc<Tenant>,
    },
    /// A tenant is no longer known.
    TenantDeleted {
        /// The tenant.
        name: Name,
    },
}

/// An allocation that lost its path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Displaced {
    /// The allocation.
    pub id: AllocationId,
    /// What people recognise it by.
    pub annotations: Annotations,
    /// What took its path.
    pub cause: DisplacedBy,
    /// Another path, its working path alone, or the end.
    pub fate: Fate,
}

/// What takes an allocation's path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DisplacedBy {
    /// Another demand, or another bandwidth model, takes the bandwidth.
    Contention(Cause),
    /// A link that went down, is in maintenance, shrank, breaks its constraints or is not in the new revision.
    Link,
    /// A move to another path with free bandwidth, so that another demand fits.
    Relocation,
}

/// What becomes of a displaced allocation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It goes this way instead.
    Rerouted(Arc<[LinkIx]>),
    /// It goes where it went, without its backup path.
    Unprotected,
    /// It is over: preempted, devolved or failed.
    Ended(EndCause),
}

/// Why there is no path for a demand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denial {
    /// There are paths, but none has the bandwidth.
    InsufficientBandwidth {
        /// The links that lack it on the path that comes nearest.
        binding: Vec<Binding>,
        /// The largest bandwidth that would be admitted.
        largest_admissible: Bandwidth,
    },
    /// A constraint leaves no path, whatever the bandwidth.
    NoPath(PathObstacle),
    /// There is a path, but no second one that does not share its fate.
    NoBackup {
        /// What the two must not share.
        disjointness: Disjointness,
        /// The links of the path on every pair of paths, or of the path that was found, if none is.
        binding: Vec<Binding>,
        /// The largest bandwidth that a pair of paths has; zero if the topology has no pair, whatever the bandwidth.
        largest_admissible: Bandwidth,
    },
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
    /// The link.
    pub link: LinkIx,
    /// What the class could have on it.
    pub available: Bandwidth,
}

/// The first constraint that leaves no path, in the order in which constraints are applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathObstacle {
    /// No links lead there at all.
    Disconnected,
    /// Every way there has a link that is down or in maintenance.
    LinksDown,
    /// What is excluded cuts it off.
    Excluded,
    /// The administrative groups cut it off.
    AdminGroup,
    /// What is to be included, or the explicit route, cannot be met.
    Route,
    /// Every path has more links than allowed.
    MaxHops {
        /// The fewest links of any path.
        least: u32,
    },
    /// Every path has a longer delay than allowed.
    MaxDelay {
        /// The shortest delay of any path.
        least: Micros,
    },
    /// The search reached its limit.
    SearchLimit,
}
