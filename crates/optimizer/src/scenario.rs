//! What can fail together: fibres, nodes, shared-risk link groups, pairs of fibres.

use std::collections::BTreeSet;

use kernel::id::{LinkIx, NodeIx};
use kernel::topology::{LinkState, Topology};

/// What fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureSet {
    /// Each link with the other direction of its fibre.
    Links,
    /// Each node: all links at it.
    Nodes,
    /// Each shared-risk link group (RFC 4202): all links of it.
    Srlgs,
    /// Each two links, each with the other direction of its fibre.
    Pairs,
}

/// One failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// What fails.
    pub subject: Subject,
    /// The links that are reported down, in this order; the other direction of a fibre shares its fate.
    pub links: Vec<LinkIx>,
}

/// What a scenario is named by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A link.
    Link(LinkIx),
    /// A node.
    Node(NodeIx),
    /// A shared-risk link group.
    Srlg(u32),
    /// Two links.
    Pair(LinkIx, LinkIx),
}

/// The failures of a set, in the topology's order. Links that are down already do not fail.
pub fn scenarios(topology: &Topology, set: FailureSet) -> Vec<Scenario> {
    let fibres: Vec<LinkIx> = fibres(topology).collect();
    let all_of = |subject, is_of: &dyn Fn(LinkIx) -> bool| {
        let links: Vec<LinkIx> = fibres.iter().copied().filter(|link| is_of(*link)).collect();
        (!links.is_empty()).then_some(Scenario { subject, links })
    };
    match set {
        FailureSet::Links => {
            fibres.iter().map(|link| Scenario { subject: Subject::Link(*link), links: vec![*link] }).collect()
        }
        FailureSet::Pairs => {
            let pair = |one, other| Scenario { subject: Subject::Pair(one, other), links: vec![one, other] };
            let others = |at: usize| fibres.iter().skip(at + 1);
            fibres.iter().enumerate().flat_map(|(at, one)| others(at).map(move |other| pair(*one, *other))).collect()
        }
        FailureSet::Nodes => {
            let at_node = |node| {
                all_of(Subject::Node(node), &|link| {
                    topology.link(link).is_some_and(|link| link.from == node || link.to == node)
                })
            };
            topology.nodes().filter_map(|(node, _)| at_node(node)).collect()
        }
        FailureSet::Srlgs => {
            let groups_of = |link| {
                let both = [Some(link), topology.link(link).and_then(|link| link.twin)].into_iter().flatten();
                both.filter_map(|link| topology.link(link)).flat_map(|link| link.srlg.iter().copied())
            };
            let groups: BTreeSet<u32> = fibres.iter().flat_map(|link| groups_of(*link)).collect();
            let of_group = |group| all_of(Subject::Srlg(group), &|link| groups_of(link).any(|one| one == group));
            groups.into_iter().filter_map(of_group).collect()
        }
    }
}

/// A link of every fibre that is not down: the first of its two directions.
fn fibres(topology: &Topology) -> impl Iterator<Item = LinkIx> + '_ {
    let up = topology.links().filter(|(_, link)| link.state != LinkState::Down);
    up.filter(|(ix, link)| link.twin.is_none_or(|twin| *ix < twin)).map(|(ix, _)| ix)
}
