//! The worker of one controller: applies commits to its plan, reads what the switches hold, and executes the steps that the
//! kernel derives from the difference.

mod switch_io;
mod pending_commits;
mod plan_updates;
mod suspects;
mod path_counters;
mod reading;
mod writing;
mod worker_status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep, sleep_until};

use self::path_counters::PathCounters;
use self::pending_commits::{Changes, What};
use self::suspects::Suspects;
use self::switch_io::is_revision;
use super::super::backoff::RetryBackoff;
use super::super::{App, Commit};
use super::controller_status::{Condition, StatusCell};
use super::readback::Telling;
use super::throttled_driver::ThrottledDriver;
use crate::southbound::DriverError;
use kernel::controller::Controller;
use kernel::id::AllocationId;
use kernel::intent::{Dpid, RulePlan, SwitchFault, Tables};

/// The first wait after something failed.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(3);
/// How long commits are gathered while something fails.
const BREATH: Duration = Duration::from_millis(50);
/// How many commits are taken in at once.
const COMMITS_AT_ONCE: usize = 256;

/// Why a round is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// Something was decided.
    Commit,
    /// It is time to look, or to try again.
    Time,
}

pub(super) struct Worker {
    app: App,
    controller: Arc<Controller>,
    driver: Arc<ThrottledDriver>,
    status: Arc<StatusCell>,
    plan: RulePlan,
    /// Allocations of which it is to be looked where they are.
    changed: BTreeSet<AllocationId>,
    /// What the switches are known to hold.
    seen: Tables,
    /// What those held that are out of contact, when it was last known: they may well forward by it.
    lost: Tables,
    /// How many groups in a row were not there when they were read back.
    groups_missed: BTreeMap<Dpid, u32>,
    /// Switches that have to be read before they get more steps.
    doubtful: BTreeSet<Dpid>,
    /// Why nothing is known of some switches.
    troubles: BTreeMap<Dpid, Arc<str>>,
    /// Allocations that are not known to be in force, and since when.
    unsettled: BTreeMap<AllocationId, Instant>,
    /// Allocations whose rules were found damaged.
    suspects: Suspects,
    /// The packets that entered and left.
    counters: PathCounters,
    /// The faults that keep allocations from being in force.
    faults: BTreeMap<AllocationId, SwitchFault>,
    /// The term in which this instance leads the controller, as it was last.
    term: Option<u64>,
    /// When each switch was last read or counted.
    looked_at: BTreeMap<Dpid, Instant>,
    /// Whether the plan was ever made.
    is_loaded: bool,
    backoff: RetryBackoff,
    /// Set while the controller is unreachable: no request before then.
    closed_until: Option<Instant>,
    /// Why it is unreachable.
    away: Option<Arc<str>>,
    retry_at: Option<Instant>,
    audit_at: Instant,
    /// The switch that was audited last, and how often all were.
    audited: Option<Dpid>,
    audits: u64,
    /// How often any was.
    turn: u64,
    /// How the controller told the content of the switch that was audited last.
    telling: Telling,
}

impl Worker {
    pub(super) fn new(
        app: App,
        controller: Arc<Controller>,
        driver: Arc<ThrottledDriver>,
        status: Arc<StatusCell>,
    ) -> Self {
        let audit_every = app.inner.audit_every;
        Self {
            app,
            controller,
            plan: RulePlan::new(driver.has_groups(), *driver.settings()),
            driver,
            status,
            changed: BTreeSet::new(),
            seen: Tables::new(),
            lost: Tables::new(),
            groups_missed: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            troubles: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            suspects: Suspects::default(),
            counters: PathCounters::default(),
            faults: BTreeMap::new(),
            term: None,
            looked_at: BTreeMap::new(),
            is_loaded: false,
            backoff: RetryBackoff::new(RETRY_MIN, RETRY_MAX),
            closed_until: None,
            away: None,
            retry_at: None,
            audit_at: Instant::now() + audit_every,
            audited: None,
            audits: 0,
            turn: 0,
            telling: Telling::AtOnce,
        }
    }

    /// Until it is dropped.
    pub(super) async fn run(mut self) {
        // Subscribed before the state is read, so that no commit is missed.
        let mut commits = self.app.subscribe();
        let mut changes = Changes { what: What::Everything, until: self.app.head() };
        self.status.set_status(|status| status.has_groups = Some(self.driver.has_groups()));
        let mut occasion = Occasion::Time;
        loop {
            if self.is_current().await {
                if let Err(error) = self.round(&mut changes, occasion).await {
                    self.on_unreachable(&error);
                }
                self.update_conditions();
                self.report();
            }
            occasion = self.wait(&mut commits, &mut changes).await;
        }
    }

