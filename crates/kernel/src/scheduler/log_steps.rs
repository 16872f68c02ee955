//! The logarithmic steps in which rates rise. Small levels are counted one by one; above, each doubling is cut into equally
//! many steps, so that a step is a fixed part of the level and small changes of demand mostly change nothing.
//! What must stay true: `value` rises strictly with the step, and `floor` and `ceil` are its inverses.

/// A level as a step of a [`Grid`].
pub(super) type LogStep = u32;

/// A level that nothing bounds.
pub(super) const FREE: LogStep = LogStep::MAX;

/// A grid of `2^bits` steps to the doubling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Grid {
    bits: u32,
}

impl Grid {
    /// The most bits with which every 64-bit level still has a step.
    const BITS_MAX: u32 = 26;

    pub(super) fn new(bits: u32) -> Self {
        Self { bits: bits.min(Self::BITS_MAX) }
    }

    /// The level of a step; [`FREE`] has the largest there is.
    pub(super) fn value(self, step: LogStep) -> u64 {
        let octave = step >> self.bits;
        if octave < 2 {
            return u64::from(step);
        }
        if octave > u64::BITS - self.bits {
            return u64::MAX;
        }
        let within = (step & (self.one() - 1)) | self.one();
        u64::from(within) << (octave - 1)
    }

    /// The highest step whose level is not above `level`.
    pub(super) fn floor(self, level: u64) -> LogStep {
        let length = u64::BITS - level.leading_zeros();
        if length <= self.bits + 1 {
            return LogStep::try_from(level).unwrap_or(FREE - 1);
        }
        let shift = length - self.bits - 1;
        (shift << self.bits) + LogStep::try_from(level >> shift).unwrap_or(0)
    }

    /// The lowest step whose level is not below `level`.
    pub(super) fn ceil(self, level: u64) -> LogStep {
        let floor = self.floor(level);
        floor + LogStep::from(self.value(floor) < level)
    }

    /// How many steps double a level.
    pub(super) fn octave(self) -> LogStep {
        self.one()
    }

    fn one(self) -> LogStep {
        1 << self.bits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(crate::property_cases(256))]

        #[test]
        fn floor_and_ceil_are_the_inverses_of_value(level in any::<u64>(), shift in 0_u32..64, bits in 0_u32..=26) {
            let (grid, level) = (Grid::new(bits), level >> shift);
            let (floor, ceil) = (grid.floor(level), grid.ceil(level));
            prop_assert!(grid.value(floor) <= level && level <= grid.value(ceil));
            prop_assert!(ceil - floor <= 1);
            prop_assert!(grid.value(floor + 1) > level);
            prop_assert!(floor == 0 || grid.value(floor - 1) < grid.value(floor));
            prop_assert!(ceil < FREE);
            // A step is at most a 2^bits-th of the level.
            prop_assert!(u128::from(grid.value(ceil)) << bits <= (u128::from(level) << bits) + u128::from(level));
        }
    }
}
