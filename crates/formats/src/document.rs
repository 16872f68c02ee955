//! The shape of the native JSON, member by member: what serde reads and writes, and what the OpenAPI document shows.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A topology in Watermaster's own JSON.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TopologyDocument)]
pub struct Document {
    /// The routers or switches; at least one, at most 20,000.
    pub nodes: Vec<NodeDocument>,
    /// The links between them; at most 100,000 directed ones.
    #[serde(default)]
    pub links: Vec<LinkDocument>,
}

/// A node of a [`Document`].
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TopologyNode)]
pub struct NodeDocument {
    /// Its key in the topology: 1 to 255 bytes, no control characters. May also be written `name`.
    #[serde(alias = "name")]
    #[schema(min_length = 1, max_length = 255)]
    pub id: String,
    /// What people call it, where that is not the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255)]
    pub label: Option<String>,
    /// Degrees north, together with `longitude`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -90, maximum = 90)]
    pub latitude: Option<f64>,
    /// Degrees east, together with `latitude`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -180, maximum = 180)]
    pub longitude: Option<f64>,
    /// To the right on a drawing, together with `y`; instead of `latitude` and `longitude`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<f64>,
    /// Downwards on a drawing, together with `x`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<f64>,
    /// The OpenFlow datapath id: 1 to 16 hexadecimal digits, or an integer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "dpid_text")]
    #[schema(example = "0000000000000001")]
    pub dpid: Option<String>,
    /// The switch ports at which hosts are attached. Only with `dpid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1024)]
    pub host_ports: Vec<u32>,
}

/// A link of a [`Document`].
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TopologyLink)]
pub struct LinkDocument {
    /// Its key in the topology: 1 to 255 bytes, no control characters. May also be written `name`.
    #[serde(alias = "name")]
    #[schema(min_length = 1, max_length = 255)]
    pub id: String,
    /// The id of its tail. May also be written `source` or `src`.
    #[serde(alias = "source", alias = "src")]
    pub from: String,
    /// The id of its head. May also be written `target`, `destination` or `dst`.
    #[serde(alias = "target", alias = "destination", alias = "dst")]
    pub to: String,
    /// What it can carry, in bit/s. Where it is missing, the upload's policy for missing capacities decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    pub capacity_bps: Option<u64>,
    /// How much of it may be reserved, in bit/s; the capacity if missing. May exceed the capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub max_reservable_bps: Option<u64>,
    /// The TE metric; 1 if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16_777_215)]
    pub te_metric: Option<u32>,
    /// The one-way delay in microseconds. If missing, that of a fibre along the great circle between the ends, where
    /// both have a latitude and longitude, and 0 elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 60_000_000)]
    pub delay_us: Option<u64>,
    /// The shared-risk link groups it is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub srlg: Vec<u32>,
    /// Its administrative group: a mask of 32 colours.
    #[serde(default, skip_serializing_if = "is_default")]
    pub admin_group: u32,
    /// Whether it may carry anything.
    #[serde(default, skip_serializing_if = "is_default")]
    pub state: StateDocument,
    /// The switch port at the tail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_port: Option<u32>,
    /// The switch port at the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_port: Option<u32>,
    /// Whether this stands for two links that share their fate, one each way. The way back has this id with `~` behind
    /// it, the same properties, and the ports exchanged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bidirectional: bool,
    /// The id of the link that is the other direction of this one and shares its fate. Not with `bidirectional`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<String>,
    /// How the capacity is known: `given` (if missing), `label`, `bound`, `range`, `module` or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_from: Option<String>,
}

/// Whether a link may carry anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = TopologyLinkState)]
pub enum StateDocument {
    /// In service.
    #[default]
    Up,
    /// Broken: nothing can stay on it.
    Down,
    /// To be drained: nothing new goes on it.
    Maintenance,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A datapath id as hexadecimal text, from such a text or from an integer.
fn dpid_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Dpid;

    impl Visitor<'_> for Dpid {
        type Value = Option<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("1 to 16 hexadecimal digits or an integer")
        }

        fn visit_u64<E: de::Error>(self, dpid: u64) -> Result<Self::Value, E> {
            Ok(Some(format!("{dpid:016x}")))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Dpid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_named_for_a_document_that_has_others() {
        let names = [Document::name(), NodeDocument::name(), LinkDocument::name(), StateDocument::name()];
        assert_eq!(names, ["TopologyDocument", "TopologyNode", "TopologyLink", "TopologyLinkState"]);
    }
}
