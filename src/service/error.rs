//! Why a service, or a broker's replica, cannot run.

use std::net::SocketAddr;

use crate::app::{AppStartError, SubmitError};
use crate::auth::{CertificateEntryError, ProviderError};
use crate::journal::{DatabaseUrlError, JournalError};
use kernel::id::NameError;
use kernel::scheduler::settings::SettingsError;
use mqtt::auth::AccessError;
use mqtt::transport::TlsError;

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The database's address is not valid.
    #[error(transparent)]
    Url(#[from] DatabaseUrlError),
    /// The database cannot be opened.
    #[error("the database cannot be opened: {0}")]
    Journal(Box<JournalError>),
    /// The journal cannot be used.
    #[error(transparent)]
    Start(Box<AppStartError>),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        address: SocketAddr,
        /// What the system answered.
        error: std::io::Error,
    },
    /// The files of users or rules cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The broker's store cannot be opened.
    #[error("the broker's store cannot be opened: {0}")]
    Broker(#[from] mqtt::BrokerStartError),
    /// Authentication is required, and nobody could be let in.
    #[error(
        "authentication is required, and there is no token: make one with 'watermaster token create --role admin', or give \
         --admin-token-file"
    )]
    NoTokens,
    /// The same, for operators of a broker alone, which has no tokens of its own.
    #[error(
        "--operator-listen asks for authentication, and there is no credential that would be accepted: give \
         --admin-token-file, or --oidc-issuer"
    )]
    NoOperatorCredentials,
    /// Others cannot find it there.
    #[error("'{0}' is not the URL of a service: give one such as https://net.example/watermaster/")]
    PublicUrl(String),
    /// The controller that credentials are for has no URL.
    #[error("'{0}' is not the URL of a controller")]
    ControllerUrl(String),
    /// An entry for certificates of clients is wrong.
    #[error(transparent)]
    Certificate(#[from] CertificateEntryError),
    /// The client for the OpenID provider cannot be made.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Serving failed.
    #[error("serving failed: {0}")]
    Serve(std::io::Error),
    /// The first topology cannot be read or written; a defect or a broken database.
    #[error("the first topology cannot be read: {0}")]
    FirstTopology(Box<formats::ImportError>),
    /// A setting of the scheduler is out of its range.
    #[error("invalid scheduler settings: {0}")]
    Scheduler(#[from] SettingsError),
    /// The first topology's name, or that of the scheduler's topology, is not valid.
    #[error("invalid topology name: {0}")]
    FirstName(#[from] NameError),
    /// The first topology cannot be written to the journal.
    #[error("the first topology cannot be written to the journal: {0}")]
    Submit(#[from] SubmitError),
}
