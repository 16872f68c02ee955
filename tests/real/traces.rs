//! Traces go to a collector of OpenTelemetry: a request is a span under the one that its caller names, and what it waits
//! for is under it. The collector is a socket of the test that keeps what the program's exporter posts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::client::ask_with;
use crate::running::Running;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// One request of the exporter: its path and its body.
fn take(stream: TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(said) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = said.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer =
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    reader.get_mut().write_all(answer.as_bytes()).ok()?;
    Some((first.split(' ').nth(1)?.to_owned(), body))
}

fn collect(listener: &TcpListener, posted: &Sender<(String, Vec<u8>)>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if let Some(request) = take(stream)
            && posted.send(request).is_err()
        {
            return;
        }
    }
}

fn holds(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_request_is_a_span_of_its_callers_trace() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (posted, received) = channel();
    std::thread::spawn(move || collect(&listener, &posted));

    let data = tempfile::tempdir().unwrap();
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
    let server = Running::start_in(&environment, &["--data", data.path().to_str().unwrap()]);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let demand = r#"{"topology":"nsfnet","ingress":"WA","egress":"NJ","class_type":1,"bandwidth_bps":1000000}"#;
    let (status, answer) =
        ask_with(server.address, "POST", "/v1/allocations", &[("traceparent", &traceparent)], Some(demand)).unwrap();
    assert_eq!(status, 201, "{answer}");
    // Stopping sends what waits.
    server.terminate();

    let mut request = None;
    let mut submit = false;
    while let Ok((path, body)) = received.recv_timeout(Duration::from_secs(20)) {
        assert_eq!(path, "/v1/traces");
        assert!(holds(&body, b"service.name") && holds(&body, b"watermaster"));
        submit |= holds(&body, b"submit") && holds(&body, &bytes(TRACE));
        if holds(&body, b"POST /v1/allocations") {
            request = Some(body);
        }
        if submit && request.is_some() {
            break;
        }
    }
    let request = request.expect("the request was exported");
    assert!(holds(&request, &bytes(TRACE)), "it belongs to the caller's trace");
    assert!(holds(&request, &bytes(PARENT)), "its parent is the caller's span");
    assert!(submit, "what it waited for was exported");
}

#[test]
fn without_a_collector_there_is_no_difference() {
    let data = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let nowhere = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")];
    let server = Running::start_in(&nowhere, &["--data", data.path().to_str().unwrap()]);
    let (status, answer) = server.get("/v1/topologies");
    assert_eq!(status, 200, "{answer}");
    server.terminate();
}
