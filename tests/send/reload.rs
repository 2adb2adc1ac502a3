//! An account's relay is changed while messages wait: what waits goes to the new one, and what is under
//! way ends with the old one.

use std::sync::{Arc, Condvar, Mutex};

use super::server::enqueue;
use super::{FAST, letter, outgoing, plain, times};
use crate::support::fake_smtp::{Act, FakeSmtp, Stage};
use crate::support::mill::Mill;

/// A gate that a server waits at.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

/// A server that lets only this login in, `AUTH PLAIN` in base64.
fn lets_in(login: &'static str, gate: Gate) -> FakeSmtp {
    FakeSmtp::start(&["AUTH PLAIN"], move |stage, line, _| match stage {
        Stage::Auth if !line.ends_with(login) => Some(Act::Say("535 5.7.8 no\r\n".into())),
        Stage::End => {
            gate.wait();
            None
        }
        _ => None,
    })
}

/// anna with `old` and with `new` as her password.
const OLD: &str = "AGFubmEAb2xk";
const NEW: &str = "AGFubmEAbmV3";

fn account(port: u16, password: &str) -> String {
    let login = format!(
        "login = {{ user = \"anna\", password = {{ command = [\"echo\", \"{password}\"] }} }}"
    );
    plain(port, &format!("smtp_connections = 1\n{login}"), FAST)
}

fn queue(mill: &Mill, token: &str) -> u64 {
    enqueue(&mill.path("data"), outgoing(token, &["bob@example.test"]), &letter(token))
}

fn came(server: &FakeSmtp, token: &str) -> usize {
    times(token, server.taken().iter().map(|taken| taken.text.as_str()))
}

#[test]
fn what_waits_goes_to_the_new_relay_and_what_is_under_way_ends() {
    let (gate, open) = (Gate::default(), Gate::default());
    open.open();
    let (old, new) = (lets_in(OLD, gate.clone()), lets_in(NEW, open));
    let mill = Mill::new(&account(old.port, "old"));
    let ids = ["under-way", "waits", "waits-too"].map(|token| queue(&mill, token));
    let mut engine = mill.start();
    engine.wait_event("started");
    while !old.heard().iter().any(|line| line == "DATA") {
        std::thread::yield_now();
    }
    mill.write("mailmill.toml", account(new.port, "new"));
    mill.expect(0, &["reload", "--wait"]);
    for id in &ids[1..] {
        engine.wait_for("the others", |event| event["event"] == "dequeued" && event["id"] == *id);
    }
    gate.open();
    engine.wait_for("the first", |event| event["event"] == "dequeued" && event["id"] == ids[0]);
    let counts = |server| ["under-way", "waits", "waits-too"].map(|token| came(server, token));
    assert_eq!((counts(&old), counts(&new)), ([1, 0, 0], [0, 1, 1]));
    assert_eq!(engine.terminate().0, Some(0));
}

#[test]
fn a_relay_that_is_wrong_is_left_at_once_when_it_is_corrected() {
    let open = Gate::default();
    open.open();
    let server = lets_in(NEW, open);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // No server there, then a password that is not taken: the account rests, which the next relay need not.
    let slow = |account: String| account.replace("100ms", "5m");
    let mill = Mill::new(&slow(account(closed, "new")));
    let id = queue(&mill, "waits");
    let mut engine = mill.start();
    engine.wait_event("lost");
    mill.write("mailmill.toml", slow(account(server.port, "old")));
    mill.expect(0, &["reload", "--wait"]);
    engine.wait_for("a refused login", |event| {
        event["event"] == "lost" && event["error"].as_str().is_some_and(|why| why.contains("5.7.8"))
    });
    assert!(server.taken().is_empty());
    mill.write("mailmill.toml", slow(account(server.port, "new")));
    mill.expect(0, &["reload", "--wait"]);
    engine.wait_for("the end", |event| event["event"] == "dequeued" && event["id"] == id);
    assert_eq!(came(&server, "waits"), 1);
    let status: serde_json::Value =
        serde_json::from_str(&mill.expect(0, &["status", "--json"])).unwrap();
    assert!(status["queue"]["accounts"]["a"].is_null(), "no old trouble is told: {status}");
    assert_eq!(engine.terminate().0, Some(0));
}
