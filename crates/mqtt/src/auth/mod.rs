//! Authentication and authorization of clients: users with argon2 hashes, rules about topics, and anonymous clients.
//!
//! What must stay true: a mistake in a file admits no client (a file with an invalid line is refused whole); a
//! password is compared in the same time whether or not the user exists; and only so many comparisons run or wait at a
//! time, because each costs much memory on purpose.

mod acl;
mod policy;
mod throttle;
mod users;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

pub use acl::{RuleError, Rules};
pub use policy::AccessPolicy;
pub use users::{HashError, UserError, Users, hash_line};

use throttle::Throttle;

use super::codec::Reason;
use super::limits::{ACCESS_FILE_BYTES_MAX, PASSWORDS_AT_A_TIME, PASSWORDS_WAITING_MAX};

/// Whether clients without a user name are let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Never.
    Never,
    /// From this machine.
    #[default]
    Loopback,
    /// From everywhere.
    Always,
}

/// Why the files of users and rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: std::path::PathBuf,
        /// The error of the operating system.
        error: std::io::Error,
    },
    /// A file is too long.
    #[error("{}: longer than {ACCESS_FILE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: std::path::PathBuf,
    },
    /// A line of the file of users is wrong.
    #[error("{}: {error}", path.display())]
    User {
        /// The file.
        path: std::path::PathBuf,
        /// The line and its fault.
        error: UserError,
    },
    /// A line of the file of rules is wrong.
    #[error("{}: {error}", path.display())]
    Rule {
        /// The file.
        path: std::path::PathBuf,
        /// The line and its fault.
        error: RuleError,
    },
}

/// The access rules of a broker: authentication and permissions.
#[derive(Debug)]
pub struct Access {
    anonymous: Anonymous,
    /// `None`: no file, so that no user name can be proved.
    users: Option<Arc<Users>>,
    /// `None`: no file, so that everything is allowed.
    rules: Option<Arc<Rules>>,
    policy: Option<Arc<dyn AccessPolicy>>,
    comparing: Arc<Semaphore>,
    waiting: Semaphore,
    throttle: Throttle,
}

impl Default for Access {
    fn default() -> Access {
        Access::new(Anonymous::default(), None, None)
    }
}

/// Half of the processors, so that who sends wrong passwords takes no more than that from everybody else.
fn passwords_at_a_time() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2).clamp(1, PASSWORDS_AT_A_TIME)
}

impl Access {
    /// From what was read.
    #[must_use]
    pub fn new(anonymous: Anonymous, users: Option<Users>, rules: Option<Rules>) -> Access {
        Access {
            anonymous,
            users: users.map(Arc::new),
            rules: rules.map(Arc::new),
            policy: None,
            comparing: Arc::new(Semaphore::new(passwords_at_a_time())),
            waiting: Semaphore::new(PASSWORDS_WAITING_MAX),
            throttle: Throttle::default(),
        }
    }

    /// The same with what the embedding program decides.
    #[must_use]
    pub fn with_policy(self, policy: Arc<dyn AccessPolicy>) -> Access {
        Access { policy: Some(policy), ..self }
    }

    /// From files: `users` holds lines as [`hash_line`] writes them, `rules` is described at [`Rules`].
    pub fn read(anonymous: Anonymous, users: Option<&Path>, rules: Option<&Path>) -> Result<Access, AccessError> {
        let users = users
            .map(|path| Users::parse(&text(path)?).map_err(|error| AccessError::User { path: path.to_owned(), error }))
            .transpose()?;
        let rules = rules
            .map(|path| Rules::parse(&text(path)?).map_err(|error| AccessError::Rule { path: path.to_owned(), error }))
            .transpose()?;
        Ok(Access::new(anonymous, users, rules))
    }

