//! Planned maintenance: what is placed on its links, what leaves them, and who would have no path.

use super::calendar::{Timeline, set_model};
use super::*;
use crate::id::Sequence;
use crate::refusal::Refusal;

/// Two ways from a to b, the short one first.
fn two_ways() -> Timeline {
    Timeline::new(&[("a-b", 100), ("a-c", 100), ("c-b", 100)], model(ModelKind::Mam, &[100]))
}

fn plan(links: &[&str], nodes: &[&str], from: u64, until: u64) -> Command {
    let names = |texts: &[&str]| texts.iter().map(|text| name(text)).collect();
    Command::PlanMaintenance {
        topology: name("net"),
        links: names(links),
        nodes: names(nodes),
        starts_at: Millis(from),
        ends_at: Millis(until),
        note: None,
    }
}

fn end(id: Sequence) -> Command {
    Command::EndMaintenance { topology: name("net"), id }
}

fn asked(bandwidth: u64, from: u64, until: u64) -> Request {
    let mut request = request("a", "b", 0, bandwidth);
    request.attributes.starts_at = (from > 0).then_some(Millis(from));
    request.attributes.expires_at = (until > 0).then_some(Millis(until));
    request
}

impl Timeline {
    fn hops(&mut self, request: Request) -> usize {
        match self.ask(request) {
            Event::Admitted { allocation, displaced } => {
                assert_eq!(displaced, []);
                allocation.path.len()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Its id, those that have another path because of it, and those that would have none.
    fn plan(&mut self, command: Command) -> (Sequence, Vec<u64>, Vec<u64>) {
        match self.run(command).unwrap() {
            Event::MaintenancePlanned { maintenance, displaced, stranded, .. } => {
                assert!(displaced.iter().all(|gone| matches!(gone.fate, Fate::Rerouted(_))), "{displaced:?}");
                let ids = displaced.iter().map(|gone| gone.id.0).collect();
                (maintenance.id, ids, stranded.iter().map(|id| id.0).collect())
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_has_a_time_is_not_placed_on_a_link_that_is_closed_then() {
    let mut line = two_ways();
    line.plan(plan(&["a-b"], &[], 100, 200));
    let hops = [
        (asked(1, 150, 160), 2),
        (asked(1, 50, 101), 2),
        (asked(1, 199, 300), 2),
        (asked(1, 50, 0), 2),
        (asked(1, 0, 150), 2),
        (asked(1, 50, 100), 1),
        (asked(1, 200, 300), 1),
        (asked(1, 0, 100), 1),
        (asked(1, 0, 0), 1),
    ];
    for (request, wanted) in hops {
        let attributes = request.attributes.clone();
        assert_eq!(line.hops(request), wanted, "{attributes:?}");
    }
}

#[test]
fn bookings_move_when_it_is_planned_and_who_would_have_no_path_is_named() {
    let mut line = two_ways();
    let id = |line: &Timeline| line.world.state.sequence().0;
    assert_eq!(line.hops(asked(60, 150, 160)), 1);
    let (first, _) = (id(&line), line.hops(asked(60, 300, 310)));
    let lasting = (line.hops(asked(40, 0, 0)), id(&line)).1;
    let (planned, moved, stranded) = line.plan(plan(&["a-b"], &[], 100, 200));
    assert_eq!((moved, stranded), (vec![first], vec![]), "there is room for both");
    assert_eq!(line.world.path(AllocationId(first)), ["a-c", "c-b"]);
    assert_eq!(line.world.path(AllocationId(lasting)), ["a-b"], "what is in force stays until it begins");
    // Nodes mean all of their links.
    let (_, moved, stranded) = line.plan(plan(&[], &["c"], 140, 170));
    assert_eq!((moved, stranded), (vec![], vec![first]), "there is no way left for it");
    let network = line.world.state.network("net").unwrap();
    assert_eq!(network.maintenances().len(), 2);
    let drained = LinkChange { state: Some(LinkState::Maintenance), until: Some(Millis(200)), ..LinkChange::default() };
    line.now = 90;
    let (displaced, stranded) = line.world.change("a-b", drained);
    assert_eq!((displaced.len(), stranded), (1, vec![]));
    assert_eq!(line.world.path(AllocationId(lasting)), ["a-c", "c-b"]);
    // What has begun is over now, and is forgotten then.
    line.now = 150;
    let cut = line.run(end(planned)).unwrap();
    let Event::MaintenancePlanned { maintenance, .. } = cut else { panic!("{cut:?}") };
    assert_eq!((maintenance.id, maintenance.ends_at), (planned, Millis(150)));
    assert!(line.run(end(planned)).is_err(), "its link is out of service yet");
    line.world.change("a-b", LinkChange { state: Some(LinkState::Up), ..LinkChange::default() });
    assert!(matches!(line.run(end(planned)), Ok(Event::MaintenanceEnded { id, .. }) if id == planned));
    assert!(matches!(line.run(end(planned)), Err(Refusal::UnknownMaintenance { .. })));
}

#[test]
fn plans_outlive_another_revision_and_another_model() {
    let mut line = two_ways();
    line.plan(plan(&["a-b"], &[], 100, 200));
    line.run(set_model(model(ModelKind::Rdm, &[60, 40]))).unwrap();
    let links = [("a-b", 100), ("a-c", 100), ("c-b", 100), ("b-d", 100)];
    let again = Command::PutTopology {
        name: name("net"),
        topology: Arc::new(topology(&links)),
        expected: Expected::Any,
        misfits: OnMisfit::Evict,
    };
    line.run(again).unwrap();
    assert_eq!((line.hops(asked(1, 150, 160)), line.hops(asked(1, 200, 210))), (2, 1));
}

#[test]
fn a_plan_that_cannot_be_is_refused_by_name() {
    let mut line = two_ways();
    line.now = 50;
    for (command, why) in [
        (plan(&["a-b", "x"], &[], 60, 70), "has no link 'x'"),
        (plan(&[], &["x"], 60, 70), "invalid nodes: topology 'net' has no node 'x'"),
        (plan(&["a-b"], &[], 10, 50), "invalid ends_at: it is not in the future"),
        (plan(&["a-b"], &[], 70, 70), "invalid ends_at: it is not after starts_at"),
        (end(Sequence(1)), "no maintenance 1 is planned"),
    ] {
        let refusal = line.run(command).unwrap_err().to_string();
        assert!(refusal.contains(why), "{refusal}");
    }
}
