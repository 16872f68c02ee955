//! The printed texts: events as they happen, the table at the end, the comparison of policies. Pure: from figures.

use super::claims::{LevelSummary, RunSummary, SharedLink};
use super::samples::DemoEvent;
use super::scenario::LEVEL_NAMES;
use crate::cli::output::{grid, percent, rate};

/// An event.
pub fn event(event: &DemoEvent) -> String {
    let sign = if event.is_step { "▶" } else { "·" };
    format!("{:>4}.{} s  {sign} {}\n", event.at_ms / 1_000, event.at_ms % 1_000 / 100, event.text)
}

pub fn summary(summary: &RunSummary) -> String {
    let heading = [
        "",
        "QoS level",
        "offered",
        "granted",
        "sent",
        "buffer at most",
        "at the end",
        "dropped",
        "latency",
        "at most",
    ];
    let rows: Vec<Vec<String>> = summary
        .levels
        .iter()
        .map(|level| {
            vec![
                named(level),
                level_name(level),
                rate(level.offered_bps),
                rate(level.granted_bps),
                rate(level.sent_bps),
                bytes(level.buffer_max_bytes),
                bytes(level.buffer_end_bytes),
                level.dropped.to_string(),
                format!("{} ms", level.latency.mean_ms),
                format!("{} ms", level.latency.max_ms),
            ]
        })
        .collect();
    let claims = summary.claims.iter().map(|claim| {
        let (sign, word) = if claim.held { ("✔", "") } else { ("✘", "NOT OBSERVED: ") };
        format!("  {sign} {word}{} ({})\n", claim.text, claim.figures)
    });
    let verdict = match summary.held() {
        true => "What PSIoT-Orch (Moraes, Reale, Martins) reports was observed, by these figures:\n",
        false => "What PSIoT-Orch (Moraes, Reale, Martins) reports was not all observed:\n",
    };
    format!(
        "\nPolicy {}; rates are means over the second half of the time with both clients and background traffic, \
         the rest is of the whole run.\n{}\n{}\n{verdict}{}",
        summary.policy,
        grid(&heading, &rows),
        optimum(summary),
        claims.collect::<String>()
    )
}

/// The aggregator, in the first of its rows.
fn named(level: &LevelSummary) -> String {
    if level.qos_level == 0 { level.aggregator.clone() } else { String::new() }
}

fn level_name(level: &LevelSummary) -> String {
    LEVEL_NAMES.get(level.qos_level).copied().unwrap_or_default().to_owned()
}

/// The figures beside those of the max-min fair optimum.
fn optimum(summary: &RunSummary) -> String {
    let heading = ["", "QoS level", "sent", "optimum", "lost", "optimum", "latency", "optimum"];
    let row = |level: &LevelSummary| {
        let optimum = level.optimum;
        vec![
            named(level),
            level_name(level),
            rate(level.sent_bps),
            rate(optimum.sent_bps),
            percent(level.lost_ppm),
            percent(optimum.lost_ppm),
            format!("{} ms", level.latency.mean_ms),
            format!("{} ms", optimum.latency_ms),
        ]
    };
    let rows: Vec<_> = summary.levels.iter().map(row).collect();
    let SharedLink { left_bps, sent_bps, optimal_bps } = summary.shared;
    format!(
        "Beside the max-min fair optimum for the same offers, computed from the samples with buffers as of a fluid:\n{}\
         Of what was left of the shared link {} was used, {} under the optimum. Jain's index of sent over optimum: {}.\n",
        grid(&heading, &rows),
        part(sent_bps, left_bps),
        part(optimal_bps, left_bps),
        thousandths(summary.jain_ppm),
    )
}

fn part(part: u64, whole: u64) -> String {
    percent(u64::try_from(u128::from(part) * 1_000_000 / u128::from(whole.max(1))).unwrap_or(u64::MAX))
}

fn thousandths(ppm: u64) -> String {
    format!("{}.{:03}", ppm / 1_000_000, ppm % 1_000_000 / 1_000)
}

/// The policies side by side, and the optimum for what the last was offered.
pub fn comparison(summaries: &[RunSummary]) -> String {
    let heading = [
        "policy",
        "Ag1's fourth topic is given",
        "sent",
        "lost",
        "latency",
        "its buffer at most",
        "the others' at most",
        "of the shared link used",
        "Jain's index",
        "PSIoT-Orch's claims",
    ];
    let row = |summary: &RunSummary| {
        let heavy = summary.heavy();
        vec![
            summary.policy.clone(),
            heavy.map_or_else(String::new, |level| rate(level.granted_bps)),
            heavy.map_or_else(String::new, |level| rate(level.sent_bps)),
            heavy.map_or_else(String::new, |level| percent(level.lost_ppm)),
            heavy.map_or_else(String::new, |level| format!("{} ms", level.latency.mean_ms)),
            heavy.map_or_else(String::new, |level| bytes(level.buffer_max_bytes)),
            bytes(summary.others_max_bytes()),
            part(summary.shared.sent_bps, summary.shared.left_bps),
            thousandths(summary.jain_ppm),
            if summary.held() { "observed".to_owned() } else { "not observed".to_owned() },
        ]
    };
    let mut rows: Vec<_> = summaries.iter().map(row).collect();
    rows.extend(summaries.last().map(optimal_row));
    format!("\nThe three policies, on the same traffic:\n{}", grid(&heading, &rows))
}

fn optimal_row(summary: &RunSummary) -> Vec<String> {
    let optimum = summary.heavy().map(|level| level.optimum).unwrap_or_default();
    let unsaid = String::new;
    vec![
        "the optimum".to_owned(),
        unsaid(),
        rate(optimum.sent_bps),
        percent(optimum.lost_ppm),
        format!("{} ms", optimum.latency_ms),
        unsaid(),
        unsaid(),
        part(summary.shared.optimal_bps, summary.shared.left_bps),
        thousandths(1_000_000),
    ]
}

/// For people: three digits.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000),
    }
}
