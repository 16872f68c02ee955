//! Which packets an allocation is for: what switches match at its ingress.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::de::{Deserializer, Error, Unexpected};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which packets an allocation is for. Absent parts match anything; without addresses the packets are IPv4.
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
    /// The source network of IPv6 packets, such as `fd00::/8`, or one address; then none of IPv4 is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "fd00::/8")]
    pub ipv6_src: Option<Ipv6Network>,
    /// The destination network of IPv6 packets, or one address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "fd00::3")]
    pub ipv6_dst: Option<Ipv6Network>,
    /// The VLAN that the packets are tagged with; tagged or not, where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4_094)]
    pub vlan: Option<u16>,
    /// The DiffServ code point that the packets come with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 63)]
    pub dscp: Option<u8>,
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

/// Which packets an allocation is for. Absent parts match anything; without addresses the packets are IPv4.
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
    /// The source network of IPv6 packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub ipv6_src: Option<Ipv6Network>,
    /// The destination network of IPv6 packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub ipv6_dst: Option<Ipv6Network>,
    /// The VLAN that the packets are tagged with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub vlan: Option<u16>,
    /// The DiffServ code point that the packets come with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub dscp: Option<u8>,
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

/// A text is not a network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid network '{text}': give {expected}")]
pub struct InvalidNetwork {
    text: String,
    expected: &'static str,
}

/// Defines a network in CIDR text; an address alone reads as a network of one.
macro_rules! networks {
    ($($(#[$attribute:meta])* $name:ident of $address:ty, $bits:literal bits, like $expected:literal;)*) => { $(
        $(#[$attribute])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name {
            /// An address of the network.
            pub address: $address,
            /// How many leading bits of the address count.
            pub length: u8,
        }

        impl FromStr for $name {
            type Err = InvalidNetwork;

            fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
                let (address, length) = text.split_once('/').map_or((text, Some($bits)), |(address, length)| {
                    let is_plain = length.bytes().all(|byte| byte.is_ascii_digit());
                    (address, length.parse().ok().filter(|length: &u8| is_plain && *length <= $bits))
                });
                match (address.parse(), length) {
                    (Ok(address), Some(length)) => Ok(Self { address, length }),
                    _ => Err(InvalidNetwork { text: text.to_owned(), expected: $expected }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.address, self.length)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &$expected))
            }
        }
    )* };
}

networks! {
    /// An IPv4 network in CIDR text (RFC 4632), such as `10.0.0.0/8`; an address alone reads as a network of one.
    Ipv4Network of Ipv4Addr, 32 bits, like "an IPv4 network such as 10.0.0.0/8, or an address";
    /// An IPv6 network (RFC 4291 section 2.3), such as `fd00::/8`; an address alone reads as a network of one.
    Ipv6Network of Ipv6Addr, 128 bits, like "an IPv6 network such as fd00::/8, or an address";
}
