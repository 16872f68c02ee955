//! Switches and their ports, by OpenFlow's numbers.

use std::fmt;

/// An OpenFlow switch, by its datapath id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Dpid(pub u64);

impl fmt::Display for Dpid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A port of a switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PortNo(pub u32);

impl PortNo {
    /// The largest number of a real port; those above are OpenFlow's reserved ones (OpenFlow 1.3 §7.2.1).
    pub const MAX: Self = Self(crate::topology::PORT_MAX);
}
