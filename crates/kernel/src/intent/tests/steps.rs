//! Whatever the switches hold, the steps lead to what they should hold, and no traffic goes astray between any two.

use proptest::prelude::*;

use super::*;

/// A small world: the living allocations, each with its path (by nodes) and bandwidth.
fn world() -> impl Strategy<Value = Vec<Allocation>> {
    let path = Just((0..NODES).collect::<Vec<_>>())
        .prop_shuffle()
        .prop_flat_map(|nodes| (2..=nodes.len()).prop_map(move |length| nodes[..length].to_vec()));
    let one = (path, 1_u64..4, proptest::collection::vec(0..NODES, 0..3), any::<bool>());
    proptest::collection::btree_map(1_u64..20, one, 0..12).prop_map(|living| {
        let allocation = |(id, (nodes, kbps, by, is_bidirectional)): (u64, WorldPath)| {
            // Of two flows, each with up to three paths.
            if let Some(flow) = id.checked_sub(14) {
                let between: Vec<_> = nodes.iter().copied().filter(|node| ![0, NODES - 1].contains(node)).collect();
                let nodes = [&[0], &between[..], &[NODES - 1]].concat();
                return part(id, 100 + flow % 2, &nodes, kbps * 1_000);
            }
            let mut one = perhaps_protected(id, &nodes, kbps * 1_000, &by);
            one.demand.attributes.is_bidirectional = is_bidirectional;
            one
        };
        living.into_iter().map(allocation).collect()
    })
}

/// Nodes, kbit/s, nodes of a backup path, and whether it is bidirectional.
type WorldPath = (Vec<u32>, u64, Vec<u32>, bool);

/// With a backup path by these nodes, where it has no link of the working path.
fn perhaps_protected(id: u64, nodes: &[u32], bps: u64, by: &[u32]) -> Allocation {
    let (first, last) = (nodes[0], *nodes.last().unwrap());
    let mut backup = vec![first];
    for node in by.iter().copied().chain([last]) {
        if !backup.contains(&node) && (node != last || backup.len() == by.len() + 1) {
            backup.push(node);
        }
    }
    let pair = |pair: &[u32]| (pair[0].min(pair[1]), pair[0].max(pair[1]));
    let links: BTreeSet<_> = nodes.windows(2).map(pair).collect();
    let is_whole = backup.len() > 1 && *backup.last().unwrap() == last;
    if is_whole && backup.windows(2).map(pair).all(|link| !links.contains(&link)) {
        protected(id, nodes, &backup, bps)
    } else {
        allocation(id, nodes, bps)
    }
}

/// What may have happened to a table behind our back.
fn harmed(tables: &Tables, harm: &[(u8, u8)]) -> Tables {
    let mut tables = known(tables);
    for (at, what) in harm {
        let dpid = Dpid(u64::from(*at % 5) + 1);
        let table = tables.get_mut(&dpid).unwrap();
        let rules: Vec<_> = table.rules().map(|(place, seat)| (place.clone(), seat.clone())).collect();
        let Some((place, seat)) = rules.get(usize::from(*what) % rules.len().max(1)) else { continue };
        match what % 5 {
            0 => table.remove(place, seat.cookie),
            1 => *table = Table::default(),
            2 => {
                let actions = vec![Action::Opaque("drop".into())];
                table.put(Rule { place: place.clone(), cookie: seat.cookie, actions });
            }
            3 => {
                let cookie = seat.cookie.in_term(9);
                table.put(Rule { place: place.clone(), cookie, actions: seat.actions.clone() });
            }
            4 if *what > 128 => {
                let first = table.groups().next().map(|group| group.id);
                first.into_iter().for_each(|id| table.apply_step(&RuleStep::DeleteGroup(id)));
            }
            _ => table.put_meter(Meter { id: MeterId(METER_MIN + u32::from(*what)), rate_kbps: 0, burst_kbit: 9 }),
        }
    }
    tables
}

/// Those that live on with the same packets at the same ingress.
fn who_stay<'a>(old: &'a [Allocation], new: &[Allocation]) -> Vec<&'a Allocation> {
    let is_same = |one: &Allocation, two: &Allocation| {
        let (now, then) = (&one.demand, &two.demand);
        one.id == two.id && now.ingress == then.ingress && now.attributes.flow == then.attributes.flow
    };
    old.iter().filter(|one| new.iter().any(|two| is_same(one, two))).collect()
}

