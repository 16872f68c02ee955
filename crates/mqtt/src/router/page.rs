//! A page of what is looked through without order.

use std::collections::BTreeMap;

/// The first items behind a place, in the order of their names; it holds no more of them than it is to have.
pub(crate) struct NamedPage<'a, T> {
    after: Option<&'a str>,
    limit: usize,
    items: BTreeMap<String, T>,
}

impl<'a, T> NamedPage<'a, T> {
    /// An empty one.
    pub(crate) fn new(after: Option<&'a str>, limit: usize) -> Self {
        Self { after, limit, items: BTreeMap::new() }
    }

    /// Takes an item if it is among the first.
    pub(crate) fn offer(&mut self, name: &str, item: impl FnOnce() -> T) {
        let is_full = self.items.len() >= self.limit;
        let is_behind = self.items.last_key_value().is_some_and(|(last, _)| &**last < name);
        if self.after.is_some_and(|after| name <= after) || is_full && (is_behind || self.limit == 0) {
            return;
        }
        self.items.insert(name.to_owned(), item());
        if self.items.len() > self.limit {
            self.items.pop_last();
        }
    }

    /// The items in order.
    pub(crate) fn into_items(self) -> Vec<T> {
        self.items.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_first_behind_a_place() {
        let page = |after, limit| {
            let mut page = NamedPage::new(after, limit);
            ["d", "a", "e", "c", "b"].iter().for_each(|name| page.offer(name, || *name));
            page.into_items()
        };
        assert_eq!(page(None, 2), ["a", "b"]);
        assert_eq!(page(Some("b"), 2), ["c", "d"]);
        assert_eq!(page(Some("d"), 9), ["e"]);
        assert_eq!(page(Some("bb"), 0), [""; 0]);
    }
}
