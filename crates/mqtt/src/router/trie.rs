//! The trie of subscriptions.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::super::codec::{Qos, SubscriptionOptions, topic};
use super::super::limits::MATCH_LEVELS_MAX;
use super::level_tree::{LevelTree, TreeValue};

/// A subscription as it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GrantedSubscription {
    pub(crate) options: SubscriptionOptions,
    /// The subscription identifier.
    pub(crate) id: Option<u32>,
}

/// A subscriber whose subscriptions match a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteMatch<P> {
    pub(crate) subscriber: P,
    pub(crate) qos: Qos,
    pub(crate) retain_as_published: bool,
    pub(crate) ids: Vec<u32>,
    /// The filter of the shared subscription, if it is one.
    pub(crate) share: Option<Arc<str>>,
}

/// All subscribers that match a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matches<P> {
    /// Each subscriber once.
    pub(crate) plain: Vec<RouteMatch<P>>,
    /// For each shared subscription its members, of whom one gets the message.
    pub(crate) shared: Vec<Vec<RouteMatch<P>>>,
    /// How many levels of filters were looked at.
    pub(crate) visited: usize,
    /// Whether the search came to its end: others may match if not.
    pub(crate) is_complete: bool,
}

impl<P> Matches<P> {
    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.shared.is_empty()
    }
}

/// A shared subscription.
#[derive(Debug)]
struct SharedSubscription<P> {
    name: Box<str>,
    /// All of it: `$share/{name}/{filter}`.
    filter: Arc<str>,
    members: Vec<(P, GrantedSubscription)>,
}

/// The subscriptions to one filter.
#[derive(Debug)]
struct FilterSubscribers<P> {
    here: HashMap<P, GrantedSubscription>,
    /// By the name of the share; few at one filter.
    shared: Vec<SharedSubscription<P>>,
}

impl<P> Default for FilterSubscribers<P> {
    fn default() -> Self {
        Self { here: HashMap::new(), shared: Vec::new() }
    }
}

impl<P> TreeValue for FilterSubscribers<P> {
    fn is_vacant(&self) -> bool {
        self.here.is_empty() && self.shared.is_empty()
    }
}

/// Every subscription there is.
#[derive(Debug)]
pub(crate) struct Trie<P> {
    tree: LevelTree<FilterSubscribers<P>>,
    count: usize,
}

impl<P> Default for Trie<P> {
    fn default() -> Self {
        Self { tree: LevelTree::default(), count: 0 }
    }
}

/// What a subscription takes at its filter, about.
const SUBSCRIPTION_BYTES: usize = 96;

impl<P: Clone + Eq + Hash> Trie<P> {
    /// What the subscriptions take.
    pub(crate) fn size_bytes(&self) -> usize {
        self.tree.size_bytes() + self.count * SUBSCRIPTION_BYTES
    }

    /// How many subscriptions there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Adds or replaces; says whether it is new. `filter` may be that of a shared subscription.
    pub(crate) fn insert(&mut self, filter: &str, subscriber: P, granted: GrantedSubscription) -> bool {
        let whole = filter;
        let (share, filter) = split_share(filter);
        let node = self.tree.entry(filter);
        let new = match share {
            None => node.here.insert(subscriber, granted).is_none(),
            Some(share) => {
                let members = match node.shared.iter().position(|known| *known.name == *share) {
                    Some(at) => &mut node.shared[at].members,
                    None => {
                        node.shared.push(SharedSubscription {
                            name: share.into(),
                            filter: whole.into(),
                            members: Vec::new(),
                        });
                        let last = node.shared.len() - 1;
                        &mut node.shared[last].members
                    }
                };
                match members.iter_mut().find(|(member, _)| *member == subscriber) {
                    Some(member) => {
                        member.1 = granted;
                        false
                    }
                    None => {
                        members.push((subscriber, granted));
                        true
                    }
                }
            }
        };
        self.count += usize::from(new);
        new
    }

    /// The members of a shared subscription.
    pub(crate) fn members(&self, filter: &str) -> impl Iterator<Item = &P> {
        let (share, filter) = split_share(filter);
        let shared = self.tree.get(filter).map_or(&[][..], |node| &node.shared);
        let found = shared.iter().find(move |known| share == Some(&*known.name));
        found.into_iter().flat_map(|known| known.members.iter().map(|(member, _)| member))
    }

