//! The rules, meters and groups of this service on a switch, reported or intended: one rule a place, one meter or group an id.
//! What is foreign is never in a table, so that nothing that is derived from tables can touch it.

use std::collections::{BTreeMap, BTreeSet};

use super::action::Action;
use super::datapath::{Dpid, PortNo};
use super::group::Group;
use super::meter::Meter;
use super::numbering::{Numbering, RuleSettings};
use super::rule::{Cookie, Match, Rule, RuleKey, RuleStep, TABLE};
use super::switch_ids::{GroupId, MeterId, MplsLabel};
use crate::id::AllocationId;

/// The table of every switch. Of a switch that is not in it, nothing is known.
pub type Tables = BTreeMap<Dpid, Table>;

/// The table of one switch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    rules: BTreeMap<RuleKey, RuleMeta>,
    meters: BTreeMap<MeterId, Meter>,
    groups: BTreeMap<GroupId, Group>,
}

/// A rule without its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleMeta {
    /// The path that it serves.
    pub cookie: Cookie,
    /// What is done with a packet.
    pub actions: Vec<Action>,
}

/// The role of a rule on its path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Pops the label and sends the packet to a host.
    Tail,
    /// Swaps the label.
    Transit,
    /// Pushes the label: traffic enters here. Also a rule with actions that this service never writes.
    Head,
}

/// What other programs have on a switch where this service would write.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Foreign {
    /// How many foreign rules there are in all.
    pub count: u64,
    /// Among the priorities of rules that take packets in.
    heads: BTreeMap<RuleKey, Cookie>,
    /// With a label of this service's range.
    labels: BTreeMap<MplsLabel, Cookie>,
    /// With an id of this service's range.
    meters: BTreeSet<MeterId>,
    /// With an id of this service's range.
    groups: BTreeSet<GroupId>,
}

impl Foreign {
    /// The foreign rule in a place.
    pub fn head(&self, place: &RuleKey) -> Option<Cookie> {
        self.heads.get(place).copied()
    }

    /// The foreign rule that takes packets with a label.
    pub fn label(&self, label: MplsLabel) -> Option<Cookie> {
        self.labels.get(&label).copied()
    }

    /// Whether a meter is foreign.
    pub fn has_meter(&self, id: MeterId) -> bool {
        self.meters.contains(&id)
    }

    /// Whether a group is foreign.
    pub fn has_group(&self, id: GroupId) -> bool {
        self.groups.contains(&id)
    }

    fn add(&mut self, rule: Rule, numbering: Numbering) {
        self.count += 1;
        match &rule.place.matches {
            Match::Mpls { label, .. } | Match::Foreign { label: Some(label), .. } if numbering.has_label(*label) => {
                self.labels.insert(*label, rule.cookie);
            }
            Match::Ip(_) if rule.place.table == TABLE && numbering.is_head_priority(rule.place.priority) => {
                self.heads.insert(rule.place, rule.cookie);
            }
            Match::Ip(_) | Match::Mpls { .. } | Match::Foreign { .. } => {}
        }
    }
}

impl Table {
    /// Parts what a switch holds: every rule, and the meters and groups of this service's range. A meter or group is this
    /// service's if one of its rules uses it, or none at all does and it is of the form that this service makes.
    pub fn parted(
        rules: impl IntoIterator<Item = Rule>,
        meters: impl IntoIterator<Item = Meter>,
        groups: impl IntoIterator<Item = Group>,
        settings: &RuleSettings,
    ) -> (Self, Foreign) {
        let numbering = settings.numbering;
        let (mut table, mut foreign) = (Self::default(), Foreign::default());
        let (mut used, mut used_by_others) = (BTreeSet::new(), BTreeSet::new());
        let (mut grouped, mut grouped_by_others) = (BTreeSet::new(), BTreeSet::new());
        for rule in rules {
            if numbering.has_rule(&rule) {
                used.extend(meter_of(&rule.actions));
                grouped.extend(group_of(&rule.actions));
                table.put(rule);
            } else {
                used_by_others.extend(meter_of(&rule.actions));
                grouped_by_others.extend(group_of(&rule.actions));
                foreign.add(rule, numbering);
            }
        }
        for group in groups.into_iter().filter(|group| numbering.has_group(group.id)) {
            let is_orphan = !grouped_by_others.contains(&group.id) && group.is_of_our_form();
            if grouped.contains(&group.id) || is_orphan {
                table.put_group(group);
            } else {
                foreign.groups.insert(group.id);
            }
        }
        for meter in meters.into_iter().filter(|meter| numbering.has_meter(meter.id)) {
            let is_orphan = !used_by_others.contains(&meter.id) && meter.is_of_our_form(&settings.meters);
            if used.contains(&meter.id) || is_orphan {
                table.put_meter(meter);
            } else {
                foreign.meters.insert(meter.id);
            }
        }
        (table, foreign)
    }

    /// Adds a rule of this service.
    pub fn put(&mut self, rule: Rule) {
        self.rules.insert(rule.place, RuleMeta { cookie: rule.cookie, actions: rule.actions });
    }

    /// Removes a rule, if it is of this path.
    pub fn remove(&mut self, place: &RuleKey, cookie: Cookie) {
        if self.rules.get(place).is_some_and(|seat| seat.cookie.is_same_path(cookie)) {
            self.rules.remove(place);
        }
    }

    /// Adds a meter.
    pub fn put_meter(&mut self, meter: Meter) {
        self.meters.insert(meter.id, meter);
    }

    /// Removes a meter.
    pub fn remove_meter(&mut self, id: MeterId) {
        self.meters.remove(&id);
    }

