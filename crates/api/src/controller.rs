//! SDN controllers: through which a topology's switches are reached, and what is known of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::instant::Instant;
use crate::text;
use crate::words::words;

/// How a controller is used.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct ControllerRequest {
    /// The dialect that the controller speaks.
    pub driver: ControllerDriver,
    /// Where the controller is: `http://` or `https://`, without credentials. A simulated controller has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048, example = "http://127.0.0.1:8080")]
    pub url: Option<String>,
    /// The topology whose switches the controller has. It need not be there yet.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub topology: String,
    /// The numbers that are the service's on its switches. They stay while the controller is there.
    #[serde(default)]
    pub numbering: SwitchNumbering,
    /// How much its meters let through.
    #[serde(default)]
    pub policing: Policing,
    /// Whether packets are put into the queue of their class, the queue whose id is the number of the class. The queues are
    /// set up at the switches.
    #[serde(default)]
    pub queues: bool,
}

/// The numbers by which the rules of the service are told from those of other programs on a switch.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct SwitchNumbering {
    /// The smallest MPLS label; four for each flow.
    #[schema(minimum = 16, maximum = 1_048_572)]
    pub label_min: u32,
    /// The smallest id of a meter; one for each flow.
    #[schema(minimum = 1, maximum = 200_000)]
    pub meter_min: u32,
    /// The most living allocations with a flow; further ones have no rules.
    #[schema(minimum = 1, maximum = 190_000)]
    pub flows_max: u32,
    /// The first byte of every cookie, and of the id of every group.
    #[schema(minimum = 1, maximum = 255)]
    pub cookie_tag: u8,
    /// The lowest priority. Rules that take packets in have priorities up to 9,999 above it, rules for labels 10,000 and 10,001
    /// above it.
    #[schema(minimum = 1, maximum = 55_534)]
    pub priority_min: u16,
}

impl Default for SwitchNumbering {
    fn default() -> Self {
        Self { label_min: 100_000, meter_min: 10_001, flows_max: 190_000, cookie_tag: 0x57, priority_min: 20_000 }
    }
}

/// How much meters let through.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct Policing {
    /// The burst, as the time in which the rate brings as much, in milliseconds; never less than two full packets.
    #[schema(minimum = 1, maximum = 10_000)]
    pub burst_ms: u32,
    /// The size of packets, in bytes, from which on a reservation holds their labels too: a meter lets that much less through.
    /// Absent: labels come on top of the reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 64, maximum = 9_216)]
    pub packet_bytes: Option<u16>,
}

impl Default for Policing {
    fn default() -> Self {
        Self { burst_ms: 1_000, packet_bytes: None }
    }
}

words! {
    /// The dialect that a controller speaks.
    ControllerDriver {
        /// Ryu 4.34 and os-ken 1.4.1: `ofctl_rest`.
        Ryu "ryu"
        /// ONOS.
        Onos "onos"
        /// A network in memory, made of the topology.
        Simulated "simulated"
    }
}

words! {
    /// What becomes of the rules of a controller that is deleted.
    #[derive(Default)]
    ControllerRules {
        /// The rules are removed from the switches first.
        #[default]
        Remove "remove"
        /// The rules stay on the switches.
        Leave "leave"
    }
}

/// What a controller was put as.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct ControllerSettings {
    /// The name of the controller.
    pub id: String,
    /// The dialect that it speaks.
    pub driver: ControllerDriver,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub url: Option<String>,
    /// The topology whose switches it has.
    pub topology: String,
    /// The numbers that are the service's on its switches.
    #[serde(default)]
    pub numbering: SwitchNumbering,
    /// How much its meters let through.
    #[serde(default)]
    pub policing: Policing,
    /// Whether packets are put into the queue of their class.
    #[serde(default)]
    pub queues: bool,
    /// Present and true if its rules are being removed, after which it is deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub closing: bool,
}

/// A controller, and what is known of it.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = Controller)]
pub struct ControllerDocument {
    /// What it was put as.
    #[serde(flatten)]
    pub settings: ControllerSettings,
    /// Which instance of the service writes to the switches; absent where there is one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub leader: Option<ControllerLeader>,
    /// Whether it answers; absent: it was not asked yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reachable: Option<bool>,
    /// Since when `reachable` is as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub since: Option<Instant>,
    /// Whether switches are given fast-failover groups through it, by which they move packets of protected allocations to the
    /// backup path themselves; otherwise the service does, when it has heard of the failure. Absent: it was not asked yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub fast_failover: Option<bool>,
    /// Rules, meters and groups.
    pub rules: RuleFigures,
    /// The number of allocations that are not in force.
    pub unsettled_allocations: u64,
    /// When all switches were last seen to hold what they should.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub settled_at: Option<Instant>,
    /// The last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_error: Option<String>,
    /// When it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub last_error_at: Option<Instant>,
    /// The switches that were looked at.
    pub switches: Vec<ControllerSwitch>,
}

/// The instance of the service that writes to a controller's switches; the others read what it does.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct ControllerLeader {
    /// What it calls itself.
    pub instance: String,
    /// The number of its term.
    pub term: u64,
    /// Whether it is the one that answers.
    pub answers: bool,
}

/// What switches should hold and do hold, rules and meters together.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct RuleFigures {
    /// The number that they should hold.
    pub intended: u64,
    /// Of these, the number that they are known to hold.
    pub installed: u64,
    /// The number that is missing, wrong or too much.
    pub drifting: u64,
}

/// A switch.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct ControllerSwitch {
    /// Its datapath id, as sixteen hexadecimal digits.
    pub dpid: String,
    /// What is wrong with it; absent: what it holds is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
}

/// All controllers: there are never many.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct ControllerPage {
    /// By name, unless another order was asked for.
    pub items: Vec<ControllerDocument>,
    /// The cursor of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// What a discovery of the controller's network brought into the topology.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct SurveyOutcome {
    /// The name of the topology.
    pub topology: String,
    /// Its revision; absent if nothing changed, or in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub revision: Option<String>,
    /// The number of nodes that it has.
    pub nodes: usize,
    /// The number of directed links that it has.
    pub links: usize,
    /// Nodes that are new.
    pub added_nodes: Vec<String>,
    /// Links that are new.
    pub added_links: Vec<String>,
    /// Links that got their ports.
    pub completed_links: Vec<String>,
    /// Nodes of the topology that the controller does not know.
    pub unseen_nodes: Vec<String>,
    /// Links of the topology that the controller does not see; they stay.
    pub unseen_links: Vec<String>,
    /// Present and true if nothing of this happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub dry_run: bool,
}
