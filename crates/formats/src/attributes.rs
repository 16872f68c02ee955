//! The loose attributes of nodes and edges that GraphML, GML, JSON graphs and edge lists share: the same words from the
//! Topology Zoo, networkx, FNSS, yEd, igraph and our own exports, in any of them, read in one way.
//!
//! Names are compared in their canonical form: letters and digits, in lower case. Only attributes that mean something
//! here are kept. A number is a capacity, delay or distance only with a [unit](super::quantity): of its own, in its name
//! or in an attribute of the graph. A bare `capacity` is taken as bit/s with a warning, a bare `delay` is not taken at all.

use std::collections::BTreeMap;

use kernel::topology::{CapacitySource, DELAY_MAX, LinkState, Position, SRLGS_MAX, Switch, TE_METRIC_MAX};
use kernel::units::{Bandwidth, Micros};

use super::ATTRIBUTE_NAME_MAX_BYTES;
use super::attribute_values::{FromNumber, dpid, drawing, geographic, tidy, upside_down};
use super::capacity::{self, ParsedRate, RateKind};
use super::decimal::Decimal;
use super::element_builder::{Capacity, EdgeBuilder, EdgeDirection, NodeBuilder};
use super::quantity::{Dimension, Quantity, Unit};
use super::report::source_named;
use super::source_position::{SourcePosition, Warnings, excerpt};

/// The names that are kept besides those of quantities, in canonical form.
const KNOWN: [&str; 45] = [
    "id",
    "label",
    "name",
    "source",
    "target",
    "pos",
    "x",
    "y",
    "graphicsx",
    "graphicsy",
    "latitude",
    "lat",
    "longitude",
    "lon",
    "lng",
    "long",
    "dpid",
    "hostports",
    "twin",
    "maxreservablebps",
    "temetric",
    "metric",
    "weight",
    "cost",
    "srlg",
    "admingroup",
    "state",
    "fromport",
    "toport",
    "capacityfrom",
    "linklabel",
    "linktype",
    "linknote",
    "linkspeedunits",
    "directed",
    "arrowssource",
    "arrowstarget",
    "capacityunit",
    "bandwidthunit",
    "delayunit",
    "latencyunit",
    "distanceunit",
    "lengthunit",
    "distunit",
    "linkspeed",
];

/// A name as it is compared.
pub(super) fn canonical(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The attributes of one node, edge or graph.
#[derive(Default, Debug, Clone)]
pub(super) struct Attributes {
    texts: BTreeMap<&'static str, String>,
    /// At most one of each dimension; one that has a unit goes before one that has none.
    quantities: Vec<Quantity>,
}

impl Attributes {
    /// Sets a value, unless there is one already, it is blank, or its name means nothing here.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let value = value.trim();
        if value.is_empty() || name.len() > ATTRIBUTE_NAME_MAX_BYTES {
            return;
        }
        let canonical = canonical(name);
        if let Some(known) = KNOWN.iter().find(|known| **known == canonical) {
            self.texts.entry(known).or_insert_with(|| value.to_owned());
        }
        let Some(quantity) = Quantity::of(name, &canonical, value) else { return };
        match self.quantities.iter_mut().find(|other| other.dimension == quantity.dimension) {
            None => self.quantities.push(quantity),
            Some(other) if other.is_bare() && !quantity.is_bare() => *other = quantity,
            Some(_) => {}
        }
    }

    /// The first of `names` (in canonical form) that is there, with its value.
    fn first(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        names.iter().find_map(|name| Some((*name, self.texts.get(name)?.as_str())))
    }

    /// The value of a name in canonical form.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    fn quantity(&self, dimension: Dimension) -> Option<&Quantity> {
        self.quantities.iter().find(|quantity| quantity.dimension == dimension)
    }
}

/// The units that a graph declares for all its edges, as FNSS does.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct GraphUnits {
    rate: Option<Unit>,
    delay: Option<Unit>,
    pub(super) distance: Option<Unit>,
}

