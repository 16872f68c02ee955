//! Intent: which rules and meters each switch should hold for the allocations that live, and which steps lead there from
//! what a switch is seen to hold. Executors choose nothing: what to write, where and in which order is decided here.

mod range;
mod rule;

pub use range::{LABEL_MAX, LABEL_MIN, Label, METER_MAX, METER_MIN, MeterId};
pub use rule::{
    Action, Cookie, CookieFilter, Dpid, ETHERTYPE_IPV4, ETHERTYPE_MPLS, Fault, Ipv4Match, Match, Meter, Place, PortNo,
    Rule, Step, StepOutcome, TABLE,
};
