//! What every reader reads into, and how it becomes a [`Topology`]: undirected edges become twins, names become unique,
//! capacities that are missing follow the policy, delays that are missing follow the distance, and so do TE metrics where
//! the file has none at all and every link has a distance.
//! Node ids, never labels, are keys.

use std::collections::{BTreeMap, BTreeSet};

use kernel::id::{LinkIx, Name, NameError, NodeIx};
use kernel::topology::{CapacitySource, LINKS_MAX, Link, NODES_MAX, Node, Topology, TopologyError};

use super::both_ways::{Listing, listing};
use super::distance::{distance_metric, fibre_delay, great_circle_km};
use super::element_builder::{Capacity, EdgeBuilder, EdgeDirection, NodeBuilder};
use super::error::ImportError;
use super::link_namer::Namer;
use super::report::{Imported, ReportBuilder, TE_METRIC_DEFAULT, source_name};
use super::source_position::{SourcePosition, Warnings, excerpt};
use super::{Format, MissingCapacity, ReadOptions};

/// What the nodes and edges of a file add up to, before it is checked.
pub(super) struct TopologyBuilder {
    pub(super) format: Format,
    pub(super) nodes: Vec<NodeBuilder>,
    pub(super) edges: Vec<EdgeBuilder>,
    pub(super) warnings: Warnings,
}

impl TopologyBuilder {
    pub(super) fn new(format: Format) -> Self {
        Self { format, nodes: Vec::new(), edges: Vec::new(), warnings: Warnings::default() }
    }

