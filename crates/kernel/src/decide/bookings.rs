//! Bookings whose path is broken or whose bandwidth was taken before they start.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::reallocation::Reallocation;
use crate::allocation::Allocation;
use crate::event::DisplacedBy;
use crate::id::{AllocationId, LinkIx};
use crate::path::Workspace;
use crate::policy::Restoration;

/// Bookings that found no other path go back to where they were: the links may be in service when they start. Then those
/// are displaced that could not take their bandwidth. Which stay on a path that is broken.
pub(super) fn settle(
    books: &mut Reallocation<'_, '_>,
    links: BTreeSet<LinkIx>,
    cause: impl Fn(&Allocation) -> DisplacedBy,
    workspace: &mut Workspace,
) -> Vec<AllocationId> {
    let mut stranded = books.pathless();
    stranded.retain(|allocation| allocation.is_scheduled() && !allocation.path.is_empty());
    for allocation in &stranded {
        books.place(allocation.id, allocation.route());
    }
    displace_not_kept(books, links, cause, workspace);
    stranded.retain(|allocation| books.has_stayed(allocation));
    stranded.iter().map(|allocation| allocation.id).collect()
}

/// Displaces bookings until each that is left on these links can take its bandwidth at its start, and offers those
/// displaced other paths.
pub(super) fn displace_not_kept(
    books: &mut Reallocation<'_, '_>,
    links: BTreeSet<LinkIx>,
    cause: impl Fn(&Allocation) -> DisplacedBy,
    workspace: &mut Workspace,
) {
    if !books.draft.has_bookings() {
        return;
    }
    let mut displaced = vec![];
    for link in links {
        while let Some(worst) = worst_not_kept(books, link) {
            books.displace(&worst, cause(&worst));
            // What has no place in the books cannot leave it.
            if books.route_of(&worst).is_some() {
                break;
            }
            displaced.push(worst);
        }
    }
    if books.network.model.policy.restoration == Restoration::None {
        return;
    }
    displaced.sort_by_cached_key(|allocation| books.rank(allocation));
    for allocation in displaced {
        books.book_free_path(&allocation, workspace);
    }
}

fn worst_not_kept(books: &Reallocation<'_, '_>, link: LinkIx) -> Option<Arc<Allocation>> {
    let lost = books.draft.first_not_kept(link).into_iter().filter_map(|id| books.allocation(id));
    lost.max_by_key(|allocation| books.rank(allocation)).cloned()
}
