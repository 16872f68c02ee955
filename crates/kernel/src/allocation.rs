//! An allocation: what it is while it lives, and why it ends.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::annotation::Annotations;
use super::auto_bandwidth::AutoBandwidth;
use super::class::{ClassType, Priority};
use super::id::{AllocationId, LinkIx, Name, NodeIx};
use super::path::{Constraints, Disjointness};
use super::units::{Bandwidth, Millis};

/// What was asked for, with its names resolved: the same in an allocation, in a denial and in a search for a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Demand {
    /// The topology's name; the indices below are that topology's.
    pub topology: Name,
    /// The node where traffic enters.
    pub ingress: NodeIx,
    /// The node where traffic leaves.
    pub egress: NodeIx,
    /// The class type, the same on every link (RFC 4124 §3).
    pub class_type: ClassType,
    /// The priority with which it may preempt (RFC 3209 §4.7).
    pub setup_priority: Priority,
    /// The priority with which it withstands preemption; never worse than the setup priority.
    pub hold_priority: Priority,
    /// Reserved on every link of the path.
    pub bandwidth: Bandwidth,
    /// What the path must obey, at admission and whenever it is rerouted; `None` where nothing is constrained.
    pub constraints: Option<Box<Constraints>>,
    /// What needs no resolving.
    pub attributes: LspAttributes,
}

/// The part of a request that names nothing in a topology. It goes from the command to the allocation as it is, so that
/// a field added here is known to all of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LspAttributes {
    /// The aggregator that asked.
    pub aggregator: Option<Name>,
    /// The instant at which it starts; `None`: it has started. Until then it is scheduled.
    pub starts_at: Option<Millis>,
    /// The instant at which the allocation expires; `None`: it lasts until it is released.
    pub expires_at: Option<Millis>,
    /// The packets that belong to it; without a flow, no switch gets a rule.
    pub flow: Option<Box<Flow>>,
    /// What people recognise it by.
    pub annotations: Annotations,
    /// For whom it is.
    pub tenant: Option<Name>,
    /// Until when it is held without being in force; `None`: it is in force.
    pub held_until: Option<Millis>,
    /// Who made it, and may change and release it of their own accord.
    pub owner: Owner,
    /// The second path that it asks for; `None`: none.
    pub protection: Option<Protection>,
    /// Whether its bandwidth is reserved on the other directions of its links, too.
    pub is_bidirectional: bool,
    /// How its bandwidth follows its traffic; `None`: it stays as it is.
    pub auto_bandwidth: Option<Box<AutoBandwidth>>,
}

/// A second path against the failure of the first (RFC 4427 §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protection {
    /// What the two paths must not share.
    pub disjointness: Disjointness,
    /// Whether the bandwidth of its backup path is shared with backup paths that are not needed in the same failures.
    pub is_shared: bool,
    /// Whether its traffic returns to the path that failed, when that is whole again.
    pub is_revertive: bool,
    /// Whether it is admitted on one path where no two carry it.
    pub is_best_effort: bool,
}

/// The maker of an allocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Owner {
    /// Whoever requested it.
    #[default]
    Requester,
    /// The QoS scheduler, for an aggregator.
    Scheduler,
}

impl LspAttributes {
    /// Its protection as it is booked. What is booked for a time has the bandwidth of its backup path to itself: which members a
    /// pool will have is not looked ahead.
    pub fn booked_protection(&self) -> Option<Protection> {
        let has_times = self.starts_at.is_some() || self.expires_at.is_some();
        self.protection.map(|asked| Protection { is_shared: asked.is_shared && !has_times, ..asked })
    }

    /// When it ends by itself: when its hold lapses, or its time is up.
    pub fn ends_at(&self) -> Option<Millis> {
        match (self.held_until, self.expires_at) {
            (Some(held), Some(expires)) => Some(held.min(expires)),
            (held, expires) => held.or(expires),
        }
    }
}

impl Demand {
    /// The owner of an allocation that was stored before owners were: the scheduler took those for its own that have an
    /// aggregator and no constraint but a metric.
    pub fn unwritten_owner(&self) -> Owner {
        let is_plain = self.constraints.as_deref().is_some_and(|constraints| {
            let metric = constraints.metric;
            metric.is_some() && *constraints == Constraints { metric, ..Constraints::default() }
        });
        let LspAttributes { aggregator, expires_at, .. } = &self.attributes;
        if is_plain && aggregator.is_some() && expires_at.is_none() { Owner::Scheduler } else { Owner::Requester }
    }
}

/// An admitted demand: a label-switched path with bandwidth reserved on every link of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allocation {
    /// The sequence number of its admission.
    pub id: AllocationId,
    /// What was asked for, and is reserved.
    pub demand: Demand,
    /// The working path: links from ingress to egress.
    pub path: Arc<[LinkIx]>,
    /// What stands by for the working path.
    pub recovery: Option<Box<Recovery>>,
    /// The instant of its admission.
    pub created_at: Millis,
    /// The instant of its last change.
    pub updated_at: Millis,
}

