//! The loose attributes of nodes and edges that GraphML, GML and node-link JSON share: the same words from the Topology
//! Zoo, networkx, yEd and our own exports, in any of the three, read in one way.
//!
//! Keys are compared in lower case. A bare number is bit/s only under a name that says so; under `capacity` it is taken
//! as bit/s with a warning, under `delay` it is not taken at all.

use std::collections::BTreeMap;

use kernel::topology::{CapacitySource, DELAY_MAX, LinkState, Position, SRLGS_MAX, Switch, TE_METRIC_MAX};
use kernel::units::{Bandwidth, Micros};

use super::capacity::{self, ParsedRate, RateKind};
use super::decimal::{Decimal, micro_degrees};
use super::error::ImportError;
use super::report::source_named;
use super::source_position::{SourcePosition, excerpt};
use super::topology_builder::{Capacity, EdgeBuilder, EdgeDirection, NodeBuilder, TopologyBuilder};
use super::{ATTRIBUTE_NAME_MAX_BYTES, DRAWING_MAX, LABEL_MAX_BYTES};

/// The attributes of one node or edge, by their names in lower case.
#[derive(Default, Debug, Clone)]
pub(super) struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Sets a value, unless there is one already, it is blank, or its name is beyond reason.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        let value = value.trim();
        if !value.is_empty() && key.len() <= ATTRIBUTE_NAME_MAX_BYTES {
            self.0.entry(key.to_lowercase()).or_insert_with(|| value.to_owned());
        }
    }

    /// The first of `keys` that is there, with its value.
    fn first(&self, keys: &[&'static str]) -> Option<(&'static str, &str)> {
        keys.iter().find_map(|key| Some((*key, self.0.get(*key)?.as_str())))
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Adds the node `id` with these attributes to `draft`.
    pub(super) fn add_node(
        &self,
        draft: &mut TopologyBuilder,
        id: &str,
        at: SourcePosition,
    ) -> Result<(), ImportError> {
        let at = at.of(format!("node '{}'", excerpt(id)));
        let mut reading = Reading { attributes: self, draft, at: &at };
        let label = self.first(&["label", "name"]).map(|(_, label)| tidy(label)).filter(|label| label != id);
        let (position, switch) = (reading.position(), reading.switch());
        draft.add_node(NodeBuilder { id: id.to_owned(), label, position, switch, at })
    }

    /// Adds an edge with these attributes to `draft`.
    pub(super) fn add_edge(
        &self,
        draft: &mut TopologyBuilder,
        (from, to): (&str, &str),
        direction: EdgeDirection,
        at: SourcePosition,
    ) -> Result<(), ImportError> {
        let at = at.of(format!("edge '{}-{}'", excerpt(from), excerpt(to)));
        let direction = match (direction, self.get("twin")) {
            (EdgeDirection::Forward, Some(twin)) => EdgeDirection::ForwardOf { twin: twin.to_owned() },
            (direction, _) => direction,
        };
        let mut edge = EdgeBuilder::new(from, to, direction, at.clone());
        let mut reading = Reading { attributes: self, draft, at: &at };
        edge.capacity = reading.capacity();
        edge.max_reservable = reading.number(&["max_reservable_bps"], 0, i128::from(Bandwidth::MAX.as_bps()));
        edge.te_metric = reading.number(&["te_metric", "metric", "weight", "cost"], 1, i128::from(TE_METRIC_MAX));
        edge.delay = reading.delay();
        edge.srlg = reading.srlg();
        edge.admin_group = reading.number(&["admin_group"], 0, i128::from(u32::MAX)).unwrap_or(0);
        edge.state = reading.state();
        edge.from_port = reading.number(&["from_port"], 0, i128::from(u32::MAX));
        edge.to_port = reading.number(&["to_port"], 0, i128::from(u32::MAX));
        edge.name = self.get("id").map(str::to_owned);
        draft.add_edge(edge)
    }
}

/// One line, without control characters, not too long.
pub(super) fn tidy(label: &str) -> String {
    let words: Vec<&str> =
        label.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let mut label = words.join(" ");
    while label.len() > LABEL_MAX_BYTES {
        label.pop();
    }
    label
}

/// Reads values, and warns of those that cannot be used.
struct Reading<'a> {
    attributes: &'a Attributes,
    draft: &'a mut TopologyBuilder,
    at: &'a SourcePosition,
}

/// What a number out of a text can become.
trait FromNumber: Sized {
    fn from_number(number: i128) -> Option<Self>;
}

impl FromNumber for u32 {
    fn from_number(number: i128) -> Option<Self> {
        Self::try_from(number).ok()
    }
}

impl FromNumber for Bandwidth {
    fn from_number(number: i128) -> Option<Self> {
        Self::from_bps(u64::try_from(number).ok()?)
    }
}

