//! Mail that users hand over: by the programs they use, by raw bytes that no program sends, by the
//! `sendmail` command. What was answered `250` lies in the queue, and nothing else does.

mod clients;
mod deaths;
mod drop;
mod random;
mod relayed;
mod resources;
mod rights;
mod signature;
mod wire;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mailmill::send::{Spool, password};
use serde_json::Value;

use crate::support::mill::{Mill, PATIENCE, Running};

/// The password of every user.
const PASSWORD: &str = "correct horse";
/// `AUTH PLAIN` of anna.
const LOGIN: &str = "EHLO client.example\r\nAUTH PLAIN AGFubmEAY29ycmVjdCBob3JzZQ==\r\n";

const CONFIG: &str = r#"
[submission]
listen = ["127.0.0.1:0", "smtps://127.0.0.1:0"]
cert = "cert.pem"
key = "key.pem"
host = "mx.example.com"
max_size = "60MiB"
max_recipients = 100
SUBMISSION
[users.anna]
password = { file = "anna.argon2" }
name = "Anna Weiß"
send_as = ["anna@example.com", "office"]
[users.bert]
password = { file = "bert.argon2" }
send_as = ["bert@example.com"]
[users.root]
send_as = ["root@example.com", "office"]
[users.all]
password = { file = "anna.argon2" }
send_as = ["*"]
[accounts.office]
address = "office@example.com"
aliases = ["anna@example.com", "bert@example.com", "root@example.com", "sales@example.com"]
maildir = "office"
smtp = "smtp://127.0.0.1:RELAY"
tls = "none"
outbound = "send"
[pipelines.send]
steps = [{ script = "send" }]
"#;

const SCRIPT: &str = r#"
fn outbound(mail) {
    if mail.subject == "reject me" { mail.reject("Für diese Adresse fehlt das Projekt"); }
    if mail.subject == "hold me" { mail.hold("somebody should look"); }
    if mail.subject == "break" { throw "broken"; }
    if mail.subject == "as boss" { mail.set_header("From", "boss@example.net"); }
    if mail.subject == "read" { mail.tag("length", mail.text.len().to_string()); }
    if mail.subject == "count" {
        let n = mail.state.get("n");
        let n = if n == () { 0 } else { parse_int(n) };
        mail.state.set("n", (n + 1).to_string());
        mail.set_header("X-Count", (n + 1).to_string());
    }
    mail.strip_receipt_requests();
    mail.set_header("X-User", mail.user);
}
"#;

/// An engine that takes mail in.
struct Office {
    mill: Mill,
    running: Option<Running>,
    /// Ports of the listener and of the one with TLS from the first byte.
    ports: [u16; 2],
}

impl Office {
    fn new() -> Self {
        Self::with("", "9")
    }

    /// With more keys in `[submission]`, and a relay on this port.
    fn with(submission: &str, relay: &str) -> Self {
        let mut office = Self::stopped(submission, relay);
        office.start();
        office
    }

    fn stopped(submission: &str, relay: &str) -> Self {
        let config = CONFIG.replace("SUBMISSION", submission).replace("RELAY", relay);
        let mill = Mill::new(&config);
        mill.write("scripts/send.rhai", SCRIPT);
        for user in ["anna", "bert"] {
            let file = format!("{user}.argon2");
            mill.write(&file, password::hash(&PASSWORD.into()).unwrap());
            private(&mill, &file);
        }
        certificate(&mill, "mx.example.com");
        Self { mill, running: None, ports: [0; 2] }
    }

    fn start(&mut self) {
        let mut running = self.mill.start();
        for port in &mut self.ports {
            let event = running.wait_event("listening");
            let address = event["address"].as_str().unwrap();
            *port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        }
        running.wait_event("started");
        self.running = Some(running);
    }

    fn port(&self) -> u16 {
        self.ports[0]
    }

    fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    /// A connection that was greeted.
    fn connect(&self) -> Client {
        let mut client = Client::to(self.port());
        assert_eq!(client.reply().0, 220);
        client
    }

