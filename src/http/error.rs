//! The one table from refusals, denials and failures to problems.

use serde_json::Value;

use super::problem::Problem;
use super::problem_catalogue;
use crate::app::record::{DemandRecord, DenialRecord};
use crate::app::{Fact, JournalError, RecordDecodeError, SubmitError};
use api::problem::BindingLink;
use formats::ImportError;
use formats::bandwidth_model::DocumentError;
use kernel::Refusal;
use kernel::id::AllocationId;

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
            Refusal::ClassesInUse { orphans } => {
                of(&problem_catalogue::CLASSES_IN_USE).with("conflicts", ids(&orphans))
            }
            Refusal::UnknownController(_) => of(&problem_catalogue::UNKNOWN_CONTROLLER),
            Refusal::TopologyControlled { by, .. } => {
                of(&problem_catalogue::TOPOLOGY_CONTROLLED).with("controller", by.to_string())
            }
            Refusal::AddressMissing | Refusal::AddressUnused => of(&problem_catalogue::IMPOSSIBLE).with("field", "url"),
            Refusal::TooMany { max, .. } => of(&problem_catalogue::LIMIT_REACHED).with("limit", max),
            Refusal::NothingDue | Refusal::Contradiction => of(&problem_catalogue::INTERNAL),
        }
    }
}

/// For a refusal of what the body names.
pub(super) fn in_body(refusal: Refusal) -> Problem {
    let field = match refusal {
        Refusal::UnknownTopology(_) => "topology",
        Refusal::UnknownLink { .. } => "link",
        other => return other.into(),
    };
    Problem::new(&problem_catalogue::UNKNOWN_REFERENCE, refusal.to_string()).with("field", field)
}

/// A denial of a demand.
pub(super) fn denied(demand: &DemandRecord, why: &DenialRecord) -> Problem {
    let (ingress, egress) = (demand.ingress.0.as_str(), demand.egress.0.as_str());
    denial(ingress, egress, demand.class_type, demand.bandwidth_bps, why)
}

/// Why there was no path, or no bandwidth.
pub(super) fn denial(ingress: &str, egress: &str, class_type: u8, requested_bps: u64, why: &DenialRecord) -> Problem {
    let no_path = |constraint: &'static str, detail: &'static str| {
        Problem::new(&problem_catalogue::NO_PATH, detail).with("constraint", constraint)
    };
    match why {
        DenialRecord::InsufficientBandwidth { binding, largest_admissible_bps } => {
            let links = binding.iter().map(|binding| BindingLink {
                link: binding.link.to_string(),
                class_type,
                requested_bps,
                available_bps: binding.available_bps,
            });
            let links: Vec<BindingLink> = links.collect();
            let detail = format!(
                "no path from '{ingress}' to '{egress}' has {requested_bps} bit/s for class type {class_type}; \
                 at most {largest_admissible_bps} bit/s would be admitted"
            );
            Problem::new(&problem_catalogue::INSUFFICIENT_BANDWIDTH, detail)
                .with("binding_links", serde_json::to_value(links).unwrap_or_default())
                .with("largest_admissible_bps", *largest_admissible_bps)
        }
        DenialRecord::Disconnected => no_path("disconnected", "no links lead from the ingress to the egress"),
        DenialRecord::LinksDown => no_path("links_down", "every way has a link that is down or in maintenance"),
        DenialRecord::Excluded => no_path("excluded", "what is excluded cuts the egress off"),
        DenialRecord::AdminGroup => no_path("admin_group", "the administrative groups cut the egress off"),
        DenialRecord::Route => no_path("route", "what is to be included, or the explicit route, cannot be met"),
        DenialRecord::SearchLimit => no_path("search_limit", "the search was given up before it found a path"),
        DenialRecord::MaxHops { least_hops } => {
            no_path("max_hops", "it takes more links").with("least_hops", *least_hops)
        }
        DenialRecord::MaxDelay { least_delay_us } => {
            no_path("max_delay", "it takes longer").with("least_delay_us", *least_delay_us)
        }
        DenialRecord::TooCongested { cost_percent, limit_percent } => {
            let detail = "the path costs more than the bandwidth model's policy pays";
            Problem::new(&problem_catalogue::TOO_CONGESTED, detail)
                .with("cost_percent", *cost_percent)
                .with("limit_percent", *limit_percent)
        }
    }
}

/// What was decided is not what was asked for: a defect.
pub(super) fn unexpected(fact: &Fact) -> Problem {
    tracing::error!(sequence = fact.sequence.0, "a command became an event of another kind");
    Problem::new(&problem_catalogue::INTERNAL, "what was decided is not what was asked for")
}

/// An event of the journal does not decode: a defect.
pub(super) fn undecodable(error: RecordDecodeError) -> Problem {
    tracing::error!(%error, "an event of the journal does not decode");
    Problem::new(&problem_catalogue::INTERNAL, "an event of the journal does not decode")
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let kind = match error {
            SubmitError::Busy => &problem_catalogue::BUSY,
            SubmitError::Stopping => &problem_catalogue::STOPPING,
            // The database's own words are for the log: the writer has put them there.
            SubmitError::Journal(_) => {
                return Self::new(&problem_catalogue::JOURNAL_UNAVAILABLE, "nothing could be written down");
            }
        };
        Self::new(kind, error.to_string())
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
            ImportError::TooLarge { .. } => &problem_catalogue::BODY_TOO_LARGE,
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
