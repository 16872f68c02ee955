//! The driver against a stub that answers as ONOS's resources and codecs do: it chooses numbers, says 201 for what is only
//! stored, puts meters last, and forgets what it cannot say.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::super::stub::Stub;
use super::*;
use kernel::allocation::IpPrefix;
use kernel::id::AllocationId;
use kernel::intent::{Cookie, IpFamily, IpMatch, Match, MplsLabel, Numbering, PortNo};

const SWITCH: Dpid = Dpid(1);
const OURS: Numbering = Numbering::DEFAULT;
const TAG: u8 = OURS.cookie_tag();

/// What the stub remembers.
#[derive(Default)]
struct Memory {
    flows: Vec<Value>,
    meters: Vec<Value>,
    next: u64,
    asked_for_flows: u32,
}

impl Memory {
    fn number(&mut self) -> u64 {
        self.next += 1;
        0x00AB_CDEF_0000_0000 + self.next
    }

    fn write(&mut self, flow: &Value) {
        let place = json!([flow["selector"], flow["priority"]]);
        self.flows.retain(|held| held["place"] != place);
        let mut flow = flow.clone();
        flow["place"] = place;
        flow["id"] = self.number().to_string().into();
        // It is in force two readings later, or never.
        flow["state"] = "PENDING_ADD".into();
        flow["born"] = self.asked_for_flows.into();
        // Meters come last, and types have other spellings.
        let instructions = flow["treatment"]["instructions"].as_array_mut().unwrap();
        instructions.sort_by_key(|value| value["type"] == "METER");
        for value in instructions {
            if value["type"] == "OUTPUT" {
                value["port"] = value["port"].to_string().into();
            }
            if let Some(kind) = value.get_mut("ethernetType") {
                *kind = 2048.into();
            }
        }
        for value in flow["selector"]["criteria"].as_array_mut().unwrap() {
            if value["ethType"] == "0x0800" {
                value["ethType"] = "0x800".into();
            }
        }
        flow["deferred"] = json!([]);
        self.flows.push(flow);
    }

    fn told_flows(&mut self) -> Value {
        self.asked_for_flows += 1;
        let now = u64::from(self.asked_for_flows);
        for flow in &mut self.flows {
            let stuck = flow["priority"] == 20_666;
            if !stuck && now > flow["born"].as_u64().unwrap() + 2 {
                flow["state"] = "ADDED".into();
            }
        }
        json!({"flows": self.flows})
    }
}

fn controller() -> Stub {
    let memory: Arc<Mutex<Memory>> = Arc::default();
    Stub::answering(move |(method, path, body)| {
        let mut memory = memory.lock().unwrap();
        let parts: Vec<&str> = path.split('?').next().unwrap().trim_start_matches("/onos/v1/").split('/').collect();
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["devices", "of:0000000000000001"]) => {
                (200, r#"{"id":"of:0000000000000001","available":true}"#.into())
            }
            ("GET", ["devices", "of:0000000000000002"]) => {
                (200, r#"{"id":"of:0000000000000002","available":false}"#.into())
            }
            ("GET", ["devices", _, "ports"]) => (
                200,
                r#"{"ports":[{"element":"of:0000000000000001","port":"local","isEnabled":false,"type":"copper",
                    "portSpeed":0,"annotations":{"portName":"s1"}},
                    {"port":"1","isEnabled":true,"portSpeed":10000,"annotations":{"portName":"s1-eth1"}},
                    {"port":"2","isEnabled":false,"portSpeed":10000}]}"#
                    .into(),
            ),
            ("GET", ["flows", _]) if memory.flows.is_empty() => (404, r#"{"code":404,"message":"no rules"}"#.into()),
            ("GET", ["flows", _]) => (200, memory.told_flows().to_string()),
            ("POST", ["flows"]) => {
                body["flows"].as_array().unwrap().iter().for_each(|flow| memory.write(flow));
                (200, json!({"flows": []}).to_string())
            }
            ("DELETE", ["flows", _, id]) => {
                memory.flows.retain(|flow| flow["id"] != **id);
                (204, String::new())
            }
            ("GET", ["meters", _]) => (200, json!({"meters": memory.meters}).to_string()),
            ("POST", ["meters", _]) => {
                let mut meter = body;
                meter["id"] = format!("0x{:x}", memory.number()).into();
                meter["state"] = "ADDED".into();
                memory.meters.push(meter);
                (201, String::new())
            }
            ("DELETE", ["meters", _, id]) => {
                let id = format!("0x{:x}", id.parse::<u64>().unwrap());
                memory.meters.retain(|meter| meter["id"] != id);
                (204, String::new())
            }
            _ => (404, r#"{"code":404,"message":"not found"}"#.into()),
        }
    })
}

