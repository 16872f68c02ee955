//! Order: the only room that changes state. A [`Submission`] goes to the single writer, which decides it on the current
//! version of the state, appends the whole batch to the journal in one transaction, publishes the version, and only then
//! answers. Readers see the committed state and no other, and wait for nothing. This room never compares two bandwidths.

mod submission;
mod writer;
mod what_if;
mod optimization_figures;
mod link_history;
mod ended;
mod carry;
mod database_watch;
mod follower;
mod leadership;
mod housekeeping;
mod planned_maintenance;
mod preemption_notices;
mod recovery;
mod reconcile;
mod scheduler;
mod backoff;
mod clock;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Mutex, Semaphore, broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use self::carry::{Carried, CarryError, carry, check_chain};
pub use self::clock::Clock;
use self::leadership::Leadership;
pub use self::leadership::SchedulerLead;
pub use self::link_history::{LINKS_SAMPLED_MAX, LinkHistory, LinksThen};
pub use self::optimization_figures::OptimizationFigures;
pub use self::reconcile::{
    AUTO_BANDWIDTH_ACTOR, Condition, Conditions, ControllerStatus, DriverFactory, FieldEvent, LinkReport, Load,
    LspState, StatusCell, SurveyError, TrafficReport,
};
pub use self::scheduler::{
    NEWS_KEPT, PAST_AGGREGATORS_MAX, PAST_POINTS_MAX, PAST_STEP, PLAN_BOUNDS_US, Pace, PastLevel, PastPoint, Plans,
    REPORTS_MAX, RateNews, RejectedReport, ReportError, Scheduler, SchedulerOptions, Trigger,
};
use self::submission::QueuedSubmission;
pub use self::submission::{Atomicity, CommandOutcome, Mode, Submission, SubmissionKey, SubmitError};
pub use crate::journal::scalars;
pub use crate::journal::{
    AnnotationFilter, Journal, JournalError, LinkHistoryAges, Past, PastFilter, Receipt, Retention, SampledTopology,
};
use crate::journal::{ChainDigest, DEADLINE_DEFAULT};
pub use crate::southbound::{ControllerAccess, Credentials};
pub use kernel::Fact;
use kernel::audit::{AuditFault, audit};
use kernel::id::{AllocationId, Name, NameError, Sequence};
use kernel::units::Millis;
use kernel::{Command, State};

/// The target of spans: they are for a collector of traces, not for the log.
pub const SPANS: &str = "watermaster::span";
/// How many submissions may wait for the writer; one more is refused as [`SubmitError::Busy`].
pub const QUEUE_MAX: usize = 4_096;
/// How many submissions one batch takes at most.
pub const BATCH_MAX: usize = 1_024;
/// How many commits a slow subscriber may fall behind before it has to read the journal again.
pub const COMMITS_KEPT: usize = 1_024;
/// A snapshot is written after so many events, unless less are kept.
pub const SNAPSHOT_EVERY: u64 = 200_000;
/// The least number of events between two snapshots, however few are kept.
pub const SNAPSHOT_EVERY_MIN: u64 = 1_000;
/// After how long a switch that is lost to its controller is avoided, unless said otherwise.
const LOST_SWITCH_AFTER: Duration = Duration::from_secs(10);
/// How often each switch is audited, unless the options say otherwise.
const AUDIT_EVERY: Duration = Duration::from_secs(1);
/// How long traffic stays away from a path that failed, unless said otherwise.
const WAIT_TO_RESTORE: Duration = Duration::from_secs(10);
/// How long before planned maintenance begins its links are left, unless something else is said.
const MAINTENANCE_LEAD: Duration = Duration::from_secs(60);
/// How long the database may take at the start to say what time it is.
const DATABASE_TIME_MAX: Duration = Duration::from_secs(5);
/// How long an idempotency key is remembered.
pub const RECEIPT_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What a writer committed at once.
#[derive(Clone, Debug)]
pub struct Commit {
    /// What happened, in order.
    pub facts: Arc<[Arc<Fact>]>,
    /// How long deciding took.
    pub decided_in: Duration,
    /// How long the append took.
    pub written_in: Duration,
    /// Whether the state is not what came of those before: they are not in the journal any more.
    pub replaces_all: bool,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppStartError {
    /// The journal cannot be read.
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] JournalError),
    /// The host's name does not do for a name.
    #[error("the instance cannot be named: {0}")]
    Instance(#[from] NameError),
    /// The journal gives a state that breaks an invariant.
    #[error("the journal gives an impossible state; first of {count} faults: {first}")]
    Unsound {
        /// One fault.
        first: AuditFault,
        count: usize,
    },
}

