//! Users and their argon2id hashes, one `name:hash` a line; `#` begins a comment.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::password_hash::rand_core::{OsRng, RngCore};
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Argon2, Params};
use sha2::{Digest, Sha256};

use crate::limits::{ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX, USERS_MAX};

/// The fault of a line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// There is no colon, or no name in front of it.
    #[error("invalid line {line}: it does not have the form name:hash")]
    Form {
        /// Counted from one.
        line: usize,
    },
    /// What follows the name is no argon2 hash, or one that would cost too much to compare.
    #[error(
        "invalid line {line}: not an argon2 hash within {ARGON2_MEMORY_KIB_MAX} KiB and {ARGON2_PASSES_MAX} passes"
    )]
    Hash {
        /// Counted from one.
        line: usize,
    },
    /// The name stands there already.
    #[error("invalid line {line}: the user name stands in an earlier line")]
    Twice {
        /// Counted from one.
        line: usize,
    },
    /// Too many.
    #[error("invalid file: more than {USERS_MAX} users")]
    TooMany,
}

/// Why a password cannot be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// A name cannot be empty or hold a colon, a line's end or another control character.
    #[error("invalid user name: empty, or holds a colon or a control character")]
    Name,
    /// The hash could not be computed.
    #[error("the password cannot be hashed: {0}")]
    Argon2(argon2::password_hash::Error),
}

/// The users.
#[derive(Debug)]
pub struct Users {
    hashes: HashMap<String, String>,
    /// A hash that the password of an unknown user is compared with, so that it takes as long.
    decoy: String,
    /// Passwords that were right.
    proved: ProvedPasswords,
}

impl Users {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Users, UserError> {
        let mut hashes = HashMap::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let (name, hash) = content.split_once(':').ok_or(UserError::Form { line })?;
            if name.is_empty() {
                return Err(UserError::Form { line });
            }
            if !is_usable(hash) {
                return Err(UserError::Hash { line });
            }
            if hashes.insert(name.to_owned(), hash.to_owned()).is_some() {
                return Err(UserError::Twice { line });
            }
            if hashes.len() > USERS_MAX {
                return Err(UserError::TooMany);
            }
        }
        let decoy = hash(b"nobody").unwrap_or_default();
        Ok(Users { hashes, decoy, proved: ProvedPasswords::default() })
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.hashes.contains_key(name)
    }

    /// Knows the passwords that were right before, of users whose line is still the same.
    pub(super) fn recall_as(&self, before: &Users) {
        let is_same = |name: &str| before.hashes.get(name).is_some_and(|hash| self.hashes.get(name) == Some(hash));
        self.proved.take_over(&before.proved, is_same);
    }

    /// Whether this is the user's password, if one was right before: at no cost. `None`: it has to be compared.
    pub(super) fn recall(&self, name: &str, password: &[u8]) -> Option<bool> {
        self.proved.recall(name, password)
    }

    /// Whether this is the user's password. Takes about ten milliseconds, for an unknown user as well: not for an async task.
    #[must_use]
    pub fn matches(&self, name: &str, password: &[u8]) -> bool {
        let known = self.hashes.get(name);
        let Ok(hash) = PasswordHash::new(known.unwrap_or(&self.decoy)) else { return false };
        let is_same = Argon2::default().verify_password(password, &hash).is_ok();
        let is_right = is_same && known.is_some();
        if is_right {
            self.proved.keep(name, password);
        }
        is_right
    }
}

/// The password of each user that gave it, so that a client that comes again costs no comparison. They are held as digests under
/// a key of this process, in memory alone.
struct ProvedPasswords(Mutex<ProvedDigests>);

#[derive(Clone)]
struct ProvedDigests {
    key: [u8; 32],
    by_name: HashMap<Box<str>, [u8; 32]>,
}

impl Default for ProvedPasswords {
    fn default() -> Self {
        let mut key = [0; 32];
        OsRng.fill_bytes(&mut key);
        Self(Mutex::new(ProvedDigests { key, by_name: HashMap::new() }))
    }
}

