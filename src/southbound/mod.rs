//! Hands: decided rules are written to switches through a controller's REST interface, and reports of switches and
//! controller come back. One trait, [`Driver`], in the kernel's words; one
//! folder a dialect.
//!
//! What must stay true: a driver chooses nothing and remembers nothing between calls; it never says that a step is in
//! force unless the switch said so or was read; it never takes silence for emptiness; it changes nothing that lacks our
//! cookie or is outside our ranges of meters and groups; every answer is bounded in time and bytes before it is believed.

mod factory;
pub mod ryu;
pub mod onos;
mod simulated;
mod apply;
mod http_client;
#[cfg(test)]
mod stub;

use std::fmt;

use futures_util::future::BoxFuture;

pub use self::factory::{ControllerAccess, connect};
pub use self::http_client::Credentials;
#[cfg(feature = "simulated-faults")]
pub use self::simulated::Faults;
pub use self::simulated::Simulated;
use kernel::intent::{Action, CookieFilter, Dpid, Group, Meter, PortNo, Rule, RuleStep, StepOutcome};

/// How many requests may be under way at a controller, over all its switches: more bring only latency, since one thread
/// serves REST, OpenFlow and discovery there.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 4;
/// How many steps one call of [`Driver::apply`] takes at most.
pub const STEPS_MAX: usize = 1_000;

/// What a call to a driver will answer.
pub type DriverFuture<'a, T> = BoxFuture<'a, Result<T, DriverError>>;

/// A controller as we use it. Calls for different switches may overlap, up to [`REQUESTS_IN_FLIGHT_MAX`]; never two for
/// the same switch. A call may be dropped at any time: what it did is then unknown.
pub trait Driver: Send + Sync + fmt::Debug {
    /// Carries out steps on one switch, in order, and says of each what is known of it: one outcome a step, in the same
    /// order. A step that depends on a refused one may be left out as refused, too. Everything is validated before
    /// anything is sent. Repeating steps that are in force already does no harm.
    ///
    /// # Errors
    /// Nothing is known of any of the steps.
    fn apply<'a>(&'a self, switch: Dpid, steps: &'a [RuleStep]) -> DriverFuture<'a, Vec<StepOutcome>>;

    /// The rules with such cookies that a live switch holds, in any order.
    ///
    /// # Errors
    /// Also [`DriverError::SilentSwitch`]: no answer is not an empty answer.
    fn rules(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, Vec<Rule>>;

    /// How many such rules a live switch holds; cheaper than reading them.
    ///
    /// # Errors
    /// As [`Driver::rules`].
    fn rule_count(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, u64>;

    /// How many such rules send packets out of a port; a driver that can be asked so overrides this.
    ///
    /// # Errors
    /// As [`Driver::rules`].
    fn rule_count_to(&self, switch: Dpid, which: CookieFilter, port: PortNo) -> DriverFuture<'_, u64> {
        Box::pin(async move {
            let rules = self.rules(switch, which).await?;
            Ok(rules.iter().filter(|rule| rule.actions.contains(&Action::Output(port))).count() as u64)
        })
    }

    /// What such rules have counted.
    ///
    /// # Errors
    /// As [`Driver::rules`]; and [`DriverError::Unsupported`] from a driver that does not override this.
    fn rule_counters(&self, _switch: Dpid, _which: CookieFilter) -> DriverFuture<'_, RuleCounters> {
        Box::pin(async { Err(DriverError::Unsupported { what: "count the packets of rules" }) })
    }

    /// The meters that a live switch holds. One that is not of the kind we make (other flags, other bands)
    /// is read with a rate of 0, so that it is seen to differ.
    ///
    /// # Errors
    /// As [`Driver::rules`].
    fn meters(&self, switch: Dpid) -> DriverFuture<'_, Vec<Meter>>;

    /// Whether switches can be given groups through this controller. Without, a protected path is moved to its backup path by
    /// the service, when that has heard of the failure, and flows are not split.
    fn has_groups(&self) -> bool {
        false
    }

