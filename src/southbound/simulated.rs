//! A network in memory, with the faults of a real one: it loses steps, refuses them, is slow, is away, restarts with empty
//! tables, falls silent. Faults come from a seed, so that a bad day can be had again. For trying things out without a
//! controller, and for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Adjacency, Driver, DriverError, DriverFuture, Port, PortCounters, Unreachable};
use kernel::intent::{
    Action, Cookie, CookieFilter, Dpid, Meter, MeterId, PortNo, Rule, RuleKey, RuleStep, StepOutcome, SwitchFault,
};
use kernel::topology::{LinkState, Topology};

/// What goes wrong, and how often, in parts per million of the steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Where the dice start.
    pub seed: u64,
    /// A step is sent and nobody knows what became of it; half of them are in force.
    pub lose_ppm: u32,
    /// A step is refused.
    pub refuse_ppm: u32,
    /// The switch restarts before a step: all it held is gone.
    pub restart_ppm: u32,
    /// The longest that a call takes.
    pub delay_max_ms: u64,
}

/// A controller with switches that exist only here. A clone is the same network.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    fabric: Arc<Mutex<Fabric>>,
}

#[derive(Debug, Default)]
struct Fabric {
    switches: BTreeMap<Dpid, SimulatedSwitch>,
    links: BTreeMap<Adjacency, bool>,
    faults: Faults,
    dice: u64,
    is_away: bool,
    steps: u64,
    calls: u64,
}

/// One switch. It holds rules of others, too.
#[derive(Clone, Debug, Default)]
struct SimulatedSwitch {
    rules: BTreeMap<RuleKey, (Cookie, Vec<Action>)>,
    meters: BTreeMap<MeterId, Meter>,
    ports: BTreeMap<PortNo, PortState>,
    is_silent: bool,
    is_disconnected: bool,
}

#[derive(Clone, Copy, Debug)]
struct PortState {
    is_live: bool,
    received_bytes: u64,
    sent_bytes: u64,
}

