//! Events: what happened, in order. An event speaks like the resources do: the same names, units and words.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::allocation::{AllocationDemand, AllocationState};
use crate::bandwidth_model::BandwidthModelDocument;
use crate::controller::ControllerSettings;
use crate::effects::{Moved, Victim};
use crate::instant::Instant;
use crate::link::LinkProperties;
use crate::maintenance::PlannedMaintenance;
use crate::problem::ProblemDocument;
use crate::words::words;

/// Something that happened.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = Event)]
pub struct EventDocument {
    /// The sequence number: one more than that of the event before.
    pub sequence: u64,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// The kind of the event.
    pub kind: EventKind,
    /// Who had it decided; absent for what happens by itself, and where nobody is asked who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub actor: Option<EventActor>,
    /// What happened, in names.
    pub data: EventData,
}

/// Who had something decided.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct EventActor {
    /// The name on their token.
    pub name: String,
    /// The address from which they asked; that of a proxy where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub address: Option<String>,
    /// The id of the access token that they showed, or what the OpenID provider calls theirs (`jti`); absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token: Option<String>,
}

/// A tenant as an event has it.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct TenantSettings {
    /// The name of the tenant.
    pub id: String,
    /// The quotas.
    pub quotas: Vec<crate::tenant::QuotaDocument>,
    /// How many requests a second of its tokens are answered; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_requests_per_s: Option<u32>,
    /// By which the scheduler divides bandwidth between tenants.
    #[serde(default = "weight_of_one")]
    #[schema(required = true)]
    pub weight: u32,
    /// Its aggregators, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregators: Vec<String>,
}

/// Events of older versions say no weight.
const fn weight_of_one() -> u32 {
    1
}

words! {
    /// The kind of an event.
    EventKind {
        /// A topology was uploaded, or a new revision of it.
        TopologyPut "topology_put"
        /// A topology was deleted.
        TopologyDeleted "topology_deleted"
        /// Another bandwidth model is in force.
        ModelSet "model_set"
        /// A link changed, and its twin where that shares the change.
        LinkChanged "link_changed"
        /// A bandwidth request was admitted.
        AllocationAdmitted "allocation_admitted"
        /// A bandwidth request or a change was denied.
        AllocationDenied "allocation_denied"
        /// An allocation has another bandwidth, other constraints, another path or other annotations.
        AllocationResized "allocation_resized"
        /// A protected allocation has a backup path again, or its traffic returned to the path that had failed.
        AllocationRecovered "allocation_recovered"
        /// A scheduled allocation started.
        AllocationStarted "allocation_started"
        /// A scheduled allocation found no path at its start, and is over.
        AllocationStartFailed "allocation_start_failed"
        /// An allocation was released.
        AllocationReleased "allocation_released"
        /// Allocations expired.
        AllocationsExpired "allocations_expired"
        /// A topology's switches are reached through a controller.
        ControllerPut "controller_put"
        /// Another instance of the service writes to a controller's switches.
        ControllerLed "controller_led"
        /// Another instance of the service takes the reports of aggregators in, or none does.
        SchedulerLed "scheduler_led"
        /// A controller was deleted.
        ControllerDeleted "controller_deleted"
        /// Maintenance was planned, or is over earlier than it was.
        MaintenancePlanned "maintenance_planned"
        /// Allocations have notice that a booking will preempt or devolve them, another notice, or none any more.
        PreemptionForeseen "preemption_foreseen"
        /// Maintenance is over, or will not be.
        MaintenanceEnded "maintenance_ended"
        /// A tenant was made, or its quotas, rate of requests, weight or aggregators were set anew.
        TenantPut "tenant_put"
        /// Told to tenants alone: somebody else's request took the paths of their allocations.
        AllocationsDisplaced "allocations_displaced"
        /// A tenant is no longer known.
        TenantDeleted "tenant_deleted"
    }
}

