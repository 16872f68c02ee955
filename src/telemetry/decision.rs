//! The decision log: a line for a bandwidth request, with the numbers that were compared. Its target is
//! `watermaster::decision`: `RUST_LOG=info,watermaster::decision=off` silences it. At `info` it is a sample of bounded size,
//! by outcome, so that a flood of admissions hides no denial; at `debug` it has every request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Outcomes;
use crate::app::{App, Commit};
use kernel::allocation::{Allocation, Demand};
use kernel::event::{Denial, Displaced, Event};
use kernel::id::{Name, NodeIx};
use kernel::{Fact, State};

const TARGET: &str = "watermaster::decision";
/// The lines a second and outcome at `info`.
const LINES_A_SECOND: u32 = 10;

/// Which requests have a line.
#[derive(Default)]
pub(super) struct DecisionLog {
    samples: Mutex<LogSamples>,
}

#[derive(Default)]
struct LogSamples {
    granted: LogSample,
    denied: LogSample,
}

/// The sample of one outcome.
#[derive(Default)]
struct LogSample {
    /// When the second began, and the lines since.
    second: Option<(Instant, u32)>,
    /// The requests without a line since the last one that has one.
    unlogged: u64,
}

impl LogSample {
    /// How many requests had no line before this one, if this one has.
    fn pick(&mut self, now: Instant) -> Option<u64> {
        match &mut self.second {
            Some((began, lines)) if now.duration_since(*began) < Duration::from_secs(1) => {
                if *lines == LINES_A_SECOND {
                    self.unlogged += 1;
                    return None;
                }
                *lines += 1;
            }
            second => *second = Some((now, 1)),
        }
        Some(std::mem::take(&mut self.unlogged))
    }
}

/// The link of a path on which the least is left, and how much that is, as it is after the commit.
struct Tightest {
    link: String,
    free_bps: u64,
}

impl DecisionLog {
    /// Logs what was decided about requests.
    pub(super) async fn log(&self, app: &App, commit: &Commit) {
        if !tracing::enabled!(target: TARGET, tracing::Level::INFO) {
            return;
        }
        let picked = self.pick(&commit.facts, Instant::now());
        if picked.is_empty() {
            return;
        }
        let tightest = app.read(|state| picked.iter().map(|(fact, _)| tightest(state, fact)).collect::<Vec<_>>());
        for ((fact, unlogged), tightest) in picked.into_iter().zip(tightest) {
            match &fact.event {
                Event::Admitted { allocation, displaced } => {
                    admitted(fact, "admitted", allocation, displaced, tightest.as_ref(), unlogged);
                }
                Event::Resized { allocation, displaced } => {
                    admitted(fact, "resized", allocation, displaced, tightest.as_ref(), unlogged);
                }
                Event::Started { allocation, displaced } => {
                    admitted(fact, "started", allocation, displaced, tightest.as_ref(), unlogged);
                }
                Event::Denied { demand, denial, .. } => denied(fact, demand, denial, unlogged),
                _ => {}
            }
        }
    }

    /// The facts that have a line, each with the number of those before it that have none.
    fn pick<'a>(&self, facts: &'a [Arc<Fact>], now: Instant) -> Vec<(&'a Fact, Option<u64>)> {
        let has_all = tracing::enabled!(target: TARGET, tracing::Level::DEBUG);
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let mut picked = Vec::new();
        for fact in facts {
            let sample = match &fact.event {
                Event::Admitted { .. } | Event::Resized { .. } | Event::Started { .. } => &mut samples.granted,
                Event::Denied { .. } => &mut samples.denied,
                _ => continue,
            };
            if has_all {
                picked.push((&**fact, None));
            } else if let Some(unlogged) = sample.pick(now) {
                picked.push((&**fact, Some(unlogged).filter(|unlogged| *unlogged > 0)));
            }
        }
        picked
    }
}

fn tightest(state: &State, fact: &Fact) -> Option<Tightest> {
    let (Event::Admitted { allocation, .. } | Event::Resized { allocation, .. } | Event::Started { allocation, .. }) =
        &fact.event
    else {
        return None;
    };
    let network = state.network(allocation.demand.topology.as_str())?;
    let ledger = network.ledger();
    let slot = ledger.slots().iter().find(|slot| ledger.slots().class_type(*slot) == allocation.demand.class_type)?;
    // The topology may have another revision by now: links are the same by name, not by number.
    let free = fact.names.path(&allocation.path).filter_map(|link| {
        let ix = network.topology().link_named(link.as_str())?;
        Some(Tightest { link: link.to_string(), free_bps: ledger.free_bps(ix, slot) })
    });
    free.min_by_key(|link| link.free_bps)
}

fn node(fact: &Fact, node: NodeIx) -> &str {
    fact.names.node(node).map_or("", Name::as_str)
}

fn admitted(
    fact: &Fact,
    outcome: &'static str,
    allocation: &Allocation,
    displaced: &[Displaced],
    tightest: Option<&Tightest>,
    unlogged: Option<u64>,
) {
    let demand = &allocation.demand;
    let Outcomes { preempted, devolved, rerouted, unprotected, failed } = Outcomes::of(displaced);
    tracing::info!(
        target: TARGET,
        sequence = fact.sequence.0, outcome, id = %allocation.id, topology = %demand.topology,
        ingress = node(fact, demand.ingress), egress = node(fact, demand.egress),
        class_type = demand.class_type.number(), setup_priority = demand.setup_priority.number(),
        requested_bps = demand.bandwidth.as_bps(), hops = allocation.path.len(),
        tightest_link = tightest.map(|link| link.link.as_str()), left_bps = tightest.map(|link| link.free_bps),
        preempted, devolved, rerouted, unprotected, failed, aggregator = demand.attributes.aggregator.as_ref().map(Name::as_str),
        unlogged, "decision"
    );
}

fn denied(fact: &Fact, demand: &Demand, denial: &Denial, unlogged: Option<u64>) {
    let (binding, largest_admissible_bps) = match denial {
        Denial::InsufficientBandwidth { binding, largest_admissible } => {
            (binding.iter().min_by_key(|link| link.available), Some(largest_admissible.as_bps()))
        }
        _ => (None, None),
    };
    tracing::info!(
        target: TARGET,
        sequence = fact.sequence.0, outcome = "denied", topology = %demand.topology,
        ingress = node(fact, demand.ingress), egress = node(fact, demand.egress),
        class_type = demand.class_type.number(), setup_priority = demand.setup_priority.number(),
        requested_bps = demand.bandwidth.as_bps(), reason = super::reason(denial),
        binding_link = binding.and_then(|binding| fact.names.link(binding.link)).map(Name::as_str),
        available_bps = binding.map(|binding| binding.available.as_bps()), largest_admissible_bps,
        aggregator = demand.attributes.aggregator.as_ref().map(Name::as_str),
        unlogged, "decision"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines_and_the_next_line_counts_the_others() {
        let began = Instant::now();
        let mut sample = LogSample::default();
        let lines = (0..1_000).filter_map(|_| sample.pick(began)).collect::<Vec<_>>();
        assert_eq!(lines, [0; LINES_A_SECOND as usize]);
        assert_eq!(sample.pick(began + Duration::from_millis(999)), None);
        assert_eq!(sample.pick(began + Duration::from_secs(1)), Some(991));
        assert_eq!(sample.pick(began + Duration::from_secs(1)), Some(0));
    }
}
