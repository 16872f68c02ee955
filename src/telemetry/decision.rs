//! The decision log: one line for each bandwidth request, with the numbers that were compared. Its target is
//! `watermaster::decision`: `RUST_LOG=info,watermaster::decision=off` silences it.

use crate::app::record::{AllocationRecord, DemandRecord, DenialRecord, DisplacedRecord, EventRecord, FateWord};
use crate::app::{App, Commit, Fact};
use kernel::State;
use kernel::class::ClassType;

const TARGET: &str = "watermaster::decision";

/// The link of a path on which the least is left, and how much that is, as it is after the commit.
struct Tightest {
    link: String,
    free_bps: u64,
}

/// Logs what was decided about requests.
pub(super) async fn log(app: &App, commit: &Commit) {
    if !tracing::enabled!(target: TARGET, tracing::Level::INFO) {
        return;
    }
    let tightest = app.read(|state| commit.facts.iter().map(|fact| tightest(state, fact)).collect::<Vec<_>>()).await;
    for (fact, tightest) in commit.facts.iter().zip(tightest) {
        match &fact.record {
            EventRecord::AllocationAdmitted { allocation, displaced } => {
                admitted(fact, "admitted", allocation, displaced, tightest.as_ref());
            }
            EventRecord::AllocationResized { allocation, displaced } => {
                admitted(fact, "resized", allocation, displaced, tightest.as_ref());
            }
            EventRecord::AllocationDenied { demand, denial } => denied(fact, demand, denial),
            _ => {}
        }
    }
}

fn tightest(state: &State, fact: &Fact) -> Option<Tightest> {
    let (EventRecord::AllocationAdmitted { allocation, .. } | EventRecord::AllocationResized { allocation, .. }) =
        &fact.record
    else {
        return None;
    };
    let network = state.network(allocation.topology.0.as_str())?;
    let class_type = ClassType::new(allocation.class_type)?;
    let ledger = network.ledger();
    let slot = ledger.slots().iter().find(|slot| ledger.slots().class_type(*slot) == class_type)?;
    let free = allocation.path.iter().filter_map(|link| {
        let ix = network.topology().link_named(link.0.as_str())?;
        Some(Tightest { link: link.to_string(), free_bps: ledger.free_bps(ix, slot) })
    });
    free.min_by_key(|link| link.free_bps)
}

fn admitted(
    fact: &Fact,
    outcome: &'static str,
    allocation: &AllocationRecord,
    displaced: &[DisplacedRecord],
    tightest: Option<&Tightest>,
) {
    let ended = displaced.iter().filter(|gone| matches!(gone.fate, FateWord::Ended(_))).count();
    tracing::info!(
        target: TARGET,
        sequence = fact.sequence.0, outcome, id = %allocation.id, topology = %allocation.topology,
        ingress = %allocation.ingress, egress = %allocation.egress, class_type = allocation.class_type,
        setup_priority = allocation.setup_priority, requested_bps = allocation.bandwidth_bps,
        hops = allocation.path.len(), tightest_link = tightest.map(|link| link.link.as_str()),
        left_bps = tightest.map(|link| link.free_bps), ended, rerouted = displaced.len() - ended,
        aggregator = allocation.aggregator.as_ref().map(|name| name.0.as_str()),
        "decision"
    );
}

fn denied(fact: &Fact, demand: &DemandRecord, denial: &DenialRecord) {
    let (binding, largest_admissible_bps) = match denial {
        DenialRecord::InsufficientBandwidth { binding, largest_admissible_bps } => {
            (binding.iter().min_by_key(|link| link.available_bps), Some(*largest_admissible_bps))
        }
        _ => (None, None),
    };
    tracing::info!(
        target: TARGET,
        sequence = fact.sequence.0, outcome = "denied", topology = %demand.topology, ingress = %demand.ingress,
        egress = %demand.egress, class_type = demand.class_type, setup_priority = demand.setup_priority,
        requested_bps = demand.bandwidth_bps, reason = super::reason(denial),
        binding_link = binding.map(|link| link.link.0.as_str()), available_bps = binding.map(|link| link.available_bps),
        largest_admissible_bps, aggregator = demand.aggregator.as_ref().map(|name| name.0.as_str()),
        "decision"
    );
}
