//! A study says what really cutting the links, one command after the other, does to a copy of the state.

use std::collections::BTreeMap;

use super::*;
use crate::{AffectedList, FailureSet, GrowthStudy, Scenario, StudyLimits, StudyStop, scenarios, study_failures};
use kernel::command::LinkChange;
use kernel::event::Fate;
use kernel::id::AllocationId;

const UNLIMITED: StudyLimits = StudyLimits {
    scenarios_max: usize::MAX,
    listed_max: usize::MAX,
    listed_in_all_max: usize::MAX,
    work_max: u64::MAX,
};

fn cut(state: &State, scenario: &Scenario) -> State {
    let mut after = state.clone();
    for link in &scenario.links {
        let link = after.network("net").unwrap().topology().link(*link).unwrap().name.clone();
        let change = LinkChange { state: Some(LinkState::Down), ..LinkChange::default() };
        run(&mut after, &Command::ChangeLink { topology: named("net"), link, change });
    }
    after
}

fn fates(list: &AffectedList) -> BTreeMap<AllocationId, Option<Fate>> {
    assert_eq!(list.listed.len(), list.count);
    list.listed.iter().map(|one| (one.allocation.id, one.fate.clone())).collect()
}

/// Every scenario of a growth, against what becomes of `state` when its links are really cut.
fn compare(state: &State, set: FailureSet, growth: &GrowthStudy) {
    let network = state.network("net").unwrap();
    let expected = scenarios(network.topology(), set, usize::MAX).1;
    assert_eq!(
        growth.outcomes.iter().map(|outcome| &outcome.scenario).collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    let mut worst: Vec<u64> = network.topology().links().map(|(link, _)| utilisation_ppm(state, link)).collect();
    for outcome in &growth.outcomes {
        let after = cut(state, &outcome.scenario);
        let (mut rerouted, mut lost, mut kept) = (BTreeMap::new(), vec![], 0);
        for before in all(state) {
            match after.allocation(before.id) {
                None => lost.push(before.id),
                Some(now) if now.path == before.path => kept += 1,
                Some(now) => drop(rerouted.insert(before.id, Some(Fate::Rerouted(now.path.clone())))),
            }
        }
        assert_eq!(fates(&outcome.rerouted), rerouted);
        assert_eq!(fates(&outcome.lost).into_keys().collect::<Vec<_>>(), lost);
        assert_eq!(outcome.kept, kept);
        for (link, worst) in network.topology().links().map(|(link, _)| link).zip(&mut worst) {
            *worst = (*worst).max(utilisation_ppm(&after, link));
        }
    }
    assert_eq!(growth.links.iter().map(|link| link.worst_ppm).collect::<Vec<_>>(), worst);
    for (link, case) in network.topology().links().map(|(link, _)| link).zip(&growth.links) {
        assert_eq!(case.before_ppm, utilisation_ppm(state, link));
        let caused = case.scenario.map(|at| utilisation_ppm(&cut(state, &growth.outcomes[at].scenario), link));
        assert_eq!(caused.unwrap_or(case.before_ppm), case.worst_ppm);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_scenario_is_what_cutting_its_links_does(
        nodes in 4_u32..8,
        chords in prop::collection::vec((0_u32..8, 0_u32..8), 0..4),
        requests in prop::collection::vec((0_u32..8, 1_u32..7, 0_u8..3, 1_u64..500, prop::bool::weighted(0.2)), 1..40),
        down in prop::option::of(0_u32..4),
    ) {
        let mut state = network(nodes, &chords);
        for (ingress, further, class, bps, is_booking) in requests {
            let (ingress, further) = (ingress % nodes, 1 + further % (nodes - 1));
            let mut command = request(ingress, (ingress + further) % nodes, class, bps);
            if let (Command::Allocate(request), true) = (&mut command, is_booking) {
                request.attributes.starts_at = Some(Millis(1_000));
            }
            run(&mut state, &command);
        }
        if let Some(fibre) = down {
            state = cut(&state, &scenarios(state.network("net").unwrap().topology(), FailureSet::Links, usize::MAX).1[fibre as usize]);
        }
        for set in [FailureSet::Links, FailureSet::Nodes, FailureSet::Srlgs, FailureSet::Pairs] {
            let study = study_failures(&state, &named("net"), set, &[0, 250_000], UNLIMITED, || true).unwrap();
            prop_assert_eq!(study.stop, None);
            compare(&state, set, &study.growths[0]);
            let mut grown = state.clone();
            let mut unserved = vec![];
            for one in all(&state) {
                if grown.allocation(one.id).is_none() {
                    unserved.push(one.id);
                    continue;
                }
                let bandwidth = Bandwidth::saturating_from_bps((one.demand.bandwidth.as_bps() * 5).div_ceil(4));
                let grow = Command::resize(one.id, bandwidth);
                if matches!(run(&mut grown, &grow), Event::Denied { .. }) {
                    unserved.push(one.id);
                }
            }
            let ended = all(&state).into_iter().map(|one| one.id).filter(|id| grown.allocation(*id).is_none());
            unserved.extend(ended);
            unserved.sort_unstable();
            unserved.dedup();
            compare(&grown, set, &study.growths[1]);
            prop_assert_eq!(fates(&study.growths[1].unserved).into_keys().collect::<Vec<_>>(), unserved);
        }
    }
}

#[test]
fn a_node_takes_with_it_what_ends_there_and_the_first_break_is_the_least_growth() {
    let mut state = network(4, &[]);
    run(&mut state, &request(0, 1, 0, 400));
    run(&mut state, &request(2, 3, 0, 400));
    let study =
        |set, growths: &[u32], limits| study_failures(&state, &named("net"), set, growths, limits, || true).unwrap();
    let nodes = study(FailureSet::Nodes, &[0], UNLIMITED);
    let lost: Vec<_> = nodes.growths[0].outcomes.iter().map(|one| (one.lost.count, one.lost_with_node)).collect();
    assert_eq!(lost, [(1, 1), (1, 1), (1, 1), (1, 1)]);
    assert!(nodes.first_break().is_none());
    // Three times 400 bit/s do not fit on a link of 1,000.
    let links = study(FailureSet::Links, &[2_000_000, 500_000, 0], UNLIMITED);
    assert_eq!(links.first_break().map(|growth| growth.growth_ppm), Some(2_000_000));
    let limited = study(FailureSet::Links, &[0, 1], StudyLimits { scenarios_max: 5, ..UNLIMITED });
    assert_eq!((limited.stop, limited.growths.len()), (Some(StudyStop::Scenarios), 2));
    assert_eq!((limited.growths[0].outcomes.len(), limited.growths[1].outcomes.len()), (4, 1));
    let working = study(FailureSet::Links, &[0], StudyLimits { work_max: 1, ..UNLIMITED });
    assert_eq!((working.stop, working.growths[0].outcomes.len()), (Some(StudyStop::Work), 1));
    let late = study_failures(&state, &named("net"), FailureSet::Links, &[0], UNLIMITED, || false).unwrap();
    assert_eq!((late.stop, late.growths[0].outcomes.len()), (Some(StudyStop::Time), 0));
    let unlisted = study(FailureSet::Links, &[0], StudyLimits { listed_in_all_max: 1, ..UNLIMITED });
    let rerouted = unlisted.growths[0].outcomes.iter().map(|one| (one.rerouted.listed.len(), one.rerouted.count));
    assert_eq!(rerouted.filter(|counts| *counts != (0, 0)).collect::<Vec<_>>(), [(1, 1), (0, 1)]);
}
