//! Who may come in over the interface.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{ADMIN_TOKEN_MIN_BYTES, ConfigError, Secret};

/// Whether whoever sends a request has to say who they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// They have to.
    Required,
    /// They need not: without a token they may do everything. The default on an address of this machine alone.
    Optional,
}

/// Who may come in. Every key is optional.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessConfig {
    /// Whether a token is needed.
    pub authentication: Option<Authentication>,
    /// Nobody is asked who they are, whatever the address.
    pub insecure_no_authentication: Option<bool>,
    /// A token with the rights of an administrator, besides those in the database.
    pub admin_token: Option<Secret>,
    /// Anybody may read `/metrics`.
    pub open_metrics: Option<bool>,
    /// The URL of an OpenID provider whose tokens are accepted; it is the issuer that they name.
    pub oidc_issuer: Option<String>,
    /// For whom its tokens have to be.
    pub oidc_audience: Option<String>,
    /// What the dashboard is called at that provider: people sign in there. Absent: they give it a token.
    pub oidc_client_id: Option<String>,
    /// What the dashboard asks the provider for.
    pub oidc_scope: Option<String>,
    /// The claim of a token that has the role or roles; parts after dots are members of objects.
    pub oidc_role_claim: Option<String>,
    /// The claim that has the tenant.
    pub oidc_tenant_claim: Option<String>,
    /// Which role a value of the role claim stands for; without any, values are roles themselves.
    pub oidc_roles: BTreeMap<String, RoleWord>,
    /// The principals of clients' certificates.
    pub certificates: Vec<CertificateConfig>,
}

/// Whether clients of the interface have to show a certificate, where there is an authority for theirs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificateDemand {
    /// They may.
    #[default]
    Optional,
    /// They have to, whatever they ask for.
    Required,
}

/// Whose the certificates with a subject are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// The subject with its kind: `URI:`, `DNS:` or `email:` and a subject alternative name, or `CN:` and the common name of a
    /// certificate that has none of those.
    pub subject: String,
    /// What events call them; absent: the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What they may do.
    pub role: RoleWord,
    /// The tenant whose allocations they may see and change; absent: everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The aggregator that they report for; with the role `aggregator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregator: Option<String>,
}

/// A role, as a configuration names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are those of the interface")]
pub enum RoleWord {
    Viewer,
    Aggregator,
    Requester,
    Engineer,
    Admin,
}

impl AccessConfig {
    pub(crate) fn over(self, other: Self) -> Self {
        Self {
            authentication: self.authentication.or(other.authentication),
            insecure_no_authentication: self.insecure_no_authentication.or(other.insecure_no_authentication),
            admin_token: self.admin_token.or(other.admin_token),
            open_metrics: self.open_metrics.or(other.open_metrics),
            oidc_issuer: self.oidc_issuer.or(other.oidc_issuer),
            oidc_audience: self.oidc_audience.or(other.oidc_audience),
            oidc_client_id: self.oidc_client_id.or(other.oidc_client_id),
            oidc_scope: self.oidc_scope.or(other.oidc_scope),
            oidc_role_claim: self.oidc_role_claim.or(other.oidc_role_claim),
            oidc_tenant_claim: self.oidc_tenant_claim.or(other.oidc_tenant_claim),
            oidc_roles: if self.oidc_roles.is_empty() { other.oidc_roles } else { self.oidc_roles },
            certificates: if self.certificates.is_empty() { other.certificates } else { self.certificates },
        }
    }

    /// Whether nobody is asked, on purpose.
    pub(crate) fn is_insecure(&self) -> bool {
        self.insecure_no_authentication == Some(true)
    }

    /// Whether somebody is known besides the tokens of the database.
    fn has_credentials(&self) -> bool {
        self.admin_token.is_some() || self.oidc_issuer.is_some() || !self.certificates.is_empty()
    }

    /// Whether operators of a broker need a credential at an address.
    ///
    /// # Errors
    /// They would, and none is known.
    pub(crate) fn in_force_for_operators(&self, listen: SocketAddr) -> Result<Authentication, ConfigError> {
        // MQTT without credentials is no reason to need none here, where one is known.
        let is_closed = self.authentication.is_none() && !listen.ip().is_loopback() && self.has_credentials();
        if is_closed {
            return Ok(Authentication::Required);
        }
        self.in_force(listen).map_err(|error| match error {
            ConfigError::Unprotected { listen } => ConfigError::UnprotectedOperators { listen },
            other => other,
        })
    }

    /// That the administrator's token cannot be guessed.
    pub(crate) fn check_admin_token(&self) -> Result<(), ConfigError> {
        let is_short = |token: &Secret| token.0.trim().len() < ADMIN_TOKEN_MIN_BYTES;
        if self.admin_token.as_ref().is_some_and(is_short) { Err(ConfigError::AdminToken) } else { Ok(()) }
    }

    /// Whether a token is needed at an address.
    pub(super) fn in_force(&self, listen: SocketAddr) -> Result<Authentication, ConfigError> {
        match self.authentication {
            Some(Authentication::Required) => Ok(Authentication::Required),
            _ if self.is_insecure() => Ok(Authentication::Optional),
            _ if listen.ip().is_loopback() => Ok(Authentication::Optional),
            None if self.has_credentials() => Ok(Authentication::Required),
            _ => Err(ConfigError::Unprotected { listen }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_this_machine_somebody_is_asked() {
        let here: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let everywhere: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        let nothing = AccessConfig::default();
        assert_eq!(nothing.in_force(here).unwrap(), Authentication::Optional);
        let refused = nothing.in_force(everywhere).unwrap_err().to_string();
        assert!(refused.contains("0.0.0.0:8080") && refused.contains("token create"), "{refused}");
        let said = |said| AccessConfig { authentication: Some(said), ..AccessConfig::default() };
        assert!(said(Authentication::Optional).in_force(everywhere).is_err());
        assert_eq!(said(Authentication::Required).in_force(everywhere).unwrap(), Authentication::Required);
        assert_eq!(said(Authentication::Required).in_force(here).unwrap(), Authentication::Required);
        let token = AccessConfig { admin_token: Some(Secret("x".to_owned())), ..AccessConfig::default() };
        assert_eq!(token.in_force(everywhere).unwrap(), Authentication::Required);
        let insecure = AccessConfig { insecure_no_authentication: Some(true), ..AccessConfig::default() };
        assert_eq!(insecure.in_force(everywhere).unwrap(), Authentication::Optional);
        let known = AccessConfig { admin_token: Some(Secret("x".repeat(40))), ..insecure };
        assert_eq!(known.in_force_for_operators(everywhere).unwrap(), Authentication::Required);
        let refused = nothing.in_force_for_operators(everywhere).unwrap_err().to_string();
        assert!(refused.contains("--operator-listen") && refused.contains("--admin-token-file"), "{refused}");
        assert!(!refused.contains("token create"), "{refused}");
    }
}
