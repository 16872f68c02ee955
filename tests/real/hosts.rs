//! The names under which a service is asked: a page whose name was made to lead here (DNS rebinding) gets nothing.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::running::Running;

/// The status and the body of the answer to a request with these headers.
fn answer(server: &Running, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn get(server: &Running, path: &str, headers: &str) -> (u16, Option<String>) {
    let (status, body) = answer(server, &format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n"));
    let problem = serde_json::from_str::<Value>(&body).ok();
    (status, problem.and_then(|problem| Some(problem["type"].as_str()?.to_owned())))
}

/// A supervisor asks by the address; names are for everything else.
#[test]
fn probes_are_answered_by_address() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let arguments = ["--data", data, "--mqtt-listen", "127.0.0.1:0", "--public-host", "net.example"];
    let closed = ["--authentication", "required", "--admin-token", "the-administrator-of-this-test"];
    let server = Running::start_at("0.0.0.0:0", &[&arguments[..], &closed].concat());
    let unknown = (421, Some("/problems/unknown-host".to_owned()));
    for host in ["10.42.0.7:8080", "[fd00::7]:8080", "watermaster.default.svc"] {
        for probe in ["/livez", "/readyz"] {
            assert_eq!(get(&server, probe, &format!("host: {host}\r\n")), (200, None), "{host} {probe}");
        }
        for path in ["/v1/topologies", "/metrics", "/", "/v1/openapi.json", "/livez/"] {
            assert_eq!(get(&server, path, &format!("host: {host}\r\n")), unknown, "{host} {path}");
        }
    }
    assert_eq!(get(&server, "/v1/topologies", "host: net.example\r\n").0, 401);
}

#[test]
fn a_name_that_leads_here_is_not_enough() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let server = Running::start(&["--data", data, "--mqtt-listen", "127.0.0.1:0", "--public-host", "net.example"]);
    let unknown = (421, Some("/problems/unknown-host".to_owned()));
    for path in ["/v1/topologies", "/metrics", "/", "/v1/openapi.json", "/nowhere"] {
        assert_eq!(get(&server, path, "host: evil.example\r\n"), unknown, "{path}");
    }
    for own in ["localhost", "localhost:80", "127.0.0.1", "[::1]:8080", "NET.example"] {
        assert_eq!(get(&server, "/v1/topologies", &format!("host: {own}\r\n")), (200, None), "{own}");
    }
    let malformed = (400, Some("/problems/malformed-header".to_owned()));
    for headers in ["", "host: localhost\r\nhost: localhost\r\n"] {
        assert_eq!(get(&server, "/v1/topologies", headers), malformed, "{headers:?}");
    }
    // What a page does whose name was made to lead here: the browser takes it for one of ours.
    let write = |headers: &str| {
        let body = r#"{"ingress":"WA","egress":"NJ","class_type":0,"bandwidth_bps":1}"#;
        let head = "POST /v1/allocations HTTP/1.1\r\nconnection: close\r\ncontent-type: application/json\r\n";
        answer(&server, &format!("{head}content-length: {}\r\n{headers}\r\n{body}", body.len())).0
    };
    let rebound = "host: evil.example\r\norigin: http://evil.example\r\nsec-fetch-site: same-origin\r\n";
    assert_eq!(write(rebound), 421);
    assert_eq!(write("host: localhost\r\norigin: http://evil.example\r\n"), 403);
    // A proxy that asks under another name than the browser did; a default port that one of them spells.
    assert_eq!(write("host: localhost\r\norigin: https://net.example\r\nsec-fetch-site: same-origin\r\n"), 201);
    assert_eq!(write("host: net.example:443\r\norigin: https://net.example\r\n"), 201);
}
