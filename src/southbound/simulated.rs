//! A network in memory that holds rules as OpenFlow switches do: for trying things out without a controller, and for tests.
//! With the feature `simulated-faults` it has the faults of a real one, too (`faults`).

#[cfg(feature = "simulated-faults")]
mod faults;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "simulated-faults")]
use super::RuleCounters;
use super::{Adjacency, Driver, DriverError, DriverFuture, Port, PortCounters};
use kernel::intent::{
    Action, Cookie, CookieFilter, Dpid, Group, GroupId, Meter, MeterId, PortNo, Rule, RuleKey, RuleStep, StepOutcome,
    SwitchFault,
};
use kernel::topology::{LinkState, Topology};

#[cfg(feature = "simulated-faults")]
pub use self::faults::Faults;

/// A controller with switches that exist only here. A clone is the same network.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    fabric: Arc<Mutex<Fabric>>,
}

#[derive(Debug, Default)]
struct Fabric {
    switches: BTreeMap<Dpid, SimulatedSwitch>,
    links: BTreeMap<Adjacency, bool>,
    #[cfg(feature = "simulated-faults")]
    trouble: faults::Trouble,
}

/// One switch. It may hold rules of other programs, too.
#[derive(Clone, Debug, Default)]
struct SimulatedSwitch {
    rules: BTreeMap<RuleKey, (Cookie, Vec<Action>)>,
    meters: BTreeMap<MeterId, Meter>,
    groups: BTreeMap<GroupId, Group>,
    ports: BTreeMap<PortNo, PortState>,
}

#[derive(Clone, Copy, Debug)]
struct PortState {
    is_live: bool,
    received_bytes: u64,
    sent_bytes: u64,
}

impl Simulated {
    /// The switches and links of `topology`, as far as it says which switches and ports they are.
    pub fn of(topology: &Topology) -> Self {
        let mut fabric = Fabric::default();
        let dpid = |ix| topology.node(ix).and_then(|node| node.switch.as_ref()).map(|switch| Dpid(switch.dpid));
        for switch in topology.nodes().filter_map(|(_, node)| node.switch.as_ref()) {
            let made = fabric.switches.entry(Dpid(switch.dpid)).or_default();
            switch.host_ports.iter().for_each(|port| made.attach(PortNo(*port)));
        }
        for (_, link) in topology.links() {
            let (Some(from), Some(to), Some(out), Some(into)) =
                (dpid(link.from), dpid(link.to), link.from_port, link.to_port)
            else {
                continue;
            };
            let adjacency = Adjacency { from: (from, PortNo(out)), to: (to, PortNo(into)) };
            fabric.links.insert(adjacency, true);
            for (dpid, port) in [adjacency.from, adjacency.to] {
                fabric.switches.entry(dpid).or_default().attach(port);
            }
            if link.state == LinkState::Down {
                fabric.set_link(adjacency, false);
            }
        }
        Self { fabric: Arc::new(Mutex::new(fabric)) }
    }

    fn fabric(&self) -> MutexGuard<'_, Fabric> {
        // No holder of the lock panics half way: the value is whole.
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a switch that answers.
    async fn look<T>(&self, dpid: Dpid, look: impl FnOnce(&SimulatedSwitch) -> T + Send) -> Result<T, DriverError> {
        self.answer_call(Some(dpid)).await?;
        self.fabric().switches.get(&dpid).map(look).ok_or(DriverError::UnknownSwitch { dpid })
    }

    /// Without faults, every call is answered at once.
    #[cfg(not(feature = "simulated-faults"))]
    async fn answer_call(&self, _: Option<Dpid>) -> Result<(), DriverError> {
        Ok(())
    }
}

impl Driver for Simulated {
    fn apply<'a>(&'a self, switch: Dpid, steps: &'a [RuleStep]) -> DriverFuture<'a, Vec<StepOutcome>> {
        Box::pin(async move {
            self.look(switch, |_| ()).await?;
            let mut fabric = self.fabric();
            Ok(steps.iter().map(|step| fabric.apply(switch, step)).collect())
        })
    }

    fn rules(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, Vec<Rule>> {
        Box::pin(self.look(switch, move |switch| switch.rules(which)))
    }

    fn rule_count(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, u64> {
        Box::pin(self.look(switch, move |switch| {
            u64::try_from(switch.rules.values().filter(|(cookie, _)| which.meets(*cookie)).count()).unwrap_or(u64::MAX)
        }))
    }

    #[cfg(feature = "simulated-faults")]
    fn rule_counters(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, RuleCounters> {
        Box::pin(async move {
            let rules = self.rule_count(switch, which).await?;
            let unsupported = DriverError::Unsupported { what: "count the packets of rules" };
            self.fabric()
                .trouble
                .bytes_of(switch, which)
                .map(|bytes| RuleCounters { rules, packets: 0, bytes: Some(bytes) })
                .ok_or(unsupported)
        })
    }

    fn meters(&self, switch: Dpid) -> DriverFuture<'_, Vec<Meter>> {
        Box::pin(self.look(switch, |switch| switch.meters.values().copied().collect()))
    }

    fn has_groups(&self) -> bool {
        true
    }

    fn groups(&self, switch: Dpid) -> DriverFuture<'_, Vec<Group>> {
        Box::pin(self.look(switch, |switch| switch.groups.values().cloned().collect()))
    }

    fn probe(&self, switch: Dpid) -> DriverFuture<'_, ()> {
        Box::pin(self.look(switch, |_| ()))
    }