    /// A connection on which anna is logged in.
    fn anna(&self) -> Client {
        let mut client = self.connect();
        client.say(LOGIN);
        assert_eq!((client.reply().0, client.reply().0), (250, 235));
        client
    }

    /// The messages in the queue with what is known of them, oldest first.
    fn queue(&self) -> Vec<(Value, String)> {
        let spool = Spool::open(&self.mill.path("data")).unwrap();
        let mut all = Vec::new();
        for name in spool.others(&Default::default()).unwrap() {
            // One that is just being written is in no queue yet.
            let Ok(Some((json, size))) = spool.behind(&name) else { continue };
            let promise: Value = serde_json::from_slice(&json).unwrap();
            let mut bytes = Vec::new();
            spool.open_message(&name).unwrap().take(size).read_to_end(&mut bytes).unwrap();
            all.push((promise["entry"].clone(), String::from_utf8(bytes).unwrap()));
        }
        all
    }

    /// The one message in the queue.
    #[track_caller]
    fn only(&self) -> (Value, String) {
        let mut queue = self.queue();
        assert_eq!(queue.len(), 1, "{queue:#?}");
        queue.remove(0)
    }

    /// Waits until there are so many messages in the queue.
    #[track_caller]
    fn wait_for_queue(&self, count: usize) -> Vec<(Value, String)> {
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            let queue = self.queue();
            if queue.len() >= count {
                return queue;
            }
            assert!(std::time::Instant::now() < until, "{queue:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A client that says what it likes.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn to(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    fn say(&mut self, bytes: impl AsRef<[u8]>) {
        // Whoever was hung up on finds out by reading.
        let _ = self.stream.get_mut().write_all(bytes.as_ref());
    }

    /// The next reply: its code and its last line.
    #[track_caller]
    fn reply(&mut self) -> (u16, String) {
        self.next_reply().expect("the connection ended")
    }

    /// The next reply, `None` at the end.
    fn next_reply(&mut self) -> Option<(u16, String)> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).is_err() || !line.ends_with('\n') {
                return None;
            }
            if line.as_bytes()[3] == b' ' {
                return Some((line[..3].parse().unwrap(), line.trim_end().to_owned()));
            }
        }
    }

    /// Says something that has one reply.
    #[track_caller]
    fn ask(&mut self, command: &str) -> (u16, String) {
        self.say(format!("{command}\r\n"));
        self.reply()
    }

    /// Announces a message from this address to one recipient, up to the answer to DATA.
    #[track_caller]
    fn announce(&mut self, from: &str) {
        assert_eq!(self.ask(&format!("MAIL FROM:<{from}>")).0, 250);
        assert_eq!(self.ask("RCPT TO:<carl@example.org>").0, 250);
        assert_eq!(self.ask("DATA").0, 354);
    }

    /// Sends a message from anna's address, and gives the answer.
    #[track_caller]
    fn send(&mut self, message: &str) -> (u16, String) {
        self.announce("anna@example.com");
        self.ask(&format!("{message}\r\n."))
    }

    /// The codes of all replies to the end.
    fn rest(&mut self) -> Vec<u16> {
        std::iter::from_fn(|| self.next_reply()).map(|(code, _)| code).collect()
    }
}

/// Lets nobody else read a file.
fn private(mill: &Mill, file: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(mill.path(file), std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Makes a certificate of this name and puts it in place.
fn certificate(mill: &Mill, name: &str) {
    let made = std::process::Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30".split(' '),
        )
        .args(["-subj", &format!("/CN={name}"), "-keyout", "new.key", "-out", "new.pem"])
        .current_dir(mill.path(""))
        .output()
        .expect("openssl is missing: `tests/run` installs it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::rename(mill.path("new.key"), mill.path("key.pem")).unwrap();
    std::fs::rename(mill.path("new.pem"), mill.path("cert.pem")).unwrap();
}
