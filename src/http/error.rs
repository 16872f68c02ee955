//! The one table from refusals, denials and failures to problems.

use serde_json::Value;

use super::problem::Problem;
use super::problem_catalogue;
use crate::app::{CommandOutcome, Fact, JournalError, SubmitError};
use api::path::DisjointName;
use api::problem::BindingLink;
use formats::bandwidth_model::DocumentError;
use formats::{GzipError, ImportError};
use kernel::allocation::Demand;
use kernel::class::ClassType;
use kernel::event::{Binding, Denial, Event, PathObstacle};
use kernel::id::{AllocationId, Name};
use kernel::path::Disjointness;
use kernel::units::Bandwidth;
use kernel::{Names, Refusal};

/// The most ids that a problem lists.
const CONFLICTS_MAX: usize = 1_000;

/// For a refusal of what the path names; [`in_body`] is for what the body names.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let of = |kind| Self::new(kind, detail.clone());
        match refusal {
            Refusal::UnknownTopology(_) => of(&problem_catalogue::UNKNOWN_TOPOLOGY),
            Refusal::UnknownLink { .. } => of(&problem_catalogue::UNKNOWN_LINK),
            Refusal::UnknownAllocation(_) => of(&problem_catalogue::UNKNOWN_ALLOCATION),
            Refusal::UnknownNode { field, names, .. } => {
                let nodes: Vec<_> = names.iter().map(|name| Value::from(name.as_str())).collect();
                of(&problem_catalogue::UNKNOWN_REFERENCE).with("field", field).with("nodes", nodes)
            }
            Refusal::UnknownHop { field, .. } => of(&problem_catalogue::UNKNOWN_REFERENCE).with("field", field),
            Refusal::UnknownClassType { .. } => of(&problem_catalogue::UNKNOWN_REFERENCE).with("field", "class_type"),
            Refusal::UnknownTeClass { field, .. } => of(&problem_catalogue::UNKNOWN_REFERENCE).with("field", field),
            Refusal::TopologyNotNamed { .. } => of(&problem_catalogue::IMPOSSIBLE).with("field", "topology"),
            Refusal::SameEnds(_) => of(&problem_catalogue::IMPOSSIBLE).with("field", "egress"),
            Refusal::NoBandwidth => of(&problem_catalogue::IMPOSSIBLE).with("field", "bandwidth_bps"),
            Refusal::HoldWorseThanSetup { .. } => of(&problem_catalogue::IMPOSSIBLE).with("field", "hold_priority"),
            Refusal::ImpossibleFlow { field, .. } => of(&problem_catalogue::IMPOSSIBLE).with("field", field),
            Refusal::SwitchesShared { by, .. } => {
                of(&problem_catalogue::SWITCHES_SHARED).with("controller", by.to_string())
            }
            Refusal::NumberingFixed { controller } => of(&problem_catalogue::NUMBERING_FIXED)
                .with("controller", controller.to_string())
                .with("field", "numbering"),
            Refusal::AlreadyExpired => of(&problem_catalogue::IMPOSSIBLE).with("field", "expires_at"),
            Refusal::BadTopology(_) => of(&problem_catalogue::IMPOSSIBLE),
            Refusal::BadModel(_) | Refusal::OverrideDiffers { .. } => of(&problem_catalogue::INVALID_MODEL),
            Refusal::StaleRevision { current } => {
                let current = current.map(|revision| revision.0.to_string());
                of(&problem_catalogue::PRECONDITION_FAILED).with_some("current_revision", current)
            }
            Refusal::RevisionNotSaid { current } => {
                of(&problem_catalogue::PRECONDITION_REQUIRED).with("current_revision", current.0.to_string())
            }
            Refusal::TopologyInUse { live, .. } => of(&problem_catalogue::TOPOLOGY_IN_USE).with("allocations", live),
            Refusal::Misfits { misfits } => of(&problem_catalogue::TOPOLOGY_CONFLICT).with("conflicts", ids(&misfits)),
            Refusal::ClassesInUse { orphans, .. } => {
                of(&problem_catalogue::CLASSES_IN_USE).with("conflicts", ids(&orphans))
            }
            Refusal::UnknownController(_) => of(&problem_catalogue::UNKNOWN_CONTROLLER),
            Refusal::UnknownTenant(_) => of(&problem_catalogue::UNKNOWN_TENANT),
            Refusal::UnknownMaintenance { .. } => of(&problem_catalogue::UNKNOWN_MAINTENANCE),
            Refusal::TenantInUse { living, .. } => of(&problem_catalogue::TENANT_IN_USE).with("allocations", living),
            Refusal::QuotaExceeded(exceeded) => of(&problem_catalogue::QUOTA_EXCEEDED)
                .with("tenant", exceeded.tenant.to_string())
                .with_some("topology", exceeded.topology.as_ref().map(ToString::to_string))
                .with_some("class_type", exceeded.class_type.map(ClassType::number))
                .with("quota", exceeded.kind.as_str())
                .with("held", exceeded.held)
                .with("limit", exceeded.limit),
            Refusal::AggregatorHasTenant { aggregator, tenant } => of(&problem_catalogue::AGGREGATOR_HAS_TENANT)
                .with("field", "aggregators")
                .with("aggregator", aggregator.to_string())
                .with("tenant", tenant.to_string()),
            Refusal::NotHeld(_) => of(&problem_catalogue::NOT_HELD),
            Refusal::HoldLength { .. } => of(&problem_catalogue::IMPOSSIBLE).with("field", "hold_ms"),
            Refusal::ImpossibleAutoBandwidth { field, .. } => of(&problem_catalogue::IMPOSSIBLE).with("field", field),
            Refusal::ImpossibleTime { field, .. } => of(&problem_catalogue::IMPOSSIBLE).with("field", field),
            Refusal::TopologyControlled { by, .. } => {
                of(&problem_catalogue::TOPOLOGY_CONTROLLED).with("controller", by.to_string())
            }
            Refusal::AddressMissing | Refusal::AddressUnused => of(&problem_catalogue::IMPOSSIBLE).with("field", "url"),
            Refusal::TooMany { max, .. } => of(&problem_catalogue::LIMIT_REACHED).with("limit", max),
            // No request leads to these.
            Refusal::NothingDue | Refusal::TermOver { .. } | Refusal::Contradiction => of(&problem_catalogue::INTERNAL),
        }
    }
}

