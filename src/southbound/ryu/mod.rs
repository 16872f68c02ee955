//! Ryu 4.34 and os-ken 1.4.1 with `ofctl_rest` and `rest_topology`; and, where the controller has them, the acknowledged batch
//! and the tables of `deploy/controller`.
//!
//! What must stay true: 200 means that a message is queued and nothing more, so that what was sent is read back or was
//! acknowledged before it is called in force. A list that is empty because a switch kept silent looks like one that is
//! empty because there is nothing: the controller waits `CONTROLLER_WAIT` for a switch, so that an empty answer that took
//! as long is silence. Rules are counted before they are read, so that half a list is never taken for a whole one.

mod apply;
mod decode;
mod meters_and_groups;
mod encode;

use std::collections::BTreeSet;
use std::time::Duration;

use api::outbound::OutboundNetworks;
use futures_util::FutureExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::decode::{AggregateReply, CountersReply, LinkReply, PerSwitch, PortReply, RuleReply};
use self::meters_and_groups::{GroupReply, MeterReply};
use super::http_client::{ControllerReply, Dialogue};
use super::{Adjacency, Driver, DriverError, DriverFuture, Port, PortCounters, RuleCounters, SwitchContent};
use kernel::intent::{Cookie, CookieFilter, Dpid, Group, Meter, Numbering, PortNo, Rule, RuleStep, StepOutcome};

/// How long `ofctl_rest` waits for each part of a switch's answer before it answers with what it has; a little less, for
/// clocks differ.
const CONTROLLER_WAIT: Duration = Duration::from_millis(950);
/// About how many rules are read at once. A controller that parses a dump of thousands answers no switch meanwhile, and
/// loses them all.
const RULES_AT_ONCE: u64 = 256;
/// Into how many slices a reading is cut at most.
const SLICE_BITS_MAX: u32 = 12;
/// How often a list that changed while it was read is read.
const READINGS_MAX: u32 = 2;

/// Everything that a switch holds, as the application of `deploy/controller` tells it.
#[derive(Deserialize)]
struct TableReply {
    rules: Vec<RuleReply>,
    meters: Vec<MeterReply>,
    groups: Vec<GroupReply>,
}

/// What that application says where it does not answer as asked.
#[derive(Deserialize)]
struct TableRefusal {
    #[serde(rename = "error")]
    _why: String,
}

/// A Ryu or os-ken controller.
#[derive(Debug)]
pub struct Ryu {
    talk: Dialogue,
    numbering: Numbering,
    /// An empty list that took as long is the silence of a switch.
    silence_after: Duration,
}

impl Ryu {
    /// Prepares to speak to the controller at this address; nothing is sent.
    ///
    /// # Errors
    /// The address is none, or not in these networks.
    pub fn new(url: &str, networks: &OutboundNetworks, numbering: Numbering) -> Result<Self, DriverError> {
        Ok(Self { talk: Dialogue::new(url, None, networks)?, numbering, silence_after: CONTROLLER_WAIT })
    }

    /// The things of one switch out of an answer.
    fn of<T: DeserializeOwned>(reply: &ControllerReply, switch: Dpid) -> Result<T, DriverError> {
        no_such_switch(reply, switch)?;
        let mut all: PerSwitch<T> = reply.json()?;
        all.remove(&switch.0.to_string()).ok_or_else(|| reply.garbage())
    }

