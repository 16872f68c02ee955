//! Utilisation per class over time, as a stacked area in SVG.

use super::summary::Samples;
use crate::cli::chart::{Anchor, COLOURS, Chart, Panel};
use kernel::class::CLASS_TYPES;

const WIDTH: u64 = 960;
const HEIGHT: u64 = 360;
const PANEL: Panel =
    Panel { left: 56, top: 40, width: WIDTH - 56 - 16, height: HEIGHT - 80, x_max: 1, y_max: 1_000_000 };
const LEGEND_APART: u64 = 70;

pub fn svg(samples: &Samples) -> String {
    let classes = (0..CLASS_TYPES).filter(|class| samples.rows.iter().any(|row| row[*class] > 0));
    let named: Vec<(usize, String)> = classes.map(|class| (class, format!("CT{class}"))).collect();
    let mut picture = Chart::new(WIDTH, HEIGHT, "Utilisation per class over time");
    picture.grid(PANEL, (0..=100).step_by(20).map(|percent| (percent * 10_000, format!("{percent} %"))));
    let seconds = samples.step_ms.saturating_mul(samples.rows.len() as u64) / 1_000;
    let below = PANEL.top + PANEL.height + 18;
    picture.text((PANEL.left, below), Anchor::Start, "0 s");
    picture.text((PANEL.left + PANEL.width, below), Anchor::End, &format!("{seconds} s"));
    let mut base = vec![0_u64; samples.rows.len()];
    for (class, name) in &named {
        let above: Vec<u64> = samples.rows.iter().zip(&base).map(|(row, base)| base + row[*class]).collect();
        picture.area(PANEL, &base, &above, COLOURS[*class], name);
        base = above;
    }
    picture.legend((PANEL.left, 14), LEGEND_APART, named.iter().map(|(class, name)| (COLOURS[*class], name.as_str())));
    picture.finish()
}