/// For a refusal of what the body names.
pub(super) fn in_body(refusal: Refusal) -> Problem {
    let field = match refusal {
        Refusal::UnknownTopology(_) => "topology",
        Refusal::UnknownLink { .. } => "link",
        Refusal::UnknownTenant(_) => "tenant",
        other => return other.into(),
    };
    Problem::new(&problem_catalogue::UNKNOWN_REFERENCE, refusal.to_string()).with("field", field)
}

/// A denial of a demand.
pub(super) fn denied(demand: &Demand, why: &Denial, names: &Names) -> Problem {
    let node = |ix| names.node(ix).map_or("", Name::as_str);
    denial(node(demand.ingress), node(demand.egress), demand.class_type, demand.bandwidth, why, names)
}

/// Why there was no path, or no bandwidth.
pub(super) fn denial(
    ingress: &str,
    egress: &str,
    class_type: ClassType,
    requested: Bandwidth,
    why: &Denial,
    names: &Names,
) -> Problem {
    match why {
        Denial::InsufficientBandwidth { binding, largest_admissible } => {
            let (requested_bps, largest_admissible_bps) = (requested.as_bps(), largest_admissible.as_bps());
            let detail = format!(
                "no path from '{ingress}' to '{egress}' has {requested_bps} bit/s for class type {}; \
                 at most {largest_admissible_bps} bit/s would be admitted",
                class_type.number()
            );
            Problem::new(&problem_catalogue::INSUFFICIENT_BANDWIDTH, detail)
                .with("binding_links", binding_links(binding, class_type, requested, names))
                .with("largest_admissible_bps", largest_admissible_bps)
        }
        Denial::NoBackup { disjointness, binding, largest_admissible } => {
            let largest_admissible_bps = largest_admissible.as_bps();
            let (disjoint, shared) = match disjointness {
                Disjointness::Link => (DisjointName::Link, "no link"),
                Disjointness::Srlg => (DisjointName::Srlg, "no link and no risk group"),
                Disjointness::Node => (DisjointName::Node, "no link and no node"),
            };
            let most = match largest_admissible_bps {
                0 => "whatever the bandwidth".to_owned(),
                most => format!("of this bandwidth; at most {most} bit/s would be admitted"),
            };
            let detail = format!("no two paths from '{ingress}' to '{egress}' share {shared}, {most}");
            Problem::new(&problem_catalogue::NO_BACKUP_PATH, detail)
                .with("disjoint", disjoint.as_str())
                .with("binding_links", binding_links(binding, class_type, requested, names))
                .with("largest_admissible_bps", largest_admissible_bps)
        }
        Denial::NoPath(obstacle) => no_path(obstacle),
        Denial::TooCongested { cost_percent, limit_percent } => {
            let detail =
                format!("it costs {cost_percent} % of an empty path, and the policy's limit is {limit_percent} %");
            Problem::new(&problem_catalogue::TOO_CONGESTED, detail)
                .with("cost_percent", *cost_percent)
                .with("limit_percent", *limit_percent)
        }
    }
}

