//! Intent: the rules, meters and groups that each switch should hold for the living allocations, and the steps that lead there from
//! what the switch reports. Executors choose nothing: what to write, where and in which order is decided here.
//!
//! [`RulePlan`] is the intended content of every switch; [`diff()`] is the list of steps that lead there; [`Agenda`] is what
//! is left of it when some steps have failed.

mod datapath;
mod switch_ids;
mod action;
mod group;
mod meter;
mod rule;
mod flow_table;

mod flow_number;
mod numbering;
mod failover_rules;
mod return_way;
mod split;
mod lsp_rules;

mod head_order;
mod plan;

mod work_queue;
mod diff;

mod damage;

#[cfg(test)]
mod tests;

pub use action::{Action, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, IpFamily};
pub use damage::{Damage, DamagedPart};
pub use datapath::{Dpid, PortNo};
pub use diff::{DiffStage, Task, diff};
pub(crate) use flow_number::FlowNumbers;
pub use flow_number::{FLOWS_MAX, FlowNumber};
pub use flow_table::{Foreign, Role, RuleMeta, Table, Tables};
pub use group::{Bucket, Fallback, Group, Ways};
pub(crate) use lsp_rules::impossible_flow;
pub use lsp_rules::{NoRules, dscp, traffic_class};
pub use meter::{BURST_MAX_MS, Meter, MeterSettings};
pub use numbering::{HEAD_PRIORITIES, Numbering, NumberingError, RuleSettings};
pub use plan::RulePlan;
pub use rule::{Cookie, CookieFilter, IpMatch, Match, Rule, RuleKey, RuleStep, StepOutcome, SwitchFault, TABLE};
pub use switch_ids::{GroupId, LABEL_MAX, METER_MAX, MeterId, MplsLabel};
pub use work_queue::Agenda;
