//! How the packets of a flow get onto a path: by the path's own rules at the ingress, or by those of the oldest of the paths
//! among which the scheduler divides the flow. That one's rules then send them to a group of type select with a bucket for
//! each path.
//!
//! What must stay true: the weights follow from the bandwidths, and so coarsely that few of their changes change the group.

use super::action::Action;
use super::group::Bucket;
use crate::id::AllocationId;
use crate::units::Bandwidth;

/// The sum of the weights of a split, but for rounding.
const WEIGHTS: u128 = 64;

/// How packets get onto a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// By its own rules.
    Own {
        /// How many older flows stand above that of the path.
        older: u16,
        /// All the paths of its flow, itself among them; none where it is the only one.
        parts: Vec<Part>,
    },
    /// By those of the path of this older allocation.
    By(AllocationId),
}

/// One of the paths of a split flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Part {
    /// What is reserved on it.
    pub(super) bandwidth: Bandwidth,
    /// What the ingress does with its packets.
    pub(super) actions: Vec<Action>,
}

impl Entry {
    /// What the meter at the ingress lets through, where it is of a path with this reservation; `None`: the path has no meter.
    pub(super) fn metered(&self, own: Bandwidth) -> Option<Bandwidth> {
        match self {
            Self::Own { parts, .. } if parts.is_empty() => Some(own),
            Self::Own { parts, .. } => Some(sum(parts)),
            Self::By(_) => None,
        }
    }

    /// The buckets of the group, where there is one.
    pub(super) fn buckets(&self) -> Option<Vec<Bucket>> {
        let Self::Own { parts, .. } = self else { return None };
        let all = u128::from(sum(parts).as_bps()).max(1);
        let weight = |part: &Part| {
            let share = (u128::from(part.bandwidth.as_bps()) * WEIGHTS + all / 2) / all;
            u16::try_from(share).unwrap_or(u16::MAX).max(1)
        };
        let bucket = |part: &Part| Bucket { weight: weight(part), actions: part.actions.clone() };
        (!parts.is_empty()).then(|| parts.iter().map(bucket).collect())
    }
}

fn sum(parts: &[Part]) -> Bandwidth {
    Bandwidth::saturating_from_bps(parts.iter().fold(0, |sum, part| part.bandwidth.as_bps().saturating_add(sum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(bps: &[u64]) -> Entry {
        let part = |bps: &u64| Part { bandwidth: Bandwidth::saturating_from_bps(*bps), actions: vec![] };
        Entry::Own { older: 0, parts: bps.iter().map(part).collect() }
    }

    #[test]
    fn weights_are_shares_of_64() {
        let weights = |bps: &[u64]| own(bps).buckets().unwrap().iter().map(|bucket| bucket.weight).collect::<Vec<_>>();
        assert_eq!(weights(&[2_000_000, 1_000_000]), [43, 21]);
        assert_eq!(weights(&[2_010_000, 1_000_000]), [43, 21], "a waver changes none");
        assert_eq!(weights(&[1, u64::MAX]), [1, 64], "each has one");
        assert_eq!(own(&[]).buckets(), None);
    }

    #[test]
    fn a_meter_lets_the_sum_through() {
        let bandwidth = Bandwidth::saturating_from_bps;
        assert_eq!(own(&[]).metered(bandwidth(5)), Some(bandwidth(5)));
        assert_eq!(own(&[5, 7]).metered(bandwidth(5)), Some(bandwidth(12)));
        assert_eq!(Entry::By(AllocationId(1)).metered(bandwidth(5)), None);
    }
}
