//! Utilisation per class over time, as a stacked area in SVG: no scripts, no fonts to fetch, readable in light and dark.

use std::fmt::Write as _;

use super::engine::Samples;
use crate::kernel::class::CLASS_TYPES;

const WIDTH: u64 = 960;
const HEIGHT: u64 = 360;
const LEFT: u64 = 56;
const TOP: u64 = 40;
const BOTTOM: u64 = 40;
const COLOURS: [&str; CLASS_TYPES] =
    ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#9c755f"];

/// The picture.
pub fn svg(samples: &Samples) -> String {
    let classes = (0..CLASS_TYPES).filter(|class| samples.rows.iter().any(|row| row[*class] > 0));
    let classes: Vec<usize> = classes.collect();
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>Utilisation per class over time</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    axes(&mut picture, samples);
    let mut below = vec![0_u64; samples.rows.len()];
    for class in &classes {
        let above: Vec<u64> = samples.rows.iter().zip(&below).map(|(row, base)| base + row[*class]).collect();
        let _ = writeln!(
            picture,
            "<path d=\"{}\" fill=\"{}\" fill-opacity=\"0.85\"><title>CT{class}</title></path>",
            area(&below, &above),
            COLOURS[*class]
        );
        below = above;
    }
    for (class, place) in classes.iter().zip(0_u64..) {
        let x = LEFT + place * 70;
        let _ = writeln!(
            picture,
            "<rect x=\"{x}\" y=\"14\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"24\">CT{class}</text>",
            COLOURS[*class],
            x + 18
        );
    }
    picture.push_str("</svg>\n");
    picture
}

fn area(below: &[u64], above: &[u64]) -> String {
    let mut path = String::new();
    let points = above.iter().enumerate().chain(below.iter().enumerate().rev());
    for ((at, ppm), first) in points.zip(std::iter::once(true).chain(std::iter::repeat(false))) {
        let x = LEFT + (WIDTH - LEFT - 16) * at as u64 / (above.len() as u64).saturating_sub(1).max(1);
        let _ = write!(path, "{}{x} {}", if first { 'M' } else { 'L' }, y(*ppm));
    }
    path.push('Z');
    path
}

fn y(ppm: u64) -> u64 {
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ppm.min(1_000_000) / 1_000_000
}

fn axes(picture: &mut String, samples: &Samples) {
    for percent in (0..=100).step_by(20) {
        let y = y(percent * 10_000);
        let _ = writeln!(
            picture,
            "<path d=\"M{LEFT} {y}H{}\" stroke=\"#ccc\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{percent} %</text>",
            WIDTH - 16,
            LEFT - 6,
            y + 4
        );
    }
    let seconds = samples.step_ms.saturating_mul(samples.rows.len() as u64) / 1_000;
    let _ = writeln!(
        picture,
        "<text x=\"{LEFT}\" y=\"{0}\">0 s</text><text x=\"{1}\" y=\"{0}\" text-anchor=\"end\">{seconds} s</text>",
        HEIGHT - BOTTOM + 18,
        WIDTH - 16
    );
}
