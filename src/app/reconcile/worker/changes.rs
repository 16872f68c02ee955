//! What has changed since the plan was last brought up to date, gathered from what was committed.

use std::collections::BTreeSet;

use super::super::super::Fact;
use crate::journal::record::{DisplacedRecord, Record};
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
            Record::TopologyPut { topology: name, .. } | Record::TopologyDeleted { topology: name } => {
                if name.0 == *topology {
                    self.what = What::Everything;
                }
                return;
            }
            Record::ModelSet { displaced, .. } | Record::LinkChanged { displaced, .. } => all(displaced),
            Record::AllocationAdmitted { allocation, displaced }
            | Record::AllocationResized { allocation, displaced } => {
                let mut ids = all(displaced);
                ids.push(allocation.id.0);
                ids
            }
            Record::AllocationReleased { id } => vec![id.0],
            Record::AllocationsExpired { ids } => ids.iter().map(|id| id.0).collect(),
            Record::AllocationDenied { .. } | Record::ControllerPut { .. } | Record::ControllerDeleted { .. } => return,
        };
        if let What::These(these) = &mut self.what {
            these.extend(ids.drain(..));
        }
    }
}
