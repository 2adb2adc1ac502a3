//! Compares what a case expects with what was decided, and says the difference so that it can be
//! read: actions as they are written in a case, each with the line of the rule that said it.

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::cases::{Case, Expect, Expected};
use crate::error::Error;
use crate::mail::inert;
use crate::pipeline::action::fields;
use crate::pipeline::{Action, Decision, Recorded, StepOutcome};

/// One thing in which a decision differs from what is expected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The key of `expect`, or `message` where it could not be had.
    pub of: &'static str,
    /// What is expected; null where nothing was.
    pub expected: Value,
    /// What came.
    pub came: Value,
    /// The same in lines for people: `-` was expected and did not come, `+` came and was not
    /// expected. Nothing in it steers a terminal.
    #[serde(skip)]
    pub lines: Vec<String>,
}

impl Difference {
    /// The message could not be had or asked about.
    pub(super) fn trouble(error: &Error) -> Self {
        let lines = vec![format!("message: {}", inert(&error.to_string()))];
        Self { of: "message", expected: Value::Null, came: json!(error.to_string()), lines }
    }

    fn value(of: &'static str, expected: Value, came: Value, by: &str) -> Self {
        let (wanted, found) = (shown(&expected), shown(&came));
        let lines = vec![format!("{of}: expected {wanted}, came {found}{by}")];
        Self { of, expected, came, lines }
    }
}

/// All differences, in the order of the keys of `expect`.
pub(super) fn differences(case: &Case, decision: &Decision) -> Vec<Difference> {
    let expect = &case.expect;
    let mut found = Vec::new();
    found.extend(expect.actions.as_ref().and_then(|list| actions(list, decision)));
    found.extend(contains(&expect.contains, decision));
    found.extend(lacks(&expect.lacks, decision));
    let mut value = |of, expected: Option<Value>, came: Value| {
        let differs = expected.filter(|expected| *expected != came);
        let by = by(of, decision);
        found.extend(differs.map(|expected| Difference::value(of, expected, came, &by)));
    };
    let json_of = |text: &String| json!(text);
    value("tags", expect.tags.as_ref().map(|tags| json!(tags)), json!(decision.tags));
    let project = decision.project.clone().unwrap_or_default();
    value("project", expect.project.as_ref().map(json_of), json!(project));
    let evidence = evidence(case, decision).unwrap_or_default();
    value("evidence", expect.evidence.as_ref().map(json_of), json!(evidence));
    value("verdict", expect.verdict.map(|verdict| json!(verdict)), json!(decision.verdict));
    value("path", expect.path.as_ref().map(|path| json!(path)), json!(path(decision)));
    let read = decision.steps.iter().any(|step| step.read_body);
    value("read_body", expect.read_body.map(Value::from), json!(read));
    found.extend(error(expect, decision));
    found
}

/// Who said what a key of `expect` is about, as `  (route.rhai:12)`; empty where nobody did.
fn by(of: &str, decision: &Decision) -> String {
    let is_about = |said: &&Recorded| match &said.action {
        Action::Link { .. } => of == "project" || of == "evidence",
        Action::Tag { .. } => of == "tags",
        Action::Stop | Action::Hold { .. } | Action::Reject { .. } => of == "verdict",
        _ => false,
    };
    let said = decision.actions.iter().filter(is_about);
    let places: Vec<&str> =
        said.map(|said| said.at.as_deref().unwrap_or(&said.step)).take(5).collect();
    match places.is_empty() {
        true => String::new(),
        false => format!("  ({})", inert(&places.join(", "))),
    }
}

/// The evidence of the link that decided the project.
fn evidence(case: &Case, decision: &Decision) -> Option<String> {
    let earlier = case.earlier.link.as_ref().map(|(_, evidence)| evidence.clone());
    earlier.or_else(|| {
        decision.actions.iter().find_map(|said| match &said.action {
            Action::Link { evidence, .. } => Some(evidence.clone()),
            _ => None,
        })
    })
}

/// The steps that were reached, as `path` writes them.
fn path(decision: &Decision) -> Vec<String> {
    let steps = decision.steps.iter().filter_map(|step| match step.outcome {
        StepOutcome::Ran => Some(step.step.clone()),
        StepOutcome::Failed => Some(format!("{}: failed", step.step)),
        StepOutcome::Skipped => Some(format!("{}: skipped", step.step)),
        StepOutcome::NotReached => None,
    });
    steps.collect()
}

/// A step that fails is a difference unless its error is expected.
fn error(expect: &Expect, decision: &Decision) -> Option<Difference> {
    let errors: Vec<&str> =
        decision.steps.iter().filter_map(|step| step.error.as_deref()).collect();
    let fits = match &expect.error {
        Some(expected) => errors.iter().any(|error| error.contains(expected)),
        None => errors.is_empty(),
    };
    let expected = json!(expect.error);
    let came = (!errors.is_empty()).then(|| errors.join("; "));
    let difference = || Difference::value("error", expected, json!(came), "");
    (!fits).then(difference)
}