    /// Adds a node, within the kernel's limit, so that a bad file fails early.
    pub(super) fn add_node(&mut self, node: NodeBuilder) -> Result<(), ImportError> {
        if self.nodes.len() >= NODES_MAX {
            return Err(ImportError::TooMany { at: node.at, what: "nodes", max: NODES_MAX });
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Adds an edge, within the kernel's limit.
    pub(super) fn add_edge(&mut self, edge: EdgeBuilder) -> Result<(), ImportError> {
        if self.edges.len() >= LINKS_MAX {
            return Err(ImportError::TooMany { at: edge.at, what: "links", max: LINKS_MAX });
        }
        self.edges.push(edge);
        Ok(())
    }

    /// The topology: names resolved and made unique, missing values filled in, and checked by the kernel.
    pub(super) fn build(mut self, options: &ReadOptions) -> Result<Imported, ImportError> {
        self.drop_unusable_names();
        self.pair_both_ways();
        let mut places = BTreeMap::new();
        let nodes = self.build_nodes(&mut places)?;
        let mut builder = LinkBuilder {
            index: nodes.iter().zip(0..).map(|(node, at)| (node.name.clone(), NodeIx(at))).collect(),
            nodes: &nodes,
            options,
            report: ReportBuilder::new(self.format),
            warnings: self.warnings,
            metrics: MetricSource::Given,
            links: Vec::new(),
            twins: Vec::new(),
            backs: Vec::new(),
            namer: Namer::default(),
            places,
        };
        builder.choose_metrics(&self.edges);
        for (at, edge) in self.edges.into_iter().enumerate() {
            builder.edge(at, edge)?;
        }
        builder.join_twins()?;
        let LinkBuilder { links, report, warnings, places, .. } = builder;
        let checked = |topology: Topology| topology.check_switches().map(|()| topology);
        let topology = Topology::new(nodes, links).and_then(checked).map_err(|source| {
            let at = culprit(&source).and_then(|name| places.get(name)).cloned();
            let at = at.unwrap_or_else(|| SourcePosition::element("the file"));
            ImportError::Topology { at, source: Box::new(source) }
        })?;
        Ok(report.finish(topology, warnings))
    }

    /// A third party's edge ids are names only where every edge has one of its own.
    fn drop_unusable_names(&mut self) {
        if self.format == Format::Native {
            return;
        }
        let named: BTreeSet<&str> = self.edges.iter().filter_map(|edge| edge.name.as_deref()).collect();
        if named.len() < self.edges.len() {
            for edge in &mut self.edges {
                edge.name = None;
                if matches!(edge.direction, EdgeDirection::ForwardOf { .. }) {
                    edge.direction = EdgeDirection::Forward;
                }
            }
        }
    }

    /// An undirected file that lists every edge once in each direction has the two directions of one link in each pair.
    /// If only some are listed so, they stay parallel links.
    fn pair_both_ways(&mut self) {
        if self.format == Format::Native {
            return;
        }
        let undirected = self.edges.iter().enumerate().filter(|(_, edge)| edge.direction == EdgeDirection::Both);
        let listing = listing(undirected.map(|(at, edge)| (at, edge.from.as_str(), edge.to.as_str())));
        let message = match listing {
            Listing::Once => return,
            Listing::BothWays(pairs) => {
                for (there, back) in pairs {
                    if let Some(edge) = self.edges.get_mut(there) {
                        edge.direction = EdgeDirection::ForwardWith { back };
                    }
                }
                "every edge is there both ways: each pair is taken as the two directions of one link".to_owned()
            }
            Listing::Mixed { pairs, example: (from, to) } => format!(
                "{pairs} pairs of nodes, as '{}' and '{}', have edges both ways and others have not: taken as parallel links",
                excerpt(from),
                excerpt(to)
            ),
        };
        self.warnings.push(SourcePosition::element("edges"), message);
    }

    fn build_nodes(&mut self, places: &mut BTreeMap<Name, SourcePosition>) -> Result<Vec<Node>, ImportError> {
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for node in self.nodes.drain(..) {
            let name = Name::new(&node.id).map_err(|source| ImportError::BadName { at: node.at.clone(), source })?;
            if places.insert(name.clone(), node.at.clone()).is_some() {
                return Err(ImportError::DuplicateId { at: node.at, id: node.id });
            }
            nodes.push(Node { name, label: node.label, position: node.position, switch: node.switch });
        }
        Ok(nodes)
    }
}

/// What TE metrics are where an edge gives none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MetricSource {
    /// [`TE_METRIC_DEFAULT`], beside those that are given.
    Given,
    /// Kilometres: the file gives none at all.
    Distance,
}

/// Edges on their way to links.
struct LinkBuilder<'a> {
    nodes: &'a [Node],
    index: BTreeMap<Name, NodeIx>,
    options: &'a ReadOptions,
    report: ReportBuilder,
    warnings: Warnings,
    metrics: MetricSource,
    links: Vec<Link>,
    /// Links that name their twin, to be resolved when all are there.
    twins: Vec<(usize, String)>,
    /// Edges that are the two directions of one link: their places in the file, and the link that came of the first.
    backs: Vec<(usize, usize, usize)>,
    namer: Namer,
    places: BTreeMap<Name, SourcePosition>,
}

