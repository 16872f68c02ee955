//! Tests of intent: what rules look like, and that whatever the switches hold, the steps lead to what they should hold
//! without ever sending traffic where there is no rule for it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::allocation::{Allocation, Demand, Flow, Ipv4Prefix, Ipv6Prefix, LspAttributes, Owner, Recovery};
use crate::class::{ClassType, Priority};
use crate::id::{AllocationId, LinkIx, Name, NodeIx};
use crate::topology::{Link, LinkState, Node, Switch, Topology};
use crate::units::{Bandwidth, Micros, Millis};

mod failover;
mod others;
mod splits;
mod steps;

const NODES: u32 = 5;
const OURS: Numbering = Numbering::DEFAULT;
const TAG: u8 = OURS.cookie_tag();
const METER_MIN: u32 = OURS.meter_min();
const PRIORITY_MIN: u16 = OURS.priority_min();

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
                twin: Some(LinkIx(to * (NODES - 1) + from - u32::from(from > to))),
                capacity_from: Default::default(),
                is_avoided: false,
            });
        }
    }
    Topology::new((0..NODES).map(node).collect(), links).unwrap()
}

fn by_nodes(nodes: &[u32]) -> Arc<[LinkIx]> {
    let topology = mesh();
    let link = |pair: &[u32]| topology.link_named(&format!("{}-{}", pair[0], pair[1])).unwrap();
    nodes.windows(2).map(link).collect()
}

/// With a backup path.
fn protected(id: u64, nodes: &[u32], backup: &[u32], bps: u64) -> Allocation {
    Allocation { recovery: Recovery::of(Some(by_nodes(backup)), None), ..allocation(id, nodes, bps) }
}

fn allocation(id: u64, nodes: &[u32], bps: u64) -> Allocation {
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
        path: by_nodes(nodes),
        recovery: None,
        created_at: Millis(0),
        updated_at: Millis(0),
    }
}

/// A path of a flow that the scheduler divides: those with the same `flow` and ends are split among each other.
fn part(id: u64, flow: u64, nodes: &[u32], bps: u64) -> Allocation {
    let mut one = allocation(id, nodes, bps);
    one.demand.class_type = allocation(flow, nodes, bps).demand.class_type;
    one.demand.attributes = LspAttributes {
        aggregator: Some(name(&format!("ag{flow}"))),
        owner: Owner::Scheduler,
        ..allocation(flow, nodes, bps).demand.attributes
    };
    one
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
    let mut plan = RulePlan::new(true, RuleSettings::default());
    let topology = mesh();
    allocations.iter().for_each(|allocation| plan.set(allocation, number(allocation.id.0, 0), &topology));
    plan.arrange();
    plan
}

fn known(tables: &Tables) -> Tables {
    (1..=u64::from(NODES)).map(|dpid| (Dpid(dpid), tables.get(&Dpid(dpid)).cloned().unwrap_or_default())).collect()
}

fn head_of(tables: &Tables, id: u64) -> Option<(Dpid, RuleKey, RuleMeta)> {
    heads_of(tables, id).next()
}

fn heads_of(tables: &Tables, id: u64) -> impl Iterator<Item = (Dpid, RuleKey, RuleMeta)> {
    let all = tables.iter().flat_map(|(dpid, table)| table.rules().map(|(place, seat)| (*dpid, place, seat)));
    let heads = all
        .filter(move |(_, place, seat)| seat.role(place) == Role::Head && seat.cookie.allocation() == AllocationId(id));
    heads.map(|(dpid, place, seat)| (dpid, place.clone(), seat.clone()))
}

/// The rule by which the packets of an allocation enter, whichever allocation of its flow has it.
fn head_for(tables: &Tables, one: &Allocation) -> Option<(Dpid, RuleMeta)> {
    let flow = one.demand.attributes.flow.as_deref()?.ipv4_dst?;
    let is_of_flow = |place: &RuleKey| match &place.matches {
        Match::Ip(ip) => ip.dst.is_some_and(|dst| dst.address == IpAddr::from(flow.address)),
        _ => false,
    };
    let (dpid, _, seat) = heads(tables).into_iter().find(|(_, place, _)| is_of_flow(place))?;
    Some((dpid, seat))
}

/// Whether packets that enter by this rule leave at a host.
fn arrives(tables: &Tables, at: Dpid, seat: &RuleMeta) -> bool {
    arrives_without(tables, at, seat, None)
}

/// Whether they do while the link between two switches is dead, whichever bucket of a split they take, and none is sent back twice.
fn arrives_without(tables: &Tables, at: Dpid, seat: &RuleMeta, dead: Option<(Dpid, Dpid)>) -> bool {
    arrives_by(tables, at, seat, dead, (3 * NODES, 0))
}

