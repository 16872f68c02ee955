//! Moves to a path that is given.

use super::*;
use crate::command::NamedHop;
use crate::event::{Denial, PathObstacle};

const LINKS: [(&str, u64); 5] = [("a-b", 100), ("a-c", 100), ("c-b", 100), ("c-d", 100), ("d-b", 60)];

fn reroute(world: &mut World, id: AllocationId, path: &[&str]) -> Result<Event, Refusal> {
    world.decide(&Command::Reroute { id, path: path.iter().map(|link| name(link)).collect() })
}

#[test]
fn an_allocation_takes_the_path_that_is_given() {
    let mut world = World::new(&LINKS, model(ModelKind::Mam, &[100]));
    let (id, _) = world.admit(request("a", "b", 0, 60));
    for path in [vec!["a-c", "c-b"], vec!["a-c", "c-d", "d-b"], vec!["a-b"]] {
        let path: Vec<Name> = path.into_iter().map(name).collect();
        let event = world.must(Command::Reroute { id, path: path.clone() });
        assert!(matches!(event, Event::Resized { displaced, .. } if displaced.is_empty()));
        assert_eq!(world.path(id), path.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
}

#[test]
fn a_path_without_room_or_against_the_constraints_is_denied() {
    let mut world = World::new(&LINKS, model(ModelKind::Mam, &[100]));
    let (wide, _) = world.admit(request("a", "b", 0, 70));
    let exclude = vec![NamedHop::Node(name("d"))];
    let constraints = NamedConstraints { exclude, ..NamedConstraints::default() };
    let (narrow, _) = world.admit(Request { constraints, ..request("a", "b", 0, 10) });
    let why = |event| match event {
        Ok(Event::Denied { denial, .. }) => Some(denial),
        _ => None,
    };
    let full = why(reroute(&mut world, wide, &["a-c", "c-d", "d-b"]));
    assert!(
        matches!(full, Some(Denial::InsufficientBandwidth { largest_admissible, .. }) if largest_admissible.as_bps() == 60)
    );
    let no_path = Some(Denial::NoPath(PathObstacle::Route));
    assert_eq!(why(reroute(&mut world, narrow, &["a-c", "c-d", "d-b"])), no_path);
    // Not connected, not to the egress, without links.
    for path in [&["a-c", "d-b"][..], &["a-c"], &[]] {
        assert_eq!(why(reroute(&mut world, wide, path)), no_path, "{path:?}");
    }
    assert!(matches!(reroute(&mut world, wide, &["a-z"]), Err(Refusal::UnknownLink { .. })));
    assert!(matches!(reroute(&mut world, AllocationId(99), &["a-b"]), Err(Refusal::UnknownAllocation(_))));
    world.change("a-c", down());
    assert!(matches!(why(reroute(&mut world, narrow, &["a-c", "c-b"])), Some(Denial::InsufficientBandwidth { .. })));
}
