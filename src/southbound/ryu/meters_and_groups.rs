//! What `ofctl_rest` answers about meters and groups, in the kernel's words.
//!
//! What must stay true: one of another kind than this service makes is read so that it is seen to differ.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::decode::{action, port_number};
use kernel::intent::{Bucket, Fallback, Group, GroupId, Meter, MeterId, Ways};

/// How a bucket says that packets go back by the port by which they came: the number, or the word for it.
const BACK: [&str; 2] = ["4294967288", "IN_PORT"];

/// A meter as the controller reports it.
#[derive(Deserialize)]
pub(super) struct MeterReply {
    meter_id: u32,
    flags: Vec<String>,
    bands: Vec<BandReply>,
}

#[derive(Deserialize)]
struct BandReply {
    #[serde(rename = "type")]
    kind: String,
    rate: u32,
    burst_size: u32,
}

impl MeterReply {
    /// The meter; one of another kind than we make has a rate of 0.
    pub(super) fn meter(&self) -> Meter {
        let id = MeterId(self.meter_id);
        let flags: BTreeSet<&str> = self.flags.iter().map(String::as_str).collect();
        let usual = flags == BTreeSet::from(["KBPS", "BURST", "STATS"]);
        let (rate_kbps, burst_kbit) = match self.bands.as_slice() {
            [band] if usual && band.kind == "DROP" => (band.rate, band.burst_size),
            _ => (0, 0),
        };
        Meter { id, rate_kbps, burst_kbit }
    }
}

/// A group as the controller reports it.
#[derive(Deserialize)]
pub(super) struct GroupReply {
    group_id: u32,
    #[serde(rename = "type")]
    kind: String,
    buckets: Vec<BucketReply>,
}

#[derive(Deserialize)]
struct BucketReply {
    /// Left out by an older application that knows no group whose buckets have one.
    weight: Option<u16>,
    /// A number, or a word where none is watched.
    watch_port: Value,
    actions: Vec<Value>,
}

impl GroupReply {
    /// The group; one of another kind than we make is of another form.
    pub(super) fn group(&self) -> Group {
        let known = match self.kind.as_str() {
            "FF" => self.failover(),
            "SELECT" => self.split(),
            _ => None,
        };
        Group { id: self.id(), ways: known.unwrap_or(Ways::Other) }
    }

    /// Whether it is told as it is: an older application calls a split another group, and leaves out its weights.
    pub(super) fn is_whole(&self) -> bool {
        self.kind == "FF" || self.buckets.iter().all(|bucket| bucket.weight.is_some())
    }

    /// Its number.
    pub(super) fn id(&self) -> GroupId {
        GroupId(self.group_id)
    }

    /// Buckets that send packets out of the port that they watch.
    fn split(&self) -> Option<Ways> {
        let bucket = |told: &BucketReply| {
            let bucket = Bucket { weight: told.weight?, actions: told.actions.iter().map(action).collect() };
            let watched = port_number(&told.watch_port);
            (watched.is_some() && watched == bucket.port()).then_some(bucket)
        };
        self.buckets.iter().map(bucket).collect::<Option<_>>().map(Ways::Split)
    }

    fn failover(&self) -> Option<Ways> {
        let [first, second] = self.buckets.as_slice() else { return None };
        let leads_to = |bucket: &BucketReply, out: &str| bucket.actions.iter().eq([&format!("OUTPUT:{out}")]);
        let to =
            |bucket: &BucketReply| port_number(&bucket.watch_port).filter(|port| leads_to(bucket, &port.0.to_string()));
        let fallback = match (to(second), port_number(&second.watch_port)) {
            (Some(port), _) => Fallback::To(port),
            (None, Some(port)) if BACK.iter().any(|word| leads_to(second, word)) => Fallback::Back(port),
            _ => return None,
        };
        to(first).map(|working| Ways::Failover { working, fallback })
    }
}

#[cfg(test)]
mod tests {
    use kernel::intent::{Action, MplsLabel, PortNo, RuleStep};
    use serde_json::json;

    use super::super::encode::order;
    use super::*;

