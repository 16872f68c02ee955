//! Clocks that are wrong, and are set while the service runs: `libfaketime` (Debian: faketime) says to one process what time
//! it is, and leaves its monotonic clock alone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use crate::client::ask;
use crate::journal::ScratchUrl;
use crate::running::Running;

const HOURS_WRONG: i64 = 9;

/// What a process takes for the time: the machine's and so many seconds.
pub(crate) struct FakeTime {
    folder: tempfile::TempDir,
}

impl FakeTime {
    pub(crate) fn new(seconds: i64) -> Self {
        let fake = Self { folder: tempfile::tempdir().unwrap() };
        fake.set(seconds);
        fake
    }

    pub(crate) fn set(&self, seconds: i64) {
        // Written beside and moved: the process reads it at any time.
        let (new, file) = (self.folder.path().join("new"), self.file());
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("time")
    }

    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let library = std::fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
        let library = library.map(|entry| entry.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
        let library = library.unwrap_or_else(|| panic!("libfaketime is not installed (Debian: faketime)"));
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        [
            ("LD_PRELOAD", text(&library)),
            ("FAKETIME_TIMESTAMP_FILE", text(&self.file())),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Refers to what it is given.
pub(crate) fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn in_an_hour() -> String {
    (Timestamp::now() + Span::new().hours(1)).to_string()
}

fn admit_for_an_hour(server: &Running) -> (u16, Value) {
    let body =
        json!({"ingress": "WA", "egress": "NJ", "class_type": 0, "bandwidth_bps": 1_000, "expires_at": in_an_hour()});
    ask(server.address, "POST", "/v1/allocations", Some(&body.to_string())).unwrap()
}

fn report(server: &Running) -> (u16, Value) {
    let body = json!({"node": "WA", "at": Timestamp::now().to_string(), "topics": [{"topic": "p/1", "qos_level": 2,
        "arrival_bps": 4_000_000, "subscribers": [{"consumer": "c", "node": "NJ"}]}]});
    ask(server.address, "PUT", "/v1/aggregators/ag1/metadata", Some(&body.to_string())).unwrap()
}

fn rate(server: &Running) -> Value {
    server.get("/v1/aggregators/ag1/rates").1["levels"][2]["rate_bps"].clone()
}

/// Started with a clock that is nine hours ahead, as one in local time is; later the machine's clock is put right.
#[test]
fn a_clock_that_is_set_is_followed() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), FakeTime::new(HOURS_WRONG * 3_600));
    let (environment, log) = (fake.environment(), folder.path().join("log"));
    let file = std::fs::File::create(&log).unwrap();
    let data = folder.path().join("data");
    let arguments = ["--data", data.to_str().unwrap()];
    let server = Running::start_as("127.0.0.1:0", &borrowed(&environment), &arguments, file.into());
    assert_eq!(admit_for_an_hour(&server).0, 422, "an hour from now is eight hours ago there");
    fake.set(0);
    let (status, answer) = admit_for_an_hour(&server);
    assert_eq!(status, 201, "{answer}");
    let (status, answer) = report(&server);
    assert_eq!(status, 200, "{answer}");
    let served = rate(&server);
    assert!(served.as_u64().is_some_and(|bps| bps >= 4_000_000), "{served}");
    // Set forward by half an hour, nothing of an hour ends, and no lease of a minute.
    fake.set(1_800);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(rate(&server), served);
    assert_eq!(admit_for_an_hour(&server).0, 201);
    assert!(server.living().len() >= 3, "{:?}", server.living());
    let said = std::fs::read_to_string(&log).unwrap();
    let steps: Vec<_> = said.lines().filter(|line| line.contains("the clock was set")).collect();
    assert!(
        steps.len() == 2 && steps[0].contains("-32") && steps[1].contains("180") | steps[1].contains("179"),
        "{said}"
    );
    server.terminate();
    // With the right time again, it is before the last event.
    fake.set(0);
    let file = std::fs::File::create(&log).unwrap();
    let server = Running::start_as("127.0.0.1:0", &borrowed(&environment), &arguments, file.into());
    assert_eq!(admit_for_an_hour(&server).0, 201);
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("behind the journal's last event"), "{said}");
}

/// Of two instances on one database one has a wrong clock: it takes the database's, and ends nothing early.
#[test]
fn a_replica_with_a_wrong_clock_ends_nothing_early() {
    let database = ScratchUrl::new();
    let arguments = ["--database", database.url()];
    let right = Running::start(&arguments);
    let (status, admitted) = admit_for_an_hour(&right);
    assert_eq!(status, 201, "{admitted}");
    let fake = FakeTime::new(HOURS_WRONG * 3_600);
    let environment = fake.environment();
    let wrong = Running::start_in(&borrowed(&environment), &arguments);
    let (status, answer) = admit_for_an_hour(&wrong);
    assert_eq!(status, 201, "{answer}");
    // Still wrong, and otherwise: the database's clock is what counts all the while.
    fake.set(-HOURS_WRONG * 3_600);
    let (status, answer) = admit_for_an_hour(&wrong);
    assert_eq!(status, 201, "{answer}");
    let created: Timestamp = answer["created_at"].as_str().unwrap().parse().unwrap();
    assert!((Timestamp::now().as_second() - created.as_second()).abs() < 60, "{created}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while right.living().len() < 3 {
        assert!(Instant::now() < deadline, "{:?}", right.living());
        std::thread::yield_now();
    }
    assert_eq!(right.living(), wrong.living());
}
