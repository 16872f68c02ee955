//! The worker of one controller: applies commits to its plan, reads what the switches hold, and executes the steps that the
//! kernel derives from the difference.

mod switch_io;
mod pending_commits;
mod plan_updates;
mod worker_status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep, sleep_until};

use self::pending_commits::{Changes, What};
pub(super) use self::switch_io::topology;
use self::switch_io::{StepResults, audit_one, execute_steps, is_revision, read_one};
use super::super::backoff::RetryBackoff;
use super::super::{App, Commit};
use super::controller_status::{Condition, FieldEvent, StatusCell};
use super::readback::{Content, Finding};
use super::throttled_driver::ThrottledDriver;
use crate::southbound::DriverError;
use kernel::controller::Controller;
use kernel::id::AllocationId;
use kernel::intent::{Agenda, Dpid, Foreign, RulePlan, StepOutcome, SwitchFault, Tables};

/// How often switches are audited.
const AUDIT_EVERY: Duration = Duration::from_secs(2);
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
    /// Switches that have to be read before they get more steps.
    doubtful: BTreeSet<Dpid>,
    /// Why nothing is known of some switches.
    troubles: BTreeMap<Dpid, Arc<str>>,
    /// Allocations that are not known to be in force, and since when.
    unsettled: BTreeMap<AllocationId, Instant>,
    /// The faults that keep allocations from being in force.
    faults: BTreeMap<AllocationId, SwitchFault>,
    /// Whether the plan was ever made.
    is_loaded: bool,
    backoff: RetryBackoff,
    /// Set while the controller is unreachable: no request before then.
    closed_until: Option<Instant>,
    /// Why it is unreachable.
    away: Option<Arc<str>>,
    retry_at: Option<Instant>,
    audit_at: Instant,
    audits: u64,
}

impl Worker {
    pub(super) fn new(
        app: App,
        controller: Arc<Controller>,
        driver: Arc<ThrottledDriver>,
        status: Arc<StatusCell>,
    ) -> Self {
        Self {
            app,
            controller,
            driver,
            status,
            plan: RulePlan::new(),
            changed: BTreeSet::new(),
            seen: Tables::new(),
            doubtful: BTreeSet::new(),
            troubles: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            faults: BTreeMap::new(),
            is_loaded: false,
            backoff: RetryBackoff::new(RETRY_MIN, RETRY_MAX),
            closed_until: None,
            away: None,
            retry_at: None,
            audit_at: Instant::now() + AUDIT_EVERY,
            audits: 0,
        }
    }