    /// A list that no live switch has empty.
    async fn never_empty<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        switch: Dpid,
    ) -> Result<Vec<T>, DriverError> {
        self.list(what, path, switch, |_| true).await
    }

    async fn count(&self, switch: Dpid, which: &Value) -> Result<u64, DriverError> {
        self.aggregate(switch, which).await.map(|aggregate| aggregate.flow_count)
    }

    async fn aggregate(&self, switch: Dpid, which: &Value) -> Result<AggregateReply, DriverError> {
        let path = format!("stats/aggregateflow/{}", switch.0);
        let reply = self.talk.post("count rules", &path, which).await?;
        let mut found: Vec<AggregateReply> = Self::of(&reply, switch)?;
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(DriverError::SilentSwitch { dpid: switch }),
            (Some(aggregate), true) => Ok(aggregate),
            (Some(_), false) => Err(reply.garbage()),
        }
    }

    /// Rules, in slices, and as many as were counted.
    async fn read(&self, switch: Dpid, which: CookieFilter) -> Result<Vec<Rule>, DriverError> {
        for _ in 0..READINGS_MAX {
            let count = self.count(switch, &filter(which)).await?;
            if count == 0 {
                return Ok(vec![]);
            }
            let mut rules = vec![];
            for slice in slices(which, count) {
                let path = format!("stats/flow/{}", switch.0);
                let reply = self.talk.post("read rules", &path, &filter(slice)).await?;
                let told: Vec<RuleReply> = Self::of(&reply, switch)?;
                rules.extend(told.into_iter().map(RuleReply::rule).filter(|rule| which.meets(rule.cookie)));
            }
            if rules.len() as u64 == count {
                return Ok(rules);
            }
        }
        Err(DriverError::SilentSwitch { dpid: switch })
    }

    /// None from a controller without the application: its 404 is not of the application's form.
    async fn read_table(&self, switch: Dpid) -> Result<Option<SwitchContent>, DriverError> {
        let reply = match self.talk.get("read a table", &format!("watermaster/table/{}", switch.0)).await {
            // It is read in parts.
            Err(DriverError::TooLong { .. }) => return Ok(None),
            reply => reply?,
        };
        let is_told = || serde_json::from_slice::<TableRefusal>(&reply.body).is_ok();
        match reply.status {
            404 if is_told() => Err(DriverError::UnknownSwitch { dpid: switch }),
            // What stands before the controller may know the other paths alone.
            status if (400..500).contains(&status) || status == 501 => Ok(None),
            504 if is_told() => Err(DriverError::SilentSwitch { dpid: switch }),
            _ => {
                let told: TableReply = reply.json()?;
                let is_whole = |group: &GroupReply| group.is_whole() || !self.numbering.has_group(group.id());
                let groups = if told.groups.iter().all(is_whole) {
                    told.groups.iter().map(GroupReply::group).collect()
                } else {
                    self.read_groups(switch).await?
                };
                Ok(Some(SwitchContent {
                    groups,
                    rules: told.rules.into_iter().map(RuleReply::rule).collect(),
                    meters: told.meters.iter().map(MeterReply::meter).collect(),
                }))
            }
        }
    }

    async fn read_meters(&self, switch: Dpid) -> Result<Vec<Meter>, DriverError> {
        let told: Vec<MeterReply> = self.perhaps_empty("read meters", "stats/meterconfig", switch).await?;
        Ok(told.iter().map(MeterReply::meter).collect())
    }

    async fn read_groups(&self, switch: Dpid) -> Result<Vec<Group>, DriverError> {
        let told: Vec<GroupReply> = self.perhaps_empty("read groups", "stats/groupdesc", switch).await?;
        Ok(told.iter().map(GroupReply::group).collect())
    }

    /// A list that is silence if it is empty and took as long as silence does.
    async fn perhaps_empty<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        switch: Dpid,
    ) -> Result<Vec<T>, DriverError> {
        self.list(what, path, switch, |reply| reply.took >= self.silence_after).await
    }

    /// A list that may be silence if it is empty.
    async fn list<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        switch: Dpid,
        is_silence: impl Fn(&ControllerReply) -> bool,
    ) -> Result<Vec<T>, DriverError> {
        let reply = self.talk.get(what, &format!("{path}/{}", switch.0)).await?;
        let told: Vec<T> = Self::of(&reply, switch)?;
        let is_silent = told.is_empty() && is_silence(&reply);
        if is_silent { Err(DriverError::SilentSwitch { dpid: switch }) } else { Ok(told) }
    }

    async fn read_ports(&self, switch: Dpid) -> Result<Vec<Port>, DriverError> {
        let told: Vec<PortReply> = self.never_empty("read ports", "stats/portdesc", switch).await?;
        Ok(PortReply::ports(told))
    }
}

impl Driver for Ryu {
    fn apply<'a>(&'a self, switch: Dpid, steps: &'a [RuleStep]) -> DriverFuture<'a, Vec<StepOutcome>> {
        self.apply_steps(switch, steps).boxed()
    }

    fn rules(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, Vec<Rule>> {
        self.read(switch, which).boxed()
    }

    fn rule_count(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, u64> {
        async move { self.count(switch, &filter(which)).await }.boxed()
    }

    fn rule_count_to(&self, switch: Dpid, which: CookieFilter, port: PortNo) -> DriverFuture<'_, u64> {
        async move {
            let mut filter = filter(which);
            filter["out_port"] = port.0.into();
            self.count(switch, &filter).await
        }
        .boxed()
    }

    fn rule_counters(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, RuleCounters> {
        async move { Ok(self.aggregate(switch, &filter(which)).await?.counters()) }.boxed()
    }

    fn meters(&self, switch: Dpid) -> DriverFuture<'_, Vec<Meter>> {
        self.read_meters(switch).boxed()
    }

    fn whole(&self, switch: Dpid) -> DriverFuture<'_, Option<SwitchContent>> {
        self.read_table(switch).boxed()
    }

