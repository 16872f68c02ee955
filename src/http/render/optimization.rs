//! Plans as documents.

use std::sync::Arc;

use super::{annotation, link_name};
use api::optimization::{LINKS_LISTED_MAX, OptimizationAnswer, OptimizedLink, PlannedMoveDocument};
use kernel::Names;
use kernel::annotation::AnnotationField;
use kernel::id::{LinkIx, Sequence};
use kernel::topology::Topology;
use optimizer::{OptimizationPlan, PlannedMove};

/// A plan made of the state after the event of this sequence number, which has no moves made.
pub(in crate::http) fn optimization_plan(
    sequence: Sequence,
    topology: &Arc<Topology>,
    plan: &OptimizationPlan,
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
    OptimizationAnswer {
        // The same state and request give the same plan.
        id: format!("{}-{}", sequence.0, plan.moves.len()),
        sequence: sequence.0,
        moves: plan.moves.iter().map(|step| planned_move(step, &names)).collect(),
        before_ppm,
        after_ppm,
        bound_ppm: plan.bound_ppm,
        links: links.collect(),
        links_left_out: changed.len().saturating_sub(LINKS_LISTED_MAX),
        cut_short: plan.is_cut_short,
        applied: false,
    }
}

fn planned_move(step: &PlannedMove, names: &Names) -> PlannedMoveDocument {
    let path = |path: &[LinkIx]| names.path(path).map(ToString::to_string).collect();
    let annotations = &step.allocation.demand.attributes.annotations;
    PlannedMoveDocument {
        id: step.allocation.id.to_string(),
        name: annotation(annotations, AnnotationField::Name),
        customer: annotation(annotations, AnnotationField::Customer),
        bandwidth_bps: step.allocation.demand.bandwidth.as_bps(),
        from: path(&step.allocation.path),
        to: path(&step.path),
        max_ppm: step.max_ppm,
    }
}