fn driver(stub: &Stub) -> Onos {
    let origin = stub.url().parse().unwrap();
    let credentials = Credentials { username: "onos".to_owned(), password: "rocks".to_owned(), origin };
    Onos::new(&format!("{}/onos/v1", stub.url()), Some(credentials), &OutboundNetworks::default(), Numbering::DEFAULT)
        .unwrap()
}

fn head(meter: MeterId) -> Rule {
    let network = |address: [u8; 4], length| Some(IpPrefix { address: address.into(), length });
    let ipv4 = IpMatch {
        in_port: Some(PortNo(1)),
        src: network([10, 0, 0, 0], 24),
        dst: network([10, 0, 0, 3], 32),
        ip_proto: Some(17),
        l4_dst: Some(80),
        ..IpMatch::default()
    };
    Rule {
        place: RuleKey { table: 0, priority: 20_000, matches: Match::Ip(ipv4) },
        cookie: Cookie::new(TAG, 2, AllocationId(7)).unwrap(),
        actions: vec![
            Action::Meter(meter),
            Action::SetDscp(40),
            Action::PushMpls,
            Action::SetLabel(MplsLabel::new(100_001).unwrap()),
            Action::SetTrafficClass(5),
            Action::Output(PortNo(2)),
        ],
    }
}

fn labelled(label: u32, actions: Vec<Action>) -> Rule {
    let label = MplsLabel::new(label).unwrap();
    let matches = Match::Mpls { label, bottom_of_stack: true, in_port: None };
    Rule {
        place: RuleKey { table: 0, priority: 30_000, matches },
        cookie: Cookie::new(TAG, 2, AllocationId(7)).unwrap(),
        actions,
    }
}

fn swap() -> Rule {
    let label = MplsLabel::new(100_002).unwrap();
    labelled(100_001, vec![Action::SetLabel(label), Action::SetTrafficClass(0), Action::Output(PortNo(1))])
}

fn pop() -> Rule {
    labelled(100_002, vec![Action::PopMpls(IpFamily::V4), Action::Output(PortNo(1))])
}

#[tokio::test]
async fn what_is_written_is_told_again() {
    let stub = controller();
    let driver = driver(&stub);
    let meter = Meter { id: MeterId(10_001), rate_kbps: 5000, burst_kbit: 5000 };
    let rules = [head(meter.id), swap(), pop()];
    let mut steps = vec![RuleStep::AddMeter(meter)];
    steps.extend(rules.iter().cloned().map(RuleStep::PutRule));
    for _ in 0..2 {
        let outcomes = driver.apply(SWITCH, &steps).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == StepOutcome::InForce), "{outcomes:?}");
    }
    assert_eq!(driver.meters(SWITCH).await.unwrap(), [meter]);
    assert_eq!(driver.rule_count(SWITCH, CookieFilter::tagged(TAG)).await, Ok(3));
    let found = driver.rules(SWITCH, CookieFilter::of(TAG, AllocationId(7))).await.unwrap();
    assert!(rules.iter().all(|rule| found.contains(rule)), "{found:?}");

    // Another rate is another meter to ONOS, and the rule goes with it.
    let faster = Meter { rate_kbps: 8000, burst_kbit: 8000, ..meter };
    assert_eq!(driver.apply(SWITCH, &[RuleStep::ModifyMeter(faster)]).await.unwrap(), [StepOutcome::InForce]);
    assert_eq!(driver.meters(SWITCH).await.unwrap(), [faster]);

    let delete = |rule: &Rule| RuleStep::DeleteRule { place: rule.place.clone(), cookie: rule.cookie };
    let mut steps: Vec<RuleStep> = rules.iter().map(delete).collect();
    steps.push(RuleStep::DeleteMeter(meter.id));
    for _ in 0..2 {
        let outcomes = driver.apply(SWITCH, &steps).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == StepOutcome::InForce), "{outcomes:?}");
    }
    assert_eq!(driver.rules(SWITCH, CookieFilter::tagged(TAG)).await.unwrap(), []);
    assert_eq!(driver.meters(SWITCH).await.unwrap(), []);
}

