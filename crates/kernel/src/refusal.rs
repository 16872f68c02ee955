//! Why a command is refused outright: it is impossible, stale or at a limit, whatever bandwidth there is. A refusal is not
//! recorded. (A demand that is possible but finds no bandwidth is *denied*, which is an event.)

use std::collections::BTreeSet;
use std::fmt;

use super::bam::ModelError;
use super::class::{ClassType, Priority, TeClass};
use super::id::{AllocationId, Name, Sequence};
use super::intent::NoRules;
use super::topology::TopologyError;
use super::units::Bandwidth;

/// Why a command causes no event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// No topology of this name.
    #[error("there is no topology '{0}'")]
    UnknownTopology(Name),
    /// No topology was named, and not exactly one matches.
    #[error("the request names no topology and {count} topologies match: name one")]
    TopologyNotNamed {
        /// How many there are.
        count: usize,
    },
    /// Nodes that the topology does not have.
    #[error("invalid {field}: topology '{topology}' has no node {}", quoted(.names))]
    UnknownNode {
        /// The field of the request.
        field: &'static str,
        /// All of the unknown names in that field, at least one.
        names: BTreeSet<Name>,
        /// The topology.
        topology: Name,
    },
    /// No link of this name.
    #[error("topology '{topology}' has no link '{name}'")]
    UnknownLink {
        /// The name.
        name: Name,
        /// The topology.
        topology: Name,
    },
    /// A constraint names neither a node nor a link.
    #[error("invalid {field}: topology '{topology}' has no node or link '{name}'")]
    UnknownHop {
        /// The constraint.
        field: &'static str,
        /// The name in it.
        name: Name,
        /// The topology.
        topology: Name,
    },
    /// No living allocation of this number.
    #[error("there is no living allocation {0}")]
    UnknownAllocation(AllocationId),
    /// From a node to itself.
    #[error("invalid egress: it is the ingress, node '{0}'")]
    SameEnds(Name),
    /// A demand for zero bandwidth.
    #[error("invalid bandwidth: it must be above zero")]
    NoBandwidth,
    /// The bandwidth model has no such class.
    #[error("the bandwidth model of topology '{topology}' has no {class_type}")]
    UnknownClassType {
        /// The class type.
        class_type: ClassType,
        /// The topology whose model lacks it.
        topology: Name,
    },
    /// The class at this priority is no TE-class (RFC 4124 §6.1, error 28/5 and 28/6).
    #[error("invalid {field}: {te_class} is not a TE-class of topology '{topology}'")]
    UnknownTeClass {
        /// `setup_priority` or `hold_priority`.
        field: &'static str,
        /// The pair of class type and priority.
        te_class: TeClass,
        /// The topology whose model lacks it.
        topology: Name,
    },
    /// Two such LSPs would preempt each other in turn (RFC 3209 §4.7.1).
    #[error("invalid hold_priority: {hold} is worse than the setup priority {setup} (0 is the best), so that two such LSPs would preempt each other for ever", hold = .hold.number(), setup = .setup.number())]
    HoldWorseThanSetup {
        /// The setup priority.
        setup: Priority,
        /// The hold priority.
        hold: Priority,
    },
    /// No switch could ever hold the rules for the flow.
    #[error("invalid {field}: {why}")]
    ImpossibleFlow {
        /// The field of the request.
        field: &'static str,
        /// The reason.
        why: NoRules,
    },
    /// Two controllers would write rules on one switch, and undo each other's work.
    #[error("controller '{by}' has {what} already")]
    SwitchesShared {
        /// `this address`, or a switch.
        what: String,
        /// The other controller.
        by: Name,
    },
    /// Rules that were written with other numbers would be taken for another program's.
    #[error("the numbers of controller '{controller}' stay while it has rules: delete it, and put it again")]
    NumberingFixed {
        /// The controller.
        controller: Name,
    },
    /// No maintenance of this number is planned.
    #[error("no maintenance {id} is planned for topology '{topology}'", id = .id.0)]
    UnknownMaintenance {
        /// The event that would have planned it.
        id: Sequence,
        /// The topology.
        topology: Name,
    },
    /// The time of expiry has passed.
    #[error("invalid expires_at: it is not in the future")]
    AlreadyExpired,
    /// A start, an end or a hold that is not to be had.
    #[error("invalid {field}: {why}")]
    ImpossibleTime {
        /// The field of the request.
        field: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// Settings of auto-bandwidth that are not to be had, or that the allocation cannot have.
    #[error("invalid {field}: {why}")]
    ImpossibleAutoBandwidth {
        /// The field of the request.
        field: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// The resource has changed since the sender read it, or does not exist.
    #[error("invalid revision: it is not the current one")]
    StaleRevision {
        /// The current revision; `None`: the resource does not exist.
        current: Option<Sequence>,
    },
    /// A change must name the revision that it changes.
    #[error("the change does not name the revision that it changes: read the resource and name its revision")]
    RevisionNotSaid {
        /// The current revision.
        current: Sequence,
    },
    /// The topology still carries allocations.
    #[error("topology '{topology}' carries allocations ({live}): release them first")]
    TopologyInUse {
        /// The topology.
        topology: Name,
        /// The number of living allocations.
        live: usize,
    },
    /// These allocations do not fit the new revision.
    #[error("{} allocations do not fit the new revision", .misfits.len())]
    Misfits {
        /// The allocations, in order of id.
        misfits: Vec<AllocationId>,
    },
    /// The new model lacks the class type, or the TE-class, of these allocations.
    #[error("the new model lacks {}, which {} living allocations have: configure it as a TE-class, or release them first", listed(.te_classes), .orphans.len())]
    ClassesInUse {
        /// The allocations, in order of id.
        orphans: Vec<AllocationId>,
        /// The class types with the setup priorities that are in use.
        te_classes: BTreeSet<TeClass>,
    },
    /// The change makes an invalid link.
    #[error(transparent)]
    BadTopology(#[from] TopologyError),
    /// The model is invalid.
    #[error(transparent)]
    BadModel(#[from] ModelError),
    /// An override's classes or TE-classes are not those of the model.
    #[error("the model for link '{link}' must have the classes and TE-classes of the topology's model")]
    OverrideDiffers {
        /// The link of the override.
        link: Name,
    },
    /// No allocation's time has come.
    #[error("no allocation is due to expire")]
    NothingDue,
    /// A decision that cannot be applied: a defect of the kernel. The state is as before.
    #[error("the decision cannot be applied, which is a defect of the service; nothing was changed")]
    Contradiction,
    /// No controller of this name.
    #[error("there is no controller '{0}'")]
    UnknownController(Name),
    /// Another instance leads a controller, or schedules, since.
    #[error("{of} has term {term}: term {after} is over")]
    TermOver {
        /// A controller, or the scheduler.
        of: String,
        /// The term that was taken to be the present one.
        after: u64,
        /// The present one.
        term: u64,
    },
    /// There is no such tenant.
    #[error("no tenant '{0}'")]
    UnknownTenant(Name),
    /// The tenant has allocations.
    #[error("tenant '{name}' has {living} living allocations")]
    TenantInUse {
        /// The tenant.
        name: Name,
        /// How many.
        living: u64,
    },
    /// The aggregator is of another tenant.
    #[error("aggregator '{aggregator}' is of tenant '{tenant}' already")]
    AggregatorHasTenant {
        /// The aggregator.
        aggregator: Name,
        /// Its tenant.
        tenant: Name,
    },
    /// The demand is over a quota of its tenant.
    #[error(transparent)]
    QuotaExceeded(Box<QuotaExceeded>),
    /// The allocation is in force: there is nothing to confirm.
    #[error("allocation {0} is in force: it is not held")]
    NotHeld(AllocationId),
    /// It would be held for no time, or for too long.
    #[error("a hold lasts from 1 to {max_ms} milliseconds")]
    HoldLength {
        /// The longest.
        max_ms: u64,
    },
    /// Another controller has the topology's switches.
    #[error("the switches of topology '{topology}' are reached through controller '{by}' already")]
    TopologyControlled {
        /// The topology.
        topology: Name,
        /// The other controller.
        by: Name,
    },
    /// A controller of this driver is reached by URL.
    #[error("invalid url: a controller with this driver needs one")]
    AddressMissing,
    /// A simulated controller has no URL.
    #[error("invalid url: a simulated controller has none")]
    AddressUnused,
    /// A limit of this service.
    #[error("too many {what}: the limit is {max}")]
    TooMany {
        /// The plural noun: `allocations`, `topologies`.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// `<CT0, 7>, <CT1, 6>`.
fn listed(te_classes: &BTreeSet<TeClass>) -> String {
    te_classes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// `'a', 'b'`.
fn quoted(names: &BTreeSet<Name>) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

/// A demand is over a quota of its tenant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("tenant '{tenant}' holds {held} of {limit} {kind}{}", Where(.topology.as_ref(), *.class_type))]
pub struct QuotaExceeded {
    /// The tenant.
    pub tenant: Name,
    /// The topology that the quota is for, if it is for one.
    pub topology: Option<Name>,
    /// The class type that the quota is for, if it is for one.
    pub class_type: Option<ClassType>,
    /// What is limited.
    pub kind: QuotaKind,
    /// What the tenant holds already.
    pub held: u64,
    /// The quota.
    pub limit: u64,
    /// The largest bandwidth that is within the quota: on the same path, where its links count.
    pub largest: Bandwidth,
}

/// What a quota limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuotaKind {
    /// The sum of bandwidths, in bit/s.
    Bandwidth,
    /// The sum of bandwidths, each counted for every link, in bit/s.
    BandwidthHops,
    /// The number of allocations.
    Allocations,
}

impl QuotaKind {
    /// The quota, as the interface names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bandwidth => "max_bandwidth_bps",
            Self::BandwidthHops => "max_bandwidth_hops_bps",
            Self::Allocations => "max_allocations",
        }
    }
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bandwidth => "bit/s",
            Self::BandwidthHops => "bit/s times links",
            Self::Allocations => "allocations",
        })
    }
}

struct Where<'a>(Option<&'a Name>, Option<ClassType>);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(topology) = self.0 {
            write!(f, " in topology '{topology}'")?;
        }
        match self.1 {
            Some(class_type) => write!(f, " of class type {}", class_type.number()),
            None => Ok(()),
        }
    }
}
