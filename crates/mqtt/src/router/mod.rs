//! Routing: subscriptions in a trie of topic levels, and retained messages in another. Pure: a subscriber is any value
//! that the caller identifies it by.
//!
//! What must stay true: a subscriber has one subscription for a filter (a later one replaces it); a topic that begins with
//! `$` is never matched by a filter that begins with a wildcard [MQTT-4.7.2-1]; a subscriber with several matching
//! subscriptions is found once, with the highest QoS and every identifier [MQTT-3.3.4-2], [MQTT-3.3.4-4].

mod level_tree;
mod page;
mod retained;
mod trie;

pub(crate) use page::NamedPage;
pub(crate) use retained::RetainedMessages;
pub(crate) use trie::{GrantedSubscription, Matches, RouteMatch, Trie};
