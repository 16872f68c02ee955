//! Filling with fair shares between tenants, after the bandwidth functions of BwE (Kumar et al., SIGCOMM 2015, section 5). A
//! fair share rises for all tenants at once, and each may take its weight times as much. What a tenant may take is divided
//! among its aggregators evenly, and what an aggregator may take among its flows by their weights: each max-min fair, up to
//! what is asked for. So a flow's rate is a function of the fair share alone, made of what is asked for and of no link. A
//! link that cannot carry the next step of the share stops its flows; the flows of the same tenant elsewhere rise on.
//!
//! The aggregators of no tenant are one tenant of weight 1, whose flows divide what it may take by their weights alone.
//!
//! What must stay true: no link carries more than its capacity; the rates do not depend on the order of changes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::num::NonZeroU32;

use super::MaxMin;
use crate::id::{LinkIx, Name};
use crate::persistent_map::PersistentMap;
use crate::scheduler::AggregatorIx;
use crate::scheduler::log_steps::Grid;

/// A tenant as the scheduler divides by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantShare {
    /// The tenant.
    pub tenant: Name,
    /// By which bandwidth is divided between tenants.
    pub weight: NonZeroU32,
}

/// The tenants of aggregators, of those that have one.
pub(in crate::scheduler) type TenantShares = PersistentMap<AggregatorIx, TenantShare>;

/// A step of the fair share. There may be more of them than of a rate: many flows are under one share.
type ShareStep = u64;

/// The most doublings of a fair share.
const DOUBLINGS_MAX: u64 = 100;

/// Amounts divided max-min fair among claims, each by its weight and up to its demand.
struct Division {
    /// The amount at which the claims up to each, the least demand for its weight first, have all of theirs.
    full_at: Vec<u128>,
    /// The demands of the claims before each.
    paid: Vec<u128>,
    /// The weights of the claims from each on.
    weights: Vec<u128>,
    demand: u128,
}

impl Division {
    /// Of claims by demand for each weight, and weight.
    fn new(mut claims: Vec<(u128, u128)>) -> Self {
        claims.sort_unstable();
        let mut weight: u128 = claims.iter().map(|(_, weight)| weight).sum();
        let mut division = Self { full_at: vec![], paid: vec![], weights: vec![], demand: 0 };
        for (each, own) in claims {
            division.paid.push(division.demand);
            division.weights.push(weight);
            division.full_at.push(division.demand + each * weight);
            division.demand += each * own;
            weight -= own;
        }
        division
    }

    /// What an amount gives for each weight, rounded down; `None`: everything that is asked for.
    fn level(&self, amount: u128) -> Option<u128> {
        let at = self.full_at.partition_point(|full_at| *full_at <= amount);
        let (paid, weight) = (self.paid.get(at)?, self.weights.get(at)?);
        Some(amount.saturating_sub(*paid) / weight)
    }
}

struct TenantNode {
    weight: u128,
    aggregators: Division,
}

struct AggregatorNode {
    tenant: usize,
    flows: Division,
    /// What its flows have for each weight at the step that was asked for last.
    known: Option<(ShareStep, Option<u128>)>,
}

/// A flow with a demand.
#[derive(Clone, Copy)]
struct ActiveFlow {
    aggregator: usize,
    weight: u128,
    demand: u128,
    /// Its rate, once a link has stopped it.
    stopped: Option<u128>,
}

/// What a flow asks for: by its place, the demand for each weight, and its weight.
type FlowClaim = (usize, u128, u128);

/// Who has what at a fair share.
struct ShareTree {
    grid: Grid,
    tenants: Vec<TenantNode>,
    aggregators: Vec<AggregatorNode>,
    /// By flow; `None`: it asks for nothing.
    flows: Vec<Option<ActiveFlow>>,
}

