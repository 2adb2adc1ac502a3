//! A network that is far away: passes bytes on after a delay in each direction, in their order, as
//! many under way as were sent. It models no bandwidth and no TCP window.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// Listens on a free port and gives it; runs until the process ends.
pub(crate) fn start(to: u16, one_way: Duration) -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|why| format!("listen: {why}"))?;
    let port = listener.local_addr().map_err(|why| format!("listen: {why}"))?.port();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            // A server that is not there closes the connection: the client tells of it.
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            let _ = join(&near, &far, one_way);
        }
    });
    Ok(port)
}

fn join(near: &TcpStream, far: &TcpStream, one_way: Duration) -> std::io::Result<()> {
    for (from, to) in [(near, far), (far, near)] {
        to.set_nodelay(true)?;
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let (sender, receiver) = channel();
        thread::spawn(move || take(from, &sender));
        thread::spawn(move || give(to, &receiver, one_way));
    }
    Ok(())
}

type Piece = (Instant, Vec<u8>);

/// Reads what comes, with the time of its arrival.
fn take(mut from: TcpStream, to: &Sender<Piece>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.send((Instant::now(), buffer[..count].to_vec())).is_err() {
            break;
        }
    }
}

/// Writes each piece when its time has come; the end comes delayed, too.
fn give(mut to: TcpStream, from: &Receiver<Piece>, one_way: Duration) {
    while let Ok((arrived, bytes)) = from.recv() {
        thread::sleep((arrived + one_way).saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            return;
        }
    }
    thread::sleep(one_way);
    let _ = to.shutdown(Shutdown::Write);
}
