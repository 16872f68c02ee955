//! Recovery of an allocation's labels, meter and epoch from what the switches still hold, as far as they fit the path that
//! it has now. A path that was changed meanwhile starts a new epoch.

use std::collections::BTreeMap;

use super::flow_table::{Role, RuleMeta, Tables};
use super::id_ranges::{MeterId, MplsLabel};
use super::lsp_rules::Shape;
use super::rule::{Action, Dpid, Match, PortNo, RuleKey};
use crate::id::AllocationId;

/// The rules found of one allocation, by epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct FoundRules {
    epochs: BTreeMap<u16, Vec<(Dpid, RuleKey, RuleMeta)>>,
}

/// The numbers that were recovered.
#[derive(Clone, Debug, Default)]
pub(super) struct Recovered {
    /// For every switch but the first.
    pub(super) labels: Vec<Option<MplsLabel>>,
    /// For the first.
    pub(super) meter: Option<MeterId>,
}

impl FoundRules {
    /// The rules with this service's tag, by allocation.
    pub(super) fn in_tables(seen: &Tables) -> BTreeMap<AllocationId, Self> {
        let mut found: BTreeMap<AllocationId, Self> = BTreeMap::new();
        for (dpid, table) in seen {
            for (place, seat) in table.rules() {
                let epochs = &mut found.entry(seat.cookie.allocation()).or_default().epochs;
                epochs.entry(seat.cookie.epoch()).or_default().push((*dpid, place.clone(), seat.clone()));
            }
        }
        found
    }

    /// The epoch to continue, with its numbers; the next epoch without numbers, if the rules found are of another path.
    pub(super) fn fit(&self, shape: &Shape) -> (u16, Recovered) {
        let Some((epoch, rules)) = self.epochs.last_key_value() else { return (0, Recovered::default()) };
        match recovered(rules, shape) {
            Some(numbers) => (*epoch, numbers),
            None => (epoch.wrapping_add(1), Recovered::default()),
        }
    }
}

/// `None` if a rule does not fit this path.
fn recovered(rules: &[(Dpid, RuleKey, RuleMeta)], shape: &Shape) -> Option<Recovered> {
    let last = shape.hops.len().checked_sub(1)?;
    let mut own = vec![None; last];
    let mut told = vec![None; last];
    let mut meter = None;
    for (dpid, place, seat) in rules {
        let at = shape.hops.iter().position(|(hop, _)| hop == dpid)?;
        let (_, port) = shape.hops.get(at)?;
        if output(seat) != Some(*port) {
            return None;
        }
        match (seat.role(place), &place.matches) {
            (Role::Head, _) if at == 0 && *place == shape.head => meter = seat.meter(),
            (Role::Transit, Match::Mpls { label, .. }) if at > 0 && at < last => *own.get_mut(at - 1)? = Some(*label),
            (Role::Tail, Match::Mpls { label, .. }) if at == last => *own.get_mut(at - 1)? = Some(*label),
            _ => return None,
        }
        if at < last {
            *told.get_mut(at)? = pushed(seat);
        }
    }
    let labels = own.into_iter().zip(told).map(|(own, told)| own.or(told));
    Some(Recovered { labels: labels.collect(), meter })
}

fn output(seat: &RuleMeta) -> Option<PortNo> {
    seat.actions.iter().find_map(|action| match action {
        Action::Output(port) => Some(*port),
        _ => None,
    })
}

fn pushed(seat: &RuleMeta) -> Option<MplsLabel> {
    seat.actions.iter().find_map(|action| match action {
        Action::SetLabel(label) => Some(*label),
        _ => None,
    })
}
