//! From one revision of a topology to the next: the same names under other indices.

use std::sync::Arc;

use super::allocation::{Allocation, Recovery};
use super::id::{LinkIx, NodeIx};
use super::path::{Constraints, Hop, RouteHop};
use super::topology::Topology;

/// The indices in a new revision of the nodes and links of an old one.
pub(crate) struct Translation {
    nodes: Vec<Option<NodeIx>>,
    links: Vec<Option<LinkIx>>,
}

impl Translation {
    /// By name; a link counts as the same only if it still runs between the same nodes.
    pub(crate) fn between(old: &Topology, new: &Topology) -> Self {
        let nodes: Vec<_> = old.nodes().map(|(_, node)| new.node_named(node.name.as_str())).collect();
        let same_ends = |from: NodeIx, to: NodeIx, found: LinkIx| {
            new.link(found).is_some_and(|link| {
                nodes.get(from.at()) == Some(&Some(link.from)) && nodes.get(to.at()) == Some(&Some(link.to))
            })
        };
        let links = old
            .links()
            .map(|(_, link)| new.link_named(link.name.as_str()).filter(|found| same_ends(link.from, link.to, *found)));
        Self { links: links.collect(), nodes }
    }

    /// The allocation with its working path, if every link of it is in the new revision, and with what stands by as far as
    /// it is.
    pub(crate) fn allocation(&self, old: &Allocation) -> Option<Allocation> {
        let mut new = self.ends_of(old)?;
        new.path = self.path(&old.path)?;
        let path = |path: Option<&Arc<[LinkIx]>>| path.and_then(|path| self.path(path));
        new.recovery = Recovery::of(path(old.backup()), path(old.reverts_to()));
        Some(new)
    }

    fn path(&self, old: &Arc<[LinkIx]>) -> Option<Arc<[LinkIx]>> {
        old.iter().map(|link| self.link(*link)).collect()
    }

    /// The allocation without paths, if its ends and every node and link that its constraints require are in the new
    /// revision.
    pub(crate) fn ends_of(&self, old: &Allocation) -> Option<Allocation> {
        let mut new = old.clone();
        new.demand.ingress = self.node(old.demand.ingress)?;
        new.demand.egress = self.node(old.demand.egress)?;
        if let Some(constraints) = &old.demand.constraints {
            new.demand.constraints = Some(Box::new(self.constraints(constraints)?));
        }
        new.path = Arc::from([]);
        new.recovery = None;
        Some(new)
    }

    /// An excluded node or link may be missing; a required one may not.
    pub(crate) fn constraints(&self, old: &Constraints) -> Option<Constraints> {
        Some(Constraints {
            include: old.include.iter().map(|hop| self.hop(*hop)).collect::<Option<_>>()?,
            exclude: old.exclude.iter().filter_map(|hop| self.hop(*hop)).collect(),
            route: (old.route.iter())
                .map(|step| Some(RouteHop { hop: self.hop(step.hop)?, strict: step.strict }))
                .collect::<Option<_>>()?,
            ..old.clone()
        })
    }

    fn hop(&self, hop: Hop) -> Option<Hop> {
        match hop {
            Hop::Node(node) => self.node(node).map(Hop::Node),
            Hop::Link(link) => self.link(link).map(Hop::Link),
        }
    }

    fn node(&self, old: NodeIx) -> Option<NodeIx> {
        self.nodes.get(old.at()).copied().flatten()
    }

    fn link(&self, old: LinkIx) -> Option<LinkIx> {
        self.links.get(old.at()).copied().flatten()
    }
}