    /// The principal of a client with this name and password at this address (`None`: inside this process), or the reason
    /// to refuse it.
    pub async fn admit(
        &self,
        name: Option<&str>,
        password: Option<&[u8]>,
        from: Option<SocketAddr>,
    ) -> Result<Principal, Reason> {
        let policy = self.policy.clone();
        let principal = |user| Principal { user, rules: self.rules.clone(), policy, credential: None };
        let Some(name) = name else {
            return if self.admits_anonymous(from) { Ok(principal(None)) } else { Err(Reason::NotAuthorized) };
        };
        if let Some(known) = password.and_then(|password| self.verified(name, password)) {
            return Ok(known);
        }
        let Some(users) = &self.users else {
            // Without a file of users a name proves nothing: the client is anonymous.
            return if self.admits_anonymous(from) { Ok(principal(None)) } else { Err(Reason::BadUserNameOrPassword) };
        };
        let Some(_slot) = self.throttle.begin(name, from, Instant::now()) else {
            return Err(Reason::ConnectionRateExceeded);
        };
        let Ok(_place) = self.waiting.try_acquire() else { return Err(Reason::ServerBusy) };
        let Ok(permit) = Arc::clone(&self.comparing).acquire_owned().await else { return Err(Reason::ServerBusy) };
        let (users, given) = (Arc::clone(users), password.unwrap_or_default().to_vec());
        let asked: Arc<str> = Arc::from(name);
        let name = Arc::clone(&asked);
        let matches = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            users.matches(&name, &given)
        });
        let matches = matches.await;
        if let Ok(is_right) = matches {
            self.throttle.finish(&asked, from, is_right, Instant::now());
        }
        match matches {
            Ok(true) => Ok(principal(Some(asked))),
            Ok(false) => Err(Reason::BadUserNameOrPassword),
            Err(_) => Err(Reason::ServerUnavailable),
        }
    }

    /// The principal of a client that has proved a certificate to be its own and gives no password; `None`: certificates are
    /// no principals here.
    pub(crate) fn admit_certificate(&self, certificate: &Arc<[u8]>) -> Option<Result<Principal, Reason>> {
        self.policy.as_ref().filter(|policy| policy.knows_certificates())?;
        Some(self.certified(certificate).ok_or(Reason::NotAuthorized))
    }

    fn certified(&self, certificate: &Arc<[u8]>) -> Option<Principal> {
        let (user, rules) = self.policy.as_ref()?.identify(certificate)?;
        Some(Principal {
            user: Some(user),
            rules: Some(Arc::new(rules)),
            policy: self.policy.clone(),
            credential: Some(Credential::Certificate(Arc::clone(certificate))),
        })
    }

    /// Whoever the embedding program knows by this password.
    fn verified(&self, name: &str, password: &[u8]) -> Option<Principal> {
        let rules = self.policy.as_ref().filter(|_| !password.is_empty())?.verify(password)?;
        Some(Principal {
            user: Some(Arc::from(name)),
            rules: Some(Arc::new(rules)),
            policy: self.policy.clone(),
            credential: Some(Credential::Password(Arc::from(password))),
        })
    }

    /// A principal under these rules; `None`: its user is not known any more.
    pub(crate) fn renew(&self, before: &Principal) -> Option<Principal> {
        match (&before.credential, before.user.as_deref()) {
            (Some(Credential::Password(password)), Some(user)) => return self.verified(user, password),
            (Some(Credential::Certificate(certificate)), _) => return self.certified(certificate),
            _ => {}
        }
        let is_known = |user| self.users.as_ref().is_none_or(|users| users.contains(user));
        let is_admitted = before.user().is_none_or(is_known);
        is_admitted.then(|| Principal { rules: self.rules.clone(), policy: self.policy.clone(), ..before.clone() })
    }

    fn admits_anonymous(&self, from: Option<SocketAddr>) -> bool {
        match self.anonymous {
            Anonymous::Never => from.is_none(),
            Anonymous::Loopback => from.is_none_or(|from| from.ip().to_canonical().is_loopback()),
            Anonymous::Always => true,
        }
    }
}

