//! A path past included hops in order, as legs from hop to hop that share no node. Whether there are such legs is an
//! NP-complete question in directed graphs (Fortune, Hopcroft and Wyllie, 1980), so this is not exact, but fast:
//!
//! * One leg that is not forced: the cheapest path around the other hops, which is exact.
//! * A flow of two units from each hop to its neighbours over node-split links, taken in whichever direction is open. If
//!   there is none, there is no path (a certain answer). Where links are open in both directions and one node is included,
//!   there is a path exactly if there is a flow.
//! * Negotiation (McMurchie and Ebeling's PathFinder, 1995): each leg takes its cheapest way, nodes that several legs take
//!   grow dearer, until none is shared. Then each leg is made as cheap as the others leave it.

use std::sync::Arc;

use super::astar::{AstarScratch, Search};
use super::chain_contraction::Chains;
use super::csr::Csr;
use super::disjoint_flow::{FlowEnds, two_units};
use super::distance_table::DistanceRow;
use super::edge_cost::EdgeCost;
use super::edge_filter::{EdgeFilter, Excluding};
use super::marks::Marks;
use super::query::Hop;

/// How often legs that share nodes are searched for again.
const ROUNDS_MAX: u32 = 16;
/// How often legs are made cheaper.
const IMPROVEMENTS_MAX: usize = 4;
/// The dearest that a node may become: with as much again for the links themselves, a path stays below 2^63.
const PENALTY_MAX: u64 = 1 << 47;

/// What was found.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum LegsFound {
    /// A path, not necessarily the cheapest.
    Path(Vec<u32>),
    /// There is no path.
    Impossible,
    /// There may be one.
    Unknown,
}

/// The search for disjoint legs.
pub(super) struct DisjointLegs<'a, C, F> {
    pub(super) csr: &'a Csr,
    pub(super) chains: &'a Chains,
    pub(super) cost: &'a C,
    pub(super) filter: &'a F,
}

/// A part of the path.
enum Section {
    /// An included link.
    Forced(u32),
    /// A way from node to node, by its place among the legs.
    Leg(usize),
}

/// A way from one hop to the next.
struct HopLeg {
    from: u32,
    to: u32,
    /// Static distances to `to`.
    row: Arc<DistanceRow>,
}

struct Itinerary {
    sections: Vec<Section>,
    legs: Vec<HopLeg>,
    /// The ends of all legs.
    ends: Vec<u32>,
}

impl Itinerary {
    /// From `at` past `hops`, each with the distances to where it begins. `None`: a node would be passed twice.
    fn new(csr: &Csr, mut at: u32, hops: &[(Hop, Arc<DistanceRow>)], egress: (u32, Arc<DistanceRow>)) -> Option<Self> {
        let mut itinerary = Self { sections: vec![], legs: vec![], ends: vec![at] };
        for (hop, row) in hops {
            let (begin, forced) = match *hop {
                Hop::Node(node) => (node.0, None),
                Hop::Link(link) => (*csr.tails.get(link.at())?, Some(link.0)),
            };
            itinerary.go(at, begin, row)?;
            at = begin;
            if let Some(number) = forced {
                at = csr.heads[number as usize];
                itinerary.sections.push(Section::Forced(number));
                itinerary.arrive(at)?;
            }
        }
        itinerary.go(at, egress.0, &egress.1)?;
        Some(itinerary)
    }

    fn go(&mut self, from: u32, to: u32, row: &Arc<DistanceRow>) -> Option<()> {
        if from == to {
            return Some(());
        }
        self.sections.push(Section::Leg(self.legs.len()));
        self.legs.push(HopLeg { from, to, row: Arc::clone(row) });
        self.arrive(to)
    }

    fn arrive(&mut self, node: u32) -> Option<()> {
        let is_new = !self.ends.contains(&node);
        self.ends.push(node);
        is_new.then_some(())
    }

    fn path(&self, legs: &[Vec<u32>]) -> Vec<u32> {
        let section = |section: &Section| match section {
            Section::Forced(number) => vec![*number],
            Section::Leg(at) => legs.get(*at).cloned().unwrap_or_default(),
        };
        self.sections.iter().flat_map(section).collect()
    }
}

