//! `expect`: what must come of a case.

use serde_json::Value as Json;

use super::setting::values;
use super::{Expect, Expected};
use crate::config::page::{At, listed, quoted};
use crate::config::pipelines::json;
use crate::config::reader::{Reader, Shape, Value, kind};
use crate::fault::nearest;
use crate::pipeline::action::{VERBS, Verdict, fields};

pub(super) static EXPECT: Shape = Shape {
    keys: &[
        ("actions", ACTIONS),
        ("contains", ACTIONS),
        ("lacks", "[{ action = \"move_to\" }]"),
        ("tags", "{ kind = \"invoice\" }"),
        ("project", "\"T-071\""),
        ("evidence", "\"subject-token\""),
        ("verdict", "\"stop\""),
        ("path", "[\"project-link\", \"route\"]"),
        ("error", "\"there is no table\""),
        ("read_body", "false"),
    ],
    later: &[],
    example: "{ actions = [{ action = \"move_to\", mailbox = \"Invoices\" }] }",
};

const ACTIONS: &str = "[{ action = \"move_to\", mailbox = \"Invoices\" }]";

static VERDICTS: [(&str, Verdict); 4] = [
    ("continue", Verdict::Continue),
    ("stop", Verdict::Stop),
    ("hold", Verdict::Hold),
    ("reject", Verdict::Reject),
];

/// Reads `expect` of a case; `None` where there is none or it says nothing.
pub(super) fn read(case: &Reader<'_>) -> Option<Expect> {
    case.require("expect");
    let found = case.value("expect")?;
    let reader = Reader::table(case.page, "expect", (found.at, found), &EXPECT)?;
    if found.value.as_table().is_some_and(toml::map::Map::is_empty) {
        let what = "`expect` expects nothing, so the case cannot fail";
        case.page.fault(found.at, what, case.write("expect"));
        return None;
    }
    if reader.has("actions") {
        reader.refuse(&["contains"], "`actions` is the whole list");
    }
    let text = |key| reader.text(key).map(|text| text.value.to_owned());
    Some(Expect {
        actions: reader.has("actions").then(|| actions(&reader, "actions")),
        contains: actions(&reader, "contains"),
        lacks: actions(&reader, "lacks"),
        tags: reader.value("tags").map(|found| values(&reader, "tags", found)),
        project: project(&reader),
        evidence: text("evidence"),
        verdict: reader.word("verdict", &VERDICTS),
        path: reader.has("path").then(|| path(&reader)),
        error: text("error"),
        read_body: reader.has("read_body").then(|| reader.switch("read_body", false)),
    })
}

/// A project, or `""` for none.
fn project(reader: &Reader<'_>) -> Option<String> {
    match reader.value("project")?.value.as_str() {
        Some("") => Some(String::new()),
        _ => reader.text("project").map(|project| project.value.to_owned()),
    }
}

fn path(reader: &Reader<'_>) -> Vec<String> {
    let steps = reader.texts("path").into_iter().map(|step| {
        if let Some((_, outcome)) = step.value.split_once(": ")
            && !["failed", "skipped"].contains(&outcome)
        {
            let what = format!("{} is no outcome of a step", quoted(outcome));
            let help = "write \"NAME\", \"NAME: failed\" or \"NAME: skipped\"";
            reader.page.fault(step.at, what, help);
        }
        step.value.to_owned()
    });
    steps.collect()
}

fn actions(reader: &Reader<'_>, key: &str) -> Vec<Expected> {
    reader.list(key).into_iter().filter_map(|element| action(reader, key, element)).collect()
}

/// One action: its word is known, and so are its fields.
fn action(reader: &Reader<'_>, list: &str, element: Value<'_>) -> Option<Expected> {
    let Some(table) = element.value.as_table() else {
        reader.wrong_type(list, element, "a list of actions");
        return None;
    };
    let Some(word) = table.get("action") else {
        let what = format!("this action in `{list}` has no `action`, its word");
        reader.page.fault(element.at, what, format!("write {list} = {ACTIONS}"));
        return None;
    };
    let verb = verb(reader, At { value: word.get_ref(), at: word.span().start })?;
    let own = fields(verb);
    let mut expected = Expected::from_iter([("action".to_owned(), Json::from(verb))]);
    for (key, value) in table.iter().filter(|(key, _)| key.get_ref() != "action") {
        let name = key.get_ref().as_ref();
        if own.iter().chain(&["step", "at"]).any(|known| *known == name) {
            let value = At { value: value.get_ref(), at: value.span().start };
            expected.insert(name.to_owned(), json(reader, value)?);
        } else {
            unknown_field(reader, verb, At { value: name, at: key.span().start });
        }
    }
    Some(expected)
}

fn verb(reader: &Reader<'_>, word: Value<'_>) -> Option<&'static str> {
    let Some(text) = word.value.as_str() else {
        let what = format!("`action` is {}, not a string", kind(word.value));
        reader.page.fault(word.at, what, "write action = \"move_to\"");
        return None;
    };
    let known = VERBS.iter().find(|verb| **verb == text);
    if known.is_none() {
        let help = match nearest(text, VERBS.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("actions are: {}", listed(VERBS.iter().copied())),
        };
        reader.page.fault(word.at, format!("there is no action {}", quoted(text)), help);
    }
    known.copied()
}

fn unknown_field(reader: &Reader<'_>, verb: &str, key: At<&str>) {
    let known = fields(verb).iter().copied().chain(["step", "at"]);
    let help = match nearest(key.value, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its fields are: {}", listed(known)),
    };
    reader.page.fault(key.at, format!("{} is no field of {verb}", quoted(key.value)), help);
}
