//! What a demand asks of the path search: the same question at admission, at a resize and at a restoration.

use crate::allocation::Demand;
use crate::path::{Constraints, Metric, Query};
use crate::policy::{PathChoice, Policy};

static UNCONSTRAINED: Constraints = Constraints {
    metric: None,
    max_hops: None,
    max_delay: None,
    include: Vec::new(),
    exclude: Vec::new(),
    include_any: 0,
    exclude_any: 0,
    route: Vec::new(),
};

pub(super) fn path_query<'a>(policy: &Policy, demand: &'a Demand) -> Query<'a> {
    let constraints = demand.constraints.as_deref().unwrap_or(&UNCONSTRAINED);
    Query {
        ingress: demand.ingress,
        egress: demand.egress,
        bandwidth_bps: demand.bandwidth.as_bps(),
        metric: path_metric(policy, constraints),
        constraints,
    }
}

/// The question of the fewest links between the ends of `query`, whatever else it demands.
pub(super) fn fewest_hops<'a>(query: &Query<'_>) -> Query<'a> {
    Query {
        ingress: query.ingress,
        egress: query.egress,
        bandwidth_bps: query.bandwidth_bps,
        metric: Metric::Hops,
        constraints: &UNCONSTRAINED,
    }
}

/// What a path minimises: the policy of fewest hops overrules, else the request says, else the topology's policy.
pub fn path_metric(policy: &Policy, constraints: &Constraints) -> Metric {
    match policy.path_choice {
        PathChoice::FewestHops => Metric::Hops,
        PathChoice::AvoidVictims => constraints.metric.unwrap_or(policy.path_metric),
    }
}