/// What stands by for the working path of a protected allocation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// The backup path, booked as the working path is; `None`: it is unprotected.
    pub backup: Option<Arc<[LinkIx]>>,
    /// The path to which its traffic returns when that is whole again: the working path before it failed.
    pub reverts_to: Option<Arc<[LinkIx]>>,
}

/// Where an allocation goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// The working path.
    pub path: Arc<[LinkIx]>,
    /// The backup path, if one stands by.
    pub backup: Option<Arc<[LinkIx]>>,
}

impl Route {
    /// One path alone.
    pub fn single(path: impl Into<Arc<[LinkIx]>>) -> Self {
        Self { path: path.into(), backup: None }
    }

    /// The links on which bandwidth is booked: those of both paths.
    pub fn links(&self) -> Arc<[LinkIx]> {
        match &self.backup {
            None => Arc::clone(&self.path),
            Some(backup) => self.path.iter().chain(backup.iter()).copied().collect(),
        }
    }
}

impl Recovery {
    /// What stands by, or nothing.
    pub fn of(backup: Option<Arc<[LinkIx]>>, reverts_to: Option<Arc<[LinkIx]>>) -> Option<Box<Self>> {
        (backup.is_some() || reverts_to.is_some()).then(|| Box::new(Self { backup, reverts_to }))
    }
}

impl Allocation {
    /// Where it goes.
    pub fn route(&self) -> Route {
        Route { path: Arc::clone(&self.path), backup: self.backup().cloned() }
    }

    /// The backup path.
    pub fn backup(&self) -> Option<&Arc<[LinkIx]>> {
        self.recovery.as_ref()?.backup.as_ref()
    }

    /// The links on which it has bandwidth booked: those of both paths.
    pub fn links(&self) -> Arc<[LinkIx]> {
        if self.recovery.is_none() { Arc::clone(&self.path) } else { self.route().links() }
    }

    /// The path to which its traffic returns.
    pub fn reverts_to(&self) -> Option<&Arc<[LinkIx]>> {
        self.recovery.as_ref()?.reverts_to.as_ref()
    }

    /// The same without its backup path.
    #[must_use]
    pub fn without_backup(&self) -> Self {
        Self { recovery: Recovery::of(None, self.reverts_to().cloned()), ..self.clone() }
    }

    /// Whether it asks for a backup path and has none.
    pub fn is_unprotected(&self) -> bool {
        self.demand.attributes.protection.is_some() && self.backup().is_none()
    }

    /// Whether something is to be done for its protection: a backup path is to be found, or its traffic to return.
    pub fn is_recovering(&self) -> bool {
        self.is_unprotected() || self.reverts_to().is_some()
    }

    /// Whether it is held, and not in force yet.
    pub fn is_held(&self) -> bool {
        self.demand.attributes.held_until.is_some()
    }

    /// Whether it is booked for later, and not in the book of now.
    pub fn is_scheduled(&self) -> bool {
        self.demand.attributes.starts_at.is_some()
    }

    /// Whether switches are to have rules for it: it is in force, and says which packets are its own.
    pub fn wants_rules(&self) -> bool {
        !self.is_held() && !self.is_scheduled() && self.demand.attributes.flow.is_some()
    }
}

/// Which packets an allocation is for. Absent parts match anything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Flow {
    /// The port at the ingress switch.
    pub in_port: Option<u32>,
    /// Source network.
    pub ipv4_src: Option<Ipv4Prefix>,
    /// Destination network.
    pub ipv4_dst: Option<Ipv4Prefix>,
    /// Source network of IPv6 packets; then none of IPv4 is given.
    pub ipv6_src: Option<Ipv6Prefix>,
    /// Destination network of IPv6 packets.
    pub ipv6_dst: Option<Ipv6Prefix>,
    /// The VLAN that the packets are tagged with, 1 to 4094; tagged or not, where it is not given.
    pub vlan: Option<u16>,
    /// The DiffServ code point that the packets come with, 0 to 63.
    pub dscp: Option<u8>,
    /// IP protocol number.
    pub ip_proto: Option<u8>,
    /// TCP or UDP destination port.
    pub l4_dst: Option<u16>,
    /// The host port at the egress switch; needed only where that has several.
    pub out_port: Option<u32>,
}

/// An IP network: an address of which the first `length` bits count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IpPrefix<A> {
    /// The address.
    pub address: A,
    /// 0 to 32, or to 128 of an IPv6 address.
    pub length: u8,
}

/// An IPv4 network.
pub type Ipv4Prefix = IpPrefix<Ipv4Addr>;
/// An IPv6 network.
pub type Ipv6Prefix = IpPrefix<Ipv6Addr>;

/// Why an allocation is over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EndCause {
    /// Its owner let it go.
    Released,
    /// Its time was up.
    Expired,
    /// A higher class or better priority took the bandwidth.
    Preempted,
    /// A lower class took back what it had lent.
    Devolved,
    /// Its path broke and there was no other.
    Failed,
}
