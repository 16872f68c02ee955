//! How much dearer a link is for its load.

use super::bam::{Booked, LinkBounds};
use super::path::WEIGHT_ONE;

/// How many steps of utilisation the congestion table has.
const WEIGHT_STEPS: usize = 256;

/// `1024 * 64^(i/256)`: the exponential that makes a full link 64 times as long as an empty one, as integers.
const WEIGHTS: [u32; WEIGHT_STEPS + 1] = weights();

/// 64^(1/256) = 2^(6/256) in units of 2^-40, rounded.
const WEIGHT_RATIO_Q40: u128 = 1_117_519_775_464;

#[expect(clippy::cast_possible_truncation, reason = "the largest value is 65,536")]
const fn weights() -> [u32; WEIGHT_STEPS + 1] {
    let mut table = [WEIGHT_ONE; WEIGHT_STEPS + 1];
    let mut exact_q40 = (WEIGHT_ONE as u128) << 40;
    let mut step = 1;
    while step <= WEIGHT_STEPS {
        exact_q40 = (exact_q40 * WEIGHT_RATIO_Q40) >> 40;
        table[step] = ((exact_q40 + (1 << 39)) >> 40) as u32;
        step += 1;
    }
    table
}

/// The congestion factor of a link by its utilisation, in 1/1024 (after Awerbuch, Azar and Plotkin, FOCS 1993).
pub(crate) fn congestion_weight(bounds: &LinkBounds, booked: &Booked) -> u32 {
    let used = booked.iter().fold(0_u64, |sum, bps| sum.saturating_add(*bps));
    if used == 0 || bounds.total_bps() == 0 {
        return WEIGHT_ONE;
    }
    let step = u128::from(used) * WEIGHT_STEPS as u128 / u128::from(bounds.total_bps());
    WEIGHTS[usize::try_from(step).unwrap_or(WEIGHT_STEPS).min(WEIGHT_STEPS)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_congestion_table_runs_from_one_to_sixty_four() {
        assert_eq!(WEIGHTS[0], WEIGHT_ONE);
        assert_eq!(WEIGHTS[128], 8 * WEIGHT_ONE);
        assert_eq!(WEIGHTS[256], 64 * WEIGHT_ONE);
        assert!(WEIGHTS.is_sorted());
    }
}