impl ShareTree {
    fn of(max_min: &MaxMin, senders: &[AggregatorIx], shares: &TenantShares) -> Self {
        let grid = max_min.grid;
        let mut groups: BTreeMap<(Option<&Name>, AggregatorIx), Vec<FlowClaim>> = BTreeMap::new();
        let mut weights: BTreeMap<&Name, u128> = BTreeMap::new();
        for (at, (flow, sender)) in max_min.flows.iter().zip(senders).enumerate() {
            if flow.is_out || flow.asks == 0 {
                continue;
            }
            let group = match shares.get(sender) {
                Some(TenantShare { tenant, weight }) => {
                    weights.insert(tenant, weight.get().into());
                    (Some(tenant), *sender)
                }
                None => (None, AggregatorIx(0)),
            };
            groups.entry(group).or_default().push((at, grid.value(flow.asks).into(), flow.weight.into()));
        }
        let mut tree = Self { grid, tenants: vec![], aggregators: vec![], flows: vec![None; max_min.flows.len()] };
        let mut groups = groups.into_iter().peekable();
        while let Some(((tenant, _), _)) = groups.peek() {
            let tenant = *tenant;
            let mut demands = vec![];
            while let Some((_, flows)) = groups.next_if(|((other, _), _)| *other == tenant) {
                demands.push((tree.add_aggregator(&flows), 1));
            }
            let weight = tenant.and_then(|tenant| weights.get(tenant)).copied().unwrap_or(1);
            tree.tenants.push(TenantNode { weight, aggregators: Division::new(demands) });
        }
        tree
    }

    /// An aggregator of the tenant that comes next, and its demand.
    fn add_aggregator(&mut self, flows: &[FlowClaim]) -> u128 {
        let division = Division::new(flows.iter().map(|(_, each, weight)| (*each, *weight)).collect());
        let (demand, aggregator) = (division.demand, self.aggregators.len());
        for (at, each, weight) in flows {
            let (weight, demand) = (*weight, each * weight);
            if let Some(place) = self.flows.get_mut(*at) {
                *place = Some(ActiveFlow { aggregator, weight, demand, stopped: None });
            }
        }
        self.aggregators.push(AggregatorNode { tenant: self.tenants.len(), flows: division, known: None });
        demand
    }

    fn share(&self, step: ShareStep) -> u128 {
        let octave = u64::from(self.grid.octave());
        match step / octave {
            0 | 1 => step.into(),
            doublings => u128::from(octave + step % octave) << (doublings - 1).min(DOUBLINGS_MAX),
        }
    }

    /// The first step at which every tenant has all that it asks for.
    fn last_step(&self) -> ShareStep {
        let is_enough =
            |tenant: &TenantNode, share: u128| tenant.weight.saturating_mul(share) >= tenant.aggregators.demand;
        let (mut low, mut high) = (0, DOUBLINGS_MAX.saturating_mul(self.grid.octave().into()));
        while low < high {
            let middle = low + (high - low) / 2;
            let share = self.share(middle);
            if self.tenants.iter().all(|tenant| is_enough(tenant, share)) { high = middle } else { low = middle + 1 }
        }
        low
    }

    /// What a flow takes at a step: nothing where it asks for nothing.
    fn rate(&mut self, at: usize, step: ShareStep) -> u128 {
        let Some(flow) = self.flows.get(at).copied().flatten() else { return 0 };
        flow.stopped.unwrap_or_else(|| match self.level(flow.aggregator, step) {
            Some(level) => (level * flow.weight).min(flow.demand),
            None => flow.demand,
        })
    }

    /// What an aggregator's flows have for each weight; `None`: everything that they ask for.
    fn level(&mut self, aggregator: usize, step: ShareStep) -> Option<u128> {
        let share = self.share(step);
        let node = self.aggregators.get_mut(aggregator)?;
        if let Some((_, level)) = node.known.filter(|(known, _)| *known == step) {
            return level;
        }
        let tenant = self.tenants.get(node.tenant)?;
        let amount = tenant.aggregators.level(tenant.weight.saturating_mul(share));
        let level = amount.and_then(|amount| node.flows.level(amount));
        node.known = Some((step, level));
        level
    }
}