    /// The groups that a live switch holds; one of another form than we make as
    /// [`Group::of_another_form`]. None from a driver that has no groups.
    ///
    /// # Errors
    /// As [`Driver::rules`].
    fn groups(&self, _switch: Dpid) -> DriverFuture<'_, Vec<Group>> {
        Box::pin(async { Ok(vec![]) })
    }

    /// Everything that a live switch holds, in one answer that costs the controller little; none where a controller has no such
    /// answer, and [`Driver::rules`], [`Driver::meters`] and [`Driver::groups`] have to do.
    ///
    /// # Errors
    /// As [`Driver::rules`].
    fn whole(&self, _switch: Dpid) -> DriverFuture<'_, Option<SwitchContent>> {
        Box::pin(async { Ok(None) })
    }

    /// Asks the switch itself, through the controller, whether it is there.
    ///
    /// # Errors
    /// It is not: [`DriverError::UnknownSwitch`], [`DriverError::SilentSwitch`], or the controller is not.
    fn probe(&self, switch: Dpid) -> DriverFuture<'_, ()>;

    /// The switches that are connected to the controller.
    ///
    /// # Errors
    /// The controller did not say.
    fn switches(&self) -> DriverFuture<'_, Vec<Dpid>>;

    /// The ports of a switch, without the reserved ones.
    ///
    /// # Errors
    /// As [`Driver::rules`].
    fn ports(&self, switch: Dpid) -> DriverFuture<'_, Vec<Port>>;

    /// The links between switches that the controller has discovered, each direction by itself.
    ///
    /// # Errors
    /// The controller did not say, or discovers none.
    fn links(&self) -> DriverFuture<'_, Vec<Adjacency>>;

    /// The counters of a switch's ports.
    ///
    /// # Errors
    /// As [`Driver::rules`].
    fn port_counters(&self, switch: Dpid) -> DriverFuture<'_, Vec<PortCounters>>;
}

/// What rules have counted since they were written, over all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RuleCounters {
    /// How many rules they are.
    pub rules: u64,
    /// Packets that met one of them, also those that its meter then dropped.
    pub packets: u64,
    /// Bytes of these packets; `None` from a controller that does not say.
    pub bytes: Option<u64>,
}

/// Everything that a switch holds, this service's and other programs', in any order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwitchContent {
    pub rules: Vec<Rule>,
    pub meters: Vec<Meter>,
    pub groups: Vec<Group>,
}

/// A port of a switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    pub number: PortNo,
    /// What the switch calls it.
    pub name: String,
    /// Whether it can carry packets.
    pub live: bool,
    /// What the switch says of its speed, in bit/s. Virtual ports lie.
    pub speed_bps: Option<u64>,
}

/// One direction of a link between two switches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Adjacency {
    pub from: (Dpid, PortNo),
    pub to: (Dpid, PortNo),
}

/// What went through a port since the switch counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortCounters {
    pub port: PortNo,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Packets received that were dropped.
    pub received_dropped: u64,
    /// Packets to be sent that were dropped.
    pub sent_dropped: u64,
}

/// Why a controller could not be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DriverError {
    /// No answer came.
    #[error("the controller cannot be reached: {why}")]
    Unreachable {
        /// What was observed.
        why: Unreachable,
    },
    /// It answered that it will not.
    #[error("the controller refused {what} with status {status}")]
    Refused { what: &'static str, status: u16 },
    /// It answered something that makes no sense.
    #[error("the controller's answer to {what} makes no sense")]
    Garbage { what: &'static str },
    /// Its answer is longer than anything it should have to say.
    #[error("the controller's answer to {what} is longer than {limit_bytes} bytes")]
    TooLong { what: &'static str, limit_bytes: u64 },
    /// The controller knows no such switch: it is not connected, or there is none.
    #[error("no switch {dpid} is connected to the controller")]
    UnknownSwitch { dpid: Dpid },
    /// The controller has the switch, but the switch does not answer: what it holds is unknown.
    #[error("switch {dpid} does not answer")]
    SilentSwitch { dpid: Dpid },
    /// This controller cannot be asked that.
    #[error("this controller cannot {what}")]
    Unsupported { what: &'static str },
}

/// Why no answer came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum Unreachable {
    /// The port is closed, or the host name is unknown.
    #[error("no connection")]
    NoConnection,
    /// It took too long.
    #[error("no answer in time")]
    TooSlow,
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// The address is no address.
    #[error("the address is not one of a controller")]
    BadAddress,
    /// No address of the controller is one that may be connected to.
    #[error("the address is in none of the networks that controllers may be in")]
    ForbiddenAddress,
}

impl DriverError {
    /// Whether the whole controller is at fault, and not one switch.
    pub fn is_of_controller(&self) -> bool {
        !matches!(self, Self::UnknownSwitch { .. } | Self::SilentSwitch { .. })
    }
}
