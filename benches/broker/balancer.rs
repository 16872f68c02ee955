//! A plain TCP balancer in a thread of its own: each connection goes to the next replica, bytes are copied both ways.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// What is copied at a time.
const COPY_BYTES: usize = 32 * 1024;

/// Starts one for as long as this process lives; where it listens.
pub(crate) fn start(behind: Vec<SocketAddr>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("a socket");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, accept(listener, behind));
    });
    address
}

async fn accept(listener: std::net::TcpListener, behind: Vec<SocketAddr>) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    for turn in 0.. {
        let Ok((mut near, _)) = listener.accept().await else { return };
        let Ok(mut far) = TcpStream::connect(behind[turn % behind.len()]).await else { continue };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        tokio::task::spawn_local(async move {
            let _ = copy_bidirectional_with_sizes(&mut near, &mut far, COPY_BYTES, COPY_BYTES).await;
        });
    }
}
