//! Who may come in, as `serve` and `broker` are told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::database_args::given_or_read;
use crate::config::{AccessConfig, Authentication, ConfigError, Secret};

/// Who may come in over HTTP.
#[derive(Args, Debug, Default)]
pub struct AccessArguments {
    /// Whether a token is needed [default: optional on an address of this machine, required elsewhere].
    #[arg(long, env = "WATERMASTER_AUTHENTICATION", value_name = "WHEN")]
    authentication: Option<Authentication>,
    /// Ask nobody who they are, whatever the address.
    #[arg(long, env = "WATERMASTER_INSECURE_NO_AUTHENTICATION")]
    insecure_no_authentication: bool,
    /// A token with the rights of an administrator; better given by a file.
    #[arg(long, env = "WATERMASTER_ADMIN_TOKEN", hide_env_values = true, hide = true)]
    admin_token: Option<String>,
    /// A file that holds a token with the rights of an administrator, besides those that are made.
    #[arg(long, env = "WATERMASTER_ADMIN_TOKEN_FILE", value_name = "FILE", conflicts_with = "admin_token")]
    admin_token_file: Option<PathBuf>,
    /// The URL of an OpenID provider whose tokens are accepted.
    #[arg(long, env = "WATERMASTER_OIDC_ISSUER", value_name = "URL")]
    oidc_issuer: Option<String>,
    /// For whom its tokens have to be [default: watermaster].
    #[arg(long, env = "WATERMASTER_OIDC_AUDIENCE", value_name = "AUDIENCE")]
    oidc_audience: Option<String>,
    /// What the dashboard is called at that provider, a public client: people sign in there.
    #[arg(long, env = "WATERMASTER_OIDC_CLIENT_ID", value_name = "ID")]
    oidc_client_id: Option<String>,
    /// What the dashboard asks the provider for, separated by spaces [default: openid].
    #[arg(long, env = "WATERMASTER_OIDC_SCOPE", value_name = "SCOPE")]
    oidc_scope: Option<String>,
    /// The claim of its tokens that has the role [default: role].
    #[arg(long, env = "WATERMASTER_OIDC_ROLE_CLAIM", value_name = "CLAIM")]
    oidc_role_claim: Option<String>,
    /// The claim of its tokens that has the tenant [default: tenant].
    #[arg(long, env = "WATERMASTER_OIDC_TENANT_CLAIM", value_name = "CLAIM")]
    oidc_tenant_claim: Option<String>,
    /// Let anybody read /metrics.
    #[arg(long, env = "WATERMASTER_OPEN_METRICS")]
    open_metrics: bool,
}

impl AccessArguments {
    /// What is said, as a part of the configuration.
    ///
    /// # Errors
    /// The file of the token cannot be read.
    pub(super) fn config(&self) -> Result<AccessConfig, ConfigError> {
        let token = given_or_read(self.admin_token.as_ref(), self.admin_token_file.as_deref())?;
        Ok(AccessConfig {
            authentication: self.authentication,
            insecure_no_authentication: self.insecure_no_authentication.then_some(true),
            admin_token: token.map(Secret),
            open_metrics: self.open_metrics.then_some(true),
            oidc_issuer: self.oidc_issuer.clone(),
            oidc_audience: self.oidc_audience.clone(),
            oidc_client_id: self.oidc_client_id.clone(),
            oidc_scope: self.oidc_scope.clone(),
            oidc_role_claim: self.oidc_role_claim.clone(),
            oidc_tenant_claim: self.oidc_tenant_claim.clone(),
            oidc_roles: BTreeMap::new(),
            certificates: Vec::new(),
        })
    }
}
