//! Invariants of a whole state, checked from scratch: run after a replay of the journal and in tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::allocation::{Allocation, Demand};
use super::bam::VictimOrder;
use super::class::ClassType;
use super::id::{AllocationId, LinkIx, Name};
use super::ledger::Ledger;
use super::ledger_draft::LedgerDraft;
use super::path::are_disjoint;
use super::state::{Network, State};
use super::tenant::Usage;
use super::topology::LinkState;

/// A broken invariant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuditFault {
    /// The books are not the sum of the living allocations.
    #[error("the books of topology '{topology}' are not the sum of its allocations on link {link}", link = .link.0)]
    BooksDiffer {
        /// The network.
        topology: Name,
        /// The first link on which they differ.
        link: LinkIx,
    },
    /// More is booked than the bandwidth model allows. A soft change of the model may leave this behind for a while.
    #[error("link {link} of topology '{topology}' has more booked than its bandwidth model allows", link = .link.0)]
    Overfull {
        /// The network.
        topology: Name,
        /// The link.
        link: LinkIx,
    },
    /// A path that is broken, loops, or uses a link that is down.
    #[error("a path of allocation {0} is broken, loops, or uses a link that is down")]
    BadPath(AllocationId),
    /// A backup path that shares what it must not share with the working path, or that was not asked for.
    #[error("the backup path of allocation {0} is not disjoint from its working path, or was not asked for")]
    BadBackup(AllocationId),
    /// The list of those for whose protection something is to be done is not that of the living allocations.
    #[error("the list of allocations that are to be protected again is not that of the living allocations")]
    RecoveringDiffers,
    /// An allocation without a network or class.
    #[error("allocation {0} has no network or class")]
    Homeless(AllocationId),
    /// The count of living allocations is off.
    #[error("topology '{topology}' counts {counted} allocations and has {living}")]
    Miscounted {
        /// The network.
        topology: Name,
        /// The network's own count.
        counted: usize,
        /// The allocations found.
        living: usize,
    },
    /// The lists of deadlines and starts are not those of the living allocations.
    #[error("the list of deadlines or of starts is not that of the living allocations")]
    DeadlinesDiffer,
    /// The numbers of flows are not those of the living allocations that have one.
    #[error("the numbers of flows are not those of the living allocations that have one")]
    FlowNumbersDiffer,
    /// The allocations that are said to follow their traffic are not those that ask for it.
    #[error("the allocations that are said to follow their traffic are not those that ask for it")]
    AutoBandwidthDiffers,
    /// What tenants are said to take is not what their living allocations do.
    #[error("what tenants are said to take is not what their living allocations do")]
    UsageDiffers,
}

