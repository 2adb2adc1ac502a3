//! The verbs of `mail` for scripts: each hands its values and its place to [`Run`], which checks and
//! records.

use std::collections::BTreeMap;

use rhai::{Dynamic, Engine, Map, NativeCallContext};

use super::call;
use super::error::{Answer, End, broken, refused, terminated};
use super::parts::{State, plain};
use super::reads::Mail;
use crate::pipeline::run::{Break, Run};

/// A verb with one text.
type One = fn(&Run, &str, Option<String>) -> Result<(), Break>;
/// A verb with two texts.
type Two = fn(&Run, &str, &str, Option<String>) -> Result<(), Break>;
/// A verb with nothing.
type Bare = fn(&Run, Option<String>) -> Result<(), Break>;

const BARE: [(&str, Bare); 3] = [
    ("suppress_receipt", Run::suppress_receipt),
    ("strip_receipt_requests", Run::strip_receipt_requests),
    ("stop", Run::stop),
];

const ONE: [(&str, One); 12] = [
    ("move_to", Run::move_to),
    ("copy_to", Run::copy_to),
    ("deliver_to", Run::deliver_to),
    ("add_flag", Run::add_flag),
    ("remove_flag", Run::remove_flag),
    ("delete_after", Run::delete_after),
    ("forward_to", Run::forward_to),
    ("reply_with", Run::reply_with),
    ("remove_header", Run::remove_header),
    ("sign", Run::sign),
    ("hold", Run::hold),
    ("reject", Run::reject),
];

const TWO: [(&str, Two); 3] =
    [("link", Run::link), ("set_header", Run::set_header), ("add_header", Run::add_header)];

/// Registers all verbs.
pub(super) fn register(engine: &mut Engine) {
    for (name, verb) in BARE {
        engine.register_fn(name, move |call: NativeCallContext, mail: &mut Mail| {
            said(verb(&mail.0, at(&call)))
        });
    }
    for (name, verb) in ONE {
        engine.register_fn(name, move |call: NativeCallContext, mail: &mut Mail, value: &str| {
            said(verb(&mail.0, value, at(&call)))
        });
    }
    for (name, verb) in TWO {
        engine.register_fn(
            name,
            move |call: NativeCallContext, mail: &mut Mail, first: &str, second: &str| {
                said(verb(&mail.0, first, second, at(&call)))
            },
        );
    }
    with_any_value(engine);
}

/// The verbs that write a value down take numbers and times as well.
fn with_any_value(engine: &mut Engine) {
    engine
        .register_fn(
            "tag",
            |call: NativeCallContext, mail: &mut Mail, key: &str, value: Dynamic| {
                said(mail.0.tag(key, &plain(&value)?, at(&call)))
            },
        )
        .register_fn("log", |call: NativeCallContext, mail: &mut Mail, line: Dynamic| {
            let line = plain(&line).unwrap_or_else(|_| line.to_string());
            said(mail.0.log(&line, at(&call)))
        })
        .register_fn(
            "set",
            |call: NativeCallContext, state: &mut State, key: &str, value: Dynamic| {
                let value = if value.is_unit() { String::new() } else { plain(&value)? };
                said(state.0.state_set(key, &value, at(&call)))
            },
        )
        .register_fn(
            "notify",
            |call: NativeCallContext, mail: &mut Mail, webhook: &str, fields: Map| {
                said(mail.0.notify(webhook, texts(&fields)?, at(&call)))
            },
        );
}

fn texts(fields: &Map) -> Answer<BTreeMap<String, String>> {
    let text = |(key, value): (&rhai::Identifier, &Dynamic)| {
        let value = plain(value).map_err(|_| refused(format!("the field \"{key}\" is no text")))?;
        Ok((key.to_string(), value))
    };
    fields.iter().map(text).collect()
}

fn at(call: &NativeCallContext) -> Option<String> {
    call::at(call.call_position())
}

/// Looks at the clock after each verb: editing a large message takes time, but for rhai it was one
/// operation.
fn said(answer: Result<(), Break>) -> Answer<()> {
    answer.map_err(broken)?;
    if call::overdue() { Err(terminated(End::Overdue)) } else { Ok(()) }
}