/// Makes drivers that reach their controllers as `access` says.
pub fn driver_factory(access: ControllerAccess) -> DriverFactory {
    Arc::new(move |controller, topology| crate::southbound::connect(controller, topology, &access))
}

/// The handle by which other rooms reach the state. Cheap to clone.
#[derive(Clone)]
pub struct App {
    inner: Arc<AppInner>,
}

struct AppInner {
    queue: mpsc::Sender<QueuedSubmission>,
    /// The committed state.
    state: ArcSwap<State>,
    /// Held from the version of the state that is taken to the one that is published; the digest of its last event.
    turn: Mutex<ChainDigest>,
    what_ifs: Arc<Semaphore>,
    studies: Arc<Semaphore>,
    optimizations: optimization_figures::LastOptimizations,
    last_samples: Mutex<link_history::LastSamples>,
    /// Why the journal takes no writes, as it was found last.
    database_fault: ArcSwapOption<JournalError>,
    deadline: Duration,
    commits: broadcast::Sender<Commit>,
    journal: Journal,
    clock: Clock,
    scheduler: Scheduler,
    stop: CancellationToken,
    leadership: Leadership,
    controllers: reconcile::Controllers,
    driver_factory: DriverFactory,
    lost_switch_after: Duration,
    audit_every: Duration,
}

/// How an [`App`] works, besides its journal.
pub struct AppOptions {
    /// Makes drivers for controllers.
    pub driver_factory: DriverFactory,
    /// After how long without a switch its controller's links there go into maintenance, so that traffic takes other paths.
    pub lost_switch_after: Duration,
    /// How often each switch is audited.
    pub audit_every: Duration,
    /// How long the traffic of a revertive allocation stays away from a path that failed at least.
    pub wait_to_restore: Duration,
    /// How long before planned maintenance begins its links are left.
    pub maintenance_lead: Duration,
    /// How the scheduler of aggregators works.
    pub scheduler: SchedulerOptions,
    /// How long a submission may wait for its turn.
    pub deadline: Duration,
    /// How long events and ended allocations are kept.
    pub retention: Retention,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self {
            driver_factory: driver_factory(ControllerAccess::default()),
            lost_switch_after: LOST_SWITCH_AFTER,
            audit_every: AUDIT_EVERY,
            wait_to_restore: WAIT_TO_RESTORE,
            maintenance_lead: MAINTENANCE_LEAD,
            scheduler: SchedulerOptions::default(),
            deadline: DEADLINE_DEFAULT,
            retention: Retention::default(),
        }
    }
}

/// The tasks behind an [`App`].
pub struct Tasks {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl App {
    /// Restores the state from the journal, checks its invariants, and starts the writer and the other tasks.
    ///
    /// # Errors
    /// The journal cannot be read or gives an impossible state.
    pub async fn start(journal: Journal) -> Result<(Self, Tasks), AppStartError> {
        Self::start_with(journal, AppOptions::default()).await
    }

