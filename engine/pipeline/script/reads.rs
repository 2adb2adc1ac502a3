//! The reads of `mail`: each a property, or a method where it takes a name.
//!
//! What a message may lack (`project`, `list_id`, `date` …) is `()`; texts and lists that every
//! message has are empty instead.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, ImmutableString, Map};

use super::error::{Answer, End, broken, terminated};
use super::parts::{State, Table};
use super::time::Time;
use super::{call, parts};
use crate::mail::{Address, Message};
use crate::pipeline::action::Direction;
use crate::pipeline::run::{Break, Run};

/// What a script's function is given.
#[derive(Clone)]
pub(super) struct Mail(pub(super) Arc<Run>);

/// Reads that are `()` where there is nothing; the lint refuses to compare them with `""`.
pub(super) const OPTIONAL: &[&str] =
    &["project", "user", "list_id", "message_id", "date", "received"];

/// Registers all reads.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Mail>("mail");
    about_the_run(engine);
    from_headers(engine);
    kinds(engine);
    from_body(engine);
    from_earlier_steps(engine);
}

fn about_the_run(engine: &mut Engine) {
    engine
        .register_get("direction", |mail: &mut Mail| match mail.0.input().direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        })
        .register_get("account", |mail: &mut Mail| text(&*mail.0.input().account))
        .register_get("mailbox", |mail: &mut Mail| text(mail.0.mailbox().as_str()))
        .register_get("uid", |mail: &mut Mail| i64::from(mail.0.input().uid.0))
        .register_get("size", |mail: &mut Mail| {
            i64::try_from(mail.0.input().size).unwrap_or(i64::MAX)
        })
        .register_get("received", |mail: &mut Mail| {
            or_unit(mail.0.input().received_ms.and_then(Time::from_unix_ms))
        })
        .register_get("now", |mail: &mut Mail| or_unit(Time::from_unix_ms(mail.0.input().now_ms)))
        .register_get("user", |mail: &mut Mail| or_unit(mail.0.input().user.as_deref().map(text)))
        .register_get("flags", |mail: &mut Mail| {
            mail.0.flags().iter().map(|flag| text(flag.as_str()).into()).collect::<Array>()
        });
}

fn from_headers(engine: &mut Engine) {
    engine
        .register_get("subject", |mail: &mut Mail| text(&*mail.0.message().subject()))
        .register_get("thread_subject", |mail: &mut Mail| text(&*mail.0.message().thread_subject()))
        .register_get("from", |mail: &mut Mail| {
            mail.0.message().from().into_iter().next().unwrap_or_default()
        })
        .register_get("to", |mail: &mut Mail| addresses(mail.0.message().to()))
        .register_get("cc", |mail: &mut Mail| addresses(mail.0.message().cc()))
        .register_get("reply_to", |mail: &mut Mail| addresses(mail.0.message().reply_to()))
        .register_get("date", |mail: &mut Mail| {
            or_unit(mail.0.message().date().as_deref().and_then(Time::parse))
        })
        .register_get("message_id", |mail: &mut Mail| or_unit(mail.0.message().message_id()))
        .register_get("in_reply_to", |mail: &mut Mail| texts(mail.0.message().in_reply_to()))
        .register_get("references", |mail: &mut Mail| texts(mail.0.message().references()))
        .register_get("list_id", |mail: &mut Mail| or_unit(mail.0.message().list_id()))
        .register_fn("header", |mail: &mut Mail, name: &str| or_unit(mail.0.message().header(name)))
        .register_fn("headers", |mail: &mut Mail, name: &str| {
            texts(mail.0.message().headers(name))
        });
}

