//! Where the database is, as `serve` and the commands about the books as a whole are told.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{ConfigError, ConfigFile, SecretUrl, read_secret};

/// The database: a folder, a URL, or a file that holds one.
#[derive(Args, Debug, Default)]
pub struct DatabaseArguments {
    /// The folder for the embedded database [default: data].
    #[arg(long, env = "WATERMASTER_DATA", conflicts_with = "database", global = true)]
    data: Option<PathBuf>,
    /// `sqlite://PATH` or `postgres://…`, instead of a folder.
    #[arg(long, env = "WATERMASTER_DATABASE", hide_env_values = true, global = true)]
    database: Option<String>,
    /// A file that holds the URL of the database, for a secret that is mounted.
    #[arg(long, env = "WATERMASTER_DATABASE_FILE", value_name = "FILE", conflicts_with_all = ["database", "data"], global = true)]
    database_file: Option<PathBuf>,
}

impl DatabaseArguments {
    /// What is said, as a part of the configuration.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn config(&self) -> Result<ConfigFile, ConfigError> {
        let database = given_or_read(self.database.as_ref(), self.database_file.as_deref())?.map(Into::into);
        Ok(ConfigFile { data: self.data.clone(), database, ..ConfigFile::default() })
    }

    /// The database in force.
    ///
    /// # Errors
    /// As [`DatabaseArguments::config`].
    pub(super) fn url(&self) -> Result<SecretUrl, ConfigError> {
        Ok(self.config()?.complete()?.database)
    }
}

/// A secret from the command line or the environment, or from the file that holds it.
pub(super) fn given_or_read(given: Option<&String>, file: Option<&Path>) -> Result<Option<String>, ConfigError> {
    given.map_or_else(|| file.map(read_secret).transpose(), |given| Ok(Some(given.clone())))
}
