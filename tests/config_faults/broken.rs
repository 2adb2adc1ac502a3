//! Broken configurations, each with many faults. READ a snapshot before accepting it: would a
//! person know what to do?

use insta::assert_snapshot;
use mailmill::cli::Exit;

use super::{Desk, faults, told};

#[test]
fn unknown_keys() {
    assert_snapshot!(faults(
        r#"
colour = "red"
[engin]
data = "data"
[engine]
script = "scripts"
[accounts.a]
maildirs = "x"
maildir = "m"
adress = "a@example.com"
zebra = 1
Inbound = "p"
watch = [{ mailbox = "INBOX", subfolder = true, recursive = true }]
[pipelines.p]
step = []
steps = [{ scripts = "route", script = "route", on_eror = "skip" }]
[tables.t]
file = "t.csv"
key = "k"
columns = ["k"]
[targets.t]
maildir = "t"
path = "t"
"#
    ));
}

#[test]
fn wrong_types() {
    assert_snapshot!(faults(
        r#"
tables = "projects.csv"
targets = [{ maildir = "x" }]
[engine]
data = 1
[accounts]
b = "imaps://example.com"
[accounts.a]
address = ["a@example.com"]
aliases = "b@example.com"
imap = 993
login = "me"
project = true
watch = "INBOX"
inbound = 1.5
after = 2026-11-23
create = "yes"
active = 1
idle = "no"
poll = 60
max_size = 1.5
[accounts.c]
maildir = "c"
aliases = [1, "c@example.com"]
watch = ["INBOX"]
[pipelines.p]
steps = { script = "route" }
[pipelines.q]
steps = ["route", { script = 1 }, { script = "route", on_error = true }]
[pipelines]
r = []
"#
    ));
}

#[test]
fn accounts_without_a_home_or_with_two() {
    assert_snapshot!(faults(
        r#"
[accounts.none]
address = "none@example.com"

[accounts.both]
imap = "imaps://example.com"
login = { user = "me", password = { env = "P" } }
maildir = "m"

[accounts.no-login]
imap = "imaps://example.com"

[accounts.half-login]
imap = "imaps://example.com"
login = { user = "me" }

[accounts.no-user]
imap = "imaps://example.com"
login = { password = { env = "P" } }

[accounts.local]
maildir = "m"
login = { user = "me", password = { env = "P" } }
tls = "none"
ca = "ca.pem"

[accounts.addresses]
maildir = "m"
address = "Anna <anna@example.com>"
aliases = ["anna", "@example.com", "a@", "a b@example.com", ""]
project = ""
"#
    ));
}

#[test]
fn servers() {
    assert_snapshot!(faults(
        r#"
[accounts.a]
imap = "mail.example.com"
login = { user = "me", password = { env = "P" } }
[accounts.b]
imap = "imaps://mail.example.com:99999"
login = { user = "me", password = { env = "P" } }
[accounts.c]
imap = "imaps://me@mail.example.com/INBOX"
login = { user = "me", password = { env = "P" } }
[accounts.d]
imap = "imaps://::1"
login = { user = "me", password = { env = "P" } }
[accounts.e]
imap = "imaps://127.0.0.1"
tls = "none"
login = { user = "me", password = { env = "P" } }
[accounts.f]
imap = "imap://mail.example.com"
tls = "none"
ca = "ca.pem"
login = { user = "me", password = { env = "P" } }
[accounts.g]
imap = "imap://mail.example.com"
tls = "starttls"
login = { user = "me", password = { env = "P" } }
[accounts.h]
imap = "imaps://mail.example.com/"
ca = "missing.pem"
login = { user = "", password = { env = "P" } }
"#
    ));
}

#[test]
fn passwords_in_the_open() {
    let told = faults(
        r#"
[accounts.a]
imap = "imaps://a.example.com"
login = { user = "me", password = "hunter2" }
[accounts.b]
imap = "imaps://b.example.com"
login = { user = "me", pasword = "hunter2" }
[accounts.c]
imap = "imaps://c.example.com"
login = { user = "me", password = { env = "hunter2!", file = "x" } }
[accounts.d]
imap = "imaps://me:hunter2@d.example.com"
login = { user = "me", password = { command = [] } }
[accounts.e]
imap = "imaps://e.example.com"
login = { user = "me", password = { command = "pass show mail" } }
[accounts.f]
imap = "imaps://f.example.com"
login = { user = "me", password = { inline = "hunter2" } }
[accounts.g]
imap = "imaps://g.example.com"
login = { user = "me", password = ["hunter2"] }
[accounts.h]
imap = "imaps://h.example.com"
login = { user = "me", password = """
hunter2""", extra = 1 }
"#,
    );
    assert!(!told.contains("hunter2"), "{told}");
    assert_snapshot!(told);
}

