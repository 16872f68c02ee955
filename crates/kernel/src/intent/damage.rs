//! What went wrong with rules that a switch held: told when an audit finds another content than was known.

use std::collections::BTreeMap;
use std::fmt;

use super::flow_table::{Role, Table};
use super::rule::{Match, RuleKey};
use super::switch_ids::{GroupId, MeterId, MplsLabel};
use crate::id::AllocationId;

/// A rule, a meter or a group that a switch held as intended, and does not any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The allocation that it serves.
    pub allocation: AllocationId,
    /// The rule, the meter or the group.
    pub of: DamagedPart,
    /// Whether it is gone, or there with other content.
    pub is_gone: bool,
}

/// What of an allocation is damaged on a switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DamagedPart {
    /// The rule that takes its packets in.
    Head,
    /// The rule for its label.
    Label(MplsLabel),
    /// Its meter.
    Meter(MeterId),
    /// Its group.
    Group(GroupId),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            DamagedPart::Head => f.write_str("the rule that takes its packets in")?,
            DamagedPart::Label(label) => write!(f, "the rule for label {}", label.number())?,
            DamagedPart::Meter(meter) => write!(f, "meter {}", meter.0)?,
            DamagedPart::Group(group) => write!(f, "group {}", group.0)?,
        }
        f.write_str(if self.is_gone { " was gone" } else { " was not as it was written" })
    }
}

impl Damage {
    /// What a switch held as it should and does not any more.
    pub fn between(intended: &Table, before: &Table, now: &Table) -> Vec<Self> {
        let mut found = vec![];
        let mut users: BTreeMap<MeterId, AllocationId> = BTreeMap::new();
        let mut group_users: BTreeMap<GroupId, AllocationId> = BTreeMap::new();
        for (place, wanted) in intended.rules() {
            let allocation = wanted.cookie.allocation();
            users.extend(wanted.meter().map(|meter| (meter, allocation)));
            group_users.extend(wanted.group().map(|group| (group, allocation)));
            let is_held = |table: &Table| table.seat(place).is_some_and(|seat| seat.is_same(wanted));
            if is_held(before) && !is_held(now) {
                let is_gone = now.seat(place).is_none();
                found.push(Self { allocation, of: part(place, wanted.role(place)), is_gone });
            }
        }
        for wanted in intended.meters() {
            let Some(allocation) = users.get(&wanted.id).copied() else { continue };
            if before.meter(wanted.id) == Some(wanted) && now.meter(wanted.id) != Some(wanted) {
                let is_gone = now.meter(wanted.id).is_none();
                found.push(Self { allocation, of: DamagedPart::Meter(wanted.id), is_gone });
            }
        }
        for wanted in intended.groups() {
            let Some(allocation) = group_users.get(&wanted.id).copied() else { continue };
            if before.group(wanted.id) == Some(wanted) && now.group(wanted.id) != Some(wanted) {
                let is_gone = now.group(wanted.id).is_none();
                found.push(Self { allocation, of: DamagedPart::Group(wanted.id), is_gone });
            }
        }
        found
    }
}

fn part(place: &RuleKey, role: Role) -> DamagedPart {
    match (&place.matches, role) {
        (Match::Mpls { label, .. }, Role::Tail | Role::Transit) => DamagedPart::Label(*label),
        _ => DamagedPart::Head,
    }
}
