//! Moves to paths with lower TE metrics. The allocation with the most to gain comes first; each move makes the sum less, so
//! the search ends.

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use kernel::Refusal;
use kernel::allocation::Allocation;
use kernel::id::{AllocationId, LinkIx, NodeIx};
use kernel::ledger_draft::LedgerDraft;
use kernel::path::{Constraints, Metric, Query, Workspace, shortest};
use kernel::state::Network;

use crate::carrying_links::{CarryingLinks, carried};
use crate::objective::{narrowed, path_cost, total_cost};
use crate::plan_draft::{PlanDraft, passing_by};

/// Lowers the total cost, for as long as a single move does.
pub(crate) fn lower_total_cost(draft: &mut PlanDraft<'_>) -> Result<(), Refusal> {
    let mut workspace = Workspace::default();
    let mut cost = total_cost(&draft.state, draft.topology, &draft.network()?);
    loop {
        let before = draft.steps.len();
        pass(draft, &mut cost, &mut workspace)?;
        // What has moved may have made room for what was looked at before.
        if draft.steps.len() == before || draft.is_cut_short {
            return Ok(());
        }
    }
}

/// Goes once through what may gain, the most first.
fn pass(draft: &mut PlanDraft<'_>, cost: &mut u128, workspace: &mut Workspace) -> Result<(), Refusal> {
    let network = draft.network()?;
    // No gain is more than what the path costs above the shortest one of an empty network.
    let mut open: BinaryHeap<(u128, std::cmp::Reverse<AllocationId>)> = most_gains(draft, &network).collect();
    while let Some((most, std::cmp::Reverse(id))) = open.pop() {
        if !draft.may_go_on() {
            return Ok(());
        }
        let network = draft.network()?;
        let Some(allocation) = draft.state.allocation(id).cloned() else { continue };
        let Some((gain, path)) = cheaper_path(&network, &allocation, workspace) else { continue };
        // Another may gain more than this one does as things stand.
        if gain < most && open.peek().is_some_and(|(next, _)| *next > gain) {
            open.push((gain, std::cmp::Reverse(id)));
            continue;
        }
        let less = cost.saturating_sub(gain);
        if draft.move_to(&allocation, &path, |_| narrowed(less), workspace)? {
            *cost = less;
        }
    }
    Ok(())
}

fn most_gains<'a>(
    draft: &'a PlanDraft<'_>,
    network: &'a Network,
) -> impl Iterator<Item = (u128, std::cmp::Reverse<AllocationId>)> + 'a {
    let links = CarryingLinks::of(network);
    let mut least: BTreeMap<NodeIx, Vec<Option<u128>>> = BTreeMap::new();
    carried(&draft.state, draft.topology).filter_map(move |one| {
        let from = least.entry(one.demand.ingress).or_insert_with(|| {
            let paths = links.shortest_paths(one.demand.ingress, |_, arc| u128::from(arc.te_metric));
            (0..network.topology().node_count()).map(|node| paths.cost_to(node_ix(node))).collect()
        });
        let least = from.get(one.demand.egress.at()).copied().flatten()?;
        let most = path_cost(network, &one.path).saturating_sub(least);
        let gain = most.saturating_mul(u128::from(one.demand.bandwidth.as_bps()));
        (gain > 0).then_some((gain, std::cmp::Reverse(one.id)))
    })
}

fn node_ix(node: usize) -> NodeIx {
    NodeIx(u32::try_from(node).unwrap_or(u32::MAX))
}

/// A path with free bandwidth that costs less, and how much less for all bandwidth.
fn cheaper_path(
    network: &Network,
    allocation: &Arc<Allocation>,
    workspace: &mut Workspace,
) -> Option<(u128, Arc<[LinkIx]>)> {
    let mut draft = LedgerDraft::new(network.ledger());
    draft.leave(&network.entry_of(allocation)?);
    let unconstrained = Constraints::default();
    let bandwidth_bps = allocation.demand.bandwidth.as_bps();
    let query = Query {
        ingress: allocation.demand.ingress,
        egress: allocation.demand.egress,
        bandwidth_bps,
        metric: Metric::Te,
        constraints: allocation.demand.constraints.as_deref().unwrap_or(&unconstrained),
    };
    let links = passing_by(network, draft.free(network.claim_of(allocation)?));
    let found = shortest(network.graph(), &links, &query, workspace).ok()?;
    let less = path_cost(network, &allocation.path).checked_sub(path_cost(network, &found.links))?;
    (less > 0).then(|| (less * u128::from(bandwidth_bps), found.links.into()))
}
