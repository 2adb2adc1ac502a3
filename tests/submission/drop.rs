//! The `sendmail` command, with and without an engine.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Office;

/// Calls `sendmail`: its exit code and what it said.
pub fn sendmail(office: &Office, args: &[&str], input: impl AsRef<[u8]>) -> (i32, String) {
    call(office.mill.command(&[&["sendmail"], args].concat()), input)
}

/// Calls a command with this input: its exit code and what it said.
pub fn call(mut command: Command, input: impl AsRef<[u8]>) -> (i32, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A call that is refused need not read on.
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

fn dropped(office: &Office) -> Vec<String> {
    let entries = std::fs::read_dir(office.mill.path("data/drop")).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// These tests are run as root or as whoever runs them: that user is in the configuration.
pub fn me(office: &Office) {
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    let name = String::from_utf8(name).unwrap().trim().to_owned();
    let config = std::fs::read_to_string(office.mill.path("mailmill.toml")).unwrap();
    office.mill.write("mailmill.toml", config.replace("[users.root]", &format!("[users.{name}]")));
}

const MESSAGE: &str = "To: carl@example.org, Dora <dora@example.org>\nBcc: secret@example.org,\n other@example.org\nSubject: x\n\nline\n.\nlast";

#[test]
fn a_message_is_dropped_without_an_engine_and_picked_up_by_one() {
    let mut office = Office::stopped("", "9");
    me(&office);
    std::fs::create_dir(office.mill.path("data")).unwrap();
    let (code, said) = sendmail(&office, &["-t", "-oi", "-F", "Büro \"Mitte\""], MESSAGE);
    assert_eq!((code, &*said), (0, ""));
    assert_eq!(dropped(&office).len(), 1);
    office.start();
    let queue = office.wait_for_queue(1);
    let (known, message) = &queue[0];
    assert_eq!(known["recipients"].as_array().unwrap().len(), 4);
    assert_eq!(known["reverse_path"], "root@example.com");
    assert!(!message.contains("secret@") && !message.contains("other@"), "{message}");
    assert!(message.ends_with("\r\n\r\nline\r\n.\r\nlast\r\n"), "{message}");
    assert!(message.contains("From: ") && message.contains("<root@example.com>"), "{message}");
    assert!(message.contains("Received: by mx.example.com (mailmill, from userid"), "{message}");
    assert!(message.contains("Date: ") && message.contains("Message-ID: <"), "{message}");
    let until = std::time::Instant::now() + crate::support::mill::PATIENCE;
    while !dropped(&office).is_empty() {
        assert!(std::time::Instant::now() < until);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn called_by_the_name_of_sendmail_it_is_sendmail() {
    let office = Office::new();
    me(&office);
    let link = office.mill.path("sendmail");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mailmill"), &link).unwrap();
    let mut command = Command::new(link);
    command.args(["-i", "-f", "sales@example.com", "--", "carl@example.org"]);
    command.env("MAILMILL_CONFIG", office.mill.path("mailmill.toml"));
    let (code, said) = call(command, "From: sales@example.com\n\nx\n");
    assert_eq!((code, &*said), (0, ""));
    let (known, message) = office.wait_for_queue(1).remove(0);
    assert_eq!(known["reverse_path"], "sales@example.com");
    assert!(message.ends_with("From: sales@example.com\r\n\r\nx\r\n"), "{message}");
}

#[test]
fn exit_codes_are_those_of_sysexits() {
    let office = Office::stopped("", "9");
    me(&office);
    let to = "carl@example.org";
    let own = "From: root@example.com\n\nx\n";
    assert_eq!(sendmail(&office, &[to], own).0, 73, "no data folder");
    std::fs::create_dir(office.mill.path("data")).unwrap();
    for (args, input, code) in [
        (&["-Z", to][..], own, 64),
        (&[][..], own, 64),
        (&["-t"][..], "Subject: nobody\n\nx\n", 64),
        (&["carl"][..], own, 65),
        (&["-f", "nobody", to][..], own, 65),
        (&[to][..], "From: root@example.com\n\n\0\n", 65),
        (&["-bs"][..], "", 69),
        (&["-bp"][..], "", 69),
        (&[to][..], "From: boss@example.net\n\nx\n", 77),
        (&["-f", "boss@example.net", to][..], own, 77),
        (&["-C", "none.toml", to][..], own, 78),
    ] {
        let (found, said) = sendmail(&office, args, input);
        assert_eq!(found, code, "{args:?}: {said}");
        assert!(said.starts_with("sendmail: "), "{args:?}: {said}");
    }
    assert!(dropped(&office).is_empty(), "nothing of a refused message is left");
    office.mill.write("mailmill.toml", "[users]\n");
    assert_eq!(sendmail(&office, &[to], own).0, 67, "not one of [users]");
}

#[test]
fn what_is_refused_is_kept_and_told() {
    let mut office = Office::new();
    me(&office);
    let folder = office.mill.path("data/drop");
    // Past the check of the command itself, as somebody else's program could.
    let mut command = office.mill.command(&["sendmail", "-i", "carl@example.org"]);
    command.env("MAILMILL_DROP", &folder);
    let (code, said) = call(command, "From: boss@example.net\n\nx\n");
    assert_eq!((code, &*said), (0, ""));
    office.running().wait_for("the refusal", |event| {
        let text = event["text"].as_str().unwrap_or_default();
        text.contains("may not send as boss@example.net") && text.contains(".refused")
    });
    let names = dropped(&office);
    assert!(names.len() == 1 && names[0].ends_with(".refused"), "{names:?}");
    let status = office.mill.call(&["status"]).stdout;
    let status = String::from_utf8(status).unwrap();
    assert!(status.contains("dropped by sendmail and refused: 1, the oldest of 2"), "{status}");
    // What others could slip into a folder that all may write into.
    std::fs::write(office.mill.path("other"), "{}\n").unwrap();
    std::os::unix::fs::symlink(office.mill.path("other"), folder.join("link.mail")).unwrap();
    std::fs::hard_link(office.mill.path("other"), folder.join("hard.mail")).unwrap();
    std::fs::write(folder.join("junk.mail"), "no slip\n").unwrap();
    std::fs::create_dir(folder.join("folder.mail")).unwrap();
    let slip = r#"{"v":1,"sender":"own","full_name":null,"recipients":[{"address":"carl@example.org"}],"ret":null,"envid":null,"body":"seven_bit"}"#;
    std::fs::write(
        folder.join("bare.mail"),
        format!("{slip}\nFrom: root@example.com\r\n\r\nx\n.\nMAIL\r\n"),
    )
    .unwrap();
    for _ in 0..5 {
        office.running().wait_for("each refused", |event| {
            event["text"].as_str().unwrap_or_default().contains(".refused")
        });
    }
    assert!(
        dropped(&office).iter().all(|name| name.ends_with(".refused")),
        "{:?}",
        dropped(&office)
    );
    assert!(office.queue().is_empty());
    let told = |office: &Office| -> Value {
        serde_json::from_slice(&office.mill.call(&["status", "--json"]).stdout).unwrap()
    };
    let running = told(&office);
    assert_eq!((&running["running"], &running["drop_refused"]["count"]), (&true.into(), &6.into()));
    assert!(running["drop_refused"]["folder"] == folder.to_str().unwrap(), "{running}");
    // The oldest is the first of all; what becomes of others moves it on.
    let old = std::fs::File::open(folder.join(&names[0])).unwrap();
    old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_500)).unwrap();
    assert_eq!(told(&office)["drop_refused"]["oldest_ms"], 1_500);
    std::fs::remove_file(folder.join(&names[0])).unwrap();
    assert_eq!(told(&office)["drop_refused"]["count"], 5);
    assert!(told(&office)["drop_refused"]["oldest_ms"].as_i64().unwrap() > 1_500);
    let good = format!("{slip}\nFrom: root@example.com\r\n\r\nx\r\n");
    std::fs::write(folder.join("good.mail"), good).unwrap();
    office.wait_for_queue(1);
    // Without an engine the same is told.
    office.running.take().unwrap().kill();
    assert_eq!(told(&office)["running"], false);
    assert_eq!(told(&office)["drop_refused"]["count"], 5);
    let status = String::from_utf8(office.mill.call(&["status"]).stdout).unwrap();
    assert!(status.contains("refused: 5") && status.contains("NAME.mail"), "{status}");
}

#[test]
fn a_large_message_is_dropped_and_one_that_is_too_large_is_not() {
    let office = Office::new();
    me(&office);
    let line = format!("{}\n", "x".repeat(76));
    let message = |bytes: usize| format!("From: root@example.com\n\n{}", line.repeat(bytes / 77));
    assert_eq!(sendmail(&office, &["-i", "carl@example.org"], message(40 << 20)).0, 0);
    assert_eq!(sendmail(&office, &["-i", "carl@example.org"], message(61 << 20)).0, 65);
    let (_, message) = office.wait_for_queue(1).remove(0);
    assert!(message.len() > 40 << 20);
}
