//! The step's `with`, checked: a mistake in it fails the step rather than signing wrongly.

use std::collections::BTreeMap;

use mailmill_plugin::Mail;
use serde_json::{Map, Value};

/// What the configuration says.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The column that names a signature, in all tables.
    pub(crate) column: String,
    /// The signature where nobody names one.
    pub(crate) default: Option<String>,
    /// Signatures by account.
    pub(crate) accounts: BTreeMap<String, String>,
    /// Signatures by user.
    pub(crate) users: BTreeMap<String, String>,
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
        let settings = Self {
            column: text(&mut with, "column")?.unwrap_or_else(|| "signature".to_owned()),
            default: text(&mut with, "default")?,
            accounts: names(&mut with, "accounts")?,
            users: names(&mut with, "users")?,
        };
        match with.keys().next() {
            Some(unknown) => Err(format!(
                "with.{unknown} is unknown; there are default, accounts, users and column"
            )),
            None => Ok(settings),
        }
    }
}

fn text(with: &mut Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match with.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("with.{key} is a text")),
    }
}

fn names(with: &mut Map<String, Value>, key: &str) -> Result<BTreeMap<String, String>, String> {
    let wrong = || format!("with.{key} is a table such as {{ office = \"template\" }}");
    match with.remove(key) {
        None => Ok(BTreeMap::new()),
        Some(Value::Object(names)) => {
            let name = |(name, value)| match value {
                Value::String(template) => Ok((name, template)),
                _ => Err(wrong()),
            };
            names.into_iter().map(name).collect()
        }
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
        assert_eq!(why(json!({ "default": "firm", "accounts": { "a": "b" } })), "");
        assert!(why(json!({ "defualt": "x" })).starts_with("with.defualt is unknown"));
        assert_eq!(why(json!({ "default": 1 })), "with.default is a text");
        assert!(why(json!({ "users": { "a": 1 } })).starts_with("with.users is a table"));
        assert_eq!(why(json!([])), "`with` is a table");
    }
}
