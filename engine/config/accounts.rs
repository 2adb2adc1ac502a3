//! `[accounts.NAME]`: whose mail, which mailboxes, which pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::overlap::Watched;
use super::page::{At, quoted};
use super::reader::{REMOVE, Reader, Shape, Value, kind};
use super::{Account, After, Source, Watch, imap, smtp};
use crate::mail::MailboxName;

static ACCOUNT: Shape = Shape {
    keys: &[
        ("address", "\"anna@example.com\""),
        ("aliases", "[\"sales@example.com\"]"),
        ("imap", "\"imaps://mail.example.com\""),
        ("login", "{ user = \"anna@example.com\", password = { env = \"ANNA_PASSWORD\" } }"),
        ("maildir", "\"maildir\""),
        ("smtp", "\"smtp://mail.example.com:587\""),
        ("smtp_login", "{ user = \"anna@example.com\", password = { env = \"ANNA_PASSWORD\" } }"),
        ("smtp_rate", "30"),
        ("smtp_connections", "2"),
        ("smtp_deadline", "\"10m\""),
        ("sent", "\"Sent\""),
        ("project", "\"T-071\""),
        ("watch", "[{ mailbox = \"INBOX\", subfolders = true }]"),
        ("inbound", "\"project-mail\""),
        ("outbound", "\"send\""),
        ("after", "\"keep\" or { move = \"Archive\" }"),
        ("create", "true"),
        ("active", "true"),
        ("idle", "true"),
        ("poll", "\"60s\""),
        ("idle_renew", "\"4m\""),
        ("deadline", "\"60s\""),
        ("max_size", "\"150MiB\""),
        ("ca", "\"corp-ca.pem\""),
        ("tls", "\"none\""),
    ],
    later: &[("quota_warn", REMOVE), ("rewrite", REMOVE)],
    example: "{ maildir = \"maildir\", inbound = \"project-mail\" }",
};

static WATCH: Shape = Shape {
    keys: &[("mailbox", "\"INBOX\""), ("subfolders", "true")],
    later: &[],
    example: "{ mailbox = \"INBOX\" }",
};

