//! Hops that a path must pass on its way: the included hops in order (RFC 7896) and the explicit route (RFC 3209 §4.3).
//! The hops met so far are a [`Stage`]; the least that is left from there is the sum of static distances from hop to hop,
//! a lower bound as those are.

use std::sync::Arc;

use super::csr::{Csr, word};
use super::distance_table::{DistanceRow, DistanceTable};
use super::query::{COST_ONE, Constraints, Hop, Metric};

/// How many included hops, and how many hops of the route, a path has met.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Stage {
    pub(super) include: u32,
    pub(super) route: u32,
}

/// The hops to pass, and the bounds towards them.
pub(super) struct Waypoints<'a> {
    constraints: &'a Constraints,
    include: Vec<Leg>,
    route: Vec<Leg>,
}

/// From anywhere to the next hop that is to be met, and then the rest of the way.
#[derive(Clone)]
struct Leg {
    enter: DistanceRows,
    after: Bounds<u64>,
}

/// Static distances to one node: hops and delay only where they are limited, since rows take time and memory.
#[derive(Clone)]
struct DistanceRows {
    cost: Arc<DistanceRow>,
    hops: Option<Arc<DistanceRow>>,
    delay: Option<Arc<DistanceRow>>,
}

/// A value for each quantity that is bounded.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Bounds<T> {
    pub(super) cost: T,
    pub(super) hops: T,
    pub(super) delay: T,
}

impl<'a> Waypoints<'a> {
    /// `None` if a hop cannot be reached from the one before it even in an empty network, or is not of this graph.
    pub(super) fn new(
        csr: &Csr,
        constraints: &'a Constraints,
        metric: Metric,
        egress: u32,
        table: &mut DistanceTable,
    ) -> Option<Self> {
        let route: Vec<Hop> = constraints.route.iter().map(|hop| hop.hop).collect();
        let mut rows_to = |to| DistanceRows {
            cost: table.row(csr, metric, to),
            hops: constraints.max_hops.map(|_| table.row(csr, Metric::Hops, to)),
            delay: constraints.max_delay.map(|_| table.row(csr, Metric::Delay, to)),
        };
        let include = legs(csr, &constraints.include, metric, egress, &mut rows_to)?;
        let route = legs(csr, &route, metric, egress, &mut rows_to)?;
        Some(Self { constraints, include, route })
    }

    /// How many stages there are, the last included.
    pub(super) fn stages(&self) -> usize {
        self.include.len() * self.route.len()
    }

    /// A number for each stage, below [`Waypoints::stages`].
    pub(super) fn index(&self, stage: Stage) -> usize {
        stage.include as usize * self.route.len() + stage.route as usize
    }

    pub(super) fn is_complete(&self, stage: Stage) -> bool {
        stage.include as usize + 1 == self.include.len() && stage.route as usize + 1 == self.route.len()
    }

    /// The stage of a path that has just arrived at, or starts from, `node`.
    pub(super) fn at_node(&self, stage: Stage, node: u32) -> Stage {
        self.met(stage, |hop| matches!(hop, Hop::Node(ix) if ix.0 == node))
    }

    /// The stage after taking arc `number` to `head`; `None` if a strict hop is missed (RFC 3209 §4.3.4).
    pub(super) fn along(&self, stage: Stage, number: u32, head: u32) -> Option<Stage> {
        let on_link = self.met(stage, |hop| matches!(hop, Hop::Link(ix) if ix.0 == number));
        let after = self.at_node(on_link, head);
        let is_strict = self.constraints.route.get(stage.route as usize).is_some_and(|hop| hop.strict);
        if is_strict && after.route == stage.route { None } else { Some(after) }
    }

    /// The hops that are still to be met, each with the static distances to where it begins. `None` where an explicit route
    /// stands beside included hops, or has strict hops.
    pub(super) fn pending(&self, stage: Stage) -> Option<Vec<(Hop, Arc<DistanceRow>)>> {
        let Constraints { include, route, .. } = self.constraints;
        let included = include.get(stage.include as usize..)?;
        let routed = route.get(stage.route as usize..)?;
        if routed.iter().any(|hop| hop.strict) || !(included.is_empty() || routed.is_empty()) {
            return None;
        }
        let rows = |legs: &[Leg]| legs.iter().map(|leg| Arc::clone(&leg.enter.cost)).collect::<Vec<_>>();
        let rows = if routed.is_empty() {
            rows(self.include.get(stage.include as usize..)?)
        } else {
            rows(self.route.get(stage.route as usize..)?)
        };
        let hops = included.iter().copied().chain(routed.iter().map(|hop| hop.hop));
        let mut pending: Vec<_> = hops.zip(rows).collect();
        // The same hop twice in a row is met at once.
        pending.dedup_by_key(|(hop, _)| *hop);
        Some(pending)
    }

