//! Restoration of allocations that have lost their paths. Who has a backup path takes that. Best class first, each of the
//! rest is offered a path with free bandwidth, and then one on which it takes bandwidth as at its admission, also from those
//! that were restored before it. What must stay true: an allocation that fails would not be admitted at the end either; but where
//! classes lend (G-BAM, ATCS), allocations can displace each other in a circle, one by preemption and the other by taking its
//! share back. It is left after so many turns, and what has failed then would not be admitted on free bandwidth.

use super::reallocation::Reallocation;
use super::victims::book_path_with_victims;
use crate::path::Workspace;
use crate::policy::Restoration;

/// How often those without a path are gone through. Every turn but the last lets them take bandwidth from others, whose
/// turn then comes again.
const TURNS_MAX: usize = 8;

/// Restores what can be restored after the network changed.
pub(super) fn restore(books: &mut Reallocation<'_, '_>, workspace: &mut Workspace) {
    switch_over(books, workspace);
    if books.network.model.policy.restoration == Restoration::None {
        return;
    }
    for _ in 0..TURNS_MAX {
        let mut has_victims = false;
        for allocation in books.pathless() {
            if !books.book_free_path(&allocation, workspace) {
                has_victims |= book_path_with_victims(books, &allocation, workspace);
            }
        }
        if !has_victims {
            return;
        }
    }
    reroute_victims(books, workspace);
}

/// Offers the victims of a demand other paths, on which they take no bandwidth from any other allocation.
pub(super) fn reroute_victims(books: &mut Reallocation<'_, '_>, workspace: &mut Workspace) {
    switch_over(books, workspace);
    if books.network.model.policy.restoration == Restoration::None {
        return;
    }
    for allocation in books.pathless() {
        books.book_free_path(&allocation, workspace);
    }
}

/// Books those with two paths on the one that can carry them, whatever the policy of restoration: what they asked for stands
/// there. Those that have lost no more than their backup path come first. So no other takes the room that they had, or that
/// stands by.
fn switch_over(books: &mut Reallocation<'_, '_>, workspace: &mut Workspace) {
    for allocation in books.pathless() {
        books.stay(&allocation, workspace);
    }
    for allocation in books.pathless() {
        books.switch_over(&allocation, workspace);
    }
}
