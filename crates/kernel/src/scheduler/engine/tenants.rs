//! The tenants of aggregators. What must stay true: a reservation counts for the tenant that its aggregator is of; where that
//! is another now, the aggregator gives its reservations back and gets others.

use super::Dispatcher;
use crate::id::Name;
use crate::scheduler::TenantShare;
use crate::state::State;

/// The tenant of an aggregator, as the plan knows it.
fn share_of(state: &State, id: &Name) -> Option<TenantShare> {
    let tenant = state.tenant_of(id)?;
    Some(TenantShare { tenant: tenant.name.clone(), weight: tenant.terms.weight })
}

impl Dispatcher {
    /// Follows commits that changed tenants.
    pub fn sync_tenants(&mut self, state: &State) {
        let ids: Vec<Name> = self.aggregators.keys().cloned().collect();
        for id in ids {
            if self.sync_tenant(&id, state) {
                self.update_demand(&id, state);
            }
        }
    }

    /// Sets the tenant of an aggregator. Says whether it was another, whose flows are dropped.
    pub(super) fn sync_tenant(&mut self, id: &Name, state: &State) -> bool {
        let share = share_of(state, id);
        let Some(known) = self.aggregators.get_mut(id) else { return false };
        let before = std::mem::replace(&mut known.tenant, share);
        let is_another = before.map(|one| one.tenant) != known.tenant.as_ref().map(|one| one.tenant.clone());
        if let Some(net) = self.nets.get_mut(&known.topology) {
            net.planner.set_tenant(known.ix, known.tenant.as_ref());
        }
        if is_another {
            self.drop_flows(id);
        }
        is_another
    }
}
