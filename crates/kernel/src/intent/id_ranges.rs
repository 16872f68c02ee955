//! The ranges of the numbers that this service gives on a switch, MPLS labels, meter and group ids: other programs may use the
//! rest on the same switch.

/// The smallest label given. 0 to 15 are reserved (RFC 3032 §2.1); those below this are left to other programs.
pub const LABEL_MIN: u32 = 100_000;
/// The largest label: 20 bits.
pub const LABEL_MAX: u32 = 0x000F_FFFF;
/// The smallest meter id given; those below are left to other programs.
pub const METER_MIN: u32 = 10_001;
/// The largest meter id given.
pub const METER_MAX: u32 = 200_000;
/// A group id is this and the label of its path.
pub const GROUP_BASE: u32 = 0x5700_0000;

/// An MPLS label, of 20 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MplsLabel(u32);

impl MplsLabel {
    /// `None` above 20 bits.
    pub const fn new(number: u32) -> Option<Self> {
        if number <= LABEL_MAX { Some(Self(number)) } else { None }
    }

    /// A label of this service's range, which has 20 bits.
    pub(super) const fn from_range(number: u32) -> Self {
        Self(number & LABEL_MAX)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether it is in this service's range.
    pub const fn is_ours(self) -> bool {
        LABEL_MIN <= self.0
    }
}

/// A meter of a switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MeterId(pub u32);

impl MeterId {
    /// Whether it is in this service's range.
    pub const fn is_ours(self) -> bool {
        METER_MIN <= self.0 && self.0 <= METER_MAX
    }
}

/// A group of a switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The group of the path with this label.
    pub(super) const fn of(label: MplsLabel) -> Self {
        Self(GROUP_BASE | label.number())
    }

    /// Whether it is in this service's range.
    pub const fn is_ours(self) -> bool {
        self.0 & !LABEL_MAX == GROUP_BASE && MplsLabel::from_range(self.0).is_ours()
    }
}
