//! Chains of links between which a path has no choice. Half the nodes of an operator's network lie on a line between two
//! others: having come from one side, a path can only continue to the other. The forced continuations are found once, so
//! that a search labels and queues only the nodes at which there is a choice.
//!
//! Must stay true: following forced continuations always ends, also in rings.

use super::csr::{Csr, NONE};

/// Instead of a continuation: no simple path continues from there.
pub(super) const DEAD_END: u32 = u32::MAX - 1;

/// By arc: the only one that a simple path can take next, [`NONE`] if there is a choice, or [`DEAD_END`].
pub(super) struct Chains(Vec<u32>);

impl Chains {
    pub(super) fn new(csr: &Csr) -> Self {
        let mut onward: Vec<u32> = csr.arcs().map(|arc| only_next(csr, arc)).collect();
        // 0: not seen; otherwise the arc from which a walk came by here, plus one.
        let mut seen = vec![0_u32; onward.len()];
        for start in csr.arcs() {
            let mut at = start;
            while at < DEAD_END && seen[at as usize] == 0 {
                seen[at as usize] = start + 1;
                let next = onward[at as usize];
                if next < DEAD_END && seen[next as usize] == start + 1 {
                    // A ring: it is cut open here.
                    onward[at as usize] = NONE;
                    break;
                }
                at = next;
            }
        }
        Self(onward)
    }

    /// No chains: every node is labelled.
    pub(super) fn none(csr: &Csr) -> Self {
        Self(vec![NONE; csr.link_count()])
    }

    #[inline]
    pub(super) fn onward(&self, arc: u32) -> u32 {
        self.0[arc as usize]
    }
}

fn only_next(csr: &Csr, arc: u32) -> u32 {
    let (tail, head) = (csr.tails[arc as usize], csr.heads[arc as usize]);
    let mut next = csr.out(head).filter(|next| csr.heads[*next as usize] != tail);
    match (next.next(), next.next()) {
        (None, _) => DEAD_END,
        (Some(only), None) => only,
        (Some(_), Some(_)) => NONE,
    }
}
