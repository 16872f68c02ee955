//! Rates as people write them, read as bit/s: `10 Gbps`, `2x10Gb/s`, `OC-192c`, `STM-64`, `T3`, `10GE`, `1-20Gbps`,
//! `<= 10 Mbps`. Integer arithmetic throughout.
//!
//! Sources: OC-n is n times 51.84 Mbit/s (ANSI T1.105), STM-n n times 155.52 Mbit/s (ITU-T G.707), DS and E levels
//! ITU-T G.702. Names that only look like rates (`SeaMeWe-3`, `2007-2008`, `DWDM`) are not read.

use kernel::units::Bandwidth;

/// The part of a text that is looked at, in bytes.
const TEXT_MAX_BYTES: usize = 256;
/// The most parallel channels in `2x10Gb/s`.
const CHANNELS_MAX: u64 = 10_000;
/// The highest OC or STM level that is read.
const LEVEL_MAX: u64 = 3_072;

/// A rate read from a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParsedRate {
    /// The rate.
    pub bandwidth: Bandwidth,
    /// How sure that is.
    pub kind: RateKind,
    /// Written with a capital B, as if in bytes (`GB/s`): read as bits all the same, which deserves a warning.
    pub capital_b: bool,
}

/// How a text states its rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RateKind {
    /// As a number or a level.
    Exact,
    /// As a bound, such as `<= 10 Mbps`: the bound is taken.
    Bound,
    /// As a range, such as `1-20Gbps`: the top is taken.
    Range,
}

/// The first rate in `text`, in bit/s; `None` if there is none that has a unit, or only one of zero or beyond
/// [`Bandwidth::MAX`].
pub fn parse(text: &str) -> Option<ParsedRate> {
    let text = beginning(text);
    let bytes = text.as_bytes();
    (0..bytes.len()).filter(|at| begins_word(bytes, *at)).find_map(|at| {
        let mut rate = rate_at(Scanner { rest: bytes.get(at..)? })?;
        if rate.kind == RateKind::Exact && ends_in_bound(text.get(..at)?) {
            rate.kind = RateKind::Bound;
        }
        Some(rate)
    })
}

