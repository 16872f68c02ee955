//! Charts as SVG: panels with axes, lines, areas and marks. No scripts, no fonts to fetch; whole numbers only. What must
//! stay true: whatever is drawn stays inside its panel, and texts cannot break the document.

use std::fmt::Write as _;

use kernel::class::CLASS_TYPES;

/// The colour of each class type, as on the dashboard.
pub const COLOURS: [&str; CLASS_TYPES] =
    ["#2f86c1", "#0b8a61", "#cc4c02", "#a8478f", "#9a6b00", "#2b4ea2", "#6b7280", "#111827"];
/// The most lines of a grid in one direction.
const TICKS_MAX: u64 = 5;

/// A picture that is being drawn.
#[derive(Clone, Debug)]
pub struct Chart {
    svg: String,
}

/// On which side of its place a text is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// It is in the middle.
    Middle,
    /// It ends there.
    End,
}

/// Where values are drawn: a rectangle, and the largest value in each direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Panel {
    /// The left edge.
    pub left: u64,
    /// The upper edge.
    pub top: u64,
    /// How wide.
    pub width: u64,
    /// How high.
    pub height: u64,
    /// The value at the right edge.
    pub x_max: u64,
    /// The value at the upper edge.
    pub y_max: u64,
}

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stroke<'a> {
    pub colour: &'a str,
    /// Its dashes, as SVG has them; empty: none.
    pub dashes: &'a str,
}

/// How a line goes from one point to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Course {
    /// Straight.
    Straight,
    /// The value holds until the next one.
    Steps,
}

impl Chart {
    /// An empty one on white.
    pub fn new(width: u64, height: u64, title: &str) -> Self {
        let title = escape(title);
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        Self { svg }
    }

    /// The finished document.
    pub fn finish(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }

    /// A text.
    pub fn text(&mut self, (x, y): (u64, u64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let _ = writeln!(self.svg, "<text x=\"{x}\" y=\"{y}\"{anchor}>{}</text>", escape(text));
    }

    /// A text that stands out.
    pub fn heading(&mut self, (x, y): (u64, u64), text: &str) {
        let _ = writeln!(
            self.svg,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"15\" font-weight=\"bold\" text-anchor=\"middle\">{}</text>",
            escape(text)
        );
    }

    /// What the colours mean, from the left, each so many apart.
    pub fn legend<'a>(
        &mut self,
        (left, top): (u64, u64),
        apart: u64,
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        for ((colour, name), place) in entries.into_iter().zip(0_u64..) {
            let x = left + place * apart;
            let _ = writeln!(self.svg, "<rect x=\"{x}\" y=\"{top}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
            self.text((x + 18, top + 10), Anchor::Start, name);
        }
    }

    /// Horizontal lines, each with what it stands for.
    pub fn grid(&mut self, panel: Panel, ticks: impl IntoIterator<Item = (u64, String)>) {
        for (value, label) in ticks {
            let (y, right) = (panel.y(value), panel.left + panel.width);
            let _ = writeln!(self.svg, "<path d=\"M{} {y}H{right}\" stroke=\"#ccc\"/>", panel.left);
            self.text((panel.left.saturating_sub(6), y + 4), Anchor::End, &label);
        }
    }

    /// Values below the panel.
    pub fn times(&mut self, panel: Panel, ticks: impl IntoIterator<Item = (u64, String)>) {
        for (value, label) in ticks {
            self.text((panel.x(value), panel.top + panel.height + 16), Anchor::Middle, &label);
        }
    }

    /// A vertical line with a short name above the panel.
    pub fn mark(&mut self, panel: Panel, at: u64, name: &str) {
        let (x, bottom) = (panel.x(at), panel.top + panel.height);
        let _ =
            writeln!(self.svg, "<path d=\"M{x} {}V{bottom}\" stroke=\"#555\" stroke-dasharray=\"4 3\"/>", panel.top);
        self.text((x, panel.top.saturating_sub(4)), Anchor::Middle, name);
    }

    /// A line through points in the order of their first number.
    pub fn line(
        &mut self,
        panel: Panel,
        points: impl IntoIterator<Item = (u64, u64)>,
        course: Course,
        Stroke { colour, dashes }: Stroke<'_>,
        title: &str,
    ) {
        let mut path = String::new();
        let mut last: Option<(u64, u64)> = None;
        for (x, y) in points.into_iter().map(|(x, y)| (panel.x(x), panel.y(y))) {
            // What cannot be seen is not written.
            match (last, course) {
                (None, _) => drop(write!(path, "M{x} {y}")),
                (Some(before), _) if before == (x, y) => {}
                (Some((_, before)), Course::Steps) if before != y => drop(write!(path, "H{x}V{y}")),
                (Some(_), Course::Steps) => drop(write!(path, "H{x}")),
                (Some(_), Course::Straight) => drop(write!(path, "L{x} {y}")),
            }
            last = Some((x, y));
        }
        let dashes = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        let _ = writeln!(
            self.svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}><title>{}</title></path>",
            escape(title)
        );
    }

