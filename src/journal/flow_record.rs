//! The stored form of a flow.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::scalars::Prefix;
use kernel::allocation::Flow;

/// The packets that an allocation is for.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub(super) struct FlowRecord {
    /// The port at the ingress switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) in_port: Option<u32>,
    /// Source network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_src: Option<Prefix<Ipv4Addr>>,
    /// Destination network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_dst: Option<Prefix<Ipv4Addr>>,
    /// Source network of IPv6 packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ipv6_src: Option<Prefix<Ipv6Addr>>,
    /// Destination network of IPv6 packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ipv6_dst: Option<Prefix<Ipv6Addr>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dscp: Option<u8>,
    /// IP protocol number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ip_proto: Option<u8>,
    /// TCP or UDP destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l4_dst: Option<u16>,
    /// The host port at the egress switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) out_port: Option<u32>,
}

impl FlowRecord {
    pub(super) fn of(flow: &Flow) -> Box<Self> {
        Box::new(Self {
            in_port: flow.in_port,
            ipv4_src: flow.ipv4_src.map(Prefix),
            ipv4_dst: flow.ipv4_dst.map(Prefix),
            ipv6_src: flow.ipv6_src.map(Prefix),
            ipv6_dst: flow.ipv6_dst.map(Prefix),
            vlan: flow.vlan,
            dscp: flow.dscp,
            ip_proto: flow.ip_proto,
            l4_dst: flow.l4_dst,
            out_port: flow.out_port,
        })
    }

    pub(super) fn read(&self) -> Box<Flow> {
        Box::new(Flow {
            in_port: self.in_port,
            ipv4_src: self.ipv4_src.map(|prefix| prefix.0),
            ipv4_dst: self.ipv4_dst.map(|prefix| prefix.0),
            ipv6_src: self.ipv6_src.map(|prefix| prefix.0),
            ipv6_dst: self.ipv6_dst.map(|prefix| prefix.0),
            vlan: self.vlan,
            dscp: self.dscp,
            ip_proto: self.ip_proto,
            l4_dst: self.l4_dst,
            out_port: self.out_port,
        })
    }
}
