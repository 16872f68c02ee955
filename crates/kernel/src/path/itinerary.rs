//! What a path must pass on its way: the included hops in order (RFC 7896) and the explicit route (RFC 3209 §4.3). How
//! far a path has come is a [`Stage`]; how much is left to pay at least is a bound made of static distances from hop to
//! hop.

use super::graph::{Graph, word};
use super::rows::{RowAt, RowRef, Rows};
use super::{COST_ONE, Constraints, Hop, Metric};

/// How many included hops, and how many hops of the route, a path has met.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Stage {
    pub(super) include: u32,
    pub(super) route: u32,
}

/// The hops asked for, and the bounds towards them.
pub(super) struct Itinerary<'a> {
    constraints: &'a Constraints,
    include: Vec<Leg>,
    route: Vec<Leg>,
}

/// From anywhere to the next hop that is to be met, and then the rest of the way.
#[derive(Clone, Copy)]
struct Leg {
    enter: Bounds<RowAt>,
    after: Bounds<u64>,
}

/// One thing for each quantity that is bounded.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Bounds<T> {
    pub(super) cost: T,
    pub(super) hops: T,
    pub(super) delay: T,
}

impl<'a> Itinerary<'a> {
    /// `None` if a hop cannot be reached from the one before it even in an empty network, or is not of this graph.
    pub(super) fn new(
        graph: &Graph,
        constraints: &'a Constraints,
        metric: Metric,
        egress: u32,
        rows: &mut Rows,
    ) -> Option<Self> {
        let route: Vec<Hop> = constraints.route.iter().map(|hop| hop.hop).collect();
        let include = legs(graph, &constraints.include, metric, egress, rows)?;
        let route = legs(graph, &route, metric, egress, rows)?;
        Some(Self { constraints, include, route })
    }

    /// How many stages there are, the last included.
    pub(super) fn stages(&self) -> usize {
        self.include.len() * self.route.len()
    }

    /// A number for each stage, below [`Itinerary::stages`].
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

    fn met(&self, stage: Stage, is_met: impl Fn(&Hop) -> bool) -> Stage {
        let Constraints { include, route, .. } = self.constraints;
        let included = include.iter().skip(stage.include as usize).take_while(|hop| is_met(hop)).count();
        let routed = route.iter().skip(stage.route as usize).take_while(|hop| is_met(&hop.hop)).count();
        Stage { include: stage.include + word(included), route: stage.route + word(routed) }
    }

    /// The least that is left from `node` at `stage`; `None` if there is no way.
    pub(super) fn left(&self, graph: &Graph, rows: &Rows, stage: Stage, node: u32) -> Option<Bounds<u64>> {
        let include = self.include.get(stage.include as usize)?.left(graph, rows, node)?;
        let route = self.route.get(stage.route as usize)?.left(graph, rows, node)?;
        Some(Bounds {
            cost: include.cost.max(route.cost),
            hops: include.hops.max(route.hops),
            delay: include.delay.max(route.delay),
        })
    }
}

impl Leg {
    fn left(&self, graph: &Graph, rows: &Rows, node: u32) -> Option<Bounds<u64>> {
        let row = |at| rows.view(graph, at);
        let Bounds { cost, hops, delay } = self.enter;
        let to_next = read(graph, Bounds { cost: row(cost), hops: row(hops), delay: row(delay) }, node)?;
        Some(Bounds {
            cost: to_next.cost + self.after.cost,
            hops: to_next.hops + self.after.hops,
            delay: to_next.delay + self.after.delay,
        })
    }
}

/// The legs to each hop in turn and at last to the egress.
fn legs(graph: &Graph, hops: &[Hop], metric: Metric, egress: u32, rows: &mut Rows) -> Option<Vec<Leg>> {
    let mut legs = vec![Leg { enter: ensure(graph, metric, egress, rows), after: Bounds::default() }];
    let mut hop_after = None;
    for hop in hops.iter().rev() {
        let next = *legs.last()?;
        // The same hop twice in a row is met at once.
        if hop_after.replace(hop) == Some(hop) {
            legs.push(next);
            continue;
        }
        let (enter, leg) = match *hop {
            Hop::Node(node) => {
                graph.has_node(node).then_some(())?;
                (node.0, next.left(graph, rows, node.0)?)
            }
            Hop::Link(link) => {
                let arc = graph.arcs.get(link.at())?;
                let after = next.left(graph, rows, arc.head)?;
                let link_itself = Bounds {
                    cost: graph.static_cost(metric, link.0),
                    hops: 1,
                    delay: u64::from(graph.delays[link.at()]),
                };
                let sum = Bounds {
                    cost: after.cost + link_itself.cost,
                    hops: after.hops + link_itself.hops,
                    delay: after.delay + link_itself.delay,
                };
                (graph.tails[link.at()], sum)
            }
        };
        legs.push(Leg { enter: ensure(graph, metric, enter, rows), after: leg });
    }
    legs.reverse();
    Some(legs)
}

fn ensure(graph: &Graph, metric: Metric, to: u32, rows: &mut Rows) -> Bounds<RowAt> {
    Bounds {
        cost: rows.ensure(graph, metric, to),
        hops: rows.ensure(graph, Metric::Hops, to),
        delay: rows.ensure(graph, Metric::Delay, to),
    }
}

/// Turns distances, which count a little for every link, into plain hops and microseconds, never above the truth.
fn read(graph: &Graph, rows: Bounds<RowRef<'_>>, node: u32) -> Option<Bounds<u64>> {
    let longest = (graph.node_count() as u64).saturating_sub(1);
    Some(Bounds {
        cost: rows.cost.bound(node)?,
        hops: rows.hops.bound(node)? / (COST_ONE + 1),
        delay: rows.delay.bound(node)?.saturating_sub(longest).div_ceil(COST_ONE),
    })
}
