//! MAM and RDM with TE-classes beside their constraints as the RFCs write them, on books that hold them and on others.

use std::ops::RangeInclusive;

use proptest::prelude::*;

use super::*;

/// The class types that a constraint bounds, and the most that they may have together.
type Constraint = (RangeInclusive<usize>, u64);

/// RFC 4125 §4.1 and RFC 4127 §4: those of one class type, or of all; the narrower first.
fn constraints(bounds: &LinkBounds, kind: ModelKind, class: Option<usize>) -> Vec<Constraint> {
    let share = |classes: RangeInclusive<usize>| bounds.private[classes].iter().sum();
    if kind == ModelKind::Rdm {
        return (0..=class.unwrap_or(2)).rev().map(|w| (w..=2, share(w..=2))).collect();
    }
    let own = class.map_or(0..=2, |class| class..=class).map(|class| (class..=class, share(class..=class)));
    own.chain([(0..=2, bounds.total)]).collect()
}

proptest! {
    #![proptest_config(crate::property_cases(1_000))]

    #[test]
    fn te_classes_agree_with_the_rfcs(
        kind in prop_oneof![Just(ModelKind::Mam), Just(ModelKind::Rdm)],
        cut in (1_u32..99, 1_u32..99),
        beyond in 0_u32..50,
        priorities in prop::array::uniform3(0_u8..8),
        others in prop::collection::vec((0_u8..3, 0_u8..8), 0..6),
        booked in prop::array::uniform8(prop_oneof![Just(0_u64), 0_u64..400]),
        asker in 0_u8..8,
        order in prop_oneof![Just(VictimOrder::HighestFirst), Just(VictimOrder::LowestFirst)],
    ) {
        let (low, high) = (cut.0.min(cut.1), cut.0.max(cut.1));
        let lowest = if kind == ModelKind::Mam { (low + beyond).min(100) } else { low };
        let classes = vec![class(0, lowest, 0, 0), class(1, high - low, 0, 0), class(2, 100 - high, 0, 0)];
        let mut te_classes: Vec<TeClass> = (0..).zip(priorities).chain(others).map(|(ct, at)| te(ct, at)).collect();
        te_classes.sort_unstable();
        te_classes.dedup();
        let model = Model::new(kind, classes, te_classes).unwrap();
        let (slots, bounds) = (model.slots(), model.bounds(Bandwidth::from_bps(1_000).unwrap()));
        prop_assume!(bounds.rule != BookRule::Loans);
        let booked: Booked = std::array::from_fn(|at| if at < slots.count() { booked[at] } else { 0 });
        let asker = Slot(asker % slots.count);

        let held = |classes: &RangeInclusive<usize>, worst: Priority| -> u64 {
            let of_classes = slots.iter().filter(|slot| classes.contains(&slots.class_at(slot.at())));
            of_classes.filter(|slot| slots.priority(*slot) <= worst).map(|slot| booked[slot.at()]).sum()
        };
        let own = constraints(&bounds, kind, Some(slots.class_at(asker.at())));
        let unreserved = |at| own.iter().map(|(classes, most)| most.saturating_sub(held(classes, at))).min().unwrap();
        prop_assert_eq!(bounds.free_bps(slots, &booked, asker), unreserved(Priority::WORST));
        prop_assert_eq!(bounds.reach_bps(slots, &booked, asker), unreserved(slots.priority(asker)));

        let overrun = |constraints: &[Constraint], may_yield: &dyn Fn(Slot) -> bool| {
            constraints.iter().find_map(|(classes, most)| {
                let excess = held(classes, Priority::WORST).checked_sub(*most).filter(|excess| *excess > 0)?;
                let of_classes = slots.iter().filter(|slot| classes.contains(&slots.class_at(slot.at())));
                let yielding = of_classes.filter(|slot| booked[slot.at()] > 0 && may_yield(*slot));
                let slot = yielding.max_by_key(|slot| {
                    let class = i32::from(slots.class_type(*slot).number());
                    (slots.priority(*slot), if order == VictimOrder::HighestFirst { class } else { -class })
                })?;
                Some(Overrun { slot, cause: Cause::Preempted, excess })
            })
        };
        let is_worse = |slot| slots.priority(slot) > slots.priority(asker);
        prop_assert_eq!(bounds.next_victim(slots, &booked, asker, order), overrun(&own, &is_worse));
        let all = constraints(&bounds, kind, None);
        prop_assert_eq!(bounds.next_excess(slots, &booked, order), overrun(&all, &|_| true));
    }
}
