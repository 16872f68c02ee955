//! A driver as the reconciler uses it: one call at a time for a switch, [`REQUESTS_IN_FLIGHT_MAX`] in all, each with a
//! timeout.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::timeout;

use crate::southbound::{
    Adjacency, Driver, DriverError, DriverFuture, Port, PortCounters, REQUESTS_IN_FLIGHT_MAX, RuleCounters, STEPS_MAX,
    SwitchContent, Unreachable,
};
use kernel::controller::Controller;
use kernel::id::Sequence;
use kernel::intent::{CookieFilter, Dpid, Group, Meter, PortNo, Rule, RuleSettings, RuleStep, StepOutcome};

/// How long a question may take.
const QUESTION_MAX: Duration = Duration::from_secs(10);
/// How long a list of steps may take.
const STEPS_TIME_MAX: Duration = Duration::from_secs(60);
/// How many steps are given to a switch at once. Small enough that a read does not wait long.
pub(super) const STEPS_AT_ONCE: usize = if STEPS_MAX < 200 { STEPS_MAX } else { 200 };

/// A driver with its turns.
#[derive(Debug)]
pub(super) struct ThrottledDriver {
    driver: Arc<dyn Driver>,
    revision: Sequence,
    settings: RuleSettings,
    permits: Semaphore,
    turns: Mutex<BTreeMap<Dpid, Arc<Turn<()>>>>,
}

impl ThrottledDriver {
    pub(super) fn new(driver: Arc<dyn Driver>, controller: &Controller) -> Self {
        let Controller { revision, settings, .. } = *controller;
        Self { driver, revision, settings, permits: Semaphore::new(REQUESTS_IN_FLIGHT_MAX), turns: Mutex::default() }
    }

    /// The event that last changed the controller that it is for.
    pub(super) fn revision(&self) -> Sequence {
        self.revision
    }

    /// How rules and meters of its switches are made.
    pub(super) fn settings(&self) -> &RuleSettings {
        &self.settings
    }

    pub(super) async fn apply(&self, switch: Dpid, steps: &[RuleStep]) -> Result<Vec<StepOutcome>, DriverError> {
        self.in_turn(switch, STEPS_TIME_MAX, |driver| driver.apply(switch, steps)).await
    }

    pub(super) async fn rules(&self, switch: Dpid, which: CookieFilter) -> Result<Vec<Rule>, DriverError> {
        self.in_turn(switch, QUESTION_MAX, |driver| driver.rules(switch, which)).await
    }

    pub(super) async fn rule_count(&self, switch: Dpid, which: CookieFilter) -> Result<u64, DriverError> {
        self.in_turn(switch, QUESTION_MAX, |driver| driver.rule_count(switch, which)).await
    }

    pub(super) async fn rule_count_to(
        &self,
        switch: Dpid,
        which: CookieFilter,
        port: PortNo,
    ) -> Result<u64, DriverError> {
        self.in_turn(switch, QUESTION_MAX, |driver| driver.rule_count_to(switch, which, port)).await
    }

    pub(super) async fn rule_counters(&self, switch: Dpid, which: CookieFilter) -> Result<RuleCounters, DriverError> {
        self.in_turn(switch, QUESTION_MAX, |driver| driver.rule_counters(switch, which)).await
    }

    pub(super) async fn meters(&self, switch: Dpid) -> Result<Vec<Meter>, DriverError> {
        self.in_turn(switch, QUESTION_MAX, |driver| driver.meters(switch)).await
    }

    pub(super) fn has_groups(&self) -> bool {
        self.driver.has_groups()
    }

    pub(super) async fn groups(&self, switch: Dpid) -> Result<Vec<Group>, DriverError> {
        self.in_turn(switch, QUESTION_MAX, |driver| driver.groups(switch)).await
    }

    pub(super) async fn whole(&self, switch: Dpid) -> Result<Option<SwitchContent>, DriverError> {
        self.in_turn(switch, QUESTION_MAX, |driver| driver.whole(switch)).await
    }

    pub(super) async fn ports(&self, switch: Dpid) -> Result<Vec<Port>, DriverError> {
        self.in_turn(switch, QUESTION_MAX, |driver| driver.ports(switch)).await
    }

    pub(super) async fn port_counters(&self, switch: Dpid) -> Result<Vec<PortCounters>, DriverError> {
        self.in_turn(switch, QUESTION_MAX, |driver| driver.port_counters(switch)).await
    }

    pub(super) async fn switches(&self) -> Result<Vec<Dpid>, DriverError> {
        self.bounded(QUESTION_MAX, self.driver.switches()).await
    }

    pub(super) async fn links(&self) -> Result<Vec<Adjacency>, DriverError> {
        self.bounded(QUESTION_MAX, self.driver.links()).await
    }

    async fn in_turn<'a, T>(
        &'a self,
        switch: Dpid,
        limit: Duration,
        call: impl FnOnce(&'a dyn Driver) -> DriverFuture<'a, T>,
    ) -> Result<T, DriverError> {
        let turn = {
            // Nothing panics while holding it.
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(switch).or_default())
        };
        let _turn = turn.lock().await;
        self.bounded(limit, call(&*self.driver)).await
    }

    async fn bounded<T>(&self, limit: Duration, call: DriverFuture<'_, T>) -> Result<T, DriverError> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await.ok();
        let too_slow = DriverError::Unreachable { why: Unreachable::TooSlow };
        timeout(limit, call).await.unwrap_or(Err(too_slow))
    }
}