static AFTER: Shape = Shape {
    keys: &[("move", "\"Archive\"")],
    later: &[(
        "delete",
        "deleting from the server comes with retention; use { move = … } or \"keep\"",
    )],
    example: "{ move = \"Archive\" }",
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// RFC 2177: a server may log a client out that idles for 30 minutes.
const LONGEST_IDLE: Duration = Duration::from_secs(29 * 60);

/// All accounts, and what the active ones watch.
pub(super) fn read(
    root: &Reader<'_>,
    pipelines: &BTreeSet<&str>,
) -> (BTreeMap<String, Account>, Vec<Watched>) {
    let mut accounts = BTreeMap::new();
    let mut watched = Vec::new();
    for (name, value) in root.entries("accounts") {
        let place = format!("[accounts.{}]", name.value);
        let Some(reader) = Reader::table(root.page, place, (name.at, value), &ACCOUNT) else {
            continue;
        };
        let watch = watch(&reader);
        if let Some(account) = account(&reader, name.value, &watch, pipelines) {
            if account.active && account.inbound.is_some() {
                watched.extend(watch.into_iter().map(|entry| Watched::new(&account, entry)));
            }
            accounts.insert(name.value.into(), account);
        }
    }
    (accounts, watched)
}

fn account(
    reader: &Reader<'_>,
    name: &str,
    watch: &[At<Watch>],
    pipelines: &BTreeSet<&str>,
) -> Option<Account> {
    let source = source(reader);
    let smtp = smtp::read(reader);
    Some(Account {
        name: name.into(),
        address: reader.text("address").and_then(|text| address(reader, text)),
        aliases: reader.texts("aliases").into_iter().filter_map(|a| address(reader, a)).collect(),
        project: reader.text("project").map(|project| project.value.into()),
        watch: watch.iter().map(|entry| entry.value.clone()).collect(),
        inbound: pipeline(reader, "inbound", pipelines),
        outbound: pipeline(reader, "outbound", pipelines),
        after: after(reader),
        create: reader.switch("create", true),
        active: reader.switch("active", true),
        idle: reader.switch("idle", true),
        poll: reader.duration("poll", SECOND / 10..=24 * 60 * MINUTE, MINUTE),
        idle_renew: reader.duration("idle_renew", SECOND..=LONGEST_IDLE, 4 * MINUTE),
        deadline: reader.duration("deadline", SECOND..=60 * MINUTE, MINUTE),
        max_size: reader.size("max_size", 1 << 10..=2 << 30, 150 << 20),
        source: source?,
        smtp,
    })
}

fn source(reader: &Reader<'_>) -> Option<Source> {
    if !reader.has("imap") && !reader.has("maildir") && reader.has("smtp") {
        reader.refuse(&["watch", "inbound", "after", "sent"], "the account has no mailboxes");
        return Some(Source::None);
    }
    if reader.one_of(&["imap", "maildir"])? == "imap" {
        return imap::read(reader).map(Source::Imap);
    }
    if !reader.has("smtp") {
        reader.refuse(&["login", "ca", "tls"], "it belongs to `imap = …`, instead of `maildir`");
    }
    reader.path("maildir").map(|path| Source::Maildir { path })
}

fn pipeline(reader: &Reader<'_>, key: &str, pipelines: &BTreeSet<&str>) -> Option<String> {
    let name = reader.text(key)?;
    if !pipelines.contains(name.value) {
        reader.page.undefined(name, ("pipeline", "pipelines"), pipelines.iter().copied());
    }
    Some(name.value.into())
}

/// An address as envelopes and From fields know it (RFC 5321 section 4.5.3.1: at most 254 bytes).
fn address(reader: &Reader<'_>, text: At<&str>) -> Option<String> {
    let sound = text.value.len() <= 254
        && text.value.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.starts_with('.')
        })
        && !text.value.contains([' ', '<', '>', ',', ';']);
    if !sound {
        let what = format!("{} is no address", quoted(text.value));
        reader.page.fault(text.at, what, "write it bare, e.g. \"anna@example.com\"");
    }
    sound.then(|| text.value.into())
}

fn watch(account: &Reader<'_>) -> Vec<At<Watch>> {
    if !account.has("watch") {
        let inbox = Watch { mailbox: MailboxName::inbox(), subfolders: false };
        return vec![At { value: inbox, at: account.at }];
    }
    if let Some(found) = account.value("watch")
        && found.value.as_array().is_some_and(|list| list.is_empty())
    {
        let help = "remove it to watch INBOX; `active = false` pauses the account";
        account.page.fault(found.at, "`watch` names no mailbox", help);
    }
    let entries = account.list("watch").into_iter();
    entries.filter_map(|element| watch_entry(account, element)).collect()
}

fn watch_entry(account: &Reader<'_>, element: Value<'_>) -> Option<At<Watch>> {
    let place = "an entry of `watch`";
    let reader = Reader::table(account.page, place, (element.at, element), &WATCH)?;
    reader.require("mailbox");
    let subfolders = reader.switch("subfolders", false);
    let mailbox = reader.mailbox("mailbox")?;
    let at = reader.value("mailbox").map_or(element.at, |value| value.at);
    Some(At { value: Watch { mailbox, subfolders }, at })
}

fn after(account: &Reader<'_>) -> After {
    let Some(found) = account.value("after") else { return After::Keep };
    if let Some(word) = found.value.as_str() {
        if word != "keep" {
            let what = format!("`after` cannot be {}", quoted(word));
            account.page.fault(found.at, what, account.write("after"));
        }
        return After::Keep;
    }
    if found.value.as_table().is_none() {
        let what = format!("`after` is {}, not \"keep\" or a table", kind(found.value));
        account.page.fault(found.at, what, account.write("after"));
        return After::Keep;
    }
    after_table(account, found).map_or(After::Keep, After::Move)
}

fn after_table(account: &Reader<'_>, found: Value<'_>) -> Option<MailboxName> {
    let reader = Reader::table(account.page, "`after`", (found.at, found), &AFTER)?;
    if !reader.has("delete") {
        reader.require("move");
    }
    reader.mailbox("move")
}
