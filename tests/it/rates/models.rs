//! What aggregators get under each bandwidth model, on one link of 1 Mbit/s with shares of 25, 35 and 40 %.

use std::sync::Arc;

use kernel::bam::{ClassConfig, Model, ModelKind};
use kernel::class::ClassType;
use kernel::command::{Command, Expected, ModelChange};
use kernel::path::Metric;
use kernel::policy::BandwidthModel;
use kernel::units::{Overbooking, Share};

use super::dispatch::{World, settings};
use crate::kernel::{name, request};

const AGGREGATORS: [&str; 3] = ["g1", "g2", "g3"];

fn world(kind: ModelKind) -> World {
    let mut world = World::new(&[("a-b", 1_000_000)], settings());
    set_model(&mut world, model(kind));
    world
}

pub(super) fn model(kind: ModelKind) -> BandwidthModel {
    let class = |(class, ppm): (u8, u32)| ClassConfig {
        class_type: ClassType::new(class).unwrap(),
        share: Share::from_ppm(ppm).unwrap(),
        high_to_low: Share::from_ppm(500_000).unwrap(),
        low_to_high: Share::from_ppm(250_000).unwrap(),
        overbooking: Overbooking::NONE,
    };
    let classes = (0..).zip([250_000, 350_000, 400_000]).map(class).collect();
    BandwidthModel::uniform(Model::new(kind, classes, vec![]).unwrap())
}

pub(super) fn set_model(world: &mut World, model: BandwidthModel) {
    world.carry_out(&Command::SetModel {
        topology: name("net"),
        model: Arc::new(model),
        expected: Expected::Any,
        switch: ModelChange::Soft,
    });
}

#[test]
fn aggregators_share_a_level_evenly_under_every_model() {
    for (kind, each) in
        [(ModelKind::Mam, 133_333), (ModelKind::Rdm, 133_333), (ModelKind::Gbam, 183_333), (ModelKind::Atcs, 333_333)]
    {
        let mut world = world(kind);
        for id in AGGREGATORS {
            let metadata = world.metadata("a", &[(2, 900_000, "b")]);
            world.report(id, metadata).unwrap();
        }
        world.pass(5_000);
        world.check(&AGGREGATORS);
        let rates = AGGREGATORS.map(|id| world.rate(id, 2));
        let is_near = |bps: &u64| (each - each / 20..=each).contains(bps);
        assert!(rates.iter().all(is_near), "{kind:?}: {rates:?} instead of {each} each");
    }
}

#[test]
fn an_own_share_is_taken_back_from_background_traffic() {
    for kind in [ModelKind::Rdm, ModelKind::Atcs] {
        let mut world = world(kind);
        for _ in 0..10 {
            world.carry_out(&Command::Allocate(Box::new(request("a", "b", 0, 100_000))));
        }
        let metadata = world.metadata("a", &[(2, 300_000, "b")]);
        world.report("g1", metadata).unwrap();
        world.check(&["g1"]);
        assert!(world.rate("g1", 2) >= 290_000, "{kind:?}: {}", world.rate("g1", 2));
    }
}

#[test]
fn a_flow_goes_where_there_is_room_whatever_paths_minimise() {
    for metric in [Metric::Te, Metric::Hops, Metric::Congestion] {
        let mut world = World::new(&[("a-b", 1_000_000), ("a-c", 1_000_000), ("c-b", 1_000_000)], settings());
        let mut model = model(ModelKind::Atcs);
        model.policy.path_metric = metric;
        set_model(&mut world, model);
        let background = Command::Allocate(Box::new(request("a", "b", 2, 1_000_000)));
        world.carry_out(&background);
        let metadata = world.metadata("a", &[(2, 100_000, "b")]);
        world.report("g1", metadata).unwrap();
        world.check(&["g1"]);
        assert!(world.rate("g1", 2) >= 100_000, "{metric:?}: {}", world.rate("g1", 2));
    }
}
