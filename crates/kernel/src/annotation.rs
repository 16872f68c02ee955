//! What people write on an allocation, to recognise it. No decision looks at it. The set is closed: another text is another
//! [`AnnotationField`], and whatever carries annotations carries it.

use std::fmt;
use std::sync::Arc;

/// The longest [`Annotation`], in bytes.
pub const ANNOTATION_MAX_BYTES: usize = 255;

/// What an annotation says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AnnotationField {
    /// What the circuit is called.
    Name,
    /// Whose traffic it carries.
    Customer,
    /// Anything else.
    Note,
}

/// A text without control characters and without white space around it; never empty, at most [`ANNOTATION_MAX_BYTES`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Annotation(Box<str>);

/// The annotations of an allocation. Without any it is one null pointer; cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Annotations(Option<Arc<Texts>>);

/// At least one is present.
type Texts = [Option<Annotation>; AnnotationField::ALL.len()];

/// Why a text is no valid [`Annotation`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AnnotationError {
    /// Over [`ANNOTATION_MAX_BYTES`].
    #[error("it has {bytes} bytes, the limit is {ANNOTATION_MAX_BYTES}")]
    TooLong {
        /// Its length without the white space around it.
        bytes: usize,
    },
    /// Tabs, line ends, NUL and the like.
    #[error("it contains the control character U+{code_point:04X}")]
    ControlCharacter {
        /// The first such character.
        code_point: u32,
    },
}

impl AnnotationField {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Name, Self::Customer, Self::Note];

    /// Its word, the same wherever it is spoken or stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Customer => "customer",
            Self::Note => "note",
        }
    }

    const fn at(self) -> usize {
        self as usize
    }
}

impl Annotation {
    /// Checks `text`; `None` if there is only white space in it.
    ///
    /// # Errors
    /// The text is too long or has a control character.
    pub fn parse(text: &str) -> Result<Option<Self>, AnnotationError> {
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(AnnotationError::ControlCharacter { code_point: u32::from(c) });
        }
        let text = text.trim();
        if text.len() > ANNOTATION_MAX_BYTES {
            return Err(AnnotationError::TooLong { bytes: text.len() });
        }
        Ok(Some(text).filter(|text| !text.is_empty()).map(|text| Self(text.into())))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Annotations {
    /// The text of a field.
    pub fn get(&self, field: AnnotationField) -> Option<&Annotation> {
        self.0.as_deref()?[field.at()].as_ref()
    }

    /// The fields that have a text, in the order of [`AnnotationField::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (AnnotationField, &Annotation)> {
        AnnotationField::ALL.into_iter().filter_map(|field| Some((field, self.get(field)?)))
    }

    /// Whether no field has a text.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// With these fields set or, where there is no text, cleared; the others as they are.
    #[must_use]
    pub fn with(&self, changes: impl IntoIterator<Item = (AnnotationField, Option<Annotation>)>) -> Self {
        let mut texts = self.0.as_deref().cloned().unwrap_or_default();
        for (field, text) in changes {
            texts[field.at()] = text;
        }
        Self(texts.iter().any(Option::is_some).then(|| Arc::new(texts)))
    }
}

impl FromIterator<(AnnotationField, Option<Annotation>)> for Annotations {
    fn from_iter<I: IntoIterator<Item = (AnnotationField, Option<Annotation>)>>(texts: I) -> Self {
        Self::default().with(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_trimmed_and_bounded() {
        let parse = |text: &str| Annotation::parse(text).map(|parsed| parsed.map(|text| text.to_string()));
        assert_eq!(parse("  São Paulo – east "), Ok(Some("São Paulo – east".to_owned())));
        assert_eq!((parse(""), parse("   ")), (Ok(None), Ok(None)));
        assert_eq!(parse("a\tb"), Err(AnnotationError::ControlCharacter { code_point: 9 }));
        assert_eq!(parse("\n"), Err(AnnotationError::ControlCharacter { code_point: 10 }));
        assert_eq!(parse("a\u{85}"), Err(AnnotationError::ControlCharacter { code_point: 0x85 }));
        // 85 characters of three bytes.
        assert!(parse(&"–".repeat(85)).is_ok_and(|text| text.is_some()));
        assert_eq!(parse(&"–".repeat(86)), Err(AnnotationError::TooLong { bytes: 258 }));
    }

    #[test]
    fn nothing_annotated_is_nothing_held() {
        let text = |text| Annotation::parse(text).unwrap();
        let named: Annotations =
            [(AnnotationField::Name, text("east")), (AnnotationField::Note, None)].into_iter().collect();
        let words: Vec<_> = named.iter().map(|(field, text)| (field.as_str(), text.as_str())).collect();
        assert_eq!(words, [("name", "east")]);
        let sold = named.with([(AnnotationField::Customer, text("ACME"))]);
        assert_eq!(sold.iter().count(), 2);
        assert_eq!(sold.with([(AnnotationField::Customer, None)]), named);
        let cleared = named.with([(AnnotationField::Name, None)]);
        assert!(cleared.is_empty() && !named.is_empty());
        assert_eq!((cleared, size_of::<Annotations>()), (Annotations::default(), size_of::<usize>()));
    }
}
