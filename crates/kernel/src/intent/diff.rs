//! The steps from the reported content of switches to the intended one, and their order. New paths are built from their
//! meters, groups and their tail forwards, and only then does traffic enter them; old paths lose their traffic first and
//! their meters and groups last. Between any two steps, the traffic of every path that has rules arrives. Of a flow over several
//! paths no more enters one of them than is or was reserved there: its meter is lowered before, and raised after, it is divided
//! otherwise.

use std::collections::{BTreeMap, BTreeSet};

use super::datapath::Dpid;
use super::flow_table::{Role, RuleMeta, Table, Tables};
use super::group::Group;
use super::rule::{Cookie, Match, Rule, RuleKey, RuleStep};
use super::switch_ids::{GroupId, MeterId, MplsLabel};
use crate::id::AllocationId;

/// When a step may be taken: each stage begins when the one before it is over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DiffStage {
    /// Traffic is stopped that would run into a rule which is to become another's.
    Retreat,
    /// Meters, groups, tails and transits are made; nothing enters them yet.
    Prepare,
    /// Traffic of allocations that are over is stopped.
    Leave,
    /// Traffic of rerouted allocations moves to the new path; groups lead to another backup path.
    Move,
    /// Traffic of new allocations enters.
    Enter,
    /// Traffic of allocations with another ingress rule now is stopped at the old one.
    Withdraw,
    /// Meters of split flows let more through: their paths are all there, and the packets are divided among them.
    Raise,
    /// Rules without traffic are deleted.
    Clear,
    /// Meters and groups without rules are deleted.
    Discard,
}

/// A step with its switch and its place in the order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Its stage.
    pub stage: DiffStage,
    /// The switch.
    pub switch: Dpid,
    /// The change.
    pub step: RuleStep,
    /// The allocation that it serves, if one is known.
    pub serves: Option<AllocationId>,
}

impl Task {
    /// Meters and groups, then tails, transits and heads; when deleting the other way round.
    fn rank(&self) -> (DiffStage, u8) {
        let within = match &self.step {
            RuleStep::AddMeter(_) | RuleStep::ModifyMeter(_) | RuleStep::DeleteMeter(_) => 0,
            RuleStep::AddGroup(_) | RuleStep::ModifyGroup(_) | RuleStep::DeleteGroup(_) => 0,
            RuleStep::PutRule(rule) => match seat_of(rule).role(&rule.place) {
                Role::Tail => 1,
                Role::Transit => 2,
                Role::Head => 3,
            },
            RuleStep::DeleteRule { .. } => 0,
        };
        (self.stage, within)
    }
}

/// The steps from `reported` to `intended`, in order. Switches of which nothing is reported are left alone.
pub fn diff(intended: &Tables, reported: &Tables) -> Vec<Task> {
    let nothing = Table::default();
    let living: BTreeSet<AllocationId> =
        intended.values().flat_map(Table::rules).map(|(_, seat)| seat.cookie.allocation()).collect();
    let mut tasks = vec![];
    let mut robbed = RobbedPaths::default();
    for (dpid, seen) in reported {
        let wanted = intended.get(dpid).unwrap_or(&nothing);
        meters(*dpid, wanted, seen, &mut tasks);
        groups(*dpid, wanted, seen, &mut tasks);
        puts(*dpid, wanted, seen, &mut tasks, &mut robbed);
        deletions(*dpid, wanted, seen, &living, &mut tasks);
    }
    for (dpid, seen) in reported.iter().filter(|_| !robbed.labels.is_empty()) {
        let wanted = intended.get(dpid).unwrap_or(&nothing);
        retreats(*dpid, wanted, seen, &robbed, &mut tasks);
    }
    tasks.sort_by_key(Task::rank);
    tasks
}

/// Paths of which a rule becomes another's, and the labels of those rules.
#[derive(Default)]
struct RobbedPaths {
    cookies: BTreeSet<Cookie>,
    labels: BTreeSet<MplsLabel>,
}

