//! `watermaster demo`: the proof of concept of PSIoT-Orch (Moraes, Reale, Martins) in one process tree on this machine, with
//! the paper's timeline; at the end a table, the paper's Figure 6 as a picture, and whether what it reports was observed.
//!
//! [`scenario`] and [`backbone`] are what is to happen, `process` and `processes` make it happen, `sampler` reads the
//! figures, [`samples`] keeps them, and [`live_log`], [`mod@optimum`], [`claims`], [`mod@figure`] and [`text`] are made of those alone. What
//! must stay true: every figure is read from the running processes.

pub mod backbone;
pub mod figure;
pub mod live_log;
pub mod optimum;
mod process;
pub mod samples;
pub mod scenario;
mod processes;
pub mod text;
pub mod claims;
mod sampler;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use self::claims::RunSummary;
use self::live_log::LiveLog;
use self::processes::{DemoError, DemoProcesses};
use self::samples::{DemoEvent, DemoRun};
use self::scenario::{ScenarioAction, Tempo, Timeline};
use super::serve::stop_on_signal;

/// How often the processes are checked after the summary.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The arguments of `watermaster demo`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// How bandwidth is divided between aggregators; all: one policy after the other, and a comparison.
    #[arg(long, value_enum, default_value = "max-min")]
    policy: PolicyChoice,
    /// Runs in a quarter of the time.
    #[arg(long)]
    fast: bool,
    /// The file of the picture; with more than one policy, their names go before its ending [default: watermaster-figure6.svg in
    /// the folder for temporary files].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The address of the orchestrator and its dashboard [default: 127.0.0.1:8080, or any free port if that is taken].
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Ends after the summary, even on a terminal.
    #[arg(long, conflicts_with = "stay")]
    exit: bool,
    /// Stays up after the summary until Ctrl-C, even without a terminal.
    #[arg(long)]
    stay: bool,
    /// Prints the summary as JSON; events go to standard error.
    #[arg(long)]
    json: bool,
}

/// The policies to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum PolicyChoice {
    /// Equal shares, whatever the demand.
    Fixed,
    /// Equal shares; an aggregator with a full buffer gets what the other aggregators do not need.
    #[value(alias = "buffer_aware")]
    BufferAware,
    /// Weighted max-min fair by demand.
    #[value(alias = "max_min")]
    MaxMin,
    /// One after the other.
    All,
}

/// How bandwidth is divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum DemoPolicy {
    Fixed,
    BufferAware,
    MaxMin,
}

impl DemoPolicy {
    /// The name in the configuration.
    fn word(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::BufferAware => "buffer_aware",
            Self::MaxMin => "max_min",
        }
    }
}

impl PolicyChoice {
    fn policies(self) -> &'static [DemoPolicy] {
        match self {
            Self::Fixed => &[DemoPolicy::Fixed],
            Self::BufferAware => &[DemoPolicy::BufferAware],
            Self::MaxMin => &[DemoPolicy::MaxMin],
            Self::All => &[DemoPolicy::Fixed, DemoPolicy::BufferAware, DemoPolicy::MaxMin],
        }
    }
}

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A process failed.
    #[error(transparent)]
    Processes(Box<DemoError>),
    /// The picture cannot be written.
    #[error("{}: {error}", .path.display())]
    Figure { path: PathBuf, error: std::io::Error },
    /// Stopped before the end.
    #[error("stopped before the end of the scenario")]
    Interrupted,
    /// The runtime or standard output failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The summary cannot be written down; a defect.
    #[error("the summary cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl<E: Into<DemoError>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Processes(Box::new(error.into()))
    }
}

/// Shows the proof of concept.
///
/// # Errors
/// A process failed, or it was stopped before the end.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone())?);
        show_all(arguments, &stop).await
    })
}

async fn show_all(arguments: &Arguments, stop: &CancellationToken) -> Result<(), Error> {
    let policies = arguments.policy.policies();
    let stays = arguments.stay || (!arguments.exit && !arguments.json && std::io::stdout().is_terminal());
    let out = arguments.out.clone().unwrap_or_else(|| std::env::temp_dir().join("watermaster-figure6.svg"));
    for policy in policies {
        check_writable(&path_for(&out, *policy, policies.len()))?;
    }
    let mut summaries = vec![];
    for (policy, left) in policies.iter().zip((0..policies.len()).rev()) {
        let out = path_for(&out, *policy, policies.len());
        let mut processes = tokio::select! {
            () = stop.cancelled() => return Err(Error::Interrupted),
            started = start(arguments, *policy) => started?,
        };
        let shown = tokio::select! {
            () = stop.cancelled() => Err(Error::Interrupted),
            shown = show(arguments, *policy, &mut processes, &out) => shown,
        };
        summaries.extend(shown.as_ref().ok().cloned());
        let after = match shown {
            Ok(_) if left == 0 => finish(arguments, &summaries, &mut processes, stays, stop).await,
            shown => shown.map(drop),
        };
        processes.stop_all().await;
        after?;
    }
    Ok(())
}

