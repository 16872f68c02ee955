//! An aggregator's report, and the demand that follows from it: for each level and each node with consumers, the arrival
//! rate and the backlog over the drain time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::hysteresis::LeaseState;
use super::settings::SchedulerSettings;
use super::{FlowDemand, LEVELS, QosLevel, RATE_MAX_BPS};
use crate::id::Name;
use crate::units::{Bandwidth, Millis, PPM};

/// The most topics of one report.
pub const TOPICS_MAX: usize = 1_024;
/// The most subscribers of one topic in a report.
pub const SUBSCRIBERS_MAX: usize = 1_024;
/// The most nodes to which one aggregator sends.
pub const DESTINATIONS_MAX: usize = 256;
/// The largest valid buffer: 1 PiB.
pub const BUFFER_MAX_BYTES: u64 = 1 << 50;
/// The largest valid arrival rate: 1 Pbit/s.
pub const ARRIVAL_MAX_BPS: u64 = 1_000_000_000_000_000;
/// How far an aggregator's clock may be ahead of the service's.
pub const AHEAD_MAX_MS: u64 = 60_000;
/// What arrives in so long a time is in transit and no backlog, unless a quarter of the drain time is less.
const MOMENT_MS: u128 = 100;

/// A report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// The node that the aggregator is attached to.
    pub node: Name,
    /// The time of the report, by the aggregator's clock.
    pub at: Millis,
    /// Its process and addresses.
    pub presence: Presence,
    /// Its buffers, by level.
    pub levels: [LevelReport; LEVELS],
    /// The topics that it publishes.
    pub topics: Vec<TopicReport>,
}

/// An aggregator outside of the topology; every part is optional.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Presence {
    /// Tells this process from another that reports under the same id.
    pub instance: Option<Name>,
    /// The URL at which consumers find it.
    pub url: Option<Name>,
    /// The address from which it sends.
    pub address: Option<Ipv4Addr>,
    /// The same to consumers that are reached by IPv6.
    pub ipv6_address: Option<Ipv6Addr>,
}

/// A level of an aggregator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LevelReport {
    /// The number of subscriptions.
    pub subscribers: u32,
    /// The fill of the buffer.
    pub buffer_bytes: u64,
    /// The size of the buffer.
    pub buffer_capacity_bytes: u64,
    /// The arrival rate.
    pub arrival: Bandwidth,
    /// Messages lost since the aggregator started.
    pub dropped: u64,
}

/// A topic of an aggregator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicReport {
    /// Its name.
    pub topic: Name,
    /// The level of its subscriptions.
    pub level: QosLevel,
    /// The arrival rate.
    pub arrival: Bandwidth,
    /// Its subscribers.
    pub subscribers: Vec<Subscriber>,
}

/// A subscriber of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscriber {
    /// The consumer's name.
    pub consumer: Name,
    /// The node that the consumer is attached to.
    pub node: Name,
    /// Where messages are delivered; `None`: the report does not say.
    pub endpoint: Option<Endpoint>,
}

/// The address at which a consumer receives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Endpoint {
    /// An address of IPv4 or IPv6.
    pub address: IpAddr,
    /// A TCP port; `None`: any.
    pub port: Option<u16>,
}

/// Why a report is invalid.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidReport {
    /// Over a limit.
    #[error("invalid {field}: {value} is more than {max}")]
    TooMuch {
        /// The member.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The limit.
        max: u64,
    },
    /// A buffer filled beyond its capacity.
    #[error("invalid buffer_bytes: {bytes} is more than buffer_capacity_bytes, {capacity_bytes}")]
    Overflowing {
        /// The fill.
        bytes: u64,
        /// The capacity.
        capacity_bytes: u64,
    },
    /// A time ahead of the service's clock.
    #[error(
        "invalid time: the report is {ahead_ms} ms ahead, more than the {AHEAD_MAX_MS} ms by which clocks may differ"
    )]
    Future {
        /// By how much.
        ahead_ms: u64,
    },
}

