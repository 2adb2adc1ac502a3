//! Who logs in, and where the password or the token is: `login`, `smtp_login`.

use secrecy::SecretString;

use super::page::{At, Privacy};
use super::reader::{Reader, Shape, Value, kind};
use super::secret::Source;
use super::{Credential, Login, mask};

static LOGIN: Shape = Shape {
    keys: &[("user", "\"anna@example.com\""), ("password", EXAMPLE)],
    later: &[("oauth2", "log in with an app password: password = { env = \"ANNA_PASSWORD\" }")],
    example: "{ user = \"anna@example.com\", password = { env = \"ANNA_PASSWORD\" } }",
};

static PASSWORD: Shape = Shape {
    keys: &[
        ("env", "\"ANNA_PASSWORD\""),
        ("file", "\"secrets/anna\""),
        ("command", "[\"pass\", \"show\", \"mail/anna\"]"),
    ],
    later: &[],
    example: EXAMPLE,
};

static RELAY: Shape = Shape {
    keys: &[
        ("user", "\"anna@example.com\""),
        ("password", EXAMPLE),
        ("oauth2", "{ command = [\"oama\", \"access\", \"anna@example.com\"] }"),
    ],
    later: &[],
    example: "{ user = \"anna@example.com\", password = { env = \"ANNA_PASSWORD\" } }",
};

static TOKEN: Shape = Shape {
    keys: &[
        ("command", "[\"oama\", \"access\", \"anna@example.com\"]"),
        ("file", "\"secrets/anna.token\""),
    ],
    later: &[],
    example: "{ command = [\"oama\", \"access\", \"anna@example.com\"] }",
};

const EXAMPLE: &str = "{ env = \"ANNA_PASSWORD\" }";

/// Who logs in to IMAP, and where the password is.
pub(super) fn imap(account: &Reader<'_>) -> Option<(String, Source)> {
    account.require("login");
    let (at, value) = (account.key_at("login"), account.value("login")?);
    let reader = Reader::table(account.page, "`login`", (at, value), &LOGIN)?;
    let user = reader.required_text("user");
    if !reader.has("oauth2") {
        reader.require("password");
    }
    let password = reader.value("password").and_then(|value| password(&reader, value));
    Some((user?.value.into(), password?))
}

/// Who logs in to the relay with `smtp_login`, or with `login` where there is none; `None` where the
/// relay asks for no login.
pub(super) fn smtp(account: &Reader<'_>) -> Option<Login> {
    let key = ["smtp_login", "login"].into_iter().find(|key| account.has(key))?;
    if key == "login" && account.has("imap") {
        let (user, password) = imap(account)?;
        return Some(Login { user, credential: Credential::Password(password) });
    }
    let (at, value) = (account.key_at(key), account.value(key)?);
    let reader = Reader::table(account.page, format!("`{key}`"), (at, value), &RELAY)?;
    let user = reader.required_text("user");
    let credential = match reader.one_of(&["password", "oauth2"])? {
        "password" => password(&reader, reader.value("password")?).map(Credential::Password),
        _ => token(&reader).map(Credential::Token),
    };
    Some(Login { user: user?.value.into(), credential: credential? })
}

/// Where the token of XOAUTH2 is: tokens change by the hour, so it is a file or a command.
fn token(login: &Reader<'_>) -> Option<Source> {
    let (at, value) = (login.key_at("oauth2"), login.value("oauth2")?);
    let reader = Reader::table(login.page, "`oauth2`", (at, value), &TOKEN)?;
    match reader.one_of(&["file", "command"])? {
        "file" => reader.path("file").map(Source::File),
        _ => command(&reader),
    }
}

fn password(login: &Reader<'_>, value: Value<'_>) -> Option<Source> {
    if let Some(text) = value.value.as_str() {
        return inline(login, At { value: text, at: value.at });
    }
    if value.value.as_table().is_none() {
        let what = format!("`password` is {}, not a table", kind(value.value));
        login.page.fault(value.at, what, login.write("password"));
        return None;
    }
    let reader = Reader::table(login.page, "`password`", (value.at, value), &PASSWORD)?;
    match reader.one_of(&["env", "file", "command"])? {
        "env" => env(&reader),
        "file" => reader.path("file").map(Source::File),
        _ => command(&reader),
    }
}

fn inline(login: &Reader<'_>, text: At<&str>) -> Option<Source> {
    if login.page.privacy == Privacy::Shared {
        let what = "a password stands in a file that others can read";
        let help = format!("write password = {EXAMPLE}, or `chmod 600` this file");
        login.page.fault(text.at, what, help);
        return None;
    }
    login.text("password").map(|text| Source::Inline(SecretString::from(text.value)))
}

fn env(reader: &Reader<'_>) -> Option<Source> {
    let name = reader.text("env")?;
    if !mask::is_variable(name.value) {
        let what = "`env` is no name of an environment variable";
        reader.page.fault(name.at, what, "write the variable's name, not the password");
        return None;
    }
    Some(Source::Env(name.value.into()))
}

fn command(reader: &Reader<'_>) -> Option<Source> {
    let words: Vec<String> =
        reader.texts("command").into_iter().map(|word| word.value.into()).collect();
    let list = reader.value("command")?;
    if list.value.as_array()?.is_empty() {
        reader.page.fault(list.at, "`command` names no program", reader.write("command"));
        return None;
    }
    // A word that was refused must not shift the others.
    (list.value.as_array()?.len() == words.len()).then_some(Source::Command(words))
}