fn meters(switch: Dpid, wanted: &Table, seen: &Table, tasks: &mut Vec<Task>) {
    let (wanted_by, used_by) = (meter_users(wanted), meter_users(seen));
    let serves = |users: &BTreeMap<MeterId, MeterUser<'_>>, id| users.get(&id).map(|user| user.allocation);
    for meter in wanted.meters() {
        let (stage, step) = match seen.meter(meter.id) {
            Some(same) if same == meter => continue,
            Some(same) => {
                let users = wanted_by.get(&meter.id).zip(used_by.get(&meter.id));
                let is_divided_anew = users.is_some_and(|(will_be, is)| will_be.split != is.split);
                // What is more may enter only as it is divided then; what is less, only so much as it is divided yet. A
                // meter of another kind has a rate of 0, and may let anything through.
                let is_raised = (1..meter.rate_kbps).contains(&same.rate_kbps);
                let stage = if is_raised && is_divided_anew { DiffStage::Raise } else { DiffStage::Prepare };
                (stage, RuleStep::ModifyMeter(meter))
            }
            None => (DiffStage::Prepare, RuleStep::AddMeter(meter)),
        };
        tasks.push(Task { stage, switch, step, serves: serves(&wanted_by, meter.id) });
    }
    // A rule that still uses a meter when that is deleted is deleted with it.
    let extra = seen.meters().filter(|meter| wanted.meter(meter.id).is_none());
    tasks.extend(extra.map(|meter| {
        let step = RuleStep::DeleteMeter(meter.id);
        Task { stage: DiffStage::Discard, switch, step, serves: serves(&used_by, meter.id) }
    }));
}

/// Who uses a meter.
struct MeterUser<'a> {
    allocation: AllocationId,
    /// The group that divides among several paths what the meter lets through.
    split: Option<&'a Group>,
}

fn meter_users(table: &Table) -> BTreeMap<MeterId, MeterUser<'_>> {
    let split =
        |seat: &RuleMeta| seat.group().and_then(|id| table.group(id)).filter(|group| !group.buckets().is_empty());
    let user =
        |seat: &RuleMeta| Some((seat.meter()?, MeterUser { allocation: seat.cookie.allocation(), split: split(seat) }));
    table.rules().filter_map(|(_, seat)| user(seat)).collect()
}

fn groups(switch: Dpid, wanted: &Table, seen: &Table, tasks: &mut Vec<Task>) {
    if wanted.groups().len() + seen.groups().len() == 0 {
        return;
    }
    let users = |table: &Table| -> BTreeMap<GroupId, AllocationId> {
        table.rules().filter_map(|(_, seat)| Some((seat.group()?, seat.cookie.allocation()))).collect()
    };
    let wanted_by = users(wanted);
    for group in wanted.groups() {
        let (stage, step) = match seen.group(group.id) {
            Some(same) if same == group => continue,
            // The rules of another path are there when the group leads to it.
            Some(_) => (DiffStage::Move, RuleStep::ModifyGroup(group.clone())),
            None => (DiffStage::Prepare, RuleStep::AddGroup(group.clone())),
        };
        tasks.push(Task { stage, switch, step, serves: wanted_by.get(&group.id).copied() });
    }
    let used_by = users(seen);
    tasks.extend(seen.groups().filter(|group| wanted.group(group.id).is_none()).map(|group| {
        let serves = used_by.get(&group.id).copied();
        Task { stage: DiffStage::Discard, switch, step: RuleStep::DeleteGroup(group.id), serves }
    }));
}

