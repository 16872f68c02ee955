//! The bounds of levels on a link under its bandwidth model. A level's class has its own share whichever class borrowed it,
//! and beyond that what other classes lend: up to a limit that follows their usage (`bam`). What must stay true: rates
//! within these bounds, booked beside what other clients have, are a book that the model admits.

use super::{LEVELS, QosLevel};
use crate::bam::{Booked, LinkBounds, ModelKind};
use crate::units::Bandwidth;

static LEVELS_UPWARDS: [QosLevel; LEVELS] = QosLevel::ALL;

/// What bounds the levels on one link.
#[derive(Clone, Debug)]
pub struct ClassBounds {
    kind: ModelKind,
    bounds: LinkBounds,
    /// By class type, what other clients have booked; `None`: nothing new goes over the link.
    others: Option<Booked>,
}

impl ClassBounds {
    /// The bounds of a link under a model of this kind, beside what other clients have booked in each class type.
    pub fn new(kind: ModelKind, bounds: LinkBounds, others: Option<Booked>) -> Self {
        Self { kind, bounds, others }
    }

    /// Replaces what other clients have booked; answers whether it differs.
    pub(super) fn set_others(&mut self, others: Option<Booked>) -> bool {
        std::mem::replace(&mut self.others, others) != others
    }

    /// The part of the level's own share that its class has not booked for other clients. It is admissible even where other
    /// classes borrowed it.
    pub(super) fn own_bps(&self, level: QosLevel) -> Option<u64> {
        let class = level.at();
        let private = self.bounds.private_bps(level.class_type());
        Some(self.bounds.reservable(class, private.saturating_sub(self.others?[class])))
    }

    /// The whole link, in booked bit/s.
    pub(super) fn total_bps(&self) -> u64 {
        self.bounds.total_bps()
    }

    /// Whether the link bounds any level more than it bounds all together.
    pub(super) fn binds(&self) -> bool {
        self.kind != ModelKind::Atcs
    }

    /// The most that a level may have, if every level first has what it wants of its own share.
    pub(super) fn limit_bps(&self, level: QosLevel, wanted: &[u128; LEVELS]) -> u64 {
        let class = level.at();
        let Some(others) = self.others else { return u64::MAX };
        let mut used = others;
        for (other, wanted) in QosLevel::ALL.into_iter().zip(wanted) {
            let private = self.bounds.private_bps(other.class_type());
            let wanted = Bandwidth::saturating_from_bps(u64::try_from(*wanted).unwrap_or(u64::MAX));
            let sum = used[other.at()].saturating_add(self.bounds.booked_in(other.at(), wanted));
            used[other.at()] = sum.min(private.max(used[other.at()]));
        }
        let limit = self.bounds.limits(&used)[class];
        self.bounds.reservable(class, limit.saturating_sub(others[class]))
    }

    /// Whether a book with so much of each level, beside what other clients have, is within the limits of the levels.
    pub(super) fn admits(&self, levels_bps: &[u64; LEVELS]) -> bool {
        let Some(mut used) = self.others else { return true };
        for (class, bps) in levels_bps.iter().enumerate() {
            let booked = self.bounds.booked_in(class, Bandwidth::saturating_from_bps(*bps));
            used[class] = used[class].saturating_add(booked);
        }
        let limits = self.bounds.limits(&used);
        (0..LEVELS).all(|class| used[class] <= limits[class])
    }

    /// The levels in whose limit a rate of `level` beyond its first piece counts. A class above another that exceeds its
    /// share takes from what the lower one may borrow; a lower one never takes from a higher. The lowest doll of RDM, and
    /// every limit of ATCS, is the link itself.
    pub(super) fn counted_in(&self, level: QosLevel) -> &'static [QosLevel] {
        let upto = level.at();
        let levels: &'static [QosLevel] = &LEVELS_UPWARDS;
        let counted = match self.kind {
            ModelKind::Mam => levels.get(upto..=upto),
            ModelKind::Rdm => levels.get(1..=upto),
            ModelKind::Gbam => levels.get(..=upto),
            ModelKind::Atcs => None,
        };
        counted.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::bam::{ClassConfig, Model, SLOTS, VictimOrder};
    use crate::class::ClassType;
    use crate::id::{LinkIx, NodeIx};
    use crate::scheduler::{AggregatorIx, FlowDemand, FlowKey, Planner, SchedulerSettings};
    use crate::units::{Overbooking, Share};

    const KINDS: [ModelKind; 4] = [ModelKind::Mam, ModelKind::Rdm, ModelKind::Gbam, ModelKind::Atcs];
    const LINKS: usize = 3;

    fn model(kind: ModelKind) -> Model {
        let class = |(class, ppm): (u8, u32)| ClassConfig {
            class_type: ClassType::new(class).unwrap(),
            share: Share::from_ppm(ppm).unwrap(),
            high_to_low: Share::from_ppm(500_000).unwrap(),
            low_to_high: Share::from_ppm(250_000).unwrap(),
            overbooking: Overbooking::NONE,
        };
        Model::new(kind, (0..).zip([250_000, 350_000, 400_000]).map(class).collect(), vec![]).unwrap()
    }

