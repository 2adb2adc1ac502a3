//! A server that takes every message and throws it away, or refuses for now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::Result;

/// The server; it ends with the process.
pub(crate) struct Sink {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    refuses: AtomicBool,
    taken: AtomicUsize,
}

impl Sink {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (port, state) = (listener.local_addr()?.port(), Arc::<State>::default());
        let served = state.clone();
        tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                let state = served.clone();
                tokio::spawn(async move {
                    // Who leaves in the middle of a session leaves.
                    let _ = serve(peer, &state).await;
                });
            }
        });
        Ok(Self { port, state })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Refuses each new connection for now.
    pub(crate) fn refuse(&self) {
        self.state.refuses.store(true, Ordering::SeqCst);
    }

    /// Takes mail again.
    pub(crate) fn accept(&self) {
        self.state.refuses.store(false, Ordering::SeqCst);
    }

    /// How many messages were taken.
    pub(crate) fn taken(&self) -> usize {
        self.state.taken.load(Ordering::SeqCst)
    }

    /// Waits until so many were taken.
    pub(crate) async fn wait(&self, count: usize, most: Duration) -> Result<()> {
        let until = Instant::now() + most;
        while self.taken() < count {
            if Instant::now() > until {
                return Err(format!("{} of {count} messages came", self.taken()).into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

async fn serve(peer: TcpStream, state: &State) -> Result<()> {
    peer.set_nodelay(true)?;
    let mut peer = BufReader::with_capacity(1 << 16, peer);
    if state.refuses.load(Ordering::SeqCst) {
        return Ok(peer.get_mut().write_all(b"421 4.3.2 away\r\n").await?);
    }
    peer.get_mut().write_all(b"220 sink ESMTP\r\n").await?;
    let (mut line, mut in_data) = (Vec::new(), false);
    loop {
        line.clear();
        if peer.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let answer: &[u8] = match (in_data, line.get(..4).unwrap_or(&line)) {
            (true, _) if line != b".\r\n" => continue,
            (true, _) => {
                in_data = false;
                state.taken.fetch_add(1, Ordering::SeqCst);
                b"250 2.0.0 taken\r\n"
            }
            (false, _) if state.refuses.load(Ordering::SeqCst) => b"421 4.3.2 away\r\n",
            (false, b"EHLO") => b"250-sink\r\n250-8BITMIME\r\n250-SIZE 0\r\n250 PIPELINING\r\n",
            (false, b"DATA") => {
                in_data = true;
                b"354 go on\r\n"
            }
            (false, b"QUIT") => b"221 2.0.0 bye\r\n",
            (false, _) => b"250 2.0.0 ok\r\n",
        };
        peer.get_mut().write_all(answer).await?;
    }
}
