//! ONOS 2.x over its flows and meters REST, with Basic authentication.
//!
//! It was written from ONOS's own REST resources and codecs and is tested against a stub that answers as they do: no ONOS
//! has been seen with it yet.
//!
//! What must stay true: 201 means stored as `PENDING_ADD` and nothing more; a rule is in force when ONOS says `ADDED` and
//! tells it as it was written. A switch that is not `available` has unknown rules.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::outbound::OutboundNetworks;
use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::decode::{
    OnosDeviceReply, OnosDevicesReply, OnosFlowsReply, OnosLinksReply, OnosMetersReply, OnosPortsReply,
    OnosStatisticsReply, dpid,
};
use self::encode::{MeterNumbers, device};
use super::apply::{CheckedStep, SwitchExchange, apply_steps};
use super::http_client::{ControllerReply, Dialogue};
use super::{Adjacency, Credentials, Driver, DriverError, DriverFuture, Port, PortCounters};
use kernel::intent::{
    Action, CookieFilter, Dpid, Meter, MeterId, Numbering, Rule, RuleKey, RuleStep, StepOutcome, SwitchFault,
};

/// The application that our rules are of, in ONOS's words.
const APPLICATION: &str = "watermaster";
/// How long ONOS is given to bring what it stored into force.
const PENDING_MAX: Duration = Duration::from_secs(4);
/// How often it is asked meanwhile.
const POLL_EVERY: Duration = Duration::from_millis(200);

/// Fast-failover groups are not written through ONOS.
const NO_GROUPS: SwitchFault = SwitchFault::Unsupported { what: "make a fast-failover group" };

/// An ONOS controller.
#[derive(Debug)]
pub struct Onos {
    talk: Dialogue,
    numbering: Numbering,
}

/// A rule that ONOS has, with its number for it.
struct OnosRule {
    id: String,
    state: String,
    rule: Rule,
}

/// The meters of ours that ONOS has, each with ONOS's number and whether it is in force.
type HeldMeters = BTreeMap<MeterId, (Meter, u64, bool)>;

impl Onos {
    /// Prepares to speak to the ONOS whose REST is at this address, as `http://host:8181/onos/v1`; nothing is sent.
    ///
    /// # Errors
    /// The address is none, or not in these networks.
    pub fn new(
        url: &str,
        credentials: Option<Credentials>,
        networks: &OutboundNetworks,
        numbering: Numbering,
    ) -> Result<Self, DriverError> {
        Ok(Self { talk: Dialogue::new(url, credentials, networks)?, numbering })
    }

    async fn ask<T: DeserializeOwned>(&self, what: &'static str, path: &str) -> Result<T, DriverError> {
        self.talk.get(what, path).await?.json()
    }

    /// What the controller reports of a disconnected switch is not true.
    async fn must_be_here(&self, switch: Dpid) -> Result<(), DriverError> {
        let reply = self.talk.get("find a switch", &format!("devices/{}", device(switch))).await?;
        if reply.status == 404 {
            return Err(DriverError::UnknownSwitch { dpid: switch });
        }
        let told: OnosDeviceReply = reply.json()?;
        if told.available { Ok(()) } else { Err(DriverError::SilentSwitch { dpid: switch }) }
    }

    async fn held_meters(&self, switch: Dpid) -> Result<HeldMeters, DriverError> {
        let told: OnosMetersReply = self.ask("read meters", &format!("meters/{}", device(switch))).await?;
        let found = told.meters.iter().filter_map(|told| {
            let (meter, number) = told.meter()?;
            Some((meter.id, (meter, number, told.state == "ADDED")))
        });
        Ok(found.collect())
    }

    /// The rules with a cookie of ours; ONOS answers 404 where there are no rules at all.
    async fn held_rules(&self, switch: Dpid, meters: &MeterNumbers) -> Result<Vec<OnosRule>, DriverError> {
        let reply = self.talk.get("read rules", &format!("flows/{}", device(switch))).await?;
        if reply.status == 404 {
            return Ok(vec![]);
        }
        let told: OnosFlowsReply = reply.json()?;
        let held = told.flows.into_iter().filter_map(|flow| {
            let rule = flow.rule(meters).filter(|rule| rule.cookie.tag() == self.numbering.cookie_tag())?;
            Some(OnosRule { id: flow.id, state: flow.state, rule })
        });
        Ok(held.collect())
    }

    async fn read(&self, switch: Dpid, which: CookieFilter) -> Result<Vec<Rule>, DriverError> {
        self.must_be_here(switch).await?;
        let meters = numbers(&self.held_meters(switch).await?);
        let held = self.held_rules(switch, &meters).await?;
        let in_force = held.into_iter().filter(|held| held.state == "ADDED" && which.meets(held.rule.cookie));
        Ok(in_force.map(|held| held.rule).collect())
    }

    async fn read_ports(&self, switch: Dpid) -> Result<Vec<Port>, DriverError> {
        self.must_be_here(switch).await?;
        let told: OnosPortsReply = self.ask("read ports", &format!("devices/{}/ports", device(switch))).await?;
        Ok(told.ports.iter().filter_map(decode::OnosPortReply::port).collect())
    }

