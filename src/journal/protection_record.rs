//! The stored form of protection: what was asked for, and what stands by.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{RecordDecodeError, RecordEncodeError};
use super::lookup::{NameLookup, NumberLookup};
use super::scalars::{DisjointnessWord, StoredName};
use kernel::allocation::{Protection, Recovery};
use kernel::id::LinkIx;

/// The second path that was asked for.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ProtectionRecord {
    /// What the two paths must not share.
    disjoint: DisjointnessWord,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    revertive: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    best_effort: bool,
}

impl ProtectionRecord {
    pub(super) fn of(protection: Protection) -> Self {
        let Protection { disjointness, is_shared, is_revertive, is_best_effort } = protection;
        let disjoint = disjointness.into();
        Self { disjoint, shared: is_shared, revertive: is_revertive, best_effort: is_best_effort }
    }

    pub(super) fn read(self) -> Protection {
        let Self { disjoint, shared: is_shared, revertive: is_revertive, best_effort: is_best_effort } = self;
        Protection { disjointness: disjoint.into(), is_shared, is_revertive, is_best_effort }
    }
}

/// What stands by for a working path; links are names, or numbers of the snapshot's topology.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(super) struct RecoveryRecord<L> {
    /// The links of the backup path.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<Vec<L>>,
    /// The links of the path to which traffic returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverts_to: Option<Vec<L>>,
}

impl RecoveryRecord<StoredName> {
    /// The links of the backup path, if there is one.
    pub(super) fn backup(&self) -> &[StoredName] {
        self.backup.as_deref().unwrap_or_default()
    }

    pub(super) fn of(recovery: &Recovery, lookup: &NameLookup<'_>) -> Result<Box<Self>, RecordEncodeError> {
        let links = |path: &Option<Arc<[LinkIx]>>| path.as_ref().map(|path| lookup.links(path)).transpose();
        Ok(Box::new(Self { backup: links(&recovery.backup)?, reverts_to: links(&recovery.reverts_to)? }))
    }

    pub(super) fn read(&self, lookup: &NumberLookup<'_>) -> Result<Option<Box<Recovery>>, RecordDecodeError> {
        let links = |path: &Option<Vec<StoredName>>| path.as_ref().map(|path| lookup.links(path)).transpose();
        Ok(Recovery::of(links(&self.backup)?, links(&self.reverts_to)?))
    }
}

impl RecoveryRecord<u32> {
    pub(super) fn numbered(recovery: &Recovery) -> Self {
        let links = |path: &Option<Arc<[LinkIx]>>| path.as_ref().map(|path| path.iter().map(|link| link.0).collect());
        Self { backup: links(&recovery.backup), reverts_to: links(&recovery.reverts_to) }
    }

    pub(super) fn read_numbers(self) -> Option<Box<Recovery>> {
        let links = |path: Option<Vec<u32>>| path.map(|path| path.into_iter().map(LinkIx).collect());
        Recovery::of(links(self.backup), links(self.reverts_to))
    }
}