fn kinds(engine: &mut Engine) {
    type Told = fn(&Message) -> bool;
    let told: [(&str, Told); 6] = [
        ("is_auto", Message::is_auto),
        ("is_bounce", Message::is_bounce),
        ("is_mdn", Message::is_mdn),
        ("is_list", Message::is_list),
        ("is_reply", Message::is_reply),
        ("receipt_requested", Message::receipt_requested),
    ];
    for (name, tell) in told {
        engine.register_get(name, move |mail: &mut Mail| tell(&mail.0.message()));
    }
    engine
        .register_get("is_encrypted", |mail: &mut Mail| {
            read(mail.0.perhaps_body(Message::is_encrypted))
        })
        .register_get("is_signed", |mail: &mut Mail| read(mail.0.perhaps_body(Message::is_signed)))
        .register_get("has_calendar", |mail: &mut Mail| {
            read(mail.0.perhaps_body(Message::has_calendar))
        });
}

fn from_body(engine: &mut Engine) {
    engine
        .register_get("text", |mail: &mut Mail| {
            let most = most(mail.0.limits().body_text, mail);
            read(mail.0.body(|message| message.text(most)))
        })
        .register_get("html", |mail: &mut Mail| {
            let most = most(mail.0.limits().body_text, mail);
            read(mail.0.body(|message| message.html(most)))
        })
        .register_get("raw", |mail: &mut Mail| {
            let most = most(mail.0.limits().raw, mail);
            let raw = mail.0.body(|message| {
                message.raw(most).map(|raw| String::from_utf8_lossy(raw).into_owned())
            });
            read(raw.map(|mut raw| {
                raw.truncate(raw.floor_char_boundary(most));
                raw
            }))
        })
        .register_get("attachments", |mail: &mut Mail| {
            let all = read(mail.0.body(Message::attachments))?;
            Answer::Ok(all.into_iter().map(Dynamic::from).collect::<Array>())
        });
}

fn from_earlier_steps(engine: &mut Engine) {
    engine
        .register_get("project", |mail: &mut Mail| or_unit(mail.0.project()))
        .register_get("links", |mail: &mut Mail| {
            mail.0.links().into_iter().map(link).collect::<Array>()
        })
        .register_get("tags", |mail: &mut Mail| map(mail.0.tags()))
        .register_get("config", |mail: &mut Mail| match &*mail.0.config() {
            serde_json::Value::Null => Map::new().into(),
            config => parts::from_json(config),
        })
        .register_get("state", |mail: &mut Mail| State(mail.0.clone()))
        .register_fn("table", |mail: &mut Mail, name: ImmutableString| {
            if mail.0.has_table(&name) {
                return Ok(Table { run: mail.0.clone(), name });
            }
            let short: String = name.chars().take(80).collect();
            let shown = short.escape_debug();
            let why =
                format!("there is no table \"{shown}\"; add [tables.{shown}] to mailmill.toml");
            Err(broken(Break::Refused(why)))
        });
}

/// Looks at the clock after a read that may have taken long: for rhai it was one operation.
fn read<T>(answer: Result<T, Break>) -> Answer<T> {
    let answer = answer.map_err(broken)?;
    if call::overdue() { Err(terminated(End::Overdue)) } else { Ok(answer) }
}

/// A text longer than a script may hold would end it, so it is cut there.
fn most(limit: usize, mail: &Mail) -> usize {
    limit.min(mail.0.limits().script_string)
}

fn text(text: impl Into<ImmutableString>) -> ImmutableString {
    text.into()
}

fn texts(all: Vec<String>) -> Array {
    all.into_iter().map(Dynamic::from).collect()
}

fn addresses(all: Vec<Address>) -> Array {
    all.into_iter().map(Dynamic::from).collect()
}

fn or_unit<T: rhai::Variant + Clone>(value: Option<T>) -> Dynamic {
    value.map_or(Dynamic::UNIT, Dynamic::from)
}

fn link((project, evidence): (String, String)) -> Dynamic {
    map([("project".to_owned(), project), ("evidence".to_owned(), evidence)].into()).into()
}

fn map(texts: BTreeMap<String, String>) -> Map {
    texts.into_iter().map(|(key, value)| (key.into(), Dynamic::from(value))).collect()
}
