//! Steps sent in acknowledged batches, where the controller has them, or else one by one and read back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use super::super::apply::{CheckedStep, SwitchExchange, apply_steps, used_ports};
use super::super::{DriverError, REQUESTS_IN_FLIGHT_MAX, STEPS_MAX};
use super::encode::{Order, order};
use super::{Ryu, filter, narrowest, no_such_switch};
use kernel::intent::{
    Cookie, CookieFilter, Dpid, Group, GroupId, Meter, MeterId, Rule, RuleKey, RuleStep, StepOutcome, SwitchFault,
};

/// How long a switch is given before what it seems not to hold is looked for once more.
const SECOND_LOOK_AFTER: Duration = Duration::from_millis(50);
/// Up to so many cookies are read one by one, without counting what else there is.
const COOKIES_ONE_BY_ONE: usize = 4;
/// Reading all that lies between is worth it while that is at most so many times what is looked for.
const ROUNDABOUT_MAX: u64 = 8;
/// OpenFlow 1.3 §7.4.4: OFPET_METER_MOD_FAILED.
const METER_FAILED: u16 = 12;
/// And its codes for a meter that is there already, and for one that is not.
const METER_EXISTS: u16 = 1;
const METER_UNKNOWN: u16 = 3;
/// OFPET_GROUP_MOD_FAILED, with the same for groups.
const GROUP_FAILED: u16 = 6;
const GROUP_EXISTS: u16 = 0;
const GROUP_UNKNOWN: u16 = 8;
/// OFPET_BAD_ACTION, with the code of a rule whose group is not there.
const BAD_ACTION: u16 = 2;
const BAD_OUT_GROUP: u16 = 9;

/// The versions of the batch that this driver speaks to.
const BATCH_VERSIONS: RangeInclusive<u32> = 1..=4;

/// What a controller with the batch says of itself.
#[derive(Deserialize)]
struct About {
    version: u32,
    items_max: usize,
}

/// What it says of a batch.
#[derive(Deserialize)]
struct Acknowledged {
    sent: usize,
    errors: Vec<RuleRefusal>,
}

#[derive(Deserialize, Clone, Copy)]
struct RuleRefusal {
    index: usize,
    #[serde(rename = "type")]
    kind: u16,
    code: u16,
}

/// The way a controller takes steps.
#[derive(Clone, Copy)]
enum BatchMode {
    /// In batches of so many, acknowledged.
    Batch(usize),
    /// One by one, read back.
    OneByOne,
}

/// A call's exchange with one switch.
struct RyuExchange<'a> {
    driver: &'a Ryu,
    switch: Dpid,
    mode: BatchMode,
}

type Checked<'a> = CheckedStep<'a, Order>;

impl SwitchExchange for RyuExchange<'_> {
    type Order = Order;

    fn phase(step: &RuleStep) -> u8 {
        u8::from(step.is_deletion())
    }

    fn encode(step: &RuleStep) -> Result<Order, SwitchFault> {
        order(step)
    }

    async fn send(&self, steps: &mut [Checked<'_>]) -> Result<(), DriverError> {
        match self.mode {
            BatchMode::Batch(items_max) => {
                for part in steps.chunks_mut(items_max) {
                    self.driver.send_batch(self.switch, part).await?;
                }
                Ok(())
            }
            BatchMode::OneByOne => self.driver.send_one_by_one(self.switch, steps).await,
        }
    }
}

impl Ryu {
    /// See [`super::Driver::apply`].
    pub(super) async fn apply_steps(&self, switch: Dpid, steps: &[RuleStep]) -> Result<Vec<StepOutcome>, DriverError> {
        let ports = if steps.iter().any(|step| !used_ports(step).is_empty()) {
            Some(self.read_ports(switch).await?.into_iter().map(|port| port.number).collect())
        } else {
            None
        };
        let needed = steps.iter().map(batch_version).max().unwrap_or(*BATCH_VERSIONS.start());
        let exchange = RyuExchange { driver: self, switch, mode: self.batch_mode(needed).await? };
        apply_steps(&exchange, self.numbering, ports.as_ref(), steps).await
    }

    /// Whether the controller has the batch, in this version at least.
    async fn batch_mode(&self, needed: u32) -> Result<BatchMode, DriverError> {
        let reply = self.talk.get("ask for the batch", "watermaster/batch").await?;
        match reply.json::<About>() {
            Ok(about) if (needed..=*BATCH_VERSIONS.end()).contains(&about.version) && about.items_max > 0 => {
                Ok(BatchMode::Batch(about.items_max.min(STEPS_MAX)))
            }
            Ok(_) => Ok(BatchMode::OneByOne),
            Err(DriverError::Refused { status: 404 | 405, .. }) => Ok(BatchMode::OneByOne),
            Err(error) => Err(error),
        }
    }

