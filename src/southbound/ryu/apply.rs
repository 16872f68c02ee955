//! Steps on a switch: checked, sent, and believed only when they were acknowledged or read back.
//!
//! What must stay true: nothing is sent that was not checked; what takes away is sent only when what it would be missed by
//! is known to stand (a rule is not deleted for a successor that was refused, nor a meter that a rule may still use); and
//! each step has one outcome, in the same order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use super::super::validate::{Failed, check, takes_away};
use super::super::{DriverError, REQUESTS_IN_FLIGHT_MAX, STEPS_MAX};
use super::encode::{Order, order};
use super::{Ryu, narrowest, no_such_switch};
use kernel::intent::{
    Cookie, CookieFilter, Dpid, Match, Meter, MeterId, Rule, RuleKey, RuleStep, StepOutcome, SwitchFault,
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

/// A step that passed, and how it is said.
struct Checked<'a> {
    at: usize,
    step: &'a RuleStep,
    order: Order,
}

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

impl Ryu {
    /// See [`super::Driver::apply`].
    pub(super) async fn carry_out(&self, switch: Dpid, steps: &[RuleStep]) -> Result<Vec<StepOutcome>, DriverError> {
        if steps.len() > STEPS_MAX {
            return Err(DriverError::Unsupported { what: "take so many steps at once" });
        }
        let ports = if steps.iter().any(|step| matches!(step, RuleStep::PutRule(_))) {
            Some(self.read_ports(switch).await?.into_iter().map(|port| port.number).collect())
        } else {
            None
        };
        let way = self.way().await?;
        let mut outcomes = vec![StepOutcome::Unknown; steps.len()];
        let mut failed = Failed::default();
        let mut at = 0;
        let phases: Vec<&[RuleStep]> = steps.chunk_by(|one, next| takes_away(one) == takes_away(next)).collect();
        for phase in phases {
            let mut checked = vec![];
            for step in phase {
                match check(step, ports.as_ref(), &failed).and_then(|()| order(step)) {
                    Ok(order) => checked.push(Checked { at, step, order }),
                    Err(fault) => outcomes[at] = StepOutcome::Refused(fault),
                }
                if outcomes[at] != StepOutcome::Unknown {
                    failed.note(step);
                }
                at += 1;
            }
            for (step, outcome) in checked.iter().zip(self.send(switch, &checked, way).await?) {
                if outcome != StepOutcome::InForce {
                    failed.note(step.step);
                }
                outcomes[step.at] = outcome;
            }
        }
        Ok(outcomes)
    }

    /// Whether the controller has the batch.
    async fn way(&self) -> Result<BatchMode, DriverError> {
        let reply = self.talk.get("ask for the batch", "watermaster/batch").await?;
        match reply.json::<About>() {
            Ok(about) if about.version == 1 && about.items_max > 0 => {
                Ok(BatchMode::Batch(about.items_max.min(STEPS_MAX)))
            }
            Ok(_) => Ok(BatchMode::OneByOne),
            Err(DriverError::Refused { status: 404 | 405, .. }) => Ok(BatchMode::OneByOne),
            Err(error) => Err(error),
        }
    }

