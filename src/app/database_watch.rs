//! Whether the journal takes writes: asked at intervals, so that readiness and metrics tell it without waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::App;

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(500);
/// How long the answer may take.
const ANSWER_MAX: Duration = Duration::from_millis(1_500);

/// Asks until the service stops.
pub(super) async fn run(app: App) {
    let stop = app.stopping();
    loop {
        tokio::select! {
            () = sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        let fault = app.inner.journal.probe(ANSWER_MAX).await.err().map(Arc::new);
        match (app.database_fault(), &fault) {
            (None, Some(fault)) => tracing::error!(%fault, "the journal takes no writes"),
            (Some(_), None) => tracing::info!("the journal takes writes again"),
            _ => {}
        }
        app.inner.database_fault.store(fault);
    }
}
