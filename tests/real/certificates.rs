//! Clients that show certificates, made by openssl: whose they are, and that those that are not valid do not come in.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_watermaster");
const EC: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
const CONFIG: &str = r#"
[access]
authentication = "required"
[[access.certificates]]
subject = "URI:spiffe://net.example/provisioner"
role = "engineer"
[[access.certificates]]
subject = "DNS:Portal.Example"
role = "viewer"
tenant = "acme"
[[access.certificates]]
subject = "CN:night shift"
name = "nights"
role = "requester"
"#;

/// Keys and certificates in a folder.
pub(crate) struct Authority {
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let folder = folder.join(name);
        fs::create_dir(&folder).unwrap();
        let authority = Self { folder };
        authority
            .openssl(&[&["req", "-x509"], &EC[..], &["-days", "2", "-subj", &format!("/CN={name}")]].concat(), "ca");
        authority
    }

    fn openssl(&self, arguments: &[&str], name: &str) {
        let made = Command::new("openssl")
            .args(arguments)
            .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
            .current_dir(&self.folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// A certificate of this authority for a client, valid between two times of ASN.1; where it is and where its key is.
    pub(crate) fn client(&self, name: &str, alternative: &str, validity: (&str, &str)) -> [String; 2] {
        self.signed(name, "clientAuth", alternative, validity)
    }

    /// A certificate of this authority for a server, and its key.
    pub(crate) fn server(&self, name: &str, alternative: &str) -> [String; 2] {
        self.signed(name, "serverAuth", alternative, VALID)
    }

    fn signed(&self, name: &str, usage: &str, alternative: &str, validity: (&str, &str)) -> [String; 2] {
        self.openssl(&[&["req", "-new"], &EC[..], &["-subj", &format!("/CN={name}")]].concat(), name);
        let (from, until) = validity;
        let alternative = match alternative {
            "" => String::new(),
            names => format!("subjectAltName={names}"),
        };
        let extensions = format!("[signed]\nextendedKeyUsage={usage}\n{alternative}\n");
        let settings = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\n\
             unique_subject=no\nrand_serial=yes\n[any]\ncommonName=supplied\n{extensions}"
        );
        fs::write(self.folder.join("settings"), settings).unwrap();
        fs::write(self.folder.join("index"), "").unwrap();
        let signed = Command::new("openssl")
            .args(["ca", "-batch", "-notext", "-config", "settings", "-extensions", "signed", "-cert", "ca.pem"])
            .args(["-keyfile", "ca.key", "-startdate", from, "-enddate", until, "-in", &format!("{name}.pem")])
            .args(["-out", &format!("{name}.crt")])
            .current_dir(&self.folder)
            .output()
            .unwrap();
        assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
        [self.file(&format!("{name}.crt")), self.file(&format!("{name}.key"))]
    }
}

pub(crate) const VALID: (&str, &str) = ("20200101000000Z", "20991231000000Z");

/// A service over TLS, and its log.
struct SecureService {
    process: Child,
    address: String,
    authority: String,
    log: PathBuf,
}

impl Drop for SecureService {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl SecureService {
    fn start(folder: &Path, server: &Authority, more: &[&str]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let log = folder.join("log");
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--listen", &address, "--mqtt-listen", "127.0.0.1:0", "--log-format", "json"])
            .args(["--data", folder.to_str().unwrap()])
            .args(["--tls-certificate", &server.file("server.pem"), "--tls-key", &server.file("server.key")])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let has_begun = lines.any(|line| line.contains(&format!("https://{address}/")));
        assert!(has_begun, "{}", fs::read_to_string(&log).unwrap());
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address, authority: server.file("server.pem"), log }
    }

