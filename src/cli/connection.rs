//! How commands reach a running service: its address, a runtime to wait in, and answers for people or for programs.

use std::io::Write;

use clap::Args;
use serde::Serialize;

use api::client::{Client, ClientError};
use api::effects::{Effects, Victim, VictimOutcome};
use formats::capacity;

/// A page of a list.
pub(super) const PAGE: u32 = 1_000;

/// Which service, and how its answers are shown.
#[derive(Args, Clone, Debug)]
pub struct ServiceConnection {
    /// The service
    #[arg(long, env = "WATERMASTER_SERVER", default_value = "http://127.0.0.1:8080", global = true)]
    server: String,
    /// Print what was answered as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// Why a command that asks a service failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The service refuses, or is not there.
    #[error("{error}{}", RefusalDetails(.error))]
    Client {
        /// Why.
        #[from]
        error: ClientError,
    },
    /// There is no runtime to wait in, or nothing to write to.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// An answer has no JSON form.
    #[error("the answer cannot be written: {0}")]
    Json(serde_json::Error),
}

impl From<serde_json::Error> for ConnectionError {
    /// A reader that has closed the pipe is no failure.
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() { Self::Io(error.into()) } else { Self::Json(error) }
    }
}

/// The numbers that come with a refusal.
struct RefusalDetails<'a>(&'a ClientError);

impl std::fmt::Display for RefusalDetails<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ClientError::Refused(problem) = self.0 else { return Ok(()) };
        for link in problem.binding_links.iter().flatten() {
            write!(f, "\n  binding link {}: {} left", link.link, rate(link.available_bps))?;
        }
        Ok(())
    }
}

impl ServiceConnection {
    /// Does something with a client and waits for it.
    pub(super) fn wait<T>(
        &self,
        work: impl AsyncFnOnce(Client) -> Result<T, ConnectionError>,
    ) -> Result<T, ConnectionError> {
        let client = Client::new(&self.server)?;
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work(client))
    }

    /// Shows an answer: as JSON, or in words.
    pub(super) fn show<T: Serialize>(&self, answer: &T, words: impl FnOnce() -> String) -> Result<(), ConnectionError> {
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, answer)?;
            writeln!(out)?;
        } else {
            write!(out, "{}", words())?;
        }
        Ok(out.flush()?)
    }
}

/// An amount such as `500M`, `2.5Gbit/s` or `1000000`.
pub(super) fn bandwidth(text: &str) -> Result<u64, String> {
    let plain = text.parse().ok().filter(|bps| *bps > 0);
    let spoken = || capacity::parse(text).map(|rate| rate.bandwidth.as_bps());
    plain.or_else(spoken).ok_or_else(|| "give an amount such as 500M, 2.5Gbit/s or 1000000 (bit/s)".to_owned())
}

/// For people: three digits.
pub(super) fn rate(bps: u64) -> String {
    let steps = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((size, prefix)) = steps.into_iter().find(|(size, _)| bps >= *size) else { return format!("{bps} bit/s") };
    let (whole, hundredths) = (bps / size, bps % size * 100 / size);
    match whole {
        100.. => format!("{whole} {prefix}bit/s"),
        10.. => format!("{whole}.{} {prefix}bit/s", hundredths / 10),
        _ => format!("{whole}.{hundredths:02} {prefix}bit/s"),
    }
}

/// A part of a whole, from parts per million. Rounded down, as everywhere: 100 % is full.
pub(super) fn percent(ppm: u64) -> String {
    format!("{}.{} %", ppm / 10_000, ppm % 10_000 / 1_000)
}

/// A number of things: `1 link`, `2 links`, `0 topologies`.
pub(super) fn count(number: usize, singular: &str) -> String {
    match (number, singular.strip_suffix('y')) {
        (1, _) => format!("1 {singular}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {singular}s"),
    }
}

/// Rows under a heading, each column as wide as its widest.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain(heading.get(at).map(|cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<_> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(heading.to_vec())).chain(body).collect()
}

/// What happened to other allocations, one line for each outcome: ids, with the names that people know them by.
pub(super) fn effects(effects: &Effects) -> String {
    let known = |victim: &Victim| {
        let texts = [&victim.name, &victim.customer].into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        if texts.is_empty() { victim.id.clone() } else { format!("{} ({})", victim.id, texts.join(", ")) }
    };
    let line = |outcome: VictimOutcome| {
        let victims = effects.victims.iter().filter(|victim| victim.outcome == outcome);
        let victims = victims.map(known).collect::<Vec<_>>();
        if victims.is_empty() { String::new() } else { format!("{outcome:<11} {}\n", victims.join(", ")) }
    };
    let outcomes = [VictimOutcome::Preempted, VictimOutcome::Devolved, VictimOutcome::Rerouted, VictimOutcome::Failed];
    let moved = effects.moved.iter().map(|moved| moved.id.as_str()).collect::<Vec<_>>();
    let moved = if moved.is_empty() { String::new() } else { format!("{:<11} {}\n", "moved", moved.join(", ")) };
    outcomes.map(line).concat() + &moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_rounded_down_and_numbers_have_their_plural() {
        assert_eq!([percent(999_999), percent(1_000_000), percent(12_345)], ["99.9 %", "100.0 %", "1.2 %"]);
        assert_eq!([count(1, "link"), count(2, "link"), count(0, "topology")], ["1 link", "2 links", "0 topologies"]);
    }

    #[test]
    fn amounts_are_read_and_shown() {
        assert_eq!(
            [bandwidth("1000000"), bandwidth("500M"), bandwidth("2.5Gbit/s")].map(Result::unwrap),
            [1_000_000, 500_000_000, 2_500_000_000]
        );
        assert!(bandwidth("much").is_err() && bandwidth("0").is_err());
        assert_eq!(
            [rate(999), rate(1_234_567), rate(12_345_678), rate(400_000_000_000)],
            ["999 bit/s", "1.23 Mbit/s", "12.3 Mbit/s", "400 Gbit/s"]
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest() {
        let rows = vec![vec!["1".to_owned(), "active".to_owned()], vec!["1000".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["id", "state"], &rows), "id    state\n1     active\n1000  x\n");
    }
}