impl LinkBuilder<'_> {
    /// TE metrics must compare: distances only if every link has one and the file gives no metric.
    fn choose_metrics(&mut self, edges: &[EdgeBuilder]) {
        if edges.iter().any(|edge| edge.te_metric.is_some()) {
            return;
        }
        let with_distance = edges.iter().filter(|edge| self.distance_km(edge).is_some()).count();
        if with_distance == edges.len() {
            self.metrics = MetricSource::Distance;
        } else if let (Some(without), true) =
            (edges.iter().find(|edge| self.distance_km(edge).is_none()), with_distance > 0)
        {
            let message = format!(
                "{} of {} edges, as this, have no distance: the TE metric is {TE_METRIC_DEFAULT} everywhere",
                edges.len() - with_distance,
                edges.len()
            );
            self.warnings.push(without.at.clone(), message);
        }
    }

    /// The length of an edge, or the great circle between its ends.
    fn distance_km(&self, edge: &EdgeBuilder) -> Option<f64> {
        if let Some(length_m) = edge.length_m {
            #[expect(clippy::cast_precision_loss, reason = "what is beyond 2^53 metres is cut to the longest delay")]
            return Some(length_m as f64 / 1_000.0);
        }
        let position = |id: &str| self.nodes.get(self.index.get(id)?.at())?.position;
        great_circle_km(position(&edge.from)?, position(&edge.to)?)
    }

    fn edge(&mut self, at: usize, edge: EdgeBuilder) -> Result<(), ImportError> {
        let from = self.resolve(&edge.from, &edge.at)?;
        let to = self.resolve(&edge.to, &edge.at)?;
        if from == to && self.report.0.format != Format::Native {
            self.report.0.dropped_links += 1;
            self.warnings.push(edge.at, "a link from a node to itself: left out");
            return Ok(());
        }
        let Some(capacity) = self.capacity(&edge)? else { return Ok(()) };
        let named =
            |name: Result<Name, NameError>| name.map_err(|source| ImportError::BadName { at: edge.at.clone(), source });
        let name = named(self.namer.forward(edge.name.as_deref(), &edge.from, &edge.to))?;
        let link = Link {
            name,
            from,
            to,
            capacity: capacity.bandwidth,
            max_reservable: edge.max_reservable.unwrap_or(capacity.bandwidth),
            te_metric: edge.te_metric.unwrap_or_else(|| self.metric(&edge)),
            delay: edge.delay.or_else(|| self.distance_km(&edge).map(fibre_delay)).unwrap_or_default(),
            srlg: edge.srlg.clone(),
            admin_group: edge.admin_group,
            state: edge.state,
            from_port: edge.from_port,
            to_port: edge.to_port,
            twin: None,
            capacity_from: capacity.source,
            is_avoided: false,
        };
        let forward = self.links.len();
        match &edge.direction {
            EdgeDirection::Forward => {}
            EdgeDirection::ForwardOf { twin } => self.twins.push((forward, twin.clone())),
            EdgeDirection::ForwardWith { back } => self.backs.push((at, *back, forward)),
            EdgeDirection::Both => {
                let reverse = Link {
                    name: named(self.namer.reverse(edge.name.as_deref(), &edge.from, &edge.to))?,
                    from: link.to,
                    to: link.from,
                    from_port: link.to_port,
                    to_port: link.from_port,
                    twin: Some(link_ix(forward)),
                    ..link.clone()
                };
                self.push(Link { twin: Some(link_ix(forward + 1)), ..link }, &edge)?;
                return self.push(reverse, &edge);
            }
        }
        self.push(link, &edge)
    }

    fn push(&mut self, link: Link, edge: &EdgeBuilder) -> Result<(), ImportError> {
        if self.links.len() >= LINKS_MAX {
            return Err(ImportError::TooMany { at: edge.at.clone(), what: "directed links", max: LINKS_MAX });
        }
        *self.report.0.capacity_from.entry(source_name(link.capacity_from).to_owned()).or_default() += 1;
        let has_distance = self.distance_km(edge).is_some();
        let report = &mut self.report.0;
        if link.capacity_from == CapacitySource::Default && edge.capacity.is_none() {
            report.default_capacity_bps = Some(link.capacity.as_bps());
        }
        report.delays_assumed += usize::from(edge.delay.is_none());
        report.delays_from_distance += usize::from(edge.delay.is_none() && has_distance);
        report.te_metrics_assumed += usize::from(edge.te_metric.is_none());
        report.te_metrics_from_distance +=
            usize::from(edge.te_metric.is_none() && self.metrics == MetricSource::Distance && has_distance);
        self.places.entry(link.name.clone()).or_insert_with(|| edge.at.clone());
        self.links.push(link);
        Ok(())
    }

    fn resolve(&self, id: &str, at: &SourcePosition) -> Result<NodeIx, ImportError> {
        let unknown = || ImportError::UnknownNode { at: at.clone(), node: excerpt(id) };
        self.index.get(id).copied().ok_or_else(unknown)
    }

    /// The capacity of an edge, or of the policy; `None` if the edge is to be left out.
    fn capacity(&mut self, edge: &EdgeBuilder) -> Result<Option<Capacity>, ImportError> {
        if edge.capacity.is_some() {
            return Ok(edge.capacity);
        }
        match self.options.on_missing_capacity {
            MissingCapacity::Error => Err(ImportError::NoCapacity { at: edge.at.clone() }),
            MissingCapacity::Drop => {
                self.report.0.dropped_links += 1;
                self.warnings.push(edge.at.clone(), "no capacity that can be read: left out");
                Ok(None)
            }
            MissingCapacity::Default => {
                let bandwidth = self.options.default_capacity;
                Ok(Some(Capacity { bandwidth, source: CapacitySource::Default }))
            }
        }
    }

    fn metric(&self, edge: &EdgeBuilder) -> u32 {
        match (self.metrics, self.distance_km(edge)) {
            (MetricSource::Distance, Some(km)) => distance_metric(km),
            _ => TE_METRIC_DEFAULT,
        }
    }

    fn join_twins(&mut self) -> Result<(), ImportError> {
        let links: BTreeMap<usize, usize> = self.backs.iter().map(|(edge, _, link)| (*edge, *link)).collect();
        for (_, back, link) in std::mem::take(&mut self.backs) {
            if let (Some(link), Some(twin)) = (self.links.get_mut(link), links.get(&back)) {
                link.twin = Some(link_ix(*twin));
            }
        }
        if self.twins.is_empty() {
            return Ok(());
        }
        let by_name: BTreeMap<Name, LinkIx> =
            self.links.iter().zip(0..).map(|(link, at)| (link.name.clone(), LinkIx(at))).collect();
        for (at, twin) in std::mem::take(&mut self.twins) {
            let Some(link) = self.links.get_mut(at) else { continue };
            let place = self.places.get(&link.name).cloned().unwrap_or_default();
            let found = by_name.get(twin.as_str()).copied();
            link.twin = Some(found.ok_or(ImportError::UnknownTwin { at: place, link: twin })?);
        }
        Ok(())
    }
}

