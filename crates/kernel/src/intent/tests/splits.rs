//! Flows that the scheduler divides among several paths: one rule at the ingress, and a group with a bucket for each path.

use std::collections::BTreeMap;

use super::*;

const FLOW: u64 = 3;

fn buckets(plan: &RulePlan) -> Vec<(u16, u32)> {
    let groups = plan.tables().values().flat_map(Table::groups);
    groups.flat_map(Group::buckets).map(|bucket| (bucket.weight, bucket.port().unwrap().0)).collect()
}

/// How much may enter each path, in bit/s, by the number of its allocation: the part by weight of what a meter lets through.
pub(super) fn entering(tables: &Tables) -> BTreeMap<u32, u64> {
    let mut most = BTreeMap::new();
    for (dpid, _, seat) in heads(tables) {
        let Some(meter) = seat.meter().and_then(|meter| tables[&dpid].meter(meter)) else { continue };
        let buckets = seat.group().and_then(|id| tables[&dpid].group(id)).map_or(&[][..], Group::buckets);
        let alone = Bucket { weight: 1, actions: seat.actions };
        let buckets = if buckets.is_empty() { &[alone][..] } else { buckets };
        let weights: u64 = buckets.iter().map(|bucket| u64::from(bucket.weight)).sum();
        for bucket in buckets {
            let path = (bucket.label().unwrap().number() - OURS.label_min()) / 4;
            let bps = u64::from(meter.rate_kbps) * 1_000 * u64::from(bucket.weight) / weights;
            most.entry(path).and_modify(|most: &mut u64| *most = bps.max(*most)).or_insert(bps);
        }
    }
    most
}

#[test]
fn packets_are_split_by_what_is_reserved() {
    let [one, other] = [part(3, FLOW, &[0, 1, 2], 2_000_000), part(4, FLOW, &[0, 3, 2], 1_000_000)];
    let plan = planned(&[one, other]);
    assert_eq!(buckets(&plan), [(43, 2), (21, 4)]);
    let (dpid, _, head) = head_of(plan.tables(), 3).unwrap();
    let group = plan.tables()[&dpid].groups().next().unwrap().id;
    assert_eq!(head.actions, [Action::Meter(MeterId(METER_MIN + 3)), Action::SetDscp(0), Action::Group(group)]);
    let meters: Vec<_> = plan.tables().values().flat_map(Table::meters).collect();
    assert_eq!(meters, [Meter { id: MeterId(METER_MIN + 3), rate_kbps: 3_000, burst_kbit: 3_000 }], "of the sum");
    let tables = known(plan.tables());
    assert!(head_of(&tables, 4).is_none() && arrives(&tables, dpid, &head));
    for dead in [(1, 2), (1, 4)] {
        assert!(arrives_without(&tables, dpid, &head, Some((Dpid(dead.0), Dpid(dead.1)))), "by the other port");
    }
    for id in [3, 4] {
        assert_eq!(plan.why_not(AllocationId(id)), None);
        let id = AllocationId(id);
        assert!(plan.has(id) && plan.is_held(id, &tables) && plan.is_split(id));
    }
    let mut without_group = tables.clone();
    without_group.get_mut(&dpid).unwrap().apply_step(&RuleStep::DeleteGroup(group));
    assert!(!plan.is_held(AllocationId(4), &without_group));
}

#[test]
fn a_second_path_is_there_before_packets_are_split() {
    let mut plan = planned(&[part(3, FLOW, &[0, 1, 2], 2_000_000)]);
    let stages = |plan: &RulePlan, before: &Tables| -> Vec<_> {
        diff(plan.tables(), before).into_iter().map(|task| (task.stage, task.switch.0)).collect()
    };
    let alone = known(plan.tables());
    set(&mut plan, &part(4, FLOW, &[0, 3, 2], 1_000_000), 0);
    use DiffStage::{Clear, Discard, Move, Prepare, Raise};
    let there = [(Prepare, 1), (Prepare, 3), (Prepare, 4), (Move, 1), (Raise, 1)];
    assert_eq!(stages(&plan, &alone), there, "its group, the second path, its first rule, its meter");
    let both = known(plan.tables());
    // Another path of the second.
    set(&mut plan, &part(4, FLOW, &[0, 4, 2], 1_000_000), 1);
    let moved = [(Prepare, 3), (Prepare, 5), (Move, 1), (Clear, 3), (Clear, 4)];
    assert_eq!(stages(&plan, &both), moved);
    set(&mut plan, &part(4, FLOW, &[0, 3, 2], 1_000_000), 0);
    plan.remove(AllocationId(4));
    assert_eq!(plan.arrange(), [AllocationId(3)]);
    assert!(!plan.is_split(AllocationId(3)));
    let back = [(Prepare, 1), (Move, 1), (Clear, 3), (Clear, 4), (Discard, 1)];
    assert_eq!(stages(&plan, &both), back);
    assert_eq!(known(plan.tables()), alone);
}

