//! What switches do with a packet, in OpenFlow's terms.

use super::datapath::PortNo;
use super::switch_ids::{GroupId, MeterId, MplsLabel};

/// The EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// The EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86DD;
/// The EtherType of MPLS unicast (RFC 3032 §5).
pub const ETHERTYPE_MPLS: u16 = 0x8847;

/// The version of IP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum IpFamily {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

impl IpFamily {
    /// The EtherType of its packets.
    pub const fn ethertype(self) -> u16 {
        match self {
            Self::V4 => ETHERTYPE_IPV4,
            Self::V6 => ETHERTYPE_IPV6,
        }
    }
}

/// What is done with a packet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// Police it. Always first.
    Meter(MeterId),
    /// Write the DiffServ code point of the IP header (RFC 2474), before a label is pushed.
    SetDscp(u8),
    /// Push an MPLS header ([`ETHERTYPE_MPLS`]).
    PushMpls,
    /// Write the label of the outermost MPLS header.
    SetLabel(MplsLabel),
    /// Write its traffic class (RFC 5462).
    SetTrafficClass(u8),
    /// Pop the outermost MPLS header; what is under it is IP of this version.
    PopMpls(IpFamily),
    /// Put it into this queue of the port that it is sent out of.
    SetQueue(u32),
    /// Send it out.
    Output(PortNo),
    /// Send it out as a group says. Last.
    Group(GroupId),
    /// An action that this service never writes, as the driver read it.
    Opaque(Box<str>),
}
