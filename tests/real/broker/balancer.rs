//! A small TCP load balancer: each connection goes to the replica with the fewest, of those that answer.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is not connected by then does not answer.
const CONNECT_WAIT: Duration = Duration::from_millis(200);

pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    backends: Arc<Mutex<Vec<Backend>>>,
}

#[derive(Clone)]
struct Backend {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
}

impl Balancer {
    pub(crate) fn start(addresses: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let balancer = Self { address, backends: Arc::default() };
        addresses.iter().for_each(|address| balancer.add(*address));
        let backends = Arc::clone(&balancer.backends);
        std::thread::spawn(move || {
            for (turn, client) in listener.incoming().map_while(Result::ok).enumerate() {
                let mut behind = backends.lock().unwrap().clone();
                let count = behind.len().max(1);
                behind.rotate_left(turn % count);
                behind.sort_by_key(|backend| backend.open.load(Ordering::Relaxed));
                let found = behind.into_iter().find_map(|backend| {
                    let server = TcpStream::connect_timeout(&backend.address, CONNECT_WAIT).ok()?;
                    Some((backend, server))
                });
                if let Some((backend, server)) = found {
                    join(client, server, Open::count(backend.open));
                }
            }
        });
        balancer
    }

    /// From now on connections go there as well.
    pub(crate) fn add(&self, address: SocketAddr) {
        self.backends.lock().unwrap().push(Backend { address, open: Arc::default() });
    }

    /// No new connection goes there; those that are there stay.
    pub(crate) fn remove(&self, address: SocketAddr) {
        self.backends.lock().unwrap().retain(|backend| backend.address != address);
    }

    /// How many connections each has.
    pub(crate) fn open(&self) -> Vec<(SocketAddr, usize)> {
        let backends = self.backends.lock().unwrap();
        backends.iter().map(|backend| (backend.address, backend.open.load(Ordering::Relaxed))).collect()
    }
}

/// Counts a connection for as long as it lasts.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(open: Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn join(client: TcpStream, server: TcpStream, open: Open) {
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::spawn(move || copy(from, server));
    std::thread::spawn(move || {
        copy(to, client);
        drop(open);
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16_384];
    while let Ok(count) = from.read(&mut bytes) {
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
