//! Authentication and authorization of clients: users with argon2 hashes, rules about topics, and anonymous clients.
//!
//! What must stay true: a mistake in a file admits no client (a file with an invalid line is refused whole); a
//! password is compared in the same time whether or not the user exists; and only so many comparisons run or wait at a
//! time, because each costs much memory on purpose.

mod acl;
mod comparison;
mod policy;
mod principal;
mod throttle;
mod users;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub use acl::{RuleError, Rules};
pub use policy::{AccessPolicy, KnownClient, PasswordLookup};
pub use principal::Principal;
pub use users::{HashError, UserError, Users, hash_line};

use comparison::Comparisons;
use principal::Credential;
use throttle::Throttle;

use super::codec::Reason;
use super::limits::ACCESS_FILE_BYTES_MAX;

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
#[derive(Clone, Debug)]
pub struct Access {
    anonymous: Anonymous,
    /// `None`: no file, so that no user name can be proved.
    users: Option<Arc<Users>>,
    /// `None`: no file, so that everything is allowed.
    rules: Option<Arc<Rules>>,
    policy: Option<Arc<dyn AccessPolicy>>,
    comparisons: Arc<Comparisons>,
    throttle: Arc<Throttle>,
}

impl Default for Access {
    fn default() -> Access {
        Access::new(Anonymous::default(), None, None)
    }
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
            comparisons: Arc::default(),
            throttle: Arc::default(),
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
        let Some(name) = name else {
            return if self.admits_anonymous(from) { Ok(self.principal(None)) } else { Err(Reason::NotAuthorized) };
        };
        if let (Some(policy), Some(password)) = (&self.policy, password.filter(|password| !password.is_empty()))
            && let Some(known) = self.look_up(policy.as_ref(), password, from).await?
        {
            return Ok(self.known(known, Credential::Password(Arc::from(password))));
        }
        let Some(users) = &self.users else {
            // Without a file of users a name proves nothing: the client is anonymous.
            let is_admitted = self.admits_anonymous(from);
            return if is_admitted { Ok(self.principal(None)) } else { Err(Reason::BadUserNameOrPassword) };
        };
        match self.compare(users, name, password.unwrap_or_default(), from).await? {
            true => Ok(self.principal(Some(Arc::from(name)))),
            false => Err(Reason::BadUserNameOrPassword),
        }
    }

    /// The client that the embedding program knows by this password. One that was right before costs nothing.
    async fn look_up(
        &self,
        policy: &dyn AccessPolicy,
        password: &[u8],
        from: Option<SocketAddr>,
    ) -> Result<Option<KnownClient>, Reason> {
        if !policy.is_costly(password) {
            return policy.admit(password, from).await;
        }
        if let Some(known) = policy.verify(password) {
            return Ok(Some(known));
        }
        let Some(_slot) = self.throttle.begin(from, Instant::now()) else {
            return Err(Reason::ConnectionRateExceeded);
        };
        let found = policy.admit(password, from).await;
        if !matches!(found, Ok(None)) {
            self.throttle.give_back(from);
        }
        found?.map(Some).ok_or(Reason::BadUserNameOrPassword)
    }

    /// The same after another: what was tried before still counts, and passwords that were right need no comparison.
    #[must_use]
    pub(crate) fn after(&self, before: &Access) -> Access {
        if let (Some(users), Some(before)) = (&self.users, &before.users) {
            users.recall_as(before);
        }
        Access { comparisons: Arc::clone(&before.comparisons), throttle: Arc::clone(&before.throttle), ..self.clone() }
    }

    /// Whether this is the user's password, unless it may not be tried now. One that was right before costs nothing, so that
    /// wrong ones of the same address do not keep it out; but no pause is passed by guessing it.
    async fn compare(
        &self,
        users: &Arc<Users>,
        name: &str,
        password: &[u8],
        from: Option<SocketAddr>,
    ) -> Result<bool, Reason> {
        let now = Instant::now();
        if self.throttle.is_paused(name, from, now) {
            return Err(Reason::ConnectionRateExceeded);
        }
        let recalled = users.recall(name, password);
        if recalled == Some(true) {
            self.throttle.on_right(name, from);
            return Ok(true);
        }
        let Some(_slot) = self.throttle.begin(from, now) else {
            if recalled == Some(false) {
                self.throttle.on_wrong(name, from, now);
            }
            return Err(Reason::ConnectionRateExceeded);
        };
        let (known, user, given) = (Arc::clone(users), name.to_owned(), password.to_vec());
        let compared = self.comparisons.run(move || known.matches(&user, &given)).await;
        match compared {
            Ok(true) => self.throttle.on_right(name, from),
            Ok(false) => self.throttle.on_wrong(name, from, Instant::now()),
            Err(_) => {}
        }
        if compared != Ok(false) {
            self.throttle.give_back(from);
        }
        compared
    }

    /// A client that the files decide on.
    fn principal(&self, user: Option<Arc<str>>) -> Principal {
        Principal {
            user,
            is_among_users: self.users.is_some(),
            rules: self.rules.clone(),
            policy: self.policy.clone(),
            credential: None,
        }
    }

    /// The principal of a client that has proved a certificate to be its own and gives no password; `None`: certificates are
    /// no principals here.
    pub(crate) fn admit_certificate(&self, certificate: &Arc<[u8]>) -> Option<Result<Principal, Reason>> {
        self.policy.as_ref().filter(|policy| policy.knows_certificates())?;
        Some(self.certified(certificate).ok_or(Reason::NotAuthorized))
    }

    fn certified(&self, certificate: &Arc<[u8]>) -> Option<Principal> {
        let known = self.policy.as_ref()?.identify(certificate)?;
        Some(self.known(known, Credential::Certificate(Arc::clone(certificate))))
    }

    /// A client that the embedding program knows. It is called what the program says, whatever name it gives: sessions belong to
    /// names.
    fn known(&self, (user, rules): KnownClient, credential: Credential) -> Principal {
        Principal { rules: Some(Arc::new(rules)), credential: Some(credential), ..self.principal(Some(user)) }
    }

    /// A principal under these rules; `None`: its user is not known any more.
    pub(crate) fn renew(&self, before: &Principal) -> Option<Principal> {
        match &before.credential {
            Some(credential @ Credential::Password(password)) => {
                let known = self.policy.as_ref()?.verify(password)?;
                return Some(self.known(known, credential.clone()));
            }
            Some(Credential::Certificate(certificate)) => return self.certified(certificate),
            None => {}
        }
        let is_known = |user| self.users.as_ref().is_none_or(|users| users.contains(user));
        let is_admitted = before.user().is_none_or(is_known);
        is_admitted.then(|| self.principal(before.user.clone()))
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

    #[tokio::test]
    async fn wrong_passwords_of_an_address_do_not_keep_out_who_came_in_before() {
        let lines: String = ["alice", "bob"].map(|name| hash_line(name, b"secret").unwrap() + "\n").concat();
        let access = Access::new(Anonymous::Never, Some(Users::parse(&lines).unwrap()), None);
        let far = address("192.0.2.1:1");
        assert!(access.admit(Some("alice"), Some(b"secret"), far).await.is_ok());
        let now = Instant::now();
        while access.throttle.begin(far, now).is_some() {}
        assert!(access.admit(Some("alice"), Some(b"secret"), far).await.is_ok());
        assert_eq!(access.admit(Some("bob"), Some(b"secret"), far).await.unwrap_err(), Reason::ConnectionRateExceeded);
        assert!(access.admit(Some("bob"), Some(b"secret"), address("192.0.2.2:1")).await.is_ok());
        // The password that is known cannot be guessed without pauses.
        for _ in 0..=crate::limits::FAILURES_WITHOUT_PAUSE {
            assert!(access.admit(Some("alice"), Some(b"guess"), far).await.is_err());
        }
        assert!(access.admit(Some("alice"), Some(b"secret"), far).await.is_err());
    }

    /// Checks at a cost what begins with `jwt`.
    #[derive(Debug)]
    struct Costly;

    impl AccessPolicy for Costly {
        fn admit<'a>(&'a self, password: &'a [u8], _from: Option<SocketAddr>) -> PasswordLookup<'a> {
            Box::pin(std::future::ready(match password {
                b"jwt right" => Ok(Some(("gw".into(), Rules::parse("").unwrap()))),
                b"jwt of a provider that is away" => Err(Reason::ServerUnavailable),
                _ => Ok(None),
            }))
        }

        fn is_costly(&self, password: &[u8]) -> bool {
            password.starts_with(b"jwt")
        }

        fn verify(&self, _password: &[u8]) -> Option<KnownClient> {
            None
        }

        fn is_reserved(&self, _topic: &str) -> bool {
            false
        }

        fn check_payload(&self, _topic: &str, _payload: &[u8]) -> Result<(), String> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_credential_that_costs_may_be_wrong_as_often_as_a_password_and_a_reload_forgets_nothing() {
        let access = || Access::new(Anonymous::Always, None, None).with_policy(Arc::new(Costly));
        let (first, far, other) = (access(), address("192.0.2.1:1"), address("192.0.2.2:1"));
        let admit = async |access: &Access, password: &'static [u8], from| {
            let admitted = access.admit(Some("gw"), Some(password), from).await;
            admitted.map(|principal| principal.user().map(str::to_owned))
        };
        for _ in 0..1_000 {
            assert_eq!(admit(&first, b"jwt right", far).await, Ok(Some("gw".to_owned())));
            let away = admit(&first, b"jwt of a provider that is away", far).await;
            assert_eq!(away, Err(Reason::ServerUnavailable));
        }
        let mut wrong = 0;
        while admit(&first, b"jwt wrong", far).await == Err(Reason::BadUserNameOrPassword) {
            wrong += 1;
            assert!(wrong < 1_000, "they are not counted");
        }
        let again = access().after(&first);
        assert_eq!(admit(&again, b"jwt wrong", far).await, Err(Reason::ConnectionRateExceeded));
        assert_eq!(admit(&again, b"jwt wrong", other).await, Err(Reason::BadUserNameOrPassword));
        assert_eq!(admit(&again, b"no credential of the provider", far).await, Ok(None), "the files decide");
    }

    /// Knows one password and one certificate; a user may publish under its own name.
    #[derive(Debug)]
    struct Own;

    impl AccessPolicy for Own {
        fn verify(&self, password: &[u8]) -> Option<KnownClient> {
            (password == b"token").then(|| ("token".into(), Rules::parse("topic write of/token\n").unwrap()))
        }

        fn knows_certificates(&self) -> bool {
            true
        }

        fn identify(&self, certificate: &[u8]) -> Option<KnownClient> {
            (certificate == b"plant").then(|| ("plant".into(), Rules::parse("topic write of/plant\n").unwrap()))
        }

        fn is_own(&self, user: Option<&str>, topic: &str) -> bool {
            user.is_some_and(|user| topic.ends_with(user))
        }

        fn is_reserved(&self, topic: &str) -> bool {
            topic == "reserved"
        }

        fn check_payload(&self, _topic: &str, _payload: &[u8]) -> Result<(), String> {
            Ok(())
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
        assert_eq!(by_token.user(), Some("token"));
        assert!(by_token.may_publish("c", "of/token") && !by_token.may_publish("c", "of/any"));
        // A client for which there are no rules may use its own topics, and those without an owner.
        let alice = access.admit(Some("alice"), Some(b"secret"), far).await.unwrap();
        assert!(alice.may_publish("c", "of/alice") && !alice.may_publish("c", "of/plant"));
        // Where users have names, a client without one owns nothing; where none have, everything is anybody's.
        let here = Access::new(Anonymous::Loopback, None, None).with_policy(Arc::new(Own));
        let unnamed = here.admit(None, None, address("127.0.0.1:1")).await.unwrap();
        assert!(unnamed.may_publish("c", "of/alice") && !unnamed.may_publish("c", "reserved"));
        assert!(!access.principal(None).may_publish("c", "of/alice"));
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