fn binding_links(binding: &[Binding], class_type: ClassType, requested: Bandwidth, names: &Names) -> serde_json::Value {
    let links = binding.iter().map(|binding| BindingLink {
        link: names.link(binding.link).map(ToString::to_string).unwrap_or_default(),
        class_type: class_type.number(),
        requested_bps: requested.as_bps(),
        available_bps: binding.available.as_bps(),
    });
    let links: Vec<BindingLink> = links.collect();
    serde_json::to_value(links).unwrap_or_default()
}

fn no_path(obstacle: &PathObstacle) -> Problem {
    let (constraint, detail) = match obstacle {
        PathObstacle::Disconnected => ("disconnected", "no links lead from the ingress to the egress".to_owned()),
        PathObstacle::LinksDown => ("links_down", "every path has a link that is down or in maintenance".to_owned()),
        PathObstacle::Excluded => ("excluded", "every path has an excluded node or link".to_owned()),
        PathObstacle::AdminGroup => {
            ("admin_group", "every path has a link of the wrong administrative group".to_owned())
        }
        PathObstacle::Route => ("route", "no path has the included hops or the explicit route".to_owned()),
        PathObstacle::SearchLimit => ("search_limit", "the search reached its limit before it found a path".to_owned()),
        PathObstacle::MaxHops { least } => ("max_hops", format!("the shortest path has {least} links")),
        PathObstacle::MaxDelay { least } => ("max_delay", format!("the fastest path takes {} us", least.0)),
    };
    let problem = Problem::new(&problem_catalogue::NO_PATH, detail).with("constraint", constraint);
    match obstacle {
        PathObstacle::MaxHops { least } => problem.with("least_hops", *least),
        PathObstacle::MaxDelay { least } => problem.with("least_delay_us", least.0),
        _ => problem,
    }
}

/// What was decided is not what was asked for: a defect.
pub(super) fn unexpected(fact: &Fact) -> Problem {
    tracing::error!(sequence = fact.sequence.0, "a command became an event of another kind");
    Problem::new(&problem_catalogue::INTERNAL, "the decision is of another kind than the request")
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let kind = match error {
            SubmitError::Busy | SubmitError::Late { .. } => &problem_catalogue::BUSY,
            SubmitError::Stopping => &problem_catalogue::STOPPING,
            // The database's own words are for the log: the writer has put them there.
            SubmitError::Journal(_) => {
                return Self::new(&problem_catalogue::JOURNAL_UNAVAILABLE, "the journal did not confirm the append");
            }
            SubmitError::OutcomeUnknown(_) => {
                let detail = "the database fell silent while the decision was being written down";
                return Self::new(&problem_catalogue::OUTCOME_UNKNOWN, detail);
            }
            SubmitError::KeyTaken => &problem_catalogue::IDEMPOTENCY_IN_FLIGHT,
            SubmitError::Withdrawn { index, outcome } => return withdrawn(*outcome).with("request", index),
        };
        Self::new(kind, error.to_string())
    }
}

/// Why one of several commands that depend on each other does not happen.
fn withdrawn(outcome: CommandOutcome) -> Problem {
    match outcome.as_deref() {
        Err(refusal) => in_body(refusal.clone()),
        Ok(Fact { event: Event::Denied { demand, denial, .. }, names, .. }) => denied(demand, denial, names),
        Ok(fact) => unexpected(fact),
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        tracing::error!(%error, "the journal could not be read");
        Self::new(&problem_catalogue::JOURNAL_UNAVAILABLE, "the journal could not be read")
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        let kind = match error {
            ImportError::NoCapacity { .. } => &problem_catalogue::MISSING_CAPACITY,
            ImportError::TooLarge { .. } | ImportError::Gzip(GzipError::TooLarge { .. }) => {
                &problem_catalogue::BODY_TOO_LARGE
            }
            _ => &problem_catalogue::UNREADABLE_TOPOLOGY,
        };
        let place = error.place();
        Self::new(kind, error.to_string())
            .with_some("line", place.line)
            .with_some("column", place.column)
            .with_some("element", place.element)
    }
}

impl From<DocumentError> for Problem {
    fn from(error: DocumentError) -> Self {
        Self::new(&problem_catalogue::INVALID_MODEL, error.to_string()).with("field", error.field())
    }
}

fn ids(ids: &[AllocationId]) -> Vec<Value> {
    ids.iter().take(CONFLICTS_MAX).map(|id| Value::from(id.to_string())).collect()
}
