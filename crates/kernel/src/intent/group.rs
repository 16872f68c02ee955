//! Groups (OpenFlow 1.3 §5.6.1). By one of the type fast failover a switch that sees a port die sends the packets of a
//! protected path another way by itself, before anything else has heard of it; by one of the type select it divides the
//! packets of one flow among several paths.

use super::action::Action;
use super::datapath::PortNo;
use super::switch_ids::{GroupId, MplsLabel};

/// A group. It has no cookie; this service's are those with an id of its range.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// The ways of its packets.
    pub ways: Ways,
}

/// The ways of a group's packets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ways {
    /// The first whose port lives: fast failover.
    Failover {
        /// The port of the working path.
        working: PortNo,
        /// The way when that port is dead.
        fallback: Fallback,
    },
    /// One of them for each connection, more often where the weight is larger: select. Packets of one connection keep their
    /// order.
    Split(Vec<Bucket>),
    /// Ways that this service never gives to a group.
    Other,
}

/// The way of packets whose port is dead. Each way is taken only while its own port lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fallback {
    /// Out of this port.
    To(PortNo),
    /// Back out of this port, by which they came.
    Back(PortNo),
}

/// One of the ways of a split. It is taken only while the port lives that it sends packets out of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Bucket {
    /// Its share of the connections is its part of all weights.
    pub weight: u16,
    /// What is done with a packet, in order.
    pub actions: Vec<Action>,
}

impl Bucket {
    /// The label that it gives packets.
    pub fn label(&self) -> Option<MplsLabel> {
        self.actions.iter().find_map(|action| if let Action::SetLabel(label) = action { Some(*label) } else { None })
    }

    /// The port that it sends packets out of, and watches.
    pub fn port(&self) -> Option<PortNo> {
        self.actions.iter().find_map(|action| if let Action::Output(port) = action { Some(*port) } else { None })
    }
}

impl Group {
    /// What a driver says of a group with an id of this service's range and another form.
    pub const fn of_another_form(id: GroupId) -> Self {
        Self { id, ways: Ways::Other }
    }

    /// Whether it is of a form that this service makes.
    pub fn is_of_our_form(&self) -> bool {
        match &self.ways {
            Ways::Failover { .. } => true,
            Ways::Split(buckets) => !buckets.is_empty() && buckets.iter().all(|bucket| bucket.label().is_some()),
            Ways::Other => false,
        }
    }

    /// The ports that packets leave by.
    pub fn ports(&self) -> Vec<PortNo> {
        match &self.ways {
            Ways::Failover { working, fallback: Fallback::To(second) | Fallback::Back(second) } => {
                vec![*working, *second]
            }
            Ways::Split(buckets) => buckets.iter().filter_map(Bucket::port).collect(),
            Ways::Other => vec![],
        }
    }

    /// The buckets of a split; none of another group.
    pub fn buckets(&self) -> &[Bucket] {
        if let Ways::Split(buckets) = &self.ways { buckets } else { &[] }
    }

    /// The labels that a split gives.
    pub fn labels(&self) -> impl Iterator<Item = MplsLabel> + '_ {
        self.buckets().iter().filter_map(Bucket::label)
    }
}