#[tokio::test]
async fn stored_is_not_in_force() {
    let stub = controller();
    let mut stuck = pop();
    stuck.place = RuleKey { priority: 20_666, ..head(MeterId(OURS.meter_min())).place };
    let delete = RuleStep::DeleteRule { place: swap().place, cookie: swap().cookie };
    let outcomes = driver(&stub).apply(SWITCH, &[RuleStep::PutRule(stuck), delete]).await.unwrap();
    assert_eq!(outcomes, [StepOutcome::Unknown, StepOutcome::Refused(SwitchFault::AfterFailure)]);
    assert_eq!(driver(&stub).rules(SWITCH, CookieFilter::tagged(TAG)).await.unwrap(), []);
}

#[tokio::test]
async fn what_onos_cannot_say_is_refused() {
    let stub = controller();
    let driver = driver(&stub);
    let mut other_class = head(MeterId(10_001));
    other_class.actions[1] = Action::SetDscp(46);
    let no_meter = head(MeterId(10_002));
    let nowhere = labelled(100_009, vec![Action::Output(PortNo(9))]);
    let outcomes = driver
        .apply(SWITCH, &[RuleStep::PutRule(other_class), RuleStep::PutRule(no_meter), RuleStep::PutRule(nowhere)])
        .await
        .unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, StepOutcome::Refused(_))), "{outcomes:?}");
    let silent = DriverError::SilentSwitch { dpid: Dpid(2) };
    assert_eq!(driver.rules(Dpid(2), CookieFilter::tagged(TAG)).await, Err(silent));
    assert_eq!(driver.probe(Dpid(9)).await, Err(DriverError::UnknownSwitch { dpid: Dpid(9) }));
    let ports = driver.ports(SWITCH).await.unwrap();
    assert_eq!(ports.iter().map(|port| (port.number.0, port.live)).collect::<Vec<_>>(), [(1, true), (2, false)]);
}

#[tokio::test]
async fn whatever_it_answers_is_an_error_with_a_name() {
    let answers = [
        (200, "<html>"),
        (401, ""),
        (500, r#"{"code":500,"message":"x"}"#),
        (200, "null"),
        (200, "[]"),
        (200, "{}"),
        (200, r#"{"available":"yes"}"#),
        (200, r#"{"id":"of:1","available":true}"#),
    ];
    for (status, body) in answers {
        let stub = Stub::answering(move |_| (status, body.to_owned()));
        let driver = driver(&stub);
        assert!(driver.rules(SWITCH, CookieFilter::tagged(TAG)).await.is_err(), "{status} {body}");
        assert!(driver.meters(SWITCH).await.is_err(), "{status} {body}");
        assert!(driver.switches().await.is_err(), "{status} {body}");
        assert!(driver.links().await.is_err(), "{status} {body}");
        assert!(driver.port_counters(SWITCH).await.is_err(), "{status} {body}");
        assert!(driver.apply(SWITCH, &[RuleStep::PutRule(pop())]).await.is_err(), "{status} {body}");
    }
    assert!(!format!("{:?}", driver(&controller())).contains("rocks"));
}
