//! A plan's moves can be made in its order, do what it says, and its bound is below what any routing has.

use super::*;
use crate::lower_max_utilisation;
use kernel::audit::audit;
use kernel::command::NamedHop;

fn max_ppm(state: &State) -> u64 {
    let topology = Arc::clone(state.network("net").unwrap().topology());
    topology.links().map(|(link, _)| utilisation_ppm(state, link)).max().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_plan_can_be_made_and_does_what_it_says(
        nodes in 4_u32..8,
        chords in prop::collection::vec((0_u32..8, 0_u32..8), 0..5),
        requests in prop::collection::vec((0_u32..8, 1_u32..7, 0_u8..3, 1_u64..300), 1..40),
        moves_max in 0_usize..20,
    ) {
        let mut state = network(nodes, &chords);
        for (ingress, further, class, bps) in requests {
            let (ingress, further) = (ingress % nodes, 1 + further % (nodes - 1));
            run(&mut state, &request(ingress, (ingress + further) % nodes, class, bps));
        }
        let plan = lower_max_utilisation(&state, &named("net"), moves_max, || true).unwrap();
        prop_assert!(plan.moves.len() <= moves_max && !plan.is_cut_short);
        let (before, after) = plan.max_ppm();
        prop_assert_eq!(before, max_ppm(&state));
        prop_assert!(plan.bound_ppm <= after && after <= before);
        let mut moved = state.clone();
        let network = state.network("net").unwrap();
        for (step, command) in plan.moves.iter().zip(plan.commands(network, &named("net")).unwrap()) {
            let event = run(&mut moved, &command);
            prop_assert!(matches!(event, Event::Resized { .. }), "{:?}", event);
            prop_assert_eq!(audit(&moved), []);
            prop_assert_eq!(step.max_ppm, max_ppm(&moved));
        }
        let links: Vec<u64> = network.topology().links().map(|(link, _)| utilisation_ppm(&moved, link)).collect();
        prop_assert_eq!(plan.links.iter().map(|link| link.1).collect::<Vec<_>>(), links);
        prop_assert_eq!(all(&moved).len(), all(&state).len());
    }
}

#[test]
fn a_ring_is_balanced_to_its_bound() {
    // Between the ends of a diameter there are two ways of two links each.
    let mut state = network(4, &[]);
    for _ in 0..4 {
        let Command::Allocate(mut one) = request(0, 2, 0, 200) else { panic!() };
        one.constraints.exclude = vec![NamedHop::Node(named("n3"))];
        run(&mut state, &Command::Allocate(one));
    }
    let pinned = lower_max_utilisation(&state, &named("net"), 10, || true).unwrap();
    assert_eq!((pinned.moves.len(), pinned.max_ppm()), (0, (800_000, 800_000)));
    for allocation in all(&state) {
        // Where it is, it stays, and may go elsewhere from now on.
        let (id, path) = (allocation.id, path_names(&state, &allocation));
        let constraints = Some(Box::default());
        run(&mut state, &Command::Resize { id, bandwidth: None, constraints, annotations: vec![] });
        run(&mut state, &Command::Reroute { id, path });
    }
    assert_eq!(max_ppm(&state), 800_000);
    let plan = lower_max_utilisation(&state, &named("net"), 10, || true).unwrap();
    assert_eq!((plan.moves.len(), plan.max_ppm()), (2, (800_000, 400_000)));
    assert!((399_000..=400_000).contains(&plan.bound_ppm), "{}", plan.bound_ppm);
    let late = lower_max_utilisation(&state, &named("net"), 10, || false).unwrap();
    assert_eq!((late.moves.len(), late.is_cut_short, late.bound_ppm), (0, true, 0));
}

#[test]
fn what_is_booked_for_later_is_no_load() {
    let mut state = network(4, &[]);
    run(&mut state, &request(0, 2, 0, 100));
    let Command::Allocate(mut booking) = request(0, 2, 0, 800) else { panic!() };
    booking.attributes.starts_at = Some(Millis(1_000));
    run(&mut state, &Command::Allocate(booking));
    let plan = lower_max_utilisation(&state, &named("net"), 10, || true).unwrap();
    assert_eq!((plan.moves.len(), plan.max_ppm()), (0, (100_000, 100_000)));
    assert!(plan.bound_ppm <= 100_000, "{}", plan.bound_ppm);
}

fn path_names(state: &State, allocation: &Allocation) -> Vec<Name> {
    let topology = state.network("net").unwrap().topology();
    allocation.path.iter().map(|link| topology.link(*link).unwrap().name.clone()).collect()
}
