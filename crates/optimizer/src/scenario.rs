//! What can fail together: fibres, nodes, shared-risk link groups, pairs of fibres.

use std::collections::BTreeMap;

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

/// How many failures a set has, and the first of them in the topology's order. Links that are down already do not fail.
pub fn scenarios(topology: &Topology, set: FailureSet, most: usize) -> (usize, Vec<Scenario>) {
    let fibres: Vec<LinkIx> = fibres(topology).collect();
    match set {
        FailureSet::Links => {
            let one = |link: &LinkIx| Scenario { subject: Subject::Link(*link), links: vec![*link] };
            (fibres.len(), fibres.iter().take(most).map(one).collect())
        }
        FailureSet::Pairs => {
            let pair = |one, other| Scenario { subject: Subject::Pair(one, other), links: vec![one, other] };
            let others = |at: usize| fibres.iter().skip(at + 1);
            let pairs = fibres.iter().enumerate().flat_map(|(at, one)| others(at).map(move |other| pair(*one, *other)));
            (fibres.len() * fibres.len().saturating_sub(1) / 2, pairs.take(most).collect())
        }
        FailureSet::Nodes => {
            let ends = |link: LinkIx| topology.link(link).map(|link| [link.from, link.to]).into_iter().flatten();
            grouped(&fibres, ends, Subject::Node, most)
        }
        FailureSet::Srlgs => {
            let groups = |link: LinkIx| {
                let both = [Some(link), topology.link(link).and_then(|link| link.twin)].into_iter().flatten();
                both.filter_map(|link| topology.link(link)).flat_map(|link| link.srlg.iter().copied())
            };
            grouped(&fibres, groups, Subject::Srlg, most)
        }
    }
}

/// The links of each group fail together.
fn grouped<K: Ord + Copy, I: Iterator<Item = K>>(
    fibres: &[LinkIx],
    groups_of: impl Fn(LinkIx) -> I,
    subject: impl Fn(K) -> Subject,
    most: usize,
) -> (usize, Vec<Scenario>) {
    let mut groups: BTreeMap<K, Vec<LinkIx>> = BTreeMap::new();
    for link in fibres {
        for group in groups_of(*link) {
            let links = groups.entry(group).or_default();
            // A link that names a group twice, or both of whose directions do.
            if links.last() != Some(link) {
                links.push(*link);
            }
        }
    }
    let count = groups.len();
    (count, groups.into_iter().take(most).map(|(key, links)| Scenario { subject: subject(key), links }).collect())
}

/// A link of every fibre that is not down: the first of its two directions.
fn fibres(topology: &Topology) -> impl Iterator<Item = LinkIx> + '_ {
    let up = topology.links().filter(|(_, link)| link.state != LinkState::Down);
    up.filter(|(ix, link)| link.twin.is_none_or(|twin| *ix < twin)).map(|(ix, _)| ix)
}