    /// The status and the body of an answer, and what curl says of a connection that there is none.
    fn ask(&self, path: &str, certificate: Option<&[String; 2]>, more: &[&str]) -> Result<(u16, Value), String> {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--cacert",
            &self.authority,
            "-w",
            "\n%{http_code}",
            &format!("https://{}{path}", self.address),
        ]);
        if let Some([certificate, key]) = certificate {
            curl.args(["--cert", certificate, "--key", key]);
        }
        let output = curl.args(more).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        Ok((status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    /// Who one is taken for.
    fn session(&self, certificate: &[String; 2]) -> (String, String, Option<String>) {
        let (status, session) = self.ask("/v1/session", Some(certificate), &[]).unwrap();
        assert_eq!(status, 200, "{session}");
        let text = |member: &str| session[member].as_str().map(str::to_owned);
        assert!(session["expires_at"].as_str().unwrap().starts_with("2099-12-31"), "{session}");
        (text("name").unwrap(), text("role").unwrap(), text("tenant"))
    }

    fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

/// An authority that has made the server's certificate as well.
pub(crate) fn server(folder: &Path) -> Authority {
    let server = Authority::new(folder, "server-authority");
    let names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"];
    server.openssl(&[&["req", "-x509"], &EC[..], &names].concat(), "server");
    server
}

#[test]
fn a_certificate_is_a_principal_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (server, ours, theirs) = (server(folder), Authority::new(folder, "ours"), Authority::new(folder, "theirs"));
    let config = folder.join("watermaster.toml");
    fs::write(&config, CONFIG).unwrap();
    let authorities = folder.join("authorities.pem");
    fs::copy(ours.file("ca.pem"), &authorities).unwrap();
    let arguments = ["--tls-client-ca", authorities.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let service = SecureService::start(folder, &server, &arguments);

    let provisioner = ours.client("provisioner", "URI:spiffe://net.example/provisioner", VALID);
    let portal = ours.client("portal", "DNS:other.example,DNS:portal.example", VALID);
    let nights = ours.client("night shift", "", VALID);
    let named = |name: &str, role: &str, tenant: Option<&str>| (name.into(), role.into(), tenant.map(Into::into));
    assert_eq!(service.session(&provisioner), named("URI:spiffe://net.example/provisioner", "engineer", None));
    assert_eq!(service.session(&portal), named("DNS:Portal.Example", "viewer", Some("acme")));
    assert_eq!(service.session(&nights), named("nights", "requester", None));

    // Its role holds, and events name it.
    let body = r#"{"driver":"simulated","topology":"nsfnet"}"#;
    let put = ["-X", "PUT", "-H", "content-type: application/json", "-d", body];
    assert_eq!(service.ask("/v1/controllers/c", Some(&nights), &put).unwrap().0, 403);
    assert_eq!(service.ask("/v1/controllers/c", Some(&provisioner), &put).unwrap().0, 201);
    let path = "/v1/events?actor=URI:spiffe://net.example/provisioner";
    let (_, events) = service.ask(path, Some(&provisioner), &[]).unwrap();
    let actor = &events["items"][0]["actor"];
    assert_eq!(
        (&actor["name"], &actor["address"]),
        (&json!("URI:spiffe://net.example/provisioner"), &json!("127.0.0.1"))
    );

    // Other ways to say who one is count beside it, and before it.
    assert_eq!(service.ask("/v1/session", None, &[]).unwrap().0, 401);
    assert_eq!(service.ask("/livez", None, &[]).unwrap().0, 200);
    let create = ["token", "create", "--role", "admin", "--name", "me", "--data"];
    let made = Command::new(PROGRAM).args(create).arg(folder).output().unwrap();
    let bearer = format!("authorization: Bearer {}", String::from_utf8(made.stdout).unwrap().trim());
    for certificate in [None, Some(&nights)] {
        let (status, session) = service.ask("/v1/session", certificate, &["-H", &bearer]).unwrap();
        assert_eq!((status, &session["name"], &session["role"]), (200, &json!("me"), &json!("admin")));
    }
    let (status, _) = service.ask("/v1/session", Some(&nights), &["-H", "authorization: Bearer wrong"]).unwrap();
    assert_eq!(status, 401);

    // A name that is not in the configuration, or is there as one of another kind, is nobody's.
    for (name, alternative) in [("nobody", ""), ("night shift", "DNS:a.example"), ("x", "URI:portal.example")] {
        let certificate = ours.client(name, alternative, VALID);
        let (status, problem) = service.ask("/v1/session", Some(&certificate), &[]).unwrap();
        let detail = &problem["detail"];
        assert_eq!((status, detail), (401, &json!("the certificate is not known here")), "{name} {alternative}");
    }

    // One that is not valid does not come in; the log says why, and the client is told the same each time.
    let spiffe = "URI:spiffe://net.example/provisioner";
    let forged = theirs.client("provisioner", spiffe, VALID);
    let over = ours.client("over", spiffe, ("20200101000000Z", "20200102000000Z"));
    let later = ours.client("later", spiffe, ("20980101000000Z", "20991231000000Z"));
    let mut told = Vec::new();
    for (certificate, reason) in [(&forged, "UnknownIssuer"), (&over, "expired"), (&later, "not valid yet")] {
        let before = service.logged().len();
        told.push(service.ask("/livez", Some(certificate), &[]).unwrap_err());
        let deadline = Instant::now() + Duration::from_secs(20);
        while !service.logged()[before..].contains(reason) {
            assert!(Instant::now() < deadline, "{reason} is not in {}", &service.logged()[before..]);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(service.logged()[before..].contains("a client's certificate was refused"));
    }
    // curl may find the connection closed before it reads the alert, on a busy machine several times.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !told.iter().any(|text| text.contains("alert certificate unknown")) {
        assert!(Instant::now() < deadline, "{told:?}");
        told.push(service.ask("/livez", Some(&forged), &[]).unwrap_err());
    }
    let is_discreet = |text: &String| !["expired", "unknown ca", "not yet"].iter().any(|word| text.contains(word));
    assert!(told.iter().all(is_discreet), "{told:?}");

    // Other authorities are taken up without a restart.
    fs::copy(theirs.file("ca.pem"), &authorities).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while service.ask("/v1/session", Some(&forged), &[]).is_err() {
        assert!(Instant::now() < deadline, "a new authority is not taken up");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(service.ask("/livez", Some(&provisioner), &[]).is_err());
}

#[test]
fn a_certificate_can_be_asked_of_every_client() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (server, ours) = (server(folder), Authority::new(folder, "ours"));
    let authority = ours.file("ca.pem");
    let arguments = ["--tls-client-ca", &authority, "--tls-client-certificates", "required"];
    let service = SecureService::start(folder, &server, &arguments);
    assert!(service.ask("/livez", None, &[]).is_err());
    // Without principals of certificates one is a second lock, and says nothing.
    let client = ours.client("anybody", "", VALID);
    let (status, session) = service.ask("/v1/session", Some(&client), &[]).unwrap();
    assert_eq!((status, &session["role"], &session["name"]), (200, &json!("admin"), &Value::Null));

    let refused = |arguments: &[&str], config: &str| {
        let file = folder.join("wrong.toml");
        fs::write(&file, config).unwrap();
        let path = file.to_str().unwrap();
        let data = folder.join("other");
        let serve = ["serve", "--config", path, "--data", data.to_str().unwrap()];
        let output = Command::new(PROGRAM).args(serve).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, error) = refused(&["--tls-client-ca", &authority], "");
    assert!(code == Some(78) && error.contains("--tls-certificate"), "{error}");
    let (code, error) = refused(&[], CONFIG);
    assert!(code == Some(78) && error.contains("--tls-client-ca"), "{error}");
    let tls = ["--tls-certificate", &server.file("server.pem"), "--tls-key", &server.file("server.key")];
    let tls = [&tls[..], &["--tls-client-ca", &authority]].concat();
    let (code, error) = refused(&tls, &CONFIG.replace("CN:night", "night"));
    assert!(code == Some(78) && error.contains("'night shift': the subject does not begin with"), "{error}");
    let key = server.file("server.key");
    let wrong = [&tls[..4], &["--tls-client-ca", &key]].concat();
    let (code, error) = refused(&wrong, "");
    assert!(code == Some(78) && error.contains("server.key: no certificate"), "{error}");
}
