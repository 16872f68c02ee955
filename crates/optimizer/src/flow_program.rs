//! The linear program in which allocations are split over as many paths as they like, and its Lagrangian: the master problem
//! over the routings found so far, and the cheapest routings under prices of links with the bound that they give.

use std::collections::{BTreeMap, VecDeque};

use good_lp::{DualValues, Variable};
use good_lp::{Expression, ProblemVariables, Solution, SolutionWithDual, SolverModel, clarabel, constraint, variable};
use kernel::State;
use kernel::bam::Slot;
use kernel::id::{Name, NodeIx};
use kernel::state::Network;
use kernel::topology::LinkState;
use kernel::units::PPM;

use crate::bound::{BestBound, BoundSource, FlowObjective};
use crate::carrying_links::{CarryingLink, CarryingLinks, PRICE_ONE, Tree, carried, trees};
use crate::price_ascent::{PricedValue, ascend};

/// How many prices are looked at before the first master problem.
const ASCENT_ROUNDS_MAX: usize = 600;
/// Of how many of them the routings are part of it: the last ones are near the best.
const ASCENT_COLUMNS: usize = 6;
/// The most that one master problem is worked on, in seconds.
const MASTER_TIME_MAX_S: f64 = 4.0;
/// Prices are counted in parts of this.
const SCALE: u128 = 1 << 24;

/// A request to be carried beside what stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedFlow {
    pub(crate) ingress: NodeIx,
    pub(crate) egress: NodeIx,
    pub(crate) slot: Slot,
    pub(crate) bps: u64,
}

/// Demands that are routed together: all that enter at a node, or a request.
struct DemandGroup {
    ingress: NodeIx,
    trees: Vec<(Slot, Tree)>,
    /// In bit/s, of a request; 0: it stands, and has to be carried.
    gain_bps: u64,
}

/// One routing of a group.
pub(crate) struct FlowColumn {
    group: usize,
    /// Bandwidth times TE metric; of a request the negative of its bandwidth.
    cost: f64,
    /// By place of the link, booked bit/s.
    loads: BTreeMap<usize, f64>,
}

pub(crate) struct FlowProgram {
    objective: FlowObjective,
    links: CarryingLinks,
    groups: Vec<DemandGroup>,
    /// By place of the link.
    capacities: Vec<LinkCapacity>,
}

struct LinkCapacity {
    bps: u64,
    /// Whether its free bandwidth counts as headroom.
    is_counted: bool,
}

impl FlowProgram {
    pub(crate) fn link_count(&self) -> usize {
        self.links.arcs.len()
    }

