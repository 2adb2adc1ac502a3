//! A proxy on loopback that ends a connection after a number of bytes in one direction.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Server,
    Client,
}

#[derive(Default)]
struct State {
    /// What is left to pass of the bytes of one side; `None` passes all.
    cut: Option<(From, usize)>,
    /// Bytes that came from the server and from the client.
    passed: [usize; 2],
    open: usize,
    /// The test is over.
    ends: bool,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

pub struct Proxy {
    pub port: u16,
    shared: Shared,
}

impl Proxy {
    /// Passes everything to this port of this machine.
    pub fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared::default();
        let own = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if own.0.lock().unwrap().ends {
                    return;
                }
                let server = TcpStream::connect(("127.0.0.1", upstream)).unwrap();
                join(client, server, &own);
            }
        });
        Self { port, shared }
    }

    /// Ends connections after so many bytes from one side.
    pub fn cut(&self, side: From, after: usize) {
        let mut state = self.shared.0.lock().unwrap();
        (state.cut, state.passed) = (Some((side, after)), [0; 2]);
    }

    pub fn pass(&self) {
        self.shared.0.lock().unwrap().cut = None;
    }

    /// Waits until the server has ended every connection, so that it does nothing more on them.
    pub fn wait(&self) {
        let state = self.shared.0.lock().unwrap();
        let patience = Duration::from_secs(30);
        let waited = self.shared.1.wait_timeout_while(state, patience, |state| state.open > 0);
        assert!(!waited.unwrap().1.timed_out(), "the server does not end a connection");
    }

    /// Bytes from a side since the last word.
    pub fn passed(&self, side: From) -> usize {
        self.shared.0.lock().unwrap().passed[side as usize]
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.0.lock() {
            state.ends = true;
        }
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn join(client: TcpStream, server: TcpStream, shared: &Shared) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    shared.0.lock().unwrap().open += 1;
    let up = (client.try_clone().unwrap(), server.try_clone().unwrap(), shared.clone());
    std::thread::spawn(move || pump(up.0, up.1, From::Client, &up.2));
    let shared = shared.clone();
    std::thread::spawn(move || {
        let rest = server.try_clone().unwrap();
        pump(server, client, From::Server, &shared);
        drain(rest);
        shared.0.lock().unwrap().open -= 1;
        shared.1.notify_all();
    });
}

/// Passes bytes of one side until it ends or is cut; then both ends hear of it.
fn pump(mut from: TcpStream, mut to: TcpStream, side: From, shared: &Shared) {
    let mut bytes = [0; 4096];
    while let Ok(size @ 1..) = from.read(&mut bytes) {
        let (pass, ends) = shared.0.lock().unwrap().allow(side, size);
        if to.write_all(&bytes[..pass]).is_err() || ends {
            break;
        }
    }
    // To the server only the end of what the client says: it shall finish what it has heard.
    let (client, server) = if side == From::Server { (to, from) } else { (from, to) };
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Write);
}

fn drain(mut server: TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(1..) = server.read(&mut bytes) {}
}

impl State {
    /// How many of these bytes pass, and whether the connection ends with them.
    fn allow(&mut self, side: From, size: usize) -> (usize, bool) {
        self.passed[side as usize] += size;
        match &mut self.cut {
            Some((cut, left)) if *cut == side => {
                let pass = size.min(*left);
                *left -= pass;
                (pass, *left == 0)
            }
            _ => (size, false),
        }
    }
}
