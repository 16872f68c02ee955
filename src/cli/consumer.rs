//! `watermaster consumer`: subscribes at gateways and logs each message as one JSON object a line; at the end a summary.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use clap::{ArgAction, Args};
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::database_args::given_or_read;
use super::serve::stop_on_signal;
use crate::config::{ConfigError, LogFormat};
use crate::telemetry;
use api::client::{ClientError, bearer};
use gateway::consumer::stats::{ConsumerSummary, MessageLog};
use gateway::consumer::{
    BatchCoding, Consumer, ConsumerError, ConsumerOptions, DeliveryMode, NameSources, NamedSubscription,
    SubscriptionSpec, url,
};

/// The arguments of `watermaster consumer`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// A subscription, as gateway=http://127.0.0.1:8090,topic=plant/#,qos_level=2; may be repeated.
    #[arg(long = "subscribe", action = ArgAction::Append, value_name = "SUBSCRIPTION", required_unless_present = "contents")]
    subscribe: Vec<SubscriptionSpec>,
    /// A subscription at all gateways that offer a name, as plant/# or plant/#,qos_level=2; may be repeated.
    #[arg(long = "content", action = ArgAction::Append, value_name = "NAME", requires = "orchestrator")]
    contents: Vec<NamedSubscription>,
    /// Takes each name from one gateway at a time, and from another when that one does not answer any more. A name has no
    /// wildcard then.
    #[arg(long, requires = "contents")]
    one_gateway: bool,
    /// The URL of the orchestrator, which knows the gateways that offer a name, as http://127.0.0.1:8080.
    #[arg(long, env = "WATERMASTER_ORCHESTRATOR", value_parser = url)]
    orchestrator: Option<Url>,
    /// A file that holds the access token for the orchestrator.
    #[arg(long, env = "WATERMASTER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Its name.
    #[arg(long, env = "WATERMASTER_CONSUMER_NAME", default_value = "consumer")]
    name: String,
    /// Its node in the orchestrator's topology; absent: that of each gateway.
    #[arg(long, env = "WATERMASTER_CONSUMER_NODE")]
    node: Option<String>,
    /// The address to which gateways post batches.
    #[arg(long, env = "WATERMASTER_CONSUMER_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The URL at which gateways find that address; absent: the address itself.
    #[arg(long, env = "WATERMASTER_CONSUMER_PUBLIC_URL", value_parser = url)]
    public_url: Option<Url>,
    /// Reads streams instead: for consumers that gateways cannot reach.
    #[arg(long, conflicts_with_all = ["listen", "public_url"])]
    stream: bool,
    /// Has batches sent as they are: gateways then do not compress them.
    #[arg(long)]
    uncompressed: bool,
    /// Ends after so many milliseconds; absent: at SIGINT or SIGTERM.
    #[arg(long)]
    for_ms: Option<u64>,
    /// Writes only the summary.
    #[arg(long)]
    quiet: bool,
    /// How logs are written [default: auto].
    #[arg(long, env = "WATERMASTER_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

impl Arguments {
    fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        let token = given_or_read(None, self.token_file.as_deref())?;
        Ok(token.map(|token| bearer(&token)).transpose()?)
    }
}

/// How many lines wait for whoever reads standard output.
const LINES_MAX: usize = 1_024;
/// How long a line waits before it is tried again.
const OUTPUT_REST: Duration = Duration::from_millis(5);
/// How long the end waits for whoever reads.
const OUTPUT_WAIT: Duration = Duration::from_secs(2);

/// The last line of the output.
#[derive(Serialize, Deserialize, Debug)]
pub struct SummaryLine {
    /// What arrived.
    pub summary: ConsumerSummary,
}

/// Why the consumer cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The consumer failed.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// The file of the token cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The token cannot be sent.
    #[error(transparent)]
    Token(#[from] ClientError),
    /// The runtime cannot begin.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// No gateway took a subscription.
    #[error("no subscription was ever made")]
    NeverSubscribed,
}

/// Consumes until SIGINT, SIGTERM or the end of `--for-ms`.
///
/// # Errors
/// It cannot begin, or its output is gone.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let _logging = telemetry::start_logging(arguments.log_format.unwrap_or_default());
    let delivery = if arguments.stream {
        DeliveryMode::Stream
    } else {
        DeliveryMode::Callback { listen: arguments.listen, public_url: arguments.public_url.clone() }
    };
    let options = ConsumerOptions {
        name: arguments.name.clone(),
        node: arguments.node.clone(),
        subscriptions: arguments.subscribe.clone(),
        orchestrator: arguments.orchestrator.clone(),
        orchestrator_authorization: arguments.authorization()?,
        names: arguments.contents.clone(),
        sources: if arguments.one_gateway { NameSources::One } else { NameSources::All },
        delivery,
        coding: if arguments.uncompressed { BatchCoding::Identity } else { BatchCoding::Zstd },
    };
    let output = LineOutput::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let summary = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone())?);
        if let Some(ms) = arguments.for_ms {
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                stop.cancel();
            });
        }
        let quiet = arguments.quiet;
        let consumer = Consumer::build(options).await?;
        let write = |line: &MessageLog| quiet || output.write(line, || !stop.is_cancelled());
        Ok::<_, Error>(consumer.run(stop.clone(), write).await?)
    })?;
    let was_subscribed = summary.subscriptions.iter().any(|subscription| subscription.subscribed > 0);
    output.end(&SummaryLine { summary });
    if was_subscribed { Ok(()) } else { Err(Error::NeverSubscribed) }
}

/// Standard output, written by a thread: whoever reads it slowly, or not at all, holds up lines and not the end.
struct LineOutput {
    lines: SyncSender<String>,
    ended: Receiver<()>,
}

impl LineOutput {
    fn start() -> Self {
        let (lines, waiting) = sync_channel::<String>(LINES_MAX);
        let (end, ended) = sync_channel(1);
        std::thread::spawn(move || {
            let is_written = |line: String| writeln!(std::io::stdout().lock(), "{line}").is_ok();
            let _ = waiting.into_iter().all(is_written);
            let _ = end.send(());
        });
        Self { lines, ended }
    }

    /// Whether the line will be written: waits for room as long as it may.
    fn write(&self, line: &impl Serialize, may_wait: impl Fn() -> bool) -> bool {
        let Ok(mut line) = serde_json::to_string(line) else { return false };
        loop {
            match self.lines.try_send(line) {
                Ok(()) => return true,
                Err(TrySendError::Full(back)) if may_wait() => line = back,
                Err(_) => return false,
            }
            std::thread::sleep(OUTPUT_REST);
        }
    }

    /// Writes a last line, and waits a moment for whoever reads.
    fn end(self, last: &impl Serialize) {
        let end = Instant::now() + OUTPUT_WAIT;
        self.write(last, || Instant::now() < end);
        drop(self.lines);
        let _ = self.ended.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}
