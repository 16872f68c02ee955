//! What the tasks of a gateway share: the machine behind a lock that is never held across an await, and what wakes whom.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::buffer::SubscriptionId;
use super::clock::{GatewayClock, SinceStart, rfc3339, wall_ms};
use super::core::{DeliveryBatch, Ending, Machine};
use super::wire::ReportCounts;

/// Who a gateway is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct GatewayIdentity {
    /// Its id as an aggregator.
    pub(super) id: String,
    /// The node at which it is.
    pub(super) node: String,
    /// Drawn when it started.
    pub(super) instance: String,
    /// Where it listens for consumers.
    pub(super) address: SocketAddr,
    /// Where others find that; absent: nobody else can.
    pub(super) url: Option<String>,
    /// From which address it sends to consumers elsewhere, if that is one that means the same to others.
    pub(super) source: Option<Ipv4Addr>,
}

/// A batch for a consumer, as JSON.
#[derive(Clone, Debug)]
pub(super) struct DeliveryChannel {
    pub(super) body: Vec<u8>,
}

/// The way to whoever delivers for a subscription. It holds one batch: there is never more than one on its way.
struct DeliveryWorker {
    sender: mpsc::Sender<DeliveryChannel>,
    /// Tells a courier from the one that took over from it.
    epoch: u64,
    /// Ends with the courier's time.
    over: CancellationToken,
}

/// What a courier works with.
pub(super) struct WorkerHandle {
    pub(super) epoch: u64,
    /// What is to be delivered.
    pub(super) deliveries: mpsc::Receiver<DeliveryChannel>,
    /// Cancelled when another takes over, or there is nothing to deliver any more.
    pub(super) over: CancellationToken,
}

pub(super) struct Shared {
    pub(super) identity: GatewayIdentity,
    pub(super) clock: GatewayClock,
    pub(super) stop: CancellationToken,
    inner: Mutex<SharedState>,
    wake: Notify,
    /// Changes with every subscription, for the one who reports.
    revision: watch::Sender<u64>,
    /// Reports that were taken, and that were not.
    reports: [AtomicU64; 2],
}

struct SharedState {
    machine: Machine,
    couriers: HashMap<SubscriptionId, DeliveryWorker>,
    epochs: u64,
    /// Of the subscriptions that the couriers were compared with last.
    revision: u64,
}

impl Shared {
    pub(super) fn new(
        identity: GatewayIdentity,
        clock: GatewayClock,
        machine: Machine,
        stop: CancellationToken,
    ) -> Self {
        let revision = watch::Sender::new(machine.revision());
        let inner = Mutex::new(SharedState { machine, couriers: HashMap::new(), epochs: 0, revision: 0 });
        let reports = Default::default();
        Self { identity, clock, stop, inner, wake: Notify::new(), revision, reports }
    }

    fn inner(&self) -> MutexGuard<'_, SharedState> {
        // The machine does not panic; and if it did, going on is better than to stop serving everybody.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the machine.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Machine, SinceStart) -> T) -> T {
        let now = self.clock.now();
        look(&self.inner().machine, now)
    }

    /// Tells the machine something, and has its consequences seen to.
    pub(super) fn tell<T>(&self, act: impl FnOnce(&mut Machine, SinceStart) -> T) -> T {
        let now = self.clock.now();
        let mut inner = self.inner();
        let told = act(&mut inner.machine, now);
        inner.dismiss();
        let revision = inner.machine.revision();
        drop(inner);
        self.revision.send_if_modified(|known| std::mem::replace(known, revision) != revision);
        self.wake.notify_one();
        told
    }

    /// A report was taken, or was not.
    pub(super) fn count_report(&self, is_taken: bool) {
        self.reports[usize::from(!is_taken)].fetch_add(1, Ordering::Relaxed);
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

    /// Somebody delivers for a subscription from now on, in place of who did before; `None` if there is none.
    pub(super) fn hire(&self, id: SubscriptionId) -> Option<WorkerHandle> {
        let mut inner = self.inner();
        inner.machine.subscription(id)?;
        inner.epochs += 1;
        let (sender, receiver) = mpsc::channel(1);
        let (epoch, over) = (inner.epochs, self.stop.child_token());
        let courier = DeliveryWorker { sender, epoch, over: over.clone() };
        if let Some(before) = inner.couriers.insert(id, courier) {
            before.over.cancel();
        }
        Some(WorkerHandle { epoch, deliveries: receiver, over })
    }

    /// Whether a courier still is the one.
    pub(super) fn is_hired(&self, id: SubscriptionId, epoch: u64) -> bool {
        self.inner().couriers.get(&id).is_some_and(|courier| courier.epoch == epoch)
    }

    /// A courier says how a delivery ended; one who was replaced is not listened to.
    pub(super) fn settle(&self, id: SubscriptionId, epoch: u64, ending: Ending) {
        if self.is_hired(id, epoch) {
            self.tell(|machine, now| machine.settle(now, id, ending));
        }
    }

    /// Sends what may be sent and waits for what changes that, until the gateway stops.
    pub(super) async fn dispatch(&self) {
        loop {
            let deadline = self.round();
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

    /// Everything that can be done now; when there will be more.
    fn round(&self) -> Option<SinceStart> {
        let now = self.clock.now();
        let mut inner = self.inner();
        for id in inner.machine.tick(now) {
            tracing::warn!(subscription = %id, "nothing reached the consumer for too long: the subscription ends");
        }
        inner.dismiss();
        while let Some(batch) = inner.machine.dispatch(now) {
            let id = batch.subscription;
            let delivery = DeliveryChannel { body: self.render(&batch) };
            let sent = inner.couriers.get(&id).map(|courier| courier.sender.try_send(delivery));
            if !matches!(sent, Some(Ok(()))) {
                // Whoever delivered is just leaving; it will be tried again.
                inner.machine.settle(now, id, Ending::Failed);
            }
        }
        let revision = inner.machine.revision();
        let deadline = inner.machine.next_deadline(now);
        drop(inner);
        self.revision.send_if_modified(|known| std::mem::replace(known, revision) != revision);
        deadline
    }

    fn render(&self, batch: &DeliveryBatch) -> Vec<u8> {
        let GatewayIdentity { id, instance, .. } = &self.identity;
        // An id has no characters that JSON would escape, but for those that it escapes here.
        let id = serde_json::to_string(id).unwrap_or_default();
        let sent_at = rfc3339(wall_ms());
        let mut body = format!(
            r#"{{"gateway":{id},"instance":"{instance}","subscription":"{}","sent_at":"{sent_at}","messages":["#,
            batch.subscription
        )
        .into_bytes();
        for (place, item) in batch.items.iter().enumerate() {
            if place > 0 {
                body.push(b',');
            }
            item.message.write(item.sequence, &mut body);
        }
        body.extend_from_slice(b"]}");
        body
    }
}

impl SharedState {
    /// Couriers of subscriptions that are no more go.
    fn dismiss(&mut self) {
        if std::mem::replace(&mut self.revision, self.machine.revision()) == self.machine.revision() {
            return;
        }
        let machine = &self.machine;
        self.couriers.retain(|id, courier| {
            let stays = machine.subscription(*id).is_some();
            if !stays {
                courier.over.cancel();
            }
            stays
        });
    }
}
