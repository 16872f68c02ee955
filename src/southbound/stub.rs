//! A controller for tests: it gives prepared answers on loopback, faults of every kind included.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was asked: method, path with query, body.
pub(super) type StubRequest = (String, String, String);

type Answering = dyn Fn(&StubRequest) -> (u16, String) + Send + Sync;

/// A stub on a free port; it lives as long as the test process.
pub(super) struct Stub {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<StubRequest>>>,
}

impl Stub {
    /// One that writes these bytes and hangs up, whatever it is asked.
    pub(super) fn raw(head: &str, body: &[u8]) -> Self {
        let bytes = [head.as_bytes(), body].concat();
        Self::serve(move |stream, _| {
            let _ = read_request(&mut BufReader::new(stream.try_clone().unwrap()));
            let _ = (&mut &*stream).write_all(&bytes);
        })
    }

    /// One that answers JSON, connection by connection.
    pub(super) fn answering(answer: impl Fn(&StubRequest) -> (u16, String) + Send + Sync + 'static) -> Self {
        let answer: Arc<Answering> = Arc::new(answer);
        Self::serve(move |stream, asked| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(request) = read_request(&mut reader) {
                let (status, body) = answer(&request);
                asked.lock().unwrap().push(request);
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                if (&mut &*stream).write_all(head.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    fn serve(talk: impl Fn(&TcpStream, &Mutex<Vec<StubRequest>>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(vec![]));
        let (talk, heard) = (Arc::new(talk), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (talk, heard) = (Arc::clone(&talk), Arc::clone(&heard));
                std::thread::spawn(move || talk(&stream, &heard));
            }
        });
        Self { address, asked }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far.
    pub(super) fn asked(&self) -> Vec<StubRequest> {
        self.asked.lock().unwrap().clone()
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<StubRequest> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, path, String::from_utf8_lossy(&body).into_owned()))
}
