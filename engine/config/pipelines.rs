//! `[pipelines.NAME]` and their steps.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use toml::de::DeValue;

use super::page::{At, quoted};
use super::reader::{Reader, Shape, Value};
use super::{Pipeline, Step, StepKind};
use crate::pipeline::OnError;

static PIPELINE: Shape = Shape {
    keys: &[("steps", "[{ script = \"route\" }, { plugin = \"project-link\" }]")],
    later: &[],
    example: "{ steps = [{ script = \"route\" }] }",
};

static STEP: Shape = Shape {
    keys: &[
        ("script", "\"route\""),
        ("plugin", "\"project-link\""),
        ("with", "{ key = \"value\" }"),
        ("on_error", "\"hold\""),
    ],
    later: &[],
    example: "{ script = \"route\" }",
};

static ON_ERROR: [(&str, OnError); 3] =
    [("hold", OnError::Hold), ("retry", OnError::Retry), ("skip", OnError::Skip)];

/// All pipelines, and the names of all that are there, the faulty ones included.
pub(super) fn read<'a>(root: &Reader<'a>) -> (BTreeMap<String, Pipeline>, BTreeSet<&'a str>) {
    let mut pipelines = BTreeMap::new();
    let mut known = BTreeSet::new();
    for (name, value) in root.entries("pipelines") {
        known.insert(name.value);
        let place = format!("[pipelines.{}]", name.value);
        let Some(reader) = Reader::table(root.page, place, (name.at, value), &PIPELINE) else {
            continue;
        };
        let steps = steps(&reader);
        pipelines.insert(name.value.into(), Pipeline { name: name.value.into(), steps });
    }
    (pipelines, known)
}

fn steps(pipeline: &Reader<'_>) -> Vec<Step> {
    pipeline.require("steps");
    let elements = pipeline.list("steps");
    if let Some(found) = pipeline.value("steps")
        && found.value.as_array().is_some_and(|list| list.is_empty())
    {
        pipeline.page.fault(
            found.at,
            "a pipeline needs at least one step",
            pipeline.write("steps"),
        );
    }
    let mut taken = BTreeSet::new();
    let steps = elements.into_iter().filter_map(|element| {
        let step = step(pipeline, element)?;
        if taken.insert(step.name.clone()) {
            return Some(step);
        }
        let what = format!("two steps of this pipeline are named {}", quoted(&step.name));
        let help = "a step's memory is kept by its name: copy the file under another name, or put \
                    both cases into one step";
        pipeline.page.fault(step.offset, what, help);
        None
    });
    steps.collect()
}

fn step(pipeline: &Reader<'_>, element: Value<'_>) -> Option<Step> {
    let reader = Reader::table(pipeline.page, "a step", (element.at, element), &STEP)?;
    let on_error = reader.word("on_error", &ON_ERROR).unwrap_or_default();
    let with = with(&reader);
    let key = reader.one_of(&["script", "plugin"])?;
    let name = step_name(&reader, key)?;
    let kind = if key == "script" { StepKind::Script } else { StepKind::Plugin };
    Some(Step { kind, name: name.value.into(), with, on_error, offset: name.at })
}

/// The name of a file without folder and ending.
fn step_name<'a>(reader: &Reader<'a>, key: &str) -> Option<At<&'a str>> {
    let name = reader.text(key)?;
    let ending = if key == "script" { ".rhai" } else { ".wasm" };
    if let Some(bare) = name.value.strip_suffix(ending) {
        let what = format!("{} has its ending", quoted(name.value));
        reader.page.fault(name.at, what, format!("write {key} = {}", quoted(bare)));
        return None;
    }
    if name.value.contains(['/', '\\']) {
        let what = format!("{} is a path, not a name", quoted(name.value));
        let help = format!("write the bare name; the file lies in the {key}s folder of [engine]");
        reader.page.fault(name.at, what, help);
        return None;
    }
    reader.sound_name(name).then_some(name)
}

fn with(reader: &Reader<'_>) -> Json {
    let empty = Json::Object(serde_json::Map::new());
    match reader.value("with") {
        Some(with) => json(reader, with).unwrap_or(empty),
        None => empty,
    }
}

/// A TOML value as JSON; dates and times become strings. Nesting is limited by the TOML parser.
pub(super) fn json(reader: &Reader<'_>, value: Value<'_>) -> Option<Json> {
    let within = |value: &toml::Spanned<DeValue<'_>>| {
        json(reader, At { value: value.get_ref(), at: value.span().start })
    };
    match value.value {
        DeValue::String(text) => Some(Json::from(text.as_ref())),
        DeValue::Boolean(switch) => Some(Json::from(*switch)),
        DeValue::Datetime(time) => Some(Json::from(time.to_string())),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix());
            number_or_fault(reader, value.at, read.ok().map(Json::from))
        }
        DeValue::Float(number) => {
            let read = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            number_or_fault(reader, value.at, read.map(Json::from))
        }
        DeValue::Array(list) => Some(list.iter().filter_map(within).collect()),
        DeValue::Table(table) => Some(Json::Object(
            table
                .iter()
                .filter_map(|(key, value)| Some((key.get_ref().to_string(), within(value)?)))
                .collect(),
        )),
    }
}

fn number_or_fault(reader: &Reader<'_>, at: usize, number: Option<Json>) -> Option<Json> {
    if number.is_none() {
        let help = "whole numbers have 64 bits, others are finite; write it as a string";
        reader.page.fault(at, "a step cannot be given this number", help);
    }
    number
}