fn arrives_by(
    tables: &Tables,
    at: Dpid,
    seat: &RuleMeta,
    dead: Option<(Dpid, Dpid)>,
    (hops, mut times_back): (u32, u32),
) -> bool {
    let is_alive = |port: &PortNo| {
        let to = Dpid(port.0.into());
        dead.is_none_or(|(one, other)| (at, to) != (one, other) && (at, to) != (other, one))
    };
    if hops == 0 || seat.meter().is_some_and(|meter| tables[&at].meter(meter).is_none()) {
        return false;
    }
    let (mut label, mut port) = (None, None);
    for action in &seat.actions {
        match action {
            Action::SetLabel(new) => label = Some(*new),
            Action::Output(out) => port = Some(*out).filter(is_alive),
            Action::Group(id) => match tables[&at].group(*id).map(|group| &group.ways) {
                Some(Ways::Failover { working, fallback }) => {
                    let (Fallback::To(second) | Fallback::Back(second)) = *fallback;
                    times_back += u32::from(!is_alive(working) && matches!(fallback, Fallback::Back(_)));
                    port = [*working, second].into_iter().find(is_alive);
                }
                Some(Ways::Split(buckets)) => {
                    let ways = buckets.iter().filter(|bucket| bucket.port().is_some_and(|port| is_alive(&port)));
                    let alone = |bucket: &Bucket| RuleMeta { cookie: seat.cookie, actions: bucket.actions.clone() };
                    let mut ways = ways.map(alone).peekable();
                    return ways.peek().is_some()
                        && ways.all(|way| arrives_by(tables, at, &way, dead, (hops, times_back)));
                }
                Some(Ways::Other) | None => return false,
            },
            _ => {}
        }
    }
    let Some(port) = port.filter(|_| times_back < 2) else { return false };
    if port.0 >= 100 {
        return seat.actions.contains(&Action::PopMpls(IpFamily::V4));
    }
    let (in_port, next) = (PortNo(u32::try_from(at.0).unwrap()), Dpid(u64::from(port.0)));
    let Some(label) = label else { return false };
    let usual = RuleSettings::default();
    let places = [lsp_rules::label_place(label, &usual, Some(in_port)), lsp_rules::label_place(label, &usual, None)];
    let seat = places.iter().find_map(|place| tables[&next].seat(place));
    seat.is_some_and(|seat| arrives_by(tables, next, seat, dead, (hops - 1, times_back)))
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
    assert_eq!(place.priority, PRIORITY_MIN + 32 * lsp_rules::RANKS + lsp_rules::RANKS - 1);
    let Match::Ip(entering) = place.matches else { panic!("{place:?}") };
    assert_eq!(entering.in_port, Some(PortNo(100)), "what other switches send by is not taken");
    let (label, meter) = (MplsLabel::new(OURS.label_min() + 4 * 7).unwrap(), MeterId(METER_MIN + 7));
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
    assert_eq!(transit[0].0.matches, Match::Mpls { label, bottom_of_stack: true, in_port: None });
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
    let mut plan = RulePlan::new(true, RuleSettings::default());
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
        vec![Link { name: name("l"), to: NodeIx(1), twin: None, ..mesh().link(LinkIx(0)).unwrap().clone() }],
    );
    let path: Arc<[LinkIx]> = Arc::new([LinkIx(0)]);
    plan.set(&Allocation { path, ..allocation(4, &[0, 1], 1) }, number(4, 0), &bare.unwrap());
    plan.set(&allocation(5, &[0, 1], 1), None, &mesh());
    plan.arrange();
    assert_eq!(plan.why_not(AllocationId(5)), Some(NoRules::NoNumber { max: FLOWS_MAX }));
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
    assert_eq!(priority(&plan, 7), PRIORITY_MIN + 33 * lsp_rules::RANKS - 1);
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
    assert_eq!(place.priority, PRIORITY_MIN + (112 + 128 + 12 + 6) * lsp_rules::RANKS + lsp_rules::RANKS - 1);
    let tail: Vec<_> = plan.tables()[&Dpid(2)].rules().collect();
    assert_eq!(tail[0].1.actions, [Action::PopMpls(IpFamily::V6), Action::Output(PortNo(100))]);
    // The most that a flow can say.
    let most = 128 + 128 + 4 + 12 + 6 + 8 + 16;
    assert!(OURS.is_head_priority(PRIORITY_MIN + most * lsp_rules::RANKS + lsp_rules::RANKS - 1));
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
    let mut plan = RulePlan::new(true, RuleSettings::default());
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
fn who_fails_is_held_back_and_the_others_go_on() {
    let plan = planned(&[allocation(1, &[0, 1, 2], 1), allocation(2, &[0, 3], 1)]);
    let mut agenda = Agenda::new(plan.tables(), &known(&Tables::new()), &Tables::new());
    let first = agenda.next_stage().unwrap();
    agenda.failed(&first[&Dpid(2)][0]);
    let second = agenda.next_stage().unwrap();
    assert_eq!(second.values().flatten().map(|task| task.serves).collect::<Vec<_>>(), [Some(AllocationId(2))]);
    assert_eq!(agenda.next_stage(), None);
    // A switch of which nothing is known holds back the allocations on it.
    let mut partly = known(&Tables::new());
    partly.remove(&Dpid(3));
    let mut agenda = Agenda::new(plan.tables(), &partly, &Tables::new());
    let mut served = BTreeSet::new();
    while let Some(stage) = agenda.next_stage() {
        served.extend(
            stage.values().flatten().filter(|task| task.stage == DiffStage::Enter).filter_map(|task| task.serves),
        );
    }
    assert_eq!(served, BTreeSet::from([AllocationId(2)]));
}