/// What happened.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventData {
    /// A topology was uploaded, or a new revision of it.
    TopologyPut {
        /// The name of the topology.
        topology: String,
        /// The number of nodes.
        nodes: usize,
        /// The number of directed links.
        links: usize,
        /// Allocations that left their paths.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        victims: Vec<Victim>,
    },
    /// A topology was deleted.
    TopologyDeleted {
        /// The name of the topology.
        topology: String,
    },
    /// Another bandwidth model is in force.
    ModelSet {
        /// The name of the topology.
        topology: String,
        /// The model.
        model: BandwidthModelDocument,
        /// Allocations that left their paths.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        victims: Vec<Victim>,
    },
    /// A link changed, and its twin where that shares the change.
    LinkChanged {
        /// The name of the topology.
        topology: String,
        /// The links as they are now.
        links: Vec<LinkProperties>,
        /// Allocations that left their paths.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        victims: Vec<Victim>,
        /// The ids of allocations that stay although the link is in maintenance or breaks their constraints now, and of
        /// scheduled ones that stay although it is out of service, because there is no other path.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stranded: Vec<String>,
        /// Present and true if the state is what a controller sees, rather than what an operator decided.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[schema(required = false)]
        reported: bool,
    },
    /// A bandwidth request was admitted.
    AllocationAdmitted {
        /// The allocation.
        allocation: Box<BookedAllocation>,
        /// Allocations that left their paths for it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        victims: Vec<Victim>,
        /// Allocations that were moved to other paths so that it fits.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        moved: Vec<Moved>,
    },
    /// A bandwidth request or a change was denied.
    AllocationDenied {
        /// What was asked for.
        demand: Box<DeniedDemand>,
        /// Why it was denied.
        problem: Box<ProblemDocument>,
    },
    /// An allocation has another bandwidth, other constraints, another path or other annotations.
    AllocationResized {
        /// The allocation as it is now.
        allocation: Box<BookedAllocation>,
        /// Allocations that left their paths for it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        victims: Vec<Victim>,
        /// Allocations that were moved to other paths so that it fits.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        moved: Vec<Moved>,
    },
    /// A protected allocation has a backup path again, or its traffic returned to the path that had failed.
    AllocationRecovered {
        /// The allocation as it is now.
        allocation: Box<BookedAllocation>,
    },
    /// A scheduled allocation started.
    AllocationStarted {
        /// The allocation as it is now.
        allocation: Box<BookedAllocation>,
        /// Allocations that left their paths for it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        victims: Vec<Victim>,
        /// Allocations that were moved to other paths so that it fits.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        moved: Vec<Moved>,
    },
    /// A scheduled allocation found no path at its start, and is over.
    AllocationStartFailed {
        /// The id of the allocation.
        id: String,
        /// What was asked for.
        demand: Box<AllocationDemand>,
        /// What it lacked.
        problem: Box<ProblemDocument>,
    },
    /// An allocation was released.
    AllocationReleased {
        /// The id of the allocation.
        id: String,
    },
    /// Allocations expired.
    AllocationsExpired {
        /// The ids of the allocations, in order.
        ids: Vec<String>,
    },
    /// A topology's switches are reached through a controller.
    ControllerPut {
        /// The controller as it is now.
        controller: ControllerSettings,
    },
    /// Another instance of the service writes to a controller's switches.
    ControllerLed {
        /// The name of the controller.
        controller: String,
        /// What the instance calls itself.
        instance: String,
        /// The number of its term.
        term: u64,
    },
    /// Another instance of the service takes the reports of aggregators in, or none does.
    SchedulerLed {
        /// What the instance calls itself; absent where no aggregator reports.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        instance: Option<String>,
        /// The number of its term.
        term: u64,
    },
    /// A controller was deleted.
    ControllerDeleted {
        /// The name of the controller.
        controller: String,
    },
    /// Told to tenants alone: somebody else's request took the paths of their allocations.
    AllocationsDisplaced {
        /// Allocations that left their paths.
        victims: Vec<Victim>,
        /// Allocations that were moved.
        moved: Vec<Moved>,
    },
    /// Maintenance was planned, or is over earlier than it was.
    MaintenancePlanned {
        /// The name of the topology.
        topology: String,
        /// As it is now.
        maintenance: PlannedMaintenance,
        /// Bookings that have another path because of it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        victims: Vec<Victim>,
        /// The ids of bookings that stay on its links because there is no other path.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stranded: Vec<String>,
    },
    /// Allocations have notice that a booking will preempt or devolve them, another notice, or none any more.
    PreemptionForeseen {
        /// The name of the topology.
        topology: String,
        /// The allocations, each with what is foreseen now.
        notices: Vec<PreemptionNoticeDocument>,
    },
    /// Maintenance is over, or will not be.
    MaintenanceEnded {
        /// The name of the topology.
        topology: String,
        /// The id of the maintenance.
        id: String,
    },
    /// A tenant was made, or its quotas, rate of requests, weight or aggregators were set anew.
    TenantPut {
        /// As it is now.
        tenant: TenantSettings,
    },
    /// A tenant is no longer known.
    TenantDeleted {
        /// The name of the tenant.
        tenant: String,
    },
}