    pub(crate) fn group_count(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn of(
        state: &State,
        topology: &Name,
        network: &Network,
        objective: FlowObjective,
        wanted: &[WantedFlow],
    ) -> Self {
        let links = CarryingLinks::of(network);
        let capacity = |arc: &CarryingLink| {
            let is_up = network.topology().link(arc.link).is_some_and(|link| link.state == LinkState::Up);
            let is_counted = is_up && arc.reservable_bps > 0;
            // A link that shrank may hold more than may be reserved; what stands there need not leave.
            let is_exact = objective == FlowObjective::Headroom && is_counted;
            let bps = match objective {
                // As utilisations are counted.
                FlowObjective::Utilisation => arc.reservable_bps.max(1),
                _ if is_exact => arc.reservable_bps,
                _ => arc.reservable_bps.max(arc.booked_bps),
            };
            LinkCapacity { bps, is_counted }
        };
        let capacities = links.arcs.iter().map(capacity).collect();
        let mut standing: BTreeMap<NodeIx, Vec<(Slot, Tree)>> = BTreeMap::new();
        for ((ingress, slot), tree) in trees(state, topology, network) {
            standing.entry(ingress).or_default().push((slot, tree));
        }
        let standing = standing.into_iter().map(|(ingress, trees)| DemandGroup { ingress, trees, gain_bps: 0 });
        let wanted = wanted.iter().map(|one| DemandGroup {
            ingress: one.ingress,
            trees: vec![(one.slot, Tree::from([(one.egress, one.bps)]))],
            gain_bps: one.bps,
        });
        Self { objective, groups: standing.chain(wanted).collect(), links, capacities }
    }

    fn te_metric(&self, arc: &CarryingLink) -> u128 {
        if self.objective == FlowObjective::Cost { u128::from(arc.te_metric) } else { 0 }
    }

    /// The routing that there is: with it the master problem has a solution.
    #[expect(clippy::cast_precision_loss, reason = "the solver's figures are floats, and no bound is read from them")]
    pub(crate) fn standing_columns(&self, state: &State, topology: &Name, network: &Network) -> Vec<FlowColumn> {
        let place: BTreeMap<_, _> = self.links.arcs.iter().enumerate().map(|(at, arc)| (arc.link, (at, arc))).collect();
        let group: BTreeMap<_, _> = self.groups.iter().enumerate().rev().map(|(at, one)| (one.ingress, at)).collect();
        let mut columns: BTreeMap<usize, FlowColumn> = BTreeMap::new();
        for allocation in carried(state, topology) {
            let demand = &allocation.demand;
            let (Some(slot), Some(group)) = (network.slot_of(allocation), group.get(&demand.ingress)) else { continue };
            let bps = demand.bandwidth.as_bps() as f64;
            let empty = || FlowColumn { group: *group, cost: 0.0, loads: BTreeMap::new() };
            let column = columns.entry(*group).or_insert_with(empty);
            for (at, arc) in allocation.path.iter().filter_map(|link| place.get(link)) {
                column.cost += bps * self.te_metric(arc) as f64;
                *column.loads.entry(*at).or_default() += bps * booked_part(arc, slot);
            }
        }
        columns.into_values().collect()
    }

    /// The cheapest routing of each group under these prices, and the bound that they give together.
    pub(crate) fn look_at(&self, prices: &[u128], source: BoundSource, best: &mut BestBound) -> Vec<FlowColumn> {
        let (mut value, mut columns) = (Some(0_i128), vec![]);
        for at in 0..self.groups.len() {
            let Some((cheapest, column)) = self.cheapest(at, prices) else { continue };
            value = value.zip(cheapest).and_then(|(sum, cheapest)| sum.checked_add(cheapest));
            columns.extend(column);
        }
        let one = PRICE_ONE.into();
        let rent =
            |(capacity, price): (&LinkCapacity, &u128)| u128::from(capacity.bps).checked_mul(*price)?.checked_mul(one);
        let mut rents = self.capacities.iter().zip(prices).map(rent);
        let rents = rents.try_fold(0_u128, |sum, rent| sum.checked_add(rent?)).and_then(|sum| i128::try_from(sum).ok());
        let whole = |unit: u128| unit.checked_mul(one).and_then(|unit| i128::try_from(unit).ok());
        let counted = self.capacities.iter().zip(prices).filter(|(capacity, _)| capacity.is_counted);
        // The whole by which the rest is divided; and that rest.
        let (unit, value) = match self.objective {
            FlowObjective::Utilisation => (rents, value.and_then(|value| value.checked_mul(PPM.into()))),
            FlowObjective::Headroom => {
                let prices = counted.map(|(_, price)| *price).try_fold(0_u128, u128::checked_add);
                (prices.and_then(whole), value.zip(rents).and_then(|(value, rents)| value.checked_sub(rents)))
            }
            FlowObjective::Cost | FlowObjective::Admission => {
                (whole(SCALE), value.zip(rents).and_then(|(value, rents)| value.checked_sub(rents)))
            }
        };
        if let Some((value, unit)) = value.zip(unit).filter(|(_, unit)| *unit > 0) {
            // Of what is to be small the part below one is dropped, and of what is to be large too: `value` is its negative.
            let value = if self.objective.is_minimised() { value.div_euclid(unit) } else { value / unit };
            best.add(value, source);
        }
        columns
    }

    /// What the cheapest routing of a group costs, and that routing; a request that costs more than it gains is not carried.
    #[expect(clippy::cast_precision_loss, reason = "the solver's figures are floats, and no bound is read from them")]
    fn cheapest(&self, group: usize, prices: &[u128]) -> Option<(Option<i128>, Option<FlowColumn>)> {
        let DemandGroup { ingress, trees, gain_bps } = self.groups.get(group)?;
        let mut column = FlowColumn { group, cost: -(*gain_bps as f64), loads: BTreeMap::new() };
        let mut sum = Some(0_u128);
        let mut is_reached = true;
        for (slot, tree) in trees {
            let cost = |at: usize, arc: &CarryingLink| {
                let price = prices.get(at).copied().unwrap_or(0).saturating_mul(u128::from(arc.price(*slot)));
                let metric = self.te_metric(arc).saturating_mul(SCALE).saturating_mul(u128::from(PRICE_ONE));
                metric.saturating_add(price)
            };
            let paths = self.links.shortest_paths(*ingress, cost);
            for (egress, bps) in tree {
                let Some(far) = paths.cost_to(*egress) else {
                    is_reached = false;
                    continue;
                };
                sum = sum.and_then(|sum| sum.checked_add(far.checked_mul(u128::from(*bps))?));
                for (at, arc) in paths.links_to(*egress) {
                    column.cost += *bps as f64 * self.te_metric(arc) as f64;
                    *column.loads.entry(at).or_default() += *bps as f64 * booked_part(arc, *slot);
                }
            }
        }
        let sum = sum.and_then(|sum| i128::try_from(sum).ok());
        if *gain_bps == 0 {
            return Some((sum, Some(column)));
        }
        let gain = u128::from(*gain_bps).checked_mul(SCALE * u128::from(PRICE_ONE));
        let gain = gain.and_then(|gain| i128::try_from(gain).ok());
        let net = sum.zip(gain).and_then(|(sum, gain)| sum.checked_sub(gain)).map(|net| net.min(0));
        if is_reached { Some((net, Some(column))) } else { Some((Some(0), None)) }
    }

    /// Looks at better and better prices; the routings of the last ones. Each price counts by what its link can carry.
    #[expect(clippy::cast_precision_loss, reason = "any price gives a bound")]
    pub(crate) fn raise_prices(&self, best: &mut BestBound, has_time: &dyn Fn() -> bool) -> Vec<FlowColumn> {
        let capacities: Vec<f64> = self.capacities.iter().map(|capacity| capacity.bps.max(1) as f64).collect();
        let is_ratio = matches!(self.objective, FlowObjective::Utilisation | FlowObjective::Headroom);
        let start = if is_ratio { 1.0 } else { 0.0 };
        let mut routings: VecDeque<Vec<FlowColumn>> = VecDeque::new();
        ascend(vec![start; capacities.len()], ASCENT_ROUNDS_MAX, |rents| {
            if !has_time() {
                return None;
            }
            let mut prices: Vec<f64> = rents.iter().zip(&capacities).map(|(rent, bps)| rent / bps).collect();
            if is_ratio {
                // What is bounded by a ratio does not change with the scale.
                let highest = prices.iter().copied().fold(0.0, f64::max);
                let scale = if highest > 0.0 { 1.0 / highest } else { 1.0 };
                prices.iter_mut().chain(rents.iter_mut()).for_each(|price| *price *= scale);
            }
            let parts: Vec<u128> = prices.iter().map(|price| in_parts(*price)).collect();
            let columns = self.look_at(&parts, BoundSource::LinkPrices, best);
            let looked = self.priced_value(&columns, &prices, &capacities);
            if routings.len() == ASCENT_COLUMNS {
                routings.pop_front();
            }
            routings.push_back(columns);
            Some(looked)
        });
        routings.into_iter().flatten().collect()
    }

    /// What [`Self::look_at`] bounds, as a float, and how it grows with the rent of each link: its price times its capacity.
    fn priced_value(&self, columns: &[FlowColumn], prices: &[f64], capacities: &[f64]) -> PricedValue {
        let mut loads = vec![0.0; prices.len()];
        let mut routed = 0.0;
        for column in columns {
            let rent: f64 = column.loads.iter().filter_map(|(at, load)| Some(load * prices.get(*at)?)).sum();
            let is_carried = self.groups.get(column.group).is_some_and(|group| group.gain_bps == 0);
            if !is_carried && column.cost + rent >= 0.0 {
                continue;
            }
            routed += column.cost + rent;
            for (at, load) in &column.loads {
                if let Some(sum) = loads.get_mut(*at) {
                    *sum += load;
                }
            }
        }
        let rents: f64 = prices.iter().zip(capacities).map(|(price, bps)| price * bps).sum();
        let is_counted = |at: usize| self.capacities.get(at).is_some_and(|capacity| capacity.is_counted);
        let counted: f64 = prices.iter().enumerate().filter(|(at, _)| is_counted(*at)).map(|(_, price)| price).sum();
        let (value, unit) = match self.objective {
            FlowObjective::Utilisation => (routed / rents, rents),
            FlowObjective::Headroom => ((routed - rents) / counted, counted),
            FlowObjective::Cost | FlowObjective::Admission => (routed - rents, 1.0),
        };
        let growth = |(at, (load, bps)): (usize, (&f64, &f64))| {
            let growth = match self.objective {
                FlowObjective::Utilisation => load - value * bps,
                FlowObjective::Headroom if is_counted(at) => load - bps - value,
                _ => load - bps,
            };
            growth / unit / bps
        };
        PricedValue { value, subgradient: loads.iter().zip(capacities).enumerate().map(growth).collect() }
    }

    /// The same for all links that count.
    pub(crate) fn even_prices(&self) -> Vec<u128> {
        self.capacities.iter().map(|capacity| if capacity.is_counted { SCALE } else { 0 }).collect()
    }

    /// For the link that has the least headroom even when it is empty.
    pub(crate) fn narrowest_price(&self) -> Vec<u128> {
        let counted = self.capacities.iter().enumerate().filter(|(_, capacity)| capacity.is_counted);
        let narrowest = counted.min_by_key(|(_, capacity)| capacity.bps).map(|(at, _)| at);
        (0..self.capacities.len()).map(|at| if Some(at) == narrowest { SCALE } else { 0 }).collect()
    }

    /// Prices of the links, in parts of [`SCALE`], and the value of the best mixture of routings.
    #[expect(clippy::cast_precision_loss, reason = "the solver's figures are floats, and no bound is read from them")]
    pub(crate) fn solve_master(&self, columns: &[FlowColumn]) -> Option<(Vec<u128>, f64)> {
        // In parts of the largest link and of the largest metric, so that all figures are near one.
        let bps = self.capacities.iter().map(|capacity| capacity.bps).max().filter(|most| *most > 0)? as f64;
        let metric = self.links.arcs.iter().map(|arc| self.te_metric(arc)).max().unwrap_or(0).max(1) as f64;
        let mut variables = ProblemVariables::new();
        let parts: Vec<Variable> = columns.iter().map(|_| variables.add(variable().min(0))).collect();
        let headroom = (self.objective == FlowObjective::Headroom).then(|| variables.add(variable()));
        let utilisation = (self.objective == FlowObjective::Utilisation).then(|| variables.add(variable().min(0)));
        let of_columns = || columns.iter().zip(&parts);
        let mut cost: Expression = of_columns().map(|(column, part)| column.cost / bps / metric * *part).sum();
        let mut carried = vec![Expression::from(0.0); self.groups.len()];
        let mut loads = vec![Expression::from(0.0); self.links.arcs.len()];
        for (column, part) in of_columns() {
            *carried.get_mut(column.group)? += *part;
            for (at, load) in &column.loads {
                *loads.get_mut(*at)? += *load / bps * *part;
            }
        }
        if let Some(headroom) = headroom {
            cost -= headroom;
            for (load, _) in loads.iter_mut().zip(&self.capacities).filter(|(_, capacity)| capacity.is_counted) {
                *load += headroom;
            }
        }
        if let Some(utilisation) = utilisation {
            cost += utilisation;
            for (load, capacity) in loads.iter_mut().zip(&self.capacities) {
                *load -= (capacity.bps as f64 / bps) * utilisation;
            }
        }
        let mut problem = variables.minimise(cost.clone()).using(clarabel);
        problem.settings().time_limit(MASTER_TIME_MAX_S);
        for (carried, group) in carried.into_iter().zip(&self.groups) {
            let whole = if group.gain_bps == 0 { constraint!(carried == 1) } else { constraint!(carried <= 1) };
            problem.add_constraint(whole);
        }
        let limit = |capacity: &LinkCapacity| if utilisation.is_some() { 0.0 } else { capacity.bps as f64 / bps };
        let rows = loads.into_iter().zip(&self.capacities);
        let rows: Vec<_> =
            rows.map(|(load, capacity)| problem.add_constraint(constraint!(load <= limit(capacity)))).collect();
        let mut solution = problem.solve().ok()?;
        let unit = if utilisation.is_some() { f64::from(PPM) } else { bps * metric };
        let optimum = solution.eval(cost) * unit;
        let duals = solution.compute_dual();
        let prices = rows.into_iter().map(|row| in_parts(-duals.dual(row) * metric)).collect();
        Some((prices, optimum))
    }
}

/// What of a reservation is booked.
#[expect(clippy::cast_precision_loss, reason = "the solver's figures are floats, and no bound is read from them")]
fn booked_part(arc: &CarryingLink, slot: Slot) -> f64 {
    arc.price(slot) as f64 / PRICE_ONE as f64
}

/// A price in parts of [`SCALE`]; what is below zero or no number is none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "any price gives a bound"
)]
fn in_parts(price: f64) -> u128 {
    (price.max(0.0) * SCALE as f64) as u128
}
