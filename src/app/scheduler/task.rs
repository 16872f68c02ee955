//! The task around the QoS scheduler: it gives reports, commits and time to the [`Dispatcher`], submits the commands that it
//! asks for, and publishes the rates that follow. It decides nothing itself. What must stay true: rates are published only
//! after the allocations behind them are committed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::sleep;

use super::super::backoff::RetryBackoff;
use super::super::{App, COMMITS_KEPT, CommandOutcome, Commit, Load, Mode, SchedulerLead, SubmitError};
use super::turn;
use super::{
    AggregatorViews, Answerer, Pace, RateNews, RejectedReport, ReportError, ReportQueue, SchedulerMessage,
    SchedulerOptions, Trigger,
};
use kernel::event::{Denial, Displaced, Event};
use kernel::id::{AllocationId, Name};
use kernel::scheduler::QosLevel;
use kernel::scheduler::engine::{AggregatorView, Ask, Dispatcher, GrantOutcome, UnservedCause, Urgency};
use kernel::units::{Bandwidth, Millis};
use kernel::{Fact, Refusal};

/// How many reports are taken in at once.
const REPORTS_AT_ONCE_MAX: usize = 256;
/// How many rounds of asking follow one upon another before reports are looked at again.
const ROUNDS_MAX: usize = 8;
/// The longest sleep of the scheduler.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How long it waits after the writer was too busy: the first time, and at most.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_millis(800);

type PendingReport = (Name, Answerer);

/// Schedules while this instance is the one that does, until the service stops.
pub(in crate::app) async fn run(app: App, mut inbox: ReportQueue, options: SchedulerOptions) {
    while let Some(first) = turn::wait_for_turn(&app, &mut inbox, options.settings.lease_ms).await {
        let task = SchedulerTask::new(&app, options.clone());
        if task.run(&mut inbox, first).await == Ended::Stopping {
            return;
        }
        app.scheduler().board.clear();
    }
}

/// Why a task has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The service stops.
    Stopping,
    /// Another instance schedules, or none has anything to schedule.
    TurnOver,
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
    /// By how much the clock was set in all when it was read last.
    stepped_ms: i64,
    backoff: RetryBackoff,
    /// Set while something could not be asked for: when it is asked for again.
    retry_in: Option<Duration>,
    /// The levels of topologies of which a line in the log says that they have no rate.
    unserved: BTreeSet<(Name, QosLevel, UnservedCause)>,
    /// How long there may be nothing to schedule before scheduling is left to the instance that next hears of an aggregator.
    idle_max: Duration,
    idle_since: Option<Instant>,
}

/// What was committed since the dispatcher looked last.
#[derive(Default)]
struct PendingCommits {
    ids: Vec<AllocationId>,
    /// Something was.
    any: bool,
    /// Tenants were.
    tenants: bool,
    /// Commits were missed: what changed is unknown.
    lagged: bool,
}

impl SchedulerTask {
    fn new(app: &App, options: SchedulerOptions) -> Self {
        let commits = app.subscribe();
        let (now, stepped_ms) = app.now_and_steps();
        let idle_max = turn::patience(options.settings.lease_ms);
        Self {
            board: Arc::clone(&app.scheduler().board),
            app: app.clone(),
            dispatcher: app.read(|state| Dispatcher::new(options.settings, options.topology, state, now)),
            commits,
            touched: PendingCommits::default(),
            pace: options.pace,
            next_turn: now,
            next_look: now,
            stepped_ms,
            backoff: RetryBackoff::new(RETRY_MIN, RETRY_MAX),
            retry_in: None,
            unserved: BTreeSet::new(),
            idle_max,
            idle_since: None,
        }
    }

    async fn run(mut self, inbox: &mut ReportQueue, first: Option<SchedulerMessage>) -> Ended {
        let stop = self.app.stopping();
        let mut messages = Vec::with_capacity(REPORTS_AT_ONCE_MAX);
        messages.extend(first);
        loop {
            let patience = if messages.is_empty() { self.patience() } else { Duration::ZERO };
            let trigger = tokio::select! {
                () = stop.cancelled() => return Ended::Stopping,
                taken = inbox.messages.recv_many(&mut messages, REPORTS_AT_ONCE_MAX) => {
                    if taken == 0 {
                        return Ended::Stopping;
                    }
                    Trigger::Report
                }
                commit = self.commits.recv() => {
                    self.touched.add(commit);
                    Trigger::Commit
                }
                () = sleep(patience) => Trigger::Time,
            };
            let term = self.app.scheduler_term();
            let mut lead = self.app.scheduler_lead();
            if lead == SchedulerLead::Nowhere && !messages.is_empty() && self.app.lead_scheduler(term).await {
                lead = self.app.scheduler_lead();
            }
            if matches!(lead, SchedulerLead::Elsewhere(_) | SchedulerLead::Nowhere | SchedulerLead::Unknown) {
                messages.drain(..).for_each(|message| turn::refuse_elsewhere(message, &lead));
                return Ended::TurnOver;
            }
            self.drain_commits();
            let (waiting, urgency) = self.update_engine(&mut messages).await;
            // An instance that does not know whether another schedules by now changes nothing.
            if self.is_due(urgency) && lead == SchedulerLead::Here {
                self.act(trigger).await;
            }
            self.show();
            self.answer(waiting);
            if self.is_idle_for_long() && lead == SchedulerLead::Here {
                self.app.leave_scheduler(term).await;
            }
        }
    }

