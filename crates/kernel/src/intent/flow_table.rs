//! What a switch holds, or should hold, of ours: one rule a place, one meter an id. Foreign rules never get in here, so
//! that nothing that is worked out from tables can touch them.

use std::collections::BTreeMap;

use super::id_ranges::MeterId;
use super::rule::{Action, Cookie, Dpid, Match, Meter, Rule, RuleKey, RuleStep};

/// What every switch holds. A switch that is not in it is one of which nothing is known.
pub type Tables = BTreeMap<Dpid, Table>;

/// What one switch holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    rules: BTreeMap<RuleKey, RuleMeta>,
    meters: BTreeMap<MeterId, Meter>,
}

/// What stands in a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleMeta {
    /// Whose it is.
    pub cookie: Cookie,
    /// What is done with a packet.
    pub actions: Vec<Action>,
}

/// What a rule is to its path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Takes the label off and sends the packet to a host.
    Tail,
    /// Swaps the label.
    Transit,
    /// Puts the label on: traffic enters here, or by whatever we never wrote.
    Head,
}

impl Table {
    /// A table with what is ours of `rules` and `meters`.
    pub fn of(rules: impl IntoIterator<Item = Rule>, meters: impl IntoIterator<Item = Meter>) -> Self {
        let mut table = Self::default();
        rules.into_iter().for_each(|rule| table.put(rule));
        table.meters.extend(meters.into_iter().filter(|meter| meter.id.is_ours()).map(|meter| (meter.id, meter)));
        table
    }

    /// Takes a rule in, if it is ours.
    pub fn put(&mut self, rule: Rule) {
        if rule.cookie.is_ours() {
            self.rules.insert(rule.place, RuleMeta { cookie: rule.cookie, actions: rule.actions });
        }
    }

    /// Takes a rule out, if it has this cookie.
    pub fn take(&mut self, place: &RuleKey, cookie: Cookie) {
        if self.rules.get(place).is_some_and(|seat| seat.cookie == cookie) {
            self.rules.remove(place);
        }
    }

    /// Takes a meter in.
    pub fn put_meter(&mut self, meter: Meter) {
        self.meters.insert(meter.id, meter);
    }

    /// Takes a meter out.
    pub fn take_meter(&mut self, id: MeterId) {
        self.meters.remove(&id);
    }

    /// What stands in `place`.
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

    /// What it is after a step that is in force. A deleted meter takes its rules with it (OpenFlow 1.3 §6.6).
    pub fn take_step(&mut self, step: &RuleStep) {
        match step {
            RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => self.put_meter(*meter),
            RuleStep::PutRule(rule) => self.put(rule.clone()),
            RuleStep::DeleteRule { place, cookie } => self.take(place, *cookie),
            RuleStep::DeleteMeter(id) => {
                self.take_meter(*id);
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

    /// What it is to its path, standing in `place`.
    pub fn role(&self, place: &RuleKey) -> Role {
        match place.matches {
            Match::Ipv4(_) | Match::Opaque(_) => Role::Head,
            Match::Mpls { .. } if self.actions.contains(&Action::PopMpls) => Role::Tail,
            Match::Mpls { .. } => Role::Transit,
        }
    }
}
