//! Tests of intent: what rules look like, and that whatever the switches hold, the steps lead to what they should hold
//! without ever sending traffic where there is no rule for it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::allocation::{Allocation, Demand, Flow, Ipv4Prefix, Ipv6Prefix, LspAttributes};
use crate::class::{ClassType, Priority};
use crate::id::{AllocationId, LinkIx, Name, NodeIx};
use crate::topology::{Link, LinkState, Node, Switch, Topology};
use crate::units::{Bandwidth, Micros, Millis};

const NODES: u32 = 5;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Five switches, each linked to each. The port towards node `n` is `n + 1`; hosts are at port 100 and upwards.
fn mesh() -> Topology {
    let node = |at: u32| Node {
        name: name(&format!("s{at}")),
        label: None,
        position: None,
        switch: Some(Switch { dpid: u64::from(at) + 1, host_ports: vec![100] }),
    };
    let mut links = vec![];
    for from in 0..NODES {
        for to in (0..NODES).filter(|to| *to != from) {
            links.push(Link {
                name: name(&format!("{from}-{to}")),
                from: NodeIx(from),
                to: NodeIx(to),
                capacity: Bandwidth::saturating_from_bps(1_000_000),
                max_reservable: Bandwidth::saturating_from_bps(1_000_000),
                te_metric: 1,
                delay: Micros(1),
                srlg: vec![],
                admin_group: 0,
                state: LinkState::Up,
                from_port: Some(to + 1),
                to_port: Some(from + 1),
                twin: None,
                capacity_from: Default::default(),
            });
        }
    }
    Topology::new((0..NODES).map(node).collect(), links).unwrap()
}

fn allocation(id: u64, nodes: &[u32], bps: u64) -> Allocation {
    let topology = mesh();
    let link = |pair: &[u32]| topology.link_named(&format!("{}-{}", pair[0], pair[1])).unwrap();
    let path: Arc<[LinkIx]> = nodes.windows(2).map(link).collect();
    let address = [10, 0, u8::try_from(id % 200).unwrap(), 1].into();
    Allocation {
        id: AllocationId(id),
        demand: Demand {
            topology: name("mesh"),
            ingress: NodeIx(nodes[0]),
            egress: NodeIx(*nodes.last().unwrap()),
            class_type: ClassType::new(u8::try_from(id % 3).unwrap()).unwrap(),
            setup_priority: Priority::WORST,
            hold_priority: Priority::WORST,
            bandwidth: Bandwidth::saturating_from_bps(bps),
            constraints: None,
            attributes: LspAttributes {
                flow: Some(Box::new(Flow { ipv4_dst: Some(Ipv4Prefix { address, length: 32 }), ..Flow::default() })),
                ..LspAttributes::default()
            },
        },
        path,
        created_at: Millis(0),
        updated_at: Millis(0),
    }
}

/// The number of an allocation's first path.
fn number(id: u64, epoch: u8) -> Option<FlowNumber> {
    FlowNumber::new(u32::try_from(id).unwrap(), epoch)
}

fn set(plan: &mut RulePlan, allocation: &Allocation, epoch: u8) {
    plan.set(allocation, number(allocation.id.0, epoch), &mesh());
    plan.arrange();
}

fn planned(allocations: &[Allocation]) -> RulePlan {
    let mut plan = RulePlan::new();
    let topology = mesh();
    allocations.iter().for_each(|allocation| plan.set(allocation, number(allocation.id.0, 0), &topology));
    plan.arrange();
    plan
}

fn known(tables: &Tables) -> Tables {
    (1..=u64::from(NODES)).map(|dpid| (Dpid(dpid), tables.get(&Dpid(dpid)).cloned().unwrap_or_default())).collect()
}

fn head_of(tables: &Tables, id: u64) -> Option<(Dpid, RuleKey, RuleMeta)> {
    let all = tables.iter().flat_map(|(dpid, table)| table.rules().map(|(place, seat)| (*dpid, place, seat)));
    let mut heads =
        all.filter(|(_, place, seat)| seat.role(place) == Role::Head && seat.cookie.allocation() == AllocationId(id));
    heads.next().map(|(dpid, place, seat)| (dpid, place.clone(), seat.clone()))
}

