//! The faults of a real network, for tests: steps are lost or refused, calls are slow, the controller is away, switches
//! restart with empty tables, fall silent, or are changed by another hand. Faults come from a seed, so that a run repeats.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::{Adjacency, DriverError, Unreachable};
use super::{Fabric, Simulated};
use kernel::intent::{
    Cookie, CookieFilter, Dpid, Group, GroupId, Meter, PortNo, Rule, RuleStep, StepOutcome, SwitchFault,
};
use kernel::topology::Topology;

/// What goes wrong, and how often, in parts per million of the steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Where the dice start.
    pub seed: u64,
    /// The outcome of a step is lost; half of the lost steps are in force.
    pub lose_ppm: u32,
    /// A step is refused.
    pub refuse_ppm: u32,
    /// The switch restarts before a step: all it held is gone.
    pub restart_ppm: u32,
    /// The longest that a call takes.
    pub delay_max_ms: u64,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    faults: Faults,
    dice: u64,
    is_away: bool,
    silent: BTreeSet<Dpid>,
    groupless: BTreeSet<Dpid>,
    /// Those that refuse groups for split flows, and what is seen of it.
    splitless: BTreeMap<Dpid, SwitchFault>,
    /// What rules have counted; nothing counts until a test says that it does.
    bytes: BTreeMap<(Dpid, Cookie), u64>,
    steps: u64,
    calls: u64,
}

impl Simulated {
    /// As [`Simulated::of`], with faults.
    pub fn with_faults(topology: &Topology, faults: Faults) -> Self {
        let network = Self::of(topology);
        network.set_faults(faults);
        network
    }

    /// Makes the controller unreachable, or reachable again. The rules and meters of the switches stay.
    pub fn set_away(&self, is_away: bool) {
        self.fabric().trouble.is_away = is_away;
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        let trouble = &mut self.fabric().trouble;
        trouble.faults = faults;
        trouble.dice = faults.seed;
    }

    /// Restarts a switch: its rules and meters are gone.
    pub fn restart(&self, switch: Dpid) {
        self.fabric().restart(switch);
    }

    /// Makes a switch fall silent, or speak again.
    pub fn set_silent(&self, switch: Dpid, is_silent: bool) {
        let silent = &mut self.fabric().trouble.silent;
        if is_silent {
            silent.insert(switch)
        } else {
            silent.remove(&switch)
        };
    }

    /// Makes a switch refuse groups.
    pub fn refuse_groups(&self, switch: Dpid) {
        self.fabric().trouble.groupless.insert(switch);
    }

    /// Makes a switch refuse groups of split flows, in this way.
    pub fn refuse_splits(&self, switch: Dpid, fault: SwitchFault) {
        self.fabric().trouble.splitless.insert(switch, fault);
    }

    /// Cuts a link or mends it, both directions: the ports at its ends go down and up with it.
    pub fn set_link(&self, link: Adjacency, is_live: bool) {
        let mut fabric = self.fabric();
        fabric.set_link(link, is_live);
        fabric.set_link(Adjacency { from: link.to, to: link.from }, is_live);
    }

    /// Takes a port out of a switch, and the links at it with it.
    pub fn remove_port(&self, switch: Dpid, port: PortNo) {
        let mut fabric = self.fabric();
        fabric.links.retain(|link, _| link.from != (switch, port) && link.to != (switch, port));
        if let Some(switch) = fabric.switches.get_mut(&switch) {
            switch.ports.remove(&port);
        }
    }

    /// Puts the far end of a link into another place, as it is discovered then.
    pub fn swap_wire(&self, link: Adjacency, to: (Dpid, PortNo)) {
        let mut fabric = self.fabric();
        fabric.links.remove(&link);
        fabric.links.insert(Adjacency { to, ..link }, true);
    }

    /// Sends bytes out of a port.
    pub fn send_bytes(&self, switch: Dpid, port: PortNo, bytes: u64) {
        if let Some(port) = self.fabric().switches.get_mut(&switch).and_then(|switch| switch.ports.get_mut(&port)) {
            port.sent_bytes = port.sent_bytes.saturating_add(bytes);
        }
    }

    /// Makes the rules of a switch with such cookies count more bytes. Until it is called, no switch counts any.
    pub fn count_bytes(&self, switch: Dpid, which: CookieFilter, bytes: u64) {
        let mut fabric = self.fabric();
        let held = fabric.switches.get(&switch).map(|switch| switch.rules(which)).unwrap_or_default();
        for rule in held {
            let counted = fabric.trouble.bytes.entry((switch, rule.cookie)).or_default();
            *counted = counted.saturating_add(bytes);
        }
    }

