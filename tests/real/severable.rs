//! A relay before PostgreSQL that can be cut, and mended: what passes is held back and nothing is closed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A relay; its threads end with the connections.
pub(crate) struct SeverableRelay {
    url: String,
    wire: Arc<Wire>,
}

#[derive(Default)]
struct Wire {
    is_cut: Mutex<bool>,
    mended: Condvar,
}

impl SeverableRelay {
    /// Before the server of this URL, whose host and port it takes.
    pub(crate) fn before(database: &str) -> Self {
        let (head, path) = database.rsplit_once('/').unwrap();
        let (user, server) = head.rsplit_once('@').unwrap();
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{user}@{}/{path}", listener.local_addr().unwrap());
        let wire = Arc::new(Wire::default());
        let shared = Arc::clone(&wire);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let wire = Arc::clone(&shared);
                    std::thread::spawn(move || wire.pass(from, to));
                }
            }
        });
        Self { url, wire }
    }

    /// The URL through the relay.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Cuts it, or mends it.
    pub(crate) fn cut(&self, is_cut: bool) {
        *self.wire.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = is_cut;
        self.wire.mended.notify_all();
    }
}

impl Drop for SeverableRelay {
    fn drop(&mut self) {
        self.cut(false);
    }
}

impl Wire {
    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let is_cut = self.is_cut.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.mended.wait_while(is_cut, |is_cut| *is_cut));
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}