    async fn send_batch(&self, switch: Dpid, steps: &mut [Checked<'_>]) -> Result<(), DriverError> {
        self.batch(switch, steps.iter_mut().map(|step| (&step.order, &mut step.outcome)).collect()).await?;
        // A meter that is there already is given the rate; one that has gone is made again, and with it its rules.
        let mut again: Vec<(Order, &mut StepOutcome)> =
            steps.iter_mut().filter_map(|step| repair(step).map(|order| (order, &mut step.outcome))).collect();
        if again.is_empty() {
            return Ok(());
        }
        self.batch(switch, again.iter_mut().map(|(order, outcome)| (&*order, &mut **outcome)).collect()).await
    }

    /// Sends a batch of orders, and sets the outcome of each.
    async fn batch(&self, switch: Dpid, mut orders: Vec<(&Order, &mut StepOutcome)>) -> Result<(), DriverError> {
        let body = json!({"items": orders.iter().map(|(order, _)| order.item()).collect::<Vec<_>>()});
        let reply = self.talk.post("batch", &format!("watermaster/batch/{}", switch.0), &body).await?;
        match reply.status {
            200 | 409 => {
                let said: Acknowledged = serde_json::from_slice(&reply.body).map_err(|_| reply.garbage())?;
                let sound = said.sent == orders.len() && said.errors.iter().all(|error| error.index < orders.len());
                if !sound {
                    return Err(reply.garbage());
                }
                orders.iter_mut().for_each(|(_, outcome)| **outcome = StepOutcome::InForce);
                for RuleRefusal { index, kind, code } in said.errors {
                    *orders[index].1 = StepOutcome::Refused(SwitchFault::Switch { kind, code });
                }
                Ok(())
            }
            404 => Err(DriverError::UnknownSwitch { dpid: switch }),
            504 => {
                orders.iter_mut().for_each(|(_, outcome)| **outcome = StepOutcome::Unknown);
                Ok(())
            }
            _ => Err(reply.refused()),
        }
    }

    async fn send_one_by_one(&self, switch: Dpid, steps: &mut [Checked<'_>]) -> Result<(), DriverError> {
        // Steps of one kind do not depend on each other; those of the next kind may.
        for kind in steps.chunk_by_mut(|one, next| one.order.kind == next.order.kind) {
            let mut sent = Vec::with_capacity(kind.len());
            for step in kind {
                sent.push(async move {
                    if let Some(fault) = self.post(switch, &step.order).await? {
                        step.outcome = StepOutcome::Refused(fault);
                    }
                    Ok::<(), DriverError>(())
                });
            }
            stream::iter(sent).buffer_unordered(REQUESTS_IN_FLIGHT_MAX).try_collect::<()>().await?;
        }
        self.read_back(switch, steps).await;
        let is_missing = |step: &Checked<'_>| step.outcome == StepOutcome::Refused(SwitchFault::ReadBackDiffers);
        if steps.iter().any(is_missing) {
            for step in steps.iter().filter(|step| is_missing(step)) {
                // A meter that was to be made is there with another rate, or one that was to change is not there.
                if let Some(order) = turned_around(step.step) {
                    self.post(switch, &order).await?;
                }
            }
            tokio::time::sleep(SECOND_LOOK_AFTER).await;
            self.read_back(switch, steps).await;
        }
        Ok(())
    }

    /// Sends one order; the fault where the controller refuses it.
    async fn post(&self, switch: Dpid, order: &Order) -> Result<Option<SwitchFault>, DriverError> {
        let (path, body) = order.request(switch);
        let reply = self.talk.post("write", &path, &body).await?;
        no_such_switch(&reply, switch)?;
        Ok((!reply.is_success()).then_some(SwitchFault::Controller { status: reply.status }))
    }

    /// Reads back what the steps were about. A step whose rule or meter cannot be read stays unknown.
    async fn read_back(&self, switch: Dpid, steps: &mut [Checked<'_>]) {
        let cookies: BTreeSet<Cookie> = steps.iter().filter_map(|step| cookie(step.step)).collect();
        let rules = self.read_cookies(switch, &cookies).await;
        let is_any = |wanted: fn(&RuleStep) -> bool| steps.iter().any(|step| wanted(step.step));
        let meters = if is_any(is_of_meter) { self.read_meters(switch).await } else { Ok(vec![]) };
        let groups = if is_any(is_of_group) { self.read_groups(switch).await } else { Ok(vec![]) };
        let read = ReadBack {
            rules: rules.ok().map(|rules| rules.into_iter().map(|rule| (rule.place.clone(), rule)).collect()),
            meters: meters.ok().map(|meters| meters.into_iter().map(|meter| (meter.id, meter)).collect()),
            groups: groups.ok().map(|groups| groups.into_iter().map(|group| (group.id, group)).collect()),
        };
        for step in steps {
            if matches!(step.outcome, StepOutcome::Refused(SwitchFault::Controller { .. })) {
                continue;
            }
            step.outcome = match read.holds(step.step) {
                None => StepOutcome::Unknown,
                Some(true) => StepOutcome::InForce,
                Some(false) => StepOutcome::Refused(SwitchFault::ReadBackDiffers),
            };
        }
    }

    /// The rules with these cookies, in as few and as small readings as may be.
    async fn read_cookies(&self, switch: Dpid, cookies: &BTreeSet<Cookie>) -> Result<Vec<Rule>, DriverError> {
        let Some(all) = narrowest(cookies) else { return Ok(vec![]) };
        let worth_it = cookies.len() > COOKIES_ONE_BY_ONE
            && self.count(switch, &filter(all)).await? <= cookies.len() as u64 * ROUNDABOUT_MAX;
        if worth_it {
            return self.read(switch, all).await;
        }
        let mut each = Vec::with_capacity(cookies.len());
        for cookie in cookies {
            each.push(self.read(switch, CookieFilter::exactly(*cookie)));
        }
        stream::iter(each).buffered(REQUESTS_IN_FLIGHT_MAX).try_concat().await
    }
}

fn cookie(step: &RuleStep) -> Option<Cookie> {
    match step {
        RuleStep::PutRule(rule) => Some(rule.cookie),
        RuleStep::DeleteRule { cookie, .. } => Some(*cookie),
        _ => None,
    }
}

fn is_of_meter(step: &RuleStep) -> bool {
    matches!(step, RuleStep::AddMeter(_) | RuleStep::ModifyMeter(_) | RuleStep::DeleteMeter(_))
}

fn is_of_group(step: &RuleStep) -> bool {
    matches!(step, RuleStep::AddGroup(_) | RuleStep::ModifyGroup(_) | RuleStep::DeleteGroup(_))
}

/// The first version of the batch that takes a step: groups are new in 2, those that split flows in 4.
fn batch_version(step: &RuleStep) -> u32 {
    match step {
        RuleStep::AddGroup(group) | RuleStep::ModifyGroup(group) if !group.buckets().is_empty() => 4,
        RuleStep::AddGroup(_) | RuleStep::ModifyGroup(_) | RuleStep::DeleteGroup(_) => 2,
        _ => *BATCH_VERSIONS.start(),
    }
}

/// What was read of a switch after steps were sent; `None` where it could not be.
struct ReadBack {
    rules: Option<BTreeMap<RuleKey, Rule>>,
    meters: Option<BTreeMap<MeterId, Meter>>,
    groups: Option<BTreeMap<GroupId, Group>>,
}

impl ReadBack {
    /// Whether what was read is what the step wants; `None` where nothing was read.
    fn holds(&self, step: &RuleStep) -> Option<bool> {
        let Self { rules, meters, groups } = self;
        Some(match step {
            RuleStep::PutRule(rule) => rules.as_ref()?.get(&rule.place) == Some(rule),
            RuleStep::DeleteRule { place, cookie } => {
                rules.as_ref()?.get(place).is_none_or(|rule| rule.cookie != *cookie)
            }
            RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => meters.as_ref()?.get(&meter.id) == Some(meter),
            RuleStep::DeleteMeter(id) => !meters.as_ref()?.contains_key(id),
            RuleStep::AddGroup(group) | RuleStep::ModifyGroup(group) => groups.as_ref()?.get(&group.id) == Some(group),
            RuleStep::DeleteGroup(id) => !groups.as_ref()?.contains_key(id),
        })
    }
}

/// For a meter or group that is there already when it should be made, and the other way round.
fn turned_around(step: &RuleStep) -> Option<Order> {
    let turned = match step {
        RuleStep::AddMeter(meter) => RuleStep::ModifyMeter(*meter),
        RuleStep::ModifyMeter(meter) => RuleStep::AddMeter(*meter),
        RuleStep::AddGroup(group) => RuleStep::ModifyGroup(group.clone()),
        RuleStep::ModifyGroup(group) => RuleStep::AddGroup(group.clone()),
        _ => return None,
    };
    order(&turned).ok()
}

/// What to send once more after a batch, where the switch says that a meter or group is there already or is not there.
fn repair(checked: &Checked<'_>) -> Option<Order> {
    let StepOutcome::Refused(SwitchFault::Switch { kind, code }) = checked.outcome else { return None };
    match (checked.step, kind, code) {
        (RuleStep::AddMeter(_), METER_FAILED, METER_EXISTS)
        | (RuleStep::ModifyMeter(_), METER_FAILED, METER_UNKNOWN)
        | (RuleStep::AddGroup(_), GROUP_FAILED, GROUP_EXISTS)
        | (RuleStep::ModifyGroup(_), GROUP_FAILED, GROUP_UNKNOWN) => turned_around(checked.step),
        (RuleStep::PutRule(_), METER_FAILED, _) | (RuleStep::PutRule(_), BAD_ACTION, BAD_OUT_GROUP) => {
            Some(checked.order.clone())
        }
        _ => None,
    }
}