    /// Removes; says whether it was there.
    pub(crate) fn remove(&mut self, filter: &str, subscriber: &P) -> bool {
        let (share, filter) = split_share(filter);
        let was_there = self.tree.get_mut(filter).is_some_and(|node| node.remove(share, subscriber));
        if was_there {
            self.count -= 1;
            self.tree.prune(filter);
        }
        was_there
    }

    /// All whose subscriptions match `topic`. `publisher` does not get what it said itself where it asked for that.
    pub(crate) fn matches(&self, topic: &str, publisher: Option<&P>) -> Matches<P> {
        let mut found = Collector { plain: Vec::new(), at: HashMap::new(), shared: Vec::new(), publisher };
        let visited = self.tree.match_topic(topic, MATCH_LEVELS_MAX, &mut |node| found.collect(node));
        let is_complete = visited <= MATCH_LEVELS_MAX;
        Matches { plain: found.plain, shared: found.shared, visited, is_complete }
    }
}

fn split_share(filter: &str) -> (Option<&str>, &str) {
    match topic::shared(filter) {
        Some((share, rest)) => (Some(share), rest),
        None => (None, filter),
    }
}

impl<P: Eq + Hash> FilterSubscribers<P> {
    fn remove(&mut self, share: Option<&str>, subscriber: &P) -> bool {
        let Some(share) = share else { return self.here.remove(subscriber).is_some() };
        let Some(at) = self.shared.iter().position(|known| *known.name == *share) else { return false };
        let members = &mut self.shared[at].members;
        let Some(member) = members.iter().position(|(member, _)| member == subscriber) else { return false };
        members.remove(member);
        if members.is_empty() {
            self.shared.swap_remove(at);
        }
        true
    }
}

struct Collector<'a, P> {
    plain: Vec<RouteMatch<P>>,
    /// Where a subscriber stands in `plain`, once there are many.
    at: HashMap<P, usize>,
    shared: Vec<Vec<RouteMatch<P>>>,
    publisher: Option<&'a P>,
}

/// Below this many, a linear search is faster than the map.
const FEW: usize = 16;

impl<P: Clone + Eq + Hash> Collector<'_, P> {
    fn collect(&mut self, node: &FilterSubscribers<P>) {
        for (subscriber, granted) in &node.here {
            if granted.options.no_local && self.publisher == Some(subscriber) {
                continue;
            }
            match self.position(subscriber) {
                Some(at) => merge(&mut self.plain[at], granted),
                None => {
                    self.plain.push(found(subscriber, granted));
                    let at = self.plain.len() - 1;
                    if at >= FEW {
                        if at == FEW {
                            self.at =
                                self.plain.iter().enumerate().map(|(at, one)| (one.subscriber.clone(), at)).collect();
                        }
                        self.at.insert(subscriber.clone(), at);
                    }
                }
            }
        }
        for SharedSubscription { filter, members, .. } in &node.shared {
            let of_share = |(subscriber, granted): &_| RouteMatch {
                share: Some(Arc::clone(filter)),
                ..found(subscriber, granted)
            };
            self.shared.push(members.iter().map(of_share).collect());
        }
    }

    fn position(&self, subscriber: &P) -> Option<usize> {
        if self.plain.len() <= FEW {
            self.plain.iter().position(|one| one.subscriber == *subscriber)
        } else {
            self.at.get(subscriber).copied()
        }
    }
}

fn found<P: Clone>(subscriber: &P, granted: &GrantedSubscription) -> RouteMatch<P> {
    RouteMatch {
        subscriber: subscriber.clone(),
        qos: granted.options.qos,
        retain_as_published: granted.options.retain_as_published,
        ids: granted.id.into_iter().collect(),
        share: None,
    }
}