impl<C: EdgeCost, F: EdgeFilter> DisjointLegs<'_, C, F> {
    /// A path from `from` past `hops` to the egress.
    pub(super) fn find(
        &self,
        from: u32,
        hops: &[(Hop, Arc<DistanceRow>)],
        egress: (u32, Arc<DistanceRow>),
        scratch: &mut AstarScratch,
    ) -> LegsFound {
        let Some(itinerary) = Itinerary::new(self.csr, from, hops, egress) else { return LegsFound::Impossible };
        // Alone, each leg has a way around the ends of the others, or there is no path.
        let mut legs = vec![];
        for at in 0..itinerary.legs.len() {
            match self.leg(&itinerary, at, &[], self.cost, scratch) {
                Some(path) => legs.push(path),
                None => return LegsFound::Impossible,
            }
        }
        let by_flow = match self.by_flow(&itinerary) {
            Err(()) => return LegsFound::Impossible,
            Ok(by_flow) => by_flow,
        };
        let Some(mut legs) = self.negotiate(&itinerary, legs, scratch).or(by_flow) else { return LegsFound::Unknown };
        self.improve(&itinerary, &mut legs, scratch);
        LegsFound::Path(itinerary.path(&legs))
    }

    /// The cheapest way of a leg around the ends of all others and `taken` nodes.
    fn leg<D: EdgeCost>(
        &self,
        itinerary: &Itinerary,
        at: usize,
        taken: &[&[u32]],
        cost: &D,
        scratch: &mut AstarScratch,
    ) -> Option<Vec<u32>> {
        let leg = itinerary.legs.get(at)?;
        let mut excluded = Marks::default();
        excluded.begin(self.csr.node_count(), self.csr.link_count());
        for node in itinerary.ends.iter().filter(|node| **node != leg.to) {
            excluded.mark_node(*node);
        }
        for number in taken.iter().copied().flatten() {
            let head = self.csr.heads[*number as usize];
            if head != leg.to {
                excluded.mark_node(head);
            }
        }
        let filter = &Excluding { filter: self.filter, excluded: &excluded };
        let mut path = vec![];
        let search = Search { csr: self.csr, chains: self.chains, cost, filter, row: &leg.row };
        search.run(leg.from, leg.to, scratch, &mut path).then_some(path)
    }

    fn negotiate(
        &self,
        itinerary: &Itinerary,
        mut legs: Vec<Vec<u32>>,
        scratch: &mut AstarScratch,
    ) -> Option<Vec<Vec<u32>>> {
        let costs = legs.iter().flatten().map(|number| self.cost.of(*number));
        let unit = costs.max().unwrap_or(1).clamp(1, PENALTY_MAX);
        let mut history = vec![0_u64; self.csr.node_count()];
        let mut users = vec![0_u64; self.csr.node_count()];
        for round in 0..ROUNDS_MAX {
            users.fill(0);
            self.count(&legs, |node| users[node] += 1);
            let mut is_shared = false;
            for (node, _) in users.iter().enumerate().filter(|(_, users)| **users > 1) {
                is_shared = true;
                history[node] = history[node].saturating_add(unit);
            }
            if !is_shared {
                return Some(legs);
            }
            let present = unit.saturating_mul(1 << round);
            for at in 0..legs.len() {
                if let Some(leg) = legs.get(at) {
                    self.count(std::slice::from_ref(leg), |node| users[node] = users[node].saturating_sub(1));
                }
                let penalty = |number: u32| {
                    let node = self.csr.heads[number as usize] as usize;
                    users[node].saturating_mul(present).saturating_add(history[node]).min(PENALTY_MAX)
                };
                let path = self.leg(itinerary, at, &[], &Penalised { cost: self.cost, penalty }, scratch)?;
                self.count(std::slice::from_ref(&path), |node| users[node] += 1);
                if let Some(leg) = legs.get_mut(at) {
                    *leg = path;
                }
            }
        }
        None
    }

    fn count(&self, legs: &[Vec<u32>], mut count: impl FnMut(usize)) {
        // The last node of a leg is the first of the next.
        let inner = legs.iter().flat_map(|leg| leg.iter().rev().skip(1));
        for number in inner {
            count(self.csr.heads[*number as usize] as usize);
        }
    }

    /// Each leg as cheap as the others leave it, until none grows cheaper.
    fn improve(&self, itinerary: &Itinerary, legs: &mut [Vec<u32>], scratch: &mut AstarScratch) {
        let price = |path: &[u32]| path.iter().map(|number| self.cost.of(*number)).sum::<u64>();
        for _ in 0..IMPROVEMENTS_MAX {
            let mut is_cheaper = false;
            for at in 0..legs.len() {
                let others: Vec<&[u32]> =
                    legs.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, leg)| &**leg).collect();
                let found = self.leg(itinerary, at, &others, self.cost, scratch);
                if let (Some(found), Some(leg)) = (found, legs.get_mut(at))
                    && price(&found) < price(leg)
                {
                    *leg = found;
                    is_cheaper = true;
                }
            }
            if !is_cheaper {
                return;
            }
        }
    }

    /// `Err`: two legs that follow each other cannot both be there. Legs where there are two and the flow is one of open
    /// links in the right direction.
    fn by_flow(&self, itinerary: &Itinerary) -> Result<Option<Vec<Vec<u32>>>, ()> {
        let mut found = None;
        for pair in itinerary.legs.windows(2) {
            let [before, after] = pair else { continue };
            let ends = FlowEnds { sources: [before.to, after.from], sinks: [before.from, after.to] };
            let mut blocked = Marks::default();
            blocked.begin(self.csr.node_count(), self.csr.link_count());
            for node in itinerary.ends.iter().filter(|node| !ends.has(**node)) {
                blocked.mark_node(*node);
            }
            let flow = two_units(self.csr, self.filter, &blocked, ends).ok_or(())?;
            // Past a link, a flow may lead from its head to where the path comes from.
            let is_right_way = flow[0].first() == Some(&before.to) && flow[1].first() == Some(&after.from);
            found = if is_right_way { self.along(flow) } else { None };
        }
        Ok(found.filter(|_| itinerary.legs.len() == 2))
    }

    /// The nodes of two legs, the first of them backwards, as links; `None` if a link is not open in that direction.
    fn along(&self, [mut before, after]: [Vec<u32>; 2]) -> Option<Vec<Vec<u32>>> {
        before.reverse();
        let cheapest = |pair: &[u32]| {
            let &[from, to] = pair else { return None };
            let open = |number: &u32| self.csr.heads[*number as usize] == to && self.filter.admits(*number, to);
            self.csr.out(from).filter(open).min_by_key(|number| self.cost.of(*number))
        };
        let links = |nodes: &[u32]| nodes.windows(2).map(cheapest).collect::<Option<Vec<u32>>>();
        Some(vec![links(&before)?, links(&after)?])
    }
}

/// A cost with more on top.
struct Penalised<'a, C, P> {
    cost: &'a C,
    penalty: P,
}

impl<C: EdgeCost, P: Fn(u32) -> u64> EdgeCost for Penalised<'_, C, P> {
    fn of(&self, number: u32) -> u64 {
        self.cost.of(number) + (self.penalty)(number)
    }

    fn is_static(&self, number: u32) -> bool {
        (self.penalty)(number) == 0 && self.cost.is_static(number)
    }
}
