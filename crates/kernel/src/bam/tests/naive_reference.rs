//! Random transitions beside a naive reference that is written from the published rules alone, and what holds of all models.

use proptest::prelude::*;

use super::*;

/// G-BAM written down once more, as naively as the paper tells it, with signed integers and no shortcut.
mod naive {
    pub(super) struct Link {
        pub(super) private: Vec<i128>,
        pub(super) high_to_low: Vec<i128>,
        pub(super) low_to_high: Vec<i128>,
        pub(super) lsps: Vec<(usize, i128)>,
    }

    impl Link {
        pub(super) fn used(&self) -> Vec<i128> {
            let mut used = vec![0; self.private.len()];
            for (class, bandwidth) in &self.lsps {
                used[*class] += bandwidth;
            }
            used
        }

        fn limit(&self, class: usize, used: &[i128]) -> i128 {
            let available = |i: usize, pool: i128| {
                let kept = self.private[i] - self.high_to_low[i].max(self.low_to_high[i]);
                if used[i] <= kept { pool } else { (pool - (used[i] - kept)).max(0) }
            };
            let mut limit = self.private[class];
            for (i, used) in used.iter().enumerate() {
                if i < class {
                    limit += available(i, self.low_to_high[i]);
                }
                if i > class {
                    limit += available(i, self.high_to_low[i]) - (used - self.private[i]).max(0);
                }
            }
            limit
        }

        /// The classes of the victims, or `None` if blocked.
        pub(super) fn ask(&mut self, class: usize, bandwidth: i128, highest_first: bool) -> Option<Vec<usize>> {
            let used = self.used();
            let wanted = used[class] + bandwidth;
            if wanted > self.private[class] && wanted > self.limit(class, &used) {
                return None;
            }
            self.lsps.push((class, bandwidth));
            let top = self.private.len();
            let mut order: Vec<usize> = if highest_first {
                (class + 1..top).rev().chain((0..class).rev()).collect()
            } else {
                (class + 1..top).chain(0..class).collect()
            };
            let mut victims = vec![];
            for c in order.drain(..) {
                loop {
                    let used = self.used();
                    if used[c] <= self.private[c] || used[c] <= self.limit(c, &used) {
                        break;
                    }
                    let newest = self.lsps.iter().rposition(|(of, _)| *of == c).unwrap();
                    self.lsps.remove(newest);
                    victims.push(c);
                }
            }
            Some(victims)
        }
    }
}

fn any_kind() -> impl Strategy<Value = ModelKind> {
    prop_oneof![Just(ModelKind::Mam), Just(ModelKind::Rdm), Just(ModelKind::Gbam), Just(ModelKind::Atcs)]
}