    /// As [`App::start`], with options.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_with(journal: Journal, options: AppOptions) -> Result<(Self, Tasks), AppStartError> {
        let (state, digest) = journal.restore_with_digest().await?;
        // A soft change of model may leave links overfull on purpose; everything else is a defect or a damaged journal.
        let mut faults = audit(&state);
        faults.retain(|fault| !matches!(fault, AuditFault::Overfull { .. }));
        if let Some(first) = faults.first() {
            return Err(AppStartError::Unsound { first: first.clone(), count: faults.len() });
        }
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let (commits, _) = broadcast::channel(COMMITS_KEPT);
        let stop = CancellationToken::new();
        let (scheduler, inbox) = Scheduler::new();
        let leadership = Leadership::new(leadership::new_instance()?, !journal.is_shared());
        let clock = Clock::new();
        if journal.is_shared() {
            let sent = Instant::now();
            let beat = journal.beat(leadership.instance(), DATABASE_TIME_MAX).await?;
            clock.follow_database(beat.database_time, sent);
        }
        if let Some(last) = journal.last_event_at().await? {
            clock.compare_with_last_event(last);
        }
        let controllers = reconcile::Controllers::new();
        controllers.add_new(&state);
        let inner = AppInner {
            queue,
            state: ArcSwap::from_pointee(state),
            turn: Mutex::new(digest),
            what_ifs: Arc::new(Semaphore::new(what_if::AT_ONCE_MAX)),
            studies: Arc::new(Semaphore::new(what_if::STUDIES_AT_ONCE_MAX)),
            optimizations: optimization_figures::LastOptimizations::default(),
            last_samples: Mutex::default(),
            database_fault: ArcSwapOption::empty(),
            deadline: options.deadline,
            commits,
            journal,
            clock,
            scheduler,
            stop: stop.clone(),
            leadership,
            controllers,
            driver_factory: options.driver_factory,
            lost_switch_after: options.lost_switch_after,
            audit_every: options.audit_every,
        };
        let app = Self { inner: Arc::new(inner) };
        let mut tasks = JoinSet::new();
        tasks.spawn(writer::run(app.clone(), jobs));
        tasks.spawn(housekeeping::keep_time(app.clone()));
        tasks.spawn(recovery::keep_protected(app.clone(), options.wait_to_restore));
        tasks.spawn(planned_maintenance::keep_plans(app.clone(), options.maintenance_lead));
        tasks.spawn(preemption_notices::keep_notices(app.clone()));
        tasks.spawn(housekeeping::housekeeping(app.clone(), options.retention));
        tasks.spawn(link_history::run(app.clone()));
        tasks.spawn(follower::run(app.clone()));
        tasks.spawn(leadership::run(app.clone()));
        tasks.spawn(database_watch::run(app.clone()));
        tasks.spawn(reconcile::run(app.clone()));
        tasks.spawn(scheduler::run(app.clone(), inbox, options.scheduler));
        Ok((app, Tasks { tasks, stop }))
    }