impl std::fmt::Debug for ProvedPasswords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProvedPasswords").finish_non_exhaustive()
    }
}

impl ProvedDigests {
    fn digest(&self, password: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(self.key).chain_update(password).finalize().into()
    }
}

impl ProvedPasswords {
    fn lock(&self) -> MutexGuard<'_, ProvedDigests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, name: &str, password: &[u8]) -> Option<bool> {
        let digests = self.lock();
        let given = digests.digest(password);
        digests.by_name.get(name).map(|proved| *proved == given)
    }

    /// There are no more than users.
    fn keep(&self, name: &str, password: &[u8]) {
        let mut digests = self.lock();
        let digest = digests.digest(password);
        digests.by_name.insert(name.into(), digest);
    }

    /// Knows what another knew of these names.
    fn take_over(&self, other: &Self, is_one: impl Fn(&str) -> bool) {
        let mut known = other.lock().clone();
        known.by_name.retain(|name, _| is_one(name));
        *self.lock() = known;
    }
}

/// Whether a hash is of argon2 and not so costly that a few comparisons would stop the broker.
fn is_usable(hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    let is_argon2 = hash.algorithm.as_str().starts_with("argon2");
    let Ok(params) = Params::try_from(&hash) else { return false };
    is_argon2
        && hash.salt.is_some()
        && hash.hash.is_some()
        && params.m_cost() <= ARGON2_MEMORY_KIB_MAX
        && params.t_cost() <= ARGON2_PASSES_MAX
}

fn hash(password: &[u8]) -> Result<String, HashError> {
    let salt = SaltString::generate(&mut OsRng);
    Argon2::default().hash_password(password, &salt).map(|hash| hash.to_string()).map_err(HashError::Argon2)
}

/// The line of the file for a user with this password.
pub fn hash_line(name: &str, password: &[u8]) -> Result<String, HashError> {
    if name.is_empty()
        || name.starts_with('#')
        || name.trim() != name
        || name.contains(|c: char| c == ':' || c.is_control())
    {
        return Err(HashError::Name);
    }
    Ok(format!("{name}:{}", hash(password)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = hash_line("alice", b"secret").unwrap();
        let users = Users::parse(&format!("# users\n\n  {line}  \n")).unwrap();
        assert_eq!(users.recall("alice", b"secret"), None);
        assert!(users.matches("alice", b"secret"));
        assert_eq!((users.recall("alice", b"secret"), users.recall("alice", b"wrong")), (Some(true), Some(false)));
        assert!(!users.matches("alice", b"secret "));
        assert!(!users.matches("nobody", b"nobody"));
        assert_eq!(users.recall("nobody", b"nobody"), None);
        let [same, other] =
            [line.clone(), hash_line("alice", b"secret").unwrap()].map(|line| Users::parse(&line).unwrap());
        for read_again in [&same, &other] {
            read_again.recall_as(&users);
        }
        assert_eq!((same.recall("alice", b"secret"), other.recall("alice", b"secret")), (Some(true), None));
        let twice = format!("{line}\n{line}");
        assert_eq!(Users::parse(&twice).unwrap_err(), UserError::Twice { line: 2 });
        assert_eq!(Users::parse("alice").unwrap_err(), UserError::Form { line: 1 });
        assert_eq!(Users::parse(":x").unwrap_err(), UserError::Form { line: 1 });
        assert_eq!(Users::parse("a:secret").unwrap_err(), UserError::Hash { line: 1 });
    }

    #[test]
    fn costly_hashes_are_refused() {
        let dear = "a:$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert_eq!(Users::parse(dear).unwrap_err(), UserError::Hash { line: 1 });
    }

    #[test]
    fn names_fit_on_their_line() {
        for bad in ["", "a:b", "a\nb", "#a", " a"] {
            assert_eq!(hash_line(bad, b"x"), Err(HashError::Name), "{bad:?}");
        }
    }
}
