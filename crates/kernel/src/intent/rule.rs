//! Rules with matches and actions, meters, and the steps that change them: the language between the kernel and the drivers,
//! in OpenFlow's terms and independent of any controller's dialect.
//!
//! What must stay true: a rule of this service carries a [`Cookie`] with its tag and the allocation that it serves, and a
//! rule without the tag is never changed.

use std::fmt;
use std::net::IpAddr;

use super::action::{Action, IpFamily};
use super::datapath::PortNo;
use super::group::Group;
use super::meter::Meter;
use super::switch_ids::{GroupId, MeterId, MplsLabel};
use crate::allocation::IpPrefix;
use crate::id::AllocationId;

/// The table of all rules of this service.
pub const TABLE: u8 = 0;

/// The path that a rule serves: 8 bits of tag, 8 of the term in which it was written, 8 of epoch, 40 of allocation id. All hops
/// of one path carry the same, but for the term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(pub u64);

impl Cookie {
    /// The bits of the tag.
    pub const TAG_MASK: u64 = 0xFF << 56;
    /// The bits of the term.
    const TERM_MASK: u64 = 0xFF << 48;
    /// The largest allocation id that fits.
    pub const ALLOCATION_MAX: u64 = (1 << 40) - 1;

    /// The cookie of one path (the `epoch`th) of an allocation, of term 0; `None` if its id does not fit.
    pub const fn new(tag: u8, epoch: u8, allocation: AllocationId) -> Option<Self> {
        if allocation.0 > Self::ALLOCATION_MAX {
            return None;
        }
        Some(Self(((tag as u64) << 56) | ((epoch as u64) << 40) | allocation.0))
    }

    /// As written in this term, of which the last 8 bits count.
    #[must_use]
    pub const fn in_term(self, term: u64) -> Self {
        Self(self.0 & !Self::TERM_MASK | (term & 0xFF) << 48)
    }

    /// Whether both are of one path, whenever they were written.
    pub const fn is_same_path(self, other: Self) -> bool {
        (self.0 ^ other.0) & !Self::TERM_MASK == 0
    }

    /// The tag.
    pub const fn tag(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// The last 8 bits of the term.
    pub const fn term(self) -> u8 {
        (self.0 >> 48 & 0xFF) as u8
    }

    /// The number of the path within the allocation.
    pub const fn epoch(self) -> u8 {
        (self.0 >> 40 & 0xFF) as u8
    }

    /// The allocation whose path the rule serves.
    pub const fn allocation(self) -> AllocationId {
        AllocationId(self.0 & Self::ALLOCATION_MAX)
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}|{}|{}|{}", self.0 >> 56, self.term(), self.epoch(), self.allocation())
    }
}

/// Which cookies are meant: those that equal `value` in the bits of `mask`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CookieFilter {
    /// The bits looked for.
    pub value: u64,
    /// The bits looked at.
    pub mask: u64,
}

impl CookieFilter {
    /// Every rule, of this service and of other programs.
    pub const ALL: Self = Self { value: 0, mask: 0 };

    /// Everything with this tag.
    pub const fn tagged(tag: u8) -> Self {
        Self { value: (tag as u64) << 56, mask: Cookie::TAG_MASK }
    }

    /// One path, as written in one term.
    pub const fn exactly(cookie: Cookie) -> Self {
        Self { value: cookie.0, mask: u64::MAX }
    }

    /// Everything of one allocation, whatever the epoch.
    pub const fn of(tag: u8, allocation: AllocationId) -> Self {
        Self {
            value: ((tag as u64) << 56) | (allocation.0 & Cookie::ALLOCATION_MAX),
            mask: Cookie::TAG_MASK | Cookie::ALLOCATION_MAX,
        }
    }

    /// One of `2^bits` slices of what has this tag, by the last bits of the allocation id.
    pub const fn slice(tag: u8, number: u64, bits: u32) -> Self {
        let low = if bits >= 40 { Cookie::ALLOCATION_MAX } else { (1 << bits) - 1 };
        Self { value: ((tag as u64) << 56) | (number & low), mask: Cookie::TAG_MASK | low }
    }

    /// Whether `cookie` is meant.
    pub const fn meets(self, cookie: Cookie) -> bool {
        cookie.0 & self.mask == self.value & self.mask
    }
}

/// A rule in a switch's table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rule {
    /// Where it stands; there is one rule a place.
    pub place: RuleKey,
    /// Whose it is.
    pub cookie: Cookie,
    /// What is done with a packet, in order.
    pub actions: Vec<Action>,
}

/// What makes a rule this rule and no other: adding another in the same place replaces it (OpenFlow 1.3 §6.4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RuleKey {
    /// In which table: [`TABLE`] for all that we write.
    pub table: u8,
    /// Higher ones are asked first.
    pub priority: u16,
    /// The packets that the rule is for.
    pub matches: Match,
}

/// Which packets a rule is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Match {
    /// IP packets without a label, at the ingress.
    Ip(IpMatch),
    /// MPLS packets, at transit and egress.
    Mpls {
        /// With this label on top.
        label: MplsLabel,
        /// And this bottom-of-stack bit.
        bottom_of_stack: bool,
        /// The port they come in at, where the way on depends on it.
        in_port: Option<PortNo>,
    },
    /// A match that this service never writes.
    Foreign {
        /// As the driver read it.
        words: Box<str>,
        /// The label that it asks for, if it asks for one.
        label: Option<MplsLabel>,
    },
}

