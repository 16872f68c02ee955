//! The QoS scheduler as the speaking rooms see it: a queue for reports, and the rates as they are now. The task behind it is
//! in `task`. What must stay true: a slow reader or a flood of reports costs bounded memory.

mod past;
mod plan_metrics;
mod task;
mod turn;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use kernel::id::Name;
use kernel::scheduler::SchedulerSettings;
use kernel::scheduler::engine::{AggregatorView, ReportRejection};
use kernel::scheduler::report::Metadata;

pub use past::{PAST_AGGREGATORS_MAX, PAST_POINTS_MAX, PAST_STEP, PastLevel, PastPoint};
pub use plan_metrics::{PLAN_BOUNDS_US, Plans, Trigger};
pub(super) use task::run;

/// How many reports may wait for the scheduler; one more is refused as busy.
pub const REPORTS_MAX: usize = 512;
/// How many changes a slow listener may fall behind.
pub const NEWS_KEPT: usize = 4_096;

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
    /// The report is rejected.
    #[error(transparent)]
    Rejected(#[from] ReportRejection),
    /// Another instance of the service takes the reports of aggregators in.
    #[error("reports are taken in by instance '{0}' of the service")]
    Elsewhere(Name),
    /// The queue is full.
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

/// A change of an aggregator.
#[derive(Clone, Debug)]
pub enum RateNews {
    /// The aggregator as it is now.
    Changed(Arc<AggregatorView>),
    /// The aggregator is no longer known.
    Forgotten(Name),
    /// A report whose sender waits for no answer was rejected.
    Rejected(Arc<RejectedReport>),
}

/// A report that was rejected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RejectedReport {
    /// The aggregator.
    pub id: Name,
    /// What it reported.
    pub metadata: Arc<Metadata>,
    /// The reason.
    pub reason: ReportRejection,
}

/// The published aggregators, as they are now.
struct AggregatorViews {
    views: RwLock<BTreeMap<Name, watch::Sender<Arc<AggregatorView>>>>,
    pasts: Mutex<past::AggregatorPasts>,
    news: broadcast::Sender<RateNews>,
    plans: Plans,
    /// Reports over MQTT that were refused.
    refused: AtomicU64,
}

impl Scheduler {
    pub(super) fn new() -> (Self, ReportQueue) {
        let (inbox, messages) = mpsc::channel(REPORTS_MAX);
        let (news, _) = broadcast::channel(NEWS_KEPT);
        let board = Arc::new(AggregatorViews {
            views: RwLock::default(),
            pasts: Mutex::default(),
            news,
            plans: Plans::default(),
            refused: AtomicU64::new(0),
        });
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

    /// Queues a report without an answer: a rejection is logged. Waits while the queue is full.
    ///
    /// # Errors
    /// The scheduler is stopping.
    pub async fn post(&self, id: Name, metadata: Metadata) -> Result<(), ReportError> {
        let message = SchedulerMessage::Report { id, metadata: Arc::new(metadata), answer: None };
        self.inbox.send(message).await.map_err(|_| ReportError::Stopping)
    }

    /// Counts a report over MQTT that was refused.
    pub fn count_refused(&self) {
        self.board.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many reports over MQTT were refused.
    pub fn refused(&self) -> u64 {
        self.board.refused.load(Ordering::Relaxed)
    }

    /// Reports that an aggregator has gone.
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

    /// What an aggregator had lately, the oldest first.
    pub fn past(&self, id: &Name) -> Vec<PastPoint> {
        self.board.pasts.lock().unwrap_or_else(PoisonError::into_inner).points(id)
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

    /// Shows no aggregator any more: another instance does. Channels of those that are watched are closed.
    fn clear(&self) {
        self.views.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.forget_past();
    }

    /// Times by the clock before it was set are no past of times by it after.
    fn forget_past(&self) {
        self.pasts.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
        {
            let mut pasts = self.pasts.lock().unwrap_or_else(PoisonError::into_inner);
            forgotten.iter().for_each(|id| pasts.forget(id));
            news.iter().for_each(|view| pasts.record(view));
        }
        // There may be no subscriber.
        forgotten.iter().for_each(|id| drop(self.news.send(RateNews::Forgotten(id.clone()))));
        news.into_iter().for_each(|view| drop(self.news.send(RateNews::Changed(view))));
    }
}

/// Where reports wait.
pub(super) struct ReportQueue {
    messages: mpsc::Receiver<SchedulerMessage>,
}