/// Whether packets that enter by this rule leave at a host.
fn arrives(tables: &Tables, mut at: Dpid, seat: &RuleMeta) -> bool {
    let mut seat = seat.clone();
    for _ in 0..=NODES {
        let metered = seat.meter().is_none_or(|meter| tables[&at].meter(meter).is_some());
        let (mut label, mut port) = (None, None);
        for action in &seat.actions {
            match action {
                Action::SetLabel(new) => label = Some(*new),
                Action::Output(out) => port = Some(*out),
                _ => {}
            }
        }
        let Some(port) = port.filter(|_| metered) else { return false };
        if port.0 >= 100 {
            return seat.actions.contains(&Action::PopMpls(IpFamily::V4));
        }
        at = Dpid(u64::from(port.0));
        let place = label.map(lsp_rules::label_place);
        let Some(next) = place.and_then(|place| tables[&at].seat(&place).cloned()) else { return false };
        seat = next;
    }
    false
}

fn heads(tables: &Tables) -> Vec<(Dpid, RuleKey, RuleMeta)> {
    let all = tables.iter().flat_map(|(dpid, table)| table.rules().map(|(place, seat)| (*dpid, place, seat)));
    let heads = all.filter(|(_, place, seat)| seat.role(place) == Role::Head);
    heads.map(|(dpid, place, seat)| (dpid, place.clone(), seat.clone())).collect()
}

#[test]
fn a_path_is_pushed_swapped_and_popped() {
    let plan = planned(&[allocation(7, &[0, 1, 2], 5_000_000)]);
    let (dpid, place, head) = head_of(plan.tables(), 7).unwrap();
    assert_eq!(dpid, Dpid(1));
    assert_eq!(place.priority, HEAD_PRIORITIES.start + 32 * lsp_rules::RANKS + lsp_rules::RANKS - 1);
    let Match::Ip(entering) = place.matches else { panic!("{place:?}") };
    assert_eq!(entering.in_port, Some(PortNo(100)), "what other switches send by is not taken");
    let (label, meter) = (MplsLabel::new(LABEL_MIN + 4 * 7).unwrap(), MeterId(METER_MIN + 7));
    let expected = [
        Action::Meter(meter),
        Action::SetDscp(8),
        Action::PushMpls,
        Action::SetLabel(label),
        Action::SetTrafficClass(1),
        Action::Output(PortNo(2)),
    ];
    assert_eq!(head.actions, expected);
    assert_eq!((head.cookie.epoch(), head.cookie.allocation()), (0, AllocationId(7)));
    let meters: Vec<_> = plan.tables()[&Dpid(1)].meters().collect();
    assert_eq!(meters, [Meter { id: meter, rate_kbps: 5_000, burst_kbit: 5_000 }]);
    let transit: Vec<_> = plan.tables()[&Dpid(2)].rules().collect();
    assert_eq!(transit[0].0.matches, Match::Mpls { label, bottom_of_stack: true });
    assert_eq!(transit[0].1.actions, [Action::SetLabel(label), Action::SetTrafficClass(1), Action::Output(PortNo(3))]);
    let tail: Vec<_> = plan.tables()[&Dpid(3)].rules().collect();
    assert_eq!(tail[0].1.actions, [Action::PopMpls(IpFamily::V4), Action::Output(PortNo(100))]);
}

#[test]
fn a_path_of_one_link_has_no_transit() {
    let plan = planned(&[allocation(7, &[0, 1], 1)]);
    assert_eq!(plan.tables().values().map(|table| table.rules().len()).sum::<usize>(), 2);
    assert!(arrives(&known(plan.tables()), Dpid(1), &head_of(plan.tables(), 7).unwrap().2));
}

#[test]
fn a_reroute_gets_other_labels_and_keeps_its_meter() {
    let mut plan = planned(&[allocation(7, &[0, 1, 2, 3], 1_000)]);
    let before = known(plan.tables());
    set(&mut plan, &allocation(7, &[0, 2, 1, 3], 1_000), 1);
    let stages: Vec<_> = diff(plan.tables(), &before).into_iter().map(|task| (task.stage, task.switch.0)).collect();
    use DiffStage::{Clear, Move, Prepare};
    assert_eq!(stages[..4], [(Prepare, 4), (Prepare, 2), (Prepare, 3), (Move, 1)]);
    assert_eq!(stages[4..], [(Clear, 2), (Clear, 3), (Clear, 4)]);
}

