//! What has changed since the plan was last brought up to date, gathered from what was committed.

use std::collections::BTreeSet;

use kernel::Fact;
use kernel::event::{Displaced, Event};
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
    pub(super) fn add(&mut self, fact: &Fact, topology: &Name) {
        self.until = self.until.max(fact.sequence);
        let all = |displaced: &[Displaced]| displaced.iter().map(|gone| gone.id).collect::<Vec<_>>();
        let ids = match &fact.event {
            Event::TopologyPut { name, .. } | Event::TopologyDeleted { name } => {
                if name == topology {
                    self.what = What::Everything;
                }
                return;
            }
            Event::ModelSet { displaced, .. }
            | Event::LinkChanged { displaced, .. }
            | Event::MaintenancePlanned { displaced, .. } => all(displaced),
            Event::Admitted { allocation, displaced }
            | Event::Resized { allocation, displaced }
            | Event::Started { allocation, displaced } => {
                let mut ids = all(displaced);
                ids.push(allocation.id);
                ids
            }
            Event::Recovered { allocation } => vec![allocation.id],
            Event::Released { id } | Event::StartFailed { id, .. } => vec![*id],
            Event::Expired { ids } => ids.clone(),
            Event::Denied { .. }
            | Event::ControllerPut { .. }
            | Event::ControllerLed { .. }
            | Event::SchedulerLed { .. }
            | Event::ControllerDeleted { .. }
            | Event::MaintenanceEnded { .. }
            | Event::PreemptionForeseen { .. }
            | Event::TenantPut { .. }
            | Event::TenantDeleted { .. } => return,
        };
        if let What::These(these) = &mut self.what {
            these.extend(ids);
        }
    }
}
