//! What every driver looks at before it sends a step: whether it is ours to take, whether the ports are there, and whether
//! something it depends on has failed before it.
//!
//! What must stay true: what takes away is taken only when what it would be missed by is known to stand. A rule is not
//! deleted for a successor that was refused, nor a meter that a rule may still use.

use std::collections::BTreeSet;

use kernel::id::AllocationId;
use kernel::intent::{Action, Match, MeterId, PortNo, Rule, RuleStep, SwitchFault};

/// What did not come about in one call: what depends on it is left out.
#[derive(Default)]
pub(super) struct Failed {
    meters: BTreeSet<MeterId>,
    allocations: BTreeSet<AllocationId>,
}

impl Failed {
    /// Remembers a step that did not take.
    pub(super) fn note(&mut self, step: &RuleStep) {
        match step {
            RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => self.meters.insert(meter.id),
            RuleStep::PutRule(Rule { cookie, .. }) | RuleStep::DeleteRule { cookie, .. } => {
                self.allocations.insert(cookie.allocation())
            }
            RuleStep::DeleteMeter(_) => false,
        };
    }

    fn stands_in_the_way(&self, step: &RuleStep) -> bool {
        match step {
            RuleStep::AddMeter(_) | RuleStep::ModifyMeter(_) => false,
            RuleStep::PutRule(rule) => rule.actions.iter().any(|action| match action {
                Action::Meter(id) => self.meters.contains(id),
                _ => false,
            }),
            RuleStep::DeleteRule { cookie, .. } => self.allocations.contains(&cookie.allocation()),
            // A rule vanishes with its meter, and a meter does not say whose it is.
            RuleStep::DeleteMeter(_) => !self.allocations.is_empty(),
        }
    }
}

/// Whether a step may be sent, to a switch with these ports where that matters.
///
/// # Errors
/// It may not.
pub(super) fn check(step: &RuleStep, ports: Option<&BTreeSet<PortNo>>, failed: &Failed) -> Result<(), SwitchFault> {
    if let (RuleStep::PutRule(rule), Some(ports)) = (step, ports)
        && let Some(port) = used_ports(rule).find(|port| !ports.contains(port))
    {
        return Err(SwitchFault::NoSuchPort { port });
    }
    let (strange, what) = match step {
        RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => {
            (!meter.id.is_ours() || meter.rate_kbps == 0 || meter.burst_kbit == 0, "make such a meter")
        }
        RuleStep::DeleteMeter(id) => (!id.is_ours(), "delete a meter that is not ours"),
        RuleStep::PutRule(rule) => {
            (!rule.cookie.is_ours() || matches!(rule.place.matches, Match::Opaque(_)), "write a rule that is not ours")
        }
        RuleStep::DeleteRule { cookie, .. } => (!cookie.is_ours(), "delete a rule that is not ours"),
    };
    if strange {
        return Err(SwitchFault::Unsupported { what });
    }
    if failed.stands_in_the_way(step) { Err(SwitchFault::AfterFailure) } else { Ok(()) }
}

/// Whether a step takes something away.
pub(super) fn takes_away(step: &RuleStep) -> bool {
    matches!(step, RuleStep::DeleteRule { .. } | RuleStep::DeleteMeter(_))
}

/// A port that a rule may name.
///
/// # Errors
/// It is none, or a reserved one.
pub(super) fn real_port(port: PortNo) -> Result<u32, SwitchFault> {
    if port.0 == 0 || port > PortNo::MAX { Err(SwitchFault::NoSuchPort { port }) } else { Ok(port.0) }
}

fn used_ports(rule: &Rule) -> impl Iterator<Item = PortNo> {
    let sent_to = rule.actions.iter().filter_map(|action| match action {
        Action::Output(port) => Some(*port),
        _ => None,
    });
    let comes_from = match &rule.place.matches {
        Match::Ipv4(ipv4) => ipv4.in_port,
        Match::Mpls { .. } | Match::Opaque(_) => None,
    };
    sent_to.chain(comes_from)
}