impl EventData {
    /// The kind of the event.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::TopologyPut { .. } => EventKind::TopologyPut,
            Self::TopologyDeleted { .. } => EventKind::TopologyDeleted,
            Self::ModelSet { .. } => EventKind::ModelSet,
            Self::LinkChanged { .. } => EventKind::LinkChanged,
            Self::AllocationAdmitted { .. } => EventKind::AllocationAdmitted,
            Self::AllocationDenied { .. } => EventKind::AllocationDenied,
            Self::AllocationResized { .. } => EventKind::AllocationResized,
            Self::AllocationRecovered { .. } => EventKind::AllocationRecovered,
            Self::AllocationStarted { .. } => EventKind::AllocationStarted,
            Self::AllocationStartFailed { .. } => EventKind::AllocationStartFailed,
            Self::AllocationReleased { .. } => EventKind::AllocationReleased,
            Self::AllocationsExpired { .. } => EventKind::AllocationsExpired,
            Self::ControllerPut { .. } => EventKind::ControllerPut,
            Self::ControllerLed { .. } => EventKind::ControllerLed,
            Self::SchedulerLed { .. } => EventKind::SchedulerLed,
            Self::ControllerDeleted { .. } => EventKind::ControllerDeleted,
            Self::AllocationsDisplaced { .. } => EventKind::AllocationsDisplaced,
            Self::MaintenancePlanned { .. } => EventKind::MaintenancePlanned,
            Self::PreemptionForeseen { .. } => EventKind::PreemptionForeseen,
            Self::MaintenanceEnded { .. } => EventKind::MaintenanceEnded,
            Self::TenantPut { .. } => EventKind::TenantPut,
            Self::TenantDeleted { .. } => EventKind::TenantDeleted,
        }
    }

    /// Allocations that left their paths.
    pub fn victims(&self) -> &[Victim] {
        match self {
            Self::TopologyPut { victims, .. }
            | Self::AllocationsDisplaced { victims, .. }
            | Self::ModelSet { victims, .. }
            | Self::LinkChanged { victims, .. }
            | Self::MaintenancePlanned { victims, .. }
            | Self::AllocationAdmitted { victims, .. }
            | Self::AllocationResized { victims, .. }
            | Self::AllocationStarted { victims, .. } => victims,
            _ => &[],
        }
    }
}

/// What is foreseen for an allocation.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = PreemptionNotice)]
pub struct PreemptionNoticeDocument {
    /// The id of the allocation.
    pub id: String,
    /// When it will be preempted or devolved; absent: nothing is foreseen any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub preempted_at: Option<Instant>,
    /// The id of the booking that will take its bandwidth then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub preempted_by: Option<String>,
}

/// A demand that was denied.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct DeniedDemand {
    /// The id of the allocation that was to be changed, if the demand was for a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub of: Option<String>,
    /// What was asked for.
    #[serde(flatten)]
    pub demand: AllocationDemand,
}

/// An allocation as the books have it. Where it is with the switches is not of the books; events of the kind
/// `allocation_state` say it.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct BookedAllocation {
    /// The id of the allocation.
    #[schema(example = "42")]
    pub id: String,
    /// What was asked for.
    #[serde(flatten)]
    pub demand: AllocationDemand,
    /// The explicit route: links from ingress to egress. Of a protected allocation, the working path.
    pub path: Vec<String>,
    /// The backup path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub backup_path: Option<Vec<String>>,
    /// The path to which traffic returns when it is whole again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reverts_to: Option<Vec<String>>,
    /// When the allocation was admitted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Instant,
    /// When the allocation last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Instant,
}

/// Where an allocation is with the switches. Such events are on the stream alone: they have no sequence number.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct AllocationStateEvent {
    /// [`Self::KIND`].
    pub kind: String,
    /// The id of the allocation.
    pub allocation: String,
    /// The name of its topology.
    pub topology: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// Where the allocation is in its life.
    pub state: AllocationState,
    /// Why it is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

impl AllocationStateEvent {
    /// The kind of these events.
    pub const KIND: &str = "allocation_state";
}

/// The events that a stream was asked for are not there: what is known should be read anew. On the stream alone.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct FeedResetEvent {
    /// [`Self::KIND`].
    pub kind: String,
    /// The oldest event that there is; one more than `head` if there is none.
    pub first_sequence: u64,
    /// The last event.
    pub head: u64,
}

impl FeedResetEvent {
    /// The kind of these events.
    pub const KIND: &str = "reset";
}

/// A page of events.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct EventPage {
    /// The oldest first.
    pub items: Vec<EventDocument>,
    /// The sequence number of the last event that was looked at, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}
