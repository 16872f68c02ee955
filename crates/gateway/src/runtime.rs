//! What the tasks of a gateway share: the core behind a lock that is never held across an await, the delivery workers, and
//! the signals between tasks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::gateway::ReportCounts;
use api::instant::Instant;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::buffer::SubscriptionId;
use super::client::SourceAddresses;
use super::clock::{GatewayClock, SinceStart, wall_ms};
use super::core::{BatchCharge, DeliveryBatch, DeliveryOutcome, GatewayCore, SpoolCut};
use super::report_clock::ReportClock;
use super::spool::{Spool, SpooledCore};
use super::wire_cost::SentBody;

/// What identifies a gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct GatewayIdentity {
    /// Its id as an aggregator.
    pub(super) id: String,
    /// The node at which it is.
    pub(super) node: String,
    /// Drawn when it first started: what it numbers goes on with the spool.
    pub(super) instance: String,
    /// Where it listens for consumers.
    pub(super) address: SocketAddr,
    /// The URL of that address for other machines; `None`: they cannot reach it.
    pub(super) url: Option<String>,
    /// The address from which it sends to consumers at other nodes, if that means the same on other machines.
    pub(super) sources: SourceAddresses,
}

/// A batch for a consumer: [`api::gateway::BatchDocument`] as JSON.
#[derive(Clone, Debug)]
pub(super) struct RenderedBatch {
    pub(super) body: Vec<u8>,
    /// The number of its last message.
    pub(super) last_sequence: u64,
    /// What it was charged with; `None`: no rate is.
    pub(super) charge: Option<BatchCharge>,
}

/// The task that delivers for a subscription. Its channel holds one batch: there is never more than one in flight.
struct DeliveryWorker {
    sender: mpsc::Sender<RenderedBatch>,
    /// Tells a worker from its successor.
    epoch: u64,
    cancelled: CancellationToken,
}

/// The worker's end.
pub(super) struct WorkerHandle {
    pub(super) epoch: u64,
    /// The batches to deliver.
    pub(super) batches: mpsc::Receiver<RenderedBatch>,
    /// Cancelled when a successor starts, the subscription ends, or the gateway stops.
    pub(super) cancelled: CancellationToken,
}

pub(super) struct Runtime {
    pub(super) identity: GatewayIdentity,
    pub(super) clock: GatewayClock,
    pub(super) stop: CancellationToken,
    pub(super) spool: Option<Spool>,
    inner: Mutex<RuntimeState>,
    wake: Notify,
    /// Changes with every subscription; the reports follow it.
    revision: watch::Sender<u64>,
    /// The time of reports.
    report_clock: Mutex<ReportClock>,
    /// Reports that were accepted, and that were not.
    reports: [AtomicU64; 2],
}

struct RuntimeState {
    core: GatewayCore,
    workers: HashMap<SubscriptionId, DeliveryWorker>,
    epochs: u64,
    /// The core's revision when the workers were last compared with its subscriptions.
    revision: u64,
}

impl Runtime {
    pub(super) fn new(identity: GatewayIdentity, clock: GatewayClock, core: GatewayCore, spool: Option<Spool>) -> Self {
        let revision = watch::Sender::new(core.revision());
        let inner = Mutex::new(RuntimeState { core, workers: HashMap::new(), epochs: 0, revision: 0 });
        let (reports, stop) = (Default::default(), CancellationToken::new());
        Self {
            identity,
            clock,
            stop,
            spool,
            inner,
            wake: Notify::new(),
            revision,
            report_clock: Mutex::default(),
            reports,
        }
    }

    fn inner(&self) -> MutexGuard<'_, RuntimeState> {
        // The core does not panic; and if it did, going on is better than to stop serving all consumers.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the core.
    pub(super) fn read<T>(&self, read: impl FnOnce(&GatewayCore, SinceStart) -> T) -> T {
        let now = self.clock.now();
        read(&self.inner().core, now)
    }