    async fn apply_steps(&self, switch: Dpid, steps: &[RuleStep]) -> Result<Vec<StepOutcome>, DriverError> {
        let ports = self.read_ports(switch).await?.into_iter().map(|port| port.number).collect();
        apply_steps(&OnosExchange { driver: self, switch }, self.numbering, Some(&ports), steps).await
    }

    async fn write_rules(&self, rules: Vec<Value>) -> Result<ControllerReply, DriverError> {
        self.talk.post("write rules", &format!("flows?appId={APPLICATION}"), &json!({"flows": rules})).await
    }

    /// Makes a meter. ONOS cannot change one: another is made, the rules are pointed at it, and the old one goes.
    async fn make_meter(
        &self,
        switch: Dpid,
        meter: &Meter,
        meters: &HeldMeters,
        held: &[OnosRule],
    ) -> Result<Result<(), SwitchFault>, DriverError> {
        let old = meters.get(&meter.id);
        if old.is_some_and(|(old, _, _)| old == meter) {
            return Ok(Ok(()));
        }
        let path = format!("meters/{}", device(switch));
        let reply = self.talk.post("make a meter", &path, &encode::meter(switch, meter)).await?;
        if !reply.is_success() {
            return Ok(Err(SwitchFault::Controller { status: reply.status }));
        }
        let Some((_, old, _)) = old else { return Ok(Ok(())) };
        let told: OnosMetersReply = self.ask("read meters", &path).await?;
        let all = told.meters.iter().filter_map(decode::OnosMeterReply::meter);
        let Some((_, new)) = all.into_iter().find(|(found, number)| found == meter && number != old) else {
            return Ok(Err(SwitchFault::ReadBackDiffers));
        };
        let pointed = BTreeMap::from([(meter.id, new)]);
        let uses = |rule: &Rule| rule.actions.contains(&Action::Meter(meter.id));
        let rules: Result<Vec<_>, SwitchFault> = held
            .iter()
            .filter(|held| uses(&held.rule))
            .map(|held| encode::rule(switch, &held.rule, &pointed))
            .collect();
        let rules = match rules {
            Ok(rules) => rules,
            Err(fault) => return Ok(Err(fault)),
        };
        if !rules.is_empty() {
            let reply = self.write_rules(rules).await?;
            if !reply.is_success() {
                return Ok(Err(SwitchFault::Controller { status: reply.status }));
            }
        }
        self.delete(vec![format!("{path}/{old}")]).await
    }

    async fn delete(&self, paths: Vec<String>) -> Result<Result<(), SwitchFault>, DriverError> {
        for path in paths {
            let reply = self.talk.delete("delete", &path).await?;
            // What is not there any more is as good as deleted.
            if !reply.is_success() && reply.status != 404 {
                return Ok(Err(SwitchFault::Controller { status: reply.status }));
            }
        }
        Ok(Ok(()))
    }
}

/// A call's exchange with one switch.
struct OnosExchange<'a> {
    driver: &'a Onos,
    switch: Dpid,
}

impl SwitchExchange for OnosExchange<'_> {
    // A rule is encoded when it is sent: ONOS's numbers for its meters are known only then.
    type Order = ();

    /// Steps of one phase do not depend on each other.
    fn phase(step: &RuleStep) -> u8 {
        match step {
            RuleStep::AddMeter(_) | RuleStep::ModifyMeter(_) => 0,
            RuleStep::PutRule(_) => 1,
            RuleStep::DeleteRule { .. } => 2,
            RuleStep::DeleteMeter(_) => 3,
            RuleStep::AddGroup(_) | RuleStep::ModifyGroup(_) | RuleStep::DeleteGroup(_) => 0,
        }
    }

    fn encode(step: &RuleStep) -> Result<(), SwitchFault> {
        match step {
            RuleStep::AddGroup(_) | RuleStep::ModifyGroup(_) | RuleStep::DeleteGroup(_) => Err(NO_GROUPS),
            _ => Ok(()),
        }
    }

    async fn send(&self, steps: &mut [CheckedStep<'_, ()>]) -> Result<(), DriverError> {
        let Self { driver, switch } = *self;
        let meters = driver.held_meters(switch).await?;
        let numbers = numbers(&meters);
        let held = driver.held_rules(switch, &numbers).await?;
        let mut rules = vec![];
        for checked in &mut *steps {
            let sent = match checked.step {
                RuleStep::PutRule(rule) => encode::rule(switch, rule, &numbers).map(|rule| rules.push(rule)),
                RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => {
                    driver.make_meter(switch, meter, &meters, &held).await?
                }
                RuleStep::DeleteRule { place, cookie } => {
                    let same = held.iter().filter(|held| held.rule.place == *place && held.rule.cookie == *cookie);
                    let paths = same.map(|held| format!("flows/{}/{}", device(switch), held.id)).collect();
                    driver.delete(paths).await?
                }
                RuleStep::DeleteMeter(id) => {
                    let paths = meters.get(id).map(|(_, number, _)| format!("meters/{}/{number}", device(switch)));
                    driver.delete(paths.into_iter().collect()).await?
                }
                RuleStep::AddGroup(_) | RuleStep::ModifyGroup(_) | RuleStep::DeleteGroup(_) => Err(NO_GROUPS),
            };
            if let Err(fault) = sent {
                checked.outcome = StepOutcome::Refused(fault);
            }
        }
        if !rules.is_empty() {
            let reply = driver.write_rules(rules).await?;
            if !reply.is_success() {
                return Err(reply.refused());
            }
        }
        self.await_outcomes(steps).await
    }
}

