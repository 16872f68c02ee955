//! Intent: which rules and meters each switch should hold for the allocations that live, and which steps lead there from
//! what a switch is seen to hold. Executors choose nothing: what to write, where and in which order is decided here.
//!
//! [`Plan`] says what should be held; [`diff()`] says which steps lead there; [`Agenda`] says which of them may still be
//! taken when some have failed.

mod id_ranges;
mod rule;
mod flow_table;

mod lsp_rules;

mod id_pool;
mod plan;
mod recover;

mod work_queue;
mod diff;

#[cfg(test)]
mod tests;

pub use diff::{DiffStage, Task, diff};
pub use flow_table::{Role, RuleMeta, Table, Tables};
pub use id_ranges::{LABEL_MAX, LABEL_MIN, Label, METER_MAX, METER_MIN, MeterId};
pub use lsp_rules::{HEAD_PRIORITY, LABEL_PRIORITY, NoRules, dscp, traffic_class};
pub use plan::RulePlan;
pub use rule::{
    Action, Cookie, CookieFilter, Dpid, ETHERTYPE_IPV4, ETHERTYPE_MPLS, Ipv4Match, Match, Meter, PortNo, Rule, RuleKey,
    RuleStep, StepOutcome, SwitchFault, TABLE,
};
pub use work_queue::Agenda;
