//! Where logs and spans go. Spans are for a collector of traces alone: log lines stay as they are with and without one.

use std::io::IsTerminal;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::app::SPANS;
use crate::config::LogFormat;

/// Held for as long as something is to be logged: what waits to be exported is sent when it is dropped.
#[must_use = "what waits to be exported is sent when this is dropped"]
pub struct Logging {
    #[cfg(feature = "otlp")]
    _export: Option<super::otlp::Export>,
}

/// Starts logging to standard error. `RUST_LOG` chooses what, by levels and targets (`info,sqlx=warn` by default). Built with
/// the feature `otlp`, spans are exported to `OTEL_EXPORTER_OTLP_ENDPOINT` if that is set. If something else logs already,
/// it goes on alone.
pub fn start_logging(format: LogFormat) -> Logging {
    let asked = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, misread) = match asked.parse::<Targets>() {
        _ if asked.is_empty() => (default_filter(), None),
        Ok(filter) => (filter, None),
        Err(error) => (default_filter(), Some(error)),
    };
    let filter = filter.with_target(SPANS, LevelFilter::OFF);
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json { lines.json().boxed() } else { lines.boxed() };
    let logging = start(lines.with_filter(filter));
    if let Some(error) = misread {
        tracing::warn!(%error, RUST_LOG = asked, "RUST_LOG is not read: levels and targets are expected, such as info,sqlx=warn");
    }
    logging
}

fn default_filter() -> Targets {
    // What the MQTT client warns of is in the lines of the gateway, which has each once.
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("sqlx", LevelFilter::WARN)
        .with_target("rumqttc", LevelFilter::ERROR)
}

#[cfg(feature = "otlp")]
fn start(lines: impl Layer<tracing_subscriber::Registry> + Send + Sync) -> Logging {
    let registry = tracing_subscriber::registry().with(lines);
    match super::otlp::exporter() {
        Ok(Some((spans, export))) => {
            let _ = registry.with(spans).try_init();
            Logging { _export: Some(export) }
        }
        Ok(None) => {
            let _ = registry.try_init();
            Logging { _export: None }
        }
        // A service without traces is better than none.
        Err(error) => {
            let _ = registry.try_init();
            tracing::error!(%error, "no traces are exported");
            Logging { _export: None }
        }
    }
}

#[cfg(not(feature = "otlp"))]
fn start(lines: impl Layer<tracing_subscriber::Registry> + Send + Sync) -> Logging {
    let _ = tracing_subscriber::registry().with(lines).try_init();
    if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some() {
        tracing::warn!(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but this program was built without the feature otlp: no traces are exported"
        );
    }
    Logging {}
}