    /// Until it is dropped.
    pub(super) async fn run(mut self) {
        // Subscribed before the state is read, so that no commit is missed.
        let mut commits = self.app.subscribe();
        let mut changes = Changes { what: What::Everything, until: self.app.head() };
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
        let occasion = if self.closed_until.is_some() { Occasion::Time } else { occasion };
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

    /// Asks which switches are there, and audits those of which something is known.
    async fn probe_switches(&mut self) -> Result<(), DriverError> {
        let connected: BTreeSet<Dpid> = self.driver.switches().await?.into_iter().collect();
        self.closed_until = None;
        let ours = self.switches().await;
        for dpid in &ours {
            if connected.contains(dpid) {
                if !self.seen.contains_key(dpid) {
                    self.doubtful.insert(*dpid);
                }
            } else {
                self.mark_unusable(*dpid, &DriverError::UnknownSwitch { dpid: *dpid });
            }
        }
        if Instant::now() >= self.audit_at {
            self.audit().await?;
            self.audits = self.audits.wrapping_add(1);
            self.audit_at = Instant::now() + AUDIT_EVERY;
        }
        if !self.is_loaded {
            self.read_doubtful(Occasion::Time).await?;
        }
        Ok(())
    }

    /// The switches of the topology, and those where something should be or is.
    async fn switches(&self) -> BTreeSet<Dpid> {
        let named = topology(self.app.clone(), self.controller.topology.clone()).await;
        let named = named.iter().flat_map(|topology| topology.nodes());
        let named = named.filter_map(|(_, node)| node.switch.as_ref().map(|switch| Dpid(switch.dpid)));
        named.chain(self.plan.tables().keys().copied()).chain(self.seen.keys().copied()).collect()
    }

    async fn audit(&mut self) -> Result<(), DriverError> {
        let (driver, round) = (&self.driver, self.audits);
        let nothing = Foreign::default();
        let mut known = vec![];
        for (dpid, table) in self.seen.iter().filter(|(dpid, _)| !self.doubtful.contains(dpid)) {
            known.push((*dpid, (table, self.plan.foreign(*dpid).unwrap_or(&nothing))));
        }
        let mut questions = Vec::with_capacity(known.len());
        for (dpid, known) in known {
            questions.push(audit_one(driver, dpid, known, round));
        }
        let findings = join_all(questions).await;
        for (dpid, finding) in findings {
            match finding {
                Ok(Finding::Same) => {}
                Ok(Finding::Other(content)) => {
                    tracing::warn!(controller = %self.controller.name, %dpid, "a switch holds other rules than were known");
                    self.take_in(dpid, content);
                    let steps = Agenda::new(self.plan.tables(), &self.seen).len();
                    let steps = u64::try_from(steps).unwrap_or(u64::MAX);
                    let controller = self.controller.name.clone();
                    self.app.inner.controllers.publish(FieldEvent::Repaired { controller, steps });
                }
                Err(error) => self.on_error(dpid, error)?,
            }
        }
        self.arrange();
        Ok(())
    }

    async fn read_doubtful(&mut self, occasion: Occasion) -> Result<(), DriverError> {
        // A switch that is in trouble is asked again in time, not whenever something is decided.
        let asked = |dpid: &&Dpid| occasion == Occasion::Time || !self.troubles.contains_key(*dpid);
        let doubtful: Vec<Dpid> = self.doubtful.iter().filter(asked).copied().collect();
        let driver = &self.driver;
        let mut questions = Vec::with_capacity(doubtful.len());
        for dpid in doubtful {
            questions.push(read_one(driver, dpid));
        }
        let contents = join_all(questions).await;
        for (dpid, content) in contents {
            match content {
                Ok(content) => {
                    self.doubtful.remove(&dpid);
                    if self.troubles.remove(&dpid).is_some() {
                        self.unsettle_at(dpid);
                    }
                    self.take_in(dpid, content);
                }
                Err(error) => self.on_error(dpid, error)?,
            }
        }
        self.arrange();
        Ok(())
    }

    fn take_in(&mut self, dpid: Dpid, (table, foreign): Content) {
        self.seen.insert(dpid, table);
        self.plan.set_foreign(dpid, foreign);
    }

    /// Executes every step that can be executed; whether none is left.
    async fn execute_steps(&mut self) -> Result<bool, DriverError> {
        let mut agenda = Agenda::new(self.plan.tables(), &self.seen);
        let now = Instant::now();
        for id in agenda.serves().filter(|id| self.plan.has(*id)).collect::<BTreeSet<_>>() {
            self.unsettled.entry(id).or_insert(now);
        }
        while let Some(stage) = agenda.next_stage() {
            // A step of an old configuration must not be executed any more.
            if !self.is_current().await {
                return Ok(false);
            }
            let driver = &self.driver;
            let mut lists = Vec::with_capacity(stage.len());
            for (dpid, tasks) in stage {
                lists.push(execute_steps(driver, dpid, tasks));
            }
            let done = join_all(lists).await;
            let mut away = None;
            for (dpid, done) in done {
                away = self.apply_outcomes(dpid, done, &mut agenda).err().or(away);
            }
            if let Some(error) = away {
                return Err(error);
            }
        }
        Ok(Agenda::new(self.plan.tables(), &self.seen).is_empty() && self.is_all_known())
    }

    fn is_all_known(&self) -> bool {
        self.plan.tables().iter().all(|(dpid, table)| table.is_empty() || self.seen.contains_key(dpid))
    }

    fn apply_outcomes(&mut self, dpid: Dpid, done: StepResults, agenda: &mut Agenda) -> Result<(), DriverError> {
        for (task, outcome) in done.outcomes {
            match outcome {
                StepOutcome::InForce => {
                    self.seen.entry(dpid).or_default().apply_step(&task.step);
                    continue;
                }
                StepOutcome::Refused(fault) => {
                    if let Some(id) = task.serves {
                        self.faults.insert(id, fault);
                    }
                }
                StepOutcome::Unknown => {}
            }
            agenda.failed(&task);
            self.doubtful.insert(dpid);
        }
        match done.error {
            Some(error) => self.on_error(dpid, error),
            None => Ok(()),
        }
    }

    /// An error of one switch concerns that switch; an error of the controller ends the round.
    fn on_error(&mut self, dpid: Dpid, error: DriverError) -> Result<(), DriverError> {
        self.doubtful.insert(dpid);
        if error.is_of_controller() {
            return Err(error);
        }
        self.mark_unusable(dpid, &error);
        Ok(())
    }

    /// Forgets what a switch held: it cannot be used.
    fn mark_unusable(&mut self, dpid: Dpid, error: &DriverError) {
        self.seen.remove(&dpid);
        self.doubtful.insert(dpid);
        let why: Arc<str> = error.to_string().into();
        if self.troubles.insert(dpid, Arc::clone(&why)).as_ref() != Some(&why) {
            tracing::warn!(controller = %self.controller.name, %dpid, %error, "a switch cannot be used");
            let at = self.app.now();
            self.status.set_status(|status| status.last_error = Some((why, at)));
        }
        self.unsettle_at(dpid);
    }

    fn unsettle_at(&mut self, dpid: Dpid) {
        let now = Instant::now();
        for id in self.plan.at(dpid).collect::<Vec<_>>() {
            self.unsettled.entry(id).or_insert(now);
        }
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
