//! The step's `with`, checked: a mistake in it fails the step rather than linking wrongly.

use std::collections::BTreeMap;

use mailmill_plugin::{Mail, Options};

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
        Self::read(mail.options()?)
    }

    fn read(mut with: Options) -> Result<Self, String> {
        let or = |given: Option<String>, usual: &str| given.unwrap_or_else(|| usual.to_owned());
        let token = or(with.text("token")?, token::USUAL);
        let table = or(with.text("table")?, "projects");
        let senders = or(with.text("senders")?, "senders");
        let trust_token = with.flag("trust_token")?;
        let ignore_case = with.flag("ignore_case")?;
        let aliases = with.texts("aliases", r#""address" = "CODE""#)?;
        with.finish()?;
        Ok(Self {
            token: Token::of(token, ignore_case)?,
            table,
            senders,
            trust_token,
            ignore_case,
            aliases: aliases.into_iter().map(|(at, code)| (at.to_lowercase(), code)).collect(),
        })
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
        assert!(why(json!({ "tokn": "x" })).starts_with("with.tokn is unknown"));
        assert!(why(json!({ "token": "(" })).starts_with("with.token is no regular expression"));
        assert!(why(json!({ "token": "[A-Z]+" })).contains("one group"));
        assert_eq!(why(json!({ "trust_token": "yes" })), "with.trust_token is true or false");
        assert!(why(json!({ "aliases": { "a@b.c": 1 } })).starts_with("with.aliases"));
    }
}
