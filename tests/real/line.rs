//! The line between an instance of the service and its database: it can be cut, and leads to whichever server is the primary.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Default)]
struct LineState {
    target: u16,
    is_cut: bool,
}

/// Bytes that are on the way when it is cut arrive when it is whole again, as TCP has it.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) port: u16,
    state: Arc<(Mutex<LineState>, Condvar)>,
}

impl Line {
    pub(crate) fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = Self { port, state: Arc::new((Mutex::new(LineState { target, is_cut: false }), Condvar::new())) };
        let accepting = line.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let line = accepting.clone();
                std::thread::spawn(move || line.connect(client));
            }
        });
        line
    }

    pub(crate) fn lead_to(&self, target: u16) {
        self.state.0.lock().unwrap().target = target;
    }

    pub(crate) fn cut(&self, is_cut: bool) {
        self.state.0.lock().unwrap().is_cut = is_cut;
        self.state.1.notify_all();
    }

    /// The target, once the line is whole.
    fn await_whole(&self) -> u16 {
        let state = self.state.0.lock().unwrap();
        self.state.1.wait_while(state, |state| state.is_cut).unwrap().target
    }

    fn connect(&self, client: TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.await_whole())) else { return };
        let (back, from_server, to_client) = (self.clone(), server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || back.pass(from_server, to_client));
        self.pass(client, server);
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 65_536];
        while let Ok(read) = from.read(&mut buffer) {
            self.await_whole();
            if read == 0 || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
