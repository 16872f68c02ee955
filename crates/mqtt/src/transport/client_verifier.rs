//! Which certificates of clients come in. What is wrong with one that does not is for the log alone: the alert that the client
//! is sent is the same for each reason.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};

/// What is asked of clients that show no certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Absence {
    /// Nothing.
    Admitted,
    /// They do not come in.
    Refused,
}

/// rustls's verifier, with one alert for every refusal.
#[derive(Debug)]
struct DiscreetVerifier(Arc<dyn ClientCertVerifier>);

/// A verifier of certificates that these authorities signed.
pub(super) fn verifier(
    authorities: RootCertStore,
    absence: Absence,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
    let builder = match absence {
        Absence::Admitted => builder.allow_unauthenticated(),
        Absence::Refused => builder,
    };
    Ok(Arc::new(DiscreetVerifier(builder.build()?)))
}

impl ClientCertVerifier for DiscreetVerifier {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // An error of another kind has the alert certificate_unknown (RFC 8446 section 6.2).
        let discreet =
            |error| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(RefusedCertificate(error)))));
        self.0.verify_client_cert(end_entity, intermediates, now).map_err(discreet)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// What is wrong with a certificate.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct RefusedCertificate(Error);
