//! What other programs have on the switches, and what they do to the rules of this service.

use super::*;

#[test]
fn damage_says_what_is_wrong_and_nothing_of_what_never_was() {
    let plan = planned(&[allocation(7, &[0, 1, 2], 5_000), allocation(9, &[0, 3], 5_000)]);
    let before = known(plan.tables())[&Dpid(1)].clone();
    let mut now = before.clone();
    let (_, place, head) = head_of(plan.tables(), 7).unwrap();
    now.put(Rule { place, cookie: head.cookie, actions: vec![] });
    now.apply_step(&RuleStep::DeleteMeter(MeterId(METER_MIN + 9)));
    let told: Vec<_> = Damage::between(&plan.tables()[&Dpid(1)], &before, &now)
        .into_iter()
        .map(|damage| (damage.allocation.0, damage.to_string()))
        .collect();
    let expected = [
        (7, "the rule that takes its packets in was not as it was written"),
        (9, "the rule that takes its packets in was gone"),
        (9, "meter 10010 was gone"),
    ];
    assert_eq!(told, expected.map(|(id, text)| (id, text.to_owned())));
    assert_eq!(Damage::between(&plan.tables()[&Dpid(1)], &Table::default(), &now), []);
}

fn foreign(cookie: u64, place: RuleKey, actions: Vec<Action>) -> Rule {
    Rule { place, cookie: Cookie(cookie), actions }
}

#[test]
fn what_is_foreign_is_left_alone_and_said() {
    let mut plan =
        planned(&[allocation(7, &[0, 1, 2], 5_000), allocation(9, &[0, 3], 5_000), allocation(11, &[3, 4], 5_000)]);
    let head = head_of(plan.tables(), 7).unwrap().1;
    let (label, meter) = (OURS.label(number(9, 0).unwrap()).unwrap(), OURS.meter(number(11, 0).unwrap()).unwrap());
    let labelled =
        RuleKey { table: 3, priority: 5, matches: Match::Mpls { label, bottom_of_stack: false, in_port: None } };
    let elsewhere = RuleKey { priority: 100, ..head.clone() };
    let tagged = Cookie::new(TAG, 0, AllocationId(7)).unwrap().0;
    let through = Action::Meter(meter);
    let word = |words: &str| Match::Foreign { words: words.into(), label: None };
    let arp = RuleKey { table: 0, priority: 5, matches: word("arp") };
    let there = [
        (1, vec![foreign(0xabc, head.clone(), vec![]), foreign(0xabd, elsewhere.clone(), vec![])], vec![]),
        (4, vec![foreign(0xabe, labelled.clone(), vec![]), foreign(tagged, elsewhere, vec![])], vec![]),
        (4, vec![foreign(0xabf, arp, vec![through])], vec![Meter { id: meter, rate_kbps: 9, burst_kbit: 25 }]),
    ];
    let parted = |at: usize| {
        let (dpid, rules, meters) = there[at].clone();
        (Dpid(dpid), Table::parted(rules, meters, [], &RuleSettings::default()))
    };
    for (at, id, why) in [
        (0, 7, "foreign rule with cookie 0xabc on switch 0000000000000001 stands in the place of its first rule"),
        (1, 9, "foreign rule with cookie 0xabe on switch 0000000000000004 has its label"),
        (2, 11, "foreign meter 10012 on switch 0000000000000004 has its number"),
    ] {
        let (dpid, (table, foreign)) = parted(at);
        assert!(table.is_empty(), "{table:?}");
        assert_eq!(foreign.count, u64::try_from(there[at].1.len()).unwrap());
        plan.set_foreign(dpid, foreign);
        assert_eq!(plan.arrange(), [AllocationId(id)]);
        assert_eq!(plan.why_not(AllocationId(id)).unwrap().to_string(), why);
        assert!(head_of(plan.tables(), id).is_none());
        plan.set_foreign(dpid, Foreign::default());
        assert_eq!(plan.arrange(), [AllocationId(id)]);
        assert_eq!(plan.why_not(AllocationId(id)), None);
        assert!(head_of(plan.tables(), id).is_some());
    }
}

#[test]
fn a_meter_is_ours_by_its_rules_or_by_its_form() {
    let plan = planned(&[allocation(7, &[0, 1], 5_000)]);
    let (_, place, head) = head_of(plan.tables(), 7).unwrap();
    let own = Rule { place, cookie: head.cookie, actions: head.actions };
    let meter = |id, rate_kbps, burst_kbit| Meter { id: MeterId(METER_MIN + id), rate_kbps, burst_kbit };
    let (bent, orphan, strange) = (meter(7, 0, 0), meter(8, 100, 100), meter(9, 100, 7));
    let (table, foreign) = Table::parted([own], [bent, orphan, strange], [], &RuleSettings::default());
    assert_eq!(table.meters().collect::<Vec<_>>(), [bent, orphan]);
    assert!(foreign.has_meter(strange.id) && !foreign.has_meter(orphan.id));
}
