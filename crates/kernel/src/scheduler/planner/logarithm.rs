//! Logarithms and powers to base 2 in fixed point, for prices that range over many orders.

/// A logarithm of 1.
pub(super) const ONE: i64 = 1 << 16;

/// The parabola that is missing between a mantissa and its logarithm: at most 0.0087 off.
fn bulge(mantissa: i64) -> i64 {
    (22_486 * mantissa * (ONE - mantissa)) >> 32
}

/// The logarithm to base 2; that of 0 is 0.
pub(super) fn log2(value: u64) -> i64 {
    let Some(whole) = value.checked_ilog2() else { return 0 };
    let mantissa = (value << (63 - whole)) >> 47 & 0xFFFF;
    let mantissa = i64::try_from(mantissa).unwrap_or(0);
    i64::from(whole) * ONE + mantissa + bulge(mantissa)
}

/// The power of 2, rounded down; 2^46 at most.
pub(super) fn exp2(log: i64) -> u64 {
    let (whole, part) = (log >> 16, log & (ONE - 1));
    let mantissa = u64::try_from(ONE + part - bulge(part)).unwrap_or(1 << 16);
    match u32::try_from(whole) {
        Ok(whole) => (mantissa << whole.min(46)) >> 16,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_and_powers_are_near() {
        for value in [1_u64, 2, 3, 100, 65_535, 1 << 40, 3 << 39] {
            let back = exp2(log2(value));
            assert!(back.abs_diff(value) <= value / 50 + 1, "{value} {back}");
        }
        assert_eq!((log2(0), log2(1), log2(8), exp2(-1), exp2(3 * ONE)), (0, 0, 3 * ONE, 0, 8));
    }
}