fn link_ix(at: usize) -> LinkIx {
    LinkIx(u32::try_from(at).unwrap_or(u32::MAX))
}

/// The node or link that a kernel error is about.
fn culprit(error: &TopologyError) -> Option<&Name> {
    match error {
        TopologyError::TooManyNodes { .. } | TopologyError::TooManyLinks { .. } | TopologyError::Empty => None,
        TopologyError::DuplicateNode(name)
        | TopologyError::DuplicateLink(name)
        | TopologyError::SelfLoop(name)
        | TopologyError::BadTwin(name)
        | TopologyError::DuplicateDpid { second: name, .. }
        | TopologyError::UnknownEnd { link: name }
        | TopologyError::PortTaken { of: name, .. }
        | TopologyError::OutOfRange { of: name, .. }
        | TopologyError::TooMany { of: name, .. } => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(edges: &[(&str, &str, Option<&str>)]) -> TopologyBuilder {
        let mut draft = TopologyBuilder::new(Format::Gml);
        for id in ["a", "b"] {
            let node =
                NodeBuilder { id: id.into(), label: None, position: None, switch: None, at: SourcePosition::line(1) };
            draft.add_node(node).unwrap();
        }
        for (line, (from, to, name)) in edges.iter().enumerate() {
            let mut edge = EdgeBuilder::new(*from, *to, EdgeDirection::Both, SourcePosition::line(line + 2));
            edge.name = name.map(str::to_owned);
            draft.add_edge(edge).unwrap();
        }
        draft
    }

    fn names(imported: &Imported) -> Vec<&str> {
        imported.topology.links().map(|(_, link)| link.name.as_str()).collect()
    }

    #[test]
    fn parallel_edges_are_numbered_and_twins_know_each_other() {
        let imported =
            draft(&[("a", "b", None), ("a", "b", None), ("b", "a", None)]).build(&ReadOptions::default()).unwrap();
        assert_eq!(names(&imported), ["a-b", "a-b#2", "a-b#3", "b-a", "b-a#2", "b-a#3"]);
        for (ix, link) in imported.topology.links() {
            assert_eq!(imported.topology.link(link.twin.unwrap()).unwrap().twin, Some(ix));
        }
    }

    #[test]
    fn every_edge_both_ways_is_one_link_each_pair() {
        let edges = [("a", "b", None), ("b", "a", None), ("a", "b", None), ("b", "a", None)];
        let imported = draft(&edges).build(&ReadOptions::default()).unwrap();
        assert_eq!(names(&imported), ["a-b", "a-b#2", "b-a", "b-a#2"]);
        let twins: Vec<u32> = imported.topology.links().map(|(_, link)| link.twin.unwrap().0).collect();
        assert_eq!(twins, [2, 3, 0, 1]);
        assert!(imported.report.warnings[0].message.contains("every edge is there both ways"));
        let some = draft(&edges[..3]).build(&ReadOptions::default()).unwrap();
        assert_eq!(some.report.links, 6);
        assert!(some.report.warnings[0].message.contains("taken as parallel links"), "{}", some.report.warnings[0]);
    }

    #[test]
    fn metrics_are_distances_only_where_all_have_one() {
        let metrics = |lengths: [Option<u64>; 2], metric: Option<u32>| {
            let mut draft = draft(&[("a", "b", None), ("a", "b", None)]);
            for (edge, length_m) in draft.edges.iter_mut().zip(lengths) {
                (edge.length_m, edge.te_metric) = (length_m, None);
            }
            draft.edges[0].te_metric = metric;
            let Imported { topology, report } = draft.build(&ReadOptions::default()).unwrap();
            let metrics: Vec<u32> = topology.links().map(|(_, link)| link.te_metric).take(2).collect();
            (metrics, report.te_metrics_assumed, report.te_metrics_from_distance, report.warnings.len())
        };
        assert_eq!(metrics([Some(100_400), Some(20)], None), (vec![100, 1], 4, 4, 0));
        assert_eq!(metrics([Some(100_400), None], None), (vec![1, 1], 4, 0, 1));
        assert_eq!(metrics([Some(100_400), Some(7_000)], Some(9)), (vec![9, 1], 2, 0, 0));
        assert_eq!(metrics([None, None], None), (vec![1, 1], 4, 0, 0));
    }

    #[test]
    fn edge_ids_are_names_only_where_all_have_one_of_their_own() {
        let all = draft(&[("a", "b", Some("x")), ("a", "b", Some("y"))]).build(&ReadOptions::default()).unwrap();
        assert_eq!(names(&all), ["x", "y", "x~", "y~"]);
        let same = draft(&[("a", "b", Some("0")), ("a", "b", Some("0"))]).build(&ReadOptions::default()).unwrap();
        assert_eq!(names(&same), ["a-b", "a-b#2", "b-a", "b-a#2"]);
    }

    #[test]
    fn the_policy_decides_about_missing_capacities() {
        let options = |on_missing_capacity| ReadOptions { on_missing_capacity, ..ReadOptions::default() };
        let edges = [("a", "b", None)];
        let default = draft(&edges).build(&options(MissingCapacity::Default)).unwrap();
        assert_eq!(default.topology.link(LinkIx(0)).unwrap().capacity_from, CapacitySource::Default);
        let dropped = draft(&edges).build(&options(MissingCapacity::Drop)).unwrap();
        assert_eq!((dropped.report.links, dropped.report.dropped_links), (0, 1));
        let error = draft(&edges).build(&options(MissingCapacity::Error)).unwrap_err();
        assert_eq!(error.line(), Some(2));
    }

    #[test]
    fn self_loops_and_unknown_ends_of_third_parties() {
        let imported = draft(&[("a", "a", None), ("a", "b", None)]).build(&ReadOptions::default()).unwrap();
        assert_eq!((imported.report.links, imported.report.warnings.len()), (2, 1));
        let error = draft(&[("a", "c", None)]).build(&ReadOptions::default()).unwrap_err();
        assert!(matches!(error, ImportError::UnknownNode { node, .. } if node == "c"));
    }
}