fn beginning(text: &str) -> &str {
    let end = (0..=TEXT_MAX_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn begins_word(bytes: &[u8], at: usize) -> bool {
    let is = |at: usize, test: fn(&u8) -> bool| bytes.get(at).is_some_and(test);
    let inside_number = at >= 2 && matches!(bytes.get(at - 1), Some(b'.' | b',')) && is(at - 2, u8::is_ascii_digit);
    is(at, u8::is_ascii_alphanumeric) && !(at >= 1 && is(at - 1, u8::is_ascii_alphanumeric)) && !inside_number
}

fn ends_in_bound(before: &str) -> bool {
    let before = before.trim_end().to_lowercase();
    ["<", ">", "<=", "=<", ">=", "≤", "≥", "up to", "max", "max."].iter().any(|bound| before.ends_with(bound))
}

/// A rate that begins right here: `[n x] (level | quantity)`.
fn rate_at(mut scanner: Scanner<'_>) -> Option<ParsedRate> {
    let channels = scanner.channels().unwrap_or(1);
    let (bps, kind, capital_b) = match scanner.level() {
        Some(bps) => (bps, RateKind::Exact, false),
        None => quantity(&mut scanner)?,
    };
    let bps = u64::try_from(bps.checked_mul(u128::from(channels))?).ok()?;
    let bandwidth = Bandwidth::from_bps(bps).filter(|bandwidth| !bandwidth.is_zero())?;
    Some(ParsedRate { bandwidth, kind, capital_b })
}

/// `10 Gbps`, or a range such as `1-20Gbps` and `1Gbps - 20Gbps`.
fn quantity(scanner: &mut Scanner<'_>) -> Option<(u128, RateKind, bool)> {
    let first = scanner.number()?;
    let low = scanner.unit();
    let mut ahead = *scanner;
    let top = ahead.range_sign().and_then(|()| Some((ahead.number()?, ahead.unit()?)));
    match (low, top) {
        (_, Some((number, unit))) => {
            let low_bps = first.times(low.unwrap_or(unit).bps)?;
            let capital_b = unit.capital_b || low.is_some_and(|low| low.capital_b);
            Some((number.times(unit.bps)?.max(low_bps), RateKind::Range, capital_b))
        }
        (Some(unit), None) => Some((first.times(unit.bps)?, RateKind::Exact, unit.capital_b)),
        (None, None) => None,
    }
}

#[derive(Clone, Copy)]
struct Number {
    mantissa: u64,
    decimals: u32,
}

impl Number {
    fn times(self, bps: u64) -> Option<u128> {
        let divisor = 10_u128.checked_pow(self.decimals)?;
        Some(u128::from(self.mantissa) * u128::from(bps) / divisor)
    }
}

#[derive(Clone, Copy)]
struct Unit {
    bps: u64,
    capital_b: bool,
}

/// What is left of a text.
#[derive(Clone, Copy)]
struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn skip_spaces(&mut self) {
        let blank = self.rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.skip(blank);
    }

    /// The bytes up to the first that fails `test`, which are left in place.
    fn run(&self, test: fn(&u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().take_while(|byte| test(byte)).count();
        self.rest.get(..length).unwrap_or_default()
    }

    fn integer(&mut self) -> Option<u64> {
        let digits = self.run(u8::is_ascii_digit);
        self.skip(digits.len());
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// `10`, `2.5` or `2,5`. A comma before exactly three digits might as well separate thousands: then it is refused.
    fn number(&mut self) -> Option<Number> {
        let whole_digits = self.run(u8::is_ascii_digit);
        let whole = self.integer()?;
        let separator = self.peek();
        let mut ahead = *self;
        ahead.skip(1);
        let fraction = ahead.run(u8::is_ascii_digit);
        if !matches!(separator, Some(b'.' | b',')) || fraction.is_empty() {
            return Some(Number { mantissa: whole, decimals: 0 });
        }
        if separator == Some(b',') && fraction.len() == 3 && whole_digits != b"0" {
            return None;
        }
        let mut mantissa = whole;
        for digit in fraction {
            mantissa = mantissa.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        }
        ahead.skip(fraction.len());
        *self = ahead;
        Some(Number { mantissa, decimals: u32::try_from(fraction.len()).ok()? })
    }

    /// `2x`, `2 x `, `2*`: how many channels; leaves everything in place if there is no such thing.
    fn channels(&mut self) -> Option<u64> {
        let mut ahead = *self;
        let count = ahead.integer().filter(|count| (1..=CHANNELS_MAX).contains(count))?;
        ahead.skip_spaces();
        let sign = match ahead.rest {
            [b'x' | b'X' | b'*', ..] => 1,
            [0xC3, 0x97, ..] => 2, // the multiplication sign
            _ => return None,
        };
        ahead.skip(sign);
        ahead.skip_spaces();
        *self = ahead;
        Some(count)
    }

    /// `-`, an en dash, or `to`, with blanks around it.
    fn range_sign(&mut self) -> Option<()> {
        self.skip_spaces();
        let length = match self.rest {
            [b'-', ..] => 1,
            [0xE2, 0x80, 0x93 | 0x94, ..] => 3,
            [b't', b'o', b' ', ..] => 2,
            _ => return None,
        };
        self.skip(length);
        self.skip_spaces();
        Some(())
    }

    /// A level of a digital hierarchy or a kind of Ethernet, by name.
    fn level(&mut self) -> Option<u128> {
        let word = self.run(u8::is_ascii_alphabetic);
        let mut ahead = *self;
        ahead.skip(word.len());
        let name = std::str::from_utf8(word).ok()?.to_ascii_lowercase();
        let base: u128 = match name.as_str() {
            "oc" => 51_840_000,
            "stm" => 155_520_000,
            "fe" => return self.whole_word(ahead, 100_000_000),
            "ge" | "gbe" | "gige" => return self.whole_word(ahead, 1_000_000_000),
            "fast" => return self.ethernet(ahead, 100_000_000),
            "gigabit" => return self.ethernet(ahead, 1_000_000_000),
            "ds" | "t" | "e" => 0,
            _ => return None,
        };
        if matches!(ahead.peek(), Some(b'-' | b' ')) {
            ahead.skip(1);
        }
        let level = ahead.integer()?;
        if base > 0 {
            if matches!(ahead.peek(), Some(b'c' | b'C')) {
                ahead.skip(1);
            }
            let level = Some(level).filter(|level| (1..=LEVEL_MAX).contains(level))?;
            return self.whole_word(ahead, base * u128::from(level));
        }
        let bps = match (name.as_str(), level) {
            ("ds" | "t", 1) => 1_544_000,
            ("ds" | "t", 3) => 44_736_000,
            ("e", 1) => 2_048_000,
            ("e", 3) => 34_368_000,
            ("e", 4) => 139_264_000,
            _ => return None,
        };
        self.whole_word(ahead, bps)
    }

    fn ethernet(&mut self, mut ahead: Self, bps: u128) -> Option<u128> {
        ahead.skip_spaces();
        let word = ahead.run(u8::is_ascii_alphabetic);
        ahead.skip(word.len());
        if word.eq_ignore_ascii_case(b"ethernet") { self.whole_word(ahead, bps) } else { None }
    }

    /// Moves on to `ahead` if a word ends there.
    fn whole_word(&mut self, ahead: Self, bps: u128) -> Option<u128> {
        if ahead.peek().is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        *self = ahead;
        Some(bps)
    }

    /// `Gbps`, `Mb/s`, `kbit/s`, `G`, `GE`, `bps`: leaves everything in place if there is no unit.
    fn unit(&mut self) -> Option<Unit> {
        let mut ahead = *self;
        ahead.skip_spaces();
        let spaced = ahead.rest.len() < self.rest.len();
        let run = ahead.run(|byte| byte.is_ascii_alphabetic() || *byte == b'/');
        let word = std::str::from_utf8(run).ok()?.trim_end_matches('/');
        let unit = unit_named(word)?;
        // `5 m` is a length and `3 k` anything: a bare letter after a blank must be a capital.
        if spaced && word.len() == 1 && word.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        ahead.skip(word.len());
        if ahead.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *self = ahead;
        Some(unit)
    }
}

fn unit_named(word: &str) -> Option<Unit> {
    const BITS: [&str; 17] = [
        "b",
        "bps",
        "b/s",
        "b/sec",
        "bit",
        "bits",
        "bit/s",
        "bits/s",
        "bit/sec",
        "bits/sec",
        "bitps",
        "bs",
        "bitss",
        "bitsec",
        "bitpersec",
        "bitspersec",
        "bitspersecond",
    ];
    const ETHERNET: [&str; 6] = ["e", "be", "ige", "ig", "igabit", "igabit/s"];
    let lower = word.to_ascii_lowercase();
    if BITS.iter().skip(1).any(|bits| *bits == lower && lower != "bs") {
        return Some(Unit { bps: 1, capital_b: word.starts_with('B') });
    }
    let bps: u64 = match lower.as_bytes().first()? {
        b'k' => 1_000,
        b'm' => 1_000_000,
        b'g' => 1_000_000_000,
        b't' => 1_000_000_000_000,
        b'p' => 1_000_000_000_000_000,
        _ => return None,
    };
    let rest = lower.get(1..)?;
    let bits = BITS.contains(&rest);
    let known = rest.is_empty() || bits || ETHERNET.contains(&rest);
    known.then_some(Unit { bps, capital_b: bits && word.get(1..2) == Some("B") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bps(text: &str) -> Option<u64> {
        parse(text).map(|rate| rate.bandwidth.as_bps())
    }

    #[test]
    fn rates_are_read_in_any_spelling() {
        for (text, expected) in [
            ("10 Gbps", 10_000_000_000),
            ("10Gb/s", 10_000_000_000),
            ("2.5 Gbit/s", 2_500_000_000),
            ("2,5Gbps", 2_500_000_000),
            ("0,155 Gbps", 155_000_000),
            ("155M", 155_000_000),
            ("155 Mbps link", 155_000_000),
            ("64 kbit/s", 64_000),
            ("9600 bps", 9_600),
            ("1 Tbps", 1_000_000_000_000),
            ("10GE", 10_000_000_000),
            ("10 GigE", 10_000_000_000),
            ("40GbE", 40_000_000_000),
            ("GE", 1_000_000_000),
            ("Fast Ethernet", 100_000_000),
            ("10 Gigabit Ethernet", 10_000_000_000),
            ("Gigabit Ethernet", 1_000_000_000),
            ("2x10Gb/s", 20_000_000_000),
            ("4 x STM-16", 9_953_280_000),
            ("OC-192c", 9_953_280_000),
            ("OC48", 2_488_320_000),
            ("STM-1", 155_520_000),
            ("T3", 44_736_000),
            ("DS-3", 44_736_000),
            ("E1 (2 Mbps)", 2_048_000),
            ("backbone 10G/1G", 10_000_000_000),
        ] {
            assert_eq!(bps(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn names_that_look_like_rates_are_not_read() {
        for text in [
            "",
            "SeaMeWe-3",
            "2007-2008",
            "DWDM",
            "Lit Fibre",
            "FLAG",
            "10",
            "1,000 Mbps",
            "E2",
            "T1000",
            "OC-",
            "5 m",
            "OC-9999",
            "0 Gbps",
            "99999999999999 Gbps",
            "10 GByte/s",
            "IPv6",
            "10Gbps2",
            "x",
            "2x",
            "-",
            "10 Gb€",
        ] {
            let expected = if text == "10 Gb€" { Some(10_000_000_000) } else { None };
            assert_eq!(bps(text), expected, "{text}");
        }
    }

    #[test]
    fn bounds_ranges_and_capital_b_are_flagged() {
        let kind = |text| parse(text).map(|rate| (rate.bandwidth.as_bps(), rate.kind));
        assert_eq!(kind("1-20Gbps"), Some((20_000_000_000, RateKind::Range)));
        assert_eq!(kind("155 Mbps – 1 Gbps"), Some((1_000_000_000, RateKind::Range)));
        assert_eq!(kind("34 to 155 Mbps"), Some((155_000_000, RateKind::Range)));
        assert_eq!(kind("<= 10 Mbps"), Some((10_000_000, RateKind::Bound)));
        assert_eq!(kind("up to 2 Mbps"), Some((2_000_000, RateKind::Bound)));
        assert_eq!(kind("≥155Mbps"), Some((155_000_000, RateKind::Bound)));
        assert!(parse("1 GB/s").unwrap().capital_b);
        assert!(!parse("1 GbE").unwrap().capital_b);
        assert_eq!(bps("1 GB/s"), Some(1_000_000_000));
    }
}
