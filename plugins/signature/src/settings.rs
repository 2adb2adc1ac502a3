//! The step's `with`, checked: a mistake in it fails the step rather than signing wrongly.

use std::collections::BTreeMap;

use mailmill_plugin::{Mail, Options};

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
        Self::read(mail.options()?)
    }

    fn read(mut with: Options) -> Result<Self, String> {
        let settings = Self {
            default: with.text("default")?,
            accounts: with.texts("accounts", "office = \"template\"")?,
            users: with.texts("users", "anna = \"template\"")?,
            column: with.text("column")?.unwrap_or_else(|| "signature".to_owned()),
        };
        with.finish().map(|()| settings)
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, Settings};
    use serde_json::json;

    #[test]
    fn a_mistake_is_told() {
        let why = |with| Options::of(with).and_then(Settings::read).err().unwrap_or_default();
        assert_eq!(why(json!(null)), "");
        assert_eq!(why(json!({ "default": "firm", "accounts": { "a": "b" } })), "");
        assert!(why(json!({ "defualt": "x" })).starts_with("with.defualt is unknown"));
        assert_eq!(why(json!({ "default": 1 })), "with.default is a text");
        assert!(why(json!({ "users": { "a": 1 } })).starts_with("with.users is a table"));
        assert_eq!(why(json!([])), "`with` is a table");
    }
}
