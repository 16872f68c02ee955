//! AllocTC-Sharing: a preset of G-BAM in which every class lends all it has, both ways.

use crate::units::Share;

/// (high to low, low to high).
pub(super) const LOANS: (Share, Share) = (Share::WHOLE, Share::WHOLE);
