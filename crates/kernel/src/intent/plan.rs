//! The plan: the intended content of every switch, kept up to date as allocations come, change and go. It remembers the
//! labels and meters of each allocation, so that a path keeps its rules as long as it stays the same; another path gets
//! another epoch and other labels, so that the two can stand side by side while traffic moves over.
//!
//! After a restart the plan recovers the numbers that the switches still hold ([`RulePlan::recover`]): no rule is rewritten.

use std::collections::{BTreeMap, BTreeSet};

use super::flow_table::{Table, Tables};
use super::id_pool::Numbers;
use super::id_ranges::{LABEL_MAX, LABEL_MIN, METER_MAX, METER_MIN, MeterId, MplsLabel};
use super::lsp_rules::{NoRules, Shape, label_place, meter};
use super::recover::{FoundRules, Recovered};
use super::rule::{Cookie, Dpid, RuleKey};
use crate::allocation::Allocation;
use crate::id::AllocationId;
use crate::topology::Topology;
use crate::units::Bandwidth;

/// The intended content of every switch, and why some allocations have no rules.
#[derive(Clone, Debug, Default)]
pub struct RulePlan {
    tables: Tables,
    paths: BTreeMap<AllocationId, Path>,
    without: BTreeMap<AllocationId, NoRules>,
    numbers: BTreeMap<Dpid, Given>,
    /// The allocations that claim the packets of a place: the oldest gets them.
    claims: BTreeMap<(Dpid, RuleKey), BTreeSet<AllocationId>>,
    found: BTreeMap<AllocationId, FoundRules>,
}

/// The numbers of a switch.
#[derive(Clone, Debug)]
struct Given {
    labels: Numbers,
    meters: Numbers,
}

impl Default for Given {
    fn default() -> Self {
        Self { labels: Numbers::new(LABEL_MIN, LABEL_MAX), meters: Numbers::new(METER_MIN, METER_MAX) }
    }
}

/// An allocation's path with its numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Path {
    shape: Shape,
    cookie: Cookie,
    labels: Vec<MplsLabel>,
    meter: MeterId,
    bandwidth: Bandwidth,
}

impl RulePlan {
    /// Every switch is to be empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers what the switches hold, for allocations that are set from now on: they get the same numbers again.
    pub fn recover(&mut self, seen: &Tables) {
        self.found = FoundRules::in_tables(seen);
    }

    /// What every switch should hold.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Why an allocation has no rules, if it has none for another reason than naming no flow.
    pub fn why_not(&self, id: AllocationId) -> Option<NoRules> {
        if let Some(why) = self.without.get(&id) {
            return Some(why.clone());
        }
        let path = self.paths.get(&id)?;
        let owner = self.owner(&(path.shape.ingress(), path.shape.head.clone()));
        owner.filter(|owner| *owner != id).map(NoRules::FlowTaken)
    }