    /// Writes a rule behind the controller's back.
    pub fn write_directly(&self, switch: Dpid, rule: Rule) {
        if let Some(switch) = self.fabric().switches.get_mut(&switch) {
            switch.rules.insert(rule.place, (rule.cookie, rule.actions));
        }
    }

    /// Deletes the rules with such cookies behind the controller's back; how many there were.
    pub fn delete_directly(&self, switch: Dpid, which: CookieFilter) -> usize {
        let mut fabric = self.fabric();
        let Some(switch) = fabric.switches.get_mut(&switch) else { return 0 };
        let before = switch.rules.len();
        switch.rules.retain(|_, (cookie, _)| !which.meets(*cookie));
        before - switch.rules.len()
    }

    /// Every rule that a switch holds, of any program, whether or not the controller is reachable.
    pub fn rules_held(&self, switch: Dpid) -> Vec<Rule> {
        self.fabric()
            .switches
            .get(&switch)
            .map(|switch| switch.rules(CookieFilter { value: 0, mask: 0 }))
            .unwrap_or_default()
    }

    /// Every group that a switch holds.
    pub fn groups_held(&self, switch: Dpid) -> Vec<Group> {
        self.fabric().switches.get(&switch).map(|switch| switch.groups.values().cloned().collect()).unwrap_or_default()
    }

    /// Deletes a group behind the controller's back, and with it the rules that use it.
    pub fn delete_group_directly(&self, switch: Dpid, id: GroupId) {
        let _ = self.fabric().apply_faultless(switch, &RuleStep::DeleteGroup(id));
    }

    /// Every meter that a switch holds.
    pub fn meters_held(&self, switch: Dpid) -> Vec<Meter> {
        self.fabric().switches.get(&switch).map(|switch| switch.meters.values().copied().collect()).unwrap_or_default()
    }

    /// How many calls and steps there were.
    pub fn call_counts(&self) -> (u64, u64) {
        let fabric = self.fabric();
        (fabric.trouble.calls, fabric.trouble.steps)
    }

    /// Takes as long as the dice say, and fails if the controller is away or the switch is silent.
    pub(super) async fn answer_call(&self, switch: Option<Dpid>) -> Result<(), DriverError> {
        let (delay_ms, is_away, silent) = {
            let trouble = &mut self.fabric().trouble;
            trouble.calls += 1;
            let longest_ms = trouble.faults.delay_max_ms;
            let delay_ms = if longest_ms == 0 { 0 } else { trouble.roll() % longest_ms };
            (delay_ms, trouble.is_away, switch.filter(|dpid| trouble.silent.contains(dpid)))
        };
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        match silent {
            _ if is_away => Err(DriverError::Unreachable { why: Unreachable::NoConnection }),
            Some(dpid) => Err(DriverError::SilentSwitch { dpid }),
            None => Ok(()),
        }
    }
}

impl Trouble {
    /// What rules with such cookies have counted; `None` where nothing counts.
    pub(super) fn bytes_of(&self, switch: Dpid, which: CookieFilter) -> Option<u64> {
        let of_switch = self.bytes.iter().filter(|((dpid, cookie), _)| *dpid == switch && which.meets(*cookie));
        let sum = of_switch.fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        (!self.bytes.is_empty()).then_some(sum)
    }

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
}

impl Fabric {
    /// A step, if the dice are kind.
    pub(super) fn apply(&mut self, dpid: Dpid, step: &RuleStep) -> StepOutcome {
        self.trouble.steps += 1;
        let faults = self.trouble.faults;
        if self.trouble.happens(faults.restart_ppm) {
            self.restart(dpid);
        }
        if self.trouble.happens(faults.refuse_ppm) {
            // OFPET_FLOW_MOD_FAILED, OFPFMFC_UNKNOWN.
            return StepOutcome::Refused(SwitchFault::Switch { kind: 5, code: 0 });
        }
        if matches!(step, RuleStep::AddGroup(_)) && self.trouble.groupless.contains(&dpid) {
            // OFPET_GROUP_MOD_FAILED, OFPGMFC_BAD_TYPE.
            return StepOutcome::Refused(SwitchFault::Switch { kind: 6, code: 10 });
        }
        if let (RuleStep::AddGroup(group), Some(fault)) = (step, self.trouble.splitless.get(&dpid))
            && !group.buckets().is_empty()
        {
            return StepOutcome::Refused(*fault);
        }
        let is_lost = self.trouble.happens(faults.lose_ppm);
        if is_lost && self.trouble.happens(500_000) {
            return StepOutcome::Unknown;
        }
        let outcome = self.apply_faultless(dpid, step);
        if is_lost { StepOutcome::Unknown } else { outcome }
    }

    fn restart(&mut self, dpid: Dpid) {
        if let Some(switch) = self.switches.get_mut(&dpid) {
            switch.rules.clear();
            switch.meters.clear();
            switch.groups.clear();
        }
    }
}
