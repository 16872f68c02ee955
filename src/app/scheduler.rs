//! The scheduler's shell: it hands reports, commits and time to the [`Dispatcher`], submits what that asks for like
//! anybody else, and shows what came of it. It decides nothing itself. What must stay true: an aggregator is told rates
//! only after what backs them is committed; a slow reader or a flood of reports costs bounded memory.

mod plan_metrics;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::sleep;

use super::{App, COMMITS_KEPT, CommandOutcome, Commit, EventRecord, Fact, Load, Mode, Submission, SubmitError};
use crate::journal::record::{DenialRecord, DisplacedRecord};
use kernel::id::{AllocationId, Name};
use kernel::scheduler::SchedulerSettings;
use kernel::scheduler::engine::{AggregatorView, Ask, Dispatcher, GrantOutcome, ReportRejection, Urgency};
use kernel::scheduler::report::Metadata;
use kernel::units::{Bandwidth, Millis};

pub use plan_metrics::{PLAN_BOUNDS_US, Plans, Trigger};

/// How many reports may wait for the scheduler; one more is refused as busy.
pub const REPORTS_MAX: usize = 512;
/// How many reports are taken in at once.
const REPORTS_AT_ONCE_MAX: usize = 256;
/// How many rounds of asking follow one upon another before reports are looked at again.
const ROUNDS_MAX: usize = 8;
/// How many changes a slow listener may fall behind.
pub const NEWS_KEPT: usize = 4_096;
/// How long the scheduler sleeps at most.
const GLANCE: Duration = Duration::from_secs(1);
/// For how long the load of a link is believed that is not measured any more.
const LOAD_KEPT_MS: u64 = 10_000;
/// How long it waits after the writer was too busy.
const BACKOFF: Duration = Duration::from_millis(50);

/// How the scheduler works.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SchedulerOptions {
    /// What it decides by.
    pub settings: SchedulerSettings,
    /// In which topology the aggregators are; absent: the only one that has their node.
    pub topology: Option<Name>,
    /// When it acts.
    pub pace: Pace,
}

/// When the scheduler acts on reports. A new subscription makes it act at once in either case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pace {
    /// On each report.
    #[default]
    Reactive,
    /// Now and then, every so often.
    Interval(Duration),
}

/// Why a report was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is not believed.
    #[error(transparent)]
    Rejected(#[from] ReportRejection),
    /// Too many wait.
    #[error("too many reports are waiting")]
    Busy,
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
}

/// The handle by which the speaking rooms reach the scheduler. Cheap to clone.
#[derive(Clone)]
pub struct Scheduler {
    inbox: mpsc::Sender<SchedulerMessage>,
    board: Arc<AggregatorViews>,
}

enum SchedulerMessage {
    Report { id: Name, metadata: Arc<Metadata>, answer: Option<Answerer> },
    Silence { id: Name },
}

type Answerer = oneshot::Sender<Result<Arc<AggregatorView>, ReportError>>;

/// Something new about an aggregator.
#[derive(Clone, Debug)]
pub enum RateNews {
    /// It is like this now.
    Changed(Arc<AggregatorView>),
    /// It is known no longer.
    Forgotten(Name),
}

/// What everybody may look at: the aggregators as they are now.
struct AggregatorViews {
    views: RwLock<BTreeMap<Name, watch::Sender<Arc<AggregatorView>>>>,
    news: broadcast::Sender<RateNews>,
    plans: Plans,
}

impl Scheduler {
    pub(super) fn new() -> (Self, ReportQueue) {
        let (inbox, messages) = mpsc::channel(REPORTS_MAX);
        let (news, _) = broadcast::channel(NEWS_KEPT);
        let board = Arc::new(AggregatorViews { views: RwLock::default(), news, plans: Plans::default() });
        (Self { inbox, board }, ReportQueue { messages })
    }

