//! The certificate of the interface, and the authorities of its clients' certificates: read again when a file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::config::{ClientCertificateDemand, Config};
use mqtt::transport::{ClientCertificates, Tls, TlsError};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The files of TLS.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    chain: PathBuf,
    key: PathBuf,
    client_authorities: Option<(PathBuf, ClientCertificateDemand)>,
}

impl TlsFiles {
    /// Those of a configuration; `None`: the interface does not speak TLS.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let (chain, key) = config.tls_certificate.clone().zip(config.tls_key.clone())?;
        let client_authorities = config.tls_client_ca.clone().zip(config.tls_client_certificates);
        Some(Self { chain, key, client_authorities })
    }

    fn load(&self) -> Result<Tls, TlsError> {
        let clients = match &self.client_authorities {
            None => ClientCertificates::NotAsked,
            Some((path, ClientCertificateDemand::Optional)) => ClientCertificates::Optional(path),
            Some((path, ClientCertificateDemand::Required)) => ClientCertificates::Required(path),
        };
        Ok(Tls::read(&self.chain, &self.key, clients)?.offering(&[b"h2", b"http/1.1"]))
    }

    /// When each file was changed; `None`: one of them is not there.
    fn changed_at(&self) -> Option<Vec<SystemTime>> {
        let at = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let authorities = self.client_authorities.iter().map(|(path, _)| path);
        [&self.chain, &self.key].into_iter().chain(authorities).map(|path| at(path)).collect()
    }
}

/// A certificate that is read again when its files change.
pub(super) struct RestCertificate {
    files: TlsFiles,
    tls: ArcSwap<Tls>,
}

impl RestCertificate {
    pub(super) fn read(files: TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { tls: ArcSwap::from_pointee(files.load()?), files })
    }

    /// As the files were last.
    pub(super) fn tls(&self) -> Arc<Tls> {
        self.tls.load_full()
    }

    /// Files that cannot be used change nothing. Connections that are there stay as they began.
    pub(super) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut seen = self.files.changed_at();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            let now = self.files.changed_at();
            if now.is_none() || now == seen {
                continue;
            }
            seen = now;
            match self.files.load() {
                Ok(tls) => {
                    self.tls.store(Arc::new(tls));
                    tracing::info!("the certificate was read again");
                }
                Err(error) => tracing::error!(%error, "the certificate stays as it was"),
            }
        }
    }
}
