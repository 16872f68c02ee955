//! What the service decides for its broker: access tokens and those of an OpenID provider are passwords, certificates of clients
//! are the principals that they are on the other door, what aggregators are told is the service's to say, and a report that
//! cannot be read is refused where MQTT has words for it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use super::topics::{self, AggregatorTopicName, TopicError, TopicKind};
use crate::auth::{Authenticator, Identity, LEEWAY_S, PeerCertificate, TokenStore};
use api::access::Role;
use formats::aggregator::{self as documents, AggregatorId, UnreadableReport};
use kernel::id::Name;
use mqtt::auth::{AccessPolicy, KnownClient, PasswordLookup, Rules};
use mqtt::codec::Reason;

/// How many faults wait to be told to aggregators; more are only counted by the broker.
const FAULTS_MAX: usize = 256;

/// How many ends of credentials are known to the second; clients with others are looked at with all, now and then.
const ENDS_MAX: usize = 10_000;

/// Reports that could not be read, for those who sent them.
pub struct ReportFaults(pub(super) mpsc::Receiver<(Name, UnreadableReport)>);

/// The service's part of the broker's access.
#[derive(Debug)]
pub struct BrokerPolicy {
    authenticator: Authenticator,
    faults: mpsc::Sender<(Name, UnreadableReport)>,
    /// When credentials end that clients came in by, in seconds since 1970.
    ends: Mutex<BTreeSet<u64>>,
}

impl BrokerPolicy {
    /// A policy under which these principals come in, and what it will have to tell.
    pub fn new(authenticator: Authenticator) -> (Arc<Self>, ReportFaults) {
        let (faults, receiver) = mpsc::channel(FAULTS_MAX);
        (Arc::new(Self { authenticator, faults, ends: Mutex::default() }), ReportFaults(receiver))
    }

    /// The tokens that are passwords.
    pub(crate) fn tokens(&self) -> Option<&TokenStore> {
        self.authenticator.tokens()
    }

    /// Whether there are credentials that end without a word of the store of tokens.
    pub(crate) fn expects_ends(&self) -> bool {
        self.authenticator.has_provider() || !self.authenticator.certificates().is_empty()
    }

    /// Whether credentials have ended since this was asked last.
    pub(crate) fn has_ended(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let later = ends.split_off(&(now + 1));
        !std::mem::replace(&mut *ends, later).is_empty()
    }

    /// The principal as a client of the broker. That of a token of the database is told by its store when it ends.
    /// `leeway_s` is how long it is good beyond its end.
    fn client(&self, principal: Identity, leeway_s: u64) -> Option<KnownClient> {
        let rules = Rules::parse(&rules_of(&principal)).ok()?;
        if let (Some(ends_at), None) = (principal.expires_at, principal.token) {
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            if ends.len() < ENDS_MAX {
                ends.insert((ends_at.0 / 1_000).saturating_add(leeway_s + 1));
            }
        }
        Some((Arc::from(principal.name?.as_str()), rules))
    }
}

impl AccessPolicy for BrokerPolicy {
    fn admit<'a>(&'a self, password: &'a [u8], from: Option<SocketAddr>) -> PasswordLookup<'a> {
        Box::pin(async move {
            let Ok(password) = std::str::from_utf8(password) else { return Ok(None) };
            match self.authenticator.find_password(password, from).await {
                Ok(found) => Ok(found.and_then(|principal| self.client(principal, LEEWAY_S))),
                Err(_) => Err(Reason::ServerUnavailable),
            }
        })
    }

    fn is_costly(&self, password: &[u8]) -> bool {
        std::str::from_utf8(password).is_ok_and(|password| self.authenticator.is_signed(password))
    }

    fn verify(&self, password: &[u8]) -> Option<KnownClient> {
        let password = std::str::from_utf8(password).ok()?;
        self.client(self.authenticator.find_known_password(password)?, LEEWAY_S)
    }

    fn knows_certificates(&self) -> bool {
        !self.authenticator.certificates().is_empty()
    }

    fn identify(&self, certificate: &[u8]) -> Option<KnownClient> {
        let read = PeerCertificate::read(certificate)?;
        self.client(self.authenticator.certificates().find_now(&read)?, 0)
    }

    fn is_own(&self, user: Option<&str>, topic: &str) -> bool {
        topics::read(topic).map_or(true, |AggregatorTopicName { id, .. }| Some(id.as_str()) == user)
    }

    fn is_reserved(&self, topic: &str) -> bool {
        topics::is_told(topic)
    }

    fn check_payload(&self, topic: &str, payload: &[u8]) -> Result<(), String> {
        let id = match topics::read(topic) {
            Ok(AggregatorTopicName { id, kind: TopicKind::Metadata }) => id,
            // No aggregator has this id, so that none is told under a topic.
            Err(TopicError::Id(fault)) => return Err(fault.to_string()),
            Ok(_) | Err(TopicError::Form) => return Ok(()),
        };
        documents::read_report(payload).map(drop).map_err(|fault| {
            let text = fault.to_string();
            // An aggregator that sends nonsense without end is not told each time.
            let _ = self.faults.try_send((id, fault));
            text
        })
    }
}

/// What a role may do over MQTT: an aggregator its own, engineers everything, the others read what the service says.
fn rules_of(principal: &Identity) -> String {
    match (principal.role, &principal.aggregator) {
        // What is no id of an aggregator might be a filter that matches all of them.
        (Role::Aggregator, Some(id)) if AggregatorId::new(id.as_str()).is_err() => String::new(),
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
    fn a_subject_of_a_provider_is_no_filter() {
        let rules = |id: &str| {
            let aggregator = Some(Name::new(id).unwrap());
            rules_of(&Identity { role: Role::Aggregator, aggregator, ..Identity::local() })
        };
        assert!(rules("gw 1").contains("aggregators/gw 1/metadata"));
        for id in ["+", "#", "a/b", "$x", ".."] {
            assert_eq!(rules(id), "", "{id}");
        }
    }

    #[test]
    fn a_user_reports_as_the_aggregator_of_its_name() {
        let (policy, _) = BrokerPolicy::new(Authenticator::default());
        let of = |id: &str, rest: &str| format!("watermaster/v1/aggregators/{id}/{rest}");
        for rest in ["metadata", "state"] {
            assert!(policy.is_own(Some("gw 1"), &of("gw 1", rest)) && !policy.is_own(Some("gw 1"), &of("gw 2", rest)));
            assert!(!policy.is_own(None, &of("gw 1", rest)));
        }
        assert!(
            policy.is_own(Some("gw 1"), "elsewhere")
                && policy.is_own(None, "elsewhere")
                && policy.is_reserved(&of("gw 1", "rates"))
        );
        assert!(!policy.knows_certificates() && policy.identify(b"no certificate").is_none());
    }
}
