//! The stored form of planned maintenance.

use serde::{Deserialize, Serialize};

use super::scalars::{StoredAnnotation, StoredName};
use kernel::id::Sequence;
use kernel::maintenance::Maintenance;
use kernel::units::Millis;

/// Links that are out of service for a time.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct MaintenanceRecord {
    /// The event that planned it.
    id: u64,
    links: Vec<StoredName>,
    starts_at_ms: u64,
    ends_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<StoredAnnotation>,
}

impl MaintenanceRecord {
    pub(super) fn of(maintenance: &Maintenance) -> Self {
        Self {
            id: maintenance.id.0,
            links: maintenance.links.iter().map(StoredName::from).collect(),
            starts_at_ms: maintenance.starts_at.0,
            ends_at_ms: maintenance.ends_at.0,
            note: maintenance.note.clone().map(StoredAnnotation),
        }
    }

    pub(super) fn read(&self) -> Maintenance {
        Maintenance {
            id: Sequence(self.id),
            links: self.links.iter().map(|link| link.0.clone()).collect(),
            starts_at: Millis(self.starts_at_ms),
            ends_at: Millis(self.ends_at_ms),
            note: self.note.as_ref().map(|stored| stored.0.clone()),
        }
    }
}
