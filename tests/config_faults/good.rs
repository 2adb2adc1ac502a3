//! Right configurations, and what becomes of them.

use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;
use mailmill::cli::Exit;
use mailmill::config::{After, Config, Security, Source, StepKind, Target, secret};
use mailmill::pipeline::OnError;
use serde_json::json;

use super::{Desk, config, load};

const WHOLE: &str = r#"
[engine]
data = "../data"
scripts = "/etc/mailmill/scripts"

[accounts.smartcity]
address = "smartcity@example.com"
aliases = ["t-071@example.com", "Ümlaut@example.com"]
imap = "imap://Mail.example.com:1143"
login = { user = "smartcity@example.com", password = { env = "SMARTCITY_PASSWORD" } }
project = "T-071"
watch = [{ mailbox = "inbox", subfolders = true }, { mailbox = "Cubes-Import" }]
inbound = "project-mail"
after = { move = "Archive/2026" }
create = false
active = false
idle = false
poll = "90s"
idle_renew = "29m"
deadline = "1h"
max_size = "20 MB"
ca = "ca.pem"

[accounts.local]
maildir = "mail"

[accounts.test]
imap = "imap://127.0.0.1:1143"
tls = "none"
login = { user = "me", password = { command = ["pass", "show", "mail"] } }
after = "keep"
max_size = 1048576

[pipelines.project-mail]
steps = [
  { plugin = "project-link", with = { token = '\[([A-Z]+-\d+)\]', deep = [1, 0x10, 2.5, true, { at = 2026-11-23 }] } },
  { script = "strip-receipts", on_error = "skip" },
  { script = "route", on_error = "retry", with = "plain" },
]

[tables.projects]
file = "projects.csv"
key = "code"

[targets.archive]
maildir = "archive"

[targets.other]
account = "local"
mailbox = "Sorted/By hand"
"#;

fn whole() -> (Desk, Config) {
    let desk = Desk::new(WHOLE).write("ca.pem", "");
    let config = load(&desk.path("mailmill.toml"));
    (desk, config)
}

#[test]
fn every_key_arrives() {
    let (desk, config) = whole();
    let account = &config.accounts["smartcity"];
    assert_eq!(account.name, "smartcity");
    assert_eq!(account.address.as_deref(), Some("smartcity@example.com"));
    assert_eq!(account.aliases, ["t-071@example.com", "Ümlaut@example.com"]);
    assert_eq!(account.project.as_deref(), Some("T-071"));
    assert_eq!(account.inbound.as_deref(), Some("project-mail"));
    let watch: Vec<_> =
        account.watch.iter().map(|watch| (watch.mailbox.as_str(), watch.subfolders)).collect();
    assert_eq!(watch, [("INBOX", true), ("Cubes-Import", false)]);
    assert!(matches!(&account.after, After::Move(mailbox) if mailbox.as_str() == "Archive/2026"));
    assert!(!account.create && !account.active && !account.idle);
    assert_eq!(account.poll, Duration::from_secs(90));
    assert_eq!(account.idle_renew, Duration::from_secs(29 * 60));
    assert_eq!(account.deadline, Duration::from_secs(3600));
    assert_eq!(account.max_size, 20_000_000);
    let Source::Imap(imap) = &account.source else { panic!("{account:?}") };
    assert_eq!((imap.host.as_str(), imap.port), ("mail.example.com", 1143));
    assert_eq!(imap.security, Security::StartTls);
    assert_eq!(imap.ca.as_deref(), Some(desk.path("ca.pem").as_path()));
    assert_eq!(imap.user, "smartcity@example.com");
    assert!(matches!(&imap.password, secret::Source::Env(name) if name == "SMARTCITY_PASSWORD"));
}

#[test]
fn clear_text_to_this_machine_and_a_command_for_the_password() {
    let (_, config) = whole();
    let Source::Imap(imap) = &config.accounts["test"].source else { panic!() };
    assert_eq!((imap.security, imap.host.as_str(), imap.port), (Security::None, "127.0.0.1", 1143));
    assert!(matches!(&imap.password, secret::Source::Command(argv) if argv.len() == 3));
    assert_eq!(config.accounts["test"].max_size, 1 << 20);
}

#[test]
fn what_is_not_written_has_its_default() {
    let (desk, config) = whole();
    let account = &config.accounts["local"];
    assert!(matches!(&account.source, Source::Maildir { path } if *path == desk.path("mail")));
    assert_eq!(account.watch.len(), 1);
    assert_eq!(account.watch[0].mailbox.as_str(), "INBOX");
    assert!(!account.watch[0].subfolders);
    assert_eq!((&account.inbound, &account.after), (&None, &After::Keep));
    assert!(account.create && account.active && account.idle);
    assert_eq!(account.poll, Duration::from_secs(60));
    assert_eq!(account.idle_renew, Duration::from_secs(240));
    assert_eq!(account.deadline, Duration::from_secs(60));
    assert_eq!(account.max_size, 150 << 20);
}

