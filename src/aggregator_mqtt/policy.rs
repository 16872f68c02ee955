//! What the service decides for its broker: access tokens are passwords, certificates of clients are the principals that they
//! are on the other door, what aggregators are told is the service's to say, and
//! a report that cannot be read is refused where MQTT has words for it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::topics::{self, AggregatorTopicName, TopicError, TopicKind};
use crate::auth::{CertificatePrincipals, Identity, PeerCertificate, TokenStore};
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
    certificates: Arc<CertificatePrincipals>,
    faults: mpsc::Sender<(Name, String)>,
}

impl BrokerPolicy {
    /// A policy that takes these tokens for passwords and knows these certificates, and what it will have to tell.
    pub fn new(tokens: Option<TokenStore>, certificates: Arc<CertificatePrincipals>) -> (Arc<Self>, ReportFaults) {
        let (faults, receiver) = mpsc::channel(FAULTS_MAX);
        (Arc::new(Self { tokens, certificates, faults }), ReportFaults(receiver))
    }
}

impl AccessPolicy for BrokerPolicy {
    fn verify(&self, password: &[u8]) -> Option<Rules> {
        let token = std::str::from_utf8(password).ok()?;
        let principal = self.tokens.as_ref()?.find_known(token)?;
        Rules::parse(&rules_of(&principal)).ok()
    }

    fn knows_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }

    fn identify(&self, certificate: &[u8]) -> Option<(Arc<str>, Rules)> {
        let principal = PeerCertificate::read(certificate).and_then(|read| self.certificates.find_now(&read))?;
        let rules = Rules::parse(&rules_of(&principal)).ok()?;
        Some((Arc::from(principal.name?.as_str()), rules))
    }

    fn is_own(&self, user: &str, topic: &str) -> bool {
        topics::read(topic).map_or(true, |AggregatorTopicName { id, .. }| id.as_str() == user)
    }

    fn is_reserved(&self, topic: &str) -> bool {
        topics::is_told(topic)
    }

    fn is_well_formed(&self, topic: &str, payload: &[u8]) -> bool {
        let id = match topics::read(topic) {
            Ok(AggregatorTopicName { id, kind: TopicKind::Metadata }) => id,
            // No aggregator has this id, so that none is told.
            Err(TopicError::Id(_)) => return false,
            Ok(_) | Err(TopicError::Form) => return true,
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_reports_as_the_aggregator_of_its_name() {
        let (policy, _) = BrokerPolicy::new(None, Arc::default());
        let of = |id: &str, rest: &str| format!("watermaster/v1/aggregators/{id}/{rest}");
        for rest in ["metadata", "state"] {
            assert!(policy.is_own("gw 1", &of("gw 1", rest)) && !policy.is_own("gw 1", &of("gw 2", rest)));
        }
        assert!(policy.is_own("gw 1", "elsewhere") && policy.is_reserved(&of("gw 1", "rates")));
        assert!(!policy.knows_certificates() && policy.identify(b"no certificate").is_none());
    }
}
