//! Fast-failover groups (OpenFlow 1.3 §5.6.1): a switch that sees a port die sends the packets of a protected path another way
//! by itself, before anything else has heard of it.

use super::datapath::PortNo;
use super::switch_ids::GroupId;

/// A fast-failover group of two buckets: packets leave by the first whose port lives. A group has no cookie; this service's
/// are those with an id of its range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// The port of the working path. Port 0, which no switch has, where a group of this service's range is of another form.
    pub working: PortNo,
    /// The way of the packets when that port is dead.
    pub fallback: Fallback,
}

/// The way of packets whose port is dead. Each way is taken only while its own port lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fallback {
    /// Out of this port.
    To(PortNo),
    /// Back out of this port, by which they came.
    Back(PortNo),
}

impl Group {
    /// What a driver says of a group with an id of this service's range and another form.
    pub const fn of_another_form(id: GroupId) -> Self {
        Self { id, working: PortNo(0), fallback: Fallback::To(PortNo(0)) }
    }

    /// Whether it is of the form that this service makes.
    pub fn is_of_our_form(&self) -> bool {
        self.working.0 > 0
    }

    /// The ports that it watches.
    pub fn ports(&self) -> [PortNo; 2] {
        let (Fallback::To(second) | Fallback::Back(second)) = self.fallback;
        [self.working, second]
    }
}