impl Reading<'_> {
    fn warn(&mut self, message: String) {
        self.draft.warnings.push(self.at.clone(), message);
    }

    /// The first of `keys` that is there, rounded to an integer, if it is within `min` to `max`.
    fn number<T: FromNumber>(&mut self, keys: &[&'static str], min: i128, max: i128) -> Option<T> {
        let (key, text) = self.attributes.first(keys)?;
        let number = Decimal::parse(text).and_then(|decimal| decimal.scaled(0));
        let within = number.filter(|number| (min..=max).contains(number)).and_then(T::from_number);
        if within.is_none() {
            self.warn(format!("{key} '{}' is not within {min} to {max}: ignored", excerpt(text)));
        }
        within
    }

    fn position(&mut self) -> Option<Position> {
        let latitude = self.attributes.first(&["latitude", "lat"]);
        let longitude = self.attributes.first(&["longitude", "lon", "lng", "long"]);
        if let (Some((_, latitude)), Some((_, longitude))) = (latitude, longitude) {
            let position = geographic(latitude, longitude);
            if position.is_none() {
                let message = format!("no such place as {}, {}: ignored", excerpt(latitude), excerpt(longitude));
                self.warn(message);
            }
            return position;
        }
        let pair = self.attributes.get("pos").and_then(|pos| pos.split_once(','));
        let x = self.attributes.first(&["x", "graphics.x"]).map(|(_, x)| x);
        let y = self.attributes.first(&["y", "graphics.y"]).map(|(_, y)| y);
        let (x, y) = x.zip(y).or(pair)?;
        let position = drawing(x, y);
        if position.is_none() {
            self.warn(format!("no such place as {}, {}: ignored", excerpt(x), excerpt(y)));
        }
        position
    }

    fn switch(&mut self) -> Option<Switch> {
        let text = self.attributes.get("dpid")?;
        let Some(dpid) = dpid(text) else {
            self.warn(format!("dpid '{}' is not 1 to 16 hexadecimal digits: ignored", excerpt(text)));
            return None;
        };
        let host_ports = self.integers("host_ports");
        Some(Switch { dpid, host_ports })
    }

    /// A list of integers: `1,2`, `1 2` or `[1, 2]`.
    fn integers(&mut self, key: &'static str) -> Vec<u32> {
        let text = self.attributes.get(key).unwrap_or_default();
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
        match self.attributes.get("state") {
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
        let (key, text) =
            self.attributes.first(&["delay_us", "latency_us", "delay_ms", "latency_ms", "delay", "latency"])?;
        let letters =
            text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ').filter(|_| Decimal::parse(text).is_none());
        let (number, unit) = text.split_at(letters.unwrap_or(text.len()));
        let places = match (key, unit) {
            ("delay_us" | "latency_us", "") | (_, "us" | "µs") => 0,
            ("delay_ms" | "latency_ms", "") | (_, "ms") => 3,
            (_, "s") => 6,
            _ => {
                self.warn(format!("{key} '{}' has no unit: ignored", excerpt(text)));
                return None;
            }
        };
        let micros = Decimal::parse(number.trim()).and_then(|decimal| decimal.scaled_u64(places));
        let delay = micros.map(Micros).filter(|delay| *delay <= DELAY_MAX);
        if delay.is_none() {
            self.warn(format!("{key} '{}' is no delay of at most a minute: ignored", excerpt(text)));
        }
        delay
    }

    fn capacity(&mut self) -> Option<Capacity> {
        let named_unit = ["capacity_bps", "bandwidth_bps", "linkspeedraw"];
        if let Some((_, text)) = self.attributes.first(&named_unit) {
            let number = Decimal::parse(text).and_then(|decimal| decimal.scaled_u64(0));
            if let Some(mut capacity) = number.and_then(Capacity::given) {
                capacity.source = self.declared_source().unwrap_or(capacity.source);
                return Some(capacity);
            }
            self.warn(format!("capacity '{}' bit/s cannot be: ignored", excerpt(text)));
        }
        self.speed_and_units().or_else(|| self.bare_capacity()).or_else(|| self.labelled_capacity())
    }

    /// Where our own export says how the capacity is known.
    fn declared_source(&self) -> Option<CapacitySource> {
        source_named(self.attributes.get("capacity_from")?)
    }

    /// The Topology Zoo's `LinkSpeed` and `LinkSpeedUnits`.
    fn speed_and_units(&mut self) -> Option<Capacity> {
        let units = match self.attributes.get("linkspeedunits")? {
            "K" => 3,
            "M" => 6,
            "G" => 9,
            "T" => 12,
            _ => return None,
        };
        Capacity::given(Decimal::parse(self.attributes.get("linkspeed")?)?.scaled_u64(units)?)
    }

    fn bare_capacity(&mut self) -> Option<Capacity> {
        let (key, text) = self.attributes.first(&["capacity", "bandwidth", "bw"])?;
        if let Some(number) = Decimal::parse(text) {
            let capacity = number.scaled_u64(0).and_then(Capacity::given);
            let what = if capacity.is_some() { "taken as bit/s" } else { "ignored" };
            self.warn(format!("{key} '{}' has no unit: {what}", excerpt(text)));
            return capacity;
        }
        Some(self.rated(capacity::parse(text)?, text, CapacitySource::Given))
    }

    fn labelled_capacity(&mut self) -> Option<Capacity> {
        let texts = ["linklabel", "linktype", "linknote", "label"];
        let (text, rate) = texts.iter().find_map(|key| {
            let text = self.attributes.get(key)?;
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

/// A position on the globe, from degrees.
pub(super) fn geographic(latitude: &str, longitude: &str) -> Option<Position> {
    let (latitude_udeg, longitude_udeg) = (micro_degrees(latitude, 90)?, micro_degrees(longitude, 180)?);
    Some(Position::Geographic { latitude_udeg, longitude_udeg })
}

/// A position on a drawing.
pub(super) fn drawing(x: &str, y: &str) -> Option<Position> {
    let milli = |text: &str| {
        let scaled = Decimal::parse(text.trim())?.scaled(3)?;
        i64::try_from(scaled).ok().filter(|milli| milli.unsigned_abs() <= DRAWING_MAX.unsigned_abs() * 1_000)
    };
    Some(Position::Drawing { x_milli: milli(x)?, y_milli: milli(y)? })
}

/// Reads a datapath id: 1 to 16 hexadecimal digits, with colons between or `0x` (or ONOS's `of:`) before them.
pub(super) fn dpid(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("of:")).unwrap_or(text).replace(':', "");
    let fits = (1..=16).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if fits { u64::from_str_radix(&digits, 16).ok() } else { None }
}
