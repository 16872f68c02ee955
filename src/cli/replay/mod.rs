//! `watermaster replay`: what would have become of a trace of requests. Offline, through exactly the kernel that serves.

pub mod engine;
pub mod summary;
pub mod plot;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::engine::{Replay, ReplayError};
use self::summary::{ReplayOutcome, ReplaySummary, Samples};
use super::output::percent;
use api::bandwidth_model::BandwidthModelDocument;
use formats::bandwidth_model::{DocumentError, model_of};
use formats::trace::{LINE_MAX_BYTES, TraceError, TraceRequest, read_line};
use formats::{self, ImportError};
use kernel::topology::Topology;

/// The arguments of `watermaster replay`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The topology, in any supported format.
    #[arg(long)]
    topology: PathBuf,
    /// The bandwidth model, as put to /v1/topologies/{topology}/bandwidth-model.
    #[arg(long)]
    model: PathBuf,
    /// The requests: JSON Lines in time order.
    #[arg(long)]
    requests: PathBuf,
    /// Writes one decision a line to this file.
    #[arg(long)]
    decisions: Option<PathBuf>,
    /// Draws utilisation per class over time into this SVG file.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Prints the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{}: {error}", .path.display())]
    File { path: PathBuf, error: std::io::Error },
    /// The topology is none.
    #[error("{}: {error}", .path.display())]
    Topology { path: PathBuf, error: Box<ImportError> },
    /// The model is not the JSON of one.
    #[error("{}: {error}", .path.display())]
    ModelJson { path: PathBuf, error: serde_json::Error },
    /// The model makes no sense.
    #[error("{}: {error}", .path.display())]
    Model { path: PathBuf, error: Box<DocumentError> },
    /// The trace is not one.
    #[error("{}: {error}", .path.display())]
    Trace { path: PathBuf, error: TraceError },
    /// The replay cannot go on.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Lines that name what the network does not have.
    #[error("{}: invalid line {line}: {reason}; there are {count} such lines, and they were left out", .path.display())]
    InvalidLines {
        path: PathBuf,
        /// The first such line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
        count: u64,
    },
    /// Standard output is closed.
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

/// Runs the command.
///
/// # Errors
/// A file is unreadable or wrong; the message names file and place.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let topology = read_topology(&arguments.topology)?;
    let model = read_model(&arguments.model)?;
    let horizon_ms = last_time_ms(&arguments.requests)?;
    let mut replay = Replay::new(topology, model, horizon_ms)?;
    let started = Instant::now();
    let invalid = feed_all(&mut replay, arguments)?;
    let (mut summary, samples) = replay.finish()?;
    let elapsed = started.elapsed();
    summary.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let per_second = u128::from(summary.decisions) * 1_000_000_000 / elapsed.as_nanos().max(1);
    summary.decisions_per_second = u64::try_from(per_second).unwrap_or(u64::MAX);
    if let Some(path) = &arguments.plot {
        write_plot(path, &samples)?;
    }
    print(&summary, arguments.json).map_err(Error::Output)?;
    match invalid {
        None => Ok(()),
        Some((line, reason)) => {
            let (path, count) = (arguments.requests.clone(), summary.invalid);
            Err(Error::InvalidLines { path, line, reason, count })
        }
    }
}

fn read_topology(path: &Path) -> Result<Topology, Error> {
    let bytes = std::fs::read(path).map_err(|error| at(path, error))?;
    let imported = formats::read(&bytes, &formats::ReadOptions::default())
        .map_err(|error| Error::Topology { path: path.to_owned(), error: Box::new(error) })?;
    Ok(imported.topology)
}

fn read_model(path: &Path) -> Result<kernel::policy::BandwidthModel, Error> {
    let bytes = std::fs::read(path).map_err(|error| at(path, error))?;
    let document: BandwidthModelDocument = serde_json::from_slice(&formats::plain_integers(&bytes))
        .map_err(|error| Error::ModelJson { path: path.to_owned(), error })?;
    let (model, warnings) =
        model_of(&document).map_err(|error| Error::Model { path: path.to_owned(), error: Box::new(error) })?;
    for warning in warnings {
        tracing::warn!(file = %path.display(), "{warning}");
    }
    Ok(model)
}

/// The time of the last request, for the resolution of the plot. Reads only the end of the file.
fn last_time_ms(path: &Path) -> Result<u64, Error> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path).map_err(|error| at(path, error))?;
    let length = file.metadata().map_err(|error| at(path, error))?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LINE_MAX_BYTES as u64))).map_err(|error| at(path, error))?;
    let mut tail = vec![];
    file.read_to_end(&mut tail).map_err(|error| at(path, error))?;
    let text = String::from_utf8_lossy(&tail);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    Ok(last.and_then(|line| read_line(line, 0).ok().flatten()).map_or(1, |request| request.t_ms))
}