impl Metadata {
    /// Checks every limit at `now`.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(&self, now: Millis) -> Result<(), InvalidReport> {
        let ahead_ms = self.at.0.saturating_sub(now.0);
        if ahead_ms > AHEAD_MAX_MS {
            return Err(InvalidReport::Future { ahead_ms });
        }
        at_most("topics", self.topics.len() as u64, TOPICS_MAX as u64)?;
        for level in &self.levels {
            at_most("buffer_capacity_bytes", level.buffer_capacity_bytes, BUFFER_MAX_BYTES)?;
            at_most("arrival_bps", level.arrival.as_bps(), ARRIVAL_MAX_BPS)?;
            let (bytes, capacity_bytes) = (level.buffer_bytes, level.buffer_capacity_bytes);
            if bytes > capacity_bytes {
                return Err(InvalidReport::Overflowing { bytes, capacity_bytes });
            }
        }
        for topic in &self.topics {
            at_most("subscribers", topic.subscribers.len() as u64, SUBSCRIBERS_MAX as u64)?;
            at_most("arrival_bps", topic.arrival.as_bps(), ARRIVAL_MAX_BPS)?;
        }
        let nodes: std::collections::BTreeSet<_> = self.consumer_nodes().collect();
        at_most("nodes of subscribers", nodes.len() as u64, DESTINATIONS_MAX as u64)
    }

    /// The nodes with subscribers; some of them more than once.
    pub fn consumer_nodes(&self) -> impl Iterator<Item = &Name> {
        self.topics.iter().flat_map(|topic| topic.subscribers.iter().map(|subscriber| &subscriber.node))
    }

    /// Whether a level has subscribers at a node where it had none before.
    pub fn has_new_destination(&self, before: &Self) -> bool {
        let known = before.arrivals();
        self.arrivals().keys().any(|destination| !known.contains_key(destination))
    }

    /// The levels that are boosted, given those that were: with hysteresis between two thresholds.
    pub fn boosts(&self, were: [bool; LEVELS], settings: &SchedulerSettings) -> [bool; LEVELS] {
        let mut now = were;
        for (boosted, level) in now.iter_mut().zip(&self.levels) {
            let filled_ppm =
                u128::from(level.buffer_bytes) * u128::from(PPM) / u128::from(level.buffer_capacity_bytes.max(1));
            let threshold = if *boosted { settings.boost_below } else { settings.boost_above };
            *boosted = filled_ppm > u128::from(threshold.as_ppm());
        }
        now
    }

    /// The demand in each level at each node. Consumers at the aggregator's own node need no link.
    pub fn wants<'a>(
        &'a self,
        boosts: [bool; LEVELS],
        standing: LeaseState,
        settings: &SchedulerSettings,
    ) -> BTreeMap<(QosLevel, &'a Name), FlowDemand> {
        if standing == LeaseState::Lost {
            return BTreeMap::new();
        }
        let arrivals = self.arrivals();
        let mut sums = [(0_u128, 0_u128); LEVELS];
        for ((level, _), arriving) in &arrivals {
            let (sum, count) = &mut sums[level.at()];
            (*sum, *count) = (*sum + arriving, *count + 1);
        }
        let want = |level: QosLevel, arriving: u128| {
            let (sum, count) = sums[level.at()];
            // The backlog is divided as what arrives is, or evenly where nothing does.
            let (part, whole) = if sum == 0 { (1, count.max(1)) } else { (arriving, sum) };
            let backlog = match standing {
                LeaseState::Fresh => self.backlog_bps(level, sum, settings),
                LeaseState::Stale | LeaseState::Lost => 0,
            };
            let needed = arriving + backlog * part / whole;
            let demand_bps = u64::try_from(needed).unwrap_or(RATE_MAX_BPS).clamp(settings.floor_bps, RATE_MAX_BPS);
            let boosted = boosts[level.at()] && standing == LeaseState::Fresh;
            FlowDemand { demand: Bandwidth::saturating_from_bps(demand_bps), boosted }
        };
        let far = arrivals.into_iter().filter(|((_, node), _)| **node != self.node);
        far.map(|((level, node), arriving)| ((level, node), want(level, arriving))).collect()
    }

    /// The rate that drains the backlog in time. What arrives within [`MOMENT_MS`] is no backlog: else one message that waits
    /// in one report and not in the next would make demand rise and fall with every report.
    fn backlog_bps(&self, level: QosLevel, arriving_bps: u128, settings: &SchedulerSettings) -> u128 {
        let drain_ms = u128::from(settings.drain_ms.max(1));
        let moment_ms = MOMENT_MS.min(drain_ms / 4);
        let waiting_bits = u128::from(self.levels[level.at()].buffer_bytes) * 8;
        if waiting_bits * 1_000 <= arriving_bps * moment_ms { 0 } else { waiting_bits * 1_000 / drain_ms }
    }

    /// What arrives for the consumers of each level at each node: once for every subscriber.
    fn arrivals(&self) -> BTreeMap<(QosLevel, &Name), u128> {
        let mut arrivals = BTreeMap::new();
        for topic in &self.topics {
            for subscriber in &topic.subscribers {
                *arrivals.entry((topic.level, &subscriber.node)).or_insert(0) += u128::from(topic.arrival.as_bps());
            }
        }
        arrivals
    }
}