impl Simulated {
    /// The switches and links of `topology`, as far as it says which switches and ports they are.
    pub fn of(topology: &Topology, faults: Faults) -> Self {
        let mut fabric = Fabric { dice: faults.seed, faults, ..Fabric::default() };
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

    /// Takes the whole controller away, or brings it back. What the switches hold stays.
    pub fn set_away(&self, is_away: bool) {
        self.fabric().is_away = is_away;
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        let mut fabric = self.fabric();
        fabric.faults = faults;
        fabric.dice = faults.seed;
    }

    /// Restarts a switch: its rules and meters are gone.
    pub fn restart(&self, switch: Dpid) {
        if let Some(switch) = self.fabric().switches.get_mut(&switch) {
            switch.restart();
        }
    }

    /// Makes a switch fall silent, or speak again.
    pub fn set_silent(&self, switch: Dpid, is_silent: bool) {
        if let Some(switch) = self.fabric().switches.get_mut(&switch) {
            switch.is_silent = is_silent;
        }
    }

    /// Cuts a link or mends it, both directions: the ports at its ends are told so.
    pub fn set_link(&self, link: Adjacency, is_live: bool) {
        let mut fabric = self.fabric();
        fabric.set_link(link, is_live);
        fabric.set_link(Adjacency { from: link.to, to: link.from }, is_live);
    }

    /// Sends bytes out of a port.
    pub fn carry(&self, switch: Dpid, port: PortNo, bytes: u64) {
        if let Some(port) = self.fabric().switches.get_mut(&switch).and_then(|switch| switch.ports.get_mut(&port)) {
            port.sent_bytes = port.sent_bytes.saturating_add(bytes);
        }
    }

    /// Puts a rule in by hand, whoever's it is.
    pub fn meddle(&self, switch: Dpid, rule: Rule) {
        if let Some(switch) = self.fabric().switches.get_mut(&switch) {
            switch.rules.insert(rule.place, (rule.cookie, rule.actions));
        }
    }

    /// Deletes the rules with such cookies by hand, and says how many there were.
    pub fn wipe(&self, switch: Dpid, which: CookieFilter) -> usize {
        let mut fabric = self.fabric();
        let Some(switch) = fabric.switches.get_mut(&switch) else { return 0 };
        let before = switch.rules.len();
        switch.rules.retain(|_, (cookie, _)| !which.meets(*cookie));
        before - switch.rules.len()
    }

    /// Every rule that a switch holds, whoever's it is, and however the controller is.
    pub fn held(&self, switch: Dpid) -> Vec<Rule> {
        self.fabric()
            .switches
            .get(&switch)
            .map(|switch| switch.rules(CookieFilter { value: 0, mask: 0 }))
            .unwrap_or_default()
    }

    /// Every meter that a switch holds.
    pub fn meters_held(&self, switch: Dpid) -> Vec<Meter> {
        self.fabric().switches.get(&switch).map(|switch| switch.meters.values().copied().collect()).unwrap_or_default()
    }

    /// How many calls and steps it was asked for.
    pub fn asked(&self) -> (u64, u64) {
        let fabric = self.fabric();
        (fabric.calls, fabric.steps)
    }

    fn fabric(&self) -> MutexGuard<'_, Fabric> {
        // Whoever panicked with it left it whole: nothing here panics half way.
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as the dice say, and fails if the controller is away.
    async fn enter(&self) -> Result<(), DriverError> {
        let (delay_ms, is_away) = {
            let mut fabric = self.fabric();
            fabric.calls += 1;
            let longest_ms = fabric.faults.delay_max_ms;
            let delay_ms = if longest_ms == 0 { 0 } else { fabric.roll() % longest_ms };
            (delay_ms, fabric.is_away)
        };
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        if is_away { Err(DriverError::Unreachable { why: Unreachable::NoConnection }) } else { Ok(()) }
    }

    /// Looks at a switch that answers.
    async fn look<T>(&self, dpid: Dpid, look: impl FnOnce(&SimulatedSwitch) -> T + Send) -> Result<T, DriverError> {
        self.enter().await?;
        let fabric = self.fabric();
        match fabric.switches.get(&dpid) {
            None => Err(DriverError::UnknownSwitch { dpid }),
            Some(switch) if switch.is_disconnected => Err(DriverError::UnknownSwitch { dpid }),
            Some(switch) if switch.is_silent => Err(DriverError::SilentSwitch { dpid }),
            Some(switch) => Ok(look(switch)),
        }
    }
}

impl Driver for Simulated {
    fn apply<'a>(&'a self, switch: Dpid, steps: &'a [RuleStep]) -> DriverFuture<'a, Vec<StepOutcome>> {
        Box::pin(async move {
            self.look(switch, |_| ()).await?;
            let mut fabric = self.fabric();
            Ok(steps.iter().map(|step| fabric.carry_out(switch, step)).collect())
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

    fn meters(&self, switch: Dpid) -> DriverFuture<'_, Vec<Meter>> {
        Box::pin(
            self.look(switch, |switch| switch.meters.values().copied().filter(|meter| meter.id.is_ours()).collect()),
        )
    }

    fn probe(&self, switch: Dpid) -> DriverFuture<'_, ()> {
        Box::pin(self.look(switch, |_| ()))
    }

    fn switches(&self) -> DriverFuture<'_, Vec<Dpid>> {
        Box::pin(async {
            self.enter().await?;
            let fabric = self.fabric();
            let connected = fabric.switches.iter().filter(|(_, switch)| !switch.is_disconnected);
            Ok(connected.map(|(dpid, _)| *dpid).collect())
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
            self.enter().await?;
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
    /// The next throw (splitmix64).
    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn happens(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.roll() % 1_000_000 < u64::from(ppm)
    }

    fn carry_out(&mut self, dpid: Dpid, step: &RuleStep) -> StepOutcome {
        self.steps += 1;
        let faults = self.faults;
        if self.happens(faults.restart_ppm)
            && let Some(switch) = self.switches.get_mut(&dpid)
        {
            switch.restart();
        }
        if self.happens(faults.refuse_ppm) {
            // OFPET_FLOW_MOD_FAILED, OFPFMFC_UNKNOWN.
            return StepOutcome::Refused(SwitchFault::Switch { kind: 5, code: 0 });
        }
        let is_lost = self.happens(faults.lose_ppm);
        if is_lost && self.happens(500_000) {
            return StepOutcome::Unknown;
        }
        let outcome = self.switches.get_mut(&dpid).map_or(StepOutcome::Unknown, |switch| switch.carry_out(step));
        if is_lost { StepOutcome::Unknown } else { outcome }
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

    fn restart(&mut self) {
        self.rules.clear();
        self.meters.clear();
    }

    fn rules(&self, which: CookieFilter) -> Vec<Rule> {
        let met = self.rules.iter().filter(|(_, (cookie, _))| which.meets(*cookie));
        met.map(|(place, (cookie, actions))| Rule { place: place.clone(), cookie: *cookie, actions: actions.clone() })
            .collect()
    }

    /// As a switch does it (OpenFlow 1.3 §6.4, §6.6, §7.4.4).
    fn carry_out(&mut self, step: &RuleStep) -> StepOutcome {
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
        }
        StepOutcome::InForce
    }

    fn fault_of(&self, rule: &Rule) -> Option<SwitchFault> {
        rule.actions.iter().find_map(|action| match action {
            Action::Meter(id) if !self.meters.contains_key(id) => Some(SwitchFault::Switch { kind: 12, code: 3 }),
            Action::Output(port) if !self.ports.contains_key(port) => Some(SwitchFault::NoSuchPort { port: *port }),
            _ => None,
        })
    }
}
