//! The rules and meters of this service on a switch, reported or intended: one rule a place, one meter an id. Foreign rules
//! are never in a table, so that nothing that is derived from tables can touch them.

use std::collections::BTreeMap;

use super::id_ranges::MeterId;
use super::rule::{Action, Cookie, Dpid, Match, Meter, Rule, RuleKey, RuleStep};

/// The table of every switch. Of a switch that is not in it, nothing is known.
pub type Tables = BTreeMap<Dpid, Table>;

/// The table of one switch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    rules: BTreeMap<RuleKey, RuleMeta>,
    meters: BTreeMap<MeterId, Meter>,
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

impl Table {
    /// A table of the rules and meters with this service's tag and ids.
    pub fn of(rules: impl IntoIterator<Item = Rule>, meters: impl IntoIterator<Item = Meter>) -> Self {
        let mut table = Self::default();
        rules.into_iter().for_each(|rule| table.put(rule));
        table.meters.extend(meters.into_iter().filter(|meter| meter.id.is_ours()).map(|meter| (meter.id, meter)));
        table
    }

    /// Adds a rule, if it has this service's tag.
    pub fn put(&mut self, rule: Rule) {
        if rule.cookie.is_ours() {
            self.rules.insert(rule.place, RuleMeta { cookie: rule.cookie, actions: rule.actions });
        }
    }

    /// Removes a rule, if it has this cookie.
    pub fn remove(&mut self, place: &RuleKey, cookie: Cookie) {
        if self.rules.get(place).is_some_and(|seat| seat.cookie == cookie) {
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

    /// The rule in `place`.
    pub fn seat(&self, place: &RuleKey) -> Option<&RuleMeta> {
        self.rules.get(place)
    }

    /// The meter of that number.
    pub fn meter(&self, id: MeterId) -> Option<Meter> {
        self.meters.get(&id).copied()
    }

    /// Every rule, by place.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = (&RuleKey, &RuleMeta)> {
        self.rules.iter()
    }

    /// Every meter, by number.
    pub fn meters(&self) -> impl ExactSizeIterator<Item = Meter> + '_ {
        self.meters.values().copied()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.meters.is_empty()
    }

    /// Applies a step that is in force. A deleted meter takes its rules with it (OpenFlow 1.3 §6.6).
    pub fn apply_step(&mut self, step: &RuleStep) {
        match step {
            RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => self.put_meter(*meter),
            RuleStep::PutRule(rule) => self.put(rule.clone()),
            RuleStep::DeleteRule { place, cookie } => self.remove(place, *cookie),
            RuleStep::DeleteMeter(id) => {
                self.remove_meter(*id);
                self.rules.retain(|_, seat| seat.meter() != Some(*id));
            }
        }
    }
}

impl RuleMeta {
    /// The meter that it sends packets through.
    pub fn meter(&self) -> Option<MeterId> {
        self.actions.iter().find_map(|action| match action {
            Action::Meter(id) => Some(*id),
            _ => None,
        })
    }

    /// Its role on its path, in `place`.
    pub fn role(&self, place: &RuleKey) -> Role {
        match place.matches {
            Match::Ipv4(_) | Match::Opaque(_) => Role::Head,
            Match::Mpls { .. } if self.actions.contains(&Action::PopMpls) => Role::Tail,
            Match::Mpls { .. } => Role::Transit,
        }
    }
}
