//! The topics of aggregators, and what is said under them.

use formats::aggregator::{AggregatorId, AggregatorIdError};
use kernel::id::Name;

/// What the orchestrator listens to.
pub(super) const FILTERS: [&str; 2] = ["watermaster/v1/aggregators/+/metadata", "watermaster/v1/aggregators/+/state"];
const PREFIX: &str = "watermaster/v1/aggregators/";

/// A topic of an aggregator.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Topic {
    pub(super) id: Name,
    pub(super) said: TopicKind,
}

/// What is said there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TopicKind {
    Metadata,
    State,
}

/// Why a topic is none of an aggregator's.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum TopicError {
    /// The id cannot be one.
    #[error(transparent)]
    Id(#[from] AggregatorIdError),
    /// It has other levels.
    #[error("it is not of the form {PREFIX}<id>/metadata or /state")]
    Form,
}

pub(super) fn read(topic: &str) -> Result<Topic, TopicError> {
    let inner = topic.strip_prefix(PREFIX).ok_or(TopicError::Form)?;
    let (id, said) = inner.split_once('/').ok_or(TopicError::Form)?;
    let said = match said {
        "metadata" => TopicKind::Metadata,
        "state" => TopicKind::State,
        _ => return Err(TopicError::Form),
    };
    let AggregatorId(id) = AggregatorId::new(id)?;
    Ok(Topic { id, said })
}

/// Where an aggregator is told what it may send.
pub(super) fn rates(id: &Name) -> String {
    format!("{PREFIX}{id}/rates")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_aggregators_are_told_from_others() {
        let topic = read("watermaster/v1/aggregators/ag 1/state").unwrap();
        assert_eq!((topic.id.as_str(), topic.said), ("ag 1", TopicKind::State));
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
