//! The delay of a fibre along the great circle between two places: 4.9 µs a kilometre (a refractive index of 1.47).
//! Floating point is allowed here; the result is rounded to a microsecond.

use kernel::topology::{DELAY_MAX, Position, TE_METRIC_MAX};
use kernel::units::Micros;

const EARTH_RADIUS_KM: f64 = 6_371.0;
/// The delay of a fibre in microseconds a kilometre.
pub(super) const FIBRE_US_PER_KM: f64 = 4.9;

/// The one-way delay along a fibre, at most [`DELAY_MAX`].
pub(super) fn fibre_delay(km: f64) -> Micros {
    let micros = rounded(km * FIBRE_US_PER_KM);
    Micros(micros).min(DELAY_MAX)
}

/// A distance as a TE metric: kilometres, at least 1.
pub(super) fn distance_metric(km: f64) -> u32 {
    u32::try_from(rounded(km)).unwrap_or(TE_METRIC_MAX).clamp(1, TE_METRIC_MAX)
}

fn rounded(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of floating point saturates")]
    let rounded = number.round() as u64;
    rounded
}

/// The distance between two geographic positions, by the haversine formula; `None` if either is only a drawing's.
pub(super) fn great_circle_km(from: Position, to: Position) -> Option<f64> {
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
    fn delay_and_metric_follow_the_great_circle() {
        let at = |latitude_udeg, longitude_udeg| Position::Geographic { latitude_udeg, longitude_udeg };
        let (zurich, geneva) = (at(47_370_000, 8_540_000), at(46_200_000, 6_140_000));
        let km = |from, to| great_circle_km(from, to).unwrap();
        assert_eq!((fibre_delay(km(zurich, geneva)), distance_metric(km(zurich, geneva))), (Micros(1_099), 224));
        assert_eq!((fibre_delay(km(zurich, zurich)), distance_metric(0.2)), (Micros(0), 1));
        assert_eq!(fibre_delay(km(at(0, 0), at(0, 180_000_000))), Micros(98_074));
        assert_eq!((fibre_delay(1e300), distance_metric(1e300)), (DELAY_MAX, TE_METRIC_MAX));
        assert_eq!(great_circle_km(zurich, Position::Drawing { x_milli: 0, y_milli: 0 }), None);
    }
}
