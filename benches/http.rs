//! What a durable admission over HTTP costs, against an axum handler that only parses and answers the same JSON, in the same
//! run: CPU time of the server process for each request, requests a second, and latency. 64 connections; SQLite with
//! `synchronous=FULL`, answers after the commit. Also allocations a second through the batch endpoint, and how long it takes to
//! see whose a token is: one of the database, and an ES256 JWT of a provider, new and remembered.
//! `cargo bench --bench http`; `-- verification` for the last alone. Needs `openssl` on the PATH.
//!
//! `-- replicas`: durable admissions a second of one, two and three replicas on the PostgreSQL of
//! `WATERMASTER_TEST_POSTGRES_URL`, each number in a database of its own; the connections are shared out among them. Needs
//! `psql`.

#![expect(clippy::print_stdout, clippy::expect_used, clippy::cast_precision_loss, reason = "a bench prints and stops")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::StatusCode;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use api::access::{Role, TokenRequest};
use kernel::units::Millis;
use watermaster::auth::{Authenticator, ProviderSettings, TokenStore};
use watermaster::journal::Journal;

/// The same as the service's, so that it is not the allocators that are compared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 64;
const ROUND: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;
const BATCH: usize = 64;
/// Linux counts process CPU time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    topology: String,
    ingress: String,
    egress: String,
    class_type: u8,
    bandwidth_bps: u64,
}

#[derive(Serialize)]
struct Answered {
    id: String,
    topology: String,
    ingress: String,
    egress: String,
    class_type: u8,
    qos_level: u8,
    setup_priority: u8,
    hold_priority: u8,
    bandwidth_bps: u64,
    path: Vec<String>,
    state: String,
    created_at: String,
    updated_at: String,
    devolved: Vec<String>,
    preempted: Vec<String>,
    rerouted: Vec<String>,
    victims: Vec<String>,
    warnings: Vec<String>,
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    if std::env::args().any(|argument| argument == "baseline") {
        return runtime.block_on(baseline());
    }
    if std::env::args().any(|argument| argument == "replicas") {
        return replicas(&runtime);
    }
    runtime.block_on(verification());
    if std::env::args().any(|argument| argument == "verification") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let ours = [Server::start(
        Command::new(env!("CARGO_BIN_EXE_watermaster"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path())
            .env("RUST_LOG", "warn"),
    )];
    let other = tempfile::tempdir().expect("a folder");
    let guarded = [Server::start(
        Command::new(env!("CARGO_BIN_EXE_watermaster"))
            .args(["serve", "--listen", "127.0.0.1:0", "--authentication", "required", "--data"])
            .arg(other.path())
            .env("WATERMASTER_ADMIN_TOKEN", TOKEN)
            .env("RUST_LOG", "warn"),
    )];
    let program = std::env::current_exe().expect("this program has a path");
    let theirs = [Server::start(Command::new(program).arg("baseline"))];
    let single: Arc<[u8]> = request("/v1/allocations", ASK, "").into();
    let with_token: Arc<[u8]> = request("/v1/allocations", ASK, &format!("authorization: Bearer {TOKEN}\r\n")).into();
    let many = format!("{{\"requests\":[{}]}}", [ASK; BATCH].join(","));
    let batch: Arc<[u8]> = request("/v1/allocations/batch", &many, "").into();

    println!("{CONNECTIONS} connections, {ROUNDS} rounds of {} s each, taking turns", ROUND.as_secs());
    println!("{:<22} {:>10} {:>12} {:>9} {:>9}", "", "requests/s", "CPU us/req", "p50 ms", "p99 ms");
    let (mut base, mut durable, mut tokened, mut batched) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        base.push(runtime.block_on(load(&theirs, &single, CONNECTIONS)));
        durable.push(runtime.block_on(load(&ours, &single, CONNECTIONS)));
        tokened.push(runtime.block_on(load(&guarded, &with_token, CONNECTIONS)));
        batched.push(runtime.block_on(load(&ours, &batch, 16)));
    }
    for (name, rounds) in [
        ("axum, no work", &base),
        ("durable admission", &durable),
        ("the same with a token", &tokened),
        ("durable batch of 64", &batched),
    ] {
        let row = best(rounds);
        println!("{name:<22} {:>10.0} {:>12.1} {:>9.2} {:>9.2}", row.per_second, row.cpu_us, row.p50_ms, row.p99_ms);
    }
    let (base, durable, tokened, batched) = (best(&base), best(&durable), best(&tokened), best(&batched));
    println!("requests per CPU-second, with a token to without: {:.2}", durable.cpu_us / tokened.cpu_us);
    println!("requests per second, with a token to without: {:.2}", tokened.per_second / durable.per_second);
    println!("requests per CPU-second, durable to no work: {:.2}", base.cpu_us / durable.cpu_us);
    println!("requests per second, durable to no work: {:.2}", durable.per_second / base.per_second);
    println!(
        "allocations per second, batch to single: {:.1}x ({:.0}/s, {:.1} CPU us each)",
        batched.per_second * BATCH as f64 / durable.per_second,
        batched.per_second * BATCH as f64,
        batched.cpu_us / BATCH as f64
    );
}

