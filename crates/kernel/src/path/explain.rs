//! Why there is no path: the constraints are put back one after the other, and the first that leaves none is the reason.
//! This is the cold path: it runs when an admission was denied, and may cost several searches.

use super::cspf::{check_ends, shortest};
use super::graph::Graph;
use super::query::{Constraints, Everything, FoundPath, Links, Metric, NoPath, Query};
use super::workspace::Workspace;
use crate::id::LinkIx;
use crate::units::Micros;

/// Why no path satisfies a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// No links lead from ingress to egress, whatever their state.
    Disconnected,
    /// Only over links that are not usable.
    LinksDown,
    /// Only over excluded nodes or links.
    Excluded,
    /// Only over links of the wrong colours.
    AdminGroup,
    /// Not past the hops that must be passed, in their order.
    Include,
    /// Not with so few links.
    MaxHops {
        /// The fewest links of any path.
        least: u32,
    },
    /// Not with so little delay.
    MaxDelay {
        /// The least delay of any path.
        least: Micros,
    },
    /// The bounded search gave up before it could tell.
    SearchLimit,
    /// Not with so much bandwidth.
    Bandwidth {
        /// The links with too little room on the widest path, in its order, each with the room it has.
        binding: Vec<(LinkIx, u64)>,
        /// The largest bandwidth for which there is a path.
        largest_admissible_bps: u64,
    },
}

/// Names the first of all links, usable links, exclusions, affinities, included hops and route, hops, delay, bandwidth
/// that leaves no path when they are required one after the other. Of a query that has a path it says
/// [`Reason::Bandwidth`] with nothing binding.
pub fn explain<L: Links>(graph: &Graph, links: &L, query: &Query<'_>, workspace: &mut Workspace) -> Reason {
    match first_unmet(graph, links, query, workspace) {
        Err(reason) => reason,
        Ok(()) => bandwidth(graph, links, query, workspace).unwrap_or(Reason::SearchLimit),
    }
}

fn first_unmet<L: Links>(graph: &Graph, links: &L, query: &Query<'_>, workspace: &mut Workspace) -> Result<(), Reason> {
    check_ends(graph, query).map_err(|_| Reason::Disconnected)?;
    let asked = query.constraints;
    let usable = Usable(links);
    let mut constraints = Constraints::default();
    try_path(graph, &Everything, query, &constraints, Metric::Te, Reason::Disconnected, workspace)?;
    try_path(graph, &usable, query, &constraints, Metric::Te, Reason::LinksDown, workspace)?;
    constraints.exclude.clone_from(&asked.exclude);
    try_path(graph, &usable, query, &constraints, Metric::Te, Reason::Excluded, workspace)?;
    constraints.include_any = asked.include_any;
    constraints.exclude_any = asked.exclude_any;
    try_path(graph, &usable, query, &constraints, Metric::Te, Reason::AdminGroup, workspace)?;
    constraints.include.clone_from(&asked.include);
    constraints.route.clone_from(&asked.route);
    let shortest = try_path(graph, &usable, query, &constraints, Metric::Hops, Reason::Include, workspace)?;
    let least = u32::try_from(shortest.links.len()).unwrap_or(u32::MAX);
    if asked.max_hops.is_some_and(|most| least > most) {
        return Err(Reason::MaxHops { least });
    }
    constraints.max_hops = asked.max_hops;
    // At least the path just found is one: a failure here is the limit.
    let fastest = try_path(graph, &usable, query, &constraints, Metric::Delay, Reason::SearchLimit, workspace)?;
    if asked.max_delay.is_some_and(|most| fastest.delay > most) {
        return Err(Reason::MaxDelay { least: fastest.delay });
    }
    Ok(())
}

fn try_path<L: Links>(
    graph: &Graph,
    links: &L,
    query: &Query<'_>,
    constraints: &Constraints,
    metric: Metric,
    reason: Reason,
    workspace: &mut Workspace,
) -> Result<FoundPath, Reason> {
    let query = Query { bandwidth_bps: 0, metric, constraints, ..*query };
    shortest(graph, links, &query, workspace).map_err(|none| match none {
        NoPath::None => reason,
        NoPath::SearchLimit => Reason::SearchLimit,
    })
}

/// The largest bandwidth that has a path, by bisection over the rooms of the links, and the links of that path that are
/// too narrow.
fn bandwidth<L: Links>(
    graph: &Graph,
    links: &L,
    query: &Query<'_>,
    workspace: &mut Workspace,
) -> Result<Reason, NoPath> {
    let all = graph.csr.arcs().map(LinkIx);
    let mut rooms: Vec<u64> =
        all.filter(|link| links.is_usable(*link)).map(|link| links.room_bps(link)).chain([0]).collect();
    rooms.sort_unstable();
    rooms.dedup();
    let mut widest = shortest(graph, links, &Query { bandwidth_bps: 0, ..*query }, workspace)?;
    let mut largest = 0;
    // Invariant: there is a path at `rooms[low]` and none at `rooms[high]`.
    let (mut low, mut high) = (0, rooms.len());
    while high - low > 1 {
        let middle = low.midpoint(high);
        match shortest(graph, links, &Query { bandwidth_bps: rooms[middle], ..*query }, workspace) {
            Ok(path) => {
                low = middle;
                largest = rooms[middle];
                widest = path;
            }
            Err(NoPath::None) => high = middle,
            Err(limit) => return Err(limit),
        }
    }
    let rooms = widest.links.iter().map(|link| (*link, links.room_bps(*link)));
    let binding = rooms.filter(|(_, room)| *room < query.bandwidth_bps).collect();
    Ok(Reason::Bandwidth { binding, largest_admissible_bps: largest })
}

/// The usable links, with unlimited room.
struct Usable<'a, L>(&'a L);

impl<L: Links> Links for Usable<'_, L> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        if self.0.is_usable(link) { u64::MAX } else { 0 }
    }

    fn weight(&self, link: LinkIx) -> u32 {
        self.0.weight(link)
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.0.is_usable(link)
    }
}
