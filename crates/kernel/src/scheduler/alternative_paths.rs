//! The paths over which a flow may be split: by prices on the links of those that it has, so that they share few. What must
//! stay true: they depend on the topology and the first path alone, not on what is reserved.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{LinkIx, NodeIx};
use crate::path::{Constraints, Graph, Links, Metric, Query, WEIGHT_ONE, Workspace, shortest};
use crate::topology::{LinkState, Topology};

/// Where alternatives are looked for.
#[derive(Clone, Copy)]
pub struct AlternativeQuery<'a> {
    /// The topology, compiled.
    pub graph: &'a Graph,
    /// The same; links that are not up or avoided are not taken.
    pub topology: &'a Topology,
    /// The ingress and the egress.
    pub ends: (NodeIx, NodeIx),
    /// What paths minimise.
    pub metric: Metric,
    /// The most paths in all.
    pub paths_max: usize,
}

/// Adds paths without loops to the first, each by links that cost two more of themselves for each path before it that is on them.
pub fn add_alternatives(paths: &mut Vec<Arc<[LinkIx]>>, query: AlternativeQuery<'_>, workspace: &mut Workspace) {
    // Those of the metrics that have prices.
    let metric = match query.metric {
        Metric::Te | Metric::CongestionTe | Metric::Delay => Metric::CongestionTe,
        Metric::Hops | Metric::Congestion => Metric::Congestion,
    };
    let (ingress, egress) = query.ends;
    let constraints = Constraints::default();
    let search = Query { ingress, egress, bandwidth_bps: 0, metric, constraints: &constraints };
    let mut links = PricedLinks { topology: query.topology, paths_on: BTreeMap::new() };
    paths.iter().for_each(|path| links.raise(path));
    // A path that is found again raises prices, too.
    for _ in 0..query.paths_max.saturating_sub(1) * 2 {
        if paths.is_empty() || paths.len() >= query.paths_max {
            return;
        }
        let Ok(found) = shortest(query.graph, &links, &search, workspace) else { return };
        links.raise(&found.links);
        if paths.iter().all(|path| **path != *found.links) {
            paths.push(found.links.into());
        }
    }
}

/// The links that are up, each at its price.
struct PricedLinks<'a> {
    topology: &'a Topology,
    /// By link, how many of the paths found so far are on it.
    paths_on: BTreeMap<LinkIx, u32>,
}

impl PricedLinks<'_> {
    fn raise(&mut self, path: &[LinkIx]) {
        path.iter().for_each(|link| *self.paths_on.entry(*link).or_default() += 1);
    }
}

impl Links for PricedLinks<'_> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        if self.is_usable(link) { u64::MAX } else { 0 }
    }

    fn weight(&self, link: LinkIx) -> u32 {
        let paths = self.paths_on.get(&link).copied().unwrap_or(0);
        WEIGHT_ONE.saturating_mul(paths.saturating_mul(2).saturating_add(1))
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.topology.link(link).is_some_and(|link| link.state == LinkState::Up && !link.is_avoided)
    }
}
