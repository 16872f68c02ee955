//! The delay of a fibre along the great circle between two places: 4.9 µs a kilometre (a refractive index of 1.47).
//! Floating point is allowed here; the result is rounded to a microsecond.

use kernel::topology::Position;
use kernel::units::Micros;

const EARTH_RADIUS_KM: f64 = 6_371.0;
const FIBRE_US_PER_KM: f64 = 4.9;

/// The one-way delay between two geographic positions; `None` if either is only a drawing's.
pub(super) fn fibre_delay(from: Option<Position>, to: Option<Position>) -> Option<Micros> {
    let micros = (great_circle_km(from?, to?)? * FIBRE_US_PER_KM).round();
    // Half the Earth's circumference is below 100,000 µs.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100,000, checked by its range")]
    let micros = if (0.0..=100_000.0).contains(&micros) { micros as u64 } else { 0 };
    Some(Micros(micros))
}

/// The haversine formula.
fn great_circle_km(from: Position, to: Position) -> Option<f64> {
    let (from_latitude, from_longitude) = radians(from)?;
    let (to_latitude, to_longitude) = radians(to)?;
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let chord = half(to_latitude - from_latitude)
        + from_latitude.cos() * to_latitude.cos() * half(to_longitude - from_longitude);
    Some(2.0 * EARTH_RADIUS_KM * chord.clamp(0.0, 1.0).sqrt().asin())
}

fn radians(position: Position) -> Option<(f64, f64)> {
    let Position::Geographic { latitude_udeg, longitude_udeg } = position else { return None };
    Some(((f64::from(latitude_udeg) / 1e6).to_radians(), (f64::from(longitude_udeg) / 1e6).to_radians()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_follows_the_great_circle() {
        let at = |latitude_udeg, longitude_udeg| Some(Position::Geographic { latitude_udeg, longitude_udeg });
        let (zurich, geneva) = (at(47_370_000, 8_540_000), at(46_200_000, 6_140_000));
        assert_eq!(fibre_delay(zurich, geneva), Some(Micros(1_099)));
        assert_eq!(fibre_delay(zurich, zurich), Some(Micros(0)));
        assert_eq!(fibre_delay(at(0, 0), at(0, 180_000_000)), Some(Micros(98_074)));
        assert_eq!(fibre_delay(zurich, Some(Position::Drawing { x_milli: 0, y_milli: 0 })), None);
    }
}
