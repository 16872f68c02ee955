//! Steps on a switch, whatever the dialect: each is checked, sent, and believed only when it was acknowledged or read back.
//!
//! What must stay true: nothing is sent that was not checked. A deletion is sent only when the rule that replaces the
//! deleted one is known to be in force: a rule is not deleted for a successor that was refused, nor a meter or group that a
//! rule may still use. Each step has one outcome.

use std::collections::BTreeSet;
use std::future::Future;

use super::{DriverError, STEPS_MAX};
use kernel::id::AllocationId;
use kernel::intent::{Action, GroupId, Match, MeterId, Numbering, PortNo, Rule, RuleStep, StepOutcome, SwitchFault};

/// One call's exchange with one switch, in the dialect of its controller.
pub(super) trait SwitchExchange: Sync {
    /// A step in the dialect.
    type Order: Send;

    /// Consecutive steps of one phase are sent together; each phase waits for the outcomes of the one before.
    fn phase(step: &RuleStep) -> u8;

    /// # Errors
    /// The dialect cannot express the step.
    fn encode(step: &RuleStep) -> Result<Self::Order, SwitchFault>;

    /// Sends the steps of one phase and sets their outcomes, which are unknown before.
    ///
    /// # Errors
    /// Nothing is known of any of the steps.
    fn send(&self, steps: &mut [CheckedStep<'_, Self::Order>]) -> impl Future<Output = Result<(), DriverError>> + Send;
}

/// A step that passed the checks.
pub(super) struct CheckedStep<'a, O> {
    /// Its place in the call.
    at: usize,
    pub(super) step: &'a RuleStep,
    pub(super) order: O,
    pub(super) outcome: StepOutcome,
}

/// The skeleton of [`Driver::apply`](super::Driver::apply). `ports` are those of the switch, where a step names some.
///
/// # Errors
/// Nothing is known of any of the steps.
pub(super) async fn apply_steps<E: SwitchExchange>(
    exchange: &E,
    numbering: Numbering,
    ports: Option<&BTreeSet<PortNo>>,
    steps: &[RuleStep],
) -> Result<Vec<StepOutcome>, DriverError> {
    if steps.len() > STEPS_MAX {
        return Err(DriverError::Unsupported { what: "take so many steps at once" });
    }
    let mut outcomes = vec![StepOutcome::Unknown; steps.len()];
    let mut failed = Failed::default();
    let steps: Vec<(usize, &RuleStep)> = steps.iter().enumerate().collect();
    for phase in steps.chunk_by(|(_, one), (_, next)| E::phase(one) == E::phase(next)) {
        let mut checked = Vec::with_capacity(phase.len());
        for (at, step) in phase {
            match check(step, numbering, ports, &failed).and_then(|()| E::encode(step)) {
                Ok(order) => checked.push(CheckedStep { at: *at, step, order, outcome: StepOutcome::Unknown }),
                Err(fault) => {
                    outcomes[*at] = StepOutcome::Refused(fault);
                    failed.add(step);
                }
            }
        }
        if checked.is_empty() {
            continue;
        }
        exchange.send(&mut checked).await?;
        for CheckedStep { at, step, outcome, .. } in checked {
            if outcome != StepOutcome::InForce {
                failed.add(step);
            }
            outcomes[at] = outcome;
        }
    }
    Ok(outcomes)
}

/// What failed in one call: steps that depend on it are refused.
#[derive(Default)]
struct Failed {
    meters: BTreeSet<MeterId>,
    groups: BTreeSet<GroupId>,
    allocations: BTreeSet<AllocationId>,
}

impl Failed {
    fn add(&mut self, step: &RuleStep) {
        match step {
            RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => self.meters.insert(meter.id),
            RuleStep::PutRule(Rule { cookie, .. }) | RuleStep::DeleteRule { cookie, .. } => {
                self.allocations.insert(cookie.allocation())
            }
            RuleStep::AddGroup(group) | RuleStep::ModifyGroup(group) => self.groups.insert(group.id),
            RuleStep::DeleteMeter(_) | RuleStep::DeleteGroup(_) => false,
        };
    }

    fn blocks(&self, step: &RuleStep) -> bool {
        match step {
            RuleStep::AddMeter(_) | RuleStep::ModifyMeter(_) | RuleStep::AddGroup(_) | RuleStep::ModifyGroup(_) => {
                false
            }
            RuleStep::PutRule(rule) => rule.actions.iter().any(|action| match action {
                Action::Meter(id) => self.meters.contains(id),
                Action::Group(id) => self.groups.contains(id),
                _ => false,
            }),
            RuleStep::DeleteRule { cookie, .. } => self.allocations.contains(&cookie.allocation()),
            // A switch deletes rules with their meter or group, whose id does not name its allocation.
            RuleStep::DeleteMeter(_) | RuleStep::DeleteGroup(_) => !self.allocations.is_empty(),
        }
    }
}

/// # Errors
/// The step names a missing port, is about a rule or meter that is not ours, or depends on a step that failed.
fn check(
    step: &RuleStep,
    numbering: Numbering,
    ports: Option<&BTreeSet<PortNo>>,
    failed: &Failed,
) -> Result<(), SwitchFault> {
    if let Some(ports) = ports
        && let Some(port) = used_ports(step).into_iter().find(|port| !ports.contains(port))
    {
        return Err(SwitchFault::NoSuchPort { port });
    }
    let (is_foreign, what) = match step {
        RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => {
            (!numbering.has_meter(meter.id) || meter.rate_kbps == 0 || meter.burst_kbit == 0, "make such a meter")
        }
        RuleStep::DeleteMeter(id) => (!numbering.has_meter(*id), "delete a meter that is not ours"),
        RuleStep::AddGroup(group) | RuleStep::ModifyGroup(group) => {
            (!numbering.has_group(group.id) || !group.is_of_our_form(), "make such a group")
        }
        RuleStep::DeleteGroup(id) => (!numbering.has_group(*id), "delete a group that is not ours"),
        RuleStep::PutRule(rule) => (!numbering.has_rule(rule), "write a rule that is not ours"),
        RuleStep::DeleteRule { cookie, .. } => {
            (cookie.tag() != numbering.cookie_tag(), "delete a rule that is not ours")
        }
    };
    if is_foreign {
        return Err(SwitchFault::Unsupported { what });
    }
    if failed.blocks(step) { Err(SwitchFault::AfterFailure) } else { Ok(()) }
}

/// A port that a rule may name.
///
/// # Errors
/// It is none, or a reserved one.
pub(super) fn real_port(port: PortNo) -> Result<u32, SwitchFault> {
    if port.0 == 0 || port > PortNo::MAX { Err(SwitchFault::NoSuchPort { port }) } else { Ok(port.0) }
}

/// The ports that a step needs.
pub(super) fn used_ports(step: &RuleStep) -> Vec<PortNo> {
    match step {
        RuleStep::PutRule(rule) => {
            let sent_to = rule.actions.iter().filter_map(|action| match action {
                Action::Output(port) => Some(*port),
                _ => None,
            });
            let comes_from = match &rule.place.matches {
                Match::Ip(ip) => ip.in_port,
                Match::Mpls { in_port, .. } => *in_port,
                Match::Foreign { .. } => None,
            };
            sent_to.chain(comes_from).collect()
        }
        RuleStep::AddGroup(group) | RuleStep::ModifyGroup(group) => group.ports(),
        RuleStep::AddMeter(_)
        | RuleStep::ModifyMeter(_)
        | RuleStep::DeleteRule { .. }
        | RuleStep::DeleteMeter(_)
        | RuleStep::DeleteGroup(_) => vec![],
    }
}
