//! The scenario of the proof of concept of PSIoT-Orch (Moraes, Reale, Martins) as data: the network, the topics of devices,
//! the subscriptions and their times. Pure. What must stay true: one timeline whatever the policy, and everything that is
//! compressed is compressed by the same factor.

use api::qos_level::{LEVELS, PerLevel};

/// The name of the network in which the aggregators are.
pub const TOPOLOGY: &str = "psiot";
/// The aggregators, each with its node.
pub const AGGREGATORS: [(&str, &str); 3] = [("Ag1", "ag1"), ("Ag2", "ag2"), ("Ag3", "ag3")];
/// The one with a fourth topic.
pub const HEAVY: usize = 0;
/// The level of the fourth topic's subscription.
pub const HEAVY_LEVEL: usize = 0;
/// The link that all aggregators share.
pub const SHARED_LINK: &str = "core1-core2";
/// The capacity of every link: the paper's 1 MB/s.
pub const LINK_BPS: u64 = 8_000_000;
pub const TOPIC_BPS: u64 = 100_000;
/// The rate of the fourth topic, in multiples of that.
pub const HEAVY_TIMES: u64 = 100;
/// The reservation of the background traffic on the shared link.
pub const BACKGROUND_BPS: u64 = 2_000_000;
/// The class type of that reservation.
pub const BACKGROUND_CLASS: u8 = 1;
const PAYLOAD_BYTES: u64 = 1_250;
/// The payload of a message of the fourth topic.
const HEAVY_PAYLOAD_BYTES: u64 = 5_000;
/// By how much `--fast` compresses.
const FAST: u64 = 4;
/// The interval of reports.
const REPORT_EVERY_MS: u64 = 250;
/// The time in which the scheduler drains a backlog: longer than the interval of reports, or rates would oscillate.
pub const DRAIN_MS: u64 = 500;
/// Rises of a rate by less than this are not signalled, in parts per million: one message more or less in the two seconds
/// over which arrival is measured changes it by three per cent.
pub const RAISE_BY_PPM: u64 = 80_000;
/// The buffer of each level of an aggregator.
const BUFFER_BYTES: u64 = 8_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tempo {
    /// A minute.
    Full,
    /// A quarter of that.
    Fast,
}

/// A step of the scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScenarioAction {
    /// The background traffic begins.
    Background,
    /// The first client subscribes to the three topics of each aggregator.
    Client1,
    /// The second subscribes to the same and to the fourth.
    Client2,
    /// The background traffic ends.
    Quiet,
    End,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timeline {
    /// In the order of time, in milliseconds.
    pub steps: Vec<(u64, ScenarioAction)>,
    /// The interval of samples.
    pub sample_every_ms: u64,
    /// The interval of reports; the same at every tempo.
    pub report_every_ms: u64,
    /// The buffer of each level.
    pub buffer_bytes: u64,
}

impl Timeline {
    pub fn new(tempo: Tempo) -> Self {
        let factor = match tempo {
            Tempo::Full => 1,
            Tempo::Fast => FAST,
        };
        let steps = [
            (0, ScenarioAction::Background),
            (5_000, ScenarioAction::Client1),
            (20_000, ScenarioAction::Client2),
            (40_000, ScenarioAction::Quiet),
            (60_000, ScenarioAction::End),
        ];
        Self {
            steps: steps.map(|(at_ms, step)| (at_ms / factor, step)).to_vec(),
            sample_every_ms: 250 / factor.min(2),
            report_every_ms: REPORT_EVERY_MS,
            buffer_bytes: BUFFER_BYTES / factor,
        }
    }

    /// The time of a step, in milliseconds.
    pub fn at_ms(&self, wanted: ScenarioAction) -> u64 {
        self.steps.iter().find(|(_, step)| *step == wanted).map_or(0, |(at_ms, _)| *at_ms)
    }
}