impl GraphUnits {
    /// What the attributes of the graph declare; unknown units are warned of.
    pub(super) fn read(attributes: &Attributes, warnings: &mut Warnings) -> Self {
        let mut unit = |dimension, names: &[&'static str]| {
            let (name, text) = attributes.first(names)?;
            let unit = Unit::named(dimension, text);
            let at = || SourcePosition::element("graph");
            match unit {
                None => warnings.push(at(), format!("{name} '{}' is not known: ignored", excerpt(text))),
                Some(Unit { capital_b: true, .. }) => {
                    warnings.push(at(), format!("{name} '{}' is taken as bits, not bytes", excerpt(text)));
                }
                Some(_) => {}
            }
            unit
        };
        Self {
            rate: unit(Dimension::Rate, &["capacityunit", "bandwidthunit"]),
            delay: unit(Dimension::Delay, &["delayunit", "latencyunit"]),
            distance: unit(Dimension::Distance, &["distanceunit", "lengthunit", "distunit"]),
        }
    }
}

/// What the pairs under `pos` are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum PosMeaning {
    /// A drawing's, y upwards as networkx and Graphviz draw.
    #[default]
    Drawing,
    /// Longitude and latitude in degrees.
    LongitudeLatitude,
}

/// Reads the values of one node or edge, and warns of those that cannot be used.
pub(super) struct AttributeReader<'a> {
    pub(super) attributes: &'a Attributes,
    /// What holds where the attributes say nothing.
    pub(super) defaults: &'a Attributes,
    pub(super) units: GraphUnits,
    pub(super) pos: PosMeaning,
    pub(super) warnings: &'a mut Warnings,
    pub(super) at: SourcePosition,
}

impl<'a> AttributeReader<'a> {
    /// The node `id`.
    pub(super) fn node(mut self, id: String) -> NodeBuilder {
        let label = self.first(&["label", "name"]).map(|(_, label)| tidy(label)).filter(|label| *label != id);
        let (position, switch) = (self.position(), self.switch());
        NodeBuilder { id, label, position, switch, at: self.at }
    }

    /// The edge between two nodes. `distance_m` is its length, where that is known.
    pub(super) fn edge(
        mut self,
        (from, to): (String, String),
        direction: EdgeDirection,
        bare_distance: Option<Unit>,
    ) -> EdgeBuilder {
        let direction = match (direction, self.get("twin")) {
            (EdgeDirection::Forward, Some(twin)) => EdgeDirection::ForwardOf { twin: twin.to_owned() },
            (direction, _) => direction,
        };
        let mut edge = EdgeBuilder::new(from, to, direction, self.at.clone());
        edge.capacity = self.capacity();
        edge.max_reservable = self.number(&["maxreservablebps"], 0, i128::from(Bandwidth::MAX.as_bps()));
        edge.te_metric = self.number(&["temetric", "metric", "weight", "cost"], 1, i128::from(TE_METRIC_MAX));
        edge.delay = self.delay();
        let distance = self.quantity(Dimension::Distance);
        edge.length_m = distance.and_then(|distance| distance.value(self.units.distance.or(bare_distance)));
        edge.srlg = self.srlg();
        edge.admin_group = self.number(&["admingroup"], 0, i128::from(u32::MAX)).unwrap_or(0);
        edge.state = self.state();
        edge.from_port = self.number(&["fromport"], 0, i128::from(u32::MAX));
        edge.to_port = self.number(&["toport"], 0, i128::from(u32::MAX));
        edge.name = self.get("id").map(str::to_owned);
        edge
    }

    /// The distance that stands without a unit, if it does.
    pub(super) fn bare_distance(&self) -> Option<f64> {
        let distance = self.quantity(Dimension::Distance).filter(|distance| distance.is_bare())?;
        distance.text.parse().ok().filter(|distance: &f64| distance.is_finite() && *distance > 0.0)
    }

