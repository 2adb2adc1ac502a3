//! What rules need of texts and Rhai lacks: regular expressions and comparing without regard to
//! case. An absent text, `()`, contains and matches nothing, so that `mail.list_id.contains("x")`
//! needs no question before it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};
use rhai::{Array, Dynamic, Engine, ImmutableString};

use super::call;
use super::error::{Answer, End, refused, terminated};

/// Bytes of one pattern.
const MOST_PATTERN: usize = 4 << 10;
/// Patterns kept compiled; when there are more, all are forgotten.
const MOST_KEPT: usize = 256;
/// Size of a compiled pattern in KiB, and the KiB of text that it may be held against. In the worst
/// case the time is the product of both, which one native call must keep within the limits.
const CLASSES: [(usize, usize); 4] = [(16, 1024), (64, 1024), (256, 256), (1024, 64)];

/// A compiled pattern with the longest text it may be held against.
#[derive(Clone)]
struct Pattern {
    regex: Regex,
    most_text: usize,
}

/// The compiled patterns of all scripts of a generation.
#[derive(Default)]
struct Patterns(Mutex<HashMap<ImmutableString, Pattern>>);

/// Registers the helpers for texts.
pub(super) fn register(engine: &mut Engine) {
    register_patterns(engine);
    register_case_blind(engine);
    for name in ["contains", "starts_with", "ends_with"] {
        engine.register_fn(name, |(): (), _: &str| false);
    }
    for name in ["to_lower", "to_upper"] {
        engine.register_fn(name, |(): ()| ());
    }
    engine.register_fn("duration", |text: &str| {
        let seconds = crate::pipeline::value::seconds(text).map_err(super::error::broken)?;
        i64::try_from(seconds).map_err(|_| refused("the duration is too long"))
    });
}

fn register_patterns(engine: &mut Engine) {
    let patterns = Arc::new(Patterns::default());
    let shared = patterns.clone();
    engine.register_fn("matches", move |text: &str, pattern: ImmutableString| {
        shared.held(text, &pattern, |regex| regex.is_match(text))
    });
    engine.register_fn("captures", move |text: &str, pattern: ImmutableString| {
        patterns.held(text, &pattern, |regex| captures(regex, text))
    });
    engine.register_fn("matches", |(): (), _: &str| false);
    engine.register_fn("captures", |(): (), _: &str| ());
}

fn captures(regex: &Regex, text: &str) -> Dynamic {
    let Some(found) = regex.captures(text) else { return Dynamic::UNIT };
    let groups = found.iter().map(|group| match group {
        Some(group) => Dynamic::from(ImmutableString::from(group.as_str())),
        None => Dynamic::UNIT,
    });
    groups.collect::<Array>().into()
}

impl Patterns {
    fn held<T>(
        &self,
        text: &str,
        pattern: &ImmutableString,
        look: impl FnOnce(&Regex) -> T,
    ) -> Answer<T> {
        let pattern = self.compiled(pattern)?;
        if text.len() > pattern.most_text {
            let most = pattern.most_text >> 10;
            return Err(refused(format!(
                "this pattern is too large for a text over {most} KiB; match a part of the text"
            )));
        }
        let answer = look(&pattern.regex);
        // A native call is one operation, so it looks at the clock itself.
        if call::overdue() { Err(terminated(End::Overdue)) } else { Ok(answer) }
    }

    fn compiled(&self, pattern: &ImmutableString) -> Answer<Pattern> {
        if let Some(known) = self.kept().get(pattern) {
            return Ok(known.clone());
        }
        let compiled = compile(pattern).map_err(refused)?;
        let mut kept = self.kept();
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(pattern.clone(), compiled.clone());
        Ok(compiled)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<ImmutableString, Pattern>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says what is wrong with a pattern; `None` where it compiles. For the lint.
pub(super) fn fault_of(pattern: &str) -> Option<String> {
    compile(pattern).err()
}

fn compile(pattern: &str) -> Result<Pattern, String> {
    if pattern.len() > MOST_PATTERN {
        return Err(format!("a pattern has at most {MOST_PATTERN} bytes"));
    }
    for (size, text) in CLASSES {
        match RegexBuilder::new(pattern).size_limit(size << 10).nest_limit(64).build() {
            Ok(regex) => return Ok(Pattern { regex, most_text: text << 10 }),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(why) => {
                let why = why.to_string();
                let why = why.lines().last().unwrap_or_default();
                let why = why.trim_start_matches("error: ");
                let shown: String = pattern.chars().take(80).collect();
                return Err(format!("no pattern: \"{}\": {why}", shown.escape_debug()));
            }
        }
    }
    Err("the pattern is too large: it compiles to more than 1 MiB".into())
}

fn register_case_blind(engine: &mut Engine) {
    type Test = fn(&str, &str) -> bool;
    let tests: [(&str, Test); 4] = [
        ("equals_ignore_case", |a, b| a == b),
        ("contains_ignore_case", |a, b| a.contains(b)),
        ("starts_with_ignore_case", |a, b| a.starts_with(b)),
        ("ends_with_ignore_case", |a, b| a.ends_with(b)),
    ];
    for (name, test) in tests {
        engine
            .register_fn(name, move |a: &str, b: &str| test(&a.to_lowercase(), &b.to_lowercase()));
        engine.register_fn(name, |(): (), _: &str| false);
    }
}
