//! The plan: the intended content of every switch, kept up to date as allocations come, change and go. It follows from the
//! living allocations, their numbers, and what other programs have on the switches; after a restart it is the same again.
//!
//! [`RulePlan::set`], [`RulePlan::remove`], [`RulePlan::set_groupless`], [`RulePlan::set_splitless`] and
//! [`RulePlan::set_foreign`] say what has changed; [`RulePlan::arrange`] then writes the tables.

mod arrange;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::datapath::Dpid;
use super::flow_number::FlowNumber;
use super::flow_table::{Foreign, RuleMeta, Tables};
use super::group::Group;
use super::head_order::{HeadLevel, HeadOrder};
use super::lsp_rules::{NoRules, Shape};
use super::meter::Meter;
use super::numbering::{PathNumbers, RuleSettings};
use super::return_way::{allocation_id, is_return, return_id, return_number, return_of};
use super::rule::{Cookie, Rule};
use super::split::Entry;
use crate::allocation::Allocation;
use crate::id::AllocationId;
use crate::topology::Topology;
use crate::units::Bandwidth;

/// The intended content of every switch, and why some allocations have no rules.
#[derive(Clone, Debug, Default)]
pub struct RulePlan {
    tables: Tables,
    /// By allocation, the way there, and by the id of its return, if it has one, that.
    paths: BTreeMap<AllocationId, Path>,
    without: BTreeMap<AllocationId, NoRules>,
    order: HeadOrder,
    foreign: BTreeMap<Dpid, Foreign>,
    settings: RuleSettings,
    /// Whether switches can have groups.
    has_groups: bool,
    /// Those that cannot.
    groupless: BTreeSet<Dpid>,
    /// Those that can have none for split flows.
    splitless: BTreeSet<Dpid>,
    /// The allocations whose rules may have to be others.
    stale: BTreeSet<AllocationId>,
}

/// An allocation's path with its numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Path {
    shape: Shape,
    numbers: PathNumbers,
    bandwidth: Bandwidth,
    /// How packets get onto it; none if its rules are not in the tables.
    entry: Option<Entry>,
    /// The nearest of the older ones, which gets the packets of both.
    older: Option<AllocationId>,
}

impl Path {
    fn level(&self) -> HeadLevel {
        (self.shape.ingress(), self.shape.worth)
    }

    /// Its rules, its groups and its meter, where packets enter in this way.
    fn content(&self, entry: &Entry, settings: &RuleSettings) -> PathContent {
        let metered = entry.metered(self.bandwidth);
        PathContent {
            rules: self.shape.rules(self.numbers, settings, entry),
            groups: self.shape.groups(self.numbers.group, entry),
            meter: metered.map(|bandwidth| Meter::new(self.numbers.meter, bandwidth, &settings.meters)),
        }
    }

    fn is_same_but_for_entry(&self, other: &Self) -> bool {
        *self == Self { entry: self.entry.clone(), older: self.older, ..other.clone() }
    }
}

/// What switches hold for a path.
struct PathContent {
    rules: Vec<(Dpid, Rule)>,
    groups: Vec<(Dpid, Group)>,
    /// At the ingress.
    meter: Option<Meter>,
}

impl PathContent {
    /// Whether the switches hold those of the rules, the standing by or the others, that are chosen.
    fn are_rules_held(self, seen: &Tables, is_chosen: impl Fn(bool) -> bool) -> bool {
        self.rules.into_iter().all(|(dpid, rule)| {
            let wanted = RuleMeta { cookie: rule.cookie, actions: rule.actions };
            let there = || seen.get(&dpid).and_then(|table| table.seat(&rule.place));
            !is_chosen(wanted.is_standby(&rule.place)) || there().is_some_and(|there| there.is_same(&wanted))
        })
    }
}

impl RulePlan {
    /// Every switch is to be empty. Without groups, a protected path has its rules and none for its backup path.
    pub fn new(has_groups: bool, settings: RuleSettings) -> Self {
        Self { has_groups, settings, ..Self::default() }
    }

    /// How rules and meters are made.
    pub fn settings(&self) -> &RuleSettings {
        &self.settings
    }

    /// What every switch should hold.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Why an allocation has no rules, if it has none for another reason than naming no flow.
    pub fn why_not(&self, id: AllocationId) -> Option<NoRules> {
        self.without.get(&id).or_else(|| self.without.get(&return_id(id))).cloned()
    }