    /// The switches on the path of an allocation that has rules.
    pub fn switches_of(&self, id: AllocationId) -> impl Iterator<Item = Dpid> + '_ {
        self.paths.get(&id).into_iter().flat_map(|path| path.shape.hops.iter().map(|(dpid, _)| *dpid))
    }

    /// The allocations with rules at this switch.
    pub fn at(&self, switch: Dpid) -> impl Iterator<Item = AllocationId> + '_ {
        let here = move |path: &Path| path.shape.hops.iter().any(|(dpid, _)| *dpid == switch);
        self.paths.iter().filter(move |(_, path)| here(path)).map(|(id, _)| *id)
    }

    /// Whether an allocation has rules.
    pub fn has(&self, id: AllocationId) -> bool {
        self.paths.contains_key(&id)
    }

    /// The allocations that have rules, or should.
    pub fn allocations(&self) -> impl Iterator<Item = AllocationId> + '_ {
        self.paths.keys().chain(self.without.keys()).copied()
    }

    /// The allocations that should have rules but cannot have them.
    pub fn without_rules(&self) -> impl Iterator<Item = AllocationId> + '_ {
        self.without.keys().copied()
    }

    /// Whether the switches hold all that an allocation should have: its rules of this epoch, and its meter.
    pub fn is_held(&self, id: AllocationId, seen: &Tables) -> bool {
        let Some(path) = self.paths.get(&id) else { return false };
        let holds = |dpid: &Dpid, table: &Table| {
            let own = path.shape.rules(path.cookie, &path.labels, path.meter);
            own.iter().filter(|(at, _)| at == dpid).all(|(_, rule)| {
                let seat = table.seat(&rule.place);
                seat.is_some_and(|seat| seat.cookie == rule.cookie && seat.actions == rule.actions)
            })
        };
        let metered = seen.get(&path.shape.ingress()).and_then(|table| table.meter(path.meter));
        metered == Some(meter(path.meter, path.bandwidth))
            && self.switches_of(id).all(|dpid| seen.get(&dpid).is_some_and(|table| holds(&dpid, table)))
    }

    /// Adds or updates a living allocation. `seen` is the reported content of switches: numbers in use there are not given
    /// to other allocations.
    pub fn set(&mut self, allocation: &Allocation, topology: &Topology, seen: &Tables) {
        let id = allocation.id;
        self.without.remove(&id);
        let made = Shape::of(allocation, topology).and_then(|shape| self.path(allocation, shape, seen));
        match made {
            Ok(path) if self.paths.get(&id) == Some(&path) => {}
            Ok(path) => {
                self.lay_down(id, Some(&path));
                self.paths.insert(id, path);
                self.claim_packets(id);
            }
            Err(NoRules::NoFlow) => self.remove(id),
            Err(why) => {
                self.remove(id);
                self.without.insert(id, why);
            }
        }
    }

    /// Removes an allocation that is over.
    pub fn remove(&mut self, id: AllocationId) {
        self.without.remove(&id);
        self.found.remove(&id);
        self.lay_down(id, None);
        self.paths.remove(&id);
    }

    /// The path with its numbers: those it has, those it was found with, or new ones.
    fn path(&mut self, allocation: &Allocation, shape: Shape, seen: &Tables) -> Result<Path, NoRules> {
        let id = allocation.id;
        let bandwidth = allocation.demand.bandwidth;
        let old = self.paths.get(&id);
        if let Some(old) = old.filter(|old| old.shape == shape) {
            return Ok(Path { bandwidth, ..old.clone() });
        }
        let (epoch, known) = match old {
            // The meter stays where traffic still enters at the same switch.
            Some(old) => {
                let meter = Some(old.meter).filter(|_| old.shape.ingress() == shape.ingress());
                (old.cookie.epoch().wrapping_add(1), Recovered { labels: vec![], meter })
            }
            None => self.found.remove(&id).map_or((0, Recovered::default()), |found| found.fit(&shape)),
        };
        let cookie = Cookie::new(epoch, id).ok_or(NoRules::NumberTooLarge)?;
        let mut given = vec![];
        let numbers = self.give_all(id, &shape, &known, seen, &mut given);
        match numbers {
            Ok((labels, meter)) => Ok(Path { shape, cookie, labels, meter, bandwidth }),
            Err(why) => {
                given.into_iter().for_each(|(dpid, label)| self.give_back(dpid, label));
                Err(why)
            }
        }
    }

    fn give_all(
        &mut self,
        id: AllocationId,
        shape: &Shape,
        known: &Recovered,
        seen: &Tables,
        given: &mut Vec<(Dpid, MplsLabel)>,
    ) -> Result<(Vec<MplsLabel>, MeterId), NoRules> {
        for (at, (dpid, _)) in shape.hops.iter().skip(1).enumerate() {
            let wanted = known.labels.get(at).copied().flatten();
            let label = self.give_label(id, *dpid, wanted, seen).ok_or(NoRules::NoLabel(*dpid))?;
            given.push((*dpid, label));
        }
        let ingress = shape.ingress();
        let meter = self.give_meter(id, ingress, known.meter, seen).ok_or(NoRules::NoMeter(ingress))?;
        Ok((given.iter().map(|(_, label)| *label).collect(), meter))
    }

    fn give_label(
        &mut self,
        id: AllocationId,
        dpid: Dpid,
        wanted: Option<MplsLabel>,
        seen: &Tables,
    ) -> Option<MplsLabel> {
        let numbers = &mut self.numbers.entry(dpid).or_default().labels;
        if let Some(label) = wanted.filter(|label| numbers.give_this(label.number(), id)) {
            return Some(label);
        }
        let table = seen.get(&dpid);
        let is_seen = |number| {
            let place = MplsLabel::new(number).map(label_place);
            place.is_some_and(|place| table.is_some_and(|table| table.seat(&place).is_some()))
        };
        numbers.give(id, is_seen).and_then(MplsLabel::new)
    }

    fn give_meter(&mut self, id: AllocationId, dpid: Dpid, wanted: Option<MeterId>, seen: &Tables) -> Option<MeterId> {
        let numbers = &mut self.numbers.entry(dpid).or_default().meters;
        if let Some(meter) = wanted.filter(|meter| numbers.give_this(meter.0, id)) {
            return Some(meter);
        }
        let table = seen.get(&dpid);
        let is_seen = |number| table.is_some_and(|table| table.meter(MeterId(number)).is_some());
        numbers.give(id, is_seen).map(MeterId)
    }

    fn give_back(&mut self, dpid: Dpid, label: MplsLabel) {
        if let Some(given) = self.numbers.get_mut(&dpid) {
            given.labels.give_back(label.number());
        }
    }

    /// Takes the rules of an allocation out of the tables and its numbers back, but for those that `next` goes on with.
    fn lay_down(&mut self, id: AllocationId, next: Option<&Path>) {
        let Some(old) = self.paths.get(&id).cloned() else { return };
        let ingress = old.shape.ingress();
        self.unwrite(&old);
        let kept = |dpid: Dpid, label: MplsLabel| {
            next.is_some_and(|next| {
                let mut given = next.shape.hops.iter().skip(1).zip(&next.labels);
                given.any(|((at, _), other)| (*at, *other) == (dpid, label))
            })
        };
        for ((dpid, _), label) in old.shape.hops.iter().skip(1).zip(&old.labels) {
            if !kept(*dpid, *label) {
                self.give_back(*dpid, *label);
            }
        }
        if next.is_none_or(|next| (next.shape.ingress(), next.meter) != (ingress, old.meter))
            && let Some(given) = self.numbers.get_mut(&ingress)
        {
            given.meters.give_back(old.meter.0);
        }
        let claim = (ingress, old.shape.head.clone());
        if let Some(claimants) = self.claims.get_mut(&claim) {
            claimants.remove(&id);
            if claimants.is_empty() {
                self.claims.remove(&claim);
            }
        }
        // The next allocation with a claim to the same packets gets them.
        if let Some(heir) = self.owner(&claim) {
            self.write(heir);
        }
    }

    /// Claims the packets, and writes the rules of the allocation that has them now: this one, or an older one; a younger
    /// one that had them loses its rules.
    fn claim_packets(&mut self, id: AllocationId) {
        let Some(path) = self.paths.get(&id) else { return };
        let claim = (path.shape.ingress(), path.shape.head.clone());
        let before = self.owner(&claim);
        self.claims.entry(claim.clone()).or_default().insert(id);
        let owner = self.owner(&claim);
        if before != owner
            && let Some(younger) = before.and_then(|before| self.paths.get(&before)).cloned()
        {
            self.unwrite(&younger);
        }
        if owner == Some(id) {
            self.write(id);
        }
    }

    fn owner(&self, claim: &(Dpid, RuleKey)) -> Option<AllocationId> {
        self.claims.get(claim)?.first().copied()
    }

    fn write(&mut self, id: AllocationId) {
        let Some(path) = self.paths.get(&id) else { return };
        for (dpid, rule) in path.shape.rules(path.cookie, &path.labels, path.meter) {
            self.tables.entry(dpid).or_default().put(rule);
        }
        self.tables.entry(path.shape.ingress()).or_default().put_meter(meter(path.meter, path.bandwidth));
    }

    fn unwrite(&mut self, path: &Path) {
        for (dpid, rule) in path.shape.rules(path.cookie, &path.labels, path.meter) {
            if let Some(table) = self.tables.get_mut(&dpid) {
                table.remove(&rule.place, rule.cookie);
            }
        }
        let head = self.tables.get_mut(&path.shape.ingress());
        // A path that lost its claim has written no meter; another's is never under its number.
        if let Some(table) = head {
            table.remove_meter(path.meter);
        }
    }
}
