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
        marks.iter().for_each(|mark| packed.push_row(&mut bytes, mark));
        bytes.extend_from_slice(&[0; READ_BYTES]);
        packed.bytes = bytes.into();
        packed
    }

    /// These with one more at a place, or one in the place of another; packed anew only where its numbers need more bytes.
    pub(crate) fn with(&self, place: usize, added: (MarkKey, Mark)) -> Self {
        let is_other = self.get(place).is_none_or(|(key, _)| key != added.0);
        let own = numbers(&added);
        let fits = |at: usize| own[at] >= self.least[at] && bytes_of(own[at] - self.least[at]) <= self.widths[at];
        if !(0..NUMBERS).all(fits) {
            let mut marks: Vec<_> = self.iter().collect();
            match marks.get_mut(place).filter(|_| !is_other) {
                Some(mark) => *mark = added,
                None => marks.insert(place.min(marks.len()), added),
            }
            return Self::new(&marks);
        }
        let stride = self.stride();
        let (before, after) = self.bytes.split_at((place * stride).min(self.bytes.len() - READ_BYTES));
        let mut bytes = Vec::with_capacity(self.bytes.len() + stride);
        bytes.extend_from_slice(before);
        self.push_row(&mut bytes, &added);
        bytes.extend_from_slice(if is_other { after } else { &after[stride..] });
        Self { bytes: bytes.into(), ..*self }
    }

    /// These without the one at a place.
    pub(crate) fn without(&self, place: usize) -> Self {
        let stride = self.stride();
        let bytes = [&self.bytes[..place * stride], &self.bytes[(place + 1) * stride..]].concat();
        Self { bytes: bytes.into(), ..*self }
    }

    fn push_row(&self, bytes: &mut Vec<u8>, mark: &(MarkKey, Mark)) {
        for ((own, least), width) in numbers(mark).into_iter().zip(self.least).zip(self.widths) {
            bytes.extend_from_slice(&(own - least).to_le_bytes()[..usize::from(width)]);
        }
        bytes.push(tag(mark));
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
        let [at, id, booked] = own;
        let mark = mark_of(*self.bytes.get(place)?, booked);
        Some((MarkKey { at: Millis(at), is_start: mark.setup_slot.is_some(), id: AllocationId(id) }, mark))
    }

    /// The marks without their keys.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Mark> + use<'_> {
        let [before, beside, width] = self.widths.map(usize::from);
        let (stride, unused_bits) = (self.stride(), 64 - 8 * u32::try_from(width).unwrap_or(8));
        self.bytes.windows(stride + READ_BYTES).step_by(stride).filter_map(move |row| {
            let read = u64::from_le_bytes(*row.get(before + beside..)?.first_chunk()?);
            let above = if unused_bits == 64 { 0 } else { read << unused_bits >> unused_bits };
            Some(mark_of(*row.get(stride - 1)?, self.least[2] + above))
        })
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

fn mark_of(tag: u8, booked: u64) -> Mark {
    let setup_slot = (tag & START_BIT != 0).then(|| Slot::new(tag >> SLOT_BITS & SLOT_MASK));
    Mark { slot: Slot::new(tag & SLOT_MASK), booked, setup_slot }
}

/// How many bytes a number needs.
fn bytes_of(number: u64) -> u8 {
    u8::try_from((u64::BITS - number.leading_zeros()).div_ceil(8)).unwrap_or(8)
}
