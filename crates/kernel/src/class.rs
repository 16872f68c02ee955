//! Class types, priorities and the TE-classes made of both (RFC 4124), and the QoS levels of PSIoT-Orch.
//! Class types run from CT0, the lowest, to CT7; priorities run the other way, 0 is the best.

use std::fmt;

/// How many class types there can be (MaxCT, RFC 4124 §3).
pub const CLASS_TYPES: usize = 8;

/// A class type, 0 to 7; CT0 is the lowest (RFC 4124 §3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClassType(u8);

impl ClassType {
    /// CT0.
    pub const LOWEST: Self = Self(0);

    /// `None` above 7.
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < CLASS_TYPES { Some(Self(number)) } else { None }
    }

    /// 0 to 7.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// As an index into an array with a place for each class type.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ClassType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CT{}", self.0)
    }
}

/// A setup or holding priority, 0 to 7; 0 is the best (RFC 3209 §4.7.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Priority(u8);

impl Priority {
    /// The worst priority.
    pub const WORST: Self = Self(7);

    /// `None` above 7.
    pub const fn new(number: u8) -> Option<Self> {
        if number <= 7 { Some(Self(number)) } else { None }
    }

    /// 0 to 7.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A TE-class: a class type at one preemption priority (RFC 4124 §4.1). A network has at most eight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TeClass {
    /// The class type.
    pub class_type: ClassType,
    /// The preemption priority.
    pub priority: Priority,
}

impl fmt::Display for TeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}, {}>", self.class_type, self.priority.0)
    }
}