/// The whole list, as the shortest way from one to the other.
fn actions(expected: &[Expected], decision: &Decision) -> Option<Difference> {
    let came = as_json(decision);
    let rows = common(expected, &came);
    let (mut e, mut c) = (0, 0);
    let mut lines = vec!["actions:".to_owned()];
    let mut same = true;
    while e < expected.len() || c < came.len() {
        let both = e < expected.len() && c < came.len();
        if both && matches(&expected[e], &came[c]) {
            lines.push(format!("    {}", said(&decision.actions[c], &came[c])));
            (e, c) = (e + 1, c + 1);
        } else if c == came.len() || (e < expected.len() && rows[e + 1][c] >= rows[e][c + 1]) {
            lines.push(format!("  - {}", written(&expected[e])));
            (e, same) = (e + 1, false);
        } else {
            lines.push(format!("  + {}", said(&decision.actions[c], &came[c])));
            (c, same) = (c + 1, false);
        }
    }
    let difference =
        || Difference { of: "actions", expected: json!(expected), came: json!(came), lines };
    (!same).then(difference)
}

/// How many actions the rests of both lists have in common, from each pair of places.
fn common(expected: &[Expected], came: &[Expected]) -> Vec<Vec<usize>> {
    let mut rows = vec![vec![0; came.len() + 1]; expected.len() + 1];
    for e in (0..expected.len()).rev() {
        for c in (0..came.len()).rev() {
            rows[e][c] = match matches(&expected[e], &came[c]) {
                true => rows[e + 1][c + 1] + 1,
                false => rows[e + 1][c].max(rows[e][c + 1]),
            };
        }
    }
    rows
}

/// Each expected action stands for one that came.
fn contains(expected: &[Expected], decision: &Decision) -> Option<Difference> {
    let came = as_json(decision);
    let mut free: Vec<&Expected> = came.iter().collect();
    let mut missing = Vec::new();
    for action in expected {
        match free.iter().position(|came| matches(action, came)) {
            Some(at) => drop(free.remove(at)),
            None => missing.push(action),
        }
    }
    if missing.is_empty() {
        return None;
    }
    let mut lines = vec!["contains:".to_owned()];
    lines.extend(missing.iter().map(|action| format!("  - {}", written(action))));
    let others = decision.actions.iter().zip(&came);
    lines.extend(others.map(|(recorded, json)| format!("    {}", said(recorded, json))));
    Some(Difference { of: "contains", expected: json!(expected), came: json!(came), lines })
}

fn lacks(unwanted: &[Expected], decision: &Decision) -> Option<Difference> {
    let came = as_json(decision);
    let is_unwanted = |came: &Expected| unwanted.iter().any(|action| matches(action, came));
    let found = decision.actions.iter().zip(&came).filter(|(_, json)| is_unwanted(json));
    let mut lines: Vec<String> =
        found.map(|(recorded, json)| format!("  + {}", said(recorded, json))).collect();
    if lines.is_empty() {
        return None;
    }
    lines.insert(0, "lacks:".to_owned());
    Some(Difference { of: "lacks", expected: json!(unwanted), came: json!(came), lines })
}

/// What is left out may be anything.
fn matches(expected: &Expected, came: &Expected) -> bool {
    expected.iter().all(|(key, value)| came.get(key) == Some(value))
}

fn as_json(decision: &Decision) -> Vec<Expected> {
    let actions = decision.actions.iter().map(|recorded| match json!(recorded) {
        Value::Object(action) => action,
        _ => Expected::new(),
    });
    actions.collect()
}

/// An action as a case writes it.
fn written(action: &Expected) -> String {
    in_order(action, &["step", "at"])
}

/// An action that came, with who said it and where.
fn said(recorded: &Recorded, json: &Expected) -> String {
    let place = recorded.at.as_deref().unwrap_or(&recorded.step);
    format!("{}  ({})", in_order(json, &[]), inert(place))
}

fn in_order(action: &Expected, besides: &[&str]) -> String {
    let verb = action.get("action").and_then(Value::as_str).unwrap_or_default();
    let keys = ["action"].iter().chain(fields(verb)).chain(besides);
    let pairs = keys.filter_map(|key| Some(format!("{key} = {}", shown(action.get(*key)?))));
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

/// A value as it is written in TOML; nothing in place of null.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        Value::Object(table) if table.is_empty() => "{}".into(),
        Value::Object(table) => {
            let pairs =
                table.iter().map(|(key, value)| format!("{} = {}", name(key), shown(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        scalar => inert(&scalar.to_string()),
    }
}

/// A key, in quotes where TOML wants them.
fn name(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !key.is_empty() && key.chars().all(bare) {
        true => key.to_owned(),
        false => inert(&Value::from(key).to_string()),
    }
}