    #[test]
    fn a_meter_of_another_kind_is_seen_to_differ() {
        let meter = |flags: Value, bands: Value| {
            let told = json!({"meter_id": 10_001, "flags": flags, "bands": bands});
            serde_json::from_value::<MeterReply>(told).unwrap().meter().rate_kbps
        };
        let drop = json!({"type": "DROP", "rate": 5000, "burst_size": 5000});
        assert_eq!(meter(json!(["KBPS", "STATS", "BURST"]), json!([drop])), 5000);
        assert_eq!(meter(json!(["PKTPS", "STATS", "BURST"]), json!([drop])), 0);
        assert_eq!(meter(json!(["KBPS", "STATS", "BURST"]), json!([drop, drop])), 0);
    }

    #[test]
    fn a_group_of_another_kind_is_seen_to_differ() {
        let id = GroupId(0x5700_0000 + 100_001);
        let group = |kind: &str, first: &str, second: &str| {
            let bucket =
                |port: u32, action| json!({"weight": 0, "watch_port": port, "watch_group": 0, "actions": [action]});
            let told = json!({"type": kind, "group_id": id.0, "buckets": [bucket(2, first), bucket(3, second)]});
            serde_json::from_value::<GroupReply>(told).unwrap().group()
        };
        let of = |fallback| Group { id, ways: Ways::Failover { working: PortNo(2), fallback } };
        assert_eq!(group("FF", "OUTPUT:2", "OUTPUT:3"), of(Fallback::To(PortNo(3))));
        for back in ["OUTPUT:4294967288", "OUTPUT:IN_PORT"] {
            assert_eq!(group("FF", "OUTPUT:2", back), of(Fallback::Back(PortNo(3))));
        }
        for (kind, first, second) in [
            ("ALL", "OUTPUT:2", "OUTPUT:3"),
            ("SELECT", "OUTPUT:2", "OUTPUT:4"),
            ("FF", "OUTPUT:3", "OUTPUT:3"),
            ("FF", "OUTPUT:2", "OUTPUT:4"),
            ("FF", "OUTPUT:2", "DROP"),
        ] {
            assert_eq!(group(kind, first, second), Group::of_another_form(id));
        }
    }

    #[test]
    fn a_split_is_read_as_it_was_written() {
        let bucket = |weight, label, port| {
            let push = [Action::PushMpls, Action::SetLabel(MplsLabel::new(label).unwrap()), Action::SetTrafficClass(2)];
            let send = [Action::SetQueue(2), Action::Output(PortNo(port))];
            Bucket { weight, actions: [&push[..], &send].concat() }
        };
        let ways = Ways::Split(vec![bucket(43, 100_000, 2), bucket(21, 100_004, 4)]);
        let split = Group { id: GroupId(0x5700_0000 + 100_000), ways };
        let written = order(&RuleStep::AddGroup(split.clone())).unwrap().item();
        let first = json!({"weight": 43, "watch_port": 2, "actions": [
            {"type": "PUSH_MPLS", "ethertype": 34_887}, {"type": "SET_FIELD", "field": "mpls_label", "value": 100_000},
            {"type": "SET_FIELD", "field": "mpls_tc", "value": 2}, {"type": "SET_QUEUE", "queue_id": 2},
            {"type": "OUTPUT", "port": 2}]});
        assert_eq!((&written["body"]["type"], &written["body"]["buckets"][0]), (&json!("SELECT"), &first));
        let told = |weight: u16, label: u32, port: u32| {
            let actions = [
                "PUSH_MPLS:34887".to_owned(),
                format!("SET_FIELD: {{mpls_label:{label}}}"),
                "SET_FIELD: {mpls_tc:2}".to_owned(),
                "SET_QUEUE:2".to_owned(),
                format!("OUTPUT:{port}"),
            ];
            json!({"weight": weight, "watch_port": port, "watch_group": 0, "actions": actions})
        };
        let told =
            json!({"type": "SELECT", "group_id": split.id.0, "buckets": [told(43, 100_000, 2), told(21, 100_004, 4)]});
        assert_eq!(serde_json::from_value::<GroupReply>(told).unwrap().group(), split);
    }
}