impl MaxMin {
    /// The rate of every flow, in 1/1024 bit/s, divided between tenants first. `senders`: by flow, the aggregator that it is of.
    pub(in crate::scheduler) fn fill_by_tenants(&self, senders: &[AggregatorIx], shares: &TenantShares) -> Vec<u128> {
        let mut tree = ShareTree::of(self, senders, shares);
        let last = tree.last_step();
        let is_known = |link: &LinkIx| link.at() < self.loads.len();
        for (flow, _) in tree.flows.iter_mut().zip(&self.paths).filter(|(_, path)| !path.iter().all(is_known)) {
            // An unknown link stops its flows at once.
            flow.iter_mut().for_each(|flow| flow.stopped = Some(0));
        }
        let used = (0..).zip(&self.members).filter(|(_, members)| !members.is_empty());
        let mut waiting: BinaryHeap<_> = used.map(|(link, _)| Reverse((0, link))).collect();
        while let Some(Reverse((step, link))) = waiting.pop() {
            let Some(level) = self.last_carried(&mut tree, link, (step, last)) else { continue };
            if waiting.peek().is_some_and(|Reverse(next)| *next < (level, link)) {
                waiting.push(Reverse((level, link)));
                continue;
            }
            self.stop_flows(&mut tree, link, level);
        }
        (0..self.flows.len()).map(|at| tree.rate(at, last)).collect()
    }

