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

struct Backend {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
}

impl Balancer {
    pub(crate) fn start(addresses: &[SocketAddr]) -> Self {
        let listener = listen();
        let address = listener.local_addr().unwrap();
        let balancer = Self { address, backends: Arc::default() };
        addresses.iter().for_each(|address| balancer.add(*address));
        let backends = Arc::clone(&balancer.backends);
        std::thread::spawn(move || {
            // Whoever comes is taken at once.
            for client in listener.incoming().map_while(Result::ok) {
                let backends = Arc::clone(&backends);
                std::thread::spawn(move || pass_on(client, &backends));
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

/// With room for hundreds in one instant: who finds none tries again only after a second, which would be counted as the
/// broker's.
fn listen() -> TcpListener {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let _inside = runtime.enter();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(4096).unwrap().into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    listener
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

/// To the replica with the fewest connections that answers; if none does, the client is let go.
fn pass_on(client: TcpStream, backends: &Mutex<Vec<Backend>>) {
    let mut tried = vec![];
    loop {
        let found = {
            let backends = backends.lock().unwrap();
            let untried = backends.iter().filter(|backend| !tried.contains(&backend.address));
            let best = untried.min_by_key(|backend| backend.open.load(Ordering::Relaxed));
            best.map(|backend| (backend.address, Open::count(Arc::clone(&backend.open))))
        };
        let Some((address, open)) = found else { return };
        match TcpStream::connect_timeout(&address, CONNECT_WAIT) {
            Ok(server) => return join(client, server, open),
            Err(_) => tried.push(address),
        }
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
