//! How the plan's tables are written: the entry of each path that may have changed, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Path, PathContent, RulePlan};
use crate::id::AllocationId;
use crate::intent::head_order::{HeadLevel, HeadRank};
use crate::intent::lsp_rules::{NoRules, RANKS};
use crate::intent::return_way::allocation_id;
use crate::intent::rule::{Cookie, IpMatch};
use crate::intent::split::{Entry, Part};

impl RulePlan {
    /// Writes what has changed into the tables; the allocations that have other rules now, or none for another reason.
    pub fn arrange(&mut self) -> Vec<AllocationId> {
        let stale = std::mem::take(&mut self.stale);
        let mut levels: BTreeMap<HeadLevel, BTreeMap<AllocationId, IpMatch>> = BTreeMap::new();
        for path in stale.iter().filter_map(|id| self.paths.get(id)) {
            if let Some(flow) = path.shape.heads.first() {
                // Where one has changed, what the others of its flow have may be another, too.
                let concerned = self.order.claimants(path.level(), flow).map(|id| (id, *flow));
                levels.entry(path.level()).or_default().extend(concerned);
            }
        }
        let (mut changed, mut without_head) = (vec![], BTreeSet::new());
        for (level, flows) in levels {
            // The oldest of a flow comes first.
            for (id, standing) in self.order.head_ranks(level, &flows) {
                let wanted = match standing {
                    HeadRank::Heir(of) if without_head.contains(&of) => Err(NoRules::FlowTaken(allocation_id(of))),
                    _ => self.entry(id, standing),
                };
                if wanted.is_err() {
                    without_head.insert(id);
                }
                let Some(path) = self.paths.get_mut(&id) else { continue };
                let older = if let HeadRank::Rank(_, older) = standing { older } else { None };
                let older_before = std::mem::replace(&mut path.older, older);
                let is_same = older == older_before && wanted.as_ref().ok() == path.entry.as_ref();
                if !is_same || self.without.get(&id) != wanted.as_ref().err() {
                    changed.push((id, wanted));
                }
            }
        }
        // A place may go from one allocation to another: all are taken out before any is put in.
        changed.iter().for_each(|(id, _)| self.erase(*id));
        let ids: BTreeSet<_> = changed.iter().map(|(id, _)| allocation_id(*id)).collect();
        for (id, wanted) in changed {
            match wanted {
                Ok(entry) => {
                    self.without.remove(&id);
                    self.write(id, entry);
                }
                Err(why) => drop(self.without.insert(id, why)),
            }
        }
        // One whose return alone has changed is told once, as itself.
        ids.into_iter().collect()
    }

    /// How packets get onto the path of an allocation, or why it has no rules.
    fn entry(&self, id: AllocationId, standing: HeadRank) -> Result<Entry, NoRules> {
        let path = self.paths.get(&id).ok_or(NoRules::NotOfTopology)?;
        match standing {
            HeadRank::Rank(older, _) => {
                self.check_foreign_head(path, older)?;
                self.check_foreign(path)?;
                Ok(Entry::Own { older, parts: self.parts(path) })
            }
            HeadRank::Heir(of) => {
                let is_part = self
                    .paths
                    .get(&of)
                    .is_some_and(|first| self.can_split(first) && first.shape.shares_flow(&path.shape));
                if !is_part {
                    return Err(NoRules::FlowTaken(allocation_id(of)));
                }
                self.check_foreign(path)?;
                Ok(Entry::By(of))
            }
            HeadRank::TooLow => Err(NoRules::TooManyOverlaps { max: RANKS - 1 }),
        }
    }

    /// The paths among which the flow of this one, its first, is split; none where it is the only one.
    fn parts(&self, first: &Path) -> Vec<Part> {
        let Some(flow) = first.shape.heads.first().filter(|_| self.can_split(first)) else { return vec![] };
        let claimants = self.order.claimants(first.level(), flow).filter_map(|id| self.paths.get(&id));
        let others = claimants.filter(|path| path.shape.shares_flow(&first.shape) && self.check_foreign(path).is_ok());
        let part = |path: &Path| path.shape.part(path.numbers.label, &self.settings, path.bandwidth);
        let parts: Vec<Part> = others.map(part).collect();
        if parts.len() > 1 { parts } else { vec![] }
    }

    /// Whether the ingress can have a group for the flow of a path, and the number of that is free.
    fn can_split(&self, first: &Path) -> bool {
        let (ingress, group) = (first.shape.ingress(), first.numbers.group);
        let is_taken = self.foreign.get(&ingress).is_some_and(|foreign| foreign.has_group(group));
        let refuses = self.groupless.contains(&ingress) || self.splitless.contains(&ingress);
        self.has_groups && !refuses && !is_taken
    }

    /// Whether nothing of other programs is where a path's packets would enter.
    fn check_foreign_head(&self, path: &Path, older: u16) -> Result<(), NoRules> {
        let (switch, meter) = (path.shape.ingress(), path.numbers.meter);
        let Some(foreign) = self.foreign.get(&switch) else { return Ok(()) };
        if foreign.has_meter(meter) {
            return Err(NoRules::ForeignMeter { switch, meter });
        }
        match path.shape.head_places(&self.settings, older).find_map(|place| foreign.head(&place)) {
            Some(Cookie(cookie)) => {
                let what = "stands in the place of its first rule";
                Err(NoRules::ForeignRule { switch, cookie, what })
            }
            None => Ok(()),
        }
    }

    /// Whether nothing of other programs has the number of a path's groups for failover, or its label.
    fn check_foreign(&self, path: &Path) -> Result<(), NoRules> {
        for (switch, group) in path.shape.failovers(path.numbers.group) {
            if self.foreign.get(&switch).is_some_and(|foreign| foreign.has_group(group.id)) {
                return Err(NoRules::ForeignGroup { switch, group: group.id });
            }
        }
        for switch in path.shape.switches().skip(usize::from(path.shape.failover.is_none())) {
            if let Some(cookie) = self.foreign.get(&switch).and_then(|foreign| foreign.label(path.numbers.label)) {
                return Err(NoRules::ForeignRule { switch, cookie: cookie.0, what: "has its label" });
            }
        }
        Ok(())
    }

    fn write(&mut self, id: AllocationId, entry: Entry) {
        let Some(path) = self.paths.get_mut(&id) else { return };
        let PathContent { rules, groups, meter } = path.content(&entry, &self.settings);
        path.entry = Some(entry);
        for (dpid, rule) in rules {
            self.tables.entry(dpid).or_default().put(rule);
        }
        for (dpid, group) in groups {
            self.tables.entry(dpid).or_default().put_group(group);
        }
        if let Some(meter) = meter {
            self.tables.entry(path.shape.ingress()).or_default().put_meter(meter);
        }
    }

    /// Takes the rules of an allocation out of the tables.
    pub(super) fn erase(&mut self, id: AllocationId) {
        let Some(path) = self.paths.get_mut(&id) else { return };
        let Some(entry) = path.entry.take() else { return };
        let PathContent { rules, groups, meter } = path.content(&entry, &self.settings);
        for (dpid, rule) in rules {
            if let Some(table) = self.tables.get_mut(&dpid) {
                table.remove(&rule.place, rule.cookie);
            }
        }
        for (dpid, group) in groups {
            if let Some(table) = self.tables.get_mut(&dpid) {
                table.remove_group(group.id);
            }
        }
        if let (Some(meter), Some(table)) = (meter, self.tables.get_mut(&path.shape.ingress())) {
            table.remove_meter(meter.id);
        }
    }
}
