//! TLS whose files are read again when they change, so that certificates are renewed without a restart.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::tls::{Tls, TlsError};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

type Read = dyn Fn() -> Result<Tls, TlsError> + Send + Sync;

/// TLS as its files are.
pub struct RenewedTls {
    files: Vec<PathBuf>,
    read: Box<Read>,
    tls: RwLock<Arc<Tls>>,
}

impl RenewedTls {
    /// What `read` makes of the files.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn read(
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<Tls, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let tls = RwLock::new(Arc::new(read()?));
        Ok(Self { files, read: Box::new(read), tls })
    }

    /// As the files were last.
    pub fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows the files until `stop`. Files that cannot be used change nothing; connections that are there stay as they began.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut seen = self.changed_at();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            let now = self.changed_at();
            if now.is_none() || now == seen {
                continue;
            }
            seen = now;
            match (self.read)() {
                Ok(tls) => {
                    *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tls);
                    tracing::info!("the certificate was read again");
                }
                Err(error) => tracing::error!(%error, "the certificate stays as it was"),
            }
        }
    }

    /// When each file was changed; `None`: one of them is not there.
    fn changed_at(&self) -> Option<Vec<SystemTime>> {
        let at = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        self.files.iter().map(at).collect()
    }
}