#[test]
fn a_resize_changes_the_meter_and_nothing_else() {
    let mut plan = planned(&[allocation(7, &[0, 1], 5_000)]);
    let before = known(plan.tables());
    set(&mut plan, &allocation(7, &[0, 1], 2_000), 0);
    let steps: Vec<_> = diff(plan.tables(), &before).into_iter().map(|task| task.step).collect();
    assert_eq!(steps, [RuleStep::ModifyMeter(Meter { id: MeterId(METER_MIN + 7), rate_kbps: 2, burst_kbit: 25 })]);
}

#[test]
fn who_cannot_have_rules_is_told_why() {
    let mut plan = RulePlan::new();
    let mut nowhere = allocation(1, &[0, 1], 1);
    nowhere.demand.attributes.flow.as_mut().unwrap().out_port = Some(7);
    set(&mut plan, &nowhere, 0);
    assert_eq!(plan.why_not(AllocationId(1)), Some(NoRules::NotAHostPort { node: name("s1"), port: 7 }));
    let mut port_only = allocation(2, &[0, 1], 1);
    port_only.demand.attributes.flow.as_mut().unwrap().l4_dst = Some(80);
    set(&mut plan, &port_only, 0);
    assert_eq!(plan.why_not(AllocationId(2)), Some(NoRules::PortWithoutProtocol));
    let mut without_flow = allocation(3, &[0, 1], 1);
    without_flow.demand.attributes.flow = None;
    set(&mut plan, &without_flow, 0);
    assert_eq!(plan.why_not(AllocationId(3)), None);
    let bare = Topology::new(
        (0..2).map(|at| Node { name: name(&format!("n{at}")), label: None, position: None, switch: None }).collect(),
        vec![Link { name: name("l"), to: NodeIx(1), ..mesh().link(LinkIx(0)).unwrap().clone() }],
    );
    let path: Arc<[LinkIx]> = Arc::new([LinkIx(0)]);
    plan.set(&Allocation { path, ..allocation(4, &[0, 1], 1) }, number(4, 0), &bare.unwrap());
    plan.set(&allocation(5, &[0, 1], 1), None, &mesh());
    plan.arrange();
    assert_eq!(plan.why_not(AllocationId(5)), Some(NoRules::NoNumber));
    assert_eq!(plan.why_not(AllocationId(4)), Some(NoRules::NoSwitch { node: name("n0") }));
    assert!(plan.tables().values().all(Table::is_empty));
}

#[test]
fn the_oldest_of_two_with_one_flow_has_it_and_the_other_inherits() {
    let mut twin = allocation(8, &[0, 2], 1);
    twin.demand.attributes.flow = allocation(7, &[0, 1], 1).demand.attributes.flow;
    let mut plan = planned(&[twin, allocation(7, &[0, 1], 1)]);
    assert_eq!(plan.why_not(AllocationId(8)), Some(NoRules::FlowTaken(AllocationId(7))));
    assert!(head_of(plan.tables(), 8).is_none() && head_of(plan.tables(), 7).is_some());
    plan.remove(AllocationId(7));
    assert_eq!(plan.arrange(), [AllocationId(8)]);
    assert_eq!(plan.why_not(AllocationId(8)), None);
    assert!(arrives(&known(plan.tables()), Dpid(1), &head_of(plan.tables(), 8).unwrap().2));
    plan.remove(AllocationId(8));
    plan.arrange();
    assert!(plan.tables().values().all(Table::is_empty));
}

#[test]
fn of_two_flows_that_overlap_the_older_has_the_packets_of_both() {
    let from = Flow { ipv4_src: Some(Ipv4Prefix { address: [10, 0, 9, 0].into(), length: 32 }), ..Flow::default() };
    let mut younger = allocation(7, &[0, 1], 1);
    younger.demand.attributes.flow = Some(Box::new(from));
    let mut plan = planned(&[younger, allocation(5, &[0, 2], 1)]);
    let priority = |plan: &RulePlan, id| head_of(plan.tables(), id).unwrap().1.priority;
    assert_eq!(priority(&plan, 5), priority(&plan, 7) + 1);
    plan.remove(AllocationId(5));
    assert_eq!(plan.arrange(), [AllocationId(7)], "it moves up");
    assert_eq!(priority(&plan, 7), HEAD_PRIORITIES.start + 33 * lsp_rules::RANKS - 1);
}

