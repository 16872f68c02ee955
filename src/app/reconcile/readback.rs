//! Reading what switches hold, this service's and others' apart. An audit reads everything where the controller tells that at
//! little cost; else it counts, and reads one slice at a time: a rule that is gone, sends elsewhere or drops shows in the counts
//! at once.

use super::throttled_driver::ThrottledDriver;
use crate::southbound::{DriverError, SwitchContent};
use kernel::intent::{CookieFilter, Dpid, Foreign, Group, Meter, Numbering, Table};

/// How many rules one answer of an audit should have at most: a controller takes a fifth of a millisecond for each.
const SLICE_RULES: u64 = 64;
/// How many slices there are at most, as a power of two.
const SLICE_BITS_MAX: u32 = 12;
/// How many meters, and how many groups, are looked at in every audit; where there are more, in every eighth.
const METERS_LIGHT: usize = 512;
/// For how many ports an audit counts the rules that send packets there.
const PORTS_COUNTED: usize = 32;

/// What a switch holds: what is this service's, and what of other programs stands where it would write.
pub(super) type Content = (Table, Foreign);

/// Everything that a switch holds.
pub(super) async fn content(driver: &ThrottledDriver, switch: Dpid) -> Result<Content, DriverError> {
    match driver.whole(switch).await? {
        Some(whole) => Ok(parted(driver, whole)),
        None => content_by_parts(driver, switch).await,
    }
}

async fn content_by_parts(driver: &ThrottledDriver, switch: Dpid) -> Result<Content, DriverError> {
    let rules = driver.rules(switch, CookieFilter::ALL).await?;
    let meters = driver.meters(switch).await?;
    Ok(parted(driver, SwitchContent { rules, meters, groups: driver.groups(switch).await? }))
}

fn parted(driver: &ThrottledDriver, SwitchContent { rules, meters, groups }: SwitchContent) -> Content {
    Table::parted(rules, meters, groups, driver.settings())
}

fn compared((known, foreign): (&Table, &Foreign), (table, others): Content) -> Finding {
    let is_same = table == *known && others == *foreign;
    if is_same { Finding::Same } else { Finding::Other((table, others)) }
}

/// What the audit found of a switch.
pub(super) enum Finding {
    /// It holds what was known, as far as was looked.
    Same,
    /// It holds something else: this.
    Other(Content),
}

/// How much of a switch is read at least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Depth {
    /// Everything.
    Whole,
    /// The counts of all rules and of those that send to each port, and one slice of this service's: another one each round.
    Slice(u64),
}

/// How the controller tells what a switch holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Telling {
    /// In one answer that costs it little.
    AtOnce,
    /// Rules, meters and groups one after the other.
    InParts,
}

/// Whether a switch still holds what is known of it.
pub(super) async fn audit(
    driver: &ThrottledDriver,
    switch: Dpid,
    known: (&Table, &Foreign),
    depth: Depth,
) -> Result<(Finding, Telling), DriverError> {
    match driver.whole(switch).await? {
        Some(whole) => Ok((compared(known, parted(driver, whole)), Telling::AtOnce)),
        None => Ok((audit_by_parts(driver, switch, known, depth).await?, Telling::InParts)),
    }
}

async fn audit_by_parts(
    driver: &ThrottledDriver,
    switch: Dpid,
    (known, foreign): (&Table, &Foreign),
    depth: Depth,
) -> Result<Finding, DriverError> {
    let Depth::Slice(round) = depth else {
        return Ok(compared((known, foreign), content_by_parts(driver, switch).await?));
    };
    let numbering = driver.settings().numbering;
    let expected = u64::try_from(known.rules().len()).unwrap_or(u64::MAX);
    if driver.rule_count(switch, CookieFilter::ALL).await? != expected.saturating_add(foreign.count) {
        return content_by_parts(driver, switch).await.map(Finding::Other);
    }
    let bits = slice_bits(expected);
    if bits > 0 {
        for (port, wanted) in known.rules_by_port().into_iter().take(PORTS_COUNTED) {
            if driver.rule_count_to(switch, numbering.tagged(), port).await? != wanted {
                return content_by_parts(driver, switch).await.map(Finding::Other);
            }
        }
    }
    let slice = CookieFilter::slice(numbering.cookie_tag(), round, bits);
    let rules = driver.rules(switch, slice).await?;
    let mut found: Vec<_> = rules.into_iter().filter(|rule| numbering.has_rule(rule)).collect();
    found.sort_unstable_by(|one, other| one.place.cmp(&other.place));
    let found = found.iter().map(|rule| (&rule.place, rule.cookie, &rule.actions));
    let wanted = known.rules().filter(|(_, seat)| slice.meets(seat.cookie));
    let are_same = found.eq(wanted.map(|(place, seat)| (place, seat.cookie, &seat.actions)));
    let reads = |count: usize| count <= METERS_LIGHT || round.is_multiple_of(8);
    // Where no group should be there is looked seldom.
    let reads_groups = match known.groups().len() {
        0 => round.is_multiple_of(8),
        count => reads(count),
    };
    if are_same
        && (!reads(known.meters().len()) || has_meters(known, foreign, &driver.meters(switch).await?, numbering))
        && (!reads_groups || has_groups(known, foreign, &driver.groups(switch).await?, numbering))
    {
        return Ok(Finding::Same);
    }
    content_by_parts(driver, switch).await.map(Finding::Other)
}

fn has_groups(known: &Table, foreign: &Foreign, found: &[Group], numbering: Numbering) -> bool {
    let is_known = |group: &Group| {
        known.group(group.id) == Some(group) || foreign.has_group(group.id) || !numbering.has_group(group.id)
    };
    found.iter().all(is_known) && known.groups().all(|group| found.contains(group))
}

fn has_meters(known: &Table, foreign: &Foreign, found: &[Meter], numbering: Numbering) -> bool {
    let is_known = |meter: &Meter| {
        known.meter(meter.id) == Some(*meter) || foreign.has_meter(meter.id) || !numbering.has_meter(meter.id)
    };
    found.iter().all(is_known) && known.meters().all(|meter| found.contains(&meter))
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
        assert_eq!((slice_bits(0), slice_bits(64), slice_bits(65), slice_bits(u64::MAX)), (0, 0, 1, SLICE_BITS_MAX));
    }
}
