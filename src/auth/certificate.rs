//! Certificates of clients (mutual TLS) as credentials. TLS has verified them by then; here is whose they are.
//!
//! A certificate has subjects: `URI:...`, `DNS:...` and `email:...` of its subject alternative name or, only where it has none
//! of those, `CN:...` of its subject (RFC 9525 section 2). The kind is a part of the subject, so that a name of one kind is never
//! taken for the same text of another.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::Identity;
use api::access::Role;
use kernel::id::{Name, NameError};
use kernel::units::Millis;

/// The kinds of subjects.
const KINDS: [&str; 4] = ["URI:", "DNS:", "email:", "CN:"];
/// How many subjects of a certificate are looked at.
const SUBJECTS_MAX: usize = 64;

/// A certificate that a client has proved to be its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerCertificate {
    subjects: Vec<String>,
    ends_at: Millis,
}

impl PeerCertificate {
    /// Reads a certificate in DER; `None`: it has no form that this program reads.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternative = certificate.subject_alternative_name().ok()?;
        let names = alternative.iter().flat_map(|names| &names.value.general_names);
        let mut subjects: Vec<String> = names.filter_map(subject).take(SUBJECTS_MAX).collect();
        if subjects.is_empty() {
            let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
            subjects.extend(common.map(|name| format!("CN:{name}")).take(SUBJECTS_MAX));
        }
        let ends_at_s = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        Some(Self { subjects, ends_at: Millis(ends_at_s.saturating_mul(1_000)) })
    }
}

/// A subject alternative name, if it is of a kind that counts. Names of hosts have no case (RFC 4343).
fn subject(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(uri) => Some(format!("URI:{uri}")),
        GeneralName::DNSName(host) => Some(format!("DNS:{}", host.to_lowercase())),
        GeneralName::RFC822Name(address) => Some(format!("email:{address}")),
        _ => None,
    }
}

/// Whose the certificates with a subject are, as the configuration says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateEntry {
    /// The subject with its kind, such as `DNS:provisioner.example.net`.
    pub subject: String,
    /// What events call them; absent: the subject.
    pub name: Option<String>,
    /// What they may do.
    pub role: Role,
    /// The tenant whose allocations they may see and change; absent: everybody's.
    pub tenant: Option<String>,
    /// The aggregator that they report for.
    pub aggregator: Option<String>,
}

/// Why an entry is of no certificate.
#[derive(Debug, thiserror::Error)]
#[error("invalid certificate entry '{subject}': {fault}")]
pub struct CertificateEntryError {
    subject: String,
    fault: CertificateEntryFault,
}

#[derive(Debug, thiserror::Error)]
enum CertificateEntryFault {
    #[error("the subject does not begin with URI:, DNS:, email: or CN:")]
    Kind,
    #[error("the subject is there twice")]
    Twice,
    #[error("it is for one aggregator if its role is 'aggregator', and for none otherwise")]
    Aggregator,
    #[error(transparent)]
    Name(#[from] NameError),
}

/// The principals of certificates, by subject.
#[derive(Clone, Debug, Default)]
pub struct CertificatePrincipals(BTreeMap<String, Identity>);

impl CertificatePrincipals {
    /// The principals that entries name.
    ///
    /// # Errors
    /// An entry has no kind of subject, a name is none, or a subject is there twice.
    pub fn new(entries: Vec<CertificateEntry>) -> Result<Self, CertificateEntryError> {
        let mut principals = BTreeMap::new();
        for entry in entries {
            let (subject, identity) = match principal(&entry) {
                Ok(principal) => principal,
                Err(fault) => return Err(CertificateEntryError { subject: entry.subject, fault }),
            };
            if principals.insert(subject, identity).is_some() {
                let fault = CertificateEntryFault::Twice;
                return Err(CertificateEntryError { subject: entry.subject, fault });
            }
        }
        Ok(Self(principals))
    }

    /// Whether no certificate is anybody's.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose a certificate is now.
    pub fn find_now(&self, certificate: &PeerCertificate) -> Option<Identity> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.find(certificate, Millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Whose a certificate is at an instant: by the first of its subjects that is known. A connection may outlive the
    /// certificate that it began with.
    fn find(&self, certificate: &PeerCertificate, now: Millis) -> Option<Identity> {
        let identity = certificate.subjects.iter().find_map(|subject| self.0.get(subject))?;
        let is_over = certificate.ends_at <= now;
        (!is_over).then(|| Identity { expires_at: Some(certificate.ends_at), ..identity.clone() })
    }
}

fn principal(entry: &CertificateEntry) -> Result<(String, Identity), CertificateEntryFault> {
    let CertificateEntry { subject, name, role, tenant, aggregator } = entry;
    if !KINDS.iter().any(|kind| subject.starts_with(kind)) {
        return Err(CertificateEntryFault::Kind);
    }
    if aggregator.is_some() != (*role == Role::Aggregator) {
        return Err(CertificateEntryFault::Aggregator);
    }
    let name_of = |text: &Option<String>| text.as_deref().map(Name::new).transpose();
    let identity = Identity {
        name: Some(Name::new(name.as_deref().unwrap_or(subject))?),
        role: *role,
        tenant: name_of(tenant)?,
        aggregator: name_of(aggregator)?,
        expires_at: None,
        token: None,
        token_id: None,
    };
    let subject = match subject.strip_prefix("DNS:") {
        Some(host) => format!("DNS:{}", host.to_lowercase()),
        None => subject.clone(),
    };
    Ok((subject, identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(subject: &str, role: Role) -> CertificateEntry {
        CertificateEntry { subject: subject.to_owned(), name: None, role, tenant: None, aggregator: None }
    }

    #[test]
    fn a_certificate_is_whose_its_first_known_subject_is() {
        let entries = vec![entry("DNS:Gw.Example", Role::Viewer), entry("email:a@b", Role::Engineer)];
        let principals = CertificatePrincipals::new(entries).unwrap();
        let certificate = |subjects: &[&str]| PeerCertificate {
            subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
            ends_at: Millis(5_000),
        };
        let whose = |subjects: &[&str], now| {
            let found = principals.find(&certificate(subjects), Millis(now))?;
            Some((found.name.unwrap().to_string(), found.role, found.expires_at))
        };
        let viewer = Some(("DNS:Gw.Example".to_owned(), Role::Viewer, Some(Millis(5_000))));
        assert_eq!(whose(&["URI:x", "DNS:gw.example", "email:a@b"], 0), viewer);
        assert_eq!(whose(&["CN:a@b", "URI:gw.example", "DNS:a@b"], 0), None);
        assert_eq!(whose(&["DNS:gw.example"], 5_000), None);
    }

    #[test]
    fn entries_are_checked() {
        let fault = |entries: Vec<CertificateEntry>| CertificatePrincipals::new(entries).unwrap_err().to_string();
        assert!(fault(vec![entry("gw.example", Role::Viewer)]).contains("does not begin with"));
        assert!(fault(vec![entry("CN:a", Role::Viewer), entry("CN:a", Role::Admin)]).contains("twice"));
        assert!(fault(vec![entry("DNS:A", Role::Viewer), entry("DNS:a", Role::Admin)]).contains("twice"));
        assert!(fault(vec![entry("CN:a", Role::Aggregator)]).contains("aggregator"));
        let unnamed = CertificateEntry { tenant: Some(String::new()), ..entry("CN:a", Role::Viewer) };
        assert!(fault(vec![unnamed]).contains("'CN:a'"));
        assert_eq!(PeerCertificate::read(b"no certificate"), None);
    }
}