    /// Takes a report in, and answers with the aggregator as it is then: where the scheduler acts on reports, with the
    /// rates that came of it.
    ///
    /// # Errors
    /// It is not believed, or the scheduler is too busy; nothing changed.
    pub async fn report(&self, id: Name, metadata: Metadata) -> Result<Arc<AggregatorView>, ReportError> {
        let (answer, answered) = oneshot::channel();
        let message = SchedulerMessage::Report { id, metadata: Arc::new(metadata), answer: Some(answer) };
        self.inbox.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReportError::Busy,
            mpsc::error::TrySendError::Closed(_) => ReportError::Stopping,
        })?;
        answered.await.unwrap_or(Err(ReportError::Stopping))
    }

    /// Takes a report in without an answer: if it is not believed, that is logged. Waits while too many others do.
    ///
    /// # Errors
    /// The scheduler is stopping.
    pub async fn post(&self, id: Name, metadata: Metadata) -> Result<(), ReportError> {
        let message = SchedulerMessage::Report { id, metadata: Arc::new(metadata), answer: None };
        self.inbox.send(message).await.map_err(|_| ReportError::Stopping)
    }

    /// An aggregator is said to have gone.
    ///
    /// # Errors
    /// The scheduler is too busy or stopping.
    pub fn silence(&self, id: Name) -> Result<(), ReportError> {
        self.inbox.try_send(SchedulerMessage::Silence { id }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReportError::Busy,
            mpsc::error::TrySendError::Closed(_) => ReportError::Stopping,
        })
    }

    /// An aggregator as it is now.
    pub fn aggregator(&self, id: &Name) -> Option<Arc<AggregatorView>> {
        self.board.read(|views| views.get(id).map(|view| Arc::clone(&view.borrow())))
    }

    /// The aggregators after `after`, in the order of their ids.
    pub fn aggregators(&self, after: Option<&Name>, limit: usize) -> Vec<Arc<AggregatorView>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.board.read(|views| {
            let later = views.range::<Name, _>((from, Bound::Unbounded));
            later.take(limit).map(|(_, view)| Arc::clone(&view.borrow())).collect()
        })
    }

    /// An aggregator as it changes; the channel closes when it is forgotten.
    pub fn watch(&self, id: &Name) -> Option<watch::Receiver<Arc<AggregatorView>>> {
        self.board.read(|views| views.get(id).map(watch::Sender::subscribe))
    }

    /// How often it planned, and how long that took.
    pub fn plans(&self) -> &Plans {
        &self.board.plans
    }

    /// Every change of every aggregator.
    pub fn news(&self) -> broadcast::Receiver<RateNews> {
        self.board.news.subscribe()
    }
}

impl AggregatorViews {
    fn read<R>(&self, look: impl FnOnce(&BTreeMap<Name, watch::Sender<Arc<AggregatorView>>>) -> R) -> R {
        look(&self.views.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, news: Vec<AggregatorView>, forgotten: &[Name]) {
        let news: Vec<_> = news.into_iter().map(Arc::new).collect();
        {
            let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
            forgotten.iter().for_each(|id| drop(views.remove(id)));
            for view in &news {
                match views.get(&view.id) {
                    Some(shown) => drop(shown.send_replace(Arc::clone(view))),
                    None => drop(views.insert(view.id.clone(), watch::Sender::new(Arc::clone(view)))),
                }
            }
        }
        // Nobody listening is no fault.
        forgotten.iter().for_each(|id| drop(self.news.send(RateNews::Forgotten(id.clone()))));
        news.into_iter().for_each(|view| drop(self.news.send(RateNews::Changed(view))));
    }
}

/// Where reports wait.
pub(super) struct ReportQueue {
    messages: mpsc::Receiver<SchedulerMessage>,
}

type PendingReport = (Name, Answerer);

/// Runs until the service stops.
pub(super) async fn run(app: App, inbox: ReportQueue, options: SchedulerOptions) {
    let commits = app.subscribe();
    let now = app.now();
    let dispatcher = app.read(|state| Dispatcher::new(options.settings, options.topology, state, now)).await;
    let shell = SchedulerTask {
        board: Arc::clone(&app.scheduler().board),
        app,
        dispatcher,
        commits,
        touched: PendingCommits::default(),
        pace: options.pace,
        next_turn: now,
        next_look: now,
        backoff: None,
    };
    shell.run(inbox).await;
}

struct SchedulerTask {
    app: App,
    board: Arc<AggregatorViews>,
    dispatcher: Dispatcher,
    commits: broadcast::Receiver<Commit>,
    touched: PendingCommits,
    pace: Pace,
    next_turn: Millis,
    /// When the load of links is looked at next.
    next_look: Millis,
    /// There: the writer was too busy, and is asked again after this.
    backoff: Option<Duration>,
}

/// What was committed since the dispatcher looked last.
#[derive(Default)]
struct PendingCommits {
    ids: Vec<AllocationId>,
    /// Something was.
    any: bool,
    /// So much was that nobody knows what.
    lagged: bool,
}

impl SchedulerTask {
    async fn run(mut self, mut inbox: ReportQueue) {
        let stop = self.app.stopping();
        let mut messages = Vec::with_capacity(REPORTS_AT_ONCE_MAX);
        loop {
            let patience = self.patience();
            let trigger = tokio::select! {
                () = stop.cancelled() => return,
                taken = inbox.messages.recv_many(&mut messages, REPORTS_AT_ONCE_MAX) => {
                    if taken == 0 {
                        return;
                    }
                    Trigger::Report
                }
                commit = self.commits.recv() => {
                    self.touched.note(commit);
                    Trigger::Commit
                }
                () = sleep(patience) => Trigger::Time,
            };
            self.drain_commits();
            let (waiting, urgency) = self.take_in(&mut messages).await;
            if self.is_due(urgency) {
                self.act(trigger).await;
            }
            self.show();
            self.answer(waiting);
        }
    }