#[test]
fn the_next_path_takes_over_when_the_first_is_released() {
    let ids = [3, 4, 5];
    let parts = ids.map(|id| part(id, FLOW, &[0, u32::try_from(id).unwrap() - 2, 4], 1_000_000));
    let mut plan = planned(&parts);
    assert_eq!(buckets(&plan).len(), 3);
    plan.remove(AllocationId(3));
    assert_eq!(plan.arrange(), [AllocationId(4), AllocationId(5)]);
    assert_eq!(known(plan.tables()), known(planned(&parts[1..]).tables()));
    assert!(head_of(plan.tables(), 4).is_some());
}

#[test]
fn a_resize_changes_a_group_only_where_a_weight_changes() {
    let mut plan = planned(&[part(3, FLOW, &[0, 1, 2], 2_000_000), part(4, FLOW, &[0, 3, 2], 1_000_000)]);
    let before = known(plan.tables());
    let steps = |plan: &RulePlan| diff(plan.tables(), &before).into_iter().map(|task| task.step).collect::<Vec<_>>();
    set(&mut plan, &part(4, FLOW, &[0, 3, 2], 1_010_000), 0);
    assert!(matches!(steps(&plan)[..], [RuleStep::ModifyMeter(Meter { rate_kbps: 3_010, .. })]), "{:?}", steps(&plan));
    set(&mut plan, &part(4, FLOW, &[0, 3, 2], 2_000_000), 0);
    assert!(matches!(steps(&plan)[..], [RuleStep::ModifyGroup(_), RuleStep::ModifyMeter(_)]), "{:?}", steps(&plan));
    assert_eq!(buckets(&plan), [(32, 2), (32, 4)]);
}

#[test]
fn more_enters_paths_that_are_divided_as_before_though_a_switch_of_one_is_lost() {
    let mut plan = planned(&[part(3, FLOW, &[0, 1, 2], 2_000_000), part(4, FLOW, &[0, 3, 2], 2_000_000)]);
    let mut reported = known(plan.tables());
    let lost = reported.remove(&Dpid(4)).map(|table| Tables::from([(Dpid(4), table)])).unwrap();
    for (id, links) in [(3, [0, 1, 2]), (4, [0, 3, 2])] {
        set(&mut plan, &part(id, FLOW, &links, 50_000_000), 0);
    }
    let mut agenda = Agenda::new(plan.tables(), &reported, &lost);
    let steps: Vec<_> = agenda.next_stage().into_iter().flat_map(BTreeMap::into_values).flatten().collect();
    let [Task { step: RuleStep::ModifyMeter(meter), .. }] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!(meter.rate_kbps, 100_000);
}

#[test]
fn the_sum_enters_when_every_path_takes_its_part() {
    let mut plan = planned(&[part(3, FLOW, &[0, 1, 2], 2_000_000)]);
    let mut tables = known(plan.tables());
    set(&mut plan, &part(4, FLOW, &[0, 3, 2], 1_000_000), 0);
    let take = |agenda: &mut Agenda, tables: &mut Tables, fails: fn(&Task) -> bool| {
        while let Some(stage) = agenda.next_stage() {
            for task in stage.into_values().flatten() {
                match fails(&task) {
                    true => agenda.failed(&task),
                    false => tables.get_mut(&task.switch).unwrap().apply_step(&task.step),
                }
            }
        }
    };
    // A switch of the second path is away, and then refuses its rule.
    let lost = tables.remove(&Dpid(4)).unwrap();
    take(&mut Agenda::new(plan.tables(), &tables, &Tables::new()), &mut tables, |_| false);
    assert_eq!(entering(&tables), BTreeMap::from([(3, 2_000_000)]));
    tables.insert(Dpid(4), lost);
    take(&mut Agenda::new(plan.tables(), &tables, &Tables::new()), &mut tables, |task| task.switch == Dpid(4));
    assert_eq!(entering(&tables), BTreeMap::from([(3, 2_000_000)]));
    take(&mut Agenda::new(plan.tables(), &tables, &Tables::new()), &mut tables, |_| false);
    assert_eq!(entering(&tables), BTreeMap::from([(3, 2_015_625), (4, 984_375)]));
    // What takes all of it again has it to itself first.
    set(&mut plan, &part(3, FLOW, &[0, 1, 2], 5_000_000), 0);
    plan.remove(AllocationId(4));
    plan.arrange();
    take(&mut Agenda::new(plan.tables(), &tables, &Tables::new()), &mut tables, |task| task.stage == DiffStage::Move);
    assert_eq!(entering(&tables), BTreeMap::from([(3, 2_015_625), (4, 984_375)]));
    take(&mut Agenda::new(plan.tables(), &tables, &Tables::new()), &mut tables, |_| false);
    assert_eq!(entering(&tables), BTreeMap::from([(3, 5_000_000)]));
}

