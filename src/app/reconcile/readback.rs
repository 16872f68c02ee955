//! Reading what switches hold: by cookie, and never what is not ours; and the light audit, which counts, and reads one
//! slice at a time.

use super::throttled_driver::ThrottledDriver;
use crate::southbound::DriverError;
use kernel::intent::{CookieFilter, Dpid, Table};

/// How many rules one answer should have at most.
const SLICE_RULES: u64 = 400;
/// How many slices there are at most, as a power of two.
const SLICE_BITS_MAX: u32 = 12;
/// How many meters are looked at in every audit; where there are more, in every eighth.
const METERS_LIGHT: usize = 256;

/// Everything of ours that a switch holds.
pub(super) async fn table(driver: &ThrottledDriver, switch: Dpid) -> Result<Table, DriverError> {
    let rules = driver.rules(switch, CookieFilter::OURS).await?;
    Ok(Table::of(rules, driver.meters(switch).await?))
}

/// What the audit found of a switch.
pub(super) enum Finding {
    /// It holds what was known, as far as was looked.
    Same,
    /// It holds something else: this.
    Other(Table),
}

/// Whether a switch still holds what is known of it. `round` tells which slice is looked at.
pub(super) async fn audit(
    driver: &ThrottledDriver,
    switch: Dpid,
    known: &Table,
    round: u64,
) -> Result<Finding, DriverError> {
    let expected = u64::try_from(known.rules().len()).unwrap_or(u64::MAX);
    let bits = slice_bits(expected);
    // The whole table in one slice says more than its count.
    if bits > 0 && driver.rule_count(switch, CookieFilter::OURS).await? != expected {
        return table(driver, switch).await.map(Finding::Other);
    }
    let slice = CookieFilter::slice(round, bits);
    let rules = driver.rules(switch, slice).await?;
    let reads_meters = known.meters().len() <= METERS_LIGHT || round.is_multiple_of(8);
    let meters = if reads_meters { driver.meters(switch).await? } else { known.meters().collect() };
    let found = Table::of(rules, meters);
    let wanted = known.rules().filter(|(_, seat)| slice.meets(seat.cookie));
    let same_meters = found.meters().eq(known.meters());
    if found.rules().eq(wanted) && same_meters {
        return Ok(Finding::Same);
    }
    if bits == 0 { Ok(Finding::Other(found)) } else { table(driver, switch).await.map(Finding::Other) }
}

fn slice_bits(rules: u64) -> u32 {
    let slices = rules.div_ceil(SLICE_RULES).max(1);
    slices.next_power_of_two().trailing_zeros().min(SLICE_BITS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_small() {
        assert_eq!((slice_bits(0), slice_bits(400), slice_bits(401), slice_bits(u64::MAX)), (0, 0, 1, SLICE_BITS_MAX));
    }
}