    /// The area between two rows of values that stand at equal distances.
    pub fn area(&mut self, panel: Panel, below: &[u64], above: &[u64], colour: &str, title: &str) {
        let last = (above.len() as u64).saturating_sub(1).max(1);
        let mut path = String::new();
        for (at, value) in above.iter().enumerate().chain(below.iter().enumerate().rev()) {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{} {}", panel.left + panel.width * at as u64 / last, panel.y(*value));
        }
        let _ = writeln!(
            self.svg,
            "<path d=\"{path}Z\" fill=\"{colour}\" fill-opacity=\"0.85\"><title>{}</title></path>",
            escape(title)
        );
    }
}

impl Panel {
    fn x(&self, value: u64) -> u64 {
        self.left + scaled(self.width, value, self.x_max)
    }

    fn y(&self, value: u64) -> u64 {
        self.top + self.height - scaled(self.height, value, self.y_max)
    }
}

fn scaled(length: u64, value: u64, whole: u64) -> u64 {
    let whole = whole.max(1);
    let scaled = u128::from(length) * u128::from(value.min(whole)) / u128::from(whole);
    u64::try_from(scaled).unwrap_or(length)
}

/// Round values from zero up to `max`, not many.
pub fn ticks(max: u64) -> impl Iterator<Item = u64> {
    let mut step = 1_u64;
    let mut factors = [2, 5, 10].into_iter().cycle();
    let (mut decade, mut factor) = (1_u64, 1_u64);
    while max / step > TICKS_MAX && factor > 0 {
        factor = factors.next().unwrap_or(0);
        step = decade.saturating_mul(factor);
        if factor == 10 {
            decade = step;
        }
    }
    (0..=max / step).map(move |count| count * step)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let all = |max| ticks(max).collect::<Vec<_>>();
        assert_eq!(all(0), [0]);
        assert_eq!(all(5), [0, 1, 2, 3, 4, 5]);
        assert_eq!(all(6), [0, 2, 4, 6]);
        assert_eq!(all(60_000), [0, 20_000, 40_000, 60_000]);
        assert_eq!(all(8_000_000), [0, 2_000_000, 4_000_000, 6_000_000, 8_000_000]);
        assert!(all(u64::MAX).len() <= 6);
    }

    #[test]
    fn class_types_have_the_colours_of_the_dashboard() {
        let sheet = include_str!("../../dashboard/src/style.css");
        for (class_type, colour) in COLOURS.iter().enumerate() {
            let light = format!("--ct{class_type}: light-dark({colour},");
            assert!(sheet.contains(&light), "the dashboard has no {light}");
        }
    }

    #[test]
    fn what_is_drawn_stays_inside_and_texts_break_nothing() {
        let panel = Panel { left: 10, top: 20, width: 100, height: 50, x_max: 10, y_max: 4 };
        let mut picture = Chart::new(200, 100, "a < b & c");
        let stroke = Stroke { colour: "#000", dashes: "" };
        picture.line(panel, [(0, 0), (5, 2), (99, 99)], Course::Straight, stroke, "</svg>");
        picture.line(panel, [(0, 1), (5, 1), (10, 2)], Course::Steps, stroke, "");
        let svg = picture.finish();
        assert!(svg.contains("M10 70L60 45L110 20"), "{svg}");
        assert!(svg.contains("M10 58H60H110V45"), "{svg}");
        assert!(svg.contains("a &lt; b &amp; c") && svg.matches("</svg>").count() == 1, "{svg}");
    }
}