/// IP packets: absent parts match anything. A driver adds the EtherType.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct IpMatch {
    /// The version, which addresses are of.
    pub family: IpFamily,
    /// The port they come in at.
    pub in_port: Option<PortNo>,
    /// The VLAN that they are tagged with.
    pub vlan: Option<u16>,
    /// Source network; the host bits are zero and the length is above zero.
    pub src: Option<IpPrefix<IpAddr>>,
    /// Destination network; the host bits are zero and the length is above zero.
    pub dst: Option<IpPrefix<IpAddr>>,
    /// DiffServ code point.
    pub dscp: Option<u8>,
    /// IP protocol.
    pub ip_proto: Option<u8>,
    /// TCP or UDP destination port; then `ip_proto` is one of these two.
    pub l4_dst: Option<u16>,
}

/// A change on one switch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RuleStep {
    /// Make a meter that is not there.
    AddMeter(Meter),
    /// Give a meter that is there another rate, in place.
    ModifyMeter(Meter),
    /// Write a rule; what stands in its place is replaced, cookie and all.
    PutRule(Rule),
    /// Delete what stands in this place and has this cookie, and nothing else.
    DeleteRule {
        /// The place of the rule.
        place: RuleKey,
        /// The cookie that it must have.
        cookie: Cookie,
    },
    /// Delete a meter. Rules that use it would vanish with it, so none does.
    DeleteMeter(MeterId),
    /// Make a group that is not there.
    AddGroup(Group),
    /// Give a group that is there other buckets, in place.
    ModifyGroup(Group),
    /// Delete a group. Rules that use it would vanish with it, so none does.
    DeleteGroup(GroupId),
}

impl RuleStep {
    /// Whether it writes a rule, a meter or a group.
    pub fn is_put(&self) -> bool {
        !self.is_deletion()
    }

    /// Whether it deletes a rule, a meter or a group.
    pub fn is_deletion(&self) -> bool {
        matches!(self, Self::DeleteRule { .. } | Self::DeleteMeter(_) | Self::DeleteGroup(_))
    }

    /// As it is executed in this term. What is deleted keeps the cookie that it has.
    #[must_use]
    pub fn in_term(self, term: u64) -> Self {
        match self {
            Self::PutRule(rule) => Self::PutRule(Rule { cookie: rule.cookie.in_term(term), ..rule }),
            other => other,
        }
    }
}

/// The state of a step that was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepOutcome {
    /// The switch holds it, or no longer holds it: acknowledged or read back.
    InForce,
    /// The switch does not: it answered with an error, or the read-back shows it.
    Refused(SwitchFault),
    /// Unknown; to be read back later.
    Unknown,
}

/// Why a switch or its controller did not carry out a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum SwitchFault {
    /// The switch said so (OpenFlow 1.3 §7.4.4).
    #[error("the switch refused it with error {kind}/{code}")]
    Switch {
        /// Type of the error.
        kind: u16,
        /// Code within the type.
        code: u16,
    },
    /// The controller answered with this status.
    #[error("the controller refused it with status {status}")]
    Controller {
        /// The status.
        status: u16,
    },
    /// The switch has no such port.
    #[error("the switch has no port {}", .port.0)]
    NoSuchPort {
        /// The port.
        port: PortNo,
    },
    /// It was taken without complaint, but what was read back is something else.
    #[error("the switch does not hold what was sent")]
    ReadBackDiffers,
    /// The dialect of this controller has no form for it.
    #[error("the controller's dialect has no way to {what}")]
    Unsupported {
        /// What the dialect lacks, as a verb: `match a label`.
        what: &'static str,
    },
    /// A step before it on which it depends failed.
    #[error("a step before it failed")]
    AfterFailure,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_says_whose_it_is() {
        let cookie = Cookie::new(0x57, 7, AllocationId(123_456_789_012)).unwrap();
        assert_eq!(cookie.tag(), 0x57);
        assert_eq!((cookie.term(), cookie.epoch(), cookie.allocation()), (0, 7, AllocationId(123_456_789_012)));
        let later = cookie.in_term(0x1_05);
        assert_eq!((later.term(), later.epoch(), later.allocation()), (5, 7, AllocationId(123_456_789_012)));
        assert!(later.is_same_path(cookie) && later != cookie);
        assert!(!later.is_same_path(Cookie::new(0x57, 8, AllocationId(123_456_789_012)).unwrap()));
        assert_eq!(Cookie(0).tag(), 0);
        assert_eq!(Cookie::new(0x57, 0, AllocationId(1 << 40)), None);
    }

    #[test]
    fn filters_meet_what_they_say() {
        let one = Cookie::new(0x57, 3, AllocationId(0b1011)).unwrap();
        assert!(CookieFilter::tagged(0x57).meets(one) && !CookieFilter::tagged(0x57).meets(Cookie(0)));
        assert!(CookieFilter::of(0x57, AllocationId(0b1011)).meets(one));
        assert!(!CookieFilter::of(0x57, AllocationId(0b1010)).meets(one));
        assert!(CookieFilter::exactly(one).meets(one));
        assert!(!CookieFilter::exactly(Cookie::new(0x57, 2, AllocationId(0b1011)).unwrap()).meets(one));
        assert!(CookieFilter::slice(0x57, 0b11, 2).meets(one) && !CookieFilter::slice(0x57, 0b01, 2).meets(one));
    }
}