#[test]
fn flows_of_others_are_not_split() {
    let same_flow = |id| allocation(id, &[0, 3, 2], 1).demand;
    // Of a user, of another aggregator, and to another node.
    let mut of_user = part(4, FLOW, &[0, 3, 2], 1);
    of_user.demand.attributes.owner = same_flow(4).attributes.owner;
    let mut of_another = part(4, FLOW, &[0, 3, 2], 1);
    of_another.demand.attributes.aggregator = Some(name("another"));
    for other in [of_user, of_another, part(4, FLOW, &[0, 3], 1)] {
        let plan = planned(&[part(3, FLOW, &[0, 1, 2], 1), other]);
        assert_eq!(plan.why_not(AllocationId(4)), Some(NoRules::FlowTaken(AllocationId(3))));
        assert_eq!(buckets(&plan), []);
    }
}

#[test]
fn without_groups_the_first_path_has_the_flow() {
    let parts = [part(3, FLOW, &[0, 1, 2], 1), part(4, FLOW, &[0, 3, 2], 1)];
    let mut plan = planned(&parts);
    plan.set_groupless(Dpid(1));
    assert_eq!(plan.arrange(), [AllocationId(3), AllocationId(4)]);
    assert_eq!(plan.why_not(AllocationId(4)), Some(NoRules::FlowTaken(AllocationId(3))));
    assert_eq!(known(plan.tables()), known(planned(&parts[..1]).tables()));
    // A group of another program with its number is the same.
    let mut plan = planned(&parts);
    let theirs = Group::of_another_form(OURS.group(OURS.label(number(3, 0).unwrap()).unwrap()));
    plan.set_foreign(Dpid(1), Table::parted([], [], [theirs], &RuleSettings::default()).1);
    plan.arrange();
    assert_eq!(known(plan.tables()), known(planned(&parts[..1]).tables()));
}

#[test]
fn where_flows_are_not_split_protected_paths_keep_their_groups() {
    let parts = [part(3, FLOW, &[0, 1, 2], 1), part(4, FLOW, &[0, 3, 2], 1)];
    let safe = protected(7, &[0, 1], &[0, 2, 1], 1);
    let mut plan = planned(&[&parts[..], std::slice::from_ref(&safe)].concat());
    plan.set_splitless(Dpid(1));
    assert_eq!(plan.arrange(), [AllocationId(3), AllocationId(4)]);
    assert_eq!(known(plan.tables()), known(planned(&[parts[0].clone(), safe]).tables()));
}

#[test]
fn a_path_with_a_foreign_label_is_left_out() {
    let parts = [part(3, FLOW, &[0, 1, 2], 1), part(4, FLOW, &[0, 3, 2], 1)];
    let mut plan = planned(&parts);
    let label = OURS.label(number(4, 0).unwrap()).unwrap();
    let place = lsp_rules::label_place(label, &RuleSettings::default(), None);
    let theirs = Rule { place, cookie: Cookie(9), actions: vec![] };
    plan.set_foreign(Dpid(4), Table::parted([theirs], [], [], &RuleSettings::default()).1);
    assert_eq!(plan.arrange(), [AllocationId(3), AllocationId(4)]);
    assert!(matches!(plan.why_not(AllocationId(4)), Some(NoRules::ForeignRule { .. })));
    assert_eq!(known(plan.tables()), known(planned(&parts[..1]).tables()));
}

#[test]
fn a_path_stays_while_its_ingress_is_out_of_contact() {
    let mut plan = planned(&[part(3, FLOW, &[0, 1, 2], 2), part(4, FLOW, &[0, 3, 2], 1)]);
    let held = known(plan.tables());
    let (ingress, table) = head_of(&held, 3).map(|(dpid, _, _)| (dpid, held[&dpid].clone())).unwrap();
    let mut tables = held.clone();
    tables.remove(&ingress);
    let lost = Tables::from([(ingress, table)]);
    // Whichever of the two is released: what the ingress sends there arrives.
    for released in [4, 3] {
        plan.remove(AllocationId(released));
        plan.arrange();
        assert_eq!(Agenda::new(plan.tables(), &tables, &lost).next_stage(), None);
        let mut agenda = Agenda::new(plan.tables(), &held, &Tables::new());
        assert!(agenda.next_stage().is_some(), "when it is back");
        set(&mut plan, &part(released, FLOW, &[0, if released == 3 { 1 } else { 3 }, 2], 2), 0);
    }
}

#[test]
fn what_fails_for_one_path_holds_back_the_others() {
    let plan = planned(&[part(3, FLOW, &[0, 1, 2], 2), part(4, FLOW, &[0, 3, 2], 1), allocation(7, &[0, 1], 1)]);
    let mut agenda = Agenda::new(plan.tables(), &known(&Tables::new()), &Tables::new());
    let first = agenda.next_stage().unwrap();
    let of_second = first[&Dpid(4)].iter().find(|task| task.serves == Some(AllocationId(4))).unwrap();
    agenda.failed(of_second);
    let entering: Vec<_> =
        agenda.next_stage().unwrap().into_values().flatten().filter_map(|task| task.serves).collect();
    assert_eq!(entering, [AllocationId(7)]);
}