/// How many replicas share a database at most.
const REPLICAS_MAX: usize = 3;

fn replicas(runtime: &tokio::runtime::Runtime) {
    let base =
        std::env::var("WATERMASTER_TEST_POSTGRES_URL").expect("WATERMASTER_TEST_POSTGRES_URL is the URL of a server");
    let program = std::env::current_exe().expect("this program has a path");
    let theirs = [Server::start(Command::new(program).arg("baseline"))];
    let sets: Vec<_> = (1..=REPLICAS_MAX).map(|count| on_one_database(&base, count)).collect();
    let single: Arc<[u8]> = request("/v1/allocations", ASK, "").into();
    println!(
        "{CONNECTIONS} connections in all, {ROUNDS} rounds of {} s each, taking turns, PostgreSQL",
        ROUND.as_secs()
    );
    let mut rows = vec![vec![]; REPLICAS_MAX + 1];
    for _ in 0..ROUNDS {
        rows[0].push(runtime.block_on(load(&theirs, &single, CONNECTIONS)));
        for (set, rows) in sets.iter().zip(&mut rows[1..]) {
            rows.push(runtime.block_on(load(set, &single, CONNECTIONS)));
        }
    }
    println!(
        "{:<10} {:>10} {:>12} {:>9} {:>9} {:>12} {:>14}",
        "replicas", "requests/s", "CPU us/req", "p50 ms", "p99 ms", "over one", "of no work/CPU"
    );
    let rows: Vec<Row> = rows.iter().map(|rounds| best(rounds)).collect();
    for (count, row) in rows.iter().enumerate() {
        let (over_one, of_no_work) = (row.per_second / rows[1].per_second, rows[0].cpu_us / row.cpu_us);
        println!(
            "{:<10} {:>10.0} {:>12.1} {:>9.2} {:>9.2} {over_one:>12.2} {of_no_work:>14.2}",
            if count == 0 { "no work".to_owned() } else { count.to_string() },
            row.per_second,
            row.cpu_us,
            row.p50_ms,
            row.p99_ms
        );
    }
}