    fn has_groups(&self) -> bool {
        true
    }

    fn groups(&self, switch: Dpid) -> DriverFuture<'_, Vec<Group>> {
        self.read_groups(switch).boxed()
    }

    fn probe(&self, switch: Dpid) -> DriverFuture<'_, ()> {
        async move {
            let reply = self.talk.get("probe", &format!("stats/desc/{}", switch.0)).await?;
            // A live switch describes itself in an object with members; a silent one leaves it empty.
            match Self::of::<Value>(&reply, switch)? {
                Value::Object(fields) if !fields.is_empty() => Ok(()),
                Value::Object(_) => Err(DriverError::SilentSwitch { dpid: switch }),
                _ => Err(reply.garbage()),
            }
        }
        .boxed()
    }

    fn switches(&self) -> DriverFuture<'_, Vec<Dpid>> {
        async move {
            let found: Vec<u64> = self.talk.get("list switches", "stats/switches").await?.json()?;
            Ok(found.into_iter().map(Dpid).collect())
        }
        .boxed()
    }

    fn ports(&self, switch: Dpid) -> DriverFuture<'_, Vec<Port>> {
        self.read_ports(switch).boxed()
    }

    fn links(&self) -> DriverFuture<'_, Vec<Adjacency>> {
        async move {
            let reply = self.talk.get("list links", "v1.0/topology/links").await?;
            if reply.status == 404 {
                return Err(DriverError::Unsupported { what: "list links: rest_topology is not loaded" });
            }
            let told: Vec<LinkReply> = reply.json()?;
            told.iter().map(|link| link.adjacency().ok_or_else(|| reply.garbage())).collect()
        }
        .boxed()
    }

    fn port_counters(&self, switch: Dpid) -> DriverFuture<'_, Vec<PortCounters>> {
        async move {
            let told: Vec<CountersReply> = self.never_empty("read counters", "stats/port", switch).await?;
            Ok(told.iter().filter_map(CountersReply::counters).collect())
        }
        .boxed()
    }
}

/// `ofctl_rest` answers 404 with an empty body for a switch that is not connected; a 404 with a body is another server's.
fn no_such_switch(reply: &ControllerReply, switch: Dpid) -> Result<(), DriverError> {
    let unknown = reply.status == 404 && reply.body.is_empty();
    if unknown { Err(DriverError::UnknownSwitch { dpid: switch }) } else { Ok(()) }
}

fn filter(which: CookieFilter) -> Value {
    json!({"cookie": which.value, "cookie_mask": which.mask})
}

/// Filters that together meet what `which` meets, each about [`RULES_AT_ONCE`] of `count` rules: cut by the lowest bits of
/// the allocation id that `which` leaves open.
fn slices(which: CookieFilter, count: u64) -> impl Iterator<Item = CookieFilter> {
    let wanted = count.div_ceil(RULES_AT_ONCE).next_power_of_two().trailing_zeros().min(SLICE_BITS_MAX);
    let open = (0..64).map(|bit| 1_u64 << bit).filter(move |bit| Cookie::ALLOCATION_MAX & bit & !which.mask != 0);
    let bits: Vec<u64> = open.take(wanted as usize).collect();
    let mask = bits.iter().fold(which.mask, |mask, bit| mask | bit);
    (0_u64..1 << bits.len()).map(move |number| {
        let chosen = bits.iter().enumerate().filter(|(at, _)| number >> at & 1 == 1);
        let value = chosen.fold(which.value & which.mask, |value, (_, bit)| value | bit);
        CookieFilter { value, mask }
    })
}

/// The narrowest filter that meets all of these cookies.
fn narrowest(cookies: &BTreeSet<Cookie>) -> Option<CookieFilter> {
    let first = cookies.first()?.0;
    let mask = cookies.iter().fold(u64::MAX, |mask, cookie| mask & !(cookie.0 ^ first));
    Some(CookieFilter { value: first & mask, mask })
}

#[cfg(test)]
mod tests;