#[test]
fn steps_keep_their_order_and_point_at_their_name() {
    let (_, config) = whole();
    let steps = &config.pipelines["project-mail"].steps;
    let seen: Vec<_> = steps.iter().map(|step| (step.kind, step.name.as_str())).collect();
    assert_eq!(
        seen,
        [
            (StepKind::Plugin, "project-link"),
            (StepKind::Script, "strip-receipts"),
            (StepKind::Script, "route")
        ]
    );
    for step in steps {
        let at = &config.text[step.offset..];
        assert!(at.starts_with(&format!("\"{}\"", step.name)), "{at:.20}");
    }
    let with = json!({
        "token": "\\[([A-Z]+-\\d+)\\]", "deep": [1, 16, 2.5, true, { "at": "2026-11-23" }]
    });
    assert_eq!(steps[0].with, with);
    assert_eq!(steps[1].with, json!({}), "no `with` is an empty one");
    assert_eq!(steps[2].with, json!("plain"));
    let on_error: Vec<_> = steps.iter().map(|step| step.on_error).collect();
    assert_eq!(on_error, [OnError::Hold, OnError::Skip, OnError::Retry]);
}

#[test]
fn paths_start_at_the_file() {
    let (desk, config) = whole();
    assert_eq!(config.engine.data, desk.path("../data"));
    assert_eq!(config.engine.scripts, Path::new("/etc/mailmill/scripts"));
    assert_eq!(config.engine.plugins, desk.path("plugins"));
    assert_eq!(config.engine.templates, desk.path("templates"));
    assert_eq!(config.tables["projects"].file, desk.path("projects.csv"));
    assert_eq!(config.tables["projects"].key, "code");
    let archive = desk.path("archive");
    assert!(matches!(&config.targets["archive"], Target::Maildir { path } if *path == archive));
    assert!(matches!(&config.targets["other"], Target::Account { account, mailbox }
        if account == "local" && mailbox.as_str() == "Sorted/By hand"));
}

#[test]
fn an_empty_file_is_right_and_does_nothing() {
    let config = config("");
    assert!(config.accounts.is_empty() && config.pipelines.is_empty());
}

#[test]
fn the_same_user_on_two_servers_is_no_overlap() {
    let account = |name: &str, imap: &str| {
        format!(
            "[accounts.{name}]\nimap = \"{imap}\"\ninbound = \"p\"\n\
             login = {{ user = \"me\", password = {{ env = \"P\" }} }}\n"
        )
    };
    let pipeline = "[pipelines.p]\nsteps = [{ script = \"x\" }]\n".to_owned();
    let text = [
        pipeline,
        account("a", "imaps://a.example.com"),
        account("b", "imaps://b.example.com"),
        account("c", "imaps://localhost:1993"),
        account("d", "imaps://localhost:2993"),
    ]
    .concat();
    assert_eq!(config(&text).accounts.len(), 4);
}

#[test]
fn check_counts_what_there_is() {
    let text = "[accounts.a]\nmaildir = \"a\"\ninbound = \"p\"\n[pipelines.p]\n\
                steps = [{ script = \"route\" }]\n[pipelines.q]\nsteps = [{ script = \"route\" }]\n";
    let desk = Desk::new(text).write("scripts/route.rhai", "fn inbound(mail) { mail.stop(); }\n");
    let told = desk.check("mailmill.toml");
    assert_eq!((told.exit, told.err.as_str()), (Exit::Right, ""));
    let digest = told.out.trim().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(digest.len(), 12, "{}", told.out);
    assert_snapshot!(told.out.replace(&digest, "DIGEST"));
    let told = desk.check_json("mailmill.toml");
    assert_eq!((told.exit, told.err.as_str()), (Exit::Right, ""));
    assert_snapshot!(told.out.replace(&digest, "DIGEST"));
}

#[test]
fn debug_and_text_of_a_configuration_show_no_password() {
    let text = "[accounts.a]\nimap = \"imaps://a.example.com\"\n\
                login = { user = \"me\", password = \"hunter2\" }\n";
    let desk = Desk::new(text).mode("mailmill.toml", 0o600);
    let config = load(&desk.path("mailmill.toml"));
    assert_eq!(config.text.len(), text.len());
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    assert!(!config.text.contains("hunter2"));
}