/// So many services on one new database.
fn on_one_database(base: &str, count: usize) -> Vec<Server> {
    let name = format!("bench_{}_{count}", std::process::id());
    let created = Command::new("psql").args([base, "-qc", &format!("CREATE DATABASE {name}")]).status();
    assert!(created.expect("psql (Debian: postgresql-client)").success(), "no database can be made");
    let (server, _) = base.rsplit_once('/').expect("an URL has a path");
    let start = |_| {
        Server::start(
            Command::new(env!("CARGO_BIN_EXE_watermaster"))
                .args(["serve", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"])
                .args(["--database", &format!("{server}/{name}")])
                .env("RUST_LOG", "warn"),
        )
    };
    (0..count).map(start).collect()
}

/// How many tokens are looked at.
const TOKENS: usize = 2_000;

/// How long it takes to see whose a token is.
async fn verification() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}/journal.db", folder.path().display()).parse().expect("an URL");
    let journal = Journal::open(&url).await.expect("a journal");
    let store = TokenStore::open(journal, Some(TOKEN), now).await.expect("a store");
    let mut tokens = vec![];
    for number in 0..TOKENS / 10 {
        let (aggregator, tenant, expires_in_ms) = (None, None, Some(3_600_000));
        let request =
            TokenRequest { name: format!("{number}"), role: Role::Requester, tenant, aggregator, expires_in_ms };
        tokens.push(store.create(&request).await.expect("a token").1);
    }
    let key = SigningKey::make(folder.path());
    let issuer = key.serve().await;
    let jwts: Vec<String> = (0..TOKENS).map(|number| key.sign(&issuer, number)).collect();
    let settings = ProviderSettings {
        issuer,
        audience: "watermaster".to_owned(),
        role_claim: "role".to_owned(),
        tenant_claim: "tenant".to_owned(),
        is_tenant_required: false,
        roles: Default::default(),
    };
    let authenticator = Authenticator::new(store, true).with_provider(settings).expect("a provider");
    // The keys of the provider are found with the first.
    let identity = authenticator.identify(Some(&key.sign("", TOKENS)), None, None).await;
    assert!(identity.is_err(), "another issuer's");
    println!("us to see whose a token is: mean, median, p99 of {TOKENS}");
    let all = |texts: &[String]| texts.iter().cycle().take(TOKENS).cloned().collect::<Vec<_>>();
    for (name, texts) in
        [("access token", all(&tokens)), ("ES256 JWT, new", jwts.clone()), ("the same, remembered", jwts)]
    {
        let mut took_us = vec![];
        for text in &texts {
            let started = Instant::now();
            let found = authenticator.identify(Some(text), None, None).await;
            took_us.push(started.elapsed().as_secs_f64() * 1e6);
            assert!(found.is_ok_and(|identity| identity.role == Role::Requester));
        }
        took_us.sort_by(f64::total_cmp);
        let mean = took_us.iter().sum::<f64>() / took_us.len() as f64;
        println!("{name:<22} {mean:>8.2} {:>8.2} {:>8.2}", took_us[TOKENS / 2], took_us[TOKENS * 99 / 100]);
    }
}

fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Millis(u64::try_from(since.as_millis()).expect("before the year 500 million"))
}

/// The key of a provider.
struct SigningKey {
    private: jsonwebtoken::EncodingKey,
    public: serde_json::Value,
}

impl SigningKey {
    fn make(folder: &std::path::Path) -> Self {
        let path = folder.join("key");
        let openssl = |arguments: &[&str]| {
            let mut command = Command::new("openssl");
            let output = command.args(arguments).arg(&path).output().expect("openssl (Debian: openssl)");
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"]);
        let private = openssl(&["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"]);
        let public = openssl(&["pkey", "-pubout", "-outform", "DER", "-in"]);
        let point = &public[public.len() - 64..];
        let part = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes);
        let (x, y) = (part(&point[..32]), part(&point[32..]));
        let private = jsonwebtoken::EncodingKey::from_ec_der(&private);
        let public =
            serde_json::json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": x, "y": y});
        Self { private, public }
    }

