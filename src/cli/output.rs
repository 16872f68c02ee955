//! How answers are shown to people: amounts, tables and what happened to allocations.

use api::effects::{Effects, Victim, VictimOutcome};
use api::link_history::LinkPast;
use console::Style;
use formats::capacity;

/// A column of a table: its heading, and the text of its cell for an item.
pub(super) type Column<T> = (&'static str, fn(&T) -> String);

/// Items under a heading.
pub(super) fn table<T>(columns: &[Column<T>], items: &[T]) -> String {
    let headings: Vec<_> = columns.iter().map(|(heading, _)| *heading).collect();
    let rows: Vec<_> = items.iter().map(|item| columns.iter().map(|(_, cell)| cell(item)).collect()).collect();
    grid(&headings, &rows)
}

/// Rows under a heading, each column as wide as its widest cell. The heading and words that tell how something is are
/// coloured where the terminal has colours.
pub(super) fn grid(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize, heading: &str| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(heading.chars().count())
    };
    let widths: Vec<usize> = headings.iter().enumerate().map(|(at, heading)| width(at, heading)).collect();
    let line = |cells: &[&str], style: fn(&str) -> Style| {
        let last = cells.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
        let padded = cells.iter().zip(&widths).take(last + 1).enumerate().map(|(at, (cell, width))| {
            let padding = if at == last { 0 } else { width - cell.chars().count() };
            format!("{}{}", style(cell).apply_to(cell), " ".repeat(padding))
        });
        padded.collect::<Vec<_>>().join("  ") + "\n"
    };
    let body = rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>(), style_of));
    std::iter::once(line(headings, |_| Style::new().bold())).chain(body).collect()
}

/// The lines `name  value` of one thing, without those that have no value.
pub(super) fn lines<T>(columns: &[Column<T>], item: &T) -> String {
    let rows = columns.iter().map(|(heading, cell)| (heading.to_lowercase(), cell(item)));
    rows.filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| format!("{name:<11} {}\n", style_of(&text).apply_to(&text)))
        .collect()
}

/// Words for states: in order, changing, wrong.
fn style_of(word: &str) -> Style {
    match word {
        "active" | "up" | "fresh" | "yes" => Style::new().green(),
        "installing" | "rerouting" | "maintenance" | "stale" | "scheduled" | "held" => Style::new().yellow(),
        "degraded" | "down" | "lost" | "no" | "preempted" | "devolved" | "failed" => Style::new().red(),
        _ => Style::new(),
    }
}

/// An amount such as `500M`, `2.5Gbit/s` or `1000000`.
pub(super) fn bandwidth(text: &str) -> Result<u64, String> {
    let plain = text.parse().ok().filter(|bps| *bps > 0);
    let spoken = || capacity::parse(text).map(|rate| rate.bandwidth.as_bps());
    plain.or_else(spoken).ok_or_else(|| "give an amount such as 500M, 2.5Gbit/s or 1000000 (bit/s)".to_owned())
}

/// A number with d, h, m or s.
pub(super) fn duration_ms(text: &str) -> Result<u64, String> {
    let ms_of = |unit| match unit {
        'd' => Some(24 * 60 * 60 * 1_000),
        'h' => Some(60 * 60 * 1_000),
        'm' => Some(60 * 1_000),
        's' => Some(1_000),
        _ => None,
    };
    let unit = text.chars().last().and_then(ms_of);
    let number = text.get(..text.len().saturating_sub(1)).and_then(|number| number.parse::<u64>().ok());
    let duration = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit)).filter(|ms| *ms > 0);
    duration.ok_or_else(|| "give a time such as 90d, 12h, 30m or 45s".to_owned())
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

/// How much of a link was reserved at most, as a bar.
pub(super) fn past_bar(past: &LinkPast) -> String {
    const FULL: u128 = 20;
    let (part, whole) = (u128::from(past.reserved_max_bps), u128::from(past.max_reservable_bps.max(1)));
    let length = (part * FULL).div_ceil(whole).min(FULL);
    "█".repeat(usize::try_from(length).unwrap_or(0))
}

/// What was reserved of a link on average, by class type.
pub(super) fn past_classes(past: &LinkPast) -> String {
    let held = past.classes.iter().map(|class| format!("CT{} {}", class.class_type, rate(class.reserved_mean_bps)));
    held.collect::<Vec<_>>().join(", ")
}

/// A number of things: `1 link`, `2 links`, `0 topologies`.
pub(super) fn count(number: usize, singular: &str) -> String {
    match (number, singular.strip_suffix('y')) {
        (1, _) => format!("1 {singular}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {singular}s"),
    }
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
    fn durations_have_a_unit() {
        assert_eq!((duration_ms("90d"), duration_ms("1s")), (Ok(7_776_000_000), Ok(1_000)));
        for wrong in ["", "d", "90", "0d", "-1h", "1w", "99999999999999999999d", "1é"] {
            assert!(duration_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parts_are_rounded_down_and_numbers_have_their_plural() {
        assert_eq!([percent(999_999), percent(1_000_000), percent(12_345)], ["99.9 %", "100.0 %", "1.2 %"]);
        assert_eq!([count(1, "link"), count(2, "link"), count(0, "topology")], ["1 link", "2 links", "0 topologies"]);
    }

    #[test]
    fn a_bar_is_as_long_as_its_share_and_never_longer() {
        let bar = |reserved_max_bps| {
            let past = LinkPast {
                state: api::link::LinkStateName::Up,
                capacity_bps: 100,
                max_reservable_bps: 100,
                reserved_mean_bps: 0,
                reserved_max_bps,
                classes: vec![],
                measured_mean_bps: None,
                measured_max_bps: None,
            };
            past_bar(&past).chars().count()
        };
        assert_eq!([0, 1, 50, 100, 300].map(bar), [0, 1, 10, 20, 20]);
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
        let columns: [Column<(&str, &str)>; 2] = [("ID", |row| row.0.to_owned()), ("STATE", |row| row.1.to_owned())];
        console::set_colors_enabled(false);
        assert_eq!(table(&columns, &[("1", "active"), ("1000", "")]), "ID    STATE\n1     active\n1000\n");
        assert_eq!(lines(&columns, &("1", "")), "id          1\n");
    }
}
