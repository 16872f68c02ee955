//! The principals of clients' certificates, as a configuration names them: the same on every door.

use super::role;
use crate::auth::{CertificateEntry, CertificateEntryError, CertificatePrincipals};
use crate::config::CertificateConfig;

/// The principals that a configuration names.
///
/// # Errors
/// An entry has no kind of subject, a name is none, or a subject is there twice.
pub(super) fn principals(entries: &[CertificateConfig]) -> Result<CertificatePrincipals, CertificateEntryError> {
    let entries = entries.iter().map(|entry| CertificateEntry {
        subject: entry.subject.clone(),
        name: entry.name.clone(),
        role: role(entry.role),
        tenant: entry.tenant.clone(),
        aggregator: entry.aggregator.clone(),
    });
    CertificatePrincipals::new(entries.collect())
}