/// Answers the first invalid line and what is wrong with it.
fn feed_all(replay: &mut Replay, arguments: &Arguments) -> Result<Option<(u64, String)>, Error> {
    let path = &arguments.requests;
    let file = File::open(path).map_err(|error| at(path, error))?;
    let bar = progress(file.metadata().map_or(0, |meta| meta.len()));
    let mut decisions = match &arguments.decisions {
        Some(path) => Some((path, BufWriter::new(File::create(path).map_err(|error| at(path, error))?))),
        None => None,
    };
    let mut lines = TraceLines { reader: BufReader::new(file), path, number: 0, before_ms: 0, text: String::new() };
    let mut invalid = None;
    while let Some((request, bytes)) = lines.next_request()? {
        bar.inc(bytes);
        let decision = replay.feed(&request)?;
        if decision.outcome == ReplayOutcome::Invalid && invalid.is_none() {
            invalid = decision.reason.clone().map(|reason| (lines.number, reason));
        }
        if let Some((path, out)) = &mut decisions {
            serde_json::to_writer(&mut *out, &decision).map_err(|error| at(path, error.into()))?;
            out.write_all(b"\n").map_err(|error| at(path, error))?;
        }
    }
    bar.finish_and_clear();
    if let Some((path, mut out)) = decisions {
        out.flush().map_err(|error| at(path, error))?;
    }
    Ok(invalid)
}

struct TraceLines<'a> {
    reader: BufReader<File>,
    path: &'a Path,
    number: u64,
    before_ms: u64,
    text: String,
}

impl TraceLines<'_> {
    fn next_request(&mut self) -> Result<Option<(TraceRequest, u64)>, Error> {
        let mut bytes = 0;
        loop {
            self.text.clear();
            let read = self.reader.read_line(&mut self.text).map_err(|error| at(self.path, error))?;
            if read == 0 {
                return Ok(None);
            }
            bytes += read as u64;
            self.number += 1;
            let trace = |error| Error::Trace { path: self.path.to_owned(), error };
            let Some(request) = read_line(&self.text, self.number).map_err(trace)? else { continue };
            if request.t_ms < self.before_ms {
                let (line, t_ms, before_ms) = (self.number, request.t_ms, self.before_ms);
                return Err(trace(TraceError::OutOfOrder { line, t_ms, before_ms }));
            }
            self.before_ms = request.t_ms;
            return Ok(Some((request, bytes)));
        }
    }
}

/// A bar on a terminal, nothing elsewhere.
fn progress(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %  {bytes}/{total_bytes}  {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn write_plot(path: &Path, samples: &Samples) -> Result<(), Error> {
    std::fs::write(path, plot::svg(samples)).map_err(|error| at(path, error))
}

fn print(summary: &ReplaySummary, json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, summary)?;
        return writeln!(out);
    }
    writeln!(out, "class   requests   admitted    blocked  preempted   devolved   rerouted  utilisation")?;
    for c in &summary.classes {
        writeln!(
            out,
            "CT{}   {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}  {:>11}",
            c.class_type,
            c.requests,
            c.admitted,
            c.blocked,
            c.preempted,
            c.devolved,
            c.rerouted,
            percent(c.utilisation_ppm)
        )?;
    }
    writeln!(
        out,
        "all   {:>10} {:>10} {:>10} {:>10} {:>10}             {:>11}",
        summary.requests,
        summary.admitted,
        summary.blocked,
        summary.preempted,
        summary.devolved,
        percent(summary.utilisation_ppm)
    )?;
    if let Some(ppm) = summary.evicted_to_needed_ppm {
        writeln!(out, "evicted to needed bandwidth {}.{:03}", ppm / 1_000_000, ppm % 1_000_000 / 1_000)?;
    }
    if summary.moved > 0 {
        writeln!(out, "moves {}", summary.moved)?;
    }
    if summary.invalid > 0 {
        writeln!(out, "invalid lines {}", summary.invalid)?;
    }
    writeln!(
        out,
        "{} decisions in {} ms: {} a second",
        summary.decisions, summary.elapsed_ms, summary.decisions_per_second
    )
}

fn at(path: &Path, error: std::io::Error) -> Error {
    Error::File { path: path.to_owned(), error }
}
