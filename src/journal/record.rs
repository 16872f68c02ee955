//! The stored form of what happened, in names: an event says the same thing whatever the topology has become since.
//! One [`EventRecord`] is one row's body. Absent and empty parts are left out.

use serde::{Deserialize, Serialize};

use super::annotation_record::AnnotationsRecord;
use super::demand_record::DemandRecord;
use super::maintenance_record::MaintenanceRecord;
use super::model_record::ModelRecord;
use super::notice_record::NoticeRecord;
use super::protection_record::RecoveryRecord;
use super::rule_settings_record::RuleSettingsRecord;
use super::scalars::{DisjointnessWord, DriverWord, EndWord, StoredAllocationId, StoredName};
use super::tenant_record::TenantRecord;
use super::topology_record::{LinkRecord, TopologyRecord};
use kernel::controller::{Leader, SchedulerTerm};

/// What happened, as it is stored.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum EventRecord {
    /// A topology was uploaded, or a new revision of it.
    TopologyPut {
        topology: StoredName,
        /// What it is now.
        content: TopologyRecord,
        /// Paths are in the new revision.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
    },
    /// A topology was deleted.
    TopologyDeleted { topology: StoredName },
    /// Another bandwidth model is in force.
    ModelSet {
        /// For which topology.
        topology: StoredName,
        model: Box<ModelRecord>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
    },
    /// Links changed.
    LinkChanged {
        /// Of which topology.
        topology: StoredName,
        /// The links as they are now.
        links: Vec<LinkRecord>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
        /// Allocations on a link in maintenance that have no other path.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stranded: Vec<StoredAllocationId>,
        /// Whether the state is what a controller sees.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reported: bool,
    },
    /// A request was admitted.
    AllocationAdmitted {
        /// What it became.
        allocation: Box<AllocationRecord>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
    },
    /// A request was refused for lack of a path or of bandwidth.
    AllocationDenied { demand: Box<DeniedRecord>, denial: DenialRecord },
    /// An allocation has another bandwidth, other constraints or another path.
    AllocationResized {
        /// As it is now.
        allocation: Box<AllocationRecord>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
    },
    /// A protected allocation has a backup path again, or returns to the path that had failed.
    AllocationRecovered {
        /// As it is now.
        allocation: Box<AllocationRecord>,
    },
    /// A scheduled allocation started.
    AllocationStarted {
        /// As it is now.
        allocation: Box<AllocationRecord>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
    },
    /// A scheduled allocation found no path at its start.
    AllocationStartFailed { id: StoredAllocationId, demand: Box<DemandRecord>, denial: DenialRecord },
    /// An allocation was released.
    AllocationReleased { id: StoredAllocationId },
    /// Allocations expired.
    AllocationsExpired {
        /// Which, in order.
        ids: Vec<StoredAllocationId>,
    },
    /// A topology's switches are reached through this controller.
    ControllerPut {
        /// As it is now.
        controller: ControllerRecord,
    },
    /// Another instance of the service may write to a controller's switches.
    ControllerLed {
        controller: StoredName,
        #[serde(flatten)]
        leader: LeaderRecord,
    },
    /// Another instance of the service schedules, or none does.
    SchedulerLed {
        #[serde(flatten)]
        lead: SchedulerTermRecord,
    },
    /// A controller was deleted.
    ControllerDeleted { controller: StoredName },
    /// Maintenance was planned, or is over earlier than it was.
    MaintenancePlanned {
        topology: StoredName,
        /// As it is now.
        maintenance: MaintenanceRecord,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<DisplacedRecord>,
        /// Bookings that stay on its links.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stranded: Vec<StoredAllocationId>,
    },
    /// Allocations have notice that a booking will preempt them, or have none any more.
    PreemptionForeseen { topology: StoredName, notices: Vec<NoticeRecord> },
    /// Maintenance is over, or will not be.
    MaintenanceEnded {
        topology: StoredName,
        /// The event that planned it.
        id: u64,
    },
    /// A tenant was made, or its quotas, rate of requests, weight or aggregators were set anew.
    TenantPut {
        /// As it is now.
        tenant: TenantRecord,
    },
    /// A tenant was deleted.
    TenantDeleted { tenant: StoredName },
}

