//! Planned maintenance: links that will be out of service for a time that is known. What has a start or an end is not placed on
//! them for that time; what lasts until it is released stays until its time has come, when the links go into maintenance.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::allocation::Allocation;
use super::annotation::Annotation;
use super::id::{LinkIx, Name, Sequence};
use super::ledger_entry::Span;
use super::topology::Topology;
use super::units::Millis;

/// The most that may be planned for one topology.
pub const MAINTENANCES_MAX: usize = 1_000;
/// The most links of one.
pub const MAINTENANCE_LINKS_MAX: usize = 10_000;

/// Links that are out of service for a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Maintenance {
    /// The event that planned it.
    pub id: Sequence,
    /// The links, both directions of each.
    pub links: Arc<[Name]>,
    /// When it begins.
    pub starts_at: Millis,
    /// When it is over; later than it begins.
    pub ends_at: Millis,
    /// What it is for.
    pub note: Option<Annotation>,
}

impl Maintenance {
    /// Whether any of it is within a time, half open; no end: for ever.
    fn overlaps(&self, from: Millis, until: Option<Millis>) -> bool {
        from < self.ends_at && until.is_none_or(|until| self.starts_at < until)
    }

    /// Whether it meets an allocation that has its bandwidth on one of the links.
    pub fn meets(&self, allocation: &Allocation) -> bool {
        let attributes = &allocation.demand.attributes;
        self.overlaps(attributes.starts_at.unwrap_or(Millis(0)), attributes.ends_at())
    }
}

/// All that is planned for a topology, by the event that planned it.
pub(crate) type Maintenances = BTreeMap<Sequence, Arc<Maintenance>>;

/// When links are closed to what has a start or an end.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Closures {
    of: BTreeMap<LinkIx, Vec<Arc<Maintenance>>>,
}

impl Closures {
    pub(crate) fn of(planned: &Maintenances, topology: &Topology) -> Self {
        let mut closures = Self::default();
        for maintenance in planned.values() {
            for link in maintenance.links.iter().filter_map(|name| topology.link_named(name.as_str())) {
                closures.of.entry(link).or_default().push(Arc::clone(maintenance));
            }
        }
        closures
    }

    /// Whether a link is closed at some time of what is to be booked then. What has no end stays when the time comes, if there
    /// is no other path for it then.
    pub(crate) fn close(&self, link: LinkIx, span: Span) -> bool {
        if self.of.is_empty() || (span.start.is_none() && span.ends_at.is_none()) {
            return false;
        }
        let from = span.start.map_or(Millis(0), |start| start.at);
        self.of.get(&link).is_some_and(|planned| planned.iter().any(|one| one.overlaps(from, span.ends_at)))
    }

    /// Whether anything is planned.
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}
