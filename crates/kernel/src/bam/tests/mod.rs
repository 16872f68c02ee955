//! The worked examples of the literature on one link, and RFC vectors.

use super::*;
use crate::class::TeClass;
use crate::units::{PPM, Share};

mod naive_reference;
mod te_classes;

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
    let limits: Vec<u64> = gbam::limits(&link.bounds, &link.booked)[..3].to_vec();
    assert_eq!(limits, [435_400, 357_650, 272_125]);
    let of_class = |class| link.bounds.constraint_bps(ModelKind::Gbam, ClassType::new(class).unwrap());
    assert_eq!([of_class(0), of_class(1), of_class(2)].as_slice(), limits);
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

/// CT2 borrows 150 of the 450 that CT0 and CT1 leave. A link may come to hold more than all classes have together.
#[test]
fn loans_come_out_of_all_spare_shares_in_proportion() {
    let model = three(ModelKind::Atcs, SHARES);
    let bounds = model.bounds(Bandwidth::from_bps(1_000).unwrap());
    let loans = |booked: [u64; 3]| {
        let booked = std::array::from_fn(|at| booked.get(at).copied().unwrap_or(0));
        [0, 1, 2].map(|class| bounds.loans_bps(model.slots(), &booked, ClassType::new(class).unwrap()))
    };
    assert_eq!(loans([100, 200, 400]), [(0, 100), (0, 50), (150, 0)]);
    assert_eq!(loans([400, 350, 250]), [(0, 0); 3]);
    assert_eq!(loans([400, 350, 300]), [(0, 0), (0, 0), (50, 0)]);
    assert_eq!(loans([0, 0, 1_250]), [(0, 400), (0, 350), (1_000, 0)]);
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
