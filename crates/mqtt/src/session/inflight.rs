//! Messages sent to a client and not yet acknowledged, by number. The packet id follows from the number, so that another
//! replica resends under the same id without a record of it: id = 1 + (number - 1) mod 65,535.
//!
//! What must stay true: no id is in use twice, because the window never spans more numbers than there are ids; and no
//! more messages are open than the client allows (Receive Maximum) [MQTT-3.3.4-9].

use std::collections::VecDeque;
use std::num::NonZeroU16;

use crate::codec::PacketId;

/// How many ids there are.
const IDS: u64 = 65_535;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflightSlot {
    /// Acknowledged, or never sent.
    Over,
    /// QoS 1: PUBACK is awaited.
    AtLeastOnce,
    /// QoS 2: PUBREC is awaited.
    ExactlyOnce,
    /// QoS 2: PUBCOMP is awaited.
    Released,
}

/// The window.
#[derive(Debug)]
pub(crate) struct InflightWindow {
    /// The number of the first slot.
    first: u64,
    slots: VecDeque<InflightSlot>,
    open: usize,
    open_max: usize,
}

/// The packet id of a number (which begins at 1).
pub(crate) fn packet_id(seq: u64) -> PacketId {
    let id = u16::try_from((seq.max(1) - 1) % IDS + 1).unwrap_or(1);
    NonZeroU16::new(id).unwrap_or(NonZeroU16::MIN)
}

impl InflightWindow {
    pub(crate) fn new(open_max: u16) -> Self {
        Self { first: 1, slots: VecDeque::new(), open: 0, open_max: usize::from(open_max) }
    }

    /// Whether the message of this number may be sent now.
    pub(crate) fn admits(&self, seq: u64) -> bool {
        self.open < self.open_max && (self.slots.is_empty() || seq < self.first + IDS)
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// The oldest number that is open, if any.
    pub(crate) fn oldest(&self) -> Option<u64> {
        (self.open > 0).then_some(self.first)
    }

    /// Opens a number, in any order.
    pub(crate) fn open_slot(&mut self, seq: u64, slot: InflightSlot) {
        if self.slots.is_empty() {
            self.first = seq;
        }
        while seq < self.first {
            self.slots.push_front(InflightSlot::Over);
            self.first -= 1;
        }
        while self.first + self.slots.len() as u64 <= seq {
            self.slots.push_back(InflightSlot::Over);
        }
        if let Some(at) = usize::try_from(seq - self.first).ok().and_then(|at| self.slots.get_mut(at)) {
            self.open += usize::from(*at == InflightSlot::Over);
            *at = slot;
        }
    }

    /// The number that an id stands for now, and where it stands.
    pub(crate) fn find(&self, id: PacketId) -> Option<(u64, InflightSlot)> {
        let front = u64::from(packet_id(self.first).get());
        let at = (u64::from(id.get()) + IDS - front) % IDS;
        let slot = *self.slots.get(usize::try_from(at).ok()?)?;
        (slot != InflightSlot::Over).then_some((self.first + at, slot))
    }

    /// Moves a number on; to [`InflightSlot::Over`] ends it.
    pub(crate) fn advance(&mut self, seq: u64, slot: InflightSlot) {
        let Some(at) = seq.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()) else { return };
        let Some(here) = self.slots.get_mut(at) else { return };
        if *here != InflightSlot::Over && slot == InflightSlot::Over {
            self.open -= 1;
        }
        *here = slot;
        while let Some(InflightSlot::Over) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        if self.slots.is_empty() && self.slots.capacity() > 64 {
            self.slots.shrink_to(16);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection;
    use proptest::prelude::{any, proptest};

    use super::*;

    proptest! {
        #[test]
        fn ids_find_what_they_were_given_for(start in 1u64..200_000, steps in collection::vec(any::<(bool, u8)>(), 1..400)) {
            let mut window = InflightWindow::new(40);
            let mut naive: BTreeMap<u64, InflightSlot> = BTreeMap::new();
            let mut next = start;
            for (send, which) in steps {
                if send && window.admits(next) {
                    window.open_slot(next, InflightSlot::AtLeastOnce);
                    naive.insert(next, InflightSlot::AtLeastOnce);
                    next += 1 + u64::from(which % 3);
                } else if let Some((&seq, _)) = naive.iter().nth(usize::from(which) % naive.len().max(1)) {
                    assert_eq!(window.find(packet_id(seq)), Some((seq, InflightSlot::AtLeastOnce)));
                    window.advance(seq, InflightSlot::Over);
                    naive.remove(&seq);
                    assert_eq!(window.find(packet_id(seq)).filter(|found| found.0 == seq), None);
                }
                assert_eq!(window.open(), naive.len());
                assert_eq!(window.oldest(), naive.keys().next().copied());
            }
        }
    }

    #[test]
    fn ids_wrap_without_zero_and_are_never_in_use_twice() {
        assert_eq!(packet_id(1).get(), 1);
        assert_eq!(packet_id(65_535).get(), 65_535);
        assert_eq!(packet_id(65_536).get(), 1);
        let mut window = InflightWindow::new(u16::MAX);
        window.open_slot(1, InflightSlot::AtLeastOnce);
        assert!(window.admits(65_535) && !window.admits(65_536));
    }

    #[test]
    fn numbers_may_be_opened_backwards() {
        let mut window = InflightWindow::new(10);
        window.open_slot(7, InflightSlot::Released);
        window.open_slot(5, InflightSlot::ExactlyOnce);
        assert_eq!(window.find(packet_id(5)), Some((5, InflightSlot::ExactlyOnce)));
        assert_eq!(window.find(packet_id(6)), None);
        window.advance(5, InflightSlot::Over);
        assert_eq!((window.oldest(), window.open()), (Some(7), 1));
    }
}