async fn start(arguments: &Arguments, policy: DemoPolicy) -> Result<DemoProcesses, Error> {
    let timeline = timeline(arguments);
    print(arguments, &format!("Watermaster's proof of concept, policy {}: starting the processes …\n", policy.word()))?;
    let processes = DemoProcesses::start(policy, arguments.listen, &timeline, |address| {
        // A closed standard output fails the next line, too.
        let _ = print(arguments, &welcome(address));
    });
    let processes = processes.await?;
    let (admitted, requested) = processes.backbone();
    let words = format!(
        "The backbone nsfnet carries {admitted} of {requested} requested allocations. Three aggregators report.\n\n"
    );
    print(arguments, &words)?;
    Ok(processes)
}

fn timeline(arguments: &Arguments) -> Timeline {
    Timeline::new(if arguments.fast { Tempo::Fast } else { Tempo::Full })
}

fn welcome(address: SocketAddr) -> String {
    format!(
        "\n  open  http://{address}/\n        a backbone under load. The list on the right begins with the busiest link and the class that fills it:\n        \
         click the link, then Ask: it shows which allocations would be preempted for 500 Mbit/s more.\n  \
         open  http://{address}/#/aggregators\n        Figure 6 of PSIoT-Orch (Moraes, Reale, Martins) as it happens.\n\n\
         On this machine no real link can be filled: links of 1 MB/s and the background traffic are reservations that the\n\
         orchestrator keeps, and the gateways pace real messages to the rates they are given.\n\n"
    )
}

/// The scenario from its first step to its last, the table and the picture.
async fn show(
    arguments: &Arguments,
    policy: DemoPolicy,
    processes: &mut DemoProcesses,
    out: &Path,
) -> Result<RunSummary, Error> {
    let mut record = play(arguments, policy, processes).await?;
    record.latencies = processes.collect_latencies().await?;
    let summary = RunSummary::of(&record);
    print(arguments, &text::summary(&summary))?;
    let place = match std::fs::write(out, figure::svg(&record)) {
        Ok(()) => format!("\nFigure 6 of this run is in {}.\n", out.display()),
        Err(error) => format!("\nFigure 6 of this run cannot be written to {}: {error}.\n", out.display()),
    };
    print(arguments, &place)?;
    Ok(summary)
}

/// A picture that cannot be written is told before anything is played. What was there stays, and nothing comes to be.
fn check_writable(out: &Path) -> Result<(), Error> {
    let is_new = !out.exists();
    let opened = std::fs::File::options().append(true).create(true).open(out);
    opened.map_err(|error| Error::Figure { path: out.to_owned(), error })?;
    if is_new {
        let _ = std::fs::remove_file(out);
    }
    Ok(())
}

async fn play(arguments: &Arguments, policy: DemoPolicy, processes: &mut DemoProcesses) -> Result<DemoRun, Error> {
    let timeline = timeline(arguments);
    let mut record = DemoRun {
        policy: policy.word().to_owned(),
        samples: vec![],
        events: vec![],
        latencies: Default::default(),
        timeline: timeline.clone(),
    };
    let mut log = LiveLog::new(timeline.buffer_bytes);
    let mut steps = timeline.steps.iter().copied().peekable();
    let mut ticks = interval(Duration::from_millis(timeline.sample_every_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let start = Instant::now();
    let now_ms = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    loop {
        ticks.tick().await;
        let mut is_over = false;
        while let Some((_, step)) = steps.next_if(|(at_ms, _)| *at_ms <= now_ms()) {
            let event = DemoEvent { at_ms: now_ms(), text: step.words(), is_step: true };
            print(arguments, &text::event(&event))?;
            record.events.push(event);
            processes.step(step).await?;
            is_over |= step == ScenarioAction::End;
        }
        processes.check()?;
        let sample = processes.sampler.sample(now_ms()).await?;
        for text in log.observe(&sample) {
            let event = DemoEvent { at_ms: sample.at_ms, text, is_step: false };
            print(arguments, &text::event(&event))?;
            record.events.push(event);
        }
        record.samples.push(sample);
        if is_over {
            return Ok(record);
        }
    }
}

/// After the last run: the comparison, JSON, and the processes that stay up.
async fn finish(
    arguments: &Arguments,
    summaries: &[RunSummary],
    processes: &mut DemoProcesses,
    stays: bool,
    stop: &CancellationToken,
) -> Result<(), Error> {
    if summaries.len() > 1 {
        print(arguments, &text::comparison(summaries))?;
    }
    if arguments.json {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &serde_json::json!({ "runs": summaries }))?;
        writeln!(out)?;
        out.flush()?;
    }
    if !stays {
        return Ok(());
    }
    // The consumers have ended with their summaries: new ones take their place, for the dashboard to go on.
    for step in [ScenarioAction::Client1, ScenarioAction::Client2] {
        processes.step(step).await?;
    }
    print(arguments, &format!("\nAll processes stay up: http://{}/ until Ctrl-C.\n", processes.address))?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(CHECK_INTERVAL) => processes.check()?,
        }
    }
}

/// Prints a text where it does not mix with JSON.
fn print(arguments: &Arguments, text: &str) -> std::io::Result<()> {
    if arguments.json {
        return write!(std::io::stderr().lock(), "{text}");
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The file of a policy's picture: of several, each has its name in it.
fn path_for(out: &Path, policy: DemoPolicy, count: usize) -> PathBuf {
    if count == 1 {
        return out.to_owned();
    }
    let mut ending = std::ffi::OsString::from(policy.word().replace('_', "-"));
    if let Some(old) = out.extension() {
        ending.push(".");
        ending.push(old);
    }
    out.with_extension(ending)
}