fn at_most(field: &'static str, value: u64, max: u64) -> Result<(), InvalidReport> {
    if value <= max { Ok(()) } else { Err(InvalidReport::TooMuch { field, value, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn metadata() -> Metadata {
        let topic = |topic: &str, level: u8, arrival_bps: u64, nodes: &[&str]| TopicReport {
            topic: name(topic),
            level: QosLevel::new(level).unwrap(),
            arrival: Bandwidth::saturating_from_bps(arrival_bps),
            subscribers: nodes
                .iter()
                .map(|node| Subscriber { consumer: name("c"), node: name(node), endpoint: None })
                .collect(),
        };
        let mut levels = [LevelReport { buffer_capacity_bytes: 3_500, ..LevelReport::default() }; LEVELS];
        levels[2].buffer_bytes = 2_100;
        let topics = vec![topic("t", 2, 30_000, &["x", "x", "y", "home"]), topic("u", 0, 0, &["y"])];
        Metadata { node: name("home"), at: Millis(5), presence: Presence::default(), levels, topics }
    }

    #[test]
    fn a_demand_is_what_arrives_and_the_backlog_over_the_time_to_send_it() {
        let settings = SchedulerSettings { drain_ms: 1_000, floor_bps: 100, ..SchedulerSettings::default() };
        let report = metadata();
        let boosts = report.boosts([false; LEVELS], &settings);
        assert_eq!(boosts, [false, false, true]);
        let demands = |standing| {
            let wants = report.wants(boosts, standing, &settings).into_iter();
            wants
                .map(|((level, node), want)| (level.number(), node.to_string(), want.demand.as_bps()))
                .collect::<Vec<_>>()
        };
        let of = |level, node: &str, bps| (level, node.to_owned(), bps);
        // 16,800 bit/s of backlog: half of what arrives is for x, a quarter each for y and for home, which needs no link.
        assert_eq!(demands(LeaseState::Fresh), [of(0, "y", 100), of(2, "x", 68_400), of(2, "y", 34_200)]);
        assert_eq!(demands(LeaseState::Stale), [of(0, "y", 100), of(2, "x", 60_000), of(2, "y", 30_000)]);
        assert_eq!(demands(LeaseState::Lost), []);
    }

    #[test]
    fn what_has_just_arrived_is_no_backlog() {
        let (settings, mut report) =
            (SchedulerSettings { drain_ms: 1_000, ..SchedulerSettings::default() }, metadata());
        let mut demand = |bytes| {
            report.levels[2].buffer_bytes = bytes;
            let wants = report.wants([false; LEVELS], LeaseState::Fresh, &settings);
            wants.values().map(|want| want.demand.as_bps()).max()
        };
        assert_eq!((demand(0), demand(1_500), demand(1_600)), (Some(60_000), Some(60_000), Some(66_400)));
    }

    #[test]
    fn a_boost_lasts_until_the_buffer_is_nearly_empty() {
        let (settings, mut report) = (SchedulerSettings::default(), metadata());
        report.levels[2].buffer_bytes = 1_400;
        assert_eq!(report.boosts([false; LEVELS], &settings), [false; LEVELS]);
        assert_eq!(report.boosts([true; LEVELS], &settings), [false, false, true]);
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        let now = Millis(1_000);
        let check = |change: &dyn Fn(&mut Metadata)| {
            let mut report = metadata();
            change(&mut report);
            report.check(now)
        };
        assert_eq!(check(&|_| {}), Ok(()));
        assert!(matches!(check(&|report| report.at = Millis(61_001)), Err(InvalidReport::Future { ahead_ms: 60_001 })));
        let much = check(&|report| report.topics[0].arrival = Bandwidth::MAX);
        assert!(matches!(much, Err(InvalidReport::TooMuch { field: "arrival_bps", .. })));
        assert!(matches!(
            check(&|report| report.levels[0].buffer_bytes = 3_501),
            Err(InvalidReport::Overflowing { .. })
        ));
        let many = check(&|report| report.topics = vec![report.topics[0].clone(); TOPICS_MAX + 1]);
        assert!(matches!(many, Err(InvalidReport::TooMuch { field: "topics", .. })));
    }

    #[test]
    fn a_new_destination_is_noticed() {
        let (before, mut after) = (metadata(), metadata());
        after.topics[0].arrival = Bandwidth::ZERO;
        assert!(!after.has_new_destination(&before));
        after.topics[1].subscribers[0].node = name("z");
        assert!(after.has_new_destination(&before));
    }
}
