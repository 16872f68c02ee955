//! Quantities as types: bandwidth in bit/s, shares in parts per million, times in milliseconds, delays in microseconds.
//! All arithmetic is on integers and checked or saturating by name; there is no `+` on a [`Bandwidth`].

use std::fmt;

/// One million: what a [`Share`] is counted in.
pub const PPM: u32 = 1_000_000;

/// A bandwidth in bit/s, at most [`Bandwidth::MAX`] (what a signed 64-bit database column and JSON schema hold).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bandwidth(u64);

impl Bandwidth {
    /// No bandwidth.
    pub const ZERO: Self = Self(0);
    /// The largest bandwidth that can be written down: 2^63 - 1 bit/s.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// A bandwidth of `bps` bit/s; `None` above [`Bandwidth::MAX`].
    pub const fn from_bps(bps: u64) -> Option<Self> {
        if bps <= Self::MAX.0 { Some(Self(bps)) } else { None }
    }

    /// A bandwidth of `bps` bit/s, cut to [`Bandwidth::MAX`].
    pub const fn saturating_from_bps(bps: u64) -> Self {
        if bps <= Self::MAX.0 { Self(bps) } else { Self::MAX }
    }

    /// In bit/s.
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// Whether this is no bandwidth at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` above [`Bandwidth::MAX`].
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        // Two values below 2^63 cannot overflow 64 bits.
        Self::from_bps(self.0 + other.0)
    }

    /// The difference, or `None` if `other` is larger.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(bps) => Some(Self(bps)),
            None => None,
        }
    }

    /// The difference, not below zero.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Debug for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}bps", self.0)
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bit/s", self.0)
    }
}

/// A part of a whole, in parts per million; at most the whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Share(u32);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// All of it.
    pub const WHOLE: Self = Self(PPM);

    /// `None` above one million.
    pub const fn from_ppm(ppm: u32) -> Option<Self> {
        if ppm <= PPM { Some(Self(ppm)) } else { None }
    }

    /// In parts per million.
    pub const fn as_ppm(self) -> u32 {
        self.0
    }

    /// This share of `whole`, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        scale(whole, self.0, PPM)
    }
}

/// A local overbooking multiplier (Junos DS-TE) in parts per million: 2,000,000 books twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Overbooking(u32);

impl Overbooking {
    /// One times: no overbooking.
    pub const NONE: Self = Self(PPM);
    /// The largest multiplier: a thousand times.
    pub const MAX: Self = Self(1_000 * PPM);

    /// `None` unless between a thousandth and a thousand times.
    pub const fn from_ppm(ppm: u32) -> Option<Self> {
        if ppm >= 1_000 && ppm <= Self::MAX.0 { Some(Self(ppm)) } else { None }
    }

    /// In parts per million.
    pub const fn as_ppm(self) -> u32 {
        self.0
    }

    /// What a reservation of `bps` takes from the link's book: `ceil(bps / multiplier)`.
    pub fn booked(self, bps: u64) -> u64 {
        if self.0 == PPM {
            return bps;
        }
        let wide = u128::from(bps) * u128::from(PPM);
        u64::try_from(wide.div_ceil(u128::from(self.0))).unwrap_or(u64::MAX)
    }

    /// The largest reservation that takes no more than `booked` from the book: `floor(booked * multiplier)`.
    pub fn reservable(self, booked: u64) -> u64 {
        // Path searches ask this of every link, and division of 128 bits is slow.
        if self.0 == PPM {
            return booked;
        }
        scale(booked, self.0, PPM)
    }
}

impl Default for Overbooking {
    fn default() -> Self {
        Self::NONE
    }
}

/// `value * numerator / denominator`, rounded down, saturating; a zero denominator counts as one.
pub(crate) fn scale(value: u64, numerator: u32, denominator: u32) -> u64 {
    if numerator == denominator {
        return value;
    }
    let wide = u128::from(value) * u128::from(numerator) / u128::from(denominator.max(1));
    u64::try_from(wide).unwrap_or(u64::MAX)
}

/// A point in time: milliseconds since 1970-01-01T00:00:00Z. Time is always an argument in the kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Millis(pub u64);

/// A one-way delay in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Micros(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidth_keeps_within_its_bounds() {
        assert_eq!(Bandwidth::from_bps(u64::MAX), None);
        assert_eq!(Bandwidth::MAX.checked_add(Bandwidth(1)), None);
        assert_eq!(Bandwidth(5).checked_sub(Bandwidth(6)), None);
        assert_eq!(Bandwidth(5).checked_add(Bandwidth(6)), Some(Bandwidth(11)));
    }

    #[test]
    fn a_share_of_the_largest_bandwidth_does_not_overflow() {
        assert_eq!(Share::WHOLE.of(Bandwidth::MAX.0), Bandwidth::MAX.0);
        assert_eq!(Share(400_000).of(1_000), 400);
        assert_eq!(Share::from_ppm(1_000_001), None);
    }

    #[test]
    fn overbooking_rounds_against_the_asker_both_ways() {
        let thrice = Overbooking::from_ppm(3 * PPM).unwrap();
        assert_eq!(thrice.booked(10), 4);
        assert_eq!(thrice.reservable(3), 9);
        // bw <= reservable(free)  <=>  booked(bw) <= free
        for free in 0..20 {
            for bw in 0..80 {
                assert_eq!(bw <= thrice.reservable(free), thrice.booked(bw) <= free);
            }
        }
    }
}
