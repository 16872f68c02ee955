//! Two directions as one: booked on the same links back, admitted, moved and released together.

use super::protection::PROTECTION;
use super::*;
use crate::allocation::Protection;
use crate::event::{Denial, DisplacedBy};
use crate::id::LinkIx;

/// Each a link of this name and one back, `b-a` of `a-b`, with their capacities.
fn both_ways(links: &[(&str, u64, u64)]) -> Topology {
    let back = |text: &str| text.split_once('-').map(|(from, to)| format!("{to}-{from}")).unwrap();
    let names: Vec<(String, u64)> = links
        .iter()
        .flat_map(|(text, there, back_bps)| [((*text).to_owned(), *there), (back(text), *back_bps)])
        .collect();
    let plain = topology(&names.iter().map(|(text, bps)| (text.as_str(), *bps)).collect::<Vec<_>>());
    let by_name = |text: &str| plain.link(plain.link_named(text).unwrap()).unwrap().clone();
    let twin = |at: usize| Some(LinkIx(u32::try_from(at ^ 1).unwrap()));
    let links = names.iter().enumerate().map(|(at, (text, _))| Link { twin: twin(at), ..by_name(text) }).collect();
    Topology::new(plain.nodes().map(|(_, node)| node.clone()).collect(), links).unwrap()
}

fn world(links: &[(&str, u64, u64)]) -> World {
    let mut world = World::new(&[("a-b", 1)], model(ModelKind::Mam, &[100]));
    let (topology, expected) = (Arc::new(both_ways(links)), Expected::Any);
    world.must(Command::PutTopology { name: name("net"), topology, expected, misfits: OnMisfit::Refuse });
    world
}

fn both(request: Request) -> Request {
    let mut request = request;
    request.attributes.is_bidirectional = true;
    request
}

fn booked(world: &World, links: &[&str]) -> Vec<u64> {
    let network = world.state.network("net").unwrap();
    let on = |link: &&str| network.ledger().booked(network.topology().link_named(link).unwrap()).iter().sum();
    links.iter().map(on).collect()
}

#[test]
fn what_is_asked_in_both_directions_is_booked_and_given_back_in_both() {
    let mut world = world(&[("a-b", 100, 100), ("b-c", 100, 100)]);
    let links = ["a-b", "b-a", "b-c", "c-b"];
    let (id, _) = world.admit(both(request("a", "c", 0, 60)));
    assert_eq!((world.path(id), booked(&world, &links)), (vec!["a-b".into(), "b-c".into()], vec![60; 4]));
    assert!(!world.is_admissible(request("c", "b", 0, 41)) && world.is_admissible(request("c", "b", 0, 40)));
    world.must(resize(id, 90));
    assert_eq!(booked(&world, &links), [90; 4]);
    world.must(Command::Release { id });
    assert_eq!(booked(&world, &links), [0; 4]);
}

#[test]
fn the_narrower_direction_decides_and_is_named() {
    let mut world = world(&[("a-b", 100, 50), ("a-c", 100, 100), ("c-b", 100, 100)]);
    let (id, _) = world.admit(both(request("a", "b", 0, 60)));
    assert_eq!(world.path(id), ["a-c", "c-b"], "there is no room on the way back of the shorter one");
    let Event::Denied { denial, .. } = world.ask(both(request("a", "b", 0, 60))) else { panic!() };
    let Denial::InsufficientBandwidth { largest_admissible, .. } = denial else { panic!("{denial:?}") };
    assert_eq!(largest_admissible.as_bps(), 50);
}

#[test]
fn a_link_without_another_direction_has_no_room() {
    let mut world = World::new(&[("a-b", 100)], model(ModelKind::Mam, &[100]));
    let Event::Denied { denial, .. } = world.ask(both(request("a", "b", 0, 1))) else { panic!() };
    let Denial::InsufficientBandwidth { binding, largest_admissible } = denial else { panic!("{denial:?}") };
    assert_eq!((binding.len(), binding[0].available.as_bps(), largest_admissible.as_bps()), (1, 0, 0));
}

#[test]
fn a_cut_of_one_direction_moves_both() {
    let mut world = world(&[("a-b", 100, 100), ("a-c", 100, 100), ("c-b", 100, 100)]);
    let (id, _) = world.admit(both(request("a", "b", 0, 60)));
    let (displaced, _) = world.change("b-a", down());
    assert!(matches!((&displaced[0].fate, displaced[0].cause), (Fate::Rerouted(_), DisplacedBy::Link)));
    assert_eq!(world.path(id), ["a-c", "c-b"]);
    assert_eq!(booked(&world, &["a-b", "b-a", "a-c", "c-a", "c-b", "b-c"]), [0, 0, 60, 60, 60, 60]);
}

#[test]
fn a_backup_path_stands_by_in_both_directions() {
    let links = ["a-b", "b-a", "a-c", "c-a", "c-b", "b-c"];
    for is_shared in [false, true] {
        let mut world = world(&[("a-b", 100, 100), ("a-c", 100, 100), ("c-b", 100, 100)]);
        let mut asked = both(request("a", "b", 0, 60));
        asked.attributes.protection = Some(Protection { is_shared, ..PROTECTION });
        let (id, _) = world.admit(asked);
        assert_eq!(booked(&world, &links), [60; 6]);
        world.change("b-a", down());
        assert_eq!(
            (world.path(id), booked(&world, &links)),
            (vec!["a-c".into(), "c-b".into()], vec![0, 0, 60, 60, 60, 60])
        );
    }
}

#[test]
fn a_booking_in_both_directions_has_room_back_at_its_time() {
    let mut world = world(&[("a-b", 100, 100)]);
    let at = |mut request: Request, from: u64, to: u64| {
        request.attributes.starts_at = Some(Millis(from));
        request.attributes.expires_at = Some(Millis(to));
        request
    };
    let (id, _) = world.admit(at(both(request("a", "b", 0, 60)), 10, 20));
    assert!(!world.is_admissible(at(request("b", "a", 0, 60), 15, 25)));
    assert!(world.is_admissible(at(request("b", "a", 0, 60), 20, 25)));
    world.must(Command::Release { id });
    assert!(world.is_admissible(at(request("b", "a", 0, 60), 15, 25)));
}