    /// Whether this is still the worker of its controller: a stale one must not touch a switch.
    async fn is_current(&self) -> bool {
        is_revision(self.app.clone(), Arc::clone(&self.controller)).await
    }

    /// Sleeps until there is something to do.
    async fn wait(&mut self, commits: &mut Receiver<Commit>, changes: &mut Changes) -> Occasion {
        let next = self.closed_until.unwrap_or_else(|| self.retry_at.unwrap_or(self.audit_at).min(self.audit_at));
        tokio::select! {
            commit = commits.recv() => {
                self.add_commit(commit, changes);
                if self.retry_at.is_some() {
                    // Something fails, and every commit retries it: gather many of them first.
                    sleep(BREATH).await;
                }
                for _ in 0..COMMITS_AT_ONCE {
                    match commits.try_recv() {
                        Ok(commit) => self.add_commit(Ok(commit), changes),
                        Err(TryRecvError::Lagged(missed)) => self.add_commit(Err(RecvError::Lagged(missed)), changes),
                        Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                    }
                }
                Occasion::Commit
            }
            () = sleep_until(next) => Occasion::Time,
        }
    }

    fn add_commit(&self, commit: Result<Commit, RecvError>, changes: &mut Changes) {
        match commit {
            Ok(commit) if commit.replaces_all => {
                *changes = Changes { what: What::Everything, until: self.app.head() };
            }
            Ok(commit) => {
                commit.facts.iter().for_each(|fact| changes.add(fact, &self.controller.topology));
            }
            // Those that were missed are older than the next that comes.
            Err(RecvError::Lagged(_)) => changes.what = What::Everything,
            Err(RecvError::Closed) => {}
        }
    }

    /// One round: read switches, update the plan, execute steps.
    async fn round(&mut self, changes: &mut Changes, occasion: Occasion) -> Result<(), DriverError> {
        if let Some(until) = self.closed_until {
            if self.is_loaded {
                self.update_plan(changes).await;
            }
            if occasion == Occasion::Commit && Instant::now() < until {
                return Ok(());
            }
        }
        let mut occasion = if self.closed_until.is_some() { Occasion::Time } else { occasion };
        let term = self.app.term_of(&self.controller.name);
        if term.is_some() && term != self.term {
            // What the leader before wrote last was not seen yet.
            self.doubtful.extend(self.seen.keys().copied());
            occasion = Occasion::Time;
        }
        self.term = term;
        if occasion == Occasion::Time {
            self.probe_switches().await?;
        }
        if !self.is_loaded {
            self.is_loaded = true;
            self.status.set_all_in(None);
        }
        self.update_plan(changes).await;
        self.read_doubtful(occasion).await?;
        let is_done = self.execute_steps().await?;
        self.on_reachable();
        if is_done && self.controller.is_closing {
            self.forget_controller().await;
        }
        self.retry_at = match is_done && self.troubles.is_empty() && self.doubtful.is_empty() {
            true => {
                self.backoff.reset();
                None
            }
            false => match self.retry_at.filter(|at| *at > Instant::now()) {
                Some(at) => Some(at),
                None => Some(Instant::now() + self.backoff.next_delay()),
            },
        };
        Ok(())
    }

    /// The controller does not answer, or not as it should: it is left alone until the backoff is over.
    fn on_unreachable(&mut self, error: &DriverError) {
        self.closed_until = Some(Instant::now() + self.backoff.next_delay());
        let why: Arc<str> = error.to_string().into();
        self.away = Some(Arc::clone(&why));
        let at = self.app.now();
        let condition = Condition::degraded(&why);
        self.status.set_status(|status| {
            if status.reachable != Some(false) {
                status.reachable = Some(false);
                status.since = Some(at);
                tracing::warn!(controller = %self.controller.name, %error, "a controller cannot be used");
            }
            status.last_error = Some((why, at));
        });
        if !self.is_loaded {
            self.status.set_all_in(Some(condition));
        }
        // Its switches may have changed meanwhile.
        self.doubtful.extend(self.seen.keys().copied());
    }

    fn on_reachable(&mut self) {
        self.closed_until = None;
        self.away = None;
        let at = self.app.now();
        self.status.set_status(|status| {
            if status.reachable != Some(true) {
                status.reachable = Some(true);
                status.since = Some(at);
                tracing::info!(controller = %self.controller.name, "a controller answers");
            }
        });
    }
}
