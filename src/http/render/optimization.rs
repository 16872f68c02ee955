//! Plans as documents.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{annotation, link_name};
use api::optimization::{
    BoundOrigin, LINKS_LISTED_MAX, ObjectiveName, ObjectiveUnit, ObjectiveValue, OptimizationAnswer, OptimizedLink,
    PlannedMoveDocument,
};
use kernel::annotation::AnnotationField;
use kernel::id::{LinkIx, Sequence};
use kernel::topology::Topology;
use kernel::{Command, Names};
use optimizer::{BoundSource, Objective, OptimizationPlan, PlannedStep};

/// A plan made of the state after the event of this sequence number, no step of which has been made.
pub(in crate::http) fn optimization_plan(
    sequence: Sequence,
    topology: &Arc<Topology>,
    objective: Objective,
    plan: &OptimizationPlan,
    commands: &[Command],
) -> OptimizationAnswer {
    let names = Names::of(topology);
    let changed = (0..).map(LinkIx).zip(&plan.links).filter(|(_, (before, after))| before != after);
    let mut changed: Vec<_> = changed.collect();
    // Stable: of equals the first in the topology stays first.
    changed.sort_by_key(|(_, (_, after))| std::cmp::Reverse(*after));
    let links = changed.iter().take(LINKS_LISTED_MAX).map(|(link, (before_ppm, after_ppm))| OptimizedLink {
        link: link_name(&names, *link),
        before_ppm: *before_ppm,
        after_ppm: *after_ppm,
    });
    let (before_ppm, after_ppm) = plan.max_ppm();
    let (name, unit) = objective_words(objective);
    let mut answer = OptimizationAnswer {
        id: String::new(),
        sequence: sequence.0,
        objective: name,
        moves: plan.steps.iter().map(|step| planned_step(step, &names)).collect(),
        moves_done: 0,
        conflict: None,
        value: ObjectiveValue {
            unit,
            before: plan.value.0,
            after: plan.value.1,
            bound: plan.bound.value,
            bound_from: match plan.bound.source {
                BoundSource::LinearProgram => BoundOrigin::LinearProgram,
                BoundSource::LinkPrices => BoundOrigin::LinkPrices,
                BoundSource::ShortestPaths => BoundOrigin::ShortestPaths,
            },
            reached_ppm: plan.reached_ppm(objective),
        },
        before_ppm,
        after_ppm,
        links: links.collect(),
        links_left_out: changed.len().saturating_sub(LINKS_LISTED_MAX),
        cut_short: plan.is_cut_short,
        applied: plan.steps.is_empty(),
    };
    answer.id = id(&answer, commands);
    answer
}

/// The same steps after the same event are the same plan, whichever replica made it. Of a request the commands say what the
/// steps do not show.
fn id(answer: &OptimizationAnswer, commands: &[Command]) -> String {
    let digest = Sha256::new()
        .chain_update(serde_json::to_vec(answer).unwrap_or_default())
        .chain_update(format!("{commands:?}"))
        .finalize();
    let start: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{start}", answer.sequence)
}

fn objective_words(objective: Objective) -> (ObjectiveName, ObjectiveUnit) {
    match objective {
        Objective::MaxUtilisation => (ObjectiveName::MaxUtilisation, ObjectiveUnit::Ppm),
        Objective::TotalCost => (ObjectiveName::TotalCost, ObjectiveUnit::MetricBps),
        Objective::AdmitAll => (ObjectiveName::AdmitAll, ObjectiveUnit::Bps),
        Objective::MaxMin => (ObjectiveName::MaxMin, ObjectiveUnit::Bps),
    }
}

fn planned_step(step: &PlannedStep, names: &Names) -> PlannedMoveDocument {
    let path = |path: &[LinkIx]| names.path(path).map(ToString::to_string).collect();
    let annotations = &step.allocation.demand.attributes.annotations;
    let is_move = step.request.is_none();
    PlannedMoveDocument {
        id: is_move.then(|| step.allocation.id.to_string()),
        request: step.request,
        name: annotation(annotations, AnnotationField::Name),
        customer: annotation(annotations, AnnotationField::Customer),
        bandwidth_bps: step.allocation.demand.bandwidth.as_bps(),
        from: if is_move { path(&step.allocation.path) } else { vec![] },
        to: path(&step.path),
        max_ppm: step.max_ppm,
        value: step.value,
    }
}
