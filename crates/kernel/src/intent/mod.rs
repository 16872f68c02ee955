//! Intent: which rules and meters each switch should hold for the allocations that live, and which steps lead there from
//! what a switch is seen to hold. Executors choose nothing: what to write, where and in which order is decided here.
//!
//! [`Plan`] says what should be held; [`diff()`] says which steps lead there; [`Agenda`] says which of them may still be
//! taken when some have failed.

mod range;
mod rule;
mod table;

mod shape;

mod numbers;
mod plan;
mod recover;

mod agenda;
mod diff;

#[cfg(test)]
mod tests;

pub use agenda::Agenda;
pub use diff::{Stage, Task, diff};
pub use plan::Plan;
pub use range::{LABEL_MAX, LABEL_MIN, Label, METER_MAX, METER_MIN, MeterId};
pub use rule::{
    Action, Cookie, CookieFilter, Dpid, ETHERTYPE_IPV4, ETHERTYPE_MPLS, Fault, Ipv4Match, Match, Meter, Place, PortNo,
    Rule, Step, StepOutcome, TABLE,
};
pub use shape::{HEAD_PRIORITY, LABEL_PRIORITY, NoRules, dscp, traffic_class};
pub use table::{Role, Seat, Table, Tables};
