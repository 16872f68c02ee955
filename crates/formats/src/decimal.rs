//! Decimal numbers as text, scaled to integers without passing through floating point.

/// The most significant digits that count; later ones are dropped.
const DIGITS_MAX: u32 = 20;
/// The largest exponent that is distinguished from larger ones.
const EXPONENT_MAX: i32 = 1_000;

/// `mantissa * 10^exponent`, with a sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Decimal {
    negative: bool,
    mantissa: u128,
    exponent: i32,
}

impl Decimal {
    /// Reads `-12.5`, `7`, `.5`, `1e10` and the like; the whole of `text` must be the number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (number, power) = match rest.split_once(['e', 'E']) {
            Some((number, power)) => (number, power.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut decimal = Self { negative, mantissa: 0, exponent: power.clamp(-EXPONENT_MAX, EXPONENT_MAX) };
        for digit in whole.bytes() {
            decimal.append(digit, 0)?;
        }
        for digit in fraction.bytes() {
            decimal.append(digit, 1)?;
        }
        Some(decimal)
    }

    /// Appends one digit, of which `places` (none or one) are behind the point.
    fn append(&mut self, digit: u8, places: i32) -> Option<()> {
        if !digit.is_ascii_digit() {
            return None;
        }
        if self.mantissa < 10_u128.pow(DIGITS_MAX) {
            self.mantissa = self.mantissa * 10 + u128::from(digit - b'0');
            self.exponent = self.exponent.saturating_sub(places);
        } else {
            self.exponent = self.exponent.saturating_add(1 - places);
        }
        Some(())
    }

    /// The number times `10^places`, rounded to the nearest, halves away from zero; `None` if that is astronomical.
    pub(super) fn scaled(self, places: u32) -> Option<i128> {
        if self.mantissa == 0 {
            return Some(0);
        }
        let power = self.exponent.saturating_add(i32::try_from(places).ok()?);
        let factor = 10_u128.checked_pow(power.unsigned_abs());
        let size = match (power >= 0, factor) {
            (true, factor) => self.mantissa.checked_mul(factor?)?,
            (false, Some(factor)) => self.mantissa.saturating_add(factor / 2) / factor,
            (false, None) => 0,
        };
        let size = i128::try_from(size).ok()?;
        Some(if self.negative { -size } else { size })
    }

    /// The number times an integer; `None` if that has too many digits.
    pub(super) fn times(self, factor: u64) -> Option<Self> {
        Some(Self { mantissa: self.mantissa.checked_mul(u128::from(factor))?, ..self })
    }

    /// As [`Decimal::scaled`], for what must not be negative.
    pub(super) fn scaled_u64(self, places: u32) -> Option<u64> {
        u64::try_from(self.scaled(places)?).ok()
    }
}

/// Reads a number of degrees as millionths, if it is within `limit_deg` of zero.
pub(super) fn micro_degrees(text: &str, limit_deg: i128) -> Option<i32> {
    let scaled = Decimal::parse(text.trim())?.scaled(6)?;
    if scaled.abs() <= limit_deg * 1_000_000 { i32::try_from(scaled).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled(text: &str, places: u32) -> Option<i128> {
        Decimal::parse(text)?.scaled(places)
    }

    #[test]
    fn decimals_scale_exactly() {
        assert_eq!(scaled("-84.3833", 6), Some(-84_383_300));
        assert_eq!(scaled("1e10", 0), Some(10_000_000_000));
        assert_eq!(scaled("2.5E-1", 1), Some(3));
        assert_eq!(scaled("-2.5", 0), Some(-3));
        assert_eq!(scaled(".5", 0), Some(1));
        assert_eq!(scaled("10000000000.0", 0), Some(10_000_000_000));
        assert_eq!(scaled("0e999999999", 3), Some(0));
        assert_eq!(scaled("123456789012345678901234567890", 0), Some(123_456_789_012_345_678_901_000_000_000));
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "1.2.3", "0x10", "1e", "NaN", "inf", "1 2", "١"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(scaled("1e400", 0), None);
        assert_eq!(scaled("1e-400", 0), Some(0));
        assert_eq!(micro_degrees("90.0000001", 90), Some(90_000_000));
        assert_eq!(micro_degrees("90.000001", 90), None);
    }
}
