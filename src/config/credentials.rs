//! Settings from the credentials that systemd passes to a unit.

use std::path::Path;

use super::{AccessConfig, ConfigError, ConfigFile, MqttListenerConfig, Secret, SecretUrl, read_secret};

impl ConfigFile {
    /// The settings among the credentials that systemd passes to a unit (`LoadCredential=`); none outside of one.
    ///
    /// # Errors
    /// A credential cannot be read.
    pub fn from_credentials() -> Result<Self, ConfigError> {
        std::env::var_os("CREDENTIALS_DIRECTORY")
            .map_or_else(|| Ok(Self::default()), |folder| Self::from_credentials_in(Path::new(&folder)))
    }

    fn from_credentials_in(folder: &Path) -> Result<Self, ConfigError> {
        let file = |name: &str| Some(folder.join(format!("watermaster.{name}"))).filter(|path| path.exists());
        let secret = |name: &str| file(name).as_deref().map(read_secret).transpose();
        Ok(Self {
            database: secret("database")?.map(SecretUrl::from),
            store: secret("store")?.map(SecretUrl::from),
            controller_password: secret("controller-password")?.map(Secret),
            tls_certificate: file("tls-certificate"),
            tls_key: file("tls-key"),
            tls_client_ca: file("tls-client-ca"),
            access: AccessConfig { admin_token: secret("admin-token")?.map(Secret), ..AccessConfig::default() },
            mqtt: MqttListenerConfig {
                users: file("mqtt-users"),
                rules: file("mqtt-rules"),
                certificate: file("mqtt-certificate"),
                key: file("mqtt-key"),
                client_authority: file("mqtt-client-authority"),
                ..MqttListenerConfig::default()
            },
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_settings() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ConfigFile::from_credentials_in(folder.path()).unwrap(), ConfigFile::default());
        std::fs::write(folder.path().join("watermaster.database"), "postgres://me:hunter2@db/water\n").unwrap();
        std::fs::write(folder.path().join("watermaster.mqtt-users"), "").unwrap();
        let read = ConfigFile::from_credentials_in(folder.path()).unwrap();
        assert_eq!(read.database.as_ref().map(SecretUrl::expose), Some("postgres://me:hunter2@db/water"));
        assert_eq!(read.mqtt.users, Some(folder.path().join("watermaster.mqtt-users")));
        assert_eq!(read.store, None);
    }
}