proptest! {
    #![proptest_config(crate::property_cases(400))]

    #[test]
    fn random_transitions_agree_with_the_naive_reference(
        kind in any_kind(),
        cut in (1_u32..99, 1_u32..99),
        loans in prop::array::uniform6(0_u32..=100),
        highest in any::<bool>(),
        capacity in 1_u64..2_000,
        steps in prop::collection::vec((0_u8..3, 1_u64..300, any::<bool>()), 1..120),
    ) {
        let (low, high) = (cut.0.min(cut.1), cut.0.max(cut.1));
        let shares = [low, high - low, 100 - high];
        let classes = (0_u8..3).map(|c| {
            let at = usize::from(c);
            class(c, shares[at], loans[at], loans[at + 3])
        }).collect();
        let model = Model::new(kind, classes, vec![]).unwrap();
        let mut link = Bench::new(model, capacity);
        link.order = if highest { VictimOrder::HighestFirst } else { VictimOrder::LowestFirst };
        let mut naive = naive::Link {
            private: link.bounds.private[..3].iter().map(|bps| i128::from(*bps)).collect(),
            high_to_low: link.bounds.high_to_low[..3].iter().map(|bps| i128::from(*bps)).collect(),
            low_to_high: link.bounds.low_to_high[..3].iter().map(|bps| i128::from(*bps)).collect(),
            lsps: vec![],
        };
        for (at, (class, bandwidth, leave)) in steps.into_iter().enumerate() {
            if leave && !link.lsps.is_empty() {
                let oldest = at % link.lsps.len();
                let (_, slot, bandwidth) = link.lsps.remove(oldest);
                link.booked[slot.at()] -= bandwidth;
                naive.lsps.remove(oldest);
            }
            let before = link.used();
            let free: u64 = capacity - before.iter().sum::<u64>();
            let own = before[usize::from(class)] + bandwidth <= link.bounds.private[usize::from(class)];
            let seen = link.ask(&format!("{at}"), class, bandwidth);
            let reference = naive.ask(usize::from(class), i128::from(bandwidth), highest);
            match (&seen, &reference) {
                (Seen::Block, None) => prop_assert_eq!(before, link.used()),
                (Seen::Admit, Some(victims)) => prop_assert!(victims.is_empty()),
                (Seen::Victims { devolved, preempted }, Some(victims)) => {
                    prop_assert_eq!(devolved.len() + preempted.len(), victims.len());
                    prop_assert_eq!(devolved.len(), victims.iter().filter(|c| **c > usize::from(class)).count());
                }
                _ => prop_assert!(false, "{:?} against {:?}", seen, reference),
            }
            prop_assert_eq!(naive.lsps.len(), link.lsps.len());
            // bam.md 2.7: what each model promises.
            prop_assert!(!own || seen != Seen::Block, "one's own share is always admissible");
            if let Seen::Victims { devolved, preempted } = &seen {
                prop_assert!(kind != ModelKind::Mam, "MAM has no victims");
                prop_assert!(kind != ModelKind::Rdm || devolved.is_empty(), "under RDM nothing is lent upwards");
                prop_assert!(class != 0 || preempted.is_empty());
                prop_assert!(class != 2 || devolved.is_empty());
            }
            if kind == ModelKind::Atcs && free >= bandwidth {
                prop_assert_eq!(&seen, &Seen::Admit, "ATCS shares completely");
            }
        }
        // Releasing everything returns the book to zero.
        for (_, slot, bandwidth) in link.lsps.drain(..) {
            link.booked[slot.at()] -= bandwidth;
        }
        prop_assert_eq!(link.booked, [0; SLOTS]);
    }

    /// What a slot is said to give up is just enough: with one bit/s less it is still over.
    #[test]
    fn an_overrun_is_exact(
        kind in any_kind(),
        cut in (1_u32..99, 1_u32..99),
        booked in prop::array::uniform3(0_u64..900),
        asker in 0_u8..3,
    ) {
        let (low, high) = (cut.0.min(cut.1), cut.0.max(cut.1));
        let model = three(kind, [low, high - low, 100 - high]);
        let bounds = model.bounds(Bandwidth::from_bps(1_000).unwrap());
        let used = [booked[0], booked[1], booked[2], 0, 0, 0, 0, 0];
        let next = |used: &Booked| bounds.next_victim(model.slots(), used, Slot(asker), VictimOrder::HighestFirst);
        if let Some(overrun) = next(&used) {
            let without = |bps: u64| {
                let mut used = used;
                used[overrun.slot.at()] -= bps;
                next(&used).is_some_and(|next| next.slot == overrun.slot)
            };
            prop_assert!(without(overrun.excess - 1));
            prop_assert!(!without(overrun.excess));
        }
    }

    /// With one TE-class a class and better priorities for higher classes, the RFC forms admit what the presets admit.
    #[test]
    fn rfc_forms_and_presets_agree_where_both_apply(
        rdm in any::<bool>(),
        cut in (1_u32..99, 1_u32..99),
        booked in prop::array::uniform3(0_u64..600),
        upwards in any::<bool>(),
    ) {
        let (low, high) = (cut.0.min(cut.1), cut.0.max(cut.1));
        let classes: Vec<_> = vec![class(0, low, 0, 0), class(1, high - low, 0, 0), class(2, 100 - high, 0, 0)];
        let kind = if rdm { ModelKind::Rdm } else { ModelKind::Mam };
        let preset = Model::new(kind, classes.clone(), vec![]).unwrap();
        let mut rfc = Model::new(kind, classes, vec![te(0, 2), te(1, 1), te(2, 0)]).unwrap();
        prop_assert_eq!(rfc.bounds(Bandwidth::MAX), preset.bounds(Bandwidth::MAX), "they restate the order of classes");
        rfc.slots.by_priority = true;
        let capacity = Bandwidth::from_bps(1_000).unwrap();
        let (one, other) = (preset.bounds(capacity), rfc.bounds(capacity));
        let mut used = [0; SLOTS];
        let mut order: Vec<Slot> = preset.slots().iter().collect();
        if !upwards {
            order.reverse();
        }
        for slot in order {
            used[slot.at()] = booked[slot.at()].min(one.free_bps(preset.slots(), &used, slot));
        }
        prop_assert!(one.next_excess(preset.slots(), &used, VictimOrder::HighestFirst).is_none());
        prop_assert!(other.next_excess(rfc.slots(), &used, VictimOrder::HighestFirst).is_none());
        for slot in preset.slots().iter() {
            prop_assert_eq!(one.reach_bps(preset.slots(), &used, slot), other.reach_bps(rfc.slots(), &used, slot));
            prop_assert_eq!(one.free_bps(preset.slots(), &used, slot), other.free_bps(rfc.slots(), &used, slot));
        }
    }

    /// Where all together are within what every class may have on an empty link, nothing has to yield, whoever has what.
    #[test]
    fn what_is_within_every_reach_is_free(
        kind in any_kind(),
        by_priority in any::<bool>(),
        cut in (1_u32..99, 1_u32..99),
        loans in prop::array::uniform6(0_u32..=100),
        booked in prop::array::uniform3(0_u64..500),
        more in 1_u64..500,
    ) {
        let (low, high) = (cut.0.min(cut.1), cut.0.max(cut.1));
        let shares = [low, high - low, 100 - high];
        let classes = (0_u8..3).map(|c| {
            let at = usize::from(c);
            class(c, shares[at], loans[at], loans[at + 3])
        }).collect();
        let is_rfc = by_priority && matches!(kind, ModelKind::Mam | ModelKind::Rdm);
        let te_classes = if is_rfc { vec![te(0, 2), te(0, 1), te(1, 1), te(2, 0)] } else { vec![] };
        let model = Model::new(kind, classes, te_classes).unwrap();
        let bounds = model.bounds(Bandwidth::from_bps(1_000).unwrap());
        let used = [booked[0], booked[1], booked[2], 0, 0, 0, 0, 0];
        let (free, reach) = bounds.free_and_reach_bps(model.slots(), &used);
        for slot in model.slots().iter() {
            prop_assert_eq!(free[slot.at()], bounds.free_bps(model.slots(), &used, slot));
            prop_assert_eq!(reach[slot.at()], bounds.reach_bps(model.slots(), &used, slot));
        }
        let in_all = used.iter().sum::<u64>() + more;
        if model.slots().iter().all(|slot| bounds.has_reach_within(model.slots(), in_all, slot)) {
            for slot in model.slots().iter() {
                prop_assert!(bounds.free_bps(model.slots(), &used, slot) >= more);
                prop_assert!(bounds.reach_bps(model.slots(), &used, slot) >= more);
            }
        }
    }
}
