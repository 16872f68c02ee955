//! The topics of aggregators.

use formats::aggregator::{AggregatorId, AggregatorIdError};
use kernel::id::Name;

/// What the orchestrator subscribes to.
pub(super) const FILTERS: [&str; 2] = ["watermaster/v1/aggregators/+/metadata", "watermaster/v1/aggregators/+/state"];
const PREFIX: &str = "watermaster/v1/aggregators/";

/// A topic of an aggregator.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct AggregatorTopicName {
    pub(super) id: Name,
    pub(super) kind: TopicKind,
}

/// What a message under the topic is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TopicKind {
    Metadata,
    State,
}

/// A topic is not that of an aggregator.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum TopicError {
    /// The id is invalid.
    #[error(transparent)]
    Id(#[from] AggregatorIdError),
    /// It has other levels.
    #[error("invalid topic: it is not of the form {PREFIX}<id>/metadata or /state")]
    Form,
}

pub(super) fn read(topic: &str) -> Result<AggregatorTopicName, TopicError> {
    let inner = topic.strip_prefix(PREFIX).ok_or(TopicError::Form)?;
    let (id, kind) = inner.split_once('/').ok_or(TopicError::Form)?;
    let kind = match kind {
        "metadata" => TopicKind::Metadata,
        "state" => TopicKind::State,
        _ => return Err(TopicError::Form),
    };
    let AggregatorId(id) = AggregatorId::new(id)?;
    Ok(AggregatorTopicName { id, kind })
}

/// The topic of an aggregator's rates.
pub(super) fn rates(id: &Name) -> String {
    of(id, "rates")
}

/// The topic where an aggregator is told why a report was refused.
pub(super) fn errors(id: &Name) -> String {
    of(id, "errors")
}

/// A topic of an aggregator.
pub(super) fn of(id: &Name, rest: &str) -> String {
    format!("{PREFIX}{id}/{rest}")
}

/// Whether aggregators are told something there: nobody but the service publishes it.
pub(super) fn is_told(topic: &str) -> bool {
    let inner = topic.strip_prefix(PREFIX).and_then(|inner| inner.split_once('/'));
    inner.is_some_and(|(_, rest)| matches!(rest, "rates" | "errors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_aggregators_are_told_from_others() {
        let topic = read("watermaster/v1/aggregators/ag 1/state").unwrap();
        assert_eq!((topic.id.as_str(), topic.kind), ("ag 1", TopicKind::State));
        assert_eq!(rates(&topic.id), "watermaster/v1/aggregators/ag 1/rates");
        for other in [
            "watermaster/v1/aggregators//state",
            "watermaster/v1/aggregators/a/b/state",
            "x/a/state",
            "watermaster/v1/aggregators/$a/metadata",
            "watermaster/v1/aggregators/a/rates",
        ] {
            assert!(read(other).is_err(), "{other}");
        }
    }
}
