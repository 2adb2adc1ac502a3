//! The parts that reads give: addresses, attachments, tables with their rows, the step's memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, ImmutableString, Map};

use super::error::{Answer, broken, refused};
use crate::fault::nearest;
use crate::mail::{Address, Attachment};
use crate::pipeline::run::Run;

/// `mail.table(name)`.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) run: Arc<Run>,
    pub(super) name: ImmutableString,
}

/// A row of a table. A column that it lacks is an error, so that a mistyped name is seen.
#[derive(Clone)]
pub(super) struct Row(Arc<BTreeMap<String, String>>);

/// `mail.state`: the step's own memory.
#[derive(Clone)]
pub(super) struct State(pub(super) Arc<Run>);

/// Registers the types with their properties.
pub(super) fn register(engine: &mut Engine) {
    addresses(engine);
    attachments(engine);
    tables(engine);
    engine
        .register_type_with_name::<State>("state")
        .register_fn("get", |state: &mut State, key: &str| {
            state.0.state_get(key).map_or(Dynamic::UNIT, Dynamic::from)
        });
}

fn addresses(engine: &mut Engine) {
    engine
        .register_type_with_name::<Address>("address")
        .register_get("name", |address: &mut Address| address.name.clone().unwrap_or_default())
        .register_get("address", |address: &mut Address| address.address.clone())
        .register_get("local", |address: &mut Address| address.local().to_owned())
        // Domains are the same in either case (RFC 4343), and rules compare them to the letter.
        .register_get("domain", |address: &mut Address| address.domain().to_lowercase())
        .register_fn("to_string", |address: &mut Address| address.to_string())
        .register_fn("to_debug", |address: &mut Address| address.to_string())
        .register_fn("==", |address: Address, other: &str| address.is(other))
        .register_fn("!=", |address: Address, other: &str| !address.is(other))
        .register_fn("==", |a: Address, b: Address| a.is(&b.address))
        .register_fn("!=", |a: Address, b: Address| !a.is(&b.address));
}

fn attachments(engine: &mut Engine) {
    engine
        .register_type_with_name::<Attachment>("attachment")
        .register_get("name", |part: &mut Attachment| part.name.clone().unwrap_or_default())
        .register_get("type", |part: &mut Attachment| part.media_type.clone())
        .register_get("size", |part: &mut Attachment| i64::try_from(part.size).unwrap_or(i64::MAX))
        .register_get("sha256", |part: &mut Attachment| part.sha256.clone())
        .register_fn("to_string", |part: &mut Attachment| part.name.clone().unwrap_or_default())
        .register_fn("to_debug", |part: &mut Attachment| format!("{part:?}"));
}

fn tables(engine: &mut Engine) {
    engine
        .register_type_with_name::<Table>("table")
        .register_fn("get", |table: &mut Table, key: &str| {
            let row = table.run.table_row(&table.name, key).map_err(broken)?;
            Answer::Ok(row.map_or(Dynamic::UNIT, |row| Dynamic::from(Row(row))))
        })
        // What a message lacks is in no table: `get(mail.project)` needs no question before it.
        .register_fn("get", |_: &mut Table, (): ()| ())
        .register_type_with_name::<Row>("row")
        .register_indexer_get(|row: &mut Row, column: &str| match row.0.get(column) {
            Some(value) => Ok(ImmutableString::from(value)),
            None => Err(refused(no_column(row, column))),
        })
        .register_fn("get", |row: &mut Row, column: &str| {
            row.0.get(column).map_or(Dynamic::UNIT, |value| Dynamic::from(value.clone()))
        })
        .register_fn("contains", |row: &mut Row, column: &str| row.0.contains_key(column))
        .register_fn("keys", |row: &mut Row| {
            row.0.keys().map(|column| Dynamic::from(column.clone())).collect::<Array>()
        })
        .register_fn("to_string", |row: &mut Row| format!("{:?}", row.0))
        .register_fn("to_debug", |row: &mut Row| format!("{:?}", row.0));
}

fn no_column(row: &Row, column: &str) -> String {
    let short: String = column.chars().take(80).collect();
    let shown = short.escape_debug();
    match nearest(&short, row.0.keys().map(String::as_str)) {
        Some(near) => format!("the table has no column \"{shown}\"; did you mean \"{near}\"?"),
        None => format!("the table has no column \"{shown}\""),
    }
}

/// A value of the configuration as a script sees it.
pub(super) fn from_json(value: &serde_json::Value) -> Dynamic {
    match value {
        serde_json::Value::Null => Dynamic::UNIT,
        serde_json::Value::Bool(value) => (*value).into(),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(fraction)) => fraction.into(),
            (None, None) => Dynamic::UNIT,
        },
        serde_json::Value::String(text) => text.clone().into(),
        serde_json::Value::Array(all) => all.iter().map(from_json).collect::<Array>().into(),
        serde_json::Value::Object(all) => {
            let entries = all.iter().map(|(key, value)| (key.as_str().into(), from_json(value)));
            entries.collect::<Map>().into()
        }
    }
}

/// A value that may be written down as text: texts, numbers, true and false, times, addresses.
pub(super) fn plain(value: &Dynamic) -> Answer<String> {
    if value.is_string() || value.is_int() || value.is_float() || value.is_bool() || value.is_char()
    {
        return Ok(value.to_string());
    }
    if let Some(time) = value.read_lock::<super::time::Time>() {
        return Ok(time.to_string());
    }
    if let Some(address) = value.read_lock::<Address>() {
        return Ok(address.to_string());
    }
    Err(refused("the value is a text, a number, true or false, a time or an address"))
}