#[test]
fn packets_of_ipv6_are_popped_to_ipv6() {
    let mut one = allocation(7, &[0, 1], 1);
    let net = |last: u16, length| Some(Ipv6Prefix { address: [0xfd00, 0, 0, 0, 0, 0, 9, last].into(), length });
    let flow = Flow { ipv6_src: net(7, 112), ipv6_dst: net(3, 128), vlan: Some(5), dscp: Some(46), ..Flow::default() };
    one.demand.attributes.flow = Some(Box::new(flow));
    let plan = planned(&[one]);
    let (_, place, _) = head_of(plan.tables(), 7).unwrap();
    let Match::Ip(entering) = place.matches else { panic!("{place:?}") };
    assert_eq!((entering.family, entering.vlan, entering.dscp), (IpFamily::V6, Some(5), Some(46)));
    assert_eq!(entering.src.unwrap().address, IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 9, 0]), "without host bits");
    assert_eq!(place.priority, HEAD_PRIORITIES.start + (112 + 128 + 12 + 6) * lsp_rules::RANKS + lsp_rules::RANKS - 1);
    let tail: Vec<_> = plan.tables()[&Dpid(2)].rules().collect();
    assert_eq!(tail[0].1.actions, [Action::PopMpls(IpFamily::V6), Action::Output(PortNo(100))]);
    // The most that a flow can say.
    let most = 128 + 128 + 4 + 12 + 6 + 8 + 16;
    assert!(HEAD_PRIORITIES.contains(&(HEAD_PRIORITIES.start + most * lsp_rules::RANKS + lsp_rules::RANKS - 1)));
}

#[test]
fn packets_enter_at_every_host_port() {
    let mut topology = mesh();
    let nodes: Vec<Node> = topology.nodes().map(|(_, node)| node.clone()).collect();
    let links: Vec<Link> = topology.links().map(|(_, link)| link.clone()).collect();
    let ported = |(at, node): (usize, Node)| match at {
        0 => Node { switch: Some(Switch { dpid: 1, host_ports: vec![100, 101] }), ..node },
        _ => node,
    };
    topology = Topology::new(nodes.into_iter().enumerate().map(ported).collect(), links).unwrap();
    let mut plan = RulePlan::new();
    let one = allocation(7, &[0, 1], 1);
    plan.set(&one, number(7, 0), &topology);
    plan.arrange();
    assert_eq!(heads(plan.tables()).len(), 2);
    assert!(plan.is_held(one.id, &known(plan.tables())));
    let mut partly = known(plan.tables());
    let (dpid, place, seat) = head_of(plan.tables(), 7).unwrap();
    partly.get_mut(&dpid).unwrap().remove(&place, seat.cookie);
    assert!(!plan.is_held(one.id, &partly), "one of its two rules is not enough");
}

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
    let (label, meter) = (number(9, 0).unwrap().label(), number(11, 0).unwrap().meter());
    let labelled = RuleKey { table: 3, priority: 5, matches: Match::Mpls { label, bottom_of_stack: false } };
    let elsewhere = RuleKey { priority: 100, ..head.clone() };
    let tagged = Cookie::new(0, AllocationId(7)).unwrap().0;
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
        (Dpid(dpid), Table::parted(rules, meters))
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
    let (table, foreign) = Table::parted([own], [bent, orphan, strange]);
    assert_eq!(table.meters().collect::<Vec<_>>(), [bent, orphan]);
    assert!(foreign.has_meter(strange.id) && !foreign.has_meter(orphan.id));
}

#[test]
fn who_fails_is_held_back_and_the_others_go_on() {
    let plan = planned(&[allocation(1, &[0, 1, 2], 1), allocation(2, &[0, 3], 1)]);
    let mut agenda = Agenda::new(plan.tables(), &known(&Tables::new()));
    let first = agenda.next_stage().unwrap();
    agenda.failed(&first[&Dpid(2)][0]);
    let second = agenda.next_stage().unwrap();
    assert_eq!(second.values().flatten().map(|task| task.serves).collect::<Vec<_>>(), [Some(AllocationId(2))]);
    assert_eq!(agenda.next_stage(), None);
    // A switch of which nothing is known holds back the allocations on it.
    let mut partly = known(&Tables::new());
    partly.remove(&Dpid(3));
    let mut agenda = Agenda::new(plan.tables(), &partly);
    let mut served = BTreeSet::new();
    while let Some(stage) = agenda.next_stage() {
        served.extend(
            stage.values().flatten().filter(|task| task.stage == DiffStage::Enter).filter_map(|task| task.serves),
        );
    }
    assert_eq!(served, BTreeSet::from([AllocationId(2)]));
}

