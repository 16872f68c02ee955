//! Protected paths: packets arrive whichever link is dead, without a word from a controller.

use super::*;

fn links(nodes: &[u32]) -> Vec<(Dpid, Dpid)> {
    let dpid = |node: u32| Dpid(u64::from(node) + 1);
    nodes.windows(2).map(|pair| (dpid(pair[0]), dpid(pair[1]))).collect()
}

#[test]
fn packets_arrive_whichever_link_is_dead() {
    for (working, backup) in [
        (&[0, 1][..], &[0, 2, 1][..]),
        (&[0, 1, 2], &[0, 3, 2]),
        (&[0, 1, 2, 3], &[0, 4, 3]),
        (&[0, 1, 2, 3, 4], &[0, 4]),
        // A node of both.
        (&[0, 1, 2, 3], &[0, 2, 4, 1, 3]),
    ] {
        let plan = planned(&[protected(7, working, backup, 1_000)]);
        let tables = known(plan.tables());
        let (dpid, _, head) = head_of(&tables, 7).unwrap();
        for dead in links(working).into_iter().chain(links(backup)).map(Some).chain([None]) {
            assert!(arrives_without(&tables, dpid, &head, dead), "{working:?} with {backup:?} without {dead:?}");
        }
        assert!(plan.is_held(AllocationId(7), &tables) && plan.is_standby_held(AllocationId(7), &tables));
    }
}

#[test]
fn without_its_backup_path_a_path_has_no_group() {
    let mut plan = planned(&[protected(7, &[0, 1, 2], &[0, 3, 2], 1_000)]);
    let groups = |plan: &RulePlan| plan.tables().values().map(|table| table.groups().len()).sum::<usize>();
    assert_eq!(groups(&plan), 2, "at the ingress and at the transit");
    let before = known(plan.tables());
    set(&mut plan, &allocation(7, &[0, 1, 2], 1_000), 0);
    assert_eq!(groups(&plan), 0);
    assert!(!plan.is_held(AllocationId(7), &before));
    let last: Vec<_> = diff(plan.tables(), &before).into_iter().rev().take(2).map(|task| task.stage).collect();
    assert_eq!(last, [DiffStage::Discard; 2], "groups go when no rule uses them");
}

#[test]
fn a_group_leads_to_another_backup_path_when_that_is_there() {
    let mut plan = planned(&[protected(7, &[0, 1, 2], &[0, 3, 2], 1_000)]);
    let before = known(plan.tables());
    set(&mut plan, &protected(7, &[0, 1, 2], &[0, 4, 2], 1_000), 0);
    use DiffStage::{Clear, Move, Prepare};
    let stages: Vec<_> = diff(plan.tables(), &before).into_iter().map(|task| (task.stage, task.switch.0)).collect();
    assert_eq!(stages, [(Prepare, 1), (Prepare, 5), (Move, 1), (Clear, 4)], "the rule for returned packets first");
}

#[test]
fn where_switches_have_no_groups_a_path_goes_without() {
    let one = protected(7, &[0, 1, 2], &[0, 3, 2], 1_000);
    let plain = planned(&[allocation(7, &[0, 1, 2], 1_000)]);
    let mut without = RulePlan::new(false, RuleSettings::default());
    without.set(&one, number(7, 0), &mesh());
    without.arrange();
    assert_eq!(known(without.tables()), known(plain.tables()));
    let mut plan = planned(std::slice::from_ref(&one));
    plan.set_groupless(Dpid(4));
    assert_eq!(plan.arrange(), [AllocationId(7)]);
    plan.set_groupless(Dpid(2));
    assert_eq!(plan.arrange(), [AllocationId(7)]);
    set(&mut plan, &one, 0);
    assert_eq!(known(plan.tables()), known(plain.tables()));
}

#[test]
fn a_backup_path_that_cannot_be_written_holds_nobody_back() {
    let plan = planned(&[protected(7, &[0, 1, 2], &[0, 3, 2], 1_000)]);
    let mut reported = known(&Tables::new());
    reported.remove(&Dpid(4));
    let mut agenda = Agenda::new(plan.tables(), &reported, &Tables::new());
    let mut stages = vec![];
    while let Some(stage) = agenda.next_stage() {
        stages.extend(stage.values().flatten().map(|task| task.stage));
    }
    assert!(stages.contains(&DiffStage::Enter), "{stages:?}");
    let mut partly = known(plan.tables());
    partly.remove(&Dpid(4));
    assert!(plan.is_held(AllocationId(7), &partly) && !plan.is_standby_held(AllocationId(7), &partly));
}

#[test]
fn groups_of_other_programs_are_left_alone() {
    let mut plan = planned(&[protected(7, &[0, 1, 2], &[0, 3, 2], 1_000)]);
    let label = OURS.label(number(7, 0).unwrap()).unwrap();
    let theirs = Group::of_another_form(OURS.group(label));
    let (table, foreign) = Table::parted([], [], [theirs.clone()], &RuleSettings::default());
    assert!(table.is_empty() && foreign.has_group(theirs.id));
    plan.set_foreign(Dpid(2), foreign);
    plan.arrange();
    let why = plan.why_not(AllocationId(7)).unwrap().to_string();
    assert_eq!(why, format!("foreign group {} on switch 0000000000000002 has its number", theirs.id.0));
}

#[test]
fn packets_of_both_directions_arrive_whichever_link_is_dead() {
    let mut one = protected(7, &[0, 1, 2], &[0, 3, 2], 1_000);
    one.demand.attributes.is_bidirectional = true;
    let plan = planned(std::slice::from_ref(&one));
    let tables = known(plan.tables());
    let heads: Vec<_> = heads_of(&tables, 7).collect();
    assert_eq!(heads.iter().map(|(dpid, ..)| dpid.0).collect::<Vec<_>>(), [1, 3], "one at each end");
    for dead in links(&[0, 1, 2]).into_iter().chain(links(&[2, 1, 0])).map(Some).chain([None]) {
        assert!(heads.iter().all(|(dpid, _, head)| arrives_without(&tables, *dpid, head, dead)), "without {dead:?}");
    }
    assert!(plan.is_held(one.id, &tables) && plan.is_standby_held(one.id, &tables));
    assert_eq!(plan.allocations().collect::<Vec<_>>(), [one.id]);
    assert_eq!(plan.at(Dpid(2)).collect::<Vec<_>>(), [one.id]);
    let mut without_return = tables.clone();
    without_return.insert(Dpid(3), Table::default());
    assert!(!plan.is_held(one.id, &without_return));
    let mut plan = plan;
    plan.remove(one.id);
    assert!(plan.tables().values().all(|table| table.rules().count() == 0));
}
