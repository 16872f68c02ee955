//! The annotations of an allocation: as they are stored with it, and as ended allocations are found by them.

use serde::{Deserialize, Serialize};

use super::scalars::StoredAnnotation;
use super::statement::FRAME;
use kernel::annotation::{Annotation, AnnotationField, Annotations};

/// The annotations of one allocation; at least one.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct AnnotationsRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<StoredAnnotation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer: Option<StoredAnnotation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<StoredAnnotation>,
}

impl AnnotationsRecord {
    /// `None` where there are no annotations, so that records without any are as they ever were.
    pub(super) fn of(annotations: &Annotations) -> Option<Box<Self>> {
        let text = |field| annotations.get(field).cloned().map(StoredAnnotation);
        let record = || Self {
            name: text(AnnotationField::Name),
            customer: text(AnnotationField::Customer),
            note: text(AnnotationField::Note),
        };
        (!annotations.is_empty()).then(|| Box::new(record()))
    }

    pub(super) fn read(record: Option<&Self>) -> Annotations {
        let Some(record) = record else { return Annotations::default() };
        let text = |field, stored: &Option<StoredAnnotation>| (field, stored.as_ref().map(|stored| stored.0.clone()));
        [
            text(AnnotationField::Name, &record.name),
            text(AnnotationField::Customer, &record.customer),
            text(AnnotationField::Note, &record.note),
        ]
        .into_iter()
        .collect()
    }
}

/// The column in which ended allocations are looked for; none without annotations.
pub(super) fn searchable(annotations: &Annotations) -> Option<String> {
    let part = |(field, text): (AnnotationField, &Annotation)| format!("{}={text}{FRAME}", field.as_str());
    (!annotations.is_empty()).then(|| format!("{FRAME}{}", annotations.iter().map(part).collect::<String>()))
}

/// Which text of an annotation is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnotationFilter {
    /// A part of [`searchable`], so that living and ended allocations are found by the same rule.
    pub(super) part: String,
}

impl AnnotationFilter {
    /// The text as it is, or, before a trailing `*`, its beginning.
    pub fn new(field: AnnotationField, wanted: &str) -> Self {
        let field = field.as_str();
        Self {
            part: match wanted.strip_suffix('*') {
                Some(beginning) => format!("{FRAME}{field}={}", beginning.trim_start()),
                None => format!("{FRAME}{field}={}{FRAME}", wanted.trim()),
            },
        }
    }

    /// Whether the annotations are among those wanted.
    pub fn matches(&self, annotations: &Annotations) -> bool {
        searchable(annotations).is_some_and(|text| text.contains(&self.part))
    }
}
