//! What aggregators and the scheduler say to each other, over HTTP and MQTT alike: metadata one way, rates the other. The
//! only place where these documents are written down, one file each; `openapi/asyncapi-v1.yaml` shows them, and a test
//! compares.

mod id;
pub use id::{AGGREGATOR_ID_MAX_BYTES, AggregatorId, AggregatorIdError};
mod metadata;
pub use metadata::{
    LevelDocument, METADATA_MAX_BYTES, MetadataDocument, MetadataError, SubscriberDocument, TopicDocument,
};
mod rates;
pub use rates::{DestinationDocument, FallbackDocument, LevelRateDocument, RatesDocument};
mod view;
pub use view::{AggregatorDocument, DemandDocument, StandingWord};