fn text(path: &Path) -> Result<String, AccessError> {
    use std::io::Read;
    let unreadable = |error| AccessError::Unreadable { path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(ACCESS_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > ACCESS_FILE_BYTES_MAX {
        return Err(AccessError::TooLong { path: path.to_owned() });
    }
    Ok(text)
}

/// An admitted client.
#[derive(Clone)]
pub struct Principal {
    user: Option<Arc<str>>,
    rules: Option<Arc<Rules>>,
    policy: Option<Arc<dyn AccessPolicy>>,
    /// By which the embedding program knows it.
    credential: Option<Credential>,
}

/// What the embedding program knows a client by.
#[derive(Clone)]
enum Credential {
    Password(Arc<[u8]>),
    Certificate(Arc<[u8]>),
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Principal {
    /// The user's name, if it was proved.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether there are topics that it may not receive.
    pub(crate) fn is_restricted(&self) -> bool {
        self.rules.is_some()
    }

    /// Whether the client of this name may publish there.
    #[must_use]
    pub fn may_publish(&self, client: &str, topic: &str) -> bool {
        let is_own = |policy: &Arc<dyn AccessPolicy>| match (&self.rules, self.user()) {
            (None, Some(user)) => policy.is_own(user, topic),
            _ => true,
        };
        self.policy.as_ref().is_none_or(|policy| !policy.is_reserved(topic) && is_own(policy))
            && self.rules.as_ref().is_none_or(|rules| rules.may_publish(self.user(), client, topic))
    }

    /// Whether a publication there is what it has to be.
    pub(crate) fn finds_well_formed(&self, topic: &str, payload: &[u8]) -> bool {
        self.policy.as_ref().is_none_or(|policy| policy.is_well_formed(topic, payload))
    }

    /// Whether the client of this name may receive everything that this filter (not a shared one) matches.
    #[must_use]
    pub fn may_subscribe(&self, client: &str, filter: &str) -> bool {
        self.rules.as_ref().is_none_or(|rules| rules.may_subscribe(self.user(), client, filter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test]
    async fn anonymous_clients_connect_from_this_machine_only() {
        let access = Access::default();
        for near in
            [None, address("127.0.0.1:1"), address("127.9.9.9:1"), address("[::1]:1"), address("[::ffff:127.0.0.1]:1")]
        {
            assert!(access.admit(None, None, near).await.is_ok(), "{near:?}");
            assert!(access.admit(Some("name"), None, near).await.is_ok(), "{near:?}");
        }
        for far in [address("192.0.2.1:1"), address("[2001:db8::1]:1")] {
            assert_eq!(access.admit(None, None, far).await.unwrap_err(), Reason::NotAuthorized);
            assert_eq!(access.admit(Some("name"), Some(b"x"), far).await.unwrap_err(), Reason::BadUserNameOrPassword);
        }
        let open = Access::new(Anonymous::Always, None, None);
        assert!(open.admit(None, None, address("192.0.2.1:1")).await.is_ok());
        let closed = Access::new(Anonymous::Never, None, None);
        assert!(closed.admit(None, None, address("127.0.0.1:1")).await.is_err());
    }

    #[tokio::test]
    async fn names_are_proved() {
        let users = Users::parse(&hash_line("alice", b"secret").unwrap()).unwrap();
        let access = Access::new(Anonymous::Never, Some(users), None);
        let far = address("192.0.2.1:1");
        let alice = access.admit(Some("alice"), Some(b"secret"), far).await.unwrap();
        assert_eq!(alice.user(), Some("alice"));
        for (name, password) in [("alice", Some(&b"Secret"[..])), ("alice", None), ("bob", Some(b"secret"))] {
            let refused = access.admit(Some(name), password, far).await.unwrap_err();
            assert_eq!(refused, Reason::BadUserNameOrPassword, "{name}");
        }
    }

    /// Knows one password and one certificate; a user may publish under its own name.
    #[derive(Debug)]
    struct Own;

    impl AccessPolicy for Own {
        fn verify(&self, password: &[u8]) -> Option<Rules> {
            (password == b"token").then(|| Rules::parse("topic write of/token\n").unwrap())
        }

        fn knows_certificates(&self) -> bool {
            true
        }

        fn identify(&self, certificate: &[u8]) -> Option<(Arc<str>, Rules)> {
            (certificate == b"plant").then(|| ("plant".into(), Rules::parse("topic write of/plant\n").unwrap()))
        }

        fn is_own(&self, user: &str, topic: &str) -> bool {
            topic.ends_with(user)
        }

        fn is_reserved(&self, topic: &str) -> bool {
            topic == "reserved"
        }

        fn is_well_formed(&self, _topic: &str, _payload: &[u8]) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn a_principal_is_renewed_by_what_it_was_admitted_by() {
        let users = Users::parse(&hash_line("alice", b"secret").unwrap()).unwrap();
        let access = Access::new(Anonymous::Never, Some(users), None).with_policy(Arc::new(Own));
        let far = address("192.0.2.1:1");
        let plant: Arc<[u8]> = Arc::from(&b"plant"[..]);
        let by_certificate = access.admit_certificate(&plant).unwrap().unwrap();
        assert_eq!(by_certificate.user(), Some("plant"));
        assert!(by_certificate.may_publish("c", "of/plant") && !by_certificate.may_publish("c", "of/token"));
        let nobody: Arc<[u8]> = Arc::from(&b"nobody"[..]);
        assert_eq!(access.admit_certificate(&nobody).unwrap().unwrap_err(), Reason::NotAuthorized);
        let by_token = access.admit(Some("any"), Some(b"token"), far).await.unwrap();
        assert!(by_token.may_publish("c", "of/token") && !by_token.may_publish("c", "of/any"));
        // A client for which there are no rules may use its own topics, and those without an owner.
        let alice = access.admit(Some("alice"), Some(b"secret"), far).await.unwrap();
        assert!(alice.may_publish("c", "of/alice") && !alice.may_publish("c", "of/plant"));
        for principal in [&by_certificate, &by_token, &alice] {
            assert!(!principal.may_publish("c", "reserved"));
            assert_eq!(access.renew(principal).unwrap().user(), principal.user());
        }
        let without = Access::default();
        assert!(without.renew(&by_certificate).is_none() && without.renew(&by_token).is_none());
        assert!(without.admit_certificate(&plant).is_none());
    }

    #[test]
    fn files_are_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        assert!(matches!(Access::read(Anonymous::Never, Some(&path), None), Err(AccessError::Unreadable { .. })));
        std::fs::write(&path, "alice:plain text\n").unwrap();
        assert!(matches!(Access::read(Anonymous::Never, Some(&path), None), Err(AccessError::User { .. })));
        std::fs::write(&path, "topic reed a\n").unwrap();
        assert!(matches!(Access::read(Anonymous::Never, None, Some(&path)), Err(AccessError::Rule { .. })));
        std::fs::write(&path, "#".repeat(usize::try_from(ACCESS_FILE_BYTES_MAX).unwrap() + 1)).unwrap();
        assert!(matches!(Access::read(Anonymous::Never, None, Some(&path)), Err(AccessError::TooLong { .. })));
    }
}
