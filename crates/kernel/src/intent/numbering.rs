//! The numbers by which a switch tells this service's rules, labels, meters and groups from those of other programs, and how a
//! controller's rules are made.

use super::flow_number::{FLOWS_MAX, FlowNumber, LABELS_EACH};
use super::meter::MeterSettings;
use super::rule::{Cookie, CookieFilter, Match, Rule, TABLE};
use super::switch_ids::{GroupId, LABEL_MAX, METER_MAX, MeterId, MplsLabel};
use crate::id::AllocationId;

/// How many priorities there are for the rules that take packets in, by how much they say of the packets.
pub const HEAD_PRIORITIES: u16 = 10_000;
/// The smallest label that may be given: 0 to 15 are reserved (RFC 3032 §2.1).
const LABEL_FIRST: u32 = 16;

/// The numbers that this service gives on the switches of a controller; all others are other programs'.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Numbering {
    label_min: u32,
    meter_min: u32,
    flows_max: u32,
    cookie_tag: u8,
    priority_min: u16,
}

/// Why numbers cannot be given so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NumberingError {
    /// No flow could have any, or more than are ever numbered.
    #[error("flows_max is between 1 and {FLOWS_MAX}")]
    Flows,
    /// A reserved label, or one of more than 20 bits.
    #[error(
        "label_min is at least {LABEL_FIRST}, and {LABELS_EACH} labels for each of flows_max flows end at {LABEL_MAX}"
    )]
    Labels,
    /// A meter that no switch has.
    #[error("meter_min is at least 1, and a meter for each of flows_max flows ends at {METER_MAX}")]
    Meters,
    /// The tag of rules that have none.
    #[error("cookie_tag is between 1 and 255")]
    Tag,
    /// The rules need priorities up to 10,001 above it.
    #[error("priority_min is between 1 and {}", u16::MAX - HEAD_PRIORITIES - 1)]
    Priorities,
}

impl NumberingError {
    /// The member that is at fault.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Flows => "numbering.flows_max",
            Self::Labels => "numbering.label_min",
            Self::Meters => "numbering.meter_min",
            Self::Tag => "numbering.cookie_tag",
            Self::Priorities => "numbering.priority_min",
        }
    }
}

/// What the rules and the meter of one path are called on switches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PathNumbers {
    pub(super) cookie: Cookie,
    pub(super) label: MplsLabel,
    pub(super) meter: MeterId,
    pub(super) group: GroupId,
}

impl Default for Numbering {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Numbering {
    /// Labels 100,000 to 859,999, meters 10,001 to 200,000, the letter W as the tag of cookies and groups, and priorities
    /// 20,000 to 30,001.
    pub const DEFAULT: Self =
        Self { label_min: 100_000, meter_min: 10_001, flows_max: FLOWS_MAX, cookie_tag: 0x57, priority_min: 20_000 };

    /// # Errors
    /// A range has no end on a switch, or begins with what is reserved.
    pub fn new(
        label_min: u32,
        meter_min: u32,
        flows_max: u32,
        cookie_tag: u8,
        priority_min: u16,
    ) -> Result<Self, NumberingError> {
        if !(1..=FLOWS_MAX).contains(&flows_max) {
            return Err(NumberingError::Flows);
        }
        // Below 2^20 by the check above.
        let labels = flows_max * LABELS_EACH;
        if !(LABEL_FIRST..=LABEL_MAX).contains(&label_min) || label_min + labels - 1 > LABEL_MAX {
            return Err(NumberingError::Labels);
        }
        if meter_min == 0 || meter_min > METER_MAX || METER_MAX - meter_min < flows_max - 1 {
            return Err(NumberingError::Meters);
        }
        if cookie_tag == 0 {
            return Err(NumberingError::Tag);
        }
        if priority_min == 0 || priority_min > u16::MAX - HEAD_PRIORITIES - 1 {
            return Err(NumberingError::Priorities);
        }
        Ok(Self { label_min, meter_min, flows_max, cookie_tag, priority_min })
    }

    /// The smallest label. Each flow has four, taken in turn.
    pub const fn label_min(self) -> u32 {
        self.label_min
    }

    /// The smallest meter. Each flow has one.
    pub const fn meter_min(self) -> u32 {
        self.meter_min
    }

    /// The most living allocations with a flow.
    pub const fn flows_max(self) -> u32 {
        self.flows_max
    }

    /// The first byte of every cookie, and of every group's id.
    pub const fn cookie_tag(self) -> u8 {
        self.cookie_tag
    }

    /// The lowest priority of a rule that takes packets in.
    pub const fn priority_min(self) -> u16 {
        self.priority_min
    }

    /// The priority of rules that match a label.
    pub const fn label_priority(self) -> u16 {
        self.priority_min + HEAD_PRIORITIES
    }

    /// The priority of rules that match a label and the port at which it comes in.
    pub const fn port_label_priority(self) -> u16 {
        self.label_priority() + 1
    }

    /// Whether rules that take packets in have this priority.
    pub const fn is_head_priority(self, priority: u16) -> bool {
        self.priority_min <= priority && priority < self.label_priority()
    }

    /// The cookie of one path (the `epoch`th) of an allocation, of term 0; `None` if its id does not fit.
    pub const fn cookie(self, epoch: u8, allocation: AllocationId) -> Option<Cookie> {
        Cookie::new(self.cookie_tag, epoch, allocation)
    }

    /// Every rule with the tag.
    pub const fn tagged(self) -> CookieFilter {
        CookieFilter::tagged(self.cookie_tag)
    }

    /// The label of a flow on every link of its path; `None` if there are not so many.
    pub const fn label(self, number: FlowNumber) -> Option<MplsLabel> {
        if number.index() >= self.flows_max {
            return None;
        }
        MplsLabel::new(self.label_min + number.index() * LABELS_EACH + number.epoch as u32 % LABELS_EACH)
    }

