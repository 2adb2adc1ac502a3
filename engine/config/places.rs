//! `[tables.NAME]` and `[targets.NAME]`: files that are read, places that are delivered to.

use std::collections::BTreeMap;
use std::path::Path;

use super::overlap::plain;
use super::reader::{REMOVE, Reader, Shape};
use super::{Table, Target};

static TABLE: Shape = Shape {
    keys: &[("file", "\"projects.csv\""), ("key", "\"code\"")],
    later: &[],
    example: "{ file = \"projects.csv\", key = \"code\" }",
};

static TARGET: Shape = Shape {
    keys: &[("maildir", "\"archive\""), ("account", "\"other\""), ("mailbox", "\"INBOX\"")],
    later: &[("command", REMOVE), ("url", REMOVE), ("http", REMOVE)],
    example: "{ maildir = \"archive\" }",
};

/// All tables.
pub(super) fn tables(root: &Reader<'_>) -> BTreeMap<String, Table> {
    let mut tables = BTreeMap::new();
    for (name, value) in root.entries("tables") {
        if name.value == "accounts" {
            let what = "the table `accounts` is built in";
            root.page.fault(name.at, what, "give this table another name");
        }
        let place = format!("[tables.{}]", name.value);
        let Some(reader) = Reader::table(root.page, place, (name.at, value), &TABLE) else {
            continue;
        };
        let (file, key) = (reader.required_text("file"), reader.required_text("key"));
        if let (Some(file), Some(key)) = (file, key) {
            let path = root.page.path(file.value);
            let table = Table { file: path, key: key.value.into(), offset: file.at };
            tables.insert(name.value.into(), table);
        }
    }
    tables
}

/// All targets.
pub(super) fn targets(root: &Reader<'_>) -> BTreeMap<String, Target> {
    let accounts: Vec<&str> = root
        .value("accounts")
        .and_then(|accounts| accounts.value.as_table())
        .map(|accounts| accounts.keys().map(|name| name.get_ref().as_ref()).collect())
        .unwrap_or_default();
    let mut targets = BTreeMap::new();
    for (name, value) in root.entries("targets") {
        let place = format!("[targets.{}]", name.value);
        let target = Reader::table(root.page, place, (name.at, value), &TARGET)
            .and_then(|reader| target(&reader, &accounts));
        if let Some(Target::Maildir { path }) = &target {
            not_an_account(root, name.at, path);
        }
        targets.extend(target.map(|target| (name.value.to_owned(), target)));
    }
    targets
}

/// A Maildir that is an account is delivered to by the account's name: only so does the engine know
/// its own deliveries there from new mail.
fn not_an_account(root: &Reader<'_>, at: usize, path: &Path) {
    let accounts = root.value("accounts").and_then(|accounts| accounts.value.as_table());
    for (name, account) in accounts.into_iter().flatten() {
        let maildir = account.get_ref().as_table().and_then(|account| account.get("maildir"));
        let maildir = maildir.and_then(|maildir| maildir.get_ref().as_str());
        if maildir.is_some_and(|maildir| same(&root.page.path(maildir), path)) {
            let name = name.get_ref();
            let what = format!("this target is the Maildir of account {name}");
            let help = format!("write {{ account = \"{name}\", mailbox = \"INBOX\" }}");
            root.page.fault(at, what, help);
        }
    }
}

fn same(one: &Path, other: &Path) -> bool {
    plain(one) == plain(other)
}

fn target(reader: &Reader<'_>, accounts: &[&str]) -> Option<Target> {
    if reader.one_of(&["maildir", "account"])? == "maildir" {
        reader.refuse(&["mailbox"], "it belongs to `account`");
        return reader.path("maildir").map(|path| Target::Maildir { path });
    }
    reader.require("mailbox");
    let (account, mailbox) = (reader.text("account"), reader.mailbox("mailbox"));
    let account = account?;
    if !accounts.contains(&account.value) {
        reader.page.undefined(account, ("account", "accounts"), accounts.iter().copied());
        return None;
    }
    Some(Target::Account { account: account.value.into(), mailbox: mailbox? })
}