fn puts(switch: Dpid, wanted: &Table, seen: &Table, tasks: &mut Vec<Task>, robbed: &mut RobbedPaths) {
    // A meter or group that is not there has taken the rules that used it along, whatever was reported before.
    let is_whole = |seat: &RuleMeta| {
        seat.meter().is_none_or(|meter| seen.meter(meter).is_some())
            && seat.group().is_none_or(|group| seen.group(group).is_some())
    };
    for (place, seat) in wanted.rules() {
        let there = seen.seat(place);
        if there.is_some_and(|there| there.is_same(seat) && is_whole(seat)) {
            continue;
        }
        let stage = match (seat.role(place), there) {
            (Role::Head, Some(there)) if there.cookie.allocation() == seat.cookie.allocation() => DiffStage::Move,
            (Role::Head, _) => DiffStage::Enter,
            (Role::Tail | Role::Transit, _) => DiffStage::Prepare,
        };
        if let Match::Mpls { label, .. } = place.matches {
            let others = seen.labelled(place, label).filter(|(_, there)| !there.cookie.is_same_path(seat.cookie));
            for (_, there) in others {
                robbed.cookies.insert(there.cookie.in_term(0));
                robbed.labels.insert(label);
            }
        }
        tasks.push(put(stage, switch, place, seat));
    }
}

fn deletions(switch: Dpid, wanted: &Table, seen: &Table, living: &BTreeSet<AllocationId>, tasks: &mut Vec<Task>) {
    for (place, seat) in seen.rules().filter(|(place, _)| wanted.seat(place).is_none()) {
        let allocation = seat.cookie.allocation();
        let stage = match seat.role(place) {
            // A living allocation with another ingress rule now keeps the old path until the new one stands.
            Role::Head if living.contains(&allocation) => DiffStage::Withdraw,
            Role::Head => DiffStage::Leave,
            Role::Tail | Role::Transit => DiffStage::Clear,
        };
        tasks.push(delete(stage, switch, place, seat.cookie));
    }
}

/// Stops the traffic of allocations whose rule becomes another's: it would take the wrong path.
fn retreats(switch: Dpid, wanted: &Table, seen: &Table, robbed: &RobbedPaths, tasks: &mut Vec<Task>) {
    let leads_there = |seat: &RuleMeta| {
        let group = seat.group().and_then(|id| seen.group(id));
        robbed.cookies.contains(&seat.cookie.in_term(0))
            || group.is_some_and(|group| group.labels().any(|label| robbed.labels.contains(&label)))
    };
    let heads = seen.rules().filter(|(place, seat)| seat.role(place) == Role::Head && leads_there(seat));
    for (place, seat) in heads {
        let same = |task: &Task| matches!(&task.step, RuleStep::DeleteRule { place: other, .. } if other == place);
        tasks.retain(|task| task.switch != switch || !same(task));
        tasks.push(delete(DiffStage::Retreat, switch, place, seat.cookie));
        // A rule that was there and right has to be written again.
        let again = |task: &Task| matches!(&task.step, RuleStep::PutRule(rule) if rule.place == *place);
        if let Some(task) = tasks.iter_mut().find(|task| task.switch == switch && again(task)) {
            task.stage = DiffStage::Enter;
        } else if let Some(seat) = wanted.seat(place) {
            tasks.push(put(DiffStage::Enter, switch, place, seat));
        }
    }
}

fn put(stage: DiffStage, switch: Dpid, place: &RuleKey, seat: &RuleMeta) -> Task {
    let rule = Rule { place: place.clone(), cookie: seat.cookie, actions: seat.actions.clone() };
    // Where packets have no way but the working path, they may enter it all the same.
    let serves = (!seat.is_standby(place)).then(|| seat.cookie.allocation());
    Task { stage, switch, step: RuleStep::PutRule(rule), serves }
}

fn delete(stage: DiffStage, switch: Dpid, place: &RuleKey, cookie: Cookie) -> Task {
    let step = RuleStep::DeleteRule { place: place.clone(), cookie };
    Task { stage, switch, step, serves: Some(cookie.allocation()) }
}

fn seat_of(rule: &Rule) -> RuleMeta {
    RuleMeta { cookie: rule.cookie, actions: rule.actions.clone() }
}