    /// How long nothing has to be done.
    fn patience(&self) -> Duration {
        let now = self.app.now();
        let deadline = self.dispatcher.next_deadline().map_or(GLANCE, |at| until(now, at));
        let turn = match self.pace {
            Pace::Reactive => GLANCE,
            Pace::Interval(_) => until(now, self.next_turn),
        };
        deadline.min(turn).min(self.backoff.unwrap_or(GLANCE)).min(GLANCE)
    }

    fn drain_commits(&mut self) {
        for _ in 0..COMMITS_KEPT {
            match self.commits.try_recv() {
                Ok(commit) => self.touched.note(Ok(commit)),
                Err(TryRecvError::Lagged(missed)) => self.touched.note(Err(RecvError::Lagged(missed))),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Hands everything to the dispatcher that came meanwhile.
    async fn take_in(&mut self, messages: &mut Vec<SchedulerMessage>) -> (Vec<PendingReport>, Urgency) {
        let now = self.app.now();
        let touched = std::mem::take(&mut self.touched);
        let loads = (self.next_look <= now).then(|| self.app.conditions());
        if loads.is_some() {
            self.next_look = after(now, GLANCE);
        }
        let Self { app, dispatcher, .. } = self;
        let mut waiting = Vec::with_capacity(messages.len());
        let mut urgency = Urgency::Routine;
        app.read(|state| {
            match touched {
                PendingCommits { lagged: true, .. } => dispatcher.sync_all(state),
                PendingCommits { any: true, ids, .. } => dispatcher.sync(state, &ids),
                _ => {}
            }
            if let Some(loads) = loads {
                let fresh = |load: &Load| now.0.saturating_sub(load.at.0) < LOAD_KEPT_MS;
                dispatcher.measure(state, |topology, link| Some(loads.load(topology, link).filter(fresh)?.carried_bps));
            }
            dispatcher.tick(state, now);
            for message in messages.drain(..) {
                match message {
                    SchedulerMessage::Silence { id } => dispatcher.on_disconnected(&id, state, now),
                    SchedulerMessage::Report { id, metadata, answer } => {
                        match dispatcher.report(&id, metadata, state, now) {
                            Ok(heard) => {
                                urgency = urgency.max(heard);
                                waiting.extend(answer.map(|answer| (id, answer)));
                            }
                            Err(rejection) => refuse(&id, rejection, answer),
                        }
                    }
                }
            }
        })
        .await;
        (waiting, urgency)
    }

    fn is_due(&mut self, urgency: Urgency) -> bool {
        let Pace::Interval(interval) = self.pace else { return true };
        let now = self.app.now();
        let due = self.next_turn <= now;
        if due {
            self.next_turn = after(now, interval);
        }
        due || urgency == Urgency::NewSubscription
    }

    /// Asks for what the plan needs until it has it, or has to wait.
    async fn act(&mut self, trigger: Trigger) {
        self.backoff = None;
        for _ in 0..ROUNDS_MAX {
            let started = Instant::now();
            let asks = self.dispatcher.next_commands();
            self.board.plans.note(trigger, started.elapsed());
            if asks.is_empty() {
                return;
            }
            if let Err(error) = self.ask(asks).await {
                if !matches!(error, SubmitError::Stopping) {
                    tracing::warn!(%error, "the scheduler could not ask for what it needs, and tries again");
                }
                break;
            }
        }
        // Something is left to be asked for.
        self.backoff = Some(BACKOFF);
    }

    async fn ask(&mut self, asks: Vec<Ask>) -> Result<(), SubmitError> {
        let (asked, commands): (Vec<_>, Vec<_>) = asks.into_iter().map(|ask| (ask.asked, ask.command)).unzip();
        let submission = Submission { commands, mode: Mode::Commit, key: None };
        let outcomes = self.app.submit(submission).await?;
        let now = self.app.now();
        let Self { app, dispatcher, .. } = self;
        app.read(|state| {
            for (asked, outcome) in asked.into_iter().zip(&outcomes) {
                dispatcher.apply_outcome(asked, answer_of(outcome), state, now);
            }
        })
        .await;
        Ok(())
    }

    fn show(&mut self) {
        let news = self.dispatcher.take_changed(self.app.now());
        let forgotten = self.dispatcher.take_forgotten();
        if !news.is_empty() || !forgotten.is_empty() {
            self.board.show(news, &forgotten);
        }
    }

    fn answer(&self, waiting: Vec<PendingReport>) {
        for (id, answer) in waiting {
            let view = self.dispatcher.view(&id).map(Arc::new);
            let _ = answer.send(view.ok_or(ReportError::Stopping));
        }
    }
}

impl PendingCommits {
    fn note(&mut self, commit: Result<Commit, RecvError>) {
        match commit {
            Ok(commit) => {
                self.any = true;
                commit.facts.iter().for_each(|fact| touch(fact, &mut self.ids));
            }
            Err(RecvError::Lagged(_)) => self.lagged = true,
            Err(RecvError::Closed) => {}
        }
    }
}

fn refuse(id: &Name, rejection: ReportRejection, answer: Option<Answerer>) {
    match answer {
        // Whoever asked may have gone.
        Some(answer) => drop(answer.send(Err(rejection.into()))),
        None => tracing::info!(aggregator = %id, %rejection, "a report was not believed"),
    }
}

/// The allocations that something happened to.
fn touch(fact: &Fact, ids: &mut Vec<AllocationId>) {
    let mut displaced = |gone: &[DisplacedRecord]| ids.extend(gone.iter().map(|gone| gone.id.0));
    match &fact.record {
        EventRecord::AllocationAdmitted { displaced: gone, .. }
        | EventRecord::TopologyPut { displaced: gone, .. }
        | EventRecord::ModelSet { displaced: gone, .. }
        | EventRecord::LinkChanged { displaced: gone, .. } => displaced(gone),
        EventRecord::AllocationResized { allocation, displaced: gone } => {
            displaced(gone);
            ids.push(allocation.id.0);
        }
        EventRecord::AllocationReleased { id } => ids.push(id.0),
        EventRecord::AllocationsExpired { ids: over } => ids.extend(over.iter().map(|id| id.0)),
        EventRecord::AllocationDenied { .. }
        | EventRecord::TopologyDeleted { .. }
        | EventRecord::ControllerPut { .. }
        | EventRecord::ControllerDeleted { .. } => {}
    }
}

fn after(now: Millis, wait: Duration) -> Millis {
    Millis(now.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
}

fn answer_of(outcome: &CommandOutcome) -> GrantOutcome {
    let Ok(fact) = outcome else { return GrantOutcome::Refused };
    match &fact.record {
        EventRecord::AllocationAdmitted { allocation, .. } | EventRecord::AllocationResized { allocation, .. } => {
            GrantOutcome::Granted(allocation.id.0)
        }
        EventRecord::AllocationReleased { .. } => GrantOutcome::Released,
        EventRecord::AllocationDenied {
            denial: DenialRecord::InsufficientBandwidth { largest_admissible_bps, .. },
            ..
        } => GrantOutcome::Denied { largest: Bandwidth::saturating_from_bps(*largest_admissible_bps) },
        _ => GrantOutcome::Denied { largest: Bandwidth::ZERO },
    }
}

fn until(now: Millis, at: Millis) -> Duration {
    Duration::from_millis(at.0.saturating_sub(now.0))
}