    fn warn(&mut self, message: String) {
        self.warnings.push(self.at.clone(), message);
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.attributes.get(name).or_else(|| self.defaults.get(name))
    }

    fn first(&self, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
        self.attributes.first(names).or_else(|| self.defaults.first(names))
    }

    fn quantity(&self, dimension: Dimension) -> Option<&'a Quantity> {
        self.attributes.quantity(dimension).or_else(|| self.defaults.quantity(dimension))
    }

    /// The first of `keys` that is there, rounded to an integer, if it is within `min` to `max`.
    fn number<T: FromNumber>(&mut self, keys: &[&'static str], min: i128, max: i128) -> Option<T> {
        let (key, text) = self.first(keys)?;
        let number = Decimal::parse(text).and_then(|decimal| decimal.scaled(0));
        let within = number.filter(|number| (min..=max).contains(number)).and_then(T::from_number);
        if within.is_none() {
            self.warn(format!("{key} '{}' is not within {min} to {max}: ignored", excerpt(text)));
        }
        within
    }

    pub(super) fn position(&mut self) -> Option<Position> {
        let latitude = self.first(&["latitude", "lat"]);
        let longitude = self.first(&["longitude", "lon", "lng", "long"]);
        if let (Some((_, latitude)), Some((_, longitude))) = (latitude, longitude) {
            let position = geographic(latitude, longitude);
            if position.is_none() {
                let message = format!("no such place as {}, {}: ignored", excerpt(latitude), excerpt(longitude));
                self.warn(message);
            }
            return position;
        }
        let x = self.first(&["x", "graphicsx"]).map(|(_, x)| x);
        let y = self.first(&["y", "graphicsy"]).map(|(_, y)| y);
        let pair = || self.get("pos").and_then(|pos| pos.split_once(','));
        let (x, y, position) = match (x.zip(y), pair(), self.pos) {
            (Some((x, y)), ..) => (x, y, drawing(x, y)),
            (None, Some((x, y)), PosMeaning::LongitudeLatitude) => (x, y, geographic(y, x)),
            (None, Some((x, y)), PosMeaning::Drawing) => (x, y, drawing(x, y).map(upside_down)),
            (None, None, _) => return None,
        };
        if position.is_none() {
            self.warn(format!("no such place as {}, {}: ignored", excerpt(x), excerpt(y)));
        }
        position
    }

    fn switch(&mut self) -> Option<Switch> {
        let text = self.get("dpid")?;
        let Some(dpid) = dpid(text) else {
            self.warn(format!("dpid '{}' is not 1 to 16 hexadecimal digits: ignored", excerpt(text)));
            return None;
        };
        let host_ports = self.integers("hostports");
        Some(Switch { dpid, host_ports })
    }

    /// A list of integers: `1,2`, `1 2` or `[1, 2]`.
    fn integers(&mut self, key: &'static str) -> Vec<u32> {
        let text = self.get(key).unwrap_or_default();
        let parts = text.split([',', ' ', '[', ']', ';']).filter(|part| !part.is_empty());
        let integers: Option<Vec<u32>> = parts.map(|part| part.parse().ok()).collect();
        integers.unwrap_or_else(|| {
            self.warn(format!("{key} '{}' is no list of integers: ignored", excerpt(text)));
            Vec::new()
        })
    }

    fn srlg(&mut self) -> Vec<u32> {
        let mut srlg = self.integers("srlg");
        if srlg.len() > SRLGS_MAX {
            self.warn(format!("more than {SRLGS_MAX} shared-risk link groups: the rest is ignored"));
            srlg.truncate(SRLGS_MAX);
        }
        srlg
    }

    fn state(&mut self) -> LinkState {
        match self.get("state") {
            None | Some("up") => LinkState::Up,
            Some("down") => LinkState::Down,
            Some("maintenance") => LinkState::Maintenance,
            Some(other) => {
                self.warn(format!("state '{}' is not up, down or maintenance: taken as up", excerpt(other)));
                LinkState::Up
            }
        }
    }

    fn delay(&mut self) -> Option<Micros> {
        let delay = self.quantity(Dimension::Delay)?;
        if delay.is_bare() && self.units.delay.is_none() {
            self.warn(format!("{} '{}' has no unit: ignored", delay.name, excerpt(&delay.text)));
            return None;
        }
        let nanos = delay.value(self.units.delay);
        let micros = nanos.map(|nanos| Micros(nanos.saturating_add(500) / 1_000)).filter(|delay| *delay <= DELAY_MAX);
        if micros.is_none() {
            let message = "is no delay of at most a minute: ignored";
            self.warn(format!("{} '{}' {message}", delay.name, excerpt(&delay.text)));
        }
        micros
    }

    fn capacity(&mut self) -> Option<Capacity> {
        self.rated_capacity().or_else(|| self.labelled_capacity())
    }

    /// A capacity that stands in an attribute of its own.
    fn rated_capacity(&mut self) -> Option<Capacity> {
        let rate = self.quantity(Dimension::Rate)?;
        // A text such as `2x10 Gbit/s` or `<= 10 Mbps`.
        if Decimal::parse(&rate.text).is_none() {
            let parsed = capacity::parse(&rate.text);
            if parsed.is_none() && rate.unit.is_some() {
                self.warn(format!("{} '{}' is no capacity: ignored", rate.name, excerpt(&rate.text)));
            }
            return Some(self.rated(parsed?, &rate.text, CapacitySource::Given));
        }
        let unit = rate.unit.or_else(|| self.zoo_unit(rate)).or(self.units.rate);
        if unit.is_none() && !["capacity", "bandwidth", "bw"].contains(&canonical(&rate.name).as_str()) {
            return None;
        }
        let capacity = rate.value(unit.or(Some(Unit { size: 1, capital_b: false }))).and_then(Capacity::given);
        match (unit, capacity) {
            (Some(_), None) => self.warn(format!("{} '{}' cannot be: ignored", rate.name, excerpt(&rate.text))),
            (Some(Unit { capital_b: true, .. }), Some(_)) => {
                self.warn(format!("{} is taken as bits, not bytes", excerpt(&rate.name)));
            }
            (Some(_), Some(_)) => {}
            (None, capacity) => {
                let what = if capacity.is_some() { "taken as bit/s" } else { "ignored" };
                self.warn(format!("{} '{}' has no unit: {what}", rate.name, excerpt(&rate.text)));
            }
        }
        let source = self.declared_source();
        capacity.map(|capacity| Capacity { source: source.unwrap_or(capacity.source), ..capacity })
    }

    /// Where our own export says how the capacity is known.
    fn declared_source(&self) -> Option<CapacitySource> {
        source_named(self.get("capacityfrom")?)
    }

    /// The unit of the Topology Zoo's `LinkSpeed` is in `LinkSpeedUnits`.
    fn zoo_unit(&self, rate: &Quantity) -> Option<Unit> {
        let unit = self.get("linkspeedunits").filter(|_| canonical(&rate.name) == "linkspeed")?;
        Unit::named(Dimension::Rate, unit)
    }

    fn labelled_capacity(&mut self) -> Option<Capacity> {
        let texts = ["linklabel", "linktype", "linknote", "label"];
        let (text, rate) = texts.iter().find_map(|key| {
            let text = self.get(key)?;
            Some((text, capacity::parse(text)?))
        })?;
        Some(self.rated(rate, text, CapacitySource::Label))
    }

    fn rated(&mut self, rate: ParsedRate, text: &str, exact: CapacitySource) -> Capacity {
        if rate.capital_b {
            self.warn(format!("'{}' is taken as bits, not bytes", excerpt(text)));
        }
        let source = match rate.kind {
            RateKind::Exact => exact,
            RateKind::Bound => CapacitySource::Bound,
            RateKind::Range => CapacitySource::Range,
        };
        Capacity { bandwidth: rate.bandwidth, source }
    }
}
