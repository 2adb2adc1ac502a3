//! `[users.NAME]`: who may hand over mail, and as whom.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::page::{At, Privacy, quoted};
use super::reader::{Reader, Shape, Value, kind};
use super::secret::Source;
use super::{Account, Right, User, mask};
use crate::fault::nearest;

static USER: Shape = Shape {
    keys: &[
        ("password", EXAMPLE),
        ("send_as", "[\"anna@example.com\", \"smartcity\"]"),
        ("name", "\"Anna Weiß\""),
    ],
    later: &[],
    example: "{ password = { file = \"secrets/anna.argon2\" }, send_as = [\"anna@example.com\"] }",
};

static PASSWORD: Shape = Shape {
    keys: &[("file", "\"secrets/anna.argon2\""), ("env", "\"ANNA_HASH\"")],
    later: &[],
    example: EXAMPLE,
};

const EXAMPLE: &str = "{ file = \"secrets/anna.argon2\" }";

/// All users.
pub(super) fn read(
    root: &Reader<'_>,
    accounts: &BTreeMap<String, Account>,
) -> BTreeMap<String, User> {
    let accounts = &Accounts::new(root, accounts);
    let entries = root.entries("users").into_iter();
    let users = entries.filter_map(|(name, value)| {
        let place = format!("[users.{}]", name.value);
        let reader = Reader::table(root.page, place, (name.at, value), &USER)?;
        reader.require("send_as");
        let password = reader.value("password");
        let user = User {
            name: name.value.into(),
            full_name: reader.text("name").map(|name| name.value.into()),
            password: password.and_then(|value| self::password(&reader, value)),
            send_as: rights(&reader, accounts),
        };
        Some((user.name.clone(), user))
    });
    users.collect()
}

/// The accounts that users may name. Those with faults are named, and not more is known of them.
struct Accounts<'a> {
    names: Vec<&'a str>,
    read: &'a BTreeMap<String, Account>,
}

impl<'a> Accounts<'a> {
    fn new(root: &Reader<'a>, read: &'a BTreeMap<String, Account>) -> Self {
        let table = root.value("accounts").and_then(|value| value.value.as_table());
        let names = table.into_iter().flat_map(|table| table.keys());
        Self { names: names.map(|name| name.get_ref().as_ref()).collect(), read }
    }

    /// Whether an account has the address, or may have it.
    fn have(&self, address: &str) -> bool {
        self.names.len() != self.read.len() || self.read.values().any(|one| one.has(address))
    }
}

fn rights(user: &Reader<'_>, accounts: &Accounts<'_>) -> Vec<Right> {
    let rights = user.texts("send_as").into_iter();
    rights.filter_map(|word| right(user, word, accounts)).collect()
}

fn right(user: &Reader<'_>, word: At<&str>, accounts: &Accounts<'_>) -> Option<Right> {
    if word.value == "*" {
        return Some(Right::All);
    }
    if accounts.names.contains(&word.value) {
        return Some(Right::Account(word.value.into()));
    }
    if word.value.contains('@') {
        return address(user, word, accounts);
    }
    let what = format!("there is no account {}", quoted(word.value));
    let help = match nearest(word.value, accounts.names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "name an address or an account of this file, or \"*\" for all".into(),
    };
    user.page.missing(word.at, what, help);
    None
}

/// What no account has could not be sent by any.
fn address(user: &Reader<'_>, word: At<&str>, accounts: &Accounts<'_>) -> Option<Right> {
    if accounts.have(word.value) {
        return Some(Right::Address(word.value.into()));
    }
    let known = accounts.read.values().flat_map(Account::addresses);
    let what = format!("no account has the address {}", quoted(word.value));
    let help = match nearest(word.value, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "add it to the `aliases` of the account that sends it".into(),
    };
    user.page.missing(word.at, what, help);
    None
}

fn password(user: &Reader<'_>, value: Value<'_>) -> Option<Source> {
    if let Some(text) = value.value.as_str() {
        return inline(user, At { value: text, at: value.at });
    }
    if value.value.as_table().is_none() {
        let what = format!("`password` is {}, not a table", kind(value.value));
        user.page.fault(value.at, what, user.write("password"));
        return None;
    }
    let reader = Reader::table(user.page, "`password`", (value.at, value), &PASSWORD)?;
    if reader.one_of(&["file", "env"])? == "file" {
        return reader.path("file").map(Source::File);
    }
    let name = reader.text("env")?;
    if !mask::is_variable(name.value) {
        let what = "`env` is no name of an environment variable";
        reader.page.fault(name.at, what, "write the variable's name, not the password");
        return None;
    }
    Some(Source::Env(name.value.into()))
}

/// A hash; where others can read it they can try passwords against it.
fn inline(user: &Reader<'_>, text: At<&str>) -> Option<Source> {
    if user.page.privacy == Privacy::Shared {
        let what = "a password stands in a file that others can read";
        let help = format!("write password = {EXAMPLE}, or `chmod 600` this file");
        user.page.fault(text.at, what, help);
        return None;
    }
    let secret = user.text("password").map(|text| SecretString::from(text.value))?;
    // A generation that was kept has it masked: it comes from the configuration in force.
    let masked = secret.expose_secret().bytes().all(|byte| byte == b'*');
    if !masked && !secret.expose_secret().starts_with("$argon2") {
        let what = "`password` is no argon2 hash";
        user.page.fault(text.at, what, "make one with `mailmill users add`");
        return None;
    }
    Some(Source::Inline(secret))
}
