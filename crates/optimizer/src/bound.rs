//! A value that no plan is better than, and where it comes from; the best of several.

/// The bound is taken for the optimum when the master problem is no farther from it than this part.
const GAP_MAX: f64 = 1e-4;

/// Where a bound comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BoundSource {
    /// The optimum of the linear program.
    LinearProgram,
    /// Prices of links that are not the best ones: the program was too large, or the time was over.
    LinkPrices,
    /// Shortest paths as if links had any capacity.
    ShortestPaths,
}

/// A value that no routing is better than.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound {
    /// In the unit of the objective.
    pub value: u64,
    /// Where it comes from.
    pub source: BoundSource,
}

/// What the linear program is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FlowObjective {
    /// The least maximum utilisation, in parts per million.
    Utilisation,
    /// The least sum of bandwidth times TE metric.
    Cost,
    /// The most bandwidth of requests beside what stands.
    Admission,
    /// The largest free bandwidth that every link in service can have.
    Headroom,
}

impl FlowObjective {
    pub(crate) fn is_minimised(self) -> bool {
        matches!(self, Self::Utilisation | Self::Cost)
    }
}

/// The best so far, as a bound from below in the objective's unit: of the admitted bandwidth and of headroom the negative.
pub(crate) struct BestBound {
    pub(crate) objective: FlowObjective,
    pub(crate) value: Option<i128>,
    pub(crate) source: BoundSource,
}

impl BestBound {
    pub(crate) fn add(&mut self, value: i128, source: BoundSource) {
        if self.value.is_none_or(|best| value > best) {
            (self.value, self.source) = (Some(value), source);
        }
    }

    pub(crate) fn bound(&self) -> Bound {
        let Some(value) = self.value else {
            // Nothing could be said: no value is below zero, and none above what figures hold.
            let value = if self.objective.is_minimised() { 0 } else { u64::MAX };
            return Bound { value, source: BoundSource::ShortestPaths };
        };
        // Downwards either way: what is bounded is a whole number.
        let value = if self.objective.is_minimised() { value } else { value.saturating_neg() };
        Bound { value: u64::try_from(value.max(0)).unwrap_or(u64::MAX), source: self.source }
    }

    #[expect(clippy::cast_precision_loss, reason = "it is compared with what a solver of floats found")]
    pub(crate) fn is_near(&self, optimum: f64) -> bool {
        // What is bounded is a whole number: rounding takes up to one.
        self.value.is_some_and(|value| optimum - value as f64 <= 1.0 + GAP_MAX * optimum.abs())
    }
}
