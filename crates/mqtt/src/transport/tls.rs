//! TLS by rustls with ring. Certificates are read once, at the start; with an authority for clients, a client that shows a
//! certificate of another does not come in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{NoServerSessionStorage, ServerConfig, VerifierBuilderError};
use rustls::{CertificateError, OtherError, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
pub use tokio_rustls::server::TlsStream;

use super::client_verifier::{Absence, verifier};
use crate::limits::HANDSHAKE_WAIT;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of certificates or the key cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system or of the format.
        error: pem::Error,
    },
    /// A file has no certificate in it.
    #[error("{}: no certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not go together, or cannot be used.
    #[error("certificate or key: {0}")]
    Rustls(#[from] rustls::Error),
    /// The authority for clients cannot be used.
    #[error("the authority for clients: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

/// What clients are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientCertificates<'a> {
    /// No certificate.
    NotAsked,
    /// One that an authority in this file signed, if they have one.
    Optional(&'a Path),
    /// Such a certificate; without one they do not come in.
    Required(&'a Path),
}

/// The server's side of TLS.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl Tls {
    /// From PEM files: the server's chain of certificates, its key and, if clients are asked for one, the authorities of
    /// theirs.
    pub fn read(chain: &Path, key: &Path, clients: ClientCertificates<'_>) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificates = certificates(chain)?;
        let unreadable = |error| TlsError::Unreadable { path: key.to_owned(), error };
        let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable)?;
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let authorities = match clients {
            ClientCertificates::NotAsked => None,
            ClientCertificates::Optional(path) => Some((path, Absence::Admitted)),
            ClientCertificates::Required(path) => Some((path, Absence::Refused)),
        };
        let builder = match authorities {
            None => builder.with_no_client_auth(),
            Some((path, absence)) => {
                let mut roots = RootCertStore::empty();
                for certificate in self::certificates(path)? {
                    roots.add(certificate)?;
                }
                builder.with_client_cert_verifier(verifier(roots, absence, provider)?)
            }
        };
        let mut config = builder.with_single_cert(certificates, key)?;
        if clients != ClientCertificates::NotAsked {
            // A session that is resumed has its client's certificate looked at no more.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// The certificate that the client of a connection has proved to be its own.
    pub fn client_certificate<S>(stream: &TlsStream<S>) -> Option<&[u8]> {
        let (_, connection) = stream.get_ref();
        connection.peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// What is wrong with the certificate of a client, if a handshake failed for that and not for anything else.
    pub fn refusal(error: &io::Error) -> Option<String> {
        match error.get_ref()?.downcast_ref()? {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => Some(cause.to_string()),
            cause @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                Some(cause.to_string())
            }
            _ => None,
        }
    }

    /// The same, which offers clients these protocols (ALPN, RFC 7301), the first before the others.
    #[must_use]
    pub fn offering(&self, protocols: &[&[u8]]) -> Tls {
        let mut config = ServerConfig::clone(self.acceptor.config());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Tls { acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// The handshake.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match tokio::time::timeout(HANDSHAKE_WAIT, self.acceptor.accept(stream)).await {
            Ok(accepted) => accepted,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { path: path.to_owned(), error };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}
