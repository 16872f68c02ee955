//! Failure studies as documents.

use std::sync::Arc;

use super::{annotation, link_name, node};
use api::effects::VictimOutcome;
use api::failure_study::{
    AffectedAllocation, AffectedAllocations, FailureStudyAnswer, GrowthDocument, LINKS_LISTED_MAX, ScenarioDocument,
    StudyStopName, SubjectDocument, WorstCaseDocument,
};
use kernel::Names;
use kernel::allocation::EndCause;
use kernel::annotation::AnnotationField;
use kernel::event::Fate;
use kernel::id::{LinkIx, Sequence};
use kernel::topology::Topology;
use optimizer::{Affected, AffectedList, FailureStudy, GrowthStudy, Scenario, ScenarioOutcome, StudyStop, Subject};

/// A study of `growths_asked` growths, made of the state after the event of this sequence number.
pub(in crate::http) fn failure_study(
    sequence: Sequence,
    topology: &Arc<Topology>,
    study: &FailureStudy,
    growths_asked: usize,
) -> FailureStudyAnswer {
    let names = Names::of(topology);
    let studied: usize = study.growths.iter().map(|growth| growth.outcomes.len()).sum();
    FailureStudyAnswer {
        sequence: sequence.0,
        scenario_count: study.scenario_count,
        scenarios_left_out: study.scenario_count.saturating_mul(growths_asked).saturating_sub(studied),
        stopped_by: study.stop.map(|stop| match stop {
            StudyStop::Scenarios => StudyStopName::Scenarios,
            StudyStop::Work => StudyStopName::Work,
            StudyStop::Time => StudyStopName::Time,
        }),
        first_break_ppm: study.first_break().map(|growth| growth.growth_ppm),
        growths: study.growths.iter().map(|growth| growth_document(growth, &names)).collect(),
    }
}

fn growth_document(growth: &GrowthStudy, names: &Names) -> GrowthDocument {
    let mut worst: Vec<_> = (0..).map(LinkIx).zip(&growth.links).collect();
    // Stable: of equals the first in the topology stays first.
    worst.sort_by_key(|(_, case)| std::cmp::Reverse(case.worst_ppm));
    let links = worst.iter().take(LINKS_LISTED_MAX).map(|(link, case)| WorstCaseDocument {
        link: link_name(names, *link),
        before_ppm: case.before_ppm,
        worst_ppm: case.worst_ppm,
        cause: case.scenario.and_then(|at| growth.outcomes.get(at)).map(|outcome| subject(&outcome.scenario, names)),
    });
    GrowthDocument {
        growth_ppm: growth.growth_ppm,
        breaks: growth.breaks(),
        unserved: affected_list(&growth.unserved, names),
        scenarios: growth.outcomes.iter().map(|outcome| scenario(outcome, names)).collect(),
        links: links.collect(),
        links_left_out: worst.len().saturating_sub(LINKS_LISTED_MAX),
    }
}

fn scenario(outcome: &ScenarioOutcome, names: &Names) -> ScenarioDocument {
    ScenarioDocument {
        subject: subject(&outcome.scenario, names),
        kept: outcome.kept,
        rerouted: affected_list(&outcome.rerouted, names),
        lost: affected_list(&outcome.lost, names),
        lost_with_node: outcome.lost_with_node,
        unprotected: outcome.unprotected,
    }
}

fn subject(scenario: &Scenario, names: &Names) -> SubjectDocument {
    let (node, srlg) = match scenario.subject {
        Subject::Node(ix) => (Some(node(names, ix)), None),
        Subject::Srlg(group) => (None, Some(group)),
        Subject::Link(_) | Subject::Pair(..) => (None, None),
    };
    SubjectDocument { links: scenario.links.iter().map(|link| link_name(names, *link)).collect(), node, srlg }
}

fn affected_list(list: &AffectedList, names: &Names) -> AffectedAllocations {
    AffectedAllocations {
        count: list.count,
        bandwidth_bps: list.bandwidth_bps,
        allocations: list.listed.iter().map(|one| affected(one, names)).collect(),
    }
}

fn affected(one: &Affected, names: &Names) -> AffectedAllocation {
    let annotations = &one.allocation.demand.attributes.annotations;
    AffectedAllocation {
        id: one.allocation.id.to_string(),
        name: annotation(annotations, AnnotationField::Name),
        customer: annotation(annotations, AnnotationField::Customer),
        bandwidth_bps: one.allocation.demand.bandwidth.as_bps(),
        outcome: one.fate.as_ref().map(|fate| match fate {
            Fate::Rerouted(_) => VictimOutcome::Rerouted,
            Fate::Unprotected => VictimOutcome::Unprotected,
            Fate::Ended(EndCause::Preempted) => VictimOutcome::Preempted,
            Fate::Ended(EndCause::Devolved) => VictimOutcome::Devolved,
            Fate::Ended(_) => VictimOutcome::Failed,
        }),
        path: match &one.fate {
            Some(Fate::Rerouted(path)) => Some(super::path(names, path)),
            _ => None,
        },
    }
}
