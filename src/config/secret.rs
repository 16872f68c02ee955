//! Secrets: URLs that are shown without their passwords, and the files that secrets come from. What must stay true: no password
//! is in an output of [`fmt::Debug`], [`fmt::Display`] or [`Serialize`].

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

use super::ConfigError;

/// What stands for a password that is not shown.
const NOT_SHOWN: &str = "***";

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(not shown)")
    }
}

/// A URL of a database or a store, shown without its passwords.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The URL with its passwords, for the client that connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_passwords(&self.0))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A password may hold any character if somebody forgot to escape it: everything up to the last `@` is taken for credentials.
fn without_passwords(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| *scheme != "sqlite") else {
        return url.to_owned();
    };
    let (credentials, rest) = rest.rsplit_once('@').map_or((None, rest), |(before, rest)| (Some(before), rest));
    let credentials = credentials.map(|credentials| match credentials.split_once(':') {
        Some((user, _)) => format!("{user}:{NOT_SHOWN}@"),
        // Redis takes a password without a user.
        None if scheme.starts_with("redis") => format!("{NOT_SHOWN}@"),
        None => format!("{credentials}@"),
    });
    let rest = rest.split_once('?').map_or_else(
        || rest.to_owned(),
        |(place, query)| {
            let parameters: Vec<_> = query.split('&').map(parameter_without_password).collect();
            format!("{place}?{}", parameters.join("&"))
        },
    );
    format!("{scheme}://{}{rest}", credentials.unwrap_or_default())
}

fn parameter_without_password(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}={NOT_SHOWN}"),
        _ => parameter.to_owned(),
    }
}

/// The content of a file that holds one secret; the end of its line is not part of it.
///
/// # Errors
/// The file cannot be read.
pub fn read_secret(path: &Path) -> Result<String, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(ConfigError::Unreadable { path: path.to_owned(), error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_passwords() {
        for (url, shown) in [
            ("memory", "memory"),
            ("sqlite:///data/a:b@c.db", "sqlite:///data/a:b@c.db"),
            ("postgres://me@db/water", "postgres://me@db/water"),
            ("postgres://me:hunter2@db:5432/water?sslmode=require", "postgres://me:***@db:5432/water?sslmode=require"),
            ("postgres://me:hun@ter/2?x@db/water", "postgres://me:***@db/water"),
            ("postgres://db/water?user=me&password=hunter2", "postgres://db/water?user=me&password=***"),
            ("redis://:hunter2@cache/0", "redis://:***@cache/0"),
            ("redis+sentinel://hunter2@a:1,b:2/main", "redis+sentinel://***@a:1,b:2/main"),
        ] {
            let url = SecretUrl(url.to_owned());
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
        }
    }
}
