//! What a case gives the rules: the keys that stand in `[[case]]` and in `[default]` alike.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use toml::de::DeValue;

use super::message::{self, Letter};
use super::{Earlier, Named, Nested, Rules};
use crate::config::pipelines::json;
use crate::config::reader::{Reader, Shape, Value, kind};
use crate::mail::{Flag, MailboxName};
use crate::pipeline::action::Direction;

/// The clock of a case that sets none: 2026-01-01T00:00:00Z. A test that is right today is right
/// tomorrow.
pub(super) const NOW: i64 = 1_767_225_600_000;

/// The keys of `[default]`.
pub(super) const KEYS: &[(&str, &str)] = CASE_KEYS.split_at(2).1;

/// The keys of `[[case]]`: two of its own, then those of [`KEYS`].
pub(super) const CASE_KEYS: &[(&str, &str)] = &[
    ("name", "\"an invoice goes to Invoices\""),
    ("expect", "{ actions = [{ action = \"move_to\", mailbox = \"Invoices\" }] }"),
    ("message", "\"mail/invoice.eml\""),
    ("pipeline", "\"project-mail\""),
    ("step", "\"route\""),
    ("with", "{ prefix = \"Projects/\" }"),
    ("account", "\"office\""),
    ("mailbox", "\"INBOX\""),
    ("direction", "\"inbound\""),
    ("user", "\"anna\""),
    ("flags", "[\"\\\\Seen\"]"),
    ("now", "2026-03-02T09:00:00Z"),
    ("received", "2026-03-02T08:59:00Z"),
    ("state", "{ step = { key = \"value\" } }"),
    ("tables", "{ projects = { \"T-071\" = { mailbox = \"Projects/T-071\" } } }"),
    ("templates", "[\"smartcity\"]"),
    ("earlier", "{ project = \"T-071\", tags = { kind = \"invoice\" } }"),
    ("gate", "true"),
];

static EARLIER: Shape = Shape {
    keys: &[
        ("project", "\"T-071\""),
        ("evidence", "\"subject-token\""),
        ("tags", "{ kind = \"invoice\" }"),
    ],
    later: &[],
    example: "{ project = \"T-071\" }",
};

/// The keys that are there.
#[derive(Debug, Clone, Default)]
pub(super) struct Setting {
    pub(super) messages: Option<Vec<Letter>>,
    pub(super) rules: Option<Rules>,
    with: Option<Json>,
    pub(super) account: Option<Named>,
    pub(super) mailbox: Option<MailboxName>,
    pub(super) direction: Option<Direction>,
    pub(super) user: Option<String>,
    pub(super) flags: Option<Vec<Flag>>,
    pub(super) now_ms: Option<i64>,
    pub(super) received_ms: Option<i64>,
    pub(super) state: Option<Nested>,
    pub(super) tables: BTreeMap<String, Nested>,
    pub(super) templates: Option<Vec<String>>,
    pub(super) earlier: Option<Earlier>,
    pub(super) gate: Option<bool>,
}

impl Setting {
    /// What a case says, and the default for what it does not say. Tables are taken one by one.
    pub(super) fn or(self, default: &Self) -> Self {
        let default = default.clone();
        let mut rules = self.rules.or(default.rules);
        let with = self.with.or(default.with);
        if let Some(Rules::Step { with: given, .. }) = &mut rules {
            *given = with;
        }
        let mut tables = default.tables;
        tables.extend(self.tables);
        Self {
            messages: self.messages.or(default.messages),
            rules,
            with: None,
            account: self.account.or(default.account),
            mailbox: self.mailbox.or(default.mailbox),
            direction: self.direction.or(default.direction),
            user: self.user.or(default.user),
            flags: self.flags.or(default.flags),
            now_ms: self.now_ms.or(default.now_ms),
            received_ms: self.received_ms.or(default.received_ms),
            state: self.state.or(default.state),
            tables,
            templates: self.templates.or(default.templates),
            earlier: self.earlier.or(default.earlier),
            gate: self.gate.or(default.gate),
        }
    }
}

