//! What happened to other allocations, as a document.

use crate::app::record::{CauseWord, DisplacedRecord, FateWord};
use crate::app::scalars::{EndWord, StoredName};
use api::effects::{Effects, Victim, VictimCause, VictimOutcome};

/// What an operation did to the allocations that left their paths.
pub(in crate::http) fn effects(displaced: &[DisplacedRecord]) -> Effects {
    let mut effects = Effects::default();
    for record in displaced {
        let victim = victim(record);
        let list = match victim.outcome {
            VictimOutcome::Rerouted => &mut effects.rerouted,
            VictimOutcome::Preempted => &mut effects.preempted,
            VictimOutcome::Devolved => &mut effects.devolved,
            VictimOutcome::Failed => &mut effects.failed,
        };
        list.push(victim.id.clone());
        effects.victims.push(victim);
    }
    effects
}

fn victim(record: &DisplacedRecord) -> Victim {
    Victim {
        id: record.id.to_string(),
        cause: match record.cause {
            CauseWord::Preempted => VictimCause::Preempted,
            CauseWord::Devolved => VictimCause::Devolved,
            CauseWord::Link => VictimCause::Link,
        },
        outcome: match (record.fate, record.cause) {
            (FateWord::Rerouted, _) => VictimOutcome::Rerouted,
            (FateWord::Ended(EndWord::Devolved), _) => VictimOutcome::Devolved,
            // Older events have an allocation without a path preempted, although no demand took its bandwidth.
            (FateWord::Ended(EndWord::Failed), _) | (_, CauseWord::Link) => VictimOutcome::Failed,
            (FateWord::Ended(_), _) => VictimOutcome::Preempted,
        },
        path: record.path.as_ref().map(|path| path.iter().map(StoredName::to_string).collect()),
    }
}
