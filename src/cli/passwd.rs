//! `watermaster passwd NAME`: reads a password from standard input and prints the line of the file of MQTT users.

use std::io::{BufRead, Write};

use clap::Args;

use mqtt::auth::{HashError, hash_line};

/// The arguments of `watermaster passwd`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The user's name.
    name: String,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name or the password cannot be used.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Nothing was read.
    #[error("no password on standard input")]
    NoPassword,
    /// Standard input or output failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Reads one line, without its end, and prints `name:hash`.
///
/// # Errors
/// There is no password, or it cannot be hashed.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let mut password = String::new();
    std::io::stdin().lock().read_line(&mut password)?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Error::NoPassword);
    }
    writeln!(std::io::stdout(), "{}", hash_line(&arguments.name, password.as_bytes())?)?;
    Ok(())
}
