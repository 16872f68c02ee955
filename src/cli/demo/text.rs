//! The printed texts: events as they happen, the table at the end, the comparison of policies. Pure: from figures.

use super::claims::RunSummary;
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
                if level.qos_level == 0 { level.aggregator.clone() } else { String::new() },
                LEVEL_NAMES.get(level.qos_level).copied().unwrap_or_default().to_owned(),
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
         the rest is of the whole run.\n{}\n{verdict}{}",
        summary.policy,
        grid(&heading, &rows),
        claims.collect::<String>()
    )
}

/// The policies side by side.
pub fn comparison(summaries: &[RunSummary]) -> String {
    let heading = [
        "policy",
        "Ag1's fourth topic is given",
        "sent",
        "dropped",
        "its buffer at most",
        "the others' at most",
        "of the shared link used",
        "PSIoT-Orch's claims",
    ];
    let row = |summary: &RunSummary| {
        let heavy = summary.heavy();
        let used_ppm = u128::from(summary.shared.sent_bps) * 1_000_000 / u128::from(summary.shared.left_bps.max(1));
        vec![
            summary.policy.clone(),
            heavy.map_or_else(String::new, |level| rate(level.granted_bps)),
            heavy.map_or_else(String::new, |level| rate(level.sent_bps)),
            heavy.map_or_else(String::new, |level| level.dropped.to_string()),
            heavy.map_or_else(String::new, |level| bytes(level.buffer_max_bytes)),
            bytes(summary.others_max_bytes()),
            percent(u64::try_from(used_ppm).unwrap_or(u64::MAX)),
            if summary.held() { "observed".to_owned() } else { "not observed".to_owned() },
        ]
    };
    let rows: Vec<_> = summaries.iter().map(row).collect();
    format!("\nThe three policies, on the same traffic:\n{}", grid(&heading, &rows))
}

/// For people: three digits.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000),
    }
}
