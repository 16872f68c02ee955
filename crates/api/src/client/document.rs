//! What lists are filtered by, and documents that only the client has.

use serde::{Deserialize, Serialize};

use crate::allocation::AllocationState;
use crate::instant::Instant;

/// Which allocations are wanted; absent: any.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AllocationFilter {
    /// In this topology.
    pub topology: Option<String>,
    /// In this state.
    pub state: Option<AllocationState>,
    /// Of this class type.
    pub class_type: Option<u8>,
    /// That enter here.
    pub ingress: Option<String>,
    /// That leave here.
    pub egress: Option<String>,
    /// Whose path has this link.
    pub link: Option<String>,
    /// That this aggregator asked for.
    pub aggregator: Option<String>,
    /// For this tenant.
    pub tenant: Option<String>,
    /// That are called so, or, before a trailing `*`, whose name begins so.
    pub name: Option<String>,
    /// Of this customer; the beginning before a trailing `*`.
    pub customer: Option<String>,
    /// Protected ones: with their backup path, or without it.
    pub protected: Option<bool>,
    /// Those that a booking will preempt after this instant, as far as that is foreseen.
    pub preempted_after: Option<Instant>,
    /// Those that a booking will preempt before this instant, as far as that is foreseen.
    pub preempted_before: Option<Instant>,
}

impl AllocationFilter {
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let state = self.state.map(|state| state.to_string());
        let protected = self.protected.map(|wanted| wanted.to_string());
        let instant = |at: Option<Instant>| at.map(|at| at.to_string());
        let (after, before) = (instant(self.preempted_after), instant(self.preempted_before));
        let texts = [
            ("topology", &self.topology),
            ("state", &state),
            ("ingress", &self.ingress),
            ("egress", &self.egress),
            ("link", &self.link),
            ("aggregator", &self.aggregator),
            ("tenant", &self.tenant),
            ("name", &self.name),
            ("customer", &self.customer),
            ("protected", &protected),
            ("preempted_after", &after),
            ("preempted_before", &before),
        ];
        let class_type = self.class_type.map(|number| ("class_type", number.to_string()));
        texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).chain(class_type).collect()
    }
}

/// Which page of a list is wanted, and in which order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PageRequest<'a> {
    /// How many at most; 1 to 1,000.
    pub limit: u32,
    /// The cursor of the page; absent: the first.
    pub after: Option<&'a str>,
    /// The member that the list is sorted by, with a minus the largest first; absent: the list's own order.
    pub sort: Option<&'a str>,
}

impl PageRequest<'_> {
    /// The first page, in the list's own order.
    pub fn first(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(super) fn query(self) -> Vec<(&'static str, String)> {
        let texts = [("after", self.after), ("sort", self.sort)].into_iter();
        let texts = texts.filter_map(|(name, text)| Some((name, text?.to_owned())));
        std::iter::once(("limit", self.limit.to_string())).chain(texts).collect()
    }
}

/// A page of a list, of whatever items, as the client reads it. In the schema each list has a page of its own.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
