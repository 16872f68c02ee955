//! The numbers that are ours to give on a switch: MPLS labels and meter ids. Each is from a named range, so that others
//! may use the rest of the numbers on the same switch.

/// The smallest label we give. 0 to 15 are reserved (RFC 3032 §2.1); those below this are left to others.
pub const LABEL_MIN: u32 = 100_000;
/// The largest label: 20 bits.
pub const LABEL_MAX: u32 = 0x000F_FFFF;
/// The smallest meter id we give; those below are left to others.
pub const METER_MIN: u32 = 10_001;
/// The largest meter id we give.
pub const METER_MAX: u32 = 200_000;

/// An MPLS label, of 20 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Label(u32);

impl Label {
    /// `None` if it is no label.
    pub const fn new(number: u32) -> Option<Self> {
        if number <= LABEL_MAX { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether it is ours to give.
    pub const fn is_ours(self) -> bool {
        LABEL_MIN <= self.0 && self.0 <= LABEL_MAX
    }
}

/// A meter of a switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MeterId(pub u32);

impl MeterId {
    /// Whether it is ours to give.
    pub const fn is_ours(self) -> bool {
        METER_MIN <= self.0 && self.0 <= METER_MAX
    }
}
