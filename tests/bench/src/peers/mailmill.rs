//! mailmill: the plugin `project-link` finds the project, a script files the message; its store lies
//! on a disk and is synced as always.

use std::fmt::Write;

use super::{Job, Link, Place, words};
use crate::Result;
use crate::corpus::projects;
use crate::server::{IDLE_PASSWORD, IDLE_USER, PASSWORD, USER};

/// Which rules it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// A plugin and a script.
    PluginAndScript,
    /// A script alone.
    Script,
    /// A plugin, a script, and a script that reads every body.
    Body,
}

const FILE: &str = r#"fn inbound(mail) {
    if mail.receipt_requested { mail.add_flag("\\Flagged"); }
    if mail.project != () {
        mail.move_to("Projects/" + mail.project);
    } else if mail.is_mdn {
        mail.move_to("Receipts");
    } else {
        mail.move_to("Archive");
    }
}
"#;

const FIND: &str = r#"fn inbound(mail) {
    for pattern in ["\\[(T-\\d+)\\]", "\\[T-\\d+\\].*\\[(T-\\d+)\\]"] {
        let found = mail.subject.captures(pattern);
        if found != () && mail.table("projects").get(found[1]) != () {
            mail.link(found[1], "subject");
        }
    }
}
"#;

const READ: &str = r#"fn inbound(mail) {
    if mail.text.contains("no message of the corpus has this in it") { mail.add_flag("\\Seen"); }
}
"#;

/// Writes the configuration.
pub(super) fn set_up(place: &Place<'_>, rules: Rules) -> Result<Job> {
    let codes = projects().fold("code,mailbox\n".to_owned(), |text, code| text + &code + ",\n");
    place.write("projects.csv", &codes)?;
    place.write("senders.csv", "sender,who\n")?;
    place.write("scripts/find.rhai", FIND)?;
    place.write("scripts/file.rhai", FILE)?;
    place.write("scripts/read.rhai", READ)?;
    let file = place.write("mailmill.toml", &configuration(place, rules, USER, PASSWORD)?)?;
    let idle = place.write("idle.toml", &configuration(place, rules, IDLE_USER, IDLE_PASSWORD)?)?;
    let run = |file: &std::path::Path| {
        let program = place.mailmill.to_string_lossy();
        words([&program, "run", "--once", "--config", &file.to_string_lossy()])
    };
    let first = Some(run(&idle));
    Ok(Job { first, ..place.job(run(&file)) })
}

fn configuration(place: &Place<'_>, rules: Rules, user: &str, password: &str) -> Result<String> {
    let mut text = format!(
        "[engine]\ndata = {:?}\nplugins = {:?}\n\n",
        place.data,
        place.root.join("plugins")
    );
    let name = user.split('@').next().unwrap_or(user);
    let server = match place.link {
        Link::Tls => {
            format!("imap = \"imaps://localhost:{}\"\nca = {:?}", place.port, place.server.ca())
        }
        Link::Plain | Link::Far => {
            format!("imap = \"imap://127.0.0.1:{}\"\ntls = \"none\"", place.port)
        }
    };
    let link =
        "{ plugin = \"project-link\", with = { trust_token = true } }, { script = \"file\" }";
    let steps = match rules {
        Rules::PluginAndScript => link.to_owned(),
        Rules::Script => "{ script = \"find\" }, { script = \"file\" }".to_owned(),
        Rules::Body => format!("{{ script = \"read\" }}, {link}"),
    };
    write!(
        text,
        "[accounts.{name}]\naddress = \"{user}\"\n{server}\n\
         login = {{ user = \"{user}\", password = \"{password}\" }}\n\
         watch = [{{ mailbox = \"INBOX\" }}]\ninbound = \"sort\"\n\n\
         [pipelines.sort]\nsteps = [{steps}]\n\n\
         [tables.projects]\nfile = \"projects.csv\"\nkey = \"code\"\n\n\
         [tables.senders]\nfile = \"senders.csv\"\nkey = \"sender\"\n"
    )
    .map_err(|why| why.to_string())?;
    Ok(text)
}
