//! A second path against the failure of the first, in the words of RFC 4427.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::path::DisjointName;
use crate::words::words;

/// A second path against the failure of the first: the two share no fate, and bandwidth is reserved for both. When the working
/// path fails, traffic goes over the backup path.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
#[schema(as = Protection)]
pub struct ProtectionDocument {
    /// Whose the bandwidth of the backup path is.
    pub kind: ProtectionKind,
    /// What the two paths must not share.
    #[serde(default = "link")]
    #[schema(default = "link", required = false)]
    pub disjoint: DisjointName,
    /// Whether traffic returns to the working path, make-before-break, when that is whole again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub revertive: bool,
    /// Whether the request is admitted on one path where no two carry it, and gets its backup path when one can be had.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub best_effort: bool,
}

fn link() -> DisjointName {
    DisjointName::Link
}

words! {
    /// Whose the bandwidth of a backup path is.
    ProtectionKind {
        /// The allocation's own.
        Dedicated "dedicated"
        /// Shared with backup paths that no failure of a link, node or risk group needs at the same time. Not with a start or
        /// an end.
        Shared "shared"
    }
}
