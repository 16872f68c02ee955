//! Why a command is refused outright: it is impossible, stale or at a limit, whatever bandwidth there is. Nothing is
//! recorded of a refusal. (A demand that is possible but finds no room is *denied*, which is an event.)

use std::collections::BTreeSet;

use super::bam::ModelError;
use super::class::{ClassType, Priority, TeClass};
use super::id::{AllocationId, Name, Sequence};
use super::topology::TopologyError;

/// Why not.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// No topology of this name.
    #[error("there is no topology '{0}'")]
    UnknownTopology(Name),
    /// None was named and there is not exactly one.
    #[error("the request names no topology, and there are {count} to choose from")]
    TopologyNotNamed {
        /// How many there are.
        count: usize,
    },
    /// Nodes that the topology does not have.
    #[error("{field}: topology '{topology}' has no node {}", quoted(.names))]
    UnknownNode {
        /// The field of the request.
        field: &'static str,
        /// All of the unknown names in that field, at least one.
        names: BTreeSet<Name>,
        /// In which topology.
        topology: Name,
    },
    /// No link of this name.
    #[error("topology '{topology}' has no link '{name}'")]
    UnknownLink {
        /// The name.
        name: Name,
        /// In which topology.
        topology: Name,
    },
    /// A constraint names what is neither node nor link.
    #[error("{field} names '{name}', which is neither a node nor a link of topology '{topology}'")]
    UnknownHop {
        /// Which constraint.
        field: &'static str,
        /// What it names.
        name: Name,
        /// In which topology.
        topology: Name,
    },
    /// No living allocation of this number.
    #[error("there is no allocation {0}, or it is over")]
    UnknownAllocation(AllocationId),
    /// From a node to itself.
    #[error("ingress and egress are the same node '{0}'")]
    SameEnds(Name),
    /// Nothing asked for.
    #[error("the bandwidth must be above zero")]
    NoBandwidth,
    /// The bandwidth model has no such class.
    #[error("the bandwidth model of topology '{topology}' has no {class_type}")]
    UnknownClassType {
        /// Which class.
        class_type: ClassType,
        /// Under which topology's model.
        topology: Name,
    },
    /// The class at this priority is no TE-class (RFC 4124 §6.1, error 28/5 and 28/6).
    #[error("{field}: {te_class} is no TE-class of topology '{topology}'")]
    UnknownTeClass {
        /// Setup or hold.
        field: &'static str,
        /// Which.
        te_class: TeClass,
        /// Under which topology's model.
        topology: Name,
    },
    /// It could be preempted by an equal of whom it may preempt (RFC 3209 §4.7.1).
    #[error("the hold priority {hold} is worse than the setup priority {setup} (0 is the best): such LSPs would oust each other for ever", hold = .hold.number(), setup = .setup.number())]
    HoldWorseThanSetup {
        /// The setup priority.
        setup: Priority,
        /// The hold priority.
        hold: Priority,
    },
    /// Over before it begins.
    #[error("expires_at is not in the future")]
    AlreadyExpired,
    /// The thing has changed since the sender read it, or is not there.
    #[error("the revision asked for is not the current one")]
    StaleRevision {
        /// What is current; `None`: the thing does not exist.
        current: Option<Sequence>,
    },
    /// A change needs to say what it changes.
    #[error("a change must say which revision it changes")]
    RevisionNotSaid {
        /// What is current.
        current: Sequence,
    },
    /// The topology still carries allocations.
    #[error("topology '{topology}' carries {live} allocations")]
    TopologyInUse {
        /// Which.
        topology: Name,
        /// How many.
        live: usize,
    },
    /// A new revision has no room for these.
    #[error("{} allocations do not fit the new revision", .misfits.len())]
    Misfits {
        /// Who, in order.
        misfits: Vec<AllocationId>,
    },
    /// The model has no place for these allocations: their class, or their TE-class, is gone.
    #[error("the new model has no place for the classes of {} living allocations", .orphans.len())]
    ClassesInUse {
        /// Who, in order.
        orphans: Vec<AllocationId>,
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
        /// Which link's.
        link: Name,
    },
    /// Nothing has come to its time.
    #[error("nothing has come to its time")]
    NothingDue,
    /// What was decided cannot be applied: a defect of the kernel. Nothing of it stays.
    #[error("the service contradicts itself; nothing was changed")]
    Contradiction,
    /// No controller of this name.
    #[error("there is no controller '{0}'")]
    UnknownController(Name),
    /// Another controller has the topology's switches.
    #[error("the switches of topology '{topology}' are reached through controller '{by}' already")]
    TopologyControlled {
        /// Which topology.
        topology: Name,
        /// Through which controller.
        by: Name,
    },
    /// A controller has to be somewhere.
    #[error("a controller with this driver needs a url")]
    AddressMissing,
    /// A simulated controller is nowhere.
    #[error("a simulated controller has no url")]
    AddressUnused,
    /// A limit of this service.
    #[error("there are {max} {what} already, no more can be taken")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// `'a', 'b'`.
fn quoted(names: &BTreeSet<Name>) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}