    /// The last step from `first` on at which a link carries its flows; `None`: it carries all that they ask for.
    fn last_carried(
        &self,
        tree: &mut ShareTree,
        link: usize,
        (first, last): (ShareStep, ShareStep),
    ) -> Option<ShareStep> {
        let (members, load) = (self.members.get(link)?, self.loads.get(link)?);
        let mut carries = |step| members.iter().map(|ix| tree.rate(ix.at(), step)).sum::<u128>() <= load.capacity;
        if carries(last) {
            return None;
        }
        let (mut low, mut high) = (first, last);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if carries(middle) { low = middle } else { high = middle }
        }
        Some(low)
    }

    fn stop_flows(&self, tree: &mut ShareTree, link: usize, level: ShareStep) {
        for ix in self.members.get(link).into_iter().flatten() {
            let rate = tree.rate(ix.at(), level);
            if let Some(Some(flow)) = tree.flows.get_mut(ix.at()) {
                flow.stopped = Some(rate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINKS: u32 = 4;

    #[derive(Clone, Debug)]
    struct Asked {
        sender: u32,
        path: Vec<LinkIx>,
        weight: u32,
        demand_bps: u64,
    }

    fn asked() -> impl Strategy<Value = Asked> {
        let demand = prop_oneof![Just(0), 1_u64..100, 1_000_u64..2_000_000];
        (0_u32..6, 1_u32..1 << LINKS, 1_u32..50, demand).prop_map(|(sender, links, weight, demand_bps)| {
            let path = (0..LINKS).filter(|link| links >> link & 1 == 1).map(LinkIx).collect();
            Asked { sender, path, weight, demand_bps }
        })
    }

    /// The largest level at which claims of a demand and a weight take no more than an amount.
    fn pour(amount: u128, claims: &[(u128, u128)]) -> u128 {
        let taken = |level: u128| claims.iter().map(|(demand, weight)| (level * weight).min(*demand)).sum::<u128>();
        let most = claims.iter().map(|(demand, _)| *demand).max().unwrap_or(0);
        if taken(most) <= amount {
            return most;
        }
        let (mut low, mut high) = (0, most);
        while low + 1 < high {
            let middle = (low + high) / 2;
            if taken(middle) <= amount { low = middle } else { high = middle }
        }
        low
    }

    /// A flow by its tenant with its weight, its aggregator, its own weight and its demand.
    type NaiveFlow = (Option<(u32, u128)>, u32, u128, u128);

    /// What each flow takes at a share, by its tenant (with its weight), its aggregator, its weight and its demand.
    fn naive_rates(flows: &[NaiveFlow], share: u128) -> Vec<u128> {
        let demand = |of: &dyn Fn(Option<(u32, u128)>, u32) -> bool| {
            flows.iter().filter(|flow| of(flow.0, flow.1)).map(|flow| flow.3).sum::<u128>()
        };
        let rate = |&(tenant, aggregator, weight, most): &NaiveFlow| {
            let own_aggregator = |flow: &&NaiveFlow| match tenant {
                Some(_) => flow.1 == aggregator,
                None => flow.0.is_none(),
            };
            let mut amount = tenant.map_or(1, |(_, weight)| weight) * share;
            if tenant.is_some() {
                let own: std::collections::BTreeSet<u32> =
                    flows.iter().filter(|flow| flow.0 == tenant).map(|flow| flow.1).collect();
                let claims: Vec<_> = own.iter().map(|own| (demand(&|_, other| other == *own), 1)).collect();
                amount = pour(amount, &claims);
            }
            let claims: Vec<_> = flows.iter().filter(own_aggregator).map(|flow| (flow.3, flow.2)).collect();
            (pour(amount, &claims) * weight).min(most)
        };
        flows.iter().map(rate).collect()
    }

    /// The share rises step by step; a link that cannot carry the next one stops its flows.
    fn naive_fill(max_min: &MaxMin, flows: &[NaiveFlow], asked: &[Asked], caps: &[u64]) -> Vec<u128> {
        let tree = ShareTree { grid: max_min.grid, tenants: vec![], aggregators: vec![], flows: vec![] };
        let mut stopped: Vec<Option<u128>> = vec![None; flows.len()];
        let all: u128 = flows.iter().map(|flow| flow.3).sum();
        let mut step = 0;
        while tree.share(step) < all {
            let (now, next) = (naive_rates(flows, tree.share(step)), naive_rates(flows, tree.share(step + 1)));
            for link in 0..LINKS {
                let over = |flow: &Asked| flow.path.contains(&LinkIx(link));
                let sum: u128 =
                    (0..flows.len()).filter(|at| over(&asked[*at])).map(|at| stopped[at].unwrap_or(next[at])).sum();
                if sum > u128::from(caps[link as usize]) * u128::from(super::super::UNIT) {
                    for at in (0..flows.len()).filter(|at| over(&asked[*at])) {
                        stopped[at].get_or_insert(now[at]);
                    }
                }
            }
            step += 1;
        }
        (0..flows.len()).map(|at| stopped[at].unwrap_or(flows[at].3)).collect()
    }

    proptest! {
        #![proptest_config(crate::property_cases(128))]

        #[test]
        fn filling_by_tenants_is_what_a_naive_filling_gives(
            bits in 1_u32..4,
            asked in prop::collection::vec(asked(), 1..14),
            tenants in prop::collection::vec(prop::option::of((0_u32..3, 1_u32..10)), 6),
            caps in prop::collection::vec(prop_oneof![Just(0), 1_u64..3_000_000], LINKS as usize),
        ) {
            let mut max_min = MaxMin::new(caps.iter().copied(), bits);
            let mut shares = TenantShares::default();
            // All aggregators of a tenant have its weight: the first that is told.
            let mut weights = BTreeMap::new();
            for (ix, (tenant, weight)) in (0..).zip(&tenants).filter_map(|(ix, tenant)| Some((ix, (*tenant)?))) {
                let weight = NonZeroU32::new(*weights.entry(tenant).or_insert(weight)).unwrap();
                let tenant = Name::new(&tenant.to_string()).unwrap();
                shares.insert(AggregatorIx(ix), TenantShare { tenant, weight });
            }
            for flow in &asked {
                max_min.add(&flow.path, flow.weight, flow.demand_bps);
            }
            max_min.update();
            let senders: Vec<_> = asked.iter().map(|flow| AggregatorIx(flow.sender)).collect();
            let rates = max_min.fill_by_tenants(&senders, &shares);
            let flows: Vec<_> = asked.iter().zip(&max_min.flows).map(|(flow, at)| {
                let tenant = tenants[flow.sender as usize].map(|(tenant, _)| (tenant, u128::from(weights[&tenant])));
                let weight = u128::from(flow.weight);
                (tenant, flow.sender, weight, u128::from(max_min.grid.value(at.asks)) * weight)
            }).collect();
            prop_assert_eq!(&rates, &naive_fill(&max_min, &flows, &asked, &caps));
            for (link, cap) in (0..LINKS).zip(&caps) {
                let over = asked.iter().zip(&rates).filter(|(flow, _)| flow.path.contains(&LinkIx(link)));
                prop_assert!(over.map(|(_, rate)| rate).sum::<u128>() <= u128::from(*cap) * u128::from(super::super::UNIT));
            }
        }
    }
}
