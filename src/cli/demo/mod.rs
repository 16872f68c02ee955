//! `watermaster demo`: the proof of concept of PSIoT-Orch in one process tree on this machine, with the paper's timeline;
//! at the end a table, Figure 6 as a picture, and whether what the paper reports was seen.
//!
//! [`scenario`] and [`backbone`] say what is to happen, `parts` and `stage` make it happen, `watch` sees what does,
//! [`record`] keeps it, and [`notice`], [`verdict`], [`figure`] and [`tell`] are made of that alone. What must stay true:
//! every figure is read from the running parts.

pub mod backbone;
pub mod figure;
pub mod live_log;
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
use self::live_log::Notices;
use self::processes::{DemoProcesses, StageError};
use self::samples::{DemoRun, Happening};
use self::scenario::{ScenarioAction, Tempo, Timeline};
use super::serve::stop_on_signal;

/// How often is looked whether all is well after the summary.
const GLANCE: Duration = Duration::from_secs(1);

/// The arguments of `watermaster demo`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// How bandwidth is divided between aggregators; all: one after the other, and what they make of the same.
    #[arg(long, value_enum, default_value = "max-min")]
    policy: Choice,
    /// In a quarter of the time.
    #[arg(long)]
    fast: bool,
    /// Where the picture goes; with more than one policy, their names go before the ending.
    #[arg(long, default_value = "figure6.svg", value_name = "FILE")]
    out: PathBuf,
    /// Where the orchestrator and its dashboard listen [default: 127.0.0.1:8080, or any free port if that is taken].
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

/// Which policies are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Choice {
    /// Evenly, whatever is needed.
    Fixed,
    /// Evenly; who has a full buffer gets what the others do not need.
    #[value(alias = "buffer_aware")]
    BufferAware,
    /// Weighted max-min fair by what is needed.
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
    /// As configuration has it.
    fn word(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::BufferAware => "buffer_aware",
            Self::MaxMin => "max_min",
        }
    }
}

impl Choice {
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
    /// A part failed.
    #[error(transparent)]
    Stage(Box<StageError>),
    /// The picture cannot be written.
    #[error("{}: {error}", .path.display())]
    Figure {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It was told to stop before the end.
    #[error("stopped before the end of the story")]
    Interrupted,
    /// The runtime or standard output failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The summary cannot be written down; a defect.
    #[error("the summary cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl<E: Into<StageError>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Stage(Box::new(error.into()))
    }
}

/// Shows the proof of concept.
///
/// # Errors
/// A part failed, or it was stopped before the end.
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
    let mut summaries = vec![];
    for (policy, left) in policies.iter().zip((0..policies.len()).rev()) {
        let out = path_for(&arguments.out, *policy, policies.len());
        let mut stage = tokio::select! {
            () = stop.cancelled() => return Err(Error::Interrupted),
            set = set(arguments, *policy) => set?,
        };
        let shown = tokio::select! {
            () = stop.cancelled() => Err(Error::Interrupted),
            shown = show(arguments, *policy, &mut stage, &out) => shown,
        };
        summaries.extend(shown.as_ref().ok().cloned());
        let after = match shown {
            Ok(_) if left == 0 => finish(arguments, &summaries, &mut stage, stays, stop).await,
            shown => shown.map(drop),
        };
        stage.strike().await;
        after?;
    }
    Ok(())
}

async fn set(arguments: &Arguments, policy: DemoPolicy) -> Result<DemoProcesses, Error> {
    let timeline = timeline(arguments);
    say(arguments, &format!("Watermaster's proof of concept, policy {}: starting the parts …\n", policy.word()))?;
    let stage = DemoProcesses::set(policy, arguments.listen, &timeline, |address| {
        // Whoever cannot read it now reads it below.
        let _ = say(arguments, &welcome(address));
    });
    let stage = stage.await?;
    let (admitted, asked) = stage.backbone();
    let words = format!(
        "The backbone nsfnet carries {admitted} allocations of {asked} asked for. Three aggregators report.\n\n"
    );
    say(arguments, &words)?;
    Ok(stage)
}

