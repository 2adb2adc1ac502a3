//! Memory that does not grow with a message, and disks that are full.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{CONFIG, Client, Office, SCRIPT};
use crate::support::mill::Mill;

/// The most memory that a process has had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn large(client: &mut Client, subject: &str, megabytes: usize) -> u16 {
    client.announce("anna@example.com");
    client.say(format!("From: anna@example.com\r\nSubject: {subject}\r\n\r\n"));
    let piece = format!("{}\r\n", "x".repeat(74)).repeat(1024);
    for _ in 0..megabytes * 1024 / 76 {
        client.say(&piece);
    }
    client.ask(".").0
}

#[test]
fn large_messages_are_streamed_and_loaded_only_where_rules_read_them() {
    let mut office = Office::new();
    let mut client = office.anna();
    assert_eq!(client.send("From: anna@example.com\r\n\r\nx").0, 250);
    let pid = office.running().pid();
    let before = peak(pid);
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = office.anna();
            std::thread::spawn(move || assert_eq!(large(&mut client, "large", 50), 250))
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let grown = (peak(pid) - before) >> 10;
    println!("three messages of 50 MB at once: {grown} MiB more than before");
    assert!(grown < 40, "{grown} MiB");
    assert_eq!(large(&mut client, "read", 50), 250);
    assert_eq!(large(&mut client, "too large", 61), 552);
    let sizes: Vec<u64> = office.queue().iter().map(|(_, m)| m.len() as u64 >> 20).collect();
    assert_eq!(sizes, [0, 49, 49, 49, 49]);
}

/// A file system of a few megabytes.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(at);
        let done = mount.output().is_ok_and(|output| output.status.success());
        if !done {
            println!("mounting is not permitted here, so a full disk is not tested");
        }
        done.then(|| Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_passes() {
    let mut office = Office::stopped("", "9");
    let Some(_small) = Small::mount(&office.mill.path("data")) else { return };
    office.start();
    let mut client = office.anna();
    let (code, line) = {
        let code = large(&mut client, "large", 20);
        (code, client.ask("NOOP").1)
    };
    assert_eq!(code, 452, "{line}");
    assert!(office.queue().is_empty());
    let names = || std::fs::read_dir(office.mill.path("data/queue")).unwrap().count();
    assert_eq!(names(), 0, "nothing of it is left");
    // Filled up by somebody else, down to the last page.
    let _ = std::fs::write(office.mill.path("data/filler"), vec![0; 16 << 20]);
    let (code, line) = client.send("From: anna@example.com\r\n\r\nsmall");
    assert!(code == 452 || code == 451, "{line}");
    let queued = office.queue().len();
    std::fs::remove_file(office.mill.path("data/filler")).unwrap();
    let mut client = office.anna();
    assert_eq!((client.send("From: anna@example.com\r\n\r\nsmall").0, queued), (250, 0));
    assert_eq!(office.queue().len(), 1);
}

/// The configuration of these tests is one that `check` finds right.
#[test]
fn the_configuration_is_right() {
    let mill = Mill::new(&CONFIG.replace("SUBMISSION", "").replace("RELAY", "25"));
    mill.write("scripts/send.rhai", SCRIPT);
    mill.write("cert.pem", "");
    mill.write("key.pem", "");
    mill.expect(0, &["check"]);
    let users = mill.expect(0, &["users", "list"]);
    assert!(users.contains("bert may send as bert@example.com\n"), "{users}");
}