impl ScenarioAction {
    /// For people.
    pub fn words(self) -> String {
        let mbps = |bps: u64| format!("{}.{} Mbit/s", bps / 1_000_000, bps % 1_000_000 / 100_000);
        match self {
            Self::Background => format!(
                "background traffic begins: the generators hold {} of the shared link's {}",
                mbps(BACKGROUND_BPS),
                mbps(LINK_BPS)
            ),
            Self::Client1 => "Client 1 subscribes to three topics of each aggregator, one in each QoS level".to_owned(),
            Self::Client2 => format!(
                "Client 2 subscribes to the same, and to Ag1's fourth topic, with {} ({HEAVY_TIMES} times the others)",
                mbps(TOPIC_BPS * HEAVY_TIMES)
            ),
            Self::Quiet => "background traffic ends: the generators release what they held".to_owned(),
            Self::End => "the end".to_owned(),
        }
    }
}

/// The network: aggregators and a generator on one side, clients and a generator on the other, one link between.
pub fn topology() -> serde_json::Value {
    let place = |id: &str, x: i32, y: i32| serde_json::json!({ "id": id, "x": x, "y": y });
    let left = [("ag1", 0), ("ag2", 100), ("ag3", 200), ("gen1", 300)];
    let right = [("client1", 50), ("client2", 150), ("gen2", 250)];
    let mut nodes = vec![place("core1", 200, 150), place("core2", 450, 150)];
    nodes.extend(left.iter().map(|(id, y)| place(id, 0, *y)));
    nodes.extend(right.iter().map(|(id, y)| place(id, 650, *y)));
    let link = |from: &str, to: &str| {
        serde_json::json!({ "id": format!("{from}-{to}"), "from": from, "to": to, "capacity_bps": LINK_BPS,
            "te_metric": 10, "bidirectional": true })
    };
    let mut links = vec![link("core1", "core2")];
    links.extend(left.iter().map(|(id, _)| link(id, "core1")));
    links.extend(right.iter().map(|(id, _)| link("core2", id)));
    serde_json::json!({ "nodes": nodes, "links": links })
}

/// The topic of an aggregator in a level.
fn topic(aggregator: &str, level: usize) -> String {
    format!("{}/topic{}", aggregator.to_lowercase(), level + 1)
}

fn heavy_topic() -> String {
    topic(AGGREGATORS[HEAVY].0, LEVELS)
}

/// The traffic of an aggregator's devices, as `watermaster gateway --generate` takes it.
pub fn sources(aggregator: usize) -> Vec<String> {
    let source = |topic: String, payload_bytes: u64, rate_bps: u64| {
        format!("topic={topic},payload_bytes={payload_bytes},rate_bps={rate_bps}")
    };
    let name = AGGREGATORS.get(aggregator).map_or("", |(name, _)| *name);
    let mut all: Vec<_> = (0..LEVELS).map(|level| source(topic(name, level), PAYLOAD_BYTES, TOPIC_BPS)).collect();
    if aggregator == HEAVY {
        all.push(source(heavy_topic(), HEAVY_PAYLOAD_BYTES, TOPIC_BPS * HEAVY_TIMES));
    }
    all
}

/// The subscriptions of a client at the gateways with these URLs, as `watermaster consumer --subscribe` takes them.
pub fn subscriptions(with_heavy: WithHeavy, gateways: &[String]) -> Vec<String> {
    let subscription =
        |gateway: &str, topic: String, level: usize| format!("gateway={gateway},topic={topic},qos_level={level}");
    let mut all = vec![];
    for ((name, _), gateway) in AGGREGATORS.iter().zip(gateways) {
        all.extend((0..LEVELS).map(|level| subscription(gateway, topic(name, level), level)));
    }
    if let (WithHeavy::Yes, Some(gateway)) = (with_heavy, gateways.get(HEAVY)) {
        all.push(subscription(gateway, heavy_topic(), HEAVY_LEVEL));
    }
    all
}

/// Whether the fourth topic is subscribed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithHeavy {
    Yes,
    No,
}

/// What each QoS level is called.
pub const LEVEL_NAMES: PerLevel<&str> = ["0 insensitive", "1 sensitive", "2 priority"];
