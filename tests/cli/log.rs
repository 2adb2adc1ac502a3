//! The log never stops mail: not when nobody reads it, not when its reader is gone.

use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{count, json, mail, mill};
use crate::support::mill::{Mill, PATIENCE, signal};

/// Ten lines of a kilobyte a message: a few messages fill a pipe.
const LOUD: &str = r#"fn inbound(mail) {
    let line = "x"; line.pad(1000, 'x');
    for number in 0..10 { mail.log(line); }
    mail.move_to("Done");
}"#;

const MESSAGES: usize = 120;

/// An engine whose log is left to the test.
struct Engine(Child);

impl Engine {
    fn start(mill: &Mill) -> (Self, ChildStdout) {
        let mut command = mill.command(&["run", "--log", "json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let log = child.stdout.take().unwrap();
        (Self(child), log)
    }

    fn wait_for(&mut self, what: &str, mut is: impl FnMut(&mut Child) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is(&mut self.0) {
            assert!(Instant::now() < until, "{what} did not happen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn terminate(mut self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        signal(self.0.id(), "TERM");
        self.wait_for("the end", |child| child.try_wait().unwrap().is_some());
        (self.0.try_wait().unwrap().unwrap(), started.elapsed())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn loud() -> Mill {
    let mill = mill(LOUD);
    for number in 0..MESSAGES {
        mill.deliver("maildir", &number.to_string(), mail(&format!("Message {number}")));
    }
    mill
}

#[test]
fn a_log_that_nobody_reads_stops_neither_mail_nor_sigterm() {
    let mill = loud();
    let (mut engine, unread) = Engine::start(&mill);
    engine.wait_for("all mail", |_| count(&mill, "maildir/.Done") == MESSAGES);
    let (status, took) = engine.terminate();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(unread);
}

#[test]
fn a_log_whose_reader_is_gone_stops_no_mail() {
    let mill = loud();
    let (mut engine, log) = Engine::start(&mill);
    drop(log);
    engine.wait_for("all mail", |_| count(&mill, "maildir/.Done") == MESSAGES);
    let (status, _) = engine.terminate();
    assert!(status.success(), "{status}");
}

#[test]
fn once_ends_when_its_whole_log_is_written() {
    let mill = loud();
    let log = mill.expect(0, &["run", "--once", "--log", "json"]);
    let of = |kind: &str| log.lines().filter(|line| json(line)["event"] == kind).count();
    assert_eq!((of("step"), of("done")), (10 * MESSAGES, MESSAGES));
    assert_eq!(json(log.lines().last().unwrap())["event"], "stopped");
}