impl OnosExchange<'_> {
    /// Waits until the steps that were sent are in force, at most [`PENDING_MAX`]; one that is still pending then stays
    /// unknown.
    async fn await_outcomes(&self, steps: &mut [CheckedStep<'_, ()>]) -> Result<(), DriverError> {
        let began = Instant::now();
        loop {
            let meters = self.driver.held_meters(self.switch).await?;
            let held = self.driver.held_rules(self.switch, &numbers(&meters)).await?;
            let held: BTreeMap<&RuleKey, &OnosRule> = held.iter().map(|held| (&held.rule.place, held)).collect();
            let mut is_pending = false;
            for checked in steps.iter_mut().filter(|checked| checked.outcome == StepOutcome::Unknown) {
                checked.outcome = judge(checked.step, &held, &meters);
                is_pending |= checked.outcome == StepOutcome::Unknown;
            }
            if !is_pending || began.elapsed() >= PENDING_MAX {
                return Ok(());
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }
}

/// What is known of a step by what ONOS tells.
fn judge(step: &RuleStep, held: &BTreeMap<&RuleKey, &OnosRule>, meters: &HeldMeters) -> StepOutcome {
    let done = match step {
        RuleStep::PutRule(rule) => match held.get(&rule.place) {
            Some(held) if held.state == "FAILED" => return StepOutcome::Refused(SwitchFault::ReadBackDiffers),
            Some(held) => held.state == "ADDED" && held.rule == *rule,
            None => false,
        },
        RuleStep::DeleteRule { place, cookie } => {
            held.get(place).is_none_or(|held| held.rule.cookie != *cookie || held.state == "REMOVED")
        }
        RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => {
            meters.get(&meter.id).is_some_and(|(found, _, in_force)| found == meter && *in_force)
        }
        RuleStep::DeleteMeter(id) => !meters.contains_key(id),
        RuleStep::AddGroup(_) | RuleStep::ModifyGroup(_) | RuleStep::DeleteGroup(_) => false,
    };
    if done { StepOutcome::InForce } else { StepOutcome::Unknown }
}

fn numbers(meters: &HeldMeters) -> MeterNumbers {
    meters.iter().map(|(id, (_, number, _))| (*id, *number)).collect()
}

impl Driver for Onos {
    fn apply<'a>(&'a self, switch: Dpid, steps: &'a [RuleStep]) -> DriverFuture<'a, Vec<StepOutcome>> {
        self.apply_steps(switch, steps).boxed()
    }

    fn rules(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, Vec<Rule>> {
        self.read(switch, which).boxed()
    }

    fn rule_count(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, u64> {
        async move { Ok(self.read(switch, which).await?.len() as u64) }.boxed()
    }

    fn meters(&self, switch: Dpid) -> DriverFuture<'_, Vec<Meter>> {
        async move {
            self.must_be_here(switch).await?;
            Ok(self.held_meters(switch).await?.into_values().map(|(meter, _, _)| meter).collect())
        }
        .boxed()
    }

    fn probe(&self, switch: Dpid) -> DriverFuture<'_, ()> {
        self.must_be_here(switch).boxed()
    }

    fn switches(&self) -> DriverFuture<'_, Vec<Dpid>> {
        async move {
            let told: OnosDevicesReply = self.ask("list switches", "devices").await?;
            let here = told.devices.iter().filter(|device| device.available);
            Ok(here.filter_map(|device| dpid(&device.id)).collect())
        }
        .boxed()
    }

    fn ports(&self, switch: Dpid) -> DriverFuture<'_, Vec<Port>> {
        self.read_ports(switch).boxed()
    }

    fn links(&self) -> DriverFuture<'_, Vec<Adjacency>> {
        async move {
            let told: OnosLinksReply = self.ask("list links", "links").await?;
            Ok(told.links.iter().filter_map(decode::OnosLinkReply::adjacency).collect())
        }
        .boxed()
    }

    fn port_counters(&self, switch: Dpid) -> DriverFuture<'_, Vec<PortCounters>> {
        async move {
            self.must_be_here(switch).await?;
            let path = format!("statistics/ports/{}", device(switch));
            let told: OnosStatisticsReply = self.ask("read counters", &path).await?;
            let ports = told.statistics.iter().flat_map(|of_switch| &of_switch.ports);
            Ok(ports.filter_map(decode::OnosCountersReply::counters).collect())
        }
        .boxed()
    }
}
