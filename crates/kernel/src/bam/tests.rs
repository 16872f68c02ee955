//! The worked examples of the literature on one link, RFC vectors, and random transitions beside a naive reference that
//! is written from the published rules alone.

use proptest::prelude::*;

use super::*;
use crate::class::TeClass;
use crate::units::{PPM, Share};

/// One link with its LSPs, oldest first.
struct Bench {
    bounds: LinkBounds,
    model: Model,
    order: VictimOrder,
    booked: Booked,
    lsps: Vec<(String, Slot, u64)>,
}

#[derive(PartialEq, Eq, Debug)]
enum Seen {
    Admit,
    Block,
    Victims { devolved: Vec<String>, preempted: Vec<String> },
}

fn class(number: u8, percent: u32, high_to_low: u32, low_to_high: u32) -> ClassConfig {
    ClassConfig {
        class_type: ClassType::new(number).unwrap(),
        share: Share::from_ppm(percent * 10_000).unwrap(),
        high_to_low: Share::from_ppm(high_to_low * 10_000).unwrap(),
        low_to_high: Share::from_ppm(low_to_high * 10_000).unwrap(),
        overbooking: Overbooking::NONE,
    }
}

fn three(kind: ModelKind, shares: [u32; 3]) -> Model {
    let classes = (0_u8..).zip(shares).map(|(number, share)| class(number, share, 0, 0)).collect();
    Model::new(kind, classes, vec![]).unwrap()
}

impl Bench {
    fn new(model: Model, capacity: u64) -> Self {
        let bounds = model.bounds(Bandwidth::from_bps(capacity).unwrap());
        Self { bounds, model, order: VictimOrder::HighestFirst, booked: [0; SLOTS], lsps: vec![] }
    }

    fn ask(&mut self, name: &str, class: u8, bandwidth: u64) -> Seen {
        let class_type = ClassType::new(class).unwrap();
        let priority = self.model.default_priority(class_type);
        self.ask_at(name, TeClass { class_type, priority }, bandwidth)
    }

    fn ask_at(&mut self, name: &str, te_class: TeClass, bandwidth: u64) -> Seen {
        let slots = *self.model.slots();
        let slot = self.model.slot(te_class.class_type, te_class.priority).unwrap();
        let free = bandwidth <= self.bounds.free_bps(&slots, &self.booked, slot);
        if bandwidth > self.bounds.reach_bps(&slots, &self.booked, slot) {
            assert!(!free, "free must not exceed reach");
            return Seen::Block;
        }
        self.booked[slot.at()] += bandwidth;
        let (mut devolved, mut preempted) = (vec![], vec![]);
        while let Some(Overrun { slot: victim, cause, excess }) =
            self.bounds.next_victim(&slots, &self.booked, slot, self.order)
        {
            assert!(excess > 0, "a slot gives up something");
            let newest = self.lsps.iter().rposition(|(_, held, _)| *held == victim).expect("a victim to take");
            let (name, _, bandwidth) = self.lsps.remove(newest);
            self.booked[victim.at()] -= bandwidth;
            if cause == Cause::Devolved { &mut devolved } else { &mut preempted }.push(name);
        }
        assert_eq!(free, devolved.is_empty() && preempted.is_empty(), "free says whether there are no victims");
        self.lsps.push((name.to_owned(), slot, bandwidth));
        let total: u64 = self.booked.iter().sum();
        assert!(total <= self.bounds.total_bps(), "{total} booked");
        if free { Seen::Admit } else { Seen::Victims { devolved, preempted } }
    }

    fn fill(&mut self, prefix: &str, count: usize, class: u8, bandwidth: u64) {
        for at in 0..count {
            assert_eq!(self.ask(&format!("{prefix}{at}"), class, bandwidth), Seen::Admit);
        }
    }

    fn used(&self) -> [u64; 3] {
        [self.booked[0], self.booked[1], self.booked[2]]
    }
}