    /// Adds a group.
    pub fn put_group(&mut self, group: Group) {
        self.groups.insert(group.id, group);
    }

    /// Removes a group.
    pub fn remove_group(&mut self, id: GroupId) {
        self.groups.remove(&id);
    }

    /// Takes in what was read of some allocations, and the meters and groups of this service's range.
    pub fn refresh(
        &mut self,
        ids: &BTreeSet<AllocationId>,
        rules: impl IntoIterator<Item = Rule>,
        meters: &[Meter],
        groups: &[Group],
        foreign: Option<&Foreign>,
        numbering: Numbering,
    ) {
        self.rules.retain(|_, seat| !ids.contains(&seat.cookie.allocation()));
        rules.into_iter().filter(|rule| numbering.has_rule(rule)).for_each(|rule| self.put(rule));
        let is_ours = |meter: &&Meter| {
            numbering.has_meter(meter.id) && foreign.is_none_or(|foreign| !foreign.has_meter(meter.id))
        };
        self.meters = meters.iter().filter(is_ours).map(|meter| (meter.id, *meter)).collect();
        let is_ours = |group: &&Group| {
            numbering.has_group(group.id) && foreign.is_none_or(|foreign| !foreign.has_group(group.id))
        };
        self.groups = groups.iter().filter(is_ours).map(|group| (group.id, group.clone())).collect();
    }

    /// The rule in `place`.
    pub fn seat(&self, place: &RuleKey) -> Option<&RuleMeta> {
        self.rules.get(place)
    }

    /// The meter of that number.
    pub fn meter(&self, id: MeterId) -> Option<Meter> {
        self.meters.get(&id).copied()
    }

    /// The group of that number.
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    /// The rules for the label of a place, whatever port it comes in at: one priority is for any port, the next for one.
    pub(super) fn labelled(&self, place: &RuleKey, label: MplsLabel) -> impl Iterator<Item = (&RuleKey, &RuleMeta)> {
        let is_of_port = matches!(place.matches, Match::Mpls { in_port: Some(_), .. });
        let any_port = place.priority.saturating_sub(u16::from(is_of_port));
        let place = move |priority, bottom_of_stack, in_port| RuleKey {
            table: TABLE,
            priority,
            matches: Match::Mpls { label, bottom_of_stack, in_port },
        };
        [any_port, any_port.saturating_add(1)].into_iter().flat_map(move |priority| {
            self.rules.range(place(priority, false, None)..=place(priority, true, Some(PortNo(u32::MAX))))
        })
    }

    /// Every rule, by place.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = (&RuleKey, &RuleMeta)> {
        self.rules.iter()
    }

    /// How many rules send packets out of each port.
    pub fn rules_by_port(&self) -> BTreeMap<PortNo, u64> {
        let mut counts = BTreeMap::new();
        for action in self.rules.values().flat_map(|seat| &seat.actions) {
            if let Action::Output(port) = action {
                *counts.entry(*port).or_default() += 1;
            }
        }
        counts
    }

    /// Every meter, by number.
    pub fn meters(&self) -> impl ExactSizeIterator<Item = Meter> + '_ {
        self.meters.values().copied()
    }

    /// Every group, by number.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.groups.values()
    }

    /// How many rules, meters and groups it holds.
    pub fn size(&self) -> usize {
        self.rules.len() + self.meters.len() + self.groups.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// Applies a step that is in force. A deleted meter or group takes its rules with it (OpenFlow 1.3 §6.6, §6.7).
    pub fn apply_step(&mut self, step: &RuleStep) {
        match step {
            RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => self.put_meter(*meter),
            RuleStep::PutRule(rule) => self.put(rule.clone()),
            RuleStep::DeleteRule { place, cookie } => self.remove(place, *cookie),
            RuleStep::DeleteMeter(id) => {
                self.remove_meter(*id);
                self.rules.retain(|_, seat| seat.meter() != Some(*id));
            }
            RuleStep::AddGroup(group) | RuleStep::ModifyGroup(group) => self.put_group(group.clone()),
            RuleStep::DeleteGroup(id) => {
                self.remove_group(*id);
                self.rules.retain(|_, seat| seat.group() != Some(*id));
            }
        }
    }
}

fn meter_of(actions: &[Action]) -> Option<MeterId> {
    actions.iter().find_map(|action| match action {
        Action::Meter(id) => Some(*id),
        _ => None,
    })
}

fn group_of(actions: &[Action]) -> Option<GroupId> {
    actions.iter().find_map(|action| match action {
        Action::Group(id) => Some(*id),
        _ => None,
    })
}

impl RuleMeta {
    /// Whether both do the same for one path, whenever they were written.
    pub fn is_same(&self, other: &Self) -> bool {
        self.cookie.is_same_path(other.cookie) && self.actions == other.actions
    }

    /// The meter that it sends packets through.
    pub fn meter(&self) -> Option<MeterId> {
        meter_of(&self.actions)
    }

    /// The group by which it sends packets out.
    pub fn group(&self) -> Option<GroupId> {
        group_of(&self.actions)
    }

    /// Whether it is for packets that a failure has sent another way, in `place`: none meets it while the working path is whole.
    pub fn is_standby(&self, place: &RuleKey) -> bool {
        matches!(place.matches, Match::Mpls { in_port: Some(_), .. }) && self.group().is_none()
    }

    /// Its role on its path, in `place`.
    pub fn role(&self, place: &RuleKey) -> Role {
        match place.matches {
            Match::Ip(_) | Match::Foreign { .. } => Role::Head,
            Match::Mpls { .. } if self.actions.iter().any(|action| matches!(action, Action::PopMpls(_))) => Role::Tail,
            Match::Mpls { .. } => Role::Transit,
        }
    }
}
