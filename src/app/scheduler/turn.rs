//! Which instance of the service schedules: the one that hears of an aggregator while none does. The others refuse reports, and
//! leave the reservations of aggregators alone. What must stay true: reservations whose scheduler is gone for good are released
//! by one of the others.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::super::{App, SchedulerLead};
use super::{ReportError, ReportQueue, SchedulerMessage};
use kernel::scheduler::engine::Dispatcher;

/// How often it is looked whether another instance still schedules.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many leases reservations may be without a scheduler that lives, and a scheduler without any.
const LEASES: u64 = 3;

/// How long reservations may be without a scheduler that lives, and a scheduler without any.
pub(super) fn patience(lease_ms: u64) -> Duration {
    Duration::from_millis(lease_ms.saturating_mul(LEASES))
}

/// Waits until it is this instance's turn; with the report that made it so. `None` when the service stops.
pub(super) async fn wait_for_turn(
    app: &App,
    inbox: &mut ReportQueue,
    lease_ms: u64,
) -> Option<Option<SchedulerMessage>> {
    let stop = app.stopping();
    let mut unled_since = None;
    loop {
        let term = app.scheduler_term();
        match app.scheduler_lead() {
            SchedulerLead::Here | SchedulerLead::Unconfirmed => return Some(None),
            SchedulerLead::Elsewhere(_) | SchedulerLead::Unknown => unled_since = None,
            SchedulerLead::Nowhere => {
                let since = *unled_since.get_or_insert_with(Instant::now);
                if since.elapsed() > patience(lease_ms) {
                    unled_since = None;
                    if app.read(Dispatcher::has_reservations) && app.lead_scheduler(term).await {
                        return Some(None);
                    }
                }
            }
        }
        let message = tokio::select! {
            () = stop.cancelled() => return None,
            message = inbox.messages.recv() => message?,
            () = sleep(LOOK_EVERY) => continue,
        };
        let is_report = matches!(message, SchedulerMessage::Report { .. });
        let term = app.scheduler_term();
        if is_report && app.scheduler_lead() == SchedulerLead::Nowhere && app.lead_scheduler(term).await {
            return Some(Some(message));
        }
        refuse_elsewhere(message, &app.scheduler_lead());
    }
}

/// Tells the sender of a report that another instance takes reports in, if an answer is waited for; over MQTT a report reaches
/// every instance on the broker's store.
pub(super) fn refuse_elsewhere(message: SchedulerMessage, lead: &SchedulerLead) {
    if let SchedulerMessage::Report { answer: Some(answer), .. } = message {
        let error = match lead {
            SchedulerLead::Elsewhere(instance) => ReportError::Elsewhere(instance.clone()),
            _ => ReportError::Busy,
        };
        // The requester may have disconnected.
        drop(answer.send(Err(error)));
    }
}
