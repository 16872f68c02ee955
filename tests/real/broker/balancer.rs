//! A small TCP load balancer: each connection goes to the next replica that answers.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    pub(crate) backends: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    pub(crate) fn start(backends: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let backends = Arc::new(Mutex::new(backends));
        let known = Arc::clone(&backends);
        std::thread::spawn(move || {
            let turn = AtomicUsize::new(0);
            for client in listener.incoming().map_while(Result::ok) {
                let behind = known.lock().unwrap().clone();
                let first = turn.fetch_add(1, Ordering::Relaxed);
                let server = (0..behind.len()).find_map(|step| {
                    let address = behind[(first + step) % behind.len()];
                    TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
                });
                if let Some(server) = server {
                    join(client, server);
                }
            }
        });
        Self { address, backends }
    }
}

fn join(client: TcpStream, server: TcpStream) {
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::spawn(move || copy(from, server));
    std::thread::spawn(move || copy(to, client));
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
