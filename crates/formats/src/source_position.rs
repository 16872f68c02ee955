//! Where in a file something is, and what an importer noticed there. Lines and columns count from one; columns count
//! bytes. Only the first [`WARNINGS_MAX`] warnings are kept, the rest are counted.

pub(crate) use api::topology::SourcePosition;
use api::topology::Warning;

/// The most warnings that a report keeps.
pub const WARNINGS_MAX: usize = 100;
/// The longest excerpt of a file that a message repeats, in characters.
const EXCERPT_MAX_CHARS: usize = 60;

/// Collects warnings, up to [`WARNINGS_MAX`].
#[derive(Default, Debug)]
pub(super) struct Warnings {
    kept: Vec<Warning>,
    omitted: usize,
}

impl Warnings {
    pub(super) fn push(&mut self, place: SourcePosition, message: impl Into<String>) {
        if self.kept.len() < WARNINGS_MAX {
            self.kept.push(Warning { place, message: message.into() });
        } else {
            self.omitted += 1;
        }
    }

    /// What was kept, and how many more there were.
    pub(super) fn into_parts(self) -> (Vec<Warning>, usize) {
        (self.kept, self.omitted)
    }
}

/// Tells the line of ever larger offsets in one pass over the text.
pub(super) struct LineIndex<'a> {
    text: &'a [u8],
    seen: usize,
    line: usize,
}

impl<'a> LineIndex<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), seen: 0, line: 1 }
    }

    /// The line of the byte at `offset`, which must not be before the last one asked for.
    pub(super) fn at(&mut self, offset: usize) -> usize {
        let upto = offset.min(self.text.len());
        let passed = self.text.get(self.seen..upto).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.seen = self.seen.max(upto);
        self.line
    }
}

/// The beginning of `text`, short enough to repeat in a message, without control characters.
pub(super) fn excerpt(text: &str) -> String {
    let mut short: String =
        text.chars().take(EXCERPT_MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(EXCERPT_MAX_CHARS).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one() {
        let text = "ab\ncd\n";
        assert_eq!(SourcePosition::offset(text.as_bytes(), 0).to_string(), "line 1, column 1");
        assert_eq!(SourcePosition::offset(text.as_bytes(), 4).of("links[0]").to_string(), "line 2, column 2, links[0]");
        assert_eq!(SourcePosition::offset(text.as_bytes(), 99).to_string(), "line 3, column 1");
        let mut lines = LineIndex::new(text);
        assert_eq!([lines.at(1), lines.at(3), lines.at(99)], [1, 2, 3]);
    }

    #[test]
    fn warnings_are_bounded() {
        let mut warnings = Warnings::default();
        for line in 0..WARNINGS_MAX + 7 {
            warnings.push(SourcePosition::line(line), "odd");
        }
        let (kept, omitted) = warnings.into_parts();
        assert_eq!((kept.len(), omitted), (WARNINGS_MAX, 7));
        assert_eq!(excerpt(&"x".repeat(100)).chars().count(), EXCERPT_MAX_CHARS + 1);
    }
}