    /// The switches on the working path of an allocation that has one.
    pub fn switches_of(&self, id: AllocationId) -> impl Iterator<Item = Dpid> + '_ {
        self.ways(id).flat_map(|path| path.shape.hops.iter().map(|(dpid, _)| *dpid))
    }

    /// Whether an allocation has rules for both directions.
    pub fn has_return(&self, id: AllocationId) -> bool {
        self.paths.contains_key(&return_id(id))
    }

    /// Whether an allocation's packets are divided among its path and others: they may leave by the rules of another.
    pub fn is_split(&self, id: AllocationId) -> bool {
        self.paths.get(&id).is_some_and(|path| match &path.entry {
            Some(Entry::Own { parts, .. }) => !parts.is_empty(),
            Some(Entry::By(_)) => true,
            None => false,
        })
    }

    /// The path of an allocation, and its return where it has one.
    fn ways(&self, id: AllocationId) -> impl Iterator<Item = &Path> {
        self.paths.get(&id).into_iter().chain(self.paths.get(&return_id(id)))
    }

    /// The allocations with a working or backup path by this switch.
    pub fn at(&self, switch: Dpid) -> impl Iterator<Item = AllocationId> + '_ {
        self.ways_at(switch).map(allocation_id).collect::<BTreeSet<_>>().into_iter()
    }

    fn ways_at(&self, switch: Dpid) -> impl Iterator<Item = AllocationId> + '_ {
        let here = move |path: &Path| path.shape.switches().any(|dpid| dpid == switch);
        self.paths.iter().filter(move |(_, path)| here(path)).map(|(id, _)| *id)
    }

    /// The older allocation that gets the packets which are of its flow and an allocation's, where both flows say equally much.
    pub fn older_overlap(&self, id: AllocationId) -> Option<AllocationId> {
        self.ways(id).find_map(|path| path.older).map(allocation_id)
    }

    /// Whether an allocation has rules.
    pub fn has(&self, id: AllocationId) -> bool {
        self.paths.contains_key(&id) && self.ways(id).all(|path| path.entry.is_some())
    }

    /// The allocations after `after` that have a path, by age; all, where it is none.
    pub fn paths_after(&self, after: Option<AllocationId>) -> impl Iterator<Item = AllocationId> + '_ {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.paths.range((from, Bound::Unbounded)).map(|(id, _)| *id).take_while(|id| !is_return(*id))
    }

    /// The allocations that have rules, or should.
    pub fn allocations(&self) -> impl Iterator<Item = AllocationId> + '_ {
        let pathless = self.without.keys().filter(|id| !self.paths.contains_key(id));
        self.paths.keys().chain(pathless).copied().filter(|id| !is_return(*id))
    }

    /// The allocations that wait for a number.
    pub fn unnumbered(&self) -> impl Iterator<Item = AllocationId> + '_ {
        let waits = |why: &NoRules| matches!(why, NoRules::NoNumber { .. });
        self.without.iter().filter(move |(_, why)| waits(why)).map(|(id, _)| *id).filter(|id| !is_return(*id))
    }

    /// The allocations that should have rules but cannot have them.
    pub fn without_rules(&self) -> impl Iterator<Item = AllocationId> + '_ {
        self.without.keys().map(|id| allocation_id(*id)).collect::<BTreeSet<_>>().into_iter()
    }

    /// Whether the switches hold all that an allocation's packets need on the working path: its rules of this epoch, its meter
    /// and its groups, and those of the older allocation by whose rules they enter.
    pub fn is_held(&self, id: AllocationId, seen: &Tables) -> bool {
        let is_held = |path: &Path| {
            let entered_by = if let Some(Entry::By(first)) = path.entry { self.paths.get(&first) } else { None };
            [path].into_iter().chain(entered_by).all(|path| self.is_path_held(path, seen))
        };
        self.paths.contains_key(&id) && self.ways(id).all(is_held) && !self.without.contains_key(&return_id(id))
    }

    fn is_path_held(&self, path: &Path, seen: &Tables) -> bool {
        let Some(entry) = &path.entry else { return false };
        let content = path.content(entry, &self.settings);
        let is_there =
            |meter: Meter| seen.get(&path.shape.ingress()).and_then(|table| table.meter(meter.id)) == Some(meter);
        let grouped =
            |(dpid, group): &(Dpid, Group)| seen.get(dpid).and_then(|table| table.group(group.id)) == Some(group);
        content.meter.is_none_or(is_there)
            && content.groups.iter().all(grouped)
            && content.are_rules_held(seen, |is_standby| !is_standby)
    }

    /// Whether an allocation's packets have a way when a port of the working path is dead, as far as they should: the rules of
    /// its backup path are held.
    pub fn is_standby_held(&self, id: AllocationId, seen: &Tables) -> bool {
        let is_held = |path: &Path| {
            let content = path.entry.as_ref().map(|entry| path.content(entry, &self.settings));
            content.is_some_and(|content| content.are_rules_held(seen, |is_standby| is_standby))
        };
        self.paths.contains_key(&id) && self.ways(id).all(is_held)
    }

    /// Adds or updates a living allocation, with the number of its flow.
    pub fn set(&mut self, allocation: &Allocation, number: Option<FlowNumber>, topology: &Topology) {
        self.set_way(allocation, number, topology);
        match return_of(allocation, topology) {
            Some(back) => self.set_way(&back, number.map(return_number), topology),
            None => self.remove_way(return_id(allocation.id)),
        }
    }

    fn set_way(&mut self, allocation: &Allocation, number: Option<FlowNumber>, topology: &Topology) {
        let id = allocation.id;
        let path = match self.path(allocation, number, topology) {
            Ok(path) => self.with_possible_groups(path),
            Err(NoRules::NoFlow) => return self.remove_way(id),
            Err(why) => {
                self.remove_way(id);
                self.without.insert(id, why);
                return;
            }
        };
        if self.paths.get(&id).is_some_and(|old| old.is_same_but_for_entry(&path)) {
            return;
        }
        self.remove_way(id);
        for flow in &path.shape.heads {
            self.stale.extend(self.order.add(path.level(), *flow, id));
        }
        self.paths.insert(id, path);
    }

    /// Removes an allocation that is over.
    pub fn remove(&mut self, id: AllocationId) {
        self.remove_way(id);
        self.remove_way(return_id(id));
    }

    fn remove_way(&mut self, id: AllocationId) {
        self.without.remove(&id);
        self.erase(id);
        self.stale.remove(&id);
        let Some(path) = self.paths.remove(&id) else { return };
        for flow in &path.shape.heads {
            let concerned = self.order.remove(path.level(), *flow, id);
            self.stale.extend(concerned.into_iter().filter(|other| *other != id));
        }
    }

    /// A switch can have no groups for split flows: those that enter there have their first path. Protected paths keep theirs.
    pub fn set_splitless(&mut self, switch: Dpid) {
        if self.splitless.insert(switch) {
            let here: Vec<_> = self.ways_at(switch).collect();
            self.stale.extend(here);
        }
    }

    /// A switch cannot have groups: protected paths by it have none, and flows that enter there their first path.
    pub fn set_groupless(&mut self, switch: Dpid) {
        if !self.groupless.insert(switch) {
            return;
        }
        for id in self.ways_at(switch).collect::<Vec<_>>() {
            self.erase(id);
            if let Some(path) = self.paths.get_mut(&id) {
                path.shape.failover = None;
            }
            self.stale.insert(id);
        }
    }

    fn with_possible_groups(&self, mut path: Path) -> Path {
        if !self.has_groups || path.shape.hops.iter().any(|(dpid, _)| self.groupless.contains(dpid)) {
            path.shape.failover = None;
        }
        path
    }

    /// What other programs have on a switch: it is left alone, and an allocation that would need the same place or number has
    /// no rules.
    pub fn set_foreign(&mut self, switch: Dpid, foreign: Foreign) {
        if self.foreign.get(&switch) == Some(&foreign) {
            return;
        }
        let here: Vec<_> = self.ways_at(switch).collect();
        self.stale.extend(here);
        self.foreign.insert(switch, foreign);
    }

    /// What other programs have on a switch, as it was said last.
    pub fn foreign(&self, switch: Dpid) -> Option<&Foreign> {
        self.foreign.get(&switch)
    }

    fn path(&self, allocation: &Allocation, number: Option<FlowNumber>, topology: &Topology) -> Result<Path, NoRules> {
        let shape = Shape::of(allocation, topology)?;
        let numbering = self.settings.numbering;
        let id = allocation_id(allocation.id);
        if id.0 > Cookie::ALLOCATION_MAX {
            return Err(NoRules::NumberTooLarge);
        }
        let numbers = number.and_then(|number| numbering.path(id, number));
        let numbers = numbers.ok_or(NoRules::NoNumber { max: numbering.flows_max() })?;
        Ok(Path { shape, numbers, bandwidth: allocation.demand.bandwidth, entry: None, older: None })
    }
}