#[test]
fn watch_and_after() {
    assert_snapshot!(faults(
        r#"
[accounts.a]
maildir = "a"
watch = []
after = { delete = "2d" }
[accounts.b]
maildir = "b"
watch = [{ subfolders = true }, { mailbox = "" }, { mailbox = "A//B" }, { mailbox = "A/*" }, { mailbox = "../x" }]
after = "delete"
[accounts.c]
maildir = "c"
after = { move = "Archive", delete = "2d" }
[accounts.d]
maildir = "d"
after = { mvoe = "Archive" }
[accounts.e]
maildir = "e"
after = { move = "a\u0000b" }
watch = [{ mailbox = "INBOX", subfolders = "yes" }]
"#
    ));
}

#[test]
fn quantities() {
    assert_snapshot!(faults(
        r#"
[accounts.a]
maildir = "a"
poll = "1ms"
idle_renew = "30m"
deadline = "sixty seconds"
max_size = "150 megs"
[accounts.b]
maildir = "b"
poll = "2w"
idle_renew = ""
deadline = "60"
max_size = 0
[accounts.c]
maildir = "c"
max_size = -1
poll = "999999999999999999999999d"
[accounts.d]
maildir = "d"
max_size = "99999999999GiB"
"#
    ));
}

#[test]
fn pipelines() {
    assert_snapshot!(faults(
        r#"
[pipelines.a]
[pipelines.b]
steps = []
[pipelines.c]
steps = [
  { script = "route.rhai" },
  { script = "sub/route" },
  { plugin = "../evil" },
  { script = "..", on_error = "ignore" },
  { script = "route", plugin = "route" },
  { on_error = "Hold" },
  {},
  { script = "" },
  { plugin = ".hidden", with = { far = inf, n = nan, big = 99999999999999999999 } },
]
[pipelines.d]
steps = [{ script = "route" }, { script = "other", on_error = "retyr" }, { plugin = "route" }]
"#
    ));
}

#[test]
fn tables_and_targets() {
    assert_snapshot!(faults(
        r#"
[tables.accounts]
file = "a.csv"
key = "name"
[tables.projects]
file = "projects.csv"
[tables.senders]
key = "sender"
[tables.empty]
[accounts.office]
maildir = "office"
[targets.a]
[targets.b]
maildir = "b"
account = "office"
mailbox = "INBOX"
[targets.c]
account = "office"
[targets.d]
account = "ofice"
mailbox = "INBOX"
[targets.e]
account = "sales"
mailbox = "A%"
[targets.f]
maildir = "f"
mailbox = "INBOX"
[targets.g]
command = ["mail"]
"#
    ));
}

#[test]
fn what_this_version_does_not_do_yet() {
    assert_snapshot!(faults(
        r#"
[accounts.a]
imap = "imaps://example.com"
login = { user = "me", oauth2 = "m365" }
quota_warn = "80%"
rewrite = true
after = { delete = "2d" }

[oauth2.m365]
tenant = "x"
"#
    ));
}

#[test]
fn relays() {
    assert_snapshot!(faults(
        r#"
[accounts.a]
smtp = "mail.example.com"
[accounts.b]
smtp = "smtp://anna:secret@example.com"
[accounts.c]
smtp = "smtps://example.com"
tls = "none"
sent = "Sent"
[accounts.d]
maildir = "d"
smtp_rate = 30
[accounts.e]
smtp = "smtp://example.com"
tls = "none"
login = { user = "me" }
smtp_connections = 0
[accounts.f]
smtp = "smtp://example.com"
smtp_login = { user = "me", oauth2 = { env = "TOKEN" } }
inbound = "p"
[accounts.g]
smtp = "smtp://example.com"
login = { user = "me", password = { env = "X" }, oauth2 = { file = "t" } }

[queue]
retry = ["1m", "soon"]
expire = "1y"
delay = "4h"
"#
    ));
}

#[test]
fn mailboxes_watched_twice() {
    assert_snapshot!(faults(
        r#"
[pipelines.p]
steps = [{ script = "x" }]

[accounts.a]
imap = "imaps://Mail.example.com"
login = { user = "Me@example.com", password = { env = "P" } }
watch = [{ mailbox = "INBOX" }, { mailbox = "inbox" }, { mailbox = "Projects", subfolders = true }]
inbound = "p"

[accounts.b]
imap = "imap://mail.example.com:143"
login = { user = "me@example.com", password = { env = "P" } }
watch = [{ mailbox = "Projects/T-071" }, { mailbox = "Other" }]
inbound = "p"

[accounts.another-user]
imap = "imaps://mail.example.com"
login = { user = "you@example.com", password = { env = "P" } }
inbound = "p"

[accounts.paused]
active = false
imap = "imaps://mail.example.com"
login = { user = "me@example.com", password = { env = "P" } }
inbound = "p"

[accounts.m]
maildir = "mail/office"
inbound = "p"

[accounts.n]
maildir = "mail/../mail/office/"
inbound = "p"
"#
    ));
}

#[test]
fn names() {
    assert_snapshot!(faults(
        r#"
[accounts."a/b"]
maildir = "a"
[accounts."../up"]
maildir = "b"
[accounts.""]
maildir = "c"
[accounts."two words"]
maildir = "d"
[accounts."\u001b[31m"]
maildir = "e"
[accounts.good]
maildir = "f"
inbound = "project-mial"
[accounts.other]
maildir = "g"
inbound = "nothing like it"
[pipelines.project-mail]
steps = [{ script = "a b" }]
[pipelines."\n"]
steps = [{ script = "route" }]
"#
    ));
}

