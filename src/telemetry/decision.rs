//! The decision log: one line for each bandwidth request, with the numbers that were compared. Its target is
//! `watermaster::decision`: `RUST_LOG=info,watermaster::decision=off` silences it.

use crate::app::{App, Commit};
use kernel::allocation::{Allocation, Demand};
use kernel::event::{Denial, Displaced, Event, Fate};
use kernel::id::{Name, NodeIx};
use kernel::{Fact, State};

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
        match &fact.event {
            Event::Admitted { allocation, displaced } => {
                admitted(fact, "admitted", allocation, displaced, tightest.as_ref());
            }
            Event::Resized { allocation, displaced } => {
                admitted(fact, "resized", allocation, displaced, tightest.as_ref());
            }
            Event::Denied { demand, denial, .. } => denied(fact, demand, denial),
            _ => {}
        }
    }
}

fn tightest(state: &State, fact: &Fact) -> Option<Tightest> {
    let (Event::Admitted { allocation, .. } | Event::Resized { allocation, .. }) = &fact.event else { return None };
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
) {
    let demand = &allocation.demand;
    let ended = displaced.iter().filter(|gone| matches!(gone.fate, Fate::Ended(_))).count();
    tracing::info!(
        target: TARGET,
        sequence = fact.sequence.0, outcome, id = %allocation.id, topology = %demand.topology,
        ingress = node(fact, demand.ingress), egress = node(fact, demand.egress),
        class_type = demand.class_type.number(), setup_priority = demand.setup_priority.number(),
        requested_bps = demand.bandwidth.as_bps(), hops = allocation.path.len(),
        tightest_link = tightest.map(|link| link.link.as_str()), left_bps = tightest.map(|link| link.free_bps),
        ended, rerouted = displaced.len() - ended, aggregator = demand.attributes.aggregator.as_ref().map(Name::as_str),
        "decision"
    );
}

fn denied(fact: &Fact, demand: &Demand, denial: &Denial) {
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
        "decision"
    );
}
