//! What happened to other allocations, as a document.

use super::annotation;
use api::effects::{Effects, Moved, Victim, VictimCause, VictimOutcome};
use kernel::Names;
use kernel::allocation::EndCause;
use kernel::annotation::AnnotationField;
use kernel::bam::Cause;
use kernel::event::{Displaced, DisplacedBy, Fate};

/// What an operation did to the allocations that left their paths.
pub(in crate::http) fn effects(displaced: &[Displaced], names: &Names) -> Effects {
    let mut effects = Effects::default();
    for gone in displaced {
        if let (DisplacedBy::Relocation, Fate::Rerouted(path)) = (gone.cause, &gone.fate) {
            let path = super::path(names, path);
            effects.moved.push(Moved { id: gone.id.to_string(), path });
            continue;
        }
        let victim = victim(gone, names);
        let list = match victim.outcome {
            VictimOutcome::Rerouted => &mut effects.rerouted,
            VictimOutcome::Unprotected => &mut effects.unprotected,
            VictimOutcome::Preempted => &mut effects.preempted,
            VictimOutcome::Devolved => &mut effects.devolved,
            VictimOutcome::Failed => &mut effects.failed,
        };
        list.push(victim.id.clone());
        effects.victims.push(victim);
    }
    effects
}

fn victim(gone: &Displaced, names: &Names) -> Victim {
    let outcome = match (&gone.fate, gone.cause) {
        (Fate::Rerouted(_), _) => VictimOutcome::Rerouted,
        (Fate::Unprotected, _) => VictimOutcome::Unprotected,
        (Fate::Ended(EndCause::Devolved), _) => VictimOutcome::Devolved,
        // Older events have an allocation without a path preempted, although no demand took its bandwidth.
        (Fate::Ended(EndCause::Failed), _) | (_, DisplacedBy::Link | DisplacedBy::Relocation) => VictimOutcome::Failed,
        (Fate::Ended(_), _) => VictimOutcome::Preempted,
    };
    Victim {
        id: gone.id.to_string(),
        name: annotation(&gone.annotations, AnnotationField::Name),
        customer: annotation(&gone.annotations, AnnotationField::Customer),
        cause: match gone.cause {
            DisplacedBy::Contention(Cause::Preempted) => VictimCause::Preempted,
            DisplacedBy::Contention(Cause::Devolved) => VictimCause::Devolved,
            DisplacedBy::Link | DisplacedBy::Relocation => VictimCause::Link,
        },
        outcome,
        path: match &gone.fate {
            Fate::Rerouted(path) => Some(super::path(names, path)),
            Fate::Unprotected | Fate::Ended(_) => None,
        },
    }
}
