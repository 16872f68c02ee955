//! The division of flows among their paths, where the plan does not find it anew with each change.

use super::aggregator::FlowPath;
use super::{Dispatcher, named};
use crate::state::State;
use crate::units::Millis;

/// In a large network flows are divided among their paths anew so often at most, unless many of them have changed.
pub const REBALANCE_MS: u64 = 10_000;

impl Dispatcher {
    /// Divides flows anew for what is asked for now, where they are not and the time has come.
    pub(super) fn rebalance_when_due(&mut self, state: &State, now: Millis) {
        match self.next_rebalance() {
            Some(at) if at > now => return,
            Some(_) => {
                self.find_other_paths(state);
                let unbalanced = self.nets.values_mut().filter(|net| net.planner.is_unbalanced());
                unbalanced.for_each(|net| net.planner.rebalance());
            }
            None => {}
        }
        self.balanced_at = now;
    }

    /// Looks for the other paths of flows that came while there were too many to divide, now that there are not.
    fn find_other_paths(&mut self, state: &State) {
        for (name, net) in &mut self.nets {
            let Some(network) = state.network(name.as_str()).filter(|network| net.is_of(network)) else { continue };
            for key in net.take_first_alone() {
                let Some((_, known)) = named(&self.names, &mut self.aggregators, key.aggregator) else { continue };
                let Some(flow) = known.flows.get_mut(&(key.level, key.egress)) else { continue };
                let mut paths = flow.links();
                net.add_others(network, (known.node, key.egress), &mut paths, &mut self.workspace);
                flow.paths.extend(paths.into_iter().skip(flow.paths.len()).map(FlowPath::new));
                net.put(key, flow);
            }
        }
    }

    /// When flows are next divided anew; `None`: they are divided for what is asked for.
    pub(super) fn next_rebalance(&self) -> Option<Millis> {
        let is_wanted = self.nets.values().any(|net| net.planner.is_unbalanced() || net.lacks_paths());
        is_wanted.then(|| Millis(self.balanced_at.0.saturating_add(REBALANCE_MS)))
    }
}
