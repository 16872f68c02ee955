//! The numbers of a switch that rules name: MPLS labels, meters and groups.

/// The largest label: 20 bits.
pub const LABEL_MAX: u32 = 0x000F_FFFF;
/// The largest meter id that is ever given.
pub const METER_MAX: u32 = 200_000;

/// An MPLS label, of 20 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MplsLabel(u32);

impl MplsLabel {
    /// `None` above 20 bits.
    pub const fn new(number: u32) -> Option<Self> {
        if number <= LABEL_MAX { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A meter of a switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MeterId(pub u32);

/// A group of a switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(pub u32);