fn group_of(rule: &Rule) -> Option<GroupId> {
    RuleMeta { cookie: rule.cookie, actions: rule.actions.clone() }.group()
}

fn check_steps(start: &Tables, plan: &RulePlan) -> Result<(), TestCaseError> {
    let mut tables = start.clone();
    for task in diff(plan.tables(), start) {
        match &task.step {
            RuleStep::PutRule(rule) => prop_assert!(rule.cookie.tag() == TAG),
            RuleStep::DeleteRule { cookie, .. } => prop_assert!(cookie.tag() == TAG),
            RuleStep::AddMeter(meter) => {
                prop_assert!(OURS.has_meter(meter.id) && tables[&task.switch].meter(meter.id).is_none())
            }
            RuleStep::ModifyMeter(meter) => prop_assert!(tables[&task.switch].meter(meter.id).is_some()),
            RuleStep::DeleteMeter(id) => prop_assert!(OURS.has_meter(*id)),
            RuleStep::AddGroup(group) => {
                prop_assert!(OURS.has_group(group.id) && tables[&task.switch].group(group.id).is_none())
            }
            RuleStep::ModifyGroup(group) => prop_assert!(tables[&task.switch].group(group.id).is_some()),
            RuleStep::DeleteGroup(id) => prop_assert!(OURS.has_group(*id)),
        }
        let before = tables.clone();
        tables.get_mut(&task.switch).unwrap().apply_step(&task.step);
        for (dpid, place, seat) in heads(&tables).into_iter().filter(|(_, _, seat)| !seat.actions.is_empty()) {
            let was_lost = before[&dpid].seat(&place) == Some(&seat) && !arrives(&before, dpid, &seat);
            prop_assert!(was_lost || arrives(&tables, dpid, &seat), "{task:?} strands {place:?}");
        }
    }
    let in_no_term = |tables: &Tables| {
        let rules = |table: &Table| {
            table
                .rules()
                .map(|(place, seat)| (place.clone(), seat.cookie.in_term(0), seat.actions.clone()))
                .collect::<Vec<_>>()
        };
        tables
            .values()
            .map(|table| {
                (rules(table), table.meters().collect::<Vec<_>>(), table.groups().cloned().collect::<Vec<_>>())
            })
            .collect::<Vec<_>>()
    };
    prop_assert_eq!(in_no_term(&tables), in_no_term(&known(plan.tables())));
    Ok(())
}

/// The tables of a world, and its plan once it has become another one.
fn from_to(old: &[Allocation], new: &[Allocation]) -> (Tables, RulePlan) {
    let mut plan = planned(old);
    let tables = known(plan.tables());
    old.iter().filter(|one| new.iter().all(|other| other.id != one.id)).for_each(|gone| plan.remove(gone.id));
    let epoch = |one: &Allocation| u8::from(old.iter().any(|other| other.id == one.id && other.path != one.path));
    new.iter().for_each(|one| plan.set(one, number(one.id.0, epoch(one)), &mesh()));
    plan.arrange();
    (tables, plan)
}

