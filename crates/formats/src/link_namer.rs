//! The names of links: those of the file, or made of the ends. An unnamed edge from A to B is named `A-B` (its other
//! direction `B-A`), parallel ones `A-B#2` and so on. A named edge keeps its name, and its other direction has `~` appended.

use std::collections::{BTreeMap, BTreeSet};

use kernel::id::{NAME_MAX_BYTES, Name, NameError};

/// Gives links their names.
#[derive(Default)]
pub(super) struct Namer {
    taken: BTreeSet<String>,
    /// How many links have each plain name, so that the thousandth parallel link does not try 999 names first.
    counts: BTreeMap<String, usize>,
}

impl Namer {
    pub(super) fn forward(&mut self, name: Option<&str>, from: &str, to: &str) -> Result<Name, NameError> {
        match name {
            Some(name) => Name::in_path(name),
            None => Name::new(&self.unique(format!("{from}-{to}"))),
        }
    }

    pub(super) fn reverse(&mut self, name: Option<&str>, from: &str, to: &str) -> Result<Name, NameError> {
        match name {
            Some(name) => Name::new(&format!("{name}~")),
            None => Name::new(&self.unique(format!("{to}-{from}"))),
        }
    }

    /// `base`, or the first of `base#2`, `base#3` and so on that is free. Long bases are replaced.
    fn unique(&mut self, base: String) -> String {
        // Leave room for the number behind it.
        let base = if base.len() + 8 > NAME_MAX_BYTES { "link".to_owned() } else { base };
        let count = self.counts.entry(base.clone()).or_default();
        loop {
            *count += 1;
            let name = if *count == 1 { base.clone() } else { format!("{base}#{count}") };
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}
