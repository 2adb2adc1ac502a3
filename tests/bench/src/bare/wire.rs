//! IMAP by hand over one blocking connection, plain or TLS.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Result;

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// Commands that are sent before their answers are read, in bytes: fewer than a socket holds.
const AHEAD: usize = 96 << 10;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A connection.
pub(crate) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    line: Vec<u8>,
    /// The last literal, and what is on the line around literals.
    pub(crate) literal: Vec<u8>,
    pub(crate) text: Vec<u8>,
    sent: usize,
    /// Bytes of each command that is not answered yet.
    open: std::collections::VecDeque<usize>,
}

impl Wire {
    /// Connects to the loopback port; with TLS where there is an authority's file.
    pub(crate) fn connect(port: u16, ca: Option<&Path>) -> Result<Self> {
        let stream =
            TcpStream::connect(("127.0.0.1", port)).map_err(|why| format!("connect: {why}"))?;
        stream.set_nodelay(true).map_err(|why| format!("set TCP_NODELAY: {why}"))?;
        let stream: Box<dyn Stream> = match ca {
            Some(ca) => Box::new(StreamOwned::new(tls(ca)?, stream)),
            None => Box::new(stream),
        };
        let mut wire = Self {
            stream: BufReader::with_capacity(BUFFER, stream),
            line: Vec::new(),
            literal: Vec::new(),
            text: Vec::new(),
            sent: 0,
            open: std::collections::VecDeque::new(),
        };
        wire.response()?;
        Ok(wire)
    }

    /// Sends a command; first reads answers while too much is under way.
    pub(crate) fn send(&mut self, command: &str) -> Result<()> {
        while self.open.iter().sum::<usize>() > AHEAD {
            self.tagged()?;
        }
        self.sent += 1;
        let line = format!("a{} {command}\r\n", self.sent);
        self.open.push_back(line.len());
        let stream = self.stream.get_mut();
        stream
            .write_all(line.as_bytes())
            .and_then(|()| stream.flush())
            .map_err(|why| format!("send: {why}"))
    }

    /// Reads until every command is answered.
    pub(crate) fn settle(&mut self) -> Result<()> {
        while !self.open.is_empty() {
            self.tagged()?;
        }
        Ok(())
    }

    /// Reads until the oldest open command is answered.
    pub(crate) fn tagged(&mut self) -> Result<()> {
        while !self.step()? {}
        Ok(())
    }

    /// Reads one response into `text` and `literal`; true where it answers the oldest command.
    pub(crate) fn step(&mut self) -> Result<bool> {
        self.response()?;
        if !self.text.starts_with(b"a") {
            return Ok(false);
        }
        self.open.pop_front();
        let words = self.text.split(|byte| *byte == b' ').nth(1);
        match words {
            Some(b"OK") => Ok(true),
            _ => Err(format!("the server refuses: {}", String::from_utf8_lossy(&self.text))),
        }
    }

    /// One response with its literals; the last literal stays.
    fn response(&mut self) -> Result<()> {
        self.text.clear();
        self.literal.clear();
        loop {
            self.line.clear();
            let read = self.stream.read_until(b'\n', &mut self.line);
            if read.map_err(|why| format!("read: {why}"))? == 0 {
                return Err("the server has closed the connection".into());
            }
            let line = self.line.trim_ascii_end();
            self.text.extend_from_slice(line);
            let Some(size) = literal(line) else { return Ok(()) };
            self.literal.clear();
            let read = (&mut self.stream).take(size).read_to_end(&mut self.literal);
            read.map_err(|why| format!("read {size} bytes: {why}"))?;
        }
    }
}

/// The size in `… {123}`.
fn literal(line: &[u8]) -> Option<u64> {
    let inside = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', inside)?;
    std::str::from_utf8(&inside[open + 1..]).ok()?.parse().ok()
}

fn tls(ca: &Path) -> Result<ClientConnection> {
    let pem = fs::read(ca).map_err(|why| format!("read {}: {why}", ca.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|why| format!("{}: {why}", ca.display()))?;
        roots.add(certificate).map_err(|why| format!("{}: {why}", ca.display()))?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|why| why.to_string())?;
    ClientConnection::new(Arc::new(config), name).map_err(|why| format!("start TLS: {why}"))
}