    /// The links that are still to be passed.
    pub(super) fn links(&self, stage: Stage) -> impl Iterator<Item = u32> + '_ {
        let Constraints { include, route, .. } = self.constraints;
        let included = include.iter().skip(stage.include as usize);
        let routed = route.iter().skip(stage.route as usize).map(|hop| &hop.hop);
        included.chain(routed).filter_map(|hop| if let Hop::Link(link) = hop { Some(link.0) } else { None })
    }

    fn met(&self, stage: Stage, is_met: impl Fn(&Hop) -> bool) -> Stage {
        let Constraints { include, route, .. } = self.constraints;
        let included = include.iter().skip(stage.include as usize).take_while(|hop| is_met(hop)).count();
        let routed = route.iter().skip(stage.route as usize).take_while(|hop| is_met(&hop.hop)).count();
        Stage { include: stage.include + word(included), route: stage.route + word(routed) }
    }

    /// The least that is left from `node` at `stage`; `None` if no path leads on.
    pub(super) fn left(&self, csr: &Csr, stage: Stage, node: u32) -> Option<Bounds<u64>> {
        let include = self.include.get(stage.include as usize)?.left(csr, node)?;
        let route = self.route.get(stage.route as usize)?.left(csr, node)?;
        Some(Bounds {
            cost: include.cost.max(route.cost),
            hops: include.hops.max(route.hops),
            delay: include.delay.max(route.delay),
        })
    }
}

impl Leg {
    fn left(&self, csr: &Csr, node: u32) -> Option<Bounds<u64>> {
        let to_next = read(csr, &self.enter, node)?;
        Some(Bounds {
            cost: to_next.cost + self.after.cost,
            hops: to_next.hops + self.after.hops,
            delay: to_next.delay + self.after.delay,
        })
    }
}

/// The legs to each hop in turn and at last to the egress.
fn legs(
    csr: &Csr,
    hops: &[Hop],
    metric: Metric,
    egress: u32,
    rows_to: &mut impl FnMut(u32) -> DistanceRows,
) -> Option<Vec<Leg>> {
    let mut legs = vec![Leg { enter: rows_to(egress), after: Bounds::default() }];
    let mut hop_after = None;
    for hop in hops.iter().rev() {
        let next = legs.last()?.clone();
        // The same hop twice in a row is met at once.
        if hop_after.replace(hop) == Some(hop) {
            legs.push(next);
            continue;
        }
        let (enter, leg) = match *hop {
            Hop::Node(node) => {
                csr.has_node(node).then_some(())?;
                (node.0, next.left(csr, node.0)?)
            }
            Hop::Link(link) => {
                let head = *csr.heads.get(link.at())?;
                let after = next.left(csr, head)?;
                let link_itself =
                    Bounds { cost: csr.static_cost(metric, link.0), hops: 1, delay: u64::from(csr.delays[link.at()]) };
                let sum = Bounds {
                    cost: after.cost + link_itself.cost,
                    hops: after.hops + link_itself.hops,
                    delay: after.delay + link_itself.delay,
                };
                (csr.tails[link.at()], sum)
            }
        };
        legs.push(Leg { enter: rows_to(enter), after: leg });
    }
    legs.reverse();
    Some(legs)
}

/// Turns distances, which count a little for every link, into plain hops and microseconds, never above the truth.
fn read(csr: &Csr, rows: &DistanceRows, node: u32) -> Option<Bounds<u64>> {
    let longest = (csr.node_count() as u64).saturating_sub(1);
    let bound = |row: &Option<Arc<DistanceRow>>| row.as_ref().map_or(Some(0), |row| row.bound(node));
    Some(Bounds {
        cost: rows.cost.bound(node)?,
        hops: bound(&rows.hops)? / (COST_ONE + 1),
        delay: bound(&rows.delay)?.saturating_sub(longest).div_ceil(COST_ONE),
    })
}
