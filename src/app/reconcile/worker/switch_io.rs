//! Reads and steps of single switches, as functions that borrow little: many of them run at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::super::App;
use super::super::readback::{self, Content};
use super::super::throttled_driver::{STEPS_AT_ONCE, ThrottledDriver};
use crate::southbound::DriverError;
use kernel::State;
use kernel::allocation::Allocation;
use kernel::controller::Controller;
use kernel::id::{AllocationId, Name};
use kernel::intent::{CookieFilter, Dpid, FlowNumber, Group, Meter, Rule, StepOutcome, Task};
use kernel::topology::Topology;

/// How many allocations are looked at under one lock.
const PAGE: usize = 20_000;

/// The outcomes of the steps of one switch.
pub(super) struct StepResults {
    pub(super) outcomes: Vec<(Task, StepOutcome)>,
    pub(super) error: Option<DriverError>,
}

/// Executes the steps in order, some at once. After an error no more are sent; those that were sent are unknown.
pub(super) async fn execute_steps(driver: &ThrottledDriver, switch: Dpid, tasks: Vec<Task>) -> (Dpid, StepResults) {
    let mut done = StepResults { outcomes: Vec::with_capacity(tasks.len()), error: None };
    for some in tasks.chunks(STEPS_AT_ONCE) {
        let steps: Vec<_> = some.iter().map(|task| task.step.clone()).collect();
        let outcomes = match &done.error {
            Some(_) => vec![],
            None => match driver.apply(switch, &steps).await {
                Ok(outcomes) => outcomes,
                Err(error) => {
                    done.error = Some(error);
                    vec![]
                }
            },
        };
        let outcomes = outcomes.into_iter().chain(std::iter::repeat(StepOutcome::Unknown));
        done.outcomes.extend(some.iter().cloned().zip(outcomes));
    }
    (switch, done)
}

pub(super) async fn read_one(driver: &ThrottledDriver, switch: Dpid) -> (Dpid, Result<Content, DriverError>) {
    (switch, readback::content(driver, switch).await)
}

pub(super) async fn count_one(driver: &ThrottledDriver, switch: Dpid) -> (Dpid, Result<u64, DriverError>) {
    (switch, driver.rule_count(switch, CookieFilter::ALL).await)
}

/// The rules of some allocations on a switch, and all meters and groups.
pub(super) async fn read_allocations(
    driver: &ThrottledDriver,
    switch: Dpid,
    ids: &BTreeSet<AllocationId>,
) -> Result<(Vec<Rule>, Vec<Meter>, Vec<Group>), DriverError> {
    let tag = driver.settings().numbering.cookie_tag();
    let mut rules = vec![];
    for id in ids {
        rules.extend(driver.rules(switch, CookieFilter::of(tag, *id)).await?);
    }
    let meters = driver.meters(switch).await?;
    Ok((rules, meters, driver.groups(switch).await?))
}

pub(super) async fn is_revision(app: App, controller: Arc<Controller>) -> bool {
    let is_this = move |state: &State| {
        state.controller(controller.name.as_str()).is_some_and(|now| now.revision == controller.revision)
    };
    app.read(is_this)
}

pub(super) async fn topology(app: App, name: Name) -> Option<Arc<Topology>> {
    app.read(move |state: &State| state.network(name.as_str()).map(|network| Arc::clone(network.topology())))
}

/// A living allocation, with the number of its flow.
pub(super) type NumberedAllocation = (Arc<Allocation>, Option<FlowNumber>);

pub(super) type TopologyAllocations = (Arc<Topology>, Vec<(AllocationId, Option<NumberedAllocation>)>);

pub(super) async fn find(app: App, topology: Name, ids: Vec<AllocationId>) -> Option<TopologyAllocations> {
    let look = move |state: &State| {
        let network = state.network(topology.as_str())?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let here = state.allocation(id).filter(|lsp| lsp.demand.topology == topology);
            found.push((id, here.map(|lsp| (Arc::clone(lsp), state.flow_number(id)))));
        }
        Some((Arc::clone(network.topology()), found))
    };
    app.read(look)
}

pub(super) type AllocationScan = (Arc<Topology>, Vec<NumberedAllocation>);

pub(super) async fn page_after(app: App, topology: Name, after: Option<AllocationId>) -> Option<AllocationScan> {
    let look = move |state: &State| {
        let network = state.network(topology.as_str())?;
        let numbered = |lsp: &Arc<Allocation>| (Arc::clone(lsp), state.flow_number(lsp.id));
        Some((Arc::clone(network.topology()), state.allocations_after(after).take(PAGE).map(numbered).collect()))
    };
    app.read(look)
}
