//! What the texts of loose attributes mean: labels, numbers, positions and datapath ids.

use kernel::topology::Position;
use kernel::units::Bandwidth;

use super::decimal::{Decimal, micro_degrees};
use super::{DRAWING_MAX, LABEL_MAX_BYTES};

/// One line, without control characters, not too long.
pub(super) fn tidy(label: &str) -> String {
    let words: Vec<&str> =
        label.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let mut label = words.join(" ");
    while label.len() > LABEL_MAX_BYTES {
        label.pop();
    }
    label
}

/// What a number out of a text can become.
pub(super) trait FromNumber: Sized {
    fn from_number(number: i128) -> Option<Self>;
}

impl FromNumber for u32 {
    fn from_number(number: i128) -> Option<Self> {
        Self::try_from(number).ok()
    }
}

impl FromNumber for Bandwidth {
    fn from_number(number: i128) -> Option<Self> {
        Self::from_bps(u64::try_from(number).ok()?)
    }
}

/// A position on the globe, from degrees.
pub(super) fn geographic(latitude: &str, longitude: &str) -> Option<Position> {
    let (latitude_udeg, longitude_udeg) = (micro_degrees(latitude, 90)?, micro_degrees(longitude, 180)?);
    Some(Position::Geographic { latitude_udeg, longitude_udeg })
}

/// The same place where y goes the other way.
pub(super) fn upside_down(position: Position) -> Position {
    match position {
        Position::Drawing { x_milli, y_milli } => Position::Drawing { x_milli, y_milli: y_milli.saturating_neg() },
        position => position,
    }
}

/// A position on a drawing.
pub(super) fn drawing(x: &str, y: &str) -> Option<Position> {
    let milli = |text: &str| {
        let scaled = Decimal::parse(text.trim())?.scaled(3)?;
        i64::try_from(scaled).ok().filter(|milli| milli.unsigned_abs() <= DRAWING_MAX.unsigned_abs() * 1_000)
    };
    Some(Position::Drawing { x_milli: milli(x)?, y_milli: milli(y)? })
}

/// Reads a datapath id: 1 to 16 hexadecimal digits, with colons between or `0x` (or ONOS's `of:`) before them.
pub(super) fn dpid(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("of:")).unwrap_or(text).replace(':', "");
    let fits = (1..=16).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if fits { u64::from_str_radix(&digits, 16).ok() } else { None }
}