/// A small world: the living allocations, each with its path (by nodes) and bandwidth.
fn world() -> impl Strategy<Value = Vec<Allocation>> {
    let path = Just((0..NODES).collect::<Vec<_>>())
        .prop_shuffle()
        .prop_flat_map(|nodes| (2..=nodes.len()).prop_map(move |length| nodes[..length].to_vec()));
    proptest::collection::btree_map(1_u64..20, (path, 1_u64..4), 0..12)
        .prop_map(|living| living.into_iter().map(|(id, (nodes, kbps))| allocation(id, &nodes, kbps * 1_000)).collect())
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
            _ => table.put_meter(Meter { id: MeterId(METER_MIN + u32::from(*what)), rate_kbps: 0, burst_kbit: 9 }),
        }
    }
    tables
}

fn check_steps(start: &Tables, plan: &RulePlan) -> Result<(), TestCaseError> {
    let mut tables = start.clone();
    for task in diff(plan.tables(), start) {
        match &task.step {
            RuleStep::PutRule(rule) => prop_assert!(rule.cookie.is_ours()),
            RuleStep::DeleteRule { cookie, .. } => prop_assert!(cookie.is_ours()),
            RuleStep::AddMeter(meter) => {
                prop_assert!(meter.id.is_ours() && tables[&task.switch].meter(meter.id).is_none())
            }
            RuleStep::ModifyMeter(meter) => prop_assert!(tables[&task.switch].meter(meter.id).is_some()),
            RuleStep::DeleteMeter(id) => prop_assert!(id.is_ours()),
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
        tables.values().map(|table| (rules(table), table.meters().collect::<Vec<_>>())).collect::<Vec<_>>()
    };
    prop_assert_eq!(in_no_term(&tables), in_no_term(&known(plan.tables())));
    Ok(())
}

proptest! {
    #![proptest_config(crate::property_cases(400))]

    #[test]
    fn whatever_was_there_becomes_what_should_be(old in world(), new in world(), harm in proptest::collection::vec(any::<(u8, u8)>(), 0..6)) {
        let start = harmed(planned(&old).tables(), &harm);
        let mut plan = RulePlan::new();
        let epoch = |one: &Allocation| u8::from(old.iter().any(|other| other.id == one.id && other.path != one.path));
        new.iter().for_each(|one| plan.set(one, number(one.id.0, epoch(one)), &mesh()));
        plan.arrange();
        check_steps(&start, &plan)?;
        prop_assert!(new.iter().all(|one| plan.is_held(one.id, &known(plan.tables()))));
    }

    #[test]
    fn who_lives_on_arrives_all_the_time(old in world(), new in world()) {
        let mut plan = planned(&old);
        let start = known(plan.tables());
        let ends: Vec<_> = old.iter().filter(|one| new.iter().all(|other| other.id != one.id)).collect();
        ends.iter().for_each(|gone| plan.remove(gone.id));
        let epoch = |one: &Allocation| u8::from(old.iter().any(|other| other.id == one.id && other.path != one.path));
        new.iter().for_each(|one| plan.set(one, number(one.id.0, epoch(one)), &mesh()));
        plan.arrange();
        check_steps(&start, &plan)?;
        let mut tables = start.clone();
        let stay: Vec<_> = old.iter().filter(|one| new.iter().any(|two| two.id == one.id && two.demand.ingress == one.demand.ingress)).collect();
        for task in diff(plan.tables(), &start) {
            tables.get_mut(&task.switch).unwrap().apply_step(&task.step);
            for one in &stay {
                let (dpid, _, seat) = head_of(&tables, one.id.0).unwrap();
                prop_assert!(arrives(&tables, dpid, &seat), "{task:?} cuts {:?}", one.id);
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
