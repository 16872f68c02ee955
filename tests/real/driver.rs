//! The driver of Ryu and os-ken against a real controller and real switches: with the acknowledged batch, and without it.
//! What it says is in force is compared with what `ovs-ofctl` sees, which is another way altogether.

use std::time::Duration;

use api::outbound::OutboundNetworks;
use kernel::allocation::IpPrefix;
use kernel::id::AllocationId;
use kernel::intent::{
    Action, Bucket, Cookie, CookieFilter, Dpid, Fallback, Group, IpFamily, IpMatch, Match, Meter, MeterId, MplsLabel,
    Numbering, PortNo, Rule, RuleKey, RuleSettings, RuleStep, StepOutcome, SwitchFault, TABLE, Table, Ways,
};
use watermaster::southbound::ryu::Ryu;
use watermaster::southbound::{Driver, DriverError};

use crate::lab::{Cable, Lab, Part, Verb, await_that};

const SWITCH: Dpid = Dpid(1);
const OURS: Numbering = Numbering::DEFAULT;
const TAG: u8 = OURS.cookie_tag();
const SOON: Duration = Duration::from_secs(20);

fn label(number: u32) -> MplsLabel {
    MplsLabel::new(100_000 + number).unwrap()
}

fn head(number: u32, meter: MeterId) -> Rule {
    let network = |address: [u8; 4]| Some(IpPrefix { address: address.into(), length: 32 });
    let port = u16::try_from(number).unwrap();
    let ipv4 = IpMatch {
        in_port: Some(PortNo(1)),
        src: Some(IpPrefix { address: [10, 77, 0, 0].into(), length: 24 }),
        dst: network([10, 77, 0, 3]),
        ip_proto: Some(17),
        l4_dst: Some(port),
        ..IpMatch::default()
    };
    Rule {
        place: RuleKey { table: TABLE, priority: OURS.priority_min(), matches: Match::Ip(ipv4) },
        cookie: Cookie::new(TAG, 1, AllocationId(number.into())).unwrap(),
        actions: vec![
            Action::Meter(meter),
            Action::SetDscp(46),
            Action::PushMpls,
            Action::SetLabel(label(number)),
            Action::SetTrafficClass(5),
            Action::Output(PortNo(2)),
        ],
    }
}

fn swap(number: u32) -> Rule {
    Rule {
        place: RuleKey {
            matches: Match::Mpls { label: label(number), bottom_of_stack: true, in_port: None },
            priority: OURS.label_priority(),
            ..head(number, MeterId(1)).place
        },
        actions: vec![Action::SetLabel(label(number + 1)), Action::SetTrafficClass(3), Action::Output(PortNo(3))],
        ..head(number, MeterId(1))
    }
}

fn pop(number: u32) -> Rule {
    Rule { actions: vec![Action::PopMpls(IpFamily::V4), Action::Output(PortNo(1))], ..swap(number) }
}

fn delete(rule: &Rule) -> RuleStep {
    RuleStep::DeleteRule { place: rule.place.clone(), cookie: rule.cookie }
}

