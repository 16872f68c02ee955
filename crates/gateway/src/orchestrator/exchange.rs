//! What both ways to the orchestrator share: why an exchange failed, when it is tried again, and how rates are applied.

use std::time::Duration;

use api::aggregator::{AggregatorRates, UnservedReason};
use api::client::ClientError;
use api::problem::ProblemDocument;
use api::qos_level::{Level, PerLevel};
use api::retry::Retry;
use api::sse::SseError;
use rumqttc::v5::ConnectionError;
use rumqttc::v5::mqttbytes::v5::PubAckReason;

use crate::limits::{ORCHESTRATOR_WAIT, RETRY_MAX, RETRY_MIN, STREAM_SILENCE_MAX};
use crate::rate_lease::{LevelRates, RatesError, RatesUpdate};
use crate::runtime::Runtime;

/// Why no rates were applied, or a report was not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrchestratorError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the rates cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Rates(#[from] RatesError),
    #[error(transparent)]
    Stream(#[from] SseError),
    #[error("another gateway reports under this id: these rates are for its instance '{0}'")]
    OtherInstance(String),
    #[error("the stream was silent for more than {} s", STREAM_SILENCE_MAX.as_secs())]
    Silent,
    #[error("the stream ended")]
    Ended,
    #[error("the connection to the broker failed: {0}")]
    Connection(#[from] Box<ConnectionError>),
    #[error("the connection to the broker ended")]
    Disconnected,
    #[error("the broker did not answer within {} s", ORCHESTRATOR_WAIT.as_secs())]
    BrokerSilent,
    #[error("the broker does not allow the subscription to rates and errors")]
    SubscriptionRefused,
    #[error("no orchestrator listens at this broker")]
    NoOrchestrator,
    #[error("the broker refuses the report ({code:?}): {}", .reason.as_deref().unwrap_or("it does not say why"))]
    ReportRefused {
        code: PubAckReason,
        /// The Reason String of PUBACK (MQTT 5 §3.4.2.2.2).
        reason: Option<String>,
    },
}

impl From<reqwest::Error> for OrchestratorError {
    fn from(error: reqwest::Error) -> Self {
        Self::Client(error.into())
    }
}

impl OrchestratorError {
    /// The orchestrator refused a report with this problem.
    pub(super) fn refused(problem: ProblemDocument) -> Self {
        Self::Client(ClientError::Refused(Box::new(problem)))
    }
}

/// One exchange with the orchestrator, and when to try it again.
pub(super) struct Exchange {
    what: &'static str,
    retry: Retry,
}

impl Exchange {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, retry: Retry::new(RETRY_MIN, RETRY_MAX) }
    }

    pub(super) fn succeeded(&mut self) {
        if self.retry.succeeded() {
            tracing::info!("{}: the orchestrator is back", self.what);
        }
    }

    /// The time until the next attempt.
    pub(super) fn failed(&mut self, error: &OrchestratorError) -> Duration {
        let delay = self.retry.failed(&error.to_string());
        if delay.is_news {
            tracing::warn!(%error, "{}: the orchestrator cannot be used; going on without", self.what);
        }
        delay.pause
    }
}

/// Applies rates, and renews their lease.
pub(super) fn apply_rates(runtime: &Runtime, document: &AggregatorRates) -> Result<(), OrchestratorError> {
    if let Some(other) = document.instance.as_ref().filter(|instance| **instance != runtime.identity.instance) {
        return Err(OrchestratorError::OtherInstance(other.clone()));
    }
    let rates = LevelRates::read(document)?;
    let (sequence, levels_bps, unserved) = (rates.sequence, rates.levels_bps, rates.unserved);
    let before = runtime.read(|core, now| core.rates(now).0);
    match runtime.update(|core, now| core.apply_rates(now, rates)) {
        RatesUpdate::Applied => {
            if before.levels_bps != levels_bps {
                tracing::info!(sequence, ?levels_bps, "new rates");
            }
            log_unserved(&before.unserved, &unserved);
        }
        RatesUpdate::Outdated => tracing::debug!(sequence, "these rates are older than those in force"),
    }
    Ok(())
}

/// A level for which the orchestrator can reserve nothing is a line in the log, and so is its end.
fn log_unserved(before: &PerLevel<Option<UnservedReason>>, now: &PerLevel<Option<UnservedReason>>) {
    for (level, (before, now)) in Level::BEST_FIRST.into_iter().rev().zip(before.iter().zip(now)) {
        let qos_level = level.number();
        match (before, now) {
            (before, now) if before == now => {}
            (_, Some(reason)) => {
                let reason = reason.as_str();
                tracing::warn!(
                    qos_level,
                    reason,
                    "the orchestrator can reserve nothing for this level: nothing is sent in it"
                );
            }
            (_, None) => tracing::info!(qos_level, "the orchestrator can reserve for this level again"),
        }
    }
}
