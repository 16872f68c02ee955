//! Marks in a row, packed: a million bookings have some thirty million marks. The numbers of a mark are told as what they
//! are above the least of the row, in as few bytes as the largest of them needs. What must stay true: what was packed is
//! read back, to the bit.

use super::bam::Slot;
use super::id::AllocationId;
use super::mark::{Mark, MarkKey};
use super::units::Millis;

/// Instant, allocation, bandwidth.
const NUMBERS: usize = 3;
/// A number is read as eight bytes, of which those above its width are left out.
const READ_BYTES: usize = 8;
const SLOT_BITS: u32 = 3;
const SLOT_MASK: u8 = (1 << SLOT_BITS) - 1;
const START_BIT: u8 = 1 << (2 * SLOT_BITS);

/// Marks by their keys.
#[derive(Clone)]
pub(crate) struct PackedMarks {
    least: [u64; NUMBERS],
    widths: [u8; NUMBERS],
    /// For each mark its numbers, little end first, and a byte with its slots; [`READ_BYTES`] more at the end.
    bytes: Box<[u8]>,
}

impl PackedMarks {
    pub(crate) fn new(marks: &[(MarkKey, Mark)]) -> Self {
        let least = std::array::from_fn(|at| marks.iter().map(|mark| numbers(mark)[at]).min().unwrap_or(0));
        let most: [u64; NUMBERS] =
            std::array::from_fn(|at| marks.iter().map(|mark| numbers(mark)[at]).max().unwrap_or(0));
        let widths: [u8; NUMBERS] = std::array::from_fn(|at| bytes_of(most[at] - least[at]));
        let mut packed = Self { least, widths, bytes: Box::default() };
        let mut bytes = Vec::with_capacity(marks.len() * packed.stride() + READ_BYTES);
        for mark in marks {
            let own = numbers(mark);
            for at in 0..NUMBERS {
                bytes.extend_from_slice(&(own[at] - least[at]).to_le_bytes()[..usize::from(widths[at])]);
            }
            bytes.push(tag(mark));
        }
        bytes.extend_from_slice(&[0; READ_BYTES]);
        packed.bytes = bytes.into();
        packed
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(READ_BYTES) / self.stride()
    }

    pub(crate) fn get(&self, at: usize) -> Option<(MarkKey, Mark)> {
        if at >= self.len() {
            return None;
        }
        let mut place = at * self.stride();
        let mut own = [0; NUMBERS];
        for ((number, least), width) in own.iter_mut().zip(&self.least).zip(&self.widths) {
            let read = u64::from_le_bytes(*self.bytes.get(place..)?.first_chunk()?);
            let unused_bits = 64 - 8 * u32::from(*width);
            let above = if unused_bits == 64 { 0 } else { read << unused_bits >> unused_bits };
            *number = least + above;
            place += usize::from(*width);
        }
        let tag = *self.bytes.get(place)?;
        let is_start = tag & START_BIT != 0;
        let slot = Slot::new(tag & SLOT_MASK);
        let setup_slot = is_start.then(|| Slot::new(tag >> SLOT_BITS & SLOT_MASK));
        let [at, id, booked] = own;
        Some((MarkKey { at: Millis(at), is_start, id: AllocationId(id) }, Mark { slot, booked, setup_slot }))
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (MarkKey, Mark)> + use<'_> {
        self.iter_from(0)
    }

    pub(crate) fn iter_from(&self, place: usize) -> impl DoubleEndedIterator<Item = (MarkKey, Mark)> + use<'_> {
        (place..self.len()).filter_map(|at| self.get(at))
    }

    /// How many marks have keys below this one.
    pub(crate) fn below(&self, key: MarkKey) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(|(own, _)| own < key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn stride(&self) -> usize {
        self.widths.iter().map(|width| usize::from(*width)).sum::<usize>() + 1
    }
}

fn numbers((key, mark): &(MarkKey, Mark)) -> [u64; NUMBERS] {
    [key.at.0, key.id.0, mark.booked]
}

fn tag((key, mark): &(MarkKey, Mark)) -> u8 {
    let bits = |slot: Slot| u8::try_from(slot.at()).unwrap_or(0) & SLOT_MASK;
    let setup = mark.setup_slot.map_or(0, bits) << SLOT_BITS;
    bits(mark.slot) | setup | if key.is_start { START_BIT } else { 0 }
}

/// How many bytes a number needs.
fn bytes_of(number: u64) -> u8 {
    u8::try_from((u64::BITS - number.leading_zeros()).div_ceil(8)).unwrap_or(8)
}