    /// Sends one phase and says what is known of each step.
    async fn send(&self, switch: Dpid, steps: &[Checked<'_>], way: BatchMode) -> Result<Vec<StepOutcome>, DriverError> {
        // The batch takes only what we write; what somebody else wrote under our cookie is deleted in its own words.
        let strange = steps.iter().any(|step| is_strange(step.step));
        match way {
            BatchMode::Batch(items_max) if !strange => {
                let mut outcomes = vec![];
                for part in steps.chunks(items_max) {
                    outcomes.extend(self.send_batch(switch, part).await?);
                }
                Ok(outcomes)
            }
            _ => self.send_one_by_one(switch, steps).await,
        }
    }

    async fn send_batch(&self, switch: Dpid, steps: &[Checked<'_>]) -> Result<Vec<StepOutcome>, DriverError> {
        let orders: Vec<Order> = steps.iter().map(|step| step.order.clone()).collect();
        let mut outcomes = self.batch(switch, &orders).await?;
        // A meter that is there already is given the rate; one that has gone is made again, and with it its rules.
        let again: Vec<(usize, Order)> = steps.iter().zip(&outcomes).enumerate().filter_map(repair).collect();
        if !again.is_empty() {
            let orders: Vec<Order> = again.iter().map(|(_, order)| order.clone()).collect();
            for ((at, _), outcome) in again.iter().zip(self.batch(switch, &orders).await?) {
                outcomes[*at] = outcome;
            }
        }
        Ok(outcomes)
    }

    async fn batch(&self, switch: Dpid, orders: &[Order]) -> Result<Vec<StepOutcome>, DriverError> {
        let body = json!({"items": orders.iter().map(Order::item).collect::<Vec<_>>()});
        let reply = self.talk.post("batch", &format!("watermaster/batch/{}", switch.0), &body).await?;
        match reply.status {
            200 | 409 => {
                let said: Acknowledged = serde_json::from_slice(&reply.body).map_err(|_| reply.garbage())?;
                let sound = said.sent == orders.len() && said.errors.iter().all(|error| error.index < orders.len());
                if !sound {
                    return Err(reply.garbage());
                }
                let mut outcomes = vec![StepOutcome::InForce; orders.len()];
                for RuleRefusal { index, kind, code } in said.errors {
                    outcomes[index] = StepOutcome::Refused(SwitchFault::Switch { kind, code });
                }
                Ok(outcomes)
            }
            404 => Err(DriverError::UnknownSwitch { dpid: switch }),
            504 => Ok(vec![StepOutcome::Unknown; orders.len()]),
            _ => Err(reply.refused()),
        }
    }

    async fn send_one_by_one(&self, switch: Dpid, steps: &[Checked<'_>]) -> Result<Vec<StepOutcome>, DriverError> {
        let mut outcomes = vec![StepOutcome::Unknown; steps.len()];
        // Steps of one kind do not depend on each other; those of the next kind may.
        let mut from = 0;
        let kinds: Vec<&[Checked<'_>]> = steps.chunk_by(|one, next| one.order.kind == next.order.kind).collect();
        for kind in kinds {
            let mut sent = Vec::with_capacity(kind.len());
            for step in kind {
                sent.push(self.post(switch, &step.order));
            }
            let sent = stream::iter(sent).buffered(REQUESTS_IN_FLIGHT_MAX);
            let refused: Vec<Option<SwitchFault>> = sent.try_collect().await?;
            for (at, fault) in refused.into_iter().enumerate() {
                if let Some(fault) = fault {
                    outcomes[from + at] = StepOutcome::Refused(fault);
                }
            }
            from += kind.len();
        }
        self.look(switch, steps, &mut outcomes).await;
        let missing = |outcome: &StepOutcome| *outcome == StepOutcome::Refused(SwitchFault::ReadBackDiffers);
        if outcomes.iter().any(missing) {
            for (step, outcome) in steps.iter().zip(&outcomes) {
                // A meter that was to be made is there with another rate, or one that was to change is not there.
                if let (true, Some(order)) = (missing(outcome), turned_around(step.step)) {
                    self.post(switch, &order).await?;
                }
            }
            tokio::time::sleep(SECOND_LOOK_AFTER).await;
            self.look(switch, steps, &mut outcomes).await;
        }
        Ok(outcomes)
    }

    /// Sends one order; the fault where the controller refuses it.
    async fn post(&self, switch: Dpid, order: &Order) -> Result<Option<SwitchFault>, DriverError> {
        let (path, body) = order.request(switch);
        let reply = self.talk.post("write", &path, &body).await?;
        no_such_switch(&reply, switch)?;
        Ok((!reply.is_success()).then_some(SwitchFault::Controller { status: reply.status }))
    }

    /// Reads back what the steps were about. What cannot be read stays unknown.
    async fn look(&self, switch: Dpid, steps: &[Checked<'_>], outcomes: &mut [StepOutcome]) {
        let cookies: BTreeSet<Cookie> = steps.iter().filter_map(|step| cookie(step.step)).collect();
        let rules = self.read_cookies(switch, &cookies).await;
        let metered = steps.iter().any(|step| cookie(step.step).is_none());
        let meters = if metered { self.read_meters(switch).await } else { Ok(vec![]) };
        let rules: Option<BTreeMap<RuleKey, Rule>> =
            rules.ok().map(|rules| rules.into_iter().map(|rule| (rule.place.clone(), rule)).collect());
        let meters: Option<BTreeMap<MeterId, Meter>> =
            meters.ok().map(|meters| meters.into_iter().map(|meter| (meter.id, meter)).collect());
        for (step, outcome) in steps.iter().zip(outcomes) {
            if matches!(outcome, StepOutcome::Refused(SwitchFault::Controller { .. })) {
                continue;
            }
            *outcome = match holds(step.step, rules.as_ref(), meters.as_ref()) {
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
            && self.count(switch, all).await? <= cookies.len() as u64 * ROUNDABOUT_MAX;
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

fn is_strange(step: &RuleStep) -> bool {
    matches!(step, RuleStep::DeleteRule { place: RuleKey { matches: Match::Opaque(_), .. }, .. })
}

fn cookie(step: &RuleStep) -> Option<Cookie> {
    match step {
        RuleStep::PutRule(rule) => Some(rule.cookie),
        RuleStep::DeleteRule { cookie, .. } => Some(*cookie),
        RuleStep::AddMeter(_) | RuleStep::ModifyMeter(_) | RuleStep::DeleteMeter(_) => None,
    }
}

/// Whether what was read is what the step wants; `None` where nothing was read.
fn holds(
    step: &RuleStep,
    rules: Option<&BTreeMap<RuleKey, Rule>>,
    meters: Option<&BTreeMap<MeterId, Meter>>,
) -> Option<bool> {
    match step {
        RuleStep::PutRule(rule) => rules.map(|rules| rules.get(&rule.place) == Some(rule)),
        RuleStep::DeleteRule { place, cookie } => {
            rules.map(|rules| rules.get(place).is_none_or(|rule| rule.cookie != *cookie))
        }
        RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => {
            meters.map(|meters| meters.get(&meter.id) == Some(meter))
        }
        RuleStep::DeleteMeter(id) => meters.map(|meters| !meters.contains_key(id)),
    }
}

/// For a meter that is there already when it should be made, and the other way round.
fn turned_around(step: &RuleStep) -> Option<Order> {
    match step {
        RuleStep::AddMeter(meter) => order(&RuleStep::ModifyMeter(*meter)).ok(),
        RuleStep::ModifyMeter(meter) => order(&RuleStep::AddMeter(*meter)).ok(),
        RuleStep::PutRule(_) | RuleStep::DeleteRule { .. } | RuleStep::DeleteMeter(_) => None,
    }
}

/// What to send once more after a batch, where the switch says that a meter is there already or is not there.
fn repair((at, (checked, outcome)): (usize, (&Checked<'_>, &StepOutcome))) -> Option<(usize, Order)> {
    let StepOutcome::Refused(SwitchFault::Switch { kind: METER_FAILED, code }) = outcome else { return None };
    let order = match (checked.step, *code) {
        (RuleStep::AddMeter(_), METER_EXISTS) | (RuleStep::ModifyMeter(_), METER_UNKNOWN) => {
            turned_around(checked.step)?
        }
        (RuleStep::PutRule(_), _) => checked.order.clone(),
        _ => return None,
    };
    Some((at, order))
}
