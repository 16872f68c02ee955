//! Figure 6 of PSIoT-Orch (Moraes, Reale, Martins) from a run: for each aggregator what waits in each QoS level above, the
//! granted rates below, on one time axis, with the steps of the scenario marked. Pure.

use super::samples::{DemoEvent, DemoRun, LevelSample};
use super::scenario::{AGGREGATORS, LEVEL_NAMES, ScenarioAction};
use crate::cli::chart::{Anchor, COLOURS, Chart, Course, Panel, Stroke, ticks};
use api::qos_level::PerLevel;

const WIDTH: u64 = 1_200;
const COLUMN: u64 = (WIDTH - 20) / AGGREGATORS.len() as u64;
const LEFT: u64 = 68;
const ABOVE: u64 = 104;
const PANEL_HEIGHT: u64 = 190;
const BETWEEN: u64 = 66;
const LINE: u64 = 18;
/// Lines that lie upon each other can still be distinguished.
const DASHES: PerLevel<&str> = ["", "10 4", "3 3"];

pub fn svg(record: &DemoRun) -> String {
    let steps: Vec<&DemoEvent> = record.events.iter().filter(|one| one.is_step).collect();
    let notes = ABOVE + 2 * PANEL_HEIGHT + BETWEEN + 52;
    let height = notes + LINE * steps.len() as u64;
    let title = format!("Buffers and rates of three aggregators, policy {}", record.policy);
    let mut picture = Chart::new(WIDTH, height, &title);
    picture.text((LEFT, 24), Anchor::Start, &title);
    picture.legend((LEFT, 38), 120, LEVEL_NAMES.iter().zip(COLOURS).map(|(name, colour)| (colour, *name)));
    let buffers = Of {
        label: "what waits, MB",
        y_max: record.timeline.buffer_bytes,
        course: Course::Straight,
        value: |level| level.buffer_bytes,
    };
    let rates = Of {
        label: "granted rate, Mbit/s",
        y_max: highest_bps(record),
        course: Course::Steps,
        value: |level| level.granted_bps,
    };
    for (at, (name, _)) in AGGREGATORS.iter().enumerate() {
        let left = LEFT + COLUMN * at as u64;
        let width = COLUMN - LEFT - 4;
        picture.heading((left + width / 2, ABOVE - 26), name);
        let above =
            Panel { left, top: ABOVE, width, height: PANEL_HEIGHT, x_max: end_ms(record), y_max: buffers.y_max };
        let below = Panel { top: ABOVE + PANEL_HEIGHT + BETWEEN, y_max: rates.y_max, ..above };
        for (panel, of) in [(above, &buffers), (below, &rates)] {
            draw(&mut picture, panel, of, record, at);
            for (step, letter) in steps.iter().zip('A'..='Z') {
                picture.mark(panel, step.at_ms, &letter.to_string());
            }
        }
    }
    for ((step, letter), place) in steps.iter().zip('A'..='Z').zip(0_u64..) {
        let text = format!("{letter}  {}.{} s: {}", step.at_ms / 1_000, step.at_ms % 1_000 / 100, step.text);
        picture.text((LEFT, notes + LINE * place), Anchor::Start, &text);
    }
    picture.finish()
}

/// What a panel shows of a level.
struct Of {
    label: &'static str,
    y_max: u64,
    course: Course,
    value: fn(LevelSample) -> u64,
}

fn draw(picture: &mut Chart, panel: Panel, of: &Of, record: &DemoRun, aggregator: usize) {
    let millions = |value: u64| {
        let tenths = value / 100_000;
        if tenths.is_multiple_of(10) { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) }
    };
    picture.grid(panel, ticks(panel.y_max).map(|value| (value, millions(value))));
    picture.times(panel, ticks(panel.x_max).map(|at_ms| (at_ms, format!("{} s", at_ms / 1_000))));
    picture.text((panel.left.saturating_sub(LEFT - 8), panel.top.saturating_sub(20)), Anchor::Start, of.label);
    // The best level is drawn last: where lines meet it is seen.
    for (level, name) in LEVEL_NAMES.iter().enumerate() {
        let points = record.samples.iter().filter_map(|sample| {
            let found = sample.aggregators.get(aggregator)?.get(level)?;
            Some((sample.at_ms, (of.value)(*found)))
        });
        picture.line(panel, points, of.course, Stroke { colour: COLOURS[level], dashes: DASHES[level] }, name);
    }
}

fn end_ms(record: &DemoRun) -> u64 {
    record.timeline.at_ms(ScenarioAction::End).max(1)
}

fn highest_bps(record: &DemoRun) -> u64 {
    let all = record.samples.iter().flat_map(|sample| sample.aggregators.iter().flatten());
    let highest = all.map(|level| level.granted_bps).max().unwrap_or(0);
    // A little air above the highest line.
    highest.saturating_add(highest / 20).max(1)
}
