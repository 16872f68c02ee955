//! Invariants of a whole state, checked from scratch: run after a replay of the journal and in tests.

use std::collections::BTreeSet;

use super::allocation::Allocation;
use super::bam::VictimOrder;
use super::id::{AllocationId, LinkIx, Name};
use super::ledger::{Ledger, LedgerDraft};
use super::state::{Network, State};
use super::topology::LinkState;

/// Something that must never be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuditFault {
    /// The books are not what the living allocations add up to.
    #[error("the books of topology '{topology}' are not the sum of its allocations at link {link}", link = .link.0)]
    BooksDiffer {
        /// Which network.
        topology: Name,
        /// The first link at which they differ.
        link: LinkIx,
    },
    /// More is booked than the bandwidth model allows. A soft change of the model may leave this behind for a while.
    #[error("link {link} of topology '{topology}' holds more than its bandwidth model allows", link = .link.0)]
    Overfull {
        /// Which network.
        topology: Name,
        /// Which link.
        link: LinkIx,
    },
    /// A path that is broken, loops, or uses a link that is down.
    #[error("the path of allocation {0} is not one it could have")]
    BadPath(AllocationId),
    /// An allocation without a network or class.
    #[error("allocation {0} belongs nowhere")]
    Homeless(AllocationId),
    /// The count of living allocations is off.
    #[error("topology '{topology}' counts {counted} allocations and has {living}")]
    Miscounted {
        /// Which network.
        topology: Name,
        /// What it counts.
        counted: usize,
        /// What there are.
        living: usize,
    },
    /// The list of deadlines is not that of the living allocations.
    #[error("the deadlines are not those of the living allocations")]
    DeadlinesDiffer,
}

/// Every fault there is; none in a sound state.
pub fn audit(state: &State) -> Vec<AuditFault> {
    let mut faults = vec![];
    let due: BTreeSet<_> = state.allocations.values().filter_map(|lsp| lsp.expires_at.map(|at| (at, lsp.id))).collect();
    if due != state.deadlines {
        faults.push(AuditFault::DeadlinesDiffer);
    }
    for allocation in state.allocations.values() {
        match state.networks.get(&allocation.topology) {
            Some(network) if network.slot_of(allocation).is_some() => {
                if !path_is_sound(allocation, network) {
                    faults.push(AuditFault::BadPath(allocation.id));
                }
            }
            _ => faults.push(AuditFault::Homeless(allocation.id)),
        }
    }
    for (name, network) in &state.networks {
        audit_network(state, name, network, &mut faults);
    }
    faults
}

fn audit_network(state: &State, name: &Name, network: &Network, faults: &mut Vec<AuditFault>) {
    let mut books = Ledger::new(&network.topology, &network.model);
    let guests = || state.allocations.values().filter(|allocation| allocation.topology == *name);
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
        if draft.next_to_leave(link, VictimOrder::HighestFirst).is_some() {
            faults.push(AuditFault::Overfull { topology: name.clone(), link });
        }
    }
}

fn path_is_sound(allocation: &Allocation, network: &Network) -> bool {
    let mut at = allocation.ingress;
    let mut seen = BTreeSet::from([at]);
    for link in allocation.path.iter() {
        match network.topology.link(*link) {
            Some(link) if link.from == at && link.state != LinkState::Down && seen.insert(link.to) => at = link.to,
            _ => return false,
        }
    }
    at == allocation.egress
}