    fn switches(&self) -> DriverFuture<'_, Vec<Dpid>> {
        Box::pin(async {
            self.answer_call(None).await?;
            Ok(self.fabric().switches.keys().copied().collect())
        })
    }

    fn ports(&self, switch: Dpid) -> DriverFuture<'_, Vec<Port>> {
        Box::pin(self.look(switch, move |found| {
            let port = |(number, state): (&PortNo, &PortState)| Port {
                number: *number,
                name: format!("{switch}-{}", number.0),
                live: state.is_live,
                speed_bps: None,
            };
            found.ports.iter().map(port).collect()
        }))
    }

    fn links(&self) -> DriverFuture<'_, Vec<Adjacency>> {
        Box::pin(async {
            self.answer_call(None).await?;
            Ok(self.fabric().links.iter().filter(|(_, is_live)| **is_live).map(|(link, _)| *link).collect())
        })
    }

    fn port_counters(&self, switch: Dpid) -> DriverFuture<'_, Vec<PortCounters>> {
        Box::pin(self.look(switch, |switch| {
            let counters = |(port, state): (&PortNo, &PortState)| PortCounters {
                port: *port,
                received_bytes: state.received_bytes,
                sent_bytes: state.sent_bytes,
                received_dropped: 0,
                sent_dropped: 0,
            };
            switch.ports.iter().map(counters).collect()
        }))
    }
}

impl Fabric {
    /// Without faults, every step is carried out and acknowledged.
    #[cfg(not(feature = "simulated-faults"))]
    fn apply(&mut self, dpid: Dpid, step: &RuleStep) -> StepOutcome {
        self.apply_faultless(dpid, step)
    }

    fn apply_faultless(&mut self, dpid: Dpid, step: &RuleStep) -> StepOutcome {
        self.switches.get_mut(&dpid).map_or(StepOutcome::Unknown, |switch| switch.apply(step))
    }

    fn set_link(&mut self, link: Adjacency, is_live: bool) {
        if let Some(state) = self.links.get_mut(&link) {
            *state = is_live;
            for (dpid, port) in [link.from, link.to] {
                if let Some(port) = self.switches.get_mut(&dpid).and_then(|switch| switch.ports.get_mut(&port)) {
                    port.is_live = is_live;
                }
            }
        }
    }
}

impl SimulatedSwitch {
    fn attach(&mut self, port: PortNo) {
        self.ports.insert(port, PortState { is_live: true, received_bytes: 0, sent_bytes: 0 });
    }

    fn rules(&self, which: CookieFilter) -> Vec<Rule> {
        let met = self.rules.iter().filter(|(_, (cookie, _))| which.meets(*cookie));
        met.map(|(place, (cookie, actions))| Rule { place: place.clone(), cookie: *cookie, actions: actions.clone() })
            .collect()
    }

    /// As a switch does it (OpenFlow 1.3 §6.4, §6.6, §6.7, §7.4.4).
    fn apply(&mut self, step: &RuleStep) -> StepOutcome {
        match step {
            RuleStep::AddMeter(meter) if self.meters.contains_key(&meter.id) => {
                return StepOutcome::Refused(SwitchFault::Switch { kind: 12, code: 1 });
            }
            RuleStep::ModifyMeter(meter) if !self.meters.contains_key(&meter.id) => {
                return StepOutcome::Refused(SwitchFault::Switch { kind: 12, code: 3 });
            }
            RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => {
                self.meters.insert(meter.id, *meter);
            }
            RuleStep::PutRule(rule) => {
                if let Some(fault) = self.fault_of(rule) {
                    return StepOutcome::Refused(fault);
                }
                self.rules.insert(rule.place.clone(), (rule.cookie, rule.actions.clone()));
            }
            RuleStep::DeleteRule { place, cookie } => {
                if self.rules.get(place).is_some_and(|(whose, _)| whose == cookie) {
                    self.rules.remove(place);
                }
            }
            RuleStep::DeleteMeter(id) => {
                self.meters.remove(id);
                self.rules.retain(|_, (_, actions)| !actions.contains(&Action::Meter(*id)));
            }
            RuleStep::AddGroup(group) if self.groups.contains_key(&group.id) => {
                return StepOutcome::Refused(SwitchFault::Switch { kind: 6, code: 0 });
            }
            RuleStep::ModifyGroup(group) if !self.groups.contains_key(&group.id) => {
                return StepOutcome::Refused(SwitchFault::Switch { kind: 6, code: 8 });
            }
            RuleStep::AddGroup(group) | RuleStep::ModifyGroup(group) => {
                self.groups.insert(group.id, group.clone());
            }
            RuleStep::DeleteGroup(id) => {
                self.groups.remove(id);
                self.rules.retain(|_, (_, actions)| !actions.contains(&Action::Group(*id)));
            }
        }
        StepOutcome::InForce
    }

    fn fault_of(&self, rule: &Rule) -> Option<SwitchFault> {
        rule.actions.iter().find_map(|action| match action {
            Action::Meter(id) if !self.meters.contains_key(id) => Some(SwitchFault::Switch { kind: 12, code: 3 }),
            Action::Group(id) if !self.groups.contains_key(id) => Some(SwitchFault::Switch { kind: 2, code: 9 }),
            Action::Output(port) if !self.ports.contains_key(port) => Some(SwitchFault::NoSuchPort { port: *port }),
            _ => None,
        })
    }
}
