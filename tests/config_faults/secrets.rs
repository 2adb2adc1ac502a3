//! Where passwords come from, and that nothing but the password's reader ever sees one.

use std::path::Path;

use mailmill::config::secret::Source;
use mailmill::config::{self};
use mailmill::error::{Error, Retry};
use secrecy::ExposeSecret;

use super::{Desk, load};

async fn read(source: &Source) -> Result<String, Error> {
    source.read(Path::new("/")).await.map(|secret| secret.expose_secret().to_owned())
}

fn command(script: &str) -> Source {
    Source::Command(["sh", "-c", script].map(str::to_owned).to_vec())
}

/// The error of a source, which must have the word and must not have the secret.
#[track_caller]
fn refused(result: Result<String, Error>, retry: Retry, word: &str) {
    let error = result.expect_err("it was read");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains(word), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(error.retry(), retry, "{shown}");
}

#[tokio::test]
async fn from_the_environment() {
    let path = std::env::var("PATH").unwrap();
    assert_eq!(read(&Source::Env("PATH".into())).await.unwrap(), path);
    let unset = read(&Source::Env("MAILMILL_NOT_SET".into())).await;
    refused(unset, Retry::Never, "MAILMILL_NOT_SET where mailmill is started");
}

#[tokio::test]
async fn from_a_file_its_first_line() {
    for (content, secret) in
        [("hunter2", "hunter2"), ("hunter2\r\nnotes\n", "hunter2"), (" ü \n", " ü ")]
    {
        let desk = Desk::new("").write("secret", content).mode("secret", 0o600);
        assert_eq!(read(&Source::File(desk.path("secret"))).await.unwrap(), secret);
    }
}

#[tokio::test]
async fn from_no_file_that_others_could_have_changed_or_read() {
    for mode in [0o604, 0o640, 0o620, 0o602, 0o601] {
        let desk = Desk::new("").write("secret", "hunter2").mode("secret", mode);
        let path = desk.path("secret");
        refused(read(&Source::File(path)).await, Retry::Never, "chmod 600");
    }
    let desk = Desk::new("").write("secret", "hunter2").mode("secret", 0o600);
    std::os::unix::fs::symlink(desk.path("secret"), desk.path("link")).unwrap();
    refused(read(&Source::File(desk.path("link"))).await, Retry::Never, "symbolic link");
    refused(read(&Source::File(desk.path("gone"))).await, Retry::Never, "no such file");
    refused(read(&Source::File(desk.path("."))).await, Retry::Never, "no regular file");
}

#[tokio::test]
async fn from_no_file_that_is_empty_huge_or_binary() {
    for (content, word) in [
        (vec![], "first line is empty"),
        (b"\nhunter2".to_vec(), "first line is empty"),
        (b"hunter2\xff".to_vec(), "not UTF-8"),
        (b"hunter2 ".repeat(10_000), "64 KiB"),
    ] {
        let desk = Desk::new("").write("secret", content).mode("secret", 0o600);
        refused(read(&Source::File(desk.path("secret"))).await, Retry::Never, word);
    }
}

#[tokio::test]
async fn from_a_pipe_never_waits() {
    let desk = Desk::new("");
    let made = std::process::Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(desk.path("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    refused(read(&Source::File(desk.path("pipe"))).await, Retry::Never, "no regular file");
}

#[tokio::test]
async fn from_a_command_without_a_shell() {
    let echo = Source::Command(["echo", "hunter2 $HOME; x"].map(str::to_owned).to_vec());
    assert_eq!(read(&echo).await.unwrap(), "hunter2 $HOME; x");
    assert_eq!(read(&command("echo hunter2; echo more; cat")).await.unwrap(), "hunter2");
    let desk = Desk::new("").write("secret", "hunter2");
    let cat = Source::Command(["cat", "secret"].map(str::to_owned).to_vec());
    let secret = cat.read(desk.folder.path()).await.unwrap();
    assert_eq!(secret.expose_secret(), "hunter2", "it starts in the configuration's folder");
}

#[tokio::test]
async fn from_no_command_that_fails() {
    let gone = Source::Command(vec!["mailmill-no-such-program".into()]);
    refused(read(&gone).await, Retry::Never, "mailmill-no-such-program");
    let failing = command("echo hunter2; echo hunter2 >&2; exit 3");
    refused(read(&failing).await, Retry::Later, "exit status: 3");
    refused(read(&command("true")).await, Retry::Never, "first line is empty");
    let endless = command("yes hunter2");
    assert!(read(&endless).await.is_err(), "it gave more than 64 KiB");
    refused(read(&Source::Command(vec![])).await, Retry::Never, "command");
}

/// The clock stands still for the test, and jumps to the next deadline when all wait.
#[tokio::test(start_paused = true)]
async fn from_no_command_that_hangs() {
    refused(read(&command("sleep 3600")).await, Retry::Later, "more than 10 seconds");
}

#[tokio::test]
async fn from_the_configuration_where_nobody_else_can_read_it() {
    let text = "[accounts.a]\nimap = \"imaps://a.example.com\"\n\
                login = { user = \"me\", password = \"hunter2\" }\n";
    let desk = Desk::new(text).mode("mailmill.toml", 0o600);
    let account = load(&desk.path("mailmill.toml")).accounts["a"].clone();
    let config::Source::Imap(imap) = account.source else { panic!() };
    assert_eq!(read(&imap.password).await.unwrap(), "hunter2");
    assert!(!format!("{:?}", imap.password).contains("hunter2"));
    let desk = desk.mode("mailmill.toml", 0o640);
    assert!(desk.check("mailmill.toml").err.contains("a file that others can read"));
}

#[test]
fn debug_shows_no_arguments_of_a_command() {
    let shown = format!("{:?}", command("echo hunter2"));
    assert!(shown.contains("sh") && !shown.contains("hunter2"), "{shown}");
}
