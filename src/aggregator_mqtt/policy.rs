//! What the service decides for its broker: access tokens are passwords, what aggregators are told is the service's to say, and
//! a report that cannot be read is refused where MQTT has words for it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::topics::{self, AggregatorTopicName, TopicKind};
use crate::auth::{Identity, TokenStore};
use api::access::Role;
use api::aggregator::{AggregatorMetadata, METADATA_MAX_BYTES};
use formats::aggregator as documents;
use kernel::id::Name;
use kernel::scheduler::report::Metadata;
use mqtt::auth::{AccessPolicy, Rules};

/// How many faults wait to be told to aggregators; more are only counted by the broker.
const FAULTS_MAX: usize = 256;

/// Reports that could not be read, for those who sent them.
pub struct ReportFaults(pub(super) mpsc::Receiver<(Name, String)>);

/// The service's part of the broker's access.
#[derive(Debug)]
pub struct BrokerPolicy {
    tokens: Option<TokenStore>,
    faults: mpsc::Sender<(Name, String)>,
}

impl BrokerPolicy {
    /// A policy that takes these tokens for passwords, and what it will have to tell.
    pub fn new(tokens: Option<TokenStore>) -> (Arc<Self>, ReportFaults) {
        let (faults, receiver) = mpsc::channel(FAULTS_MAX);
        (Arc::new(Self { tokens, faults }), ReportFaults(receiver))
    }
}

impl AccessPolicy for BrokerPolicy {
    fn verify(&self, password: &[u8]) -> Option<Rules> {
        let token = std::str::from_utf8(password).ok()?;
        let principal = self.tokens.as_ref()?.find_known(token)?;
        Rules::parse(&rules_of(&principal)).ok()
    }

    fn is_reserved(&self, topic: &str) -> bool {
        topics::is_told(topic)
    }

    fn is_well_formed(&self, topic: &str, payload: &[u8]) -> bool {
        let Ok(AggregatorTopicName { id, kind: TopicKind::Metadata }) = topics::read(topic) else { return true };
        match read_report(payload) {
            Ok(_) => true,
            Err(fault) => {
                // An aggregator that sends nonsense without end is not told each time.
                let _ = self.faults.try_send((id, fault));
                false
            }
        }
    }
}

/// What a report says, or why it cannot be read.
pub(super) fn read_report(payload: &[u8]) -> Result<Metadata, String> {
    if payload.len() > METADATA_MAX_BYTES {
        return Err(format!("the report is longer than {METADATA_MAX_BYTES} bytes"));
    }
    let document: AggregatorMetadata =
        serde_json::from_slice(&formats::plain_integers(payload)).map_err(|error| error.to_string())?;
    documents::report(&document).map_err(|error| error.to_string())
}

/// What a role may do over MQTT: an aggregator its own, engineers everything, the others read what the service says.
fn rules_of(principal: &Identity) -> String {
    match (principal.role, &principal.aggregator) {
        (Role::Aggregator, Some(id)) => {
            let topic = |access, rest| format!("topic {access} {}\n", topics::of(id, rest));
            [topic("write", "metadata"), topic("write", "state"), topic("read", "rates"), topic("read", "errors")]
                .concat()
        }
        (Role::Viewer | Role::Requester, _) if principal.tenant.is_some() => String::new(),
        (Role::Engineer | Role::Admin, _) => "topic readwrite #\n".to_owned(),
        _ => "topic read watermaster/#\n".to_owned(),
    }
}