proptest! {
    #![proptest_config(crate::property_cases(400))]

    #[test]
    fn whatever_was_there_becomes_what_should_be(old in world(), new in world(), harm in proptest::collection::vec(any::<(u8, u8)>(), 0..6)) {
        let start = harmed(planned(&old).tables(), &harm);
        let mut plan = RulePlan::new(true, RuleSettings::default());
        let epoch = |one: &Allocation| u8::from(old.iter().any(|other| other.id == one.id && other.path != one.path));
        new.iter().for_each(|one| plan.set(one, number(one.id.0, epoch(one)), &mesh()));
        plan.arrange();
        check_steps(&start, &plan)?;
        prop_assert!(new.iter().all(|one| plan.is_held(one.id, &known(plan.tables())) && plan.is_standby_held(one.id, &known(plan.tables()))));
    }

    #[test]
    fn who_lives_on_arrives_all_the_time(old in world(), new in world()) {
        let (start, plan) = from_to(&old, &new);
        check_steps(&start, &plan)?;
        let mut tables = start.clone();
        let stay = who_stay(&old, &new);
        for task in diff(plan.tables(), &start) {
            tables.get_mut(&task.switch).unwrap().apply_step(&task.step);
            for one in &stay {
                let (dpid, seat) = head_for(&tables, one).unwrap();
                prop_assert!(arrives(&tables, dpid, &seat), "{task:?} cuts {:?}", one.id);
            }
        }
    }

    #[test]
    fn whichever_steps_fail_packets_that_enter_arrive(
        old in world(),
        new in world(),
        fails in proptest::collection::vec(any::<bool>(), 1..40),
    ) {
        let (mut tables, plan) = from_to(&old, &new);
        let (before, after) = (splits::entering(&tables), splits::entering(plan.tables()));
        let most = |path: &u32| before.get(path).max(after.get(path)).copied().unwrap_or(0);
        let mut agenda = Agenda::new(plan.tables(), &tables, &Tables::new());
        let mut fails = fails.iter().cycle();
        while let Some(stage) = agenda.next_stage() {
            for task in stage.into_values().flatten() {
                // A switch refuses a rule whose group is not there.
                let group = if let RuleStep::PutRule(rule) = &task.step { group_of(rule) } else { None };
                let is_refused = group.is_some_and(|group| tables[&task.switch].group(group).is_none());
                if *fails.next().unwrap() || is_refused {
                    agenda.failed(&task);
                    continue;
                }
                tables.get_mut(&task.switch).unwrap().apply_step(&task.step);
                for (dpid, place, seat) in heads(&tables) {
                    prop_assert!(arrives(&tables, dpid, &seat), "{task:?} strands {place:?}");
                }
                for (path, bps) in splits::entering(&tables) {
                    prop_assert!(bps <= most(&path), "{task:?} lets {bps} bit/s into {path} of {}", most(&path));
                }
            }
        }
    }

    #[test]
    fn whichever_switch_is_out_of_contact_who_lives_on_arrives(old in world(), new in world(), away in 1..=u64::from(NODES)) {
        let (mut tables, plan) = from_to(&old, &new);
        let stay = who_stay(&old, &new);
        let lost: Tables = tables.remove_entry(&Dpid(away)).into_iter().collect();
        let mut agenda = Agenda::new(plan.tables(), &tables, &lost);
        tables.extend(lost);
        while let Some(stage) = agenda.next_stage() {
            for task in stage.into_values().flatten() {
                tables.get_mut(&task.switch).unwrap().apply_step(&task.step);
                for one in &stay {
                    let (dpid, seat) = head_for(&tables, one).unwrap();
                    prop_assert!(arrives(&tables, dpid, &seat), "{task:?} cuts {:?}", one.id);
                }
            }
        }
    }

    #[test]
    fn protected_packets_arrive_whichever_link_is_dead(living in world()) {
        let tables = known(planned(&living).tables());
        let topology = mesh();
        for one in living.iter().filter(|one| one.backup().is_some()) {
            let (at, _, head) = head_of(&tables, one.id.0).unwrap();
            for link in one.links().iter().map(|ix| topology.link(*ix).unwrap()) {
                let [from, to] = [link.from, link.to].map(|node| Dpid(u64::from(node.0) + 1));
                prop_assert!(arrives_without(&tables, at, &head, Some((from, to))), "{} without {from}-{to}", one.id);
            }
        }
    }

    #[test]
    fn a_plan_does_not_depend_on_the_order_in_which_it_was_made(living in world(), others in world()) {
        let mut plan = planned(&others);
        others.iter().for_each(|one| plan.remove(one.id));
        living.iter().rev().for_each(|one| set(&mut plan, one, 0));
        prop_assert_eq!(known(plan.tables()), known(planned(&living).tables()));
    }

    #[test]
    fn nothing_is_left_when_all_are_gone(old in world()) {
        let mut plan = planned(&old);
        let start = known(plan.tables());
        old.iter().for_each(|one| plan.remove(one.id));
        plan.arrange();
        prop_assert!(plan.tables().values().all(Table::is_empty));
        check_steps(&start, &plan)?;
    }
}
