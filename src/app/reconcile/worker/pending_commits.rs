//! What has changed since the plan was last brought up to date, gathered from what was committed.

use std::collections::BTreeSet;

use super::super::super::Fact;
use crate::journal::record::{DisplacedRecord, EventRecord};
use kernel::id::{AllocationId, Name, Sequence};

/// What has changed since the plan was last brought up to date.
pub(super) struct Changes {
    pub(super) what: What,
    /// The last event that is accounted for.
    pub(super) until: Sequence,
}

pub(super) enum What {
    Everything,
    These(BTreeSet<AllocationId>),
}

impl Changes {
    pub(super) fn note(&mut self, fact: &Fact, topology: &Name) {
        self.until = self.until.max(fact.sequence);
        let all = |displaced: &[DisplacedRecord]| displaced.iter().map(|gone| gone.id.0).collect::<Vec<_>>();
        let mut ids = match &fact.record {
            EventRecord::TopologyPut { topology: name, .. } | EventRecord::TopologyDeleted { topology: name } => {
                if name.0 == *topology {
                    self.what = What::Everything;
                }
                return;
            }
            EventRecord::ModelSet { displaced, .. } | EventRecord::LinkChanged { displaced, .. } => all(displaced),
            EventRecord::AllocationAdmitted { allocation, displaced }
            | EventRecord::AllocationResized { allocation, displaced } => {
                let mut ids = all(displaced);
                ids.push(allocation.id.0);
                ids
            }
            EventRecord::AllocationReleased { id } => vec![id.0],
            EventRecord::AllocationsExpired { ids } => ids.iter().map(|id| id.0).collect(),
            EventRecord::AllocationDenied { .. }
            | EventRecord::ControllerPut { .. }
            | EventRecord::ControllerDeleted { .. } => return,
        };
        if let What::These(these) = &mut self.what {
            these.extend(ids.drain(..));
        }
    }
}