    /// The meter of a flow at the ingress; `None` if there are not so many.
    pub const fn meter(self, number: FlowNumber) -> Option<MeterId> {
        if number.index() < self.flows_max { Some(MeterId(self.meter_min + number.index())) } else { None }
    }

    /// The groups of the path with this label.
    pub const fn group(self, label: MplsLabel) -> GroupId {
        GroupId((self.cookie_tag as u32) << 24 | label.number())
    }

    pub(super) fn path(self, allocation: AllocationId, number: FlowNumber) -> Option<PathNumbers> {
        let (label, meter) = (self.label(number)?, self.meter(number)?);
        Some(PathNumbers { cookie: self.cookie(number.epoch, allocation)?, label, meter, group: self.group(label) })
    }

    /// Whether a label is in this service's range.
    pub const fn has_label(self, label: MplsLabel) -> bool {
        self.label_min <= label.number() && label.number() < self.label_min + self.flows_max * LABELS_EACH
    }

    /// Whether a meter is in this service's range.
    pub const fn has_meter(self, id: MeterId) -> bool {
        self.meter_min <= id.0 && id.0 - self.meter_min < self.flows_max
    }

    /// Whether a group is in this service's range.
    pub fn has_group(self, id: GroupId) -> bool {
        id.0 >> 24 == u32::from(self.cookie_tag)
            && MplsLabel::new(id.0 & 0x00FF_FFFF).is_some_and(|label| self.has_label(label))
    }

    /// Whether this service wrote a rule: it has the tag, and stands where only such rules stand. A rule of another program
    /// that happens to have the tag is not taken for one.
    pub fn has_rule(self, rule: &Rule) -> bool {
        let is_in_place = match &rule.place.matches {
            Match::Ip(_) => self.is_head_priority(rule.place.priority),
            Match::Mpls { label, bottom_of_stack, in_port } => {
                let wanted = if in_port.is_some() { self.port_label_priority() } else { self.label_priority() };
                rule.place.priority == wanted && self.has_label(*label) && *bottom_of_stack
            }
            Match::Foreign { .. } => false,
        };
        rule.cookie.tag() == self.cookie_tag && rule.place.table == TABLE && is_in_place
    }
}

/// How the rules and meters of a controller's switches are made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct RuleSettings {
    /// The numbers that are this service's.
    pub numbering: Numbering,
    /// How much meters let through.
    pub meters: MeterSettings,
    /// Whether packets are put into the queue of their class: the queue whose id is the number of the class.
    pub has_queues: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_and_meter_is_in_its_range() {
        let ours = Numbering::DEFAULT;
        let last = FlowNumber::new(FLOWS_MAX - 1, u8::MAX).unwrap();
        let (label, meter) = (ours.label(last).unwrap(), ours.meter(last).unwrap());
        assert_eq!((label.number(), meter), (859_999, MeterId(METER_MAX)));
        assert!(ours.has_label(label) && ours.has_meter(meter) && ours.has_group(ours.group(label)));
        let first = FlowNumber::new(0, 0).unwrap();
        assert_eq!((ours.label(first).unwrap().number(), ours.meter(first)), (100_000, Some(MeterId(10_001))));
        let second = FlowNumber::new(0, 1).unwrap();
        assert_ne!(ours.label(first), ours.label(second));
        assert_eq!(ours.meter(first), ours.meter(second));
        assert!(!ours.has_label(MplsLabel::new(860_000).unwrap()) && !ours.has_meter(MeterId(METER_MAX + 1)));
        assert!(!ours.has_group(GroupId(label.number())) && !ours.has_group(GroupId(0x5700_0000)));
    }

    #[test]
    fn a_small_range_numbers_so_many_flows_and_no_more() {
        let ours = Numbering::new(1_000, 1, 16, 0x11, 100).unwrap();
        let last = FlowNumber::new(15, 3).unwrap();
        assert_eq!((ours.label(last).unwrap().number(), ours.meter(last)), (1_063, Some(MeterId(16))));
        let beyond = FlowNumber::new(16, 0).unwrap();
        assert_eq!((ours.label(beyond), ours.meter(beyond)), (None, None));
        assert!(!ours.has_label(MplsLabel::new(1_064).unwrap()) && !ours.has_meter(MeterId(17)));
        assert_eq!((ours.label_priority(), ours.port_label_priority()), (10_100, 10_101));
    }

    #[test]
    fn what_no_switch_has_is_refused_with_its_field() {
        let new = Numbering::new;
        let errors = [
            (new(16, 1, 0, 1, 1), NumberingError::Flows),
            (new(16, 1, FLOWS_MAX + 1, 1, 1), NumberingError::Flows),
            (new(15, 1, 1, 1, 1), NumberingError::Labels),
            (new(LABEL_MAX - 2, 1, 1, 1, 1), NumberingError::Labels),
            (new(u32::MAX, 1, 1, 1, 1), NumberingError::Labels),
            (new(16, 0, 1, 1, 1), NumberingError::Meters),
            (new(16, METER_MAX, 2, 1, 1), NumberingError::Meters),
            (new(16, 1, 1, 0, 1), NumberingError::Tag),
            (new(16, 1, 1, 1, 0), NumberingError::Priorities),
            (new(16, 1, 1, 1, u16::MAX - 10_000), NumberingError::Priorities),
        ];
        for (made, error) in errors {
            assert_eq!(made, Err(error), "{}", error.field());
        }
        assert!(new(LABEL_MAX - 3, METER_MAX, 1, 255, u16::MAX - 10_001).is_ok());
    }
}
