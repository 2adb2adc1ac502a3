//! `[tables.NAME]` and `[targets.NAME]`: files that are read, places that are delivered to.

use std::collections::BTreeMap;

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
        targets.extend(target.map(|target| (name.value.to_owned(), target)));
    }
    targets
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