#[test]
fn no_toml() {
    assert_snapshot!(faults(
        r#"
[engine]
dta = "data"
[accounts.a]
maildir = "a"
inbound = "defined-below-perhaps"
address = "anna
imap = imaps://example.com
password = "hunter2
[pipelines.p
steps = [{ script = "route" }]
[engine]
data = "twice"
"#
    ));
}

#[test]
fn a_broken_script_is_told_beside_broken_accounts() {
    let desk = Desk::new(
        r#"
[accounts.a]
maildirr = "a"
inbound = "p"
[pipelines.p]
steps = [{ script = "route" }, { script = "rout" }, { plugin = "gone" }]
[tables.projects]
file = "projects.csv"
key = "code"
"#,
    );
    let desk = desk
        .write("scripts/route.rhai", "fn inbound(mail) {\n    mail.mvoe_to(\"X\");\n}\n")
        .write("projects.csv", "cod,mailbox\nT-1,A\n");
    assert_snapshot!(told(&desk));
}

#[test]
fn what_is_no_configuration_file() {
    let told = |desk: Desk, file| {
        let told = desk.check(file);
        assert_eq!((told.exit, told.out.as_str()), (Exit::Config, ""));
        told.err
    };
    let mut text = told(Desk::new(""), "missing.toml");
    text += &told(Desk::new("").write("folder/x", ""), "folder");
    text += &told(Desk::new(b"\x7fELF\x02\x01\x01\x00\x00"), "mailmill.toml");
    text += &told(Desk::new(b"[engine]\nd\xc3\xa4ta = \"\xff\"\n"), "mailmill.toml");
    text += &told(Desk::new(vec![b' '; (1 << 20) + 1]), "mailmill.toml");
    text += &told(Desk::new("<xml>hello</xml>"), "mailmill.toml");
    text += &told(Desk::new("{ \"engine\": { \"data\": \"data\" } }"), "mailmill.toml");
    assert_snapshot!(text);
}

#[test]
fn a_pipe_is_refused_instead_of_waited_for() {
    let desk = Desk::new("");
    let made = std::process::Command::new("mkfifo").arg(desk.path("pipe")).status().unwrap();
    assert!(made.success());
    assert!(desk.check("pipe").err.contains("is no regular file"));
}

#[test]
fn json_has_the_same_faults() {
    let desk = Desk::new("[accounts.a]\nmaildir = \"a\"\nactiv = true\n");
    let told = desk.check_json("mailmill.toml");
    assert_eq!((told.exit, told.err.as_str()), (Exit::Config, ""));
    assert_snapshot!(told.out);
}

#[test]
fn a_hostile_file_takes_no_time_and_no_screens() {
    let many = |line: &str| line.repeat((1 << 20) / line.len());
    let unknown: String = (0..60_000).map(|n| format!("key{n} = 1\n")).collect();
    let long = format!("{} = 1", "k".repeat(1 << 19));
    let deep = format!("with = {}", "[".repeat(1 << 19));
    let deep_tables = format!("x = {}", "{a=".repeat(1 << 18));
    let watch = (0..30_000).map(|n| format!("{{mailbox=\"a{n}\"}},")).collect::<String>();
    let watch = format!("[accounts.a]\nmaildir = \"a\"\nwatch = [{watch}]\n");
    let accounts: String =
        (0..5_000).map(|n| format!("[accounts.a{n}]\nmaildir = \"a\"\n")).collect();
    let quotes = format!("x = {}", "\"".repeat(1 << 19));
    let passwords = many("password = \"\"\"x");
    for text in [
        many("\u{0}"),
        many("["),
        many("=\n"),
        many("[x]\n"),
        many("\"\n"),
        many("a."),
        many("://"),
        many("password="),
        unknown,
        long,
        deep,
        deep_tables,
        watch,
        accounts,
        quotes,
        passwords,
    ] {
        let started = std::time::Instant::now();
        let told = faults(&text);
        let shown: String = text.chars().take(20).collect();
        // Seconds in a debug build on a busy machine; quadratic time would be minutes.
        assert!(started.elapsed().as_secs() < 20, "{shown:?}: {:?}", started.elapsed());
        assert!(told.len() < 200_000, "{shown:?}: {} bytes", told.len());
    }
}

#[test]
fn submission_and_users() {
    assert_snapshot!(faults(
        r#"
[submission]
listen = ["127.0.0.1:2587", "127.0.0.1:2587", "0.0.0.0:25", "smtps://127.0.0.1:465", "localhost:25"]
cert = "missing.pem"
host = "not a host"
max_size = "1B"
max_recipients = 0
idle = "1ms"
limit = 3
[accounts.office]
address = "office@example.com"
maildir = "m"
outbound = "sent"
[users.anna]
password = "hunter2"
send_as = ["ofice", "anna@example.com", "office", "*", 7]
[users.bert]
password = { file = "bert", env = "x y" }
[users.carl]
password = { command = ["pass"] }
send_as = "office"
"#
    ));
}