/// Reads the keys of `[[case]]` or `[default]`.
pub(super) fn read(reader: &Reader<'_>) -> Setting {
    let directions = [("inbound", Direction::Inbound), ("outbound", Direction::Outbound)];
    if reader.has("pipeline") {
        reader.refuse(&["with"], "a pipeline's steps have their own; it belongs to `step`");
    }
    Setting {
        messages: message::read(reader),
        rules: rules(reader),
        with: reader.value("with").and_then(|with| json(reader, with)),
        account: reader.text("account").map(Named::from),
        mailbox: reader.mailbox("mailbox"),
        direction: reader.word("direction", &directions),
        user: reader.text("user").map(|user| user.value.to_owned()),
        flags: reader.has("flags").then(|| flags(reader)),
        now_ms: time(reader, "now"),
        received_ms: time(reader, "received"),
        state: reader.value("state").map(|found| nested(reader, "state", found)),
        tables: tables(reader),
        templates: reader.has("templates").then(|| {
            let names = reader.texts("templates").into_iter();
            names.map(|name| name.value.to_owned()).collect()
        }),
        earlier: earlier(reader),
        gate: reader.has("gate").then(|| reader.switch("gate", false)),
    }
}

fn rules(reader: &Reader<'_>) -> Option<Rules> {
    if !reader.has("pipeline") && !reader.has("step") {
        return None;
    }
    Some(match reader.one_of(&["pipeline", "step"])? {
        "pipeline" => Rules::Pipeline(reader.text("pipeline")?.into()),
        _ => Rules::Step { step: reader.text("step")?.into(), with: None },
    })
}

fn flags(reader: &Reader<'_>) -> Vec<Flag> {
    let flags = reader.texts("flags").into_iter().filter_map(|text| {
        let fault = |why: String| reader.page.fault(text.at, why, reader.write("flags"));
        Flag::new(text.value).map_err(fault).ok()
    });
    flags.collect()
}

/// A TOML date-time with its offset, or the same as a string.
fn time(reader: &Reader<'_>, key: &str) -> Option<i64> {
    let found = reader.value(key)?;
    let text = match found.value {
        DeValue::Datetime(time) => time.to_string(),
        DeValue::String(text) => text.to_string(),
        _ => {
            reader.wrong_type(key, found, "a time");
            return None;
        }
    };
    let read = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
    if read.is_err() {
        let what = format!("`{key}` is no time with its offset from UTC");
        reader.page.fault(found.at, what, reader.write(key));
    }
    read.ok()
}

fn tables(reader: &Reader<'_>) -> BTreeMap<String, Nested> {
    let tables = reader.entries("tables").into_iter();
    tables.map(|(name, rows)| (name.value.to_owned(), nested(reader, "tables", rows))).collect()
}

fn earlier(reader: &Reader<'_>) -> Option<Earlier> {
    let found = reader.value("earlier")?;
    let earlier = Reader::table(reader.page, "earlier", (found.at, found), &EARLIER)?;
    let text = |key| earlier.text(key).map(|text| text.value.to_owned());
    if !earlier.has("project") {
        earlier.refuse(&["evidence"], "it belongs to `project`");
    }
    let evidence = text("evidence").unwrap_or_else(|| "earlier".into());
    let link = text("project").map(|project| (project, evidence));
    let tags = earlier.value("tags").map(|found| values(&earlier, "tags", found));
    Some(Earlier { link, tags: tags.unwrap_or_default() })
}

/// A table of tables of texts under a key, or below it.
fn nested(reader: &Reader<'_>, key: &str, found: Value<'_>) -> Nested {
    let Some(table) = found.value.as_table() else {
        wrong(reader, key, found, "a table of tables");
        return Nested::new();
    };
    let rows = table.iter().map(|(name, row)| {
        let row = Value { value: row.get_ref(), at: row.span().start };
        (name.get_ref().to_string(), values(reader, key, row))
    });
    rows.collect()
}

/// A table of texts under a key, or below it; of any length: they stand for what a table or a memory
/// holds.
pub(super) fn values(reader: &Reader<'_>, key: &str, found: Value<'_>) -> BTreeMap<String, String> {
    let Some(table) = found.value.as_table() else {
        wrong(reader, key, found, "a table of texts");
        return BTreeMap::new();
    };
    let texts = table.iter().filter_map(|(name, value)| {
        let Some(text) = value.get_ref().as_str() else {
            let found = Value { value: value.get_ref(), at: value.span().start };
            wrong(reader, key, found, "a string");
            return None;
        };
        Some((name.get_ref().to_string(), text.to_owned()))
    });
    texts.collect()
}

/// The value may stand deep below its key.
fn wrong(reader: &Reader<'_>, key: &str, found: Value<'_>, expected: &str) {
    let what = format!("this in `{key}` is {}, not {expected}", kind(found.value));
    reader.page.fault(found.at, what, reader.write(key));
}
