//! Just enough of an HTTP client for the tests of real processes: one request a connection, JSON both ways.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A status and a body; an I/O error where the server is gone. What wants a precondition gets one: whatever is there.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, body: Option<&str>) -> std::io::Result<(u16, Value)> {
    let (status, body) = match exchange(address, method, path, "", body)? {
        (428, _) => exchange(address, method, path, "if-match: *\r\n", body)?,
        answer => answer,
    };
    Ok((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
}

/// The same with headers of the caller's.
pub(crate) fn ask_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> std::io::Result<(u16, Value)> {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (status, body) = exchange(address, method, path, &lines, body)?;
    Ok((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
}

/// What a path has, as text.
pub(crate) fn ask_text(address: SocketAddr, path: &str) -> String {
    let (status, body) = exchange(address, "GET", path, "", None).unwrap();
    assert_eq!(status, 200, "{body}");
    body
}

fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: Option<&str>,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let body = body.unwrap_or("");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         {headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer)?;
    let gone = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(gone)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(gone)?;
    Ok((status, body.to_owned()))
}