    /// Has a submission decided; answers when the decision is on disk. A dry run does not wait for the writer. What still
    /// waits when the future is dropped is not decided.
    ///
    /// # Errors
    /// Nothing was decided: too busy, stopping, or the journal cannot be written.
    pub async fn submit(&self, submission: Submission) -> Result<Vec<CommandOutcome>, SubmitError> {
        if submission.mode == Mode::DryRun {
            return self.dry_run(submission).await;
        }
        let commands = submission.commands.len();
        let (answer, mut decided) = oneshot::channel();
        let settled = Arc::new(AtomicBool::new(false));
        let queued = QueuedSubmission { submission, outcomes: Ok(vec![]), settled: Arc::clone(&settled), answer };
        self.inner.queue.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
        })?;
        let span = tracing::info_span!(target: SPANS, "submit", commands);
        let waited = self.inner.deadline;
        let answered = async {
            match tokio::time::timeout(waited, &mut decided).await {
                Ok(answer) => answer,
                Err(_) if !settled.swap(true, Ordering::AcqRel) => Ok(Err(SubmitError::Late { waited })),
                // The writer has it, and a deadline of its own.
                Err(_) => decided.await,
            }
        };
        answered.instrument(span).await.unwrap_or(Err(SubmitError::Stopping))
    }

    /// Has commands decided in one transaction: each outcome with what goes on after its command.
    ///
    /// # Errors
    /// As [`App::submit`].
    pub async fn submit_each<T>(
        &self,
        commands: Vec<(Command, T)>,
        mode: Mode,
    ) -> Result<Vec<(T, CommandOutcome)>, SubmitError> {
        let (commands, next): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
        let outcomes =
            self.submit(Submission { commands, atomicity: Atomicity::EachAlone, mode, key: None, actor: None }).await?;
        Ok(next.into_iter().zip(outcomes).collect())
    }

    /// Has commands decided that no request asked for, each by itself.
    async fn submit_due(&self, commands: Vec<Command>) -> Result<Vec<CommandOutcome>, SubmitError> {
        let (atomicity, mode) = (Atomicity::EachAlone, Mode::Commit);
        self.submit(Submission { commands, atomicity, mode, key: None, actor: None }).await
    }

    /// Has one command decided.
    ///
    /// # Errors
    /// As [`App::submit`].
    pub async fn submit_one(
        &self,
        command: Command,
        mode: Mode,
        key: Option<SubmissionKey>,
    ) -> Result<CommandOutcome, SubmitError> {
        let submission = Submission { mode, key, ..Submission::of(command) };
        let mut outcomes = self.submit(submission).await?;
        outcomes.pop().ok_or(SubmitError::Stopping)
    }

    /// The committed state, as it will stay however long it is looked at.
    pub fn state(&self) -> Arc<State> {
        self.inner.state.load_full()
    }

    /// Reads the committed state.
    pub fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state())
    }

    /// The QoS scheduler.
    pub fn scheduler(&self) -> &Scheduler {
        &self.inner.scheduler
    }

    /// The last committed event.
    pub fn head(&self) -> Sequence {
        self.inner.state.load().sequence()
    }

    /// Now, as the writer sees it.
    pub fn now(&self) -> Millis {
        self.inner.clock.now()
    }

    /// See [`Clock::now_and_steps`].
    fn now_and_steps(&self) -> (Millis, i64) {
        self.inner.clock.now_and_steps()
    }

    /// How many submissions wait for the writer.
    pub fn waiting(&self) -> usize {
        self.inner.queue.max_capacity().saturating_sub(self.inner.queue.capacity())
    }

    /// What is committed from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Commit> {
        self.inner.commits.subscribe()
    }

    /// The oldest event that can still be read, and the last one in the database, which another replica may have written.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn journal_bounds(&self) -> Result<(Sequence, Sequence), JournalError> {
        let head = self.inner.journal.head().await?;
        Ok((self.inner.journal.first_sequence().await?, head))
    }

    /// What happened after `after`, oldest first.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn facts_after(&self, after: Sequence, limit: u32) -> Result<Vec<Arc<Fact>>, JournalError> {
        Ok(self.inner.journal.facts_after(after, limit).await?.into_iter().map(Arc::new).collect())
    }

    /// As [`App::facts_after`], of what somebody of this name had decided.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn facts_by(&self, actor: &Name, after: Sequence, limit: u32) -> Result<Vec<Arc<Fact>>, JournalError> {
        Ok(self.inner.journal.facts_by(actor, after, limit).await?.into_iter().map(Arc::new).collect())
    }

    /// What happened before `before`, newest first, of somebody of this name if there is one.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn facts_before(
        &self,
        actor: Option<&Name>,
        before: Sequence,
        limit: u32,
    ) -> Result<Vec<Arc<Fact>>, JournalError> {
        Ok(self.inner.journal.facts_before(actor, before, limit).await?.into_iter().map(Arc::new).collect())
    }

    /// Allocations that are over.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn past(
        &self,
        filter: &PastFilter,
        after: Option<AllocationId>,
        limit: u32,
    ) -> Result<Vec<Past>, JournalError> {
        self.inner.journal.past(filter, after, limit).await
    }

    /// One allocation that is over.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn past_one(&self, id: AllocationId) -> Result<Option<Past>, JournalError> {
        self.inner.journal.past_one(id).await
    }

    /// What an idempotency key stands for, if it was used before.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn receipt(&self, key: &str) -> Result<Option<Receipt>, JournalError> {
        self.inner.journal.receipt(key).await
    }

    /// Why the journal takes no writes, as it was found last; absent if it does.
    pub fn database_fault(&self) -> Option<Arc<JournalError>> {
        self.inner.database_fault.load_full()
    }

    /// How far switches hold what living allocations need: soft state, beside the books.
    pub fn conditions(&self) -> Conditions {
        let notices = self.read(|state| state.notices().clone());
        self.inner.controllers.conditions().with_notices(notices)
    }

    /// What is known of a controller, and through it.
    pub fn controller(&self, controller: &Name) -> Option<Arc<StatusCell>> {
        self.inner.controllers.status(controller)
    }

    /// What changes on switches and controllers from now on.
    pub fn field_events(&self) -> broadcast::Receiver<FieldEvent> {
        self.inner.controllers.subscribe()
    }

    /// Cancelled when the service stops.
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stop.clone()
    }
}

impl Tasks {
    /// Stops deciding, lets decided batches be stored, writes a snapshot and closes the journal.
    pub async fn stop(mut self, app: &App) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        housekeeping::snapshot(app).await;
        app.inner.journal.close().await;
    }
}