/// A controller.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct ControllerRecord {
    pub(super) name: StoredName,
    pub(super) driver: DriverWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// Whose switches it has.
    pub(super) topology: StoredName,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) closing: bool,
    #[serde(default, skip_serializing_if = "RuleSettingsRecord::is_usual")]
    pub(super) settings: RuleSettingsRecord,
}

/// Who schedules.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct SchedulerTermRecord {
    term: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<StoredName>,
}

impl SchedulerTermRecord {
    pub(super) fn of(lead: &SchedulerTerm) -> Self {
        Self { term: lead.term, instance: lead.instance.as_ref().map(StoredName::from) }
    }

    pub(super) fn read(&self) -> SchedulerTerm {
        SchedulerTerm { term: self.term, instance: self.instance.as_ref().map(|name| name.0.clone()) }
    }
}

/// Who may write to a controller's switches.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct LeaderRecord {
    pub(super) instance: StoredName,
    pub(super) term: u64,
}

impl LeaderRecord {
    pub(super) fn of(leader: &Leader) -> Self {
        Self { instance: StoredName::from(&leader.instance), term: leader.term }
    }

    pub(super) fn read(&self) -> Leader {
        Leader { instance: self.instance.0.clone(), term: self.term }
    }
}

/// An allocation, with nodes and links by name.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct AllocationRecord {
    /// The sequence number of its admission.
    pub(super) id: StoredAllocationId,
    #[serde(flatten)]
    pub(super) demand: DemandRecord,
    /// The links from ingress to egress.
    pub(super) path: Vec<StoredName>,
    /// What stands by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recovery: Option<Box<RecoveryRecord<StoredName>>>,
    /// When it was admitted.
    pub(super) created_at_ms: u64,
    /// When it last changed.
    pub(super) updated_at_ms: u64,
}

/// A request that was denied.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct DeniedRecord {
    /// The allocation to be changed, if the request was for a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<StoredAllocationId>,
    #[serde(flatten)]
    pub(super) demand: DemandRecord,
}

/// An allocation that lost its path to an event.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct DisplacedRecord {
    pub(super) id: StoredAllocationId,
    /// What people recognise it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<Box<AnnotationsRecord>>,
    pub(super) cause: CauseWord,
    pub(super) fate: FateWord,
    /// The new path of a rerouted allocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<Vec<StoredName>>,
}

/// Why an allocation lost its path.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum CauseWord {
    /// A higher class or better priority.
    Preempted,
    /// A lower class took back what it had lent.
    Devolved,
    /// A link that broke, is drained, shrank or is gone.
    Link,
    /// A move so that another demand fits.
    Relocation,
}

/// What became of an allocation that lost its path.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum FateWord {
    /// It goes another way.
    Rerouted,
    /// It goes where it went, without its backup path.
    Unprotected,
    /// It ended.
    #[serde(untagged)]
    Ended(EndWord),
}

/// Why there is no path.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub(super) enum DenialRecord {
    /// There are paths, but none has the bandwidth.
    InsufficientBandwidth {
        /// The links that lack it on the path that comes nearest.
        binding: Vec<BindingRecord>,
        /// The most that would be admitted.
        largest_admissible_bps: u64,
    },
    /// There is no second path.
    NoBackup {
        /// What the two must not share.
        disjoint: DisjointnessWord,
        /// The links that are missing, or lack it.
        binding: Vec<BindingRecord>,
        /// The most that a pair of paths has.
        largest_admissible_bps: u64,
    },
    /// No links lead there.
    Disconnected,
    /// The links there are down or in maintenance.
    LinksDown,
    /// What is excluded cuts it off.
    Excluded,
    /// The administrative groups cut it off.
    AdminGroup,
    /// What is to be passed cannot be.
    Route,
    /// It takes more links.
    MaxHops {
        /// The least it takes.
        least_hops: u32,
    },
    /// It takes longer.
    MaxDelay {
        /// The least it takes.
        least_delay_us: u64,
    },
    /// The search was given up.
    SearchLimit,
    /// The path costs more than the policy pays.
    TooCongested {
        /// What it costs, in percent of an empty shortest path.
        cost_percent: u64,
        /// What the policy pays.
        limit_percent: u32,
    },
}

/// A link that lacks bandwidth.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct BindingRecord {
    pub(super) link: StoredName,
    /// What the class could have there.
    pub(super) available_bps: u64,
}
