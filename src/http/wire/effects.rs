//! Who had to leave their path for something.

use serde::Serialize;
use utoipa::ToSchema;

use crate::app::record::{CauseWord, DisplacedRecord, FateWord};
use crate::app::scalars::{EndWord, StoredAllocationId, StoredName};

/// What something does to allocations that were there.
#[derive(Serialize, ToSchema)]
pub(crate) struct Effects<'a> {
    /// Those ended because a lower class took back what it had lent.
    #[schema(value_type = Vec<String>)]
    devolved: Vec<StoredAllocationId>,
    /// Those ended because a higher class or better priority needs their bandwidth, or because their path broke and there
    /// is no other.
    #[schema(value_type = Vec<String>)]
    preempted: Vec<StoredAllocationId>,
    /// Those that go another way now.
    #[schema(value_type = Vec<String>)]
    rerouted: Vec<StoredAllocationId>,
    /// All of them, in order, with what made them leave.
    victims: Vec<Victim<'a>>,
}

/// Somebody who had to leave their path.
#[derive(Serialize, ToSchema)]
pub(crate) struct Victim<'a> {
    /// Which allocation.
    #[schema(value_type = String)]
    id: StoredAllocationId,
    /// What made it leave: another's demand (`preempted`), a loan called in (`devolved`), or the network (`link`).
    #[schema(value_type = VictimCause)]
    cause: CauseWord,
    /// What became of it.
    #[schema(value_type = VictimOutcome)]
    outcome: FateWord,
    /// Its new path, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<String>, required = false)]
    path: Option<&'a [StoredName]>,
}

/// What made an allocation leave its path.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands for the stored word, in the OpenAPI document")]
enum VictimCause {
    Preempted,
    Devolved,
    Link,
}

/// What became of an allocation that left its path.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands for the stored word, in the OpenAPI document")]
enum VictimOutcome {
    Rerouted,
    Preempted,
    Devolved,
    Failed,
}

impl<'a> Effects<'a> {
    /// Of those displaced.
    pub(crate) fn of(displaced: &'a [DisplacedRecord]) -> Self {
        let mut effects = Self { devolved: vec![], preempted: vec![], rerouted: vec![], victims: vec![] };
        for gone in displaced {
            match gone.fate {
                FateWord::Rerouted => effects.rerouted.push(gone.id),
                FateWord::Ended(EndWord::Devolved) => effects.devolved.push(gone.id),
                FateWord::Ended(_) => effects.preempted.push(gone.id),
            }
            let path = gone.path.as_deref();
            effects.victims.push(Victim { id: gone.id, cause: gone.cause, outcome: gone.fate, path });
        }
        effects
    }
}