/// Every broken invariant; none in a sound state.
pub fn audit(state: &State) -> Vec<AuditFault> {
    let mut faults = vec![];
    let due: BTreeSet<_> =
        state.allocations.values().filter_map(|lsp| lsp.demand.attributes.ends_at().map(|at| (at, lsp.id))).collect();
    let starting = |lsp: &Arc<Allocation>| lsp.demand.attributes.starts_at.map(|at| (at, lsp.id));
    let starts: BTreeSet<_> = state.allocations.values().filter_map(starting).collect();
    if !due.iter().eq(state.deadlines.iter().map(|(deadline, ())| deadline))
        || !starts.iter().eq(state.starts.iter().map(|(start, ())| start))
    {
        faults.push(AuditFault::DeadlinesDiffer);
    }
    if !state.usage.iter().eq(usage(state).iter()) {
        faults.push(AuditFault::UsageDiffers);
    }
    let with_flow = |id: AllocationId| {
        let allocation = state.allocations.get(&id);
        allocation.is_some_and(|allocation| allocation.demand.attributes.flow.is_some())
    };
    let has_number = |allocation: &Allocation| {
        state.flow_numbers.of(allocation.id).is_some() || state.waits_for_flow_number(allocation)
    };
    let mut flows = state.allocations.values().filter(|one| one.demand.attributes.flow.is_some());
    if state.flow_numbers.iter().any(|(id, _)| !with_flow(id)) || !flows.all(|one| has_number(one)) {
        faults.push(AuditFault::FlowNumbersDiffer);
    }
    let recovering = state.allocations.values().filter(|allocation| allocation.is_recovering());
    if !recovering.map(|allocation| allocation.id).eq(state.recovering_after(None)) {
        faults.push(AuditFault::RecoveringDiffers);
    }
    let following = state.allocations.values().filter(|one| one.demand.attributes.auto_bandwidth.is_some());
    if !following.map(|allocation| allocation.id).eq(state.auto_bandwidth()) {
        faults.push(AuditFault::AutoBandwidthDiffers);
    }
    for allocation in state.allocations.values() {
        match state.networks.get(&allocation.demand.topology) {
            Some(network) if network.slot_of(allocation).is_some() => {
                let paths = || std::iter::once(&allocation.path).chain(allocation.backup());
                if !paths().all(|path| path_is_sound(path, allocation, network)) {
                    faults.push(AuditFault::BadPath(allocation.id));
                }
                if allocation.backup().is_some_and(|backup| !protects(allocation, backup, network)) {
                    faults.push(AuditFault::BadBackup(allocation.id));
                }
            }
            _ => faults.push(AuditFault::Homeless(allocation.id)),
        }
    }
    for (name, network) in state.networks() {
        audit_network(state, name, network, &mut faults);
    }
    faults
}

/// What tenants take, counted anew.
fn usage(state: &State) -> BTreeMap<Name, BTreeMap<(Name, ClassType), Usage>> {
    let mut usage: BTreeMap<_, BTreeMap<_, Usage>> = BTreeMap::new();
    for allocation in state.allocations.values() {
        let Demand { topology, class_type, attributes, .. } = &allocation.demand;
        if let Some(tenant) = &attributes.tenant {
            let of_tenant = usage.entry(tenant.clone()).or_default();
            let sum = of_tenant.entry((topology.clone(), *class_type)).or_default();
            *sum = sum.plus(Usage::of(allocation));
        }
    }
    usage
}

fn audit_network(state: &State, name: &Name, network: &Network, faults: &mut Vec<AuditFault>) {
    let mut books = Ledger::new(&network.topology, &network.model);
    let guests = || state.allocations.values().filter(|allocation| allocation.demand.topology == *name);
    let living = guests().count();
    books.enter_all(guests().filter_map(|allocation| network.entry_of(allocation)));
    if living != network.live() {
        faults.push(AuditFault::Miscounted { topology: name.clone(), counted: network.live(), living });
    }
    let draft = LedgerDraft::new(&network.ledger);
    for (link, _) in network.topology.links() {
        if !books.same_page(&network.ledger, link) {
            faults.push(AuditFault::BooksDiffer { topology: name.clone(), link });
        }
        if draft.next_excess(link, VictimOrder::HighestFirst).is_some() {
            faults.push(AuditFault::Overfull { topology: name.clone(), link });
        }
    }
}

fn protects(allocation: &Allocation, backup: &[LinkIx], network: &Network) -> bool {
    let protection = allocation.demand.attributes.booked_protection();
    protection.is_some_and(|asked| are_disjoint(&network.graph, &allocation.path, backup, asked.disjointness))
}

fn path_is_sound(path: &[LinkIx], allocation: &Allocation, network: &Network) -> bool {
    let mut at = allocation.demand.ingress;
    let mut seen = BTreeSet::from([at]);
    for link in path {
        match network.topology.link(*link) {
            Some(link)
                if link.from == at
                    && (link.state != LinkState::Down || allocation.is_scheduled())
                    && seen.insert(link.to) =>
            {
                at = link.to;
            }
            _ => return false,
        }
    }
    at == allocation.demand.egress
}
