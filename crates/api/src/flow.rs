//! Which packets an allocation is for: what switches match at its ingress.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Unexpected};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which packets an allocation is for. Absent parts match anything.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct FlowRequest {
    /// The port at the ingress switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_port: Option<u32>,
    /// The source network, such as `10.0.0.0/8`, or one address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "10.0.0.0/8")]
    pub ipv4_src: Option<Ipv4Network>,
    /// The destination network, or one address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "10.1.2.3")]
    pub ipv4_dst: Option<Ipv4Network>,
    /// The IP protocol number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 255)]
    pub ip_proto: Option<u8>,
    /// The TCP or UDP destination port.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 65_535)]
    pub l4_dst: Option<u16>,
    /// The host port at the egress switch; needed only where that has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_port: Option<u32>,
}

impl FlowRequest {
    /// Whether the flow matches everything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which packets an allocation is for. Absent parts match anything.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug, Default)]
#[schema(as = Flow)]
pub struct FlowDocument {
    /// The port at the ingress switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub in_port: Option<u32>,
    /// The source network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub ipv4_src: Option<Ipv4Network>,
    /// The destination network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub ipv4_dst: Option<Ipv4Network>,
    /// The IP protocol number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ip_proto: Option<u8>,
    /// The TCP or UDP destination port.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub l4_dst: Option<u16>,
    /// The host port at the egress switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub out_port: Option<u32>,
}

/// An IPv4 network in CIDR text (RFC 4632), such as `10.0.0.0/8`; an address alone reads as a network of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv4Network {
    /// An address of the network.
    pub address: Ipv4Addr,
    /// How many leading bits of the address count: 0 to 32.
    pub length: u8,
}

/// A text is not an IPv4 network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid network '{0}': give an IPv4 network such as 10.0.0.0/8, or an address")]
pub struct InvalidNetwork(String);

impl FromStr for Ipv4Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let is_plain = length.bytes().all(|byte| byte.is_ascii_digit());
        let length: Option<u8> = length.parse().ok().filter(|length| is_plain && *length <= 32);
        match (address.parse(), length) {
            (Ok(address), Some(length)) => Ok(Self { address, length }),
            _ => Err(InvalidNetwork(text.to_owned())),
        }
    }
}

impl fmt::Display for Ipv4Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl Serialize for Ipv4Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ipv4Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &"an IPv4 network such as 10.0.0.0/8"))
    }
}