    /// Changes the core, stops workers without a subscription, and wakes the dispatcher.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut GatewayCore, SinceStart) -> T) -> T {
        let now = self.clock.now();
        let mut inner = self.inner();
        let result = change(&mut inner.core, now);
        inner.stop_workers();
        let revision = inner.core.revision();
        drop(inner);
        self.revision.send_if_modified(|known| std::mem::replace(known, revision) != revision);
        self.wake.notify_one();
        if let Some(spool) = &self.spool {
            spool.notify_change();
        }
        result
    }

    /// Waits until everything up to now is in the spool; `false`: it never will be. Without a spool there is nothing to wait
    /// for.
    pub(super) async fn kept(&self) -> bool {
        let Some(spool) = &self.spool else { return true };
        let cut = self.read(|core, _| core.current_cut());
        spool.wait_for(cut).await
    }

    fn report_clock(&self) -> MutexGuard<'_, ReportClock> {
        self.report_clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time of the next report, in milliseconds since 1970.
    pub(super) fn stamp_report(&self) -> u64 {
        self.report_clock().stamp(wall_ms())
    }

    /// The orchestrator's clock shows `there_ms`, in milliseconds since 1970.
    pub(super) fn observe_clock(&self, there_ms: u64) {
        let mut clock = self.report_clock();
        if clock.observe(wall_ms(), there_ms) {
            tracing::warn!(offset_ms = clock.offset_ms(), "the orchestrator's clock differs: reports have its time");
        }
    }

    /// How far the orchestrator's clock is ahead, in milliseconds.
    pub(super) fn clock_offset_ms(&self) -> i64 {
        self.report_clock().offset_ms()
    }

    /// A report was accepted, or was not.
    pub(super) fn count_report(&self, is_accepted: bool) {
        self.reports[usize::from(!is_accepted)].fetch_add(1, Ordering::Relaxed);
    }

    /// What became of all reports.
    pub(super) fn report_counts(&self) -> ReportCounts {
        let [taken, failed] = &self.reports;
        ReportCounts { taken: taken.load(Ordering::Relaxed), failed: failed.load(Ordering::Relaxed) }
    }

    /// Changes with every subscription.
    pub(super) fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Starts to deliver for a subscription, in place of the worker before; `None` if there is no such subscription.
    pub(super) fn start_worker(&self, id: SubscriptionId) -> Option<WorkerHandle> {
        let mut inner = self.inner();
        inner.core.subscription(id)?;
        inner.epochs += 1;
        let (sender, receiver) = mpsc::channel(1);
        let (epoch, cancelled) = (inner.epochs, self.stop.child_token());
        let worker = DeliveryWorker { sender, epoch, cancelled: cancelled.clone() };
        if let Some(before) = inner.workers.insert(id, worker) {
            before.cancelled.cancel();
        }
        Some(WorkerHandle { epoch, batches: receiver, cancelled })
    }

    /// Whether a worker has no successor.
    pub(super) fn is_current_worker(&self, id: SubscriptionId, epoch: u64) -> bool {
        self.inner().workers.get(&id).is_some_and(|worker| worker.epoch == epoch)
    }

    /// A worker's delivery ended; that of a worker with a successor counts no longer.
    pub(super) fn finish_delivery(&self, id: SubscriptionId, epoch: u64, outcome: DeliveryOutcome) {
        if self.is_current_worker(id, epoch) {
            self.update(|core, now| core.finish_delivery(now, id, outcome));
        }
    }

    /// A batch is sent in this body or event.
    pub(super) fn settle(&self, id: SubscriptionId, charge: Option<BatchCharge>, body: SentBody) {
        let Some(charge) = charge else { return };
        let now = self.clock.now();
        self.inner().core.settle(now, id, charge, body);
        self.wake.notify_one();
    }

    /// Sends what may be sent and waits for what changes that, until the gateway stops.
    pub(super) async fn dispatch(&self) {
        loop {
            let deadline = self.dispatch_ready();
            let sleep = match deadline {
                Some(deadline) => self.clock.until(deadline),
                None => Duration::from_secs(60),
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Sends all that may be sent now; when more may be.
    fn dispatch_ready(&self) -> Option<SinceStart> {
        let now = self.clock.now();
        let mut inner = self.inner();
        for id in inner.core.tick(now) {
            tracing::warn!(subscription = %id, "no delivery reached the consumer for too long: the subscription ends");
        }
        inner.stop_workers();
        while let Some(batch) = inner.core.dispatch(now) {
            let id = batch.subscription;
            let last_sequence = batch.items.last().map_or(0, |item| item.sequence);
            let rendered = RenderedBatch { body: self.render(&batch), last_sequence, charge: batch.charge };
            let sent = inner.workers.get(&id).map(|worker| worker.sender.try_send(rendered));
            if !matches!(sent, Some(Ok(()))) {
                // The worker is just ending; the batch will be tried again.
                inner.core.finish_delivery(now, id, DeliveryOutcome::Failed);
            }
        }
        let revision = inner.core.revision();
        let deadline = inner.core.next_deadline(now);
        drop(inner);
        self.revision.send_if_modified(|known| std::mem::replace(known, revision) != revision);
        deadline
    }

    fn render(&self, batch: &DeliveryBatch) -> Vec<u8> {
        let GatewayIdentity { id, instance, .. } = &self.identity;
        // An id has no characters that JSON would escape, but for those that it escapes here.
        let id = serde_json::to_string(id).unwrap_or_default();
        let sent_at = Instant(wall_ms());
        let mut body = format!(
            r#"{{"gateway":{id},"instance":"{instance}","subscription":"{}","sent_at":"{sent_at}","messages":["#,
            batch.subscription
        )
        .into_bytes();
        for (index, item) in batch.items.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            item.message.write(item.sequence, &mut body);
        }
        body.extend_from_slice(b"]}");
        body
    }
}

impl SpooledCore for Arc<Runtime> {
    fn take_cut(&self) -> (Option<SpoolCut>, u64) {
        self.inner().core.take_cut()
    }

    fn release_written(&self, lanes: &[(SubscriptionId, u64)]) {
        self.inner().core.release_written(lanes);
        self.wake.notify_one();
    }
}

impl RuntimeState {
    /// Stops the workers of subscriptions that have ended.
    fn stop_workers(&mut self) {
        if std::mem::replace(&mut self.revision, self.core.revision()) == self.core.revision() {
            return;
        }
        let core = &self.core;
        self.workers.retain(|id, worker| {
            let stays = core.subscription(*id).is_some();
            if !stays {
                worker.cancelled.cancel();
            }
            stays
        });
    }
}
