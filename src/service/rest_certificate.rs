//! The certificate of the interface, and the authorities of its clients' certificates.

use crate::config::{ClientCertificateDemand, Config};
use mqtt::transport::{ClientCertificates, RenewedTls, Tls, TlsError};

/// The TLS of a configuration, read again when a file changes; `None`: the interface does not speak it.
pub(super) fn rest_tls(config: &Config) -> Option<Result<RenewedTls, TlsError>> {
    let (chain, key) = config.tls_certificate.clone().zip(config.tls_key.clone())?;
    let authorities = config.tls_client_ca.clone().zip(config.tls_client_certificates);
    let files = [&chain, &key].into_iter().chain(authorities.iter().map(|(path, _)| path)).cloned().collect();
    let read = move || {
        let clients = match &authorities {
            None => ClientCertificates::NotAsked,
            Some((path, ClientCertificateDemand::Optional)) => ClientCertificates::Optional(path),
            Some((path, ClientCertificateDemand::Required)) => ClientCertificates::Required(path),
        };
        Ok(Tls::read(&chain, &key, clients)?.offering(&[b"h2", b"http/1.1"]))
    };
    Some(RenewedTls::read(files, read))
}