    /// Whether there is nothing to schedule for long, and another instance may hear of an aggregator.
    fn is_idle_for_long(&mut self) -> bool {
        if self.app.instance().is_none() || !self.dispatcher.is_idle() {
            self.idle_since = None;
            return false;
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        since.elapsed() > self.idle_max
    }

    /// How long nothing has to be done.
    fn patience(&self) -> Duration {
        let now = self.app.now();
        let deadline = self.dispatcher.next_deadline().map_or(SLEEP_MAX, |at| until(now, at));
        let turn = match self.pace {
            Pace::Reactive => SLEEP_MAX,
            Pace::Interval(_) => until(now, self.next_turn),
        };
        deadline.min(turn).min(self.retry_in.unwrap_or(SLEEP_MAX)).min(SLEEP_MAX)
    }

    fn drain_commits(&mut self) {
        for _ in 0..COMMITS_KEPT {
            match self.commits.try_recv() {
                Ok(commit) => self.touched.add(Ok(commit)),
                Err(TryRecvError::Lagged(missed)) => self.touched.add(Err(RecvError::Lagged(missed))),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Gives commits, measurements and reports that came meanwhile to the engine.
    async fn update_engine(&mut self, messages: &mut Vec<SchedulerMessage>) -> (Vec<PendingReport>, Urgency) {
        let now = self.take_in_clock();
        let touched = std::mem::take(&mut self.touched);
        let loads = (self.next_look <= now).then(|| self.app.conditions());
        if loads.is_some() {
            self.next_look = after(now, SLEEP_MAX);
        }
        let Self { app, dispatcher, .. } = self;
        let mut waiting = Vec::with_capacity(messages.len());
        let mut urgency = Urgency::Routine;
        app.read(|state| {
            match touched {
                PendingCommits { lagged: true, .. } => dispatcher.sync_all(state),
                PendingCommits { any: true, ids, tenants, .. } => {
                    if tenants {
                        dispatcher.sync_tenants(state);
                    }
                    dispatcher.sync(state, &ids);
                }
                _ => {}
            }
            if let Some(loads) = loads {
                dispatcher.set_splitless(state, loads.splitless());
                let fresh = |load: &Load| load.is_fresh(now);
                dispatcher
                    .measure(state, |topology, link| Some(loads.link(topology, link).load.filter(fresh)?.carried_bps));
            }
            dispatcher.tick(state, now);
            for message in messages.drain(..) {
                match message {
                    SchedulerMessage::Silence { id } => dispatcher.on_disconnected(&id, state, now),
                    SchedulerMessage::Report { id, metadata, answer } => {
                        match dispatcher.report(&id, Arc::clone(&metadata), state, now) {
                            Ok(heard) => {
                                urgency = urgency.max(heard);
                                waiting.extend(answer.map(|answer| (id, answer)));
                            }
                            Err(reason) => {
                                refuse(&app.scheduler().board.news, RejectedReport { id, metadata, reason }, answer);
                            }
                        }
                    }
                }
            }
        });
        (waiting, urgency)
    }

    /// Now. A clock that is set ends no lease and prolongs none.
    fn take_in_clock(&mut self) -> Millis {
        let (now, stepped_ms) = self.app.now_and_steps();
        let step_ms = stepped_ms.saturating_sub(std::mem::replace(&mut self.stepped_ms, stepped_ms));
        if step_ms != 0 {
            self.dispatcher.shift_clock(step_ms);
            self.board.forget_past();
            (self.next_turn, self.next_look) = (now, now);
        }
        now
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

    /// Submits the commands of the plan until there are none, or the writer is too busy.
    async fn act(&mut self, trigger: Trigger) {
        self.retry_in = None;
        for _ in 0..ROUNDS_MAX {
            if self.app.scheduler_lead() != SchedulerLead::Here {
                break;
            }
            let started = Instant::now();
            let now = self.take_in_clock();
            let asks = self.dispatcher.next_commands(now);
            self.board.plans.record(trigger, started.elapsed());
            if asks.is_empty() {
                self.backoff.reset();
                return;
            }
            if let Err(error) = self.ask(asks).await {
                if !matches!(error, SubmitError::Stopping) {
                    tracing::warn!(%error, "the scheduler's commands were not decided; it retries");
                }
                break;
            }
        }
        // Something is left to be asked for.
        self.retry_in = Some(self.backoff.next_delay());
    }

    async fn ask(&mut self, asks: Vec<Ask>) -> Result<(), SubmitError> {
        let commands = asks.into_iter().map(|ask| (ask.command, ask.asked)).collect();
        let outcomes = self.app.submit_each(commands, Mode::Commit).await?;
        let now = self.take_in_clock();
        let Self { app, dispatcher, .. } = self;
        app.read(|state| {
            for (asked, outcome) in outcomes {
                dispatcher.apply_outcome(asked, answer_of(&outcome), state, now);
            }
        });
        Ok(())
    }

    fn show(&mut self) {
        let news = self.dispatcher.take_changed(self.app.now());
        let forgotten = self.dispatcher.take_forgotten();
        news.iter().for_each(|view| self.log_unserved(view));
        if !news.is_empty() || !forgotten.is_empty() {
            self.board.show(news, &forgotten);
        }
    }

    /// A level of a topology without a rate is a line in the log once, until an aggregator there has a rate in it.
    fn log_unserved(&mut self, view: &AggregatorView) {
        let AggregatorView { id: aggregator, topology, rates, .. } = view;
        for (level, granted) in QosLevel::ALL.into_iter().zip(&rates.levels) {
            let (qos_level, class_type) = (level.number(), level.class_type().number());
            match granted.unserved {
                None if granted.rate.is_zero() => {}
                None => self.unserved.retain(|(name, known, _)| name != topology || *known != level),
                Some(cause) if !self.unserved.insert((topology.clone(), level, cause)) => {}
                Some(UnservedCause::NoClass) => tracing::warn!(
                    %topology, qos_level, class_type, %aggregator,
                    "a QoS level gets no rate: the bandwidth model of the topology does not have its class type"
                ),
                Some(UnservedCause::NoPath) => tracing::warn!(
                    %topology, qos_level, %aggregator,
                    "a QoS level of an aggregator gets no rate: no path leads to its consumers"
                ),
            }
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
    fn add(&mut self, commit: Result<Commit, RecvError>) {
        match commit {
            Ok(commit) if commit.replaces_all => self.lagged = true,
            Ok(commit) => {
                self.any = true;
                self.tenants |= commit.facts.iter().any(|fact| is_of_tenant(&fact.event));
                commit.facts.iter().for_each(|fact| collect_changed(fact, &mut self.ids));
            }
            Err(RecvError::Lagged(_)) => self.lagged = true,
            Err(RecvError::Closed) => {}
        }
    }
}

/// Answers a report with its rejection; without an answer to give, the rejection is news.
fn refuse(news: &broadcast::Sender<RateNews>, report: RejectedReport, answer: Option<Answerer>) {
    match answer {
        // The requester may have disconnected.
        Some(answer) => drop(answer.send(Err(report.reason.into()))),
        None => drop(news.send(RateNews::Rejected(Arc::new(report)))),
    }
}

fn is_of_tenant(event: &Event) -> bool {
    matches!(event, Event::TenantPut { .. } | Event::TenantDeleted { .. })
}

/// The allocations that an event changed or ended.
fn collect_changed(fact: &Fact, ids: &mut Vec<AllocationId>) {
    let mut displaced = |gone: &[Displaced]| ids.extend(gone.iter().map(|gone| gone.id));
    match &fact.event {
        Event::Admitted { allocation, displaced: gone } => {
            displaced(gone);
            ids.push(allocation.id);
        }
        Event::TopologyPut { displaced: gone, .. }
        | Event::ModelSet { displaced: gone, .. }
        | Event::LinkChanged { displaced: gone, .. }
        | Event::MaintenancePlanned { displaced: gone, .. } => displaced(gone),
        Event::Resized { allocation, displaced: gone } | Event::Started { allocation, displaced: gone } => {
            displaced(gone);
            ids.push(allocation.id);
        }
        Event::Recovered { allocation } => ids.push(allocation.id),
        Event::Released { id } | Event::StartFailed { id, .. } => ids.push(*id),
        Event::Expired { ids: expired } => ids.extend(expired),
        Event::Denied { .. }
        | Event::TopologyDeleted { .. }
        | Event::ControllerPut { .. }
        | Event::ControllerDeleted { .. }
        | Event::MaintenanceEnded { .. }
        | Event::PreemptionForeseen { .. }
        | Event::TenantPut { .. }
        | Event::ControllerLed { .. }
        | Event::SchedulerLed { .. }
        | Event::TenantDeleted { .. } => {}
    }
}

fn after(now: Millis, wait: Duration) -> Millis {
    Millis(now.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
}

fn answer_of(outcome: &CommandOutcome) -> GrantOutcome {
    let fact = match outcome {
        Ok(fact) => fact,
        Err(Refusal::QuotaExceeded(exceeded)) => return GrantOutcome::Denied { largest: exceeded.largest },
        Err(_) => return GrantOutcome::Refused,
    };
    match &fact.event {
        Event::Admitted { allocation, .. } | Event::Resized { allocation, .. } => GrantOutcome::Granted(allocation.id),
        Event::Released { .. } => GrantOutcome::Released,
        Event::Denied { denial: Denial::InsufficientBandwidth { largest_admissible, .. }, .. } => {
            GrantOutcome::Denied { largest: *largest_admissible }
        }
        _ => GrantOutcome::Denied { largest: Bandwidth::ZERO },
    }
}

fn until(now: Millis, at: Millis) -> Duration {
    Duration::from_millis(at.0.saturating_sub(now.0))
}