    /// Answers with its key under a URL, which it returns.
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let issuer = format!("http://{}", listener.local_addr().expect("it is bound"));
        let discovery = serde_json::json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        let keys = serde_json::json!({"keys": [self.public]});
        let router = axum::Router::new()
            .route("/.well-known/openid-configuration", axum::routing::get(async move || Json(discovery)))
            .route("/keys", axum::routing::get(async move || Json(keys)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    fn sign(&self, issuer: &str, number: usize) -> String {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.kid = Some("1".to_owned());
        let claims = serde_json::json!({
            "iss": issuer, "aud": "watermaster", "sub": format!("user {number}"), "role": "requester",
            "exp": now().0 / 1_000 + 3_600,
        });
        jsonwebtoken::encode(&header, &claims, &self.private).expect("a signature")
    }
}

const TOKEN: &str = "a-token-of-thirty-two-characters";
const ASK: &str = r#"{"topology":"nsfnet","ingress":"WA","egress":"NJ","class_type":0,"bandwidth_bps":100}"#;

/// The same parsing and answering, and nothing else.
async fn baseline() {
    let handler = |Json(asked): Json<Asked>| async move {
        let none = Vec::new;
        let answer = Answered {
            id: "1234567".to_owned(),
            topology: asked.topology,
            ingress: asked.ingress,
            egress: asked.egress,
            class_type: asked.class_type,
            qos_level: asked.class_type,
            setup_priority: 7,
            hold_priority: 7,
            bandwidth_bps: asked.bandwidth_bps,
            path: ["WA-IL", "IL-PA", "PA-NJ"].map(str::to_owned).to_vec(),
            state: "active".to_owned(),
            created_at: "2026-01-01T00:00:00.000Z".to_owned(),
            updated_at: "2026-01-01T00:00:00.000Z".to_owned(),
            devolved: none(),
            preempted: none(),
            rerouted: none(),
            victims: none(),
            warnings: none(),
        };
        (StatusCode::CREATED, [("location", "/v1/allocations/1234567")], Json(answer))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("http://{}/", listener.local_addr().expect("it is bound"));
    let router = axum::Router::new().route("/v1/allocations", post(handler));
    axum::serve(listener, router).await.expect("it serves");
}

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a server that prints a line with its address.
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let rest = line.split("http://").nth(1)?;
            rest.split('/').next()?.parse().ok()
        });
        // Keep reading, or the server would block when its pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address: found.expect("the server says where it listens") }
    }

    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("the server runs");
        let after_name = stat.rsplit(')').next().expect("its name is in brackets");
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn request(path: &str, body: &str, headers: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[derive(Clone, Copy)]
struct Row {
    per_second: f64,
    cpu_us: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// The round with the least CPU a request: noise only adds.
fn best(rounds: &[Row]) -> Row {
    *rounds.iter().min_by(|one, other| one.cpu_us.total_cmp(&other.cpu_us)).expect("there are rounds")
}

async fn load(servers: &[Server], request: &Arc<[u8]>, connections: usize) -> Row {
    let cpu_seconds = || servers.iter().map(Server::cpu_seconds).sum::<f64>();
    let before = cpu_seconds();
    let started = Instant::now();
    let mut clients = vec![];
    for server in servers.iter().cycle().take(connections) {
        let (address, request) = (server.address, Arc::clone(request));
        clients.push(tokio::spawn(client(address, request, started + ROUND)));
    }
    let mut took_ms = vec![];
    for client in clients {
        took_ms.extend(client.await.expect("a client does not panic"));
    }
    let wall = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - before;
    took_ms.sort_by(f64::total_cmp);
    let count = took_ms.len() as f64;
    let at = |part: usize| took_ms[(took_ms.len() - 1) * part / 100];
    Row { per_second: count / wall, cpu_us: cpu * 1e6 / count, p50_ms: at(50), p99_ms: at(99) }
}

/// Asks again and again on one connection; every answer must be a success.
async fn client(address: SocketAddr, request: Arc<[u8]>, until: Instant) -> Vec<f64> {
    let mut stream = TcpStream::connect(address).await.expect("the server accepts");
    stream.set_nodelay(true).expect("a socket option");
    let mut took_ms = vec![];
    let mut buffer = vec![0; 256 << 10];
    while Instant::now() < until {
        let started = Instant::now();
        stream.write_all(&request).await.expect("the server reads");
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..]).await.expect("the server answers");
            assert!(read > 0, "the server hung up");
            filled += read;
            if let Some(whole) = length(&buffer[..filled]) {
                assert!(buffer.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(&buffer[..filled.min(600)]));
                if filled >= whole {
                    break;
                }
                if buffer.len() < whole {
                    buffer.resize(whole, 0);
                }
            }
        }
        took_ms.push(started.elapsed().as_secs_f64() * 1e3);
    }
    took_ms
}

/// How long an answer is, head and body, once its head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).expect("a head is text");
    let lengths = text.lines().filter_map(|line| line.split_once(':'));
    let mut body =
        lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    Some(head + body.next_back().map_or(0, |value| value.parse::<usize>().expect("a length")))
}
