//! Notice of preemption: what was foreseen on a version of the state, as far as it can still be so.

use std::collections::BTreeSet;

use super::resolve;
use crate::allocation::Allocation;
use crate::event::Event;
use crate::id::{AllocationId, LinkIx, Name};
use crate::ledger_entry::LedgerEntry;
use crate::preemption_notice::{NOTICES_MAX, PreemptionNotice};
use crate::refusal::Refusal;
use crate::state::{Network, State};

pub(super) fn give(
    state: &State,
    topology: &Name,
    notices: &[(AllocationId, Option<PreemptionNotice>)],
) -> Result<Event, Refusal> {
    let (_, network) = resolve::network(state, Some(topology))?;
    let living = |id| state.allocation(id).filter(|one| one.demand.topology == *topology);
    let mut room = NOTICES_MAX.saturating_sub(state.notices().count());
    let is_so = |(id, notice): &(AllocationId, Option<PreemptionNotice>)| {
        living(*id).is_some_and(|one| {
            state.notices().of(*id) != *notice
                && notice.is_none_or(|notice| living(notice.by).is_some_and(|by| may_preempt(network, by, one, notice)))
        })
    };
    let has_room = |(id, notice): &(AllocationId, Option<PreemptionNotice>)| {
        let is_new = notice.is_some() && state.notices().of(*id).is_none();
        let is_within = !is_new || room > 0;
        room = room.saturating_sub(usize::from(is_new));
        is_within
    };
    let notices: Vec<_> = notices.iter().copied().filter(is_so).filter(has_room).collect();
    match notices.is_empty() {
        true => Err(Refusal::NothingDue),
        false => Ok(Event::PreemptionForeseen { topology: topology.clone(), notices }),
    }
}

/// Whether `by` is still booked for that instant, on a link of the other.
fn may_preempt(network: &Network, by: &Allocation, other: &Allocation, notice: PreemptionNotice) -> bool {
    let links = |of: &Allocation| -> BTreeSet<LinkIx> {
        network.entry_of(of).iter().flat_map(LedgerEntry::all_links).collect()
    };
    by.demand.attributes.starts_at == Some(notice.at) && !links(by).is_disjoint(&links(other))
}