fn timeline(arguments: &Arguments) -> Timeline {
    Timeline::new(if arguments.fast { Tempo::Fast } else { Tempo::Full })
}

fn welcome(address: SocketAddr) -> String {
    format!(
        "\n  open  http://{address}/\n        a backbone under load. The list on the right begins with the busiest link and the class that fills it:\n        \
         click the link, then Ask: it says who would be evicted to fit 500 Mbit/s more.\n  \
         open  http://{address}/#/aggregators\n        the paper's Figure 6 as it happens.\n\n\
         On this machine no real link can be filled: links of 1 MB/s and the background traffic are reservations that the\n\
         orchestrator keeps, and the gateways pace real messages to the rates they are given.\n\n"
    )
}

/// The story from its first step to its last, the table and the picture.
async fn show(
    arguments: &Arguments,
    policy: DemoPolicy,
    stage: &mut DemoProcesses,
    out: &Path,
) -> Result<RunSummary, Error> {
    let mut record = play(arguments, policy, stage).await?;
    record.latencies = stage.hear_consumers().await?;
    std::fs::write(out, figure::svg(&record)).map_err(|error| Error::Figure { path: out.to_owned(), error })?;
    let summary = RunSummary::of(&record);
    say(arguments, &text::summary(&summary))?;
    say(arguments, &format!("\nFigure 6 of this run is in {}.\n", out.display()))?;
    Ok(summary)
}

async fn play(arguments: &Arguments, policy: DemoPolicy, stage: &mut DemoProcesses) -> Result<DemoRun, Error> {
    let timeline = timeline(arguments);
    let mut record = DemoRun {
        policy: policy.word().to_owned(),
        samples: vec![],
        happenings: vec![],
        latencies: Default::default(),
        timeline: timeline.clone(),
    };
    let mut notices = Notices::new(timeline.buffer_bytes);
    let mut steps = timeline.steps.iter().copied().peekable();
    let mut looks = interval(Duration::from_millis(timeline.look_every_ms));
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let start = Instant::now();
    let now_ms = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    loop {
        looks.tick().await;
        let mut is_over = false;
        while let Some((_, step)) = steps.next_if(|(at_ms, _)| *at_ms <= now_ms()) {
            let happening = Happening { at_ms: now_ms(), text: step.words(), is_step: true };
            say(arguments, &text::event(&happening))?;
            record.happenings.push(happening);
            stage.step(step).await?;
            is_over |= step == ScenarioAction::End;
        }
        stage.check()?;
        let sample = stage.watch.look(now_ms()).await?;
        for text in notices.note(&sample) {
            let happening = Happening { at_ms: sample.at_ms, text, is_step: false };
            say(arguments, &text::event(&happening))?;
            record.happenings.push(happening);
        }
        record.samples.push(sample);
        if is_over {
            return Ok(record);
        }
    }
}

/// After the last run: what is left to be said, and to be looked at.
async fn finish(
    arguments: &Arguments,
    summaries: &[RunSummary],
    stage: &mut DemoProcesses,
    stays: bool,
    stop: &CancellationToken,
) -> Result<(), Error> {
    if summaries.len() > 1 {
        say(arguments, &text::comparison(summaries))?;
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
    // The consumers told what they got when they ended: others take their place, for the dashboard to go on.
    for step in [ScenarioAction::Client1, ScenarioAction::Client2] {
        stage.step(step).await?;
    }
    say(arguments, &format!("\nAll parts go on: http://{}/ until Ctrl-C.\n", stage.address))?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(GLANCE) => stage.check()?,
        }
    }
}

/// Prints, to where it does not mix with JSON.
fn say(arguments: &Arguments, text: &str) -> std::io::Result<()> {
    if arguments.json {
        return write!(std::io::stderr().lock(), "{text}");
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Where the picture of a policy goes: if there are several, under their names.
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
