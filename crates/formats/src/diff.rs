//! What differs between two topologies: nodes and links that only one has, and the values in which they differ. Nodes and
//! links are the same if their ids are.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use kernel::topology::Topology;

use super::node_link::members;

/// One difference.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Difference {
    /// Only the second topology has it.
    Added {
        /// `node` or `link`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// Only the first topology has it.
    Removed {
        /// `node` or `link`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// A value is another.
    Changed {
        /// `node` or `link`.
        what: &'static str,
        /// Its id.
        id: String,
        /// The member of the native format.
        member: String,
        /// Its value in the first topology; null if it has none.
        before: Value,
        /// Its value in the second topology; null if it has none.
        after: Value,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { what, id } => write!(f, "+ {what} {id}"),
            Self::Removed { what, id } => write!(f, "- {what} {id}"),
            Self::Changed { what, id, member, before, after } => {
                write!(f, "~ {what} {id}: {member} {before} -> {after}")
            }
        }
    }
}

/// All differences, nodes before links, each by id. Order does not count.
pub fn differences(before: &Topology, after: &Topology) -> Vec<Difference> {
    let (before, after) = (members(before), members(after));
    let mut found = compare("node", before.nodes, after.nodes);
    found.extend(compare("link", before.links, after.links));
    found
}

fn compare(what: &'static str, before: Vec<Map<String, Value>>, after: Vec<Map<String, Value>>) -> Vec<Difference> {
    let by_id = |items: Vec<Map<String, Value>>| {
        let id = |item: &Map<String, Value>| item.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        items.into_iter().map(|item| (id(&item), item)).collect::<BTreeMap<_, _>>()
    };
    let (before, mut after) = (by_id(before), by_id(after));
    let mut found = Vec::new();
    for (id, old) in before {
        match after.remove(&id) {
            None => found.push((id.clone(), Difference::Removed { what, id })),
            Some(new) => {
                let changed = changed_members(&old, &new).into_iter().map(|(member, before, after)| {
                    (id.clone(), Difference::Changed { what, id: id.clone(), member, before, after })
                });
                found.extend(changed);
            }
        }
    }
    found.extend(after.into_keys().map(|id| (id.clone(), Difference::Added { what, id })));
    found.sort_by(|(first, _), (second, _)| first.cmp(second));
    found.into_iter().map(|(_, difference)| difference).collect()
}

fn changed_members(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<(String, Value, Value)> {
    let value = |members: &Map<String, Value>, name: &str| members.get(name).cloned().unwrap_or_default();
    let only_new = new.keys().filter(|name| !old.contains_key(*name));
    let names = old.keys().chain(only_new);
    let changed = names.map(|name| (name.clone(), value(old, name), value(new, name)));
    changed.filter(|(_, before, after)| before != after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ReadOptions, read};

    fn topology(text: &str) -> Topology {
        read(text.as_bytes(), &ReadOptions::default()).unwrap().topology
    }

    #[test]
    fn what_only_one_has_and_what_changed() {
        let before = r#"{"nodes": [{"id": "a", "label": "Aa"}, {"id": "b"}],
            "links": [{"id": "l", "from": "a", "to": "b", "capacity_bps": 10, "delay_us": 5, "te_metric": 1}]}"#;
        let after = r#"{"nodes": [{"id": "c"}, {"id": "b"}, {"id": "a"}],
            "links": [{"id": "l", "from": "a", "to": "b", "capacity_bps": 20, "delay_us": 5, "te_metric": 1},
                      {"id": "k", "from": "c", "to": "b", "capacity_bps": 20}]}"#;
        let (before, after) = (topology(before), topology(after));
        let said: Vec<String> = differences(&before, &after).iter().map(ToString::to_string).collect();
        let expected = [
            "~ node a: label \"Aa\" -> null",
            "+ node c",
            "+ link k",
            "~ link l: capacity_bps 10 -> 20",
            "~ link l: max_reservable_bps 10 -> 20",
        ];
        assert_eq!(said, expected);
        assert_eq!(differences(&after, &before).len(), 5);
        assert_eq!(differences(&after, &after), []);
    }
}
