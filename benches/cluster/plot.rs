//! Lines over an axis, as SVG: no scripts, no fonts to fetch, readable in light and dark.

use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 64.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 44.0;
const COLOURS: [&str; 4] = ["#4e79a7", "#e15759", "#f28e2b", "#59a14f"];
const MARKS: u32 = 5;

/// A line, on the left axis or on the right one.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) is_right: bool,
}

/// What an axis shows.
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) most: f64,
}

/// The picture.
pub(crate) fn svg(title: &str, [x, left, right]: [&Axis; 3], lines: &[Line]) -> String {
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for mark in 0..=MARKS {
        let part = f64::from(mark) / f64::from(MARKS);
        let (across, up) = (place(part, 1.0).0, place(0.0, part).1);
        let end = WIDTH - RIGHT;
        let _ = writeln!(picture, "<path d=\"M{LEFT} {up:.0}H{end}\" stroke=\"#ccc\"/>");
        text(&mut picture, (LEFT - 6.0, up + 4.0), "end", &amount(left.most * part));
        if lines.iter().any(|line| line.is_right) {
            text(&mut picture, (end + 6.0, up + 4.0), "start", &amount(right.most * part));
        }
        text(&mut picture, (across, HEIGHT - BOTTOM + 16.0), "middle", &amount(x.most * part));
    }
    text(&mut picture, (WIDTH / 2.0, HEIGHT - 10.0), "middle", x.name);
    text(&mut picture, (8.0, 14.0), "start", left.name);
    text(&mut picture, (WIDTH - 8.0, 14.0), "end", right.name);
    let mut beside = LEFT;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let most = if line.is_right { right.most } else { left.most };
        let mut path = String::new();
        for (at, (across, up)) in line.points.iter().enumerate() {
            let (across, up) = place(across / x.most, up / most);
            let _ = write!(path, "{}{across:.1} {up:.1}", if at == 0 { 'M' } else { 'L' });
        }
        let name = line.name;
        let _ = writeln!(
            picture,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"><title>{name}</title></path>\n\
             <rect x=\"{beside}\" y=\"22\" width=\"12\" height=\"4\" fill=\"{colour}\"/>"
        );
        text(&mut picture, (beside + 18.0, 28.0), "start", name);
        beside += 34.0 + 6.5 * name.chars().count() as f64;
    }
    picture.push_str("</svg>\n");
    picture
}

fn place(across: f64, up: f64) -> (f64, f64) {
    let across = LEFT + (WIDTH - LEFT - RIGHT) * across.clamp(0.0, 1.0);
    (across, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * up.clamp(0.0, 1.0))
}

fn text(picture: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(picture, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{words}</text>");
}

fn amount(of: f64) -> String {
    if of.fract().abs() < 0.05 { format!("{of:.0}") } else { format!("{of:.1}") }
}

/// Writes a picture into `docs/`, beside the README.
pub(crate) fn write(name: &str, picture: &str) {
    let path = format!("{}/docs/{name}.svg", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(&path, picture).expect("docs/ can be written");
    println!("written: docs/{name}.svg");
}