fn preempts(names: &[&str]) -> Seen {
    Seen::Victims { devolved: vec![], preempted: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn devolves(names: &[&str]) -> Seen {
    Seen::Victims { devolved: names.iter().map(|name| (*name).to_owned()).collect(), preempted: vec![] }
}

const SHARES: [u32; 3] = [40, 35, 25];

#[test]
fn e1_mam_keeps_classes_apart() {
    let mut link = Bench::new(three(ModelKind::Mam, SHARES), 1_000);
    assert_eq!(link.ask("a", 2, 200), Seen::Admit);
    assert_eq!(link.ask("b", 2, 60), Seen::Block);
    assert_eq!(link.ask("c", 2, 50), Seen::Admit);
    assert_eq!(link.ask("d", 0, 400), Seen::Admit);
    assert_eq!(link.ask("e", 0, 1), Seen::Block);
}

#[test]
fn e2_rdm_takes_back_newest_first() {
    let mut link = Bench::new(three(ModelKind::Rdm, SHARES), 1_000);
    link.fill("c", 10, 0, 100);
    assert_eq!(link.ask("a", 1, 350), preempts(&["c9", "c8", "c7", "c6"]));
    assert_eq!(link.used(), [600, 350, 0]);
    assert_eq!(link.ask("b", 2, 260), Seen::Block);
    assert_eq!(link.ask("b", 2, 250), preempts(&["c5", "c4"]));
    assert_eq!(link.used(), [400, 350, 250]);
}

#[test]
fn e4_atcs_devolves_what_was_lent_upwards() {
    let mut link = Bench::new(three(ModelKind::Atcs, SHARES), 1_000);
    link.fill("h", 6, 2, 100);
    assert_eq!(link.ask("a", 0, 400), Seen::Admit);
    assert_eq!(link.ask("b", 1, 100), devolves(&["h5"]));
    assert_eq!(link.used(), [400, 100, 500]);
    assert_eq!(link.ask("c", 1, 250), devolves(&["h4", "h3", "h2"]));
    assert_eq!(link.used(), [400, 350, 200]);
    assert_eq!(link.ask("d", 1, 10), Seen::Admit);
    assert_eq!(link.used(), [400, 360, 200]);
}

#[test]
fn e5_atcs_preempts_what_was_lent_downwards() {
    let mut link = Bench::new(three(ModelKind::Atcs, SHARES), 1_000);
    link.fill("l", 18, 0, 50);
    assert_eq!(link.ask("a", 2, 250), preempts(&["l17", "l16", "l15"]));
    assert_eq!(link.ask("b", 2, 100), preempts(&["l14", "l13"]));
    assert_eq!(link.used(), [650, 0, 350]);
}

#[test]
fn e6_devolution_can_make_preemption_unnecessary() {
    let mut link = Bench::new(three(ModelKind::Atcs, [30, 30, 40]), 200);
    for (name, class, bandwidth) in [("1", 2, 50), ("2", 1, 10), ("3", 0, 40), ("4", 0, 40), ("5", 2, 60)] {
        assert_eq!(link.ask(name, class, bandwidth), Seen::Admit);
    }
    assert_eq!(link.used(), [80, 10, 110]);
    assert_eq!(link.ask("6", 1, 50), devolves(&["5"]));
    assert_eq!(link.used(), [80, 60, 50]);
}

#[test]
fn e7_partial_loans() {
    // In hundredths of the paper's unit, so that every share is whole.
    let classes = vec![class(0, 40, 0, 25), class(1, 35, 50, 25), class(2, 25, 50, 0)];
    let model = Model::new(ModelKind::Gbam, classes, vec![]).unwrap();
    let mut link = Bench::new(model, 622_000);
    let limits: Vec<u64> = (0..3).map(|class| gbam::limit(&link.bounds, &link.booked, class)).collect();
    assert_eq!(limits, [435_400, 357_650, 272_125]);
    assert_eq!(link.ask("a", 2, 272_120), Seen::Admit);
    assert_eq!(link.ask("b", 1, 217_700), devolves(&["a"]));
    assert_eq!(link.used(), [0, 217_700, 0]);
}

#[test]
fn e8_rdm_over_two_levels_stays_within_the_link() {
    let mut link = Bench::new(three(ModelKind::Rdm, [30, 30, 40]), 100);
    link.order = VictimOrder::LowestFirst;
    link.fill("a", 4, 1, 10);
    for at in 1..=6 {
        assert_eq!(link.ask(&format!("b{at}"), 0, 10), Seen::Admit);
    }
    let Seen::Victims { preempted, .. } = link.ask("top", 2, 40) else { panic!("there are victims") };
    assert_eq!(link.used(), [30, 30, 40]);
    let mut victims = preempted;
    victims.sort();
    assert_eq!(victims, ["a3", "b4", "b5", "b6"]);
}

#[test]
fn e9_highest_first_preempts_less() {
    let run = |order| {
        let mut link = Bench::new(three(ModelKind::Rdm, [30, 30, 40]), 100);
        link.order = order;
        assert_eq!(link.ask("a1", 1, 40), Seen::Admit);
        link.fill("b", 6, 0, 10);
        (link.ask("top", 2, 40), link.used())
    };
    assert_eq!(run(VictimOrder::HighestFirst), (preempts(&["a1"]), [60, 0, 40]));
    assert_eq!(run(VictimOrder::LowestFirst), (preempts(&["b5", "b4", "b3", "a1"]), [30, 0, 40]));
}

#[test]
fn e14_and_e15_atcs_at_the_edge() {
    let mut link = Bench::new(three(ModelKind::Atcs, SHARES), 100);
    for (name, class, bandwidth) in [("l1", 0, 40), ("l2", 0, 15), ("m", 1, 5), ("h", 2, 30)] {
        assert_eq!(link.ask(name, class, bandwidth), Seen::Admit);
    }
    assert_eq!(link.ask("n", 2, 20), preempts(&["l2"]));
    assert_eq!(link.used(), [40, 5, 50]);

    let mut link = Bench::new(three(ModelKind::Atcs, [40, 30, 30]), 100);
    for (name, class, bandwidth) in [("l", 0, 55), ("m", 1, 10), ("h", 2, 35)] {
        assert_eq!(link.ask(name, class, bandwidth), Seen::Admit);
    }
    assert_eq!(link.ask("n", 0, 5), Seen::Block);
}

fn te(class: u8, priority: u8) -> TeClass {
    TeClass { class_type: ClassType::new(class).unwrap(), priority: Priority::new(priority).unwrap() }
}

/// RFC 4125 §4.1 and RFC 4127 §4 on one state, computed with two other codes.
#[test]
fn te_class_vector() {
    let te_classes = vec![te(2, 0), te(1, 1), te(0, 2), te(0, 1)];
    let booked = [100, 300, 400, 50, 0, 0, 0, 0];
    let unreserved = |kind, private: [u64; 3]| -> Vec<u64> {
        let classes = vec![class(0, 40, 0, 0), class(1, 35, 0, 0), class(2, 25, 0, 0)];
        let model = Model::new(kind, classes, te_classes.clone()).unwrap();
        let mut bounds = model.bounds(Bandwidth::from_bps(1_000).unwrap());
        bounds.private[..3].copy_from_slice(&private);
        model.slots().iter().map(|slot| bounds.reach_bps(model.slots(), &booked, slot)).collect()
    };
    assert_eq!(unreserved(ModelKind::Rdm, [400, 350, 250]), [150, 200, 150, 550]);
    assert_eq!(unreserved(ModelKind::Mam, [600, 400, 250]), [150, 100, 150, 550]);
}

/// A request at setup 1 of 300 fits by the formula though only 150 are physically free: 150 or more must be preempted.
#[test]
fn te_classes_preempt_within_a_class() {
    let te_classes = vec![te(2, 0), te(1, 1), te(0, 2), te(0, 1)];
    let classes = vec![class(0, 40, 0, 0), class(1, 35, 0, 0), class(2, 25, 0, 0)];
    let mut link = Bench::new(Model::new(ModelKind::Rdm, classes, te_classes).unwrap(), 1_000);
    for (name, te_class, bandwidth) in [
        ("h", te(2, 0), 100),
        ("m", te(1, 1), 300),
        ("old", te(0, 2), 200),
        ("new", te(0, 2), 200),
        ("b", te(0, 1), 50),
    ] {
        assert_eq!(link.ask_at(name, te_class, bandwidth), Seen::Admit);
    }
    assert_eq!(link.ask_at("ask", te(0, 1), 300), preempts(&["new"]));
}

/// Junos' overbooking example: shares 40/30/20/10 and multipliers 8/4/2/1 reserve 800/240/60/10 under nested constraints.
#[test]
fn overbooking_multiplies_what_a_class_may_reserve() {
    let classes = [(0, 40, 8), (1, 30, 4), (2, 20, 2), (3, 10, 1)].map(|(number, percent, times)| ClassConfig {
        overbooking: Overbooking::from_ppm(times * PPM).unwrap(),
        ..class(number, percent, 0, 0)
    });
    let model = Model::new(ModelKind::Rdm, classes.to_vec(), vec![]).unwrap();
    let bounds = model.bounds(Bandwidth::from_bps(100).unwrap());
    let most: Vec<u64> = model.slots().iter().map(|slot| bounds.reach_bps(model.slots(), &[0; SLOTS], slot)).collect();
    assert_eq!(most, [800, 240, 60, 10]);
}

/// The authors' JUnit expectations on a link of 200, RDM and ATCS by constraints 100/70/40 %, MAM 30/30/40 %.
#[test]
fn the_authors_own_expectations() {
    let start = |kind| {
        let mut link = Bench::new(three(kind, [30, 30, 40]), 200);
        for (name, class, bandwidth) in [("h", 2, 80), ("m", 1, 40), ("l", 0, 20)] {
            assert_eq!(link.ask(name, class, bandwidth), Seen::Admit);
        }
        link
    };
    assert_eq!(start(ModelKind::Mam).ask("n", 2, 35), Seen::Block);
    assert_eq!(start(ModelKind::Mam).ask("n", 1, 25), Seen::Block);
    assert_eq!(start(ModelKind::Rdm).ask("n", 2, 40), Seen::Block);
    assert_eq!(start(ModelKind::Rdm).ask("n", 1, 25), Seen::Block);
    assert_eq!(start(ModelKind::Atcs).ask("n", 2, 20), Seen::Admit);
    assert_eq!(start(ModelKind::Atcs).ask("n", 1, 40), Seen::Admit);
    let mut rdm = start(ModelKind::Rdm);
    assert_eq!(rdm.ask("n", 0, 60), Seen::Admit);
    assert_eq!(rdm.ask("o", 1, 20), preempts(&["n"]));
}

/// RFC 4125 App. A.2: BC2 45 %, BC1 35 %, BC0 100 % of the link; preemption CT2 0, CT1 1, CT0 2.
#[test]
fn mam_constraints_may_sum_to_more_than_the_link() {
    let classes = || vec![class(0, 100, 0, 0), class(1, 35, 0, 0), class(2, 45, 0, 0)];
    for te_classes in [vec![], vec![te(2, 0), te(1, 1), te(0, 2)]] {
        let mut link = Bench::new(Model::new(ModelKind::Mam, classes(), te_classes).unwrap(), 100);
        link.fill("l", 10, 0, 10);
        assert_eq!(link.ask("l", 0, 1), Seen::Block);
        assert_eq!(link.ask("h", 2, 46), Seen::Block);
        assert_eq!(link.ask("h", 2, 45), preempts(&["l9", "l8", "l7", "l6", "l5"]));
        assert_eq!(link.ask("m", 1, 36), Seen::Block);
        assert_eq!(link.ask("m", 1, 35), preempts(&["l4", "l3", "l2"]));
        assert_eq!(link.used(), [20, 35, 45]);
        assert_eq!(link.ask("l", 0, 1), Seen::Block);
    }
    let more = Model::new(ModelKind::Rdm, classes(), vec![]);
    assert_eq!(more, Err(ModelError::SharesNotWhole { sum_ppm: 1_800_000 }));
}

/// A default priority follows the class into TE-classes; any other has to be configured there.
#[test]
fn default_priorities_have_a_counterpart_among_te_classes() {
    let before = three(ModelKind::Rdm, SHARES);
    let te_classes = vec![te(0, 3), te(0, 2), te(1, 1), te(2, 0)];
    let classes = vec![class(0, 40, 0, 0), class(1, 35, 0, 0), class(2, 25, 0, 0)];
    let now = Model::new(ModelKind::Rdm, classes, te_classes).unwrap();
    assert_eq!(now.counterpart(&before, te(0, 7)), Some(te(0, 3)));
    assert_eq!(now.counterpart(&before, te(0, 2)), Some(te(0, 2)));
    assert_eq!(now.counterpart(&before, te(1, 6)), Some(te(1, 1)));
    assert_eq!(now.counterpart(&before, te(1, 5)), None);
    assert_eq!(now.counterpart(&before, te(3, 4)), None);
    assert_eq!(before.counterpart(&now, te(0, 3)), Some(te(0, 3)));
}

#[test]
fn models_that_make_no_sense_are_refused() {
    let two = |a, b| vec![class(0, a, 0, 0), class(1, b, 0, 0)];
    assert_eq!(Model::new(ModelKind::Mam, vec![], vec![]), Err(ModelError::NoClasses));
    assert_eq!(Model::new(ModelKind::Mam, two(50, 40), vec![]), Err(ModelError::SharesNotWhole { sum_ppm: 900_000 }));
    let twice = vec![class(1, 50, 0, 0), class(1, 50, 0, 0)];
    assert_eq!(Model::new(ModelKind::Rdm, twice, vec![]), Err(ModelError::DuplicateClass(ClassType::new(1).unwrap())));
    let within = vec![te(0, 1), te(0, 2), te(1, 0)];
    assert!(matches!(Model::new(ModelKind::Atcs, two(50, 50), within), Err(ModelError::TeClassesNotByClass(_))));
    assert!(Model::new(ModelKind::Atcs, two(50, 50), vec![te(0, 1), te(1, 0)]).is_ok());
    assert_eq!(
        Model::new(ModelKind::Mam, two(50, 50), vec![te(0, 1)]),
        Err(ModelError::ClassWithoutTeClass(ClassType::new(1).unwrap()))
    );
}

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
}