fn merge<P>(found: &mut RouteMatch<P>, granted: &GrantedSubscription) {
    found.qos = found.qos.max(granted.options.qos);
    found.retain_as_published |= granted.options.retain_as_published;
    found.ids.extend(granted.id);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::{Strategy, any, proptest};
    use proptest::{collection, sample};

    use super::*;

    fn granted(qos: u8, id: Option<u32>) -> GrantedSubscription {
        let qos = Qos::new(qos).unwrap();
        GrantedSubscription { options: SubscriptionOptions { qos, ..SubscriptionOptions::default() }, id }
    }

    /// The standard's words, one filter at a time.
    fn matches(filter: &str, topic: &str) -> bool {
        fn rest(filter: &[&str], topic: &[&str]) -> bool {
            match (filter, topic) {
                (["#"], _) => true,
                (["+", filter @ ..], [_, topic @ ..]) => rest(filter, topic),
                ([a, filter @ ..], [b, topic @ ..]) if a == b => rest(filter, topic),
                ([], []) => true,
                _ => false,
            }
        }
        let wild = filter.starts_with('#') || filter.starts_with('+');
        let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
        !(wild && topic[0].starts_with('$')) && rest(&filter, &topic)
    }

    fn level() -> impl Strategy<Value = &'static str> {
        sample::select(vec!["a", "b", "", "$x", "long level"])
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = sample::select(vec!["a", "b", "", "$x", "long level", "+", "+"]);
        (collection::vec(level, 1..5), any::<bool>()).prop_map(|(mut levels, all)| {
            if all {
                levels.push("#");
            }
            levels.join("/")
        })
    }

    proptest! {
        #[test]
        fn the_trie_finds_what_the_words_say(
            changes in collection::vec((filter(), 0u8..6, 0u8..3, any::<bool>()), 1..40),
            topics in collection::vec(collection::vec(level(), 1..6), 1..10),
        ) {
            let mut trie = Trie::default();
            let mut naive: BTreeMap<(u8, String), u8> = BTreeMap::new();
            for (filter, subscriber, qos, keep) in changes {
                if keep {
                    let new = trie.insert(&filter, subscriber, granted(qos, Some(1)));
                    assert_eq!(new, naive.insert((subscriber, filter), qos).is_none());
                } else {
                    let was = trie.remove(&filter, &subscriber);
                    assert_eq!(was, naive.remove(&(subscriber, filter)).is_some());
                }
                assert_eq!(trie.count(), naive.len());
            }
            for topic in topics {
                let topic = topic.join("/");
                let mut expected: BTreeMap<u8, (u8, usize)> = BTreeMap::new();
                for ((subscriber, filter), qos) in &naive {
                    if matches(filter, &topic) {
                        let entry = expected.entry(*subscriber).or_default();
                        *entry = (entry.0.max(*qos), entry.1 + 1);
                    }
                }
                let found: BTreeMap<u8, (u8, usize)> = trie
                    .matches(&topic, None)
                    .plain
                    .into_iter()
                    .map(|one| (one.subscriber, (one.qos as u8, one.ids.len())))
                    .collect();
                assert_eq!(found, expected, "{topic}");
            }
        }
    }

    #[test]
    fn many_parties_are_each_found_once() {
        let mut trie = Trie::default();
        for subscriber in 0..100u32 {
            for filter in ["a/b", "a/+", "#"] {
                trie.insert(filter, subscriber, granted(1, None));
            }
        }
        let found = trie.matches("a/b", None).plain;
        assert_eq!(found.iter().map(|one| one.subscriber).collect::<BTreeSet<_>>().len(), 100);
        assert_eq!(found.len(), 100);
    }

    #[test]
    fn shared_subscriptions_stand_apart() {
        let mut trie = Trie::default();
        trie.insert("$share/g/a/#", 1, granted(1, None));
        trie.insert("$share/g/a/#", 2, granted(1, None));
        trie.insert("$share/h/a/#", 1, granted(1, None));
        trie.insert("a/b", 1, granted(0, None));
        let found = trie.matches("a/b", None);
        assert_eq!(found.plain.len(), 1);
        assert_eq!(found.shared.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert!(trie.remove("$share/g/a/#", &1) && !trie.remove("$share/g/a/#", &1));
        assert!(trie.remove("$share/g/a/#", &2));
        assert_eq!(trie.matches("a/b", None).shared.len(), 1);
    }
}
