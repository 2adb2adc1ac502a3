//! The step's `with`, checked: a mistake in it fails the step rather than linking wrongly.

use std::collections::BTreeMap;

use mailmill_plugin::Mail;
use serde_json::{Map, Value};

use crate::token::{self, Token};

/// What the configuration says.
pub(crate) struct Settings {
    /// The token of a project in a subject; its first group is the project's code.
    pub(crate) token: Token,
    /// The table of known projects, by code.
    pub(crate) table: String,
    /// The table of known senders, by address or domain.
    pub(crate) senders: String,
    /// Every sender's token counts.
    pub(crate) trust_token: bool,
    /// Whether a token in small letters is one.
    pub(crate) ignore_case: bool,
    /// Addresses, in small letters, that belong to a project.
    pub(crate) aliases: BTreeMap<String, String>,
}

impl Settings {
    /// The settings of this step.
    pub(crate) fn of(mail: &Mail) -> Result<Self, String> {
        Self::read(mail.with())
    }

    fn read(with: Value) -> Result<Self, String> {
        let mut with = match with {
            Value::Null => Map::new(),
            Value::Object(with) => with,
            _ => return Err("`with` is a table".to_owned()),
        };
        let ignore_case = flag(&mut with, "ignore_case")?;
        let settings = Self {
            token: Token::of(text(&mut with, "token", token::USUAL)?, ignore_case)?,
            table: text(&mut with, "table", "projects")?,
            senders: text(&mut with, "senders", "senders")?,
            trust_token: flag(&mut with, "trust_token")?,
            ignore_case,
            aliases: aliases(&mut with)?,
        };
        match with.keys().next() {
            Some(unknown) => Err(format!(
                "with.{unknown} is unknown; there are token, table, senders, trust_token, \
                 ignore_case and aliases"
            )),
            None => Ok(settings),
        }
    }
}

fn text(with: &mut Map<String, Value>, key: &str, otherwise: &str) -> Result<String, String> {
    match with.remove(key) {
        None => Ok(otherwise.to_owned()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("with.{key} is a text")),
    }
}

fn flag(with: &mut Map<String, Value>, key: &str) -> Result<bool, String> {
    match with.remove(key) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(format!("with.{key} is true or false")),
    }
}

fn aliases(with: &mut Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let wrong = || r#"with.aliases is a table such as { "address" = "CODE" }"#.to_owned();
    match with.remove("aliases") {
        None => Ok(BTreeMap::new()),
        Some(Value::Object(aliases)) => aliases
            .into_iter()
            .map(|(address, code)| match code {
                Value::String(code) => Ok((address.to_lowercase(), code)),
                _ => Err(wrong()),
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use serde_json::json;

    #[test]
    fn a_mistake_is_told() {
        let why = |with| Settings::read(with).err().unwrap_or_default();
        assert_eq!(why(json!(null)), "");
        assert!(why(json!({ "tokn": "x" })).starts_with("with.tokn is unknown"));
        assert!(why(json!({ "token": "(" })).starts_with("with.token is no regular expression"));
        assert!(why(json!({ "token": "[A-Z]+" })).contains("one group"));
        assert_eq!(why(json!({ "trust_token": "yes" })), "with.trust_token is true or false");
        assert!(why(json!({ "aliases": { "a@b.c": 1 } })).starts_with("with.aliases"));
    }
}
