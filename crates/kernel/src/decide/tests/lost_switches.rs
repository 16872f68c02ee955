//! Links at switches that a controller has lost: new paths pass by them where they can.

use super::calendar::Timeline;
use super::*;
use crate::controller::{DriverKind, RulesOnDelete};
use crate::intent::RuleSettings;

const LINKS: [(&str, u64); 6] = [("a-b", 100), ("b-d", 100), ("a-c", 100), ("c-d", 100), ("c-e", 100), ("e-d", 100)];

fn avoid(is_avoided: bool) -> LinkChange {
    LinkChange { is_avoided: Some(is_avoided), ..LinkChange::default() }
}

fn world(classes: &[u32]) -> World {
    World::new(&LINKS, model(ModelKind::Rdm, classes))
}

#[test]
fn new_paths_pass_by_and_standing_ones_stay() {
    let mut world = world(&[100]);
    let (first, _) = world.admit(request("a", "d", 0, 10));
    assert_eq!(world.path(first), ["a-b", "b-d"]);
    for link in ["a-b", "b-d"] {
        let (displaced, stranded) = world.change(link, avoid(true));
        assert_eq!((displaced.len(), stranded.len()), (0, 0));
    }
    assert_eq!(world.path(first), ["a-b", "b-d"]);
    let (second, _) = world.admit(request("a", "d", 0, 10));
    assert_eq!(world.path(second), ["a-c", "c-d"]);
    // A resize that its path takes stays on it; one that it does not take goes elsewhere.
    world.must(resize(first, 20));
    assert_eq!(world.path(first), ["a-b", "b-d"]);
    // Where no other path is, it is used all the same.
    let (third, _) = world.admit(request("a", "b", 0, 10));
    assert_eq!(world.path(third), ["a-b"]);
    let (wide, _) = world.admit(request("a", "d", 0, 80));
    assert_eq!(world.path(wide), ["a-c", "c-d"]);
    let (rest, _) = world.admit(request("a", "d", 0, 20));
    assert_eq!(world.path(rest), ["a-b", "b-d"]);
    for link in ["a-b", "b-d"] {
        world.change(link, avoid(false));
    }
    let (last, _) = world.admit(request("a", "d", 0, 10));
    assert_eq!(world.path(last), ["a-b", "b-d"]);
}

#[test]
fn what_loses_its_path_is_restored_past_them() {
    let mut world = world(&[100]);
    let (id, _) = world.admit(request("a", "d", 0, 10));
    world.change("c-d", avoid(true));
    world.change("a-b", down());
    assert_eq!(world.path(id), ["a-c", "c-e", "e-d"]);
}

#[test]
fn victims_are_taken_before_a_lost_switch_is_used() {
    let mut world = world(&[50, 50]);
    let constraints =
        NamedConstraints { exclude: vec![crate::command::NamedHop::Node(name("b"))], ..NamedConstraints::default() };
    let (low, _) = world.admit(Request { constraints, ..request("a", "d", 0, 100) });
    world.change("a-b", avoid(true));
    let (high, displaced) = world.admit(request("a", "d", 1, 40));
    assert_eq!(world.path(high)[0], "a-c");
    assert_eq!(displaced.iter().map(|gone| gone.id).collect::<Vec<_>>(), [low]);
}

#[test]
fn a_link_in_maintenance_is_not_drained_again_for_a_lost_switch() {
    let mut line = Timeline::new(&[("a-b", 100), ("a-c", 100), ("c-b", 100)], model(ModelKind::Mam, &[100]));
    let booking = line.book(0, 10, (300, 400));
    let until_200 =
        LinkChange { state: Some(LinkState::Maintenance), until: Some(Millis(200)), ..LinkChange::default() };
    for change in [until_200, avoid(true), avoid(false)] {
        let command = Command::ChangeLink { topology: name("net"), link: name("a-b"), change };
        let Event::LinkChanged { displaced, stranded, .. } = line.run(command).unwrap() else { panic!() };
        assert_eq!((displaced.len(), stranded.len()), (0, 0), "it starts after the maintenance");
    }
    assert_eq!(line.world.path(booking), ["a-b"]);
}

#[test]
fn no_switch_is_lost_to_a_controller_that_is_deleted() {
    let mut world = world(&[100]);
    let (controller, settings) = (name("c"), RuleSettings::default());
    let (driver, topology) = (DriverKind::Simulated, name("net"));
    world.must(Command::PutController { name: controller.clone(), driver, address: None, topology, settings });
    world.change("a-b", avoid(true));
    let (past, _) = world.admit(request("a", "d", 0, 10));
    assert_eq!(world.path(past), ["a-c", "c-d"]);
    world.must(Command::DeleteController { name: controller, rules: RulesOnDelete::Leave });
    let (after, _) = world.admit(request("a", "d", 0, 10));
    assert_eq!(world.path(after), ["a-b", "b-d"]);
}