    fn bandwidth(bps: u64) -> Bandwidth {
        Bandwidth::saturating_from_bps(bps)
    }

    /// A plan for flows of (level, first link, number of links, demand) over links of 1 Mbit/s, beside other clients.
    fn plan(kind: ModelKind, others: [Booked; LINKS], flows: &[(usize, usize, usize, u64)]) -> Vec<u64> {
        let bounds = model(kind).bounds(bandwidth(1_000_000));
        let left = others.map(|others| bandwidth(1_000_000_u64.saturating_sub(others.iter().sum())));
        let classes = others.map(|others| ClassBounds::new(kind, bounds.clone(), Some(others)));
        let mut planner = Planner::under_model(SchedulerSettings::default(), &left, classes.into());
        let key = |at: usize, level: usize| FlowKey {
            aggregator: AggregatorIx(u32::try_from(at).unwrap()),
            level: QosLevel::ALL[level],
            egress: NodeIx(0),
        };
        for (at, (level, _, _, bps)) in flows.iter().enumerate() {
            let path: Arc<[LinkIx]> = way(flows[at]).map(|link| LinkIx(u32::try_from(link).unwrap())).collect();
            planner.put(
                key(at, *level),
                std::slice::from_ref(&path),
                FlowDemand { demand: bandwidth(*bps), boosted: false },
            );
            planner.update();
        }
        flows.iter().enumerate().map(|(at, flow)| planner.rate(key(at, flow.0)).unwrap().rate.as_bps()).collect()
    }

    fn way((_, first, count, _): (usize, usize, usize, u64)) -> std::ops::Range<usize> {
        first..(first + count).min(LINKS)
    }

    #[test]
    fn flows_of_one_level_share_what_the_model_leaves_it() {
        for (kind, right) in KINDS.into_iter().zip([133_333, 133_333, 183_333, 333_333]) {
            let rates = plan(kind, [[0; SLOTS]; LINKS], &[(2, 0, 1, 900_000); 3]);
            let near = |bps: &u64| (right - right / 25..=right).contains(bps);
            assert!(rates.iter().all(near), "{kind:?}: {rates:?} instead of {right} each");
        }
    }

    #[test]
    fn an_own_share_is_there_though_background_traffic_borrowed_it() {
        for kind in [ModelKind::Rdm, ModelKind::Atcs] {
            let mut others = [0; SLOTS];
            others[0] = 1_000_000;
            let rates = plan(kind, [others; LINKS], &[(2, 0, 3, 300_000), (0, 0, 3, 300_000)]);
            assert!((290_000..=310_000).contains(&rates[0]), "{kind:?}: {rates:?}");
            assert_eq!(rates[1], 0, "{kind:?}: its own share is used up");
        }
    }

    proptest! {
        #![proptest_config(crate::property_cases(256))]

        #[test]
        fn the_model_admits_the_plan_and_has_nothing_left_for_who_wants_more(
            kind in prop::sample::select(KINDS.to_vec()),
            others in prop::array::uniform3((0_u64..250_000, 0_u64..350_000, 0_u64..400_000)),
            is_one in any::<bool>(),
            flows in prop::collection::vec((0_usize..3, 0..LINKS, 1..=LINKS, 0_u64..1_000_000), 1..12),
        ) {
            let others = others.map(|(low, middle, high)| [low, middle, high, 0, 0, 0, 0, 0]);
            // Over one link it can be told that nothing is left; over several a bound may lie elsewhere.
            let flows: Vec<_> = flows
                .iter()
                .map(|(level, first, count, bps)| if is_one { (*level, 0, 1, *bps) } else { (*level, *first, *count, *bps) })
                .collect();
            let rates = plan(kind, others, &flows);
            let (model, mut booked) = (model(kind), others);
            let bounds = model.bounds(bandwidth(1_000_000));
            for (flow, bps) in flows.iter().zip(&rates) {
                way(*flow).for_each(|link| booked[link][flow.0] += bps);
            }
            for link in &booked {
                prop_assert_eq!(bounds.next_excess(model.slots(), link, VictimOrder::HighestFirst), None, "{:?}", link);
            }
            let unmet = flows.iter().zip(&rates).filter(|(flow, bps)| is_one && flow.3 > **bps + flow.3 / 25);
            for (flow, bps) in unmet {
                let class_type = QosLevel::ALL[flow.0].class_type();
                let slot = model.slot(class_type, model.default_priority(class_type)).unwrap();
                let free = bounds.free_bps(model.slots(), &booked[0], slot);
                prop_assert!(free < 40_000, "{:?} has {} and {} is free: {:?}", flow, bps, free, booked[0]);
            }
        }
    }
}