fn meter(number: u32, rate_kbps: u32) -> Meter {
    Meter { id: MeterId(10_000 + number), rate_kbps, burst_kbit: rate_kbps }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn all_in_force(outcomes: &[StepOutcome]) -> bool {
    outcomes.iter().all(|outcome| *outcome == StepOutcome::InForce)
}

/// Every kind of step, there and back, and what was already so, and what cannot be.
async fn there_and_back(lab: &Lab, driver: &Ryu) {
    let (one, other) = (meter(1, 5000), meter(2, 2000));
    let make = [
        RuleStep::AddMeter(one),
        RuleStep::AddMeter(other),
        RuleStep::PutRule(head(1, one.id)),
        RuleStep::PutRule(swap(2)),
        RuleStep::PutRule(pop(3)),
    ];
    for _ in 0..2 {
        let outcomes = driver.apply(SWITCH, &make).await.unwrap();
        assert!(all_in_force(&outcomes), "{outcomes:?}");
        assert_eq!((lab.rules(1).len(), lab.meters(1)), (3, 2));
    }
    let mut rules = driver.rules(SWITCH, CookieFilter::tagged(TAG)).await.unwrap();
    rules.sort();
    let mut expected = vec![head(1, one.id), swap(2), pop(3)];
    expected.sort();
    assert_eq!(rules, expected);
    let mut meters = driver.meters(SWITCH).await.unwrap();
    meters.sort();
    assert_eq!(meters, [one, other]);
    assert_eq!(driver.rule_count(SWITCH, CookieFilter::of(TAG, AllocationId(2))).await, Ok(1));

    // In place, cookie and all; a meter that has gone is made again.
    let next = Rule { cookie: Cookie::new(TAG, 2, AllocationId(1)).unwrap(), ..head(1, other.id) };
    let changed = Meter { rate_kbps: 3000, ..other };
    let gone = meter(3, 1000);
    let outcomes = driver
        .apply(SWITCH, &[RuleStep::ModifyMeter(changed), RuleStep::ModifyMeter(gone), RuleStep::PutRule(next.clone())])
        .await
        .unwrap();
    assert!(all_in_force(&outcomes), "{outcomes:?}");
    assert_eq!(
        driver.rules(SWITCH, CookieFilter::of(TAG, AllocationId(1))).await.unwrap(),
        std::slice::from_ref(&next)
    );
    assert!(driver.meters(SWITCH).await.unwrap().contains(&changed));

    // A rule of the old cookie is not there any more: deleting it takes nothing away.
    let outcomes = driver.apply(SWITCH, &[delete(&head(1, one.id))]).await.unwrap();
    assert!(all_in_force(&outcomes), "{outcomes:?}");
    assert_eq!(lab.rules(1).len(), 3);

    // What the switch refuses is told, and nothing that depends on it is done.
    let orphan = Rule { cookie: Cookie::new(TAG, 1, AllocationId(9)).unwrap(), ..head(9, MeterId(150_000)) };
    let nowhere = Rule { actions: vec![Action::Output(PortNo(77))], ..pop(8) };
    let steps = [
        RuleStep::PutRule(orphan),
        RuleStep::PutRule(nowhere),
        RuleStep::PutRule(pop(7)),
        RuleStep::DeleteMeter(gone.id),
    ];
    let outcomes = driver.apply(SWITCH, &steps).await.unwrap();
    assert!(matches!(outcomes[0], StepOutcome::Refused(_)), "{outcomes:?}");
    assert_eq!(outcomes[1], StepOutcome::Refused(SwitchFault::NoSuchPort { port: PortNo(77) }));
    assert_eq!(outcomes[2..], [StepOutcome::InForce, StepOutcome::Refused(SwitchFault::AfterFailure)]);

    let back = [
        delete(&next),
        delete(&swap(2)),
        delete(&pop(3)),
        delete(&pop(7)),
        RuleStep::DeleteMeter(one.id),
        RuleStep::DeleteMeter(other.id),
        RuleStep::DeleteMeter(gone.id),
    ];
    for _ in 0..2 {
        let outcomes = driver.apply(SWITCH, &back).await.unwrap();
        assert!(all_in_force(&outcomes), "{outcomes:?}");
        assert_eq!((lab.rules(1).len(), lab.meters(1)), (0, 0));
    }
}

/// What the ingress does with the packets of one path of a split flow.
fn push(number: u32, port: u32) -> Vec<Action> {
    let send = [Action::SetTrafficClass(3), Action::SetQueue(3), Action::Output(PortNo(port))];
    [Action::PushMpls, Action::SetLabel(label(number))].into_iter().chain(send).collect()
}

/// Groups, and a rule that sends packets out by one, from one port alone.
async fn groups(lab: &Lab, driver: &Ryu) {
    let id = OURS.group(label(4));
    let group = |fallback| Group { id, ways: Ways::Failover { working: PortNo(2), fallback } };
    let (there, back) = (group(Fallback::To(PortNo(3))), group(Fallback::Back(PortNo(3))));
    let bucket = |weight, number, port| Bucket { weight, actions: push(number, port) };
    let split = Group { id, ways: Ways::Split(vec![bucket(43, 4, 2), bucket(21, 5, 3)]) };
    let evenly = Group { id, ways: Ways::Split(vec![bucket(32, 4, 2), bucket(32, 5, 3)]) };
    let matches = Match::Mpls { label: label(4), bottom_of_stack: true, in_port: Some(PortNo(3)) };
    let rule = Rule {
        place: RuleKey { matches, priority: OURS.port_label_priority(), ..swap(4).place },
        actions: vec![Action::SetLabel(label(4)), Action::SetTrafficClass(3), Action::SetQueue(3), Action::Group(id)],
        ..swap(4)
    };
    let before = driver.apply(SWITCH, &[RuleStep::PutRule(rule.clone())]).await.unwrap();
    assert!(matches!(before[..], [StepOutcome::Refused(_)]), "a rule without its group: {before:?}");
    for (step, held) in [
        (RuleStep::AddGroup(there.clone()), &there),
        (RuleStep::AddGroup(back.clone()), &back),
        (RuleStep::ModifyGroup(there.clone()), &there),
        (RuleStep::ModifyGroup(split.clone()), &split),
        (RuleStep::AddGroup(evenly.clone()), &evenly),
        (RuleStep::ModifyGroup(back.clone()), &back),
    ] {
        let outcomes = driver.apply(SWITCH, &[step, RuleStep::PutRule(rule.clone())]).await.unwrap();
        assert!(all_in_force(&outcomes), "{outcomes:?}");
        assert_eq!(driver.groups(SWITCH).await.unwrap(), std::slice::from_ref(held));
        assert_eq!(driver.rules(SWITCH, CookieFilter::tagged(TAG)).await.unwrap(), std::slice::from_ref(&rule));
    }
    let nowhere = RuleStep::AddGroup(Group { id, ways: Ways::Split(vec![bucket(1, 4, 77)]) });
    let outcomes = driver.apply(SWITCH, &[nowhere]).await.unwrap();
    assert_eq!(outcomes, [StepOutcome::Refused(SwitchFault::NoSuchPort { port: PortNo(77) })]);
    for _ in 0..2 {
        let outcomes = driver.apply(SWITCH, &[delete(&rule), RuleStep::DeleteGroup(id)]).await.unwrap();
        assert!(all_in_force(&outcomes), "{outcomes:?}");
        assert_eq!((lab.rules(1).len(), lab.groups(1).len()), (0, 0));
    }
    let modified = driver.apply(SWITCH, &[RuleStep::ModifyGroup(there), RuleStep::DeleteGroup(id)]).await.unwrap();
    assert!(all_in_force(&modified), "one that is gone is made again: {modified:?}");
    lab.ofctl("add-group", 1, &[&format!("group_id={},type=select,bucket=output:2", id.0)]);
    assert_eq!(driver.groups(SWITCH).await.unwrap(), [Group::of_another_form(id)]);
    lab.ofctl("del-groups", 1, &[]);
}

/// Other programs' rules are read as theirs, also those that happen to have the tag, and are never deleted.
async fn strangers(lab: &Lab, driver: &Ryu) {
    let ours = Cookie::new(TAG, 1, AllocationId(5)).unwrap().0;
    let tagged = format!("cookie={ours:#x},priority=7,ip,nw_src=10.0.0.0/255.0.255.0,actions=output:2");
    let foreign = [
        tagged.as_str(),
        "cookie=0x99,priority=7,ip,nw_src=10.9.0.0/16,actions=output:2",
        "cookie=0x98,priority=8,mpls,mpls_label=100005,actions=drop",
        "priority=6,arp,actions=output:2",
    ];
    foreign.iter().for_each(|rule| drop(lab.ofctl("add-flow", 1, &[rule])));
    let found = driver.rules(SWITCH, CookieFilter::ALL).await.unwrap();
    assert_eq!(found.len() as u64, driver.rule_count(SWITCH, CookieFilter::ALL).await.unwrap());
    let (table, theirs) = Table::parted(
        found.clone(),
        driver.meters(SWITCH).await.unwrap(),
        driver.groups(SWITCH).await.unwrap(),
        &RuleSettings::default(),
    );
    // The controller has one, too, for discovery.
    assert!(table.is_empty() && theirs.count == 5, "{found:?}");
    assert_eq!(theirs.label(label(5)), Some(Cookie(0x98)));
    let tagged = found.iter().find(|rule| rule.cookie.0 == ours).unwrap();
    let outcomes = driver.apply(SWITCH, &[delete(tagged)]).await.unwrap();
    assert!(matches!(outcomes[..], [StepOutcome::Refused(SwitchFault::Unsupported { .. })]), "{outcomes:?}");
    assert_eq!(lab.rules(1).len(), 4, "{:?}", lab.rules(1));
    lab.ofctl("del-flows", 1, &["cookie=0x98/-1"]);
    lab.ofctl("del-flows", 1, &[&format!("cookie={ours:#x}/-1")]);
}

/// The whole content in one answer is what is read by parts.
async fn whole(driver: &Ryu) {
    let Some(mut whole) = driver.whole(SWITCH).await.unwrap() else { panic!("the application tells tables") };
    let mut rules = driver.rules(SWITCH, CookieFilter::ALL).await.unwrap();
    rules.sort();
    whole.rules.sort();
    assert_eq!(whole.rules, rules);
    assert_eq!(whole.meters, driver.meters(SWITCH).await.unwrap());
    assert_eq!(whole.groups, driver.groups(SWITCH).await.unwrap());
    let stranger = Dpid(99);
    assert_eq!(driver.whole(stranger).await, Err(DriverError::UnknownSwitch { dpid: stranger }));
}

/// Every kind of rule, meter and group, this service's and others', twice: parsed, and remembered.
async fn told_whole(lab: &Lab, driver: &Ryu) {
    let ways = Ways::Failover { working: PortNo(2), fallback: Fallback::Back(PortNo(3)) };
    let group = Group { id: OURS.group(label(4)), ways };
    let bucket = |weight, number, port| Bucket { weight, actions: push(number, port) };
    let split = Group { id: OURS.group(label(6)), ways: Ways::Split(vec![bucket(43, 6, 2), bucket(21, 7, 3)]) };
    let one = meter(1, 5000);
    let rules = [head(1, one.id), swap(2), pop(3)];
    let mut steps = vec![RuleStep::AddMeter(one), RuleStep::AddGroup(group.clone()), RuleStep::AddGroup(split.clone())];
    steps.extend(rules.iter().cloned().map(RuleStep::PutRule));
    assert!(all_in_force(&driver.apply(SWITCH, &steps).await.unwrap()));
    lab.ofctl(
        "add-flow",
        1,
        &["cookie=0x99,priority=7,idle_timeout=60,ip,nw_src=10.0.0.0/255.0.255.0,actions=output:3"],
    );
    lab.ofctl(
        "add-flow",
        1,
        &["cookie=0x98,table=3,priority=8,tcp6,ipv6_dst=fd00::/64,tp_src=5,actions=set_queue:1,output:2"],
    );
    lab.ofctl("add-meter", 1, &["meter=7,pktps,band=type=drop,rate=1000"]);
    lab.ofctl("add-group", 1, &["group_id=9,type=select,bucket=output:2,bucket=output:3"]);
    for _ in 0..2 {
        whole(driver).await;
    }
    // One that is altered and nothing else is told as it is now.
    let altered = format!(
        "table=0,priority={},mpls,mpls_label=100002,mpls_bos=1,actions=set_field:777->mpls_label,output:3",
        OURS.label_priority()
    );
    lab.ofctl("mod-flows", 1, &["--strict", &altered]);
    whole(driver).await;
    lab.ofctl("mod-meter", 1, &["meter=10001,kbps,burst,stats,band=type=drop,rate=99,burst_size=99"]);
    whole(driver).await;
    // What os-ken has no text for is a foreign rule, and hides nothing else.
    lab.ofctl("add-flow", 1, &["cookie=0x97,priority=7,arp,actions=resubmit(,1)"]);
    let told = driver.whole(SWITCH).await.unwrap().unwrap().rules;
    let foreign = told.iter().find(|rule| rule.cookie == Cookie(0x97)).unwrap();
    assert!(matches!(foreign.actions[..], [Action::Opaque(_)]), "{foreign:?}");
    lab.ofctl("del-flows", 1, &["cookie=0x97/-1"]);
    let mut back: Vec<RuleStep> = rules.iter().map(delete).collect();
    back.extend([RuleStep::DeleteMeter(one.id), RuleStep::DeleteGroup(group.id), RuleStep::DeleteGroup(split.id)]);
    assert!(all_in_force(&driver.apply(SWITCH, &back).await.unwrap()));
    whole(driver).await;
    lab.ofctl("del-flows", 1, &["cookie=0x98/-1"]);
    lab.ofctl("del-flows", 1, &["cookie=0x99/-1"]);
    lab.ofctl("del-meter", 1, &["meter=7"]);
    lab.ofctl("del-groups", 1, &[]);
}

/// Seven hundred rules: read in slices, and right.
async fn many(lab: &Lab, driver: &Ryu) {
    let rules: Vec<Rule> = (1..=700).map(pop).collect();
    let steps: Vec<RuleStep> = rules.iter().cloned().map(RuleStep::PutRule).collect();
    let outcomes = driver.apply(SWITCH, &steps).await.unwrap();
    assert!(all_in_force(&outcomes));
    let mut found = driver.rules(SWITCH, CookieFilter::tagged(TAG)).await.unwrap();
    found.sort_by_key(|rule| rule.cookie);
    assert_eq!(found, rules);
    let steps: Vec<RuleStep> = rules.iter().map(delete).collect();
    assert!(all_in_force(&driver.apply(SWITCH, &steps).await.unwrap()));
    assert!(lab.rules(1).iter().all(|rule| !rule.contains("mpls")), "{:?}", lab.rules(1));
}

#[test]
fn packets_driver_with_the_acknowledged_batch() {
    let lab = Lab::take();
    let driver = Ryu::new(lab.url(), &OutboundNetworks::default(), Numbering::DEFAULT).unwrap();
    run(async {
        there_and_back(&lab, &driver).await;
        groups(&lab, &driver).await;
        strangers(&lab, &driver).await;
        told_whole(&lab, &driver).await;
        many(&lab, &driver).await;
    });
}

#[test]
fn packets_driver_over_plain_ofctl_rest() {
    let lab = Lab::take();
    lab.plain_controller();
    let driver = Ryu::new(lab.url(), &OutboundNetworks::default(), Numbering::DEFAULT).unwrap();
    await_that("four switches", SOON, || run(driver.switches()).map(|found| found.len()), |found| *found == Ok(4));
    run(async {
        assert_eq!(driver.whole(SWITCH).await, Ok(None));
        there_and_back(&lab, &driver).await;
        groups(&lab, &driver).await;
        strangers(&lab, &driver).await;
        many(&lab, &driver).await;
    });
}

#[test]
fn packets_driver_sees_what_is_there() {
    let lab = Lab::take();
    let driver = Ryu::new(lab.url(), &OutboundNetworks::default(), Numbering::DEFAULT).unwrap();
    run(async {
        let mut switches = driver.switches().await.unwrap();
        switches.sort();
        assert_eq!(switches, (1..=4).map(Dpid).collect::<Vec<_>>());
        driver.probe(SWITCH).await.unwrap();
        let stranger = Dpid(99);
        let unknown = DriverError::UnknownSwitch { dpid: stranger };
        assert_eq!(driver.probe(stranger).await, Err(unknown.clone()));
        assert_eq!(driver.rules(stranger, CookieFilter::tagged(TAG)).await, Err(unknown.clone()));
        assert_eq!(driver.apply(stranger, &[RuleStep::PutRule(pop(1))]).await, Err(unknown.clone()));
        assert_eq!(driver.apply(stranger, &[delete(&pop(1))]).await, Err(unknown));
        let ports = driver.ports(SWITCH).await.unwrap();
        assert_eq!(ports.iter().map(|port| port.number.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(ports.iter().all(|port| port.live));
        assert_eq!(driver.port_counters(SWITCH).await.unwrap().len(), 3);
        assert_eq!(driver.links().await.unwrap().len(), 8);
        let link = |found: &[watermaster::southbound::Adjacency]| {
            found.iter().any(|link| link.from == (Dpid(1), PortNo(2)) && link.to == (Dpid(2), PortNo(3)))
        };
        assert!(link(&driver.links().await.unwrap()));
        lab.cable(1, 2, Cable::Out);
        while link(&driver.links().await.unwrap()) {}
        assert!(!driver.ports(SWITCH).await.unwrap()[1].live);
    });
    lab.part(Part::Controller, Verb::Kill);
    assert!(matches!(run(driver.switches()), Err(DriverError::Unreachable { .. })));
}
