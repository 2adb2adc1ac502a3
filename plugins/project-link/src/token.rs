//! Project codes: which of them a text names, and which of those are projects.

use mailmill_plugin::Mail;
use regex_lite::{Regex, RegexBuilder};

use crate::settings::Settings;

/// The pattern of a token where the settings have none.
pub(crate) const USUAL: &str = r"\[([A-Z]+-\d+)\]";

/// Bytes of the pattern of a token.
const PATTERN: usize = 1024;

/// Different tokens that are looked at in one subject.
const MOST: usize = 10;

/// What a project's token looks like.
pub(crate) struct Token {
    pattern: String,
    ignore_case: bool,
}

impl Token {
    /// The token of this pattern, whose group is the project's code.
    pub(crate) fn of(pattern: String, ignore_case: bool) -> Result<Self, String> {
        if pattern.len() > PATTERN {
            return Err(format!("with.token has at most {PATTERN} bytes"));
        }
        let token = Self { pattern, ignore_case };
        if !token.is_usual() {
            token.compiled()?;
        }
        Ok(token)
    }

    /// The usual pattern is right, and needs a bracket: it is compiled only where there is one.
    fn is_usual(&self) -> bool {
        self.pattern == USUAL
    }

    fn compiled(&self) -> Result<Regex, String> {
        let compiled = RegexBuilder::new(&self.pattern).case_insensitive(self.ignore_case).build();
        let compiled =
            compiled.map_err(|why| format!("with.token is no regular expression: {why}"))?;
        match compiled.captures_len() {
            2 => Ok(compiled),
            _ => Err("with.token has one group, which is the project's code".to_owned()),
        }
    }

    /// The codes in a text, each once, in their order.
    fn codes(&self, text: &str) -> Vec<String> {
        let mut codes = Vec::new();
        if self.is_usual() && !text.contains('[') {
            return codes;
        }
        let Ok(token) = self.compiled() else { return codes };
        for found in token.captures_iter(text) {
            let Some(code) = found.get(1).map(|code| code.as_str()) else { continue };
            if codes.len() < MOST && !codes.iter().any(|known| known == code) {
                codes.push(code.to_owned());
            }
        }
        codes
    }
}

/// The known projects that the subject names by their tokens, each once, in their order.
pub(crate) fn in_subject(mail: &Mail, settings: &Settings) -> Vec<String> {
    let codes = settings.token.codes(&mail.subject());
    let mut projects = Vec::new();
    for code in codes {
        let project = match settings.ignore_case {
            true => known_in_any_case(mail, settings, &code),
            false => known(mail, settings, &code),
        };
        if let Some(project) = project.filter(|project| !projects.contains(project)) {
            projects.push(project);
        }
    }
    projects
}

/// The project of exactly this code.
pub(crate) fn known(mail: &Mail, settings: &Settings, code: &str) -> Option<String> {
    mail.row(&settings.table, code).map(|_| code.to_owned())
}

/// The project of this code as written or in capital letters: addresses and habits change case.
pub(crate) fn known_in_any_case(mail: &Mail, settings: &Settings, code: &str) -> Option<String> {
    known(mail, settings, code).or_else(|| known(mail, settings, &code.to_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::{Token, USUAL};

    #[test]
    fn tokens_are_exact() {
        let Ok(token) = Token::of(USUAL.to_owned(), false) else { return assert_eq!(1, 0) };
        let codes = |subject: &str| token.codes(subject).join(" ");
        assert_eq!(codes("Re: [T-071] plan"), "T-071");
        assert_eq!(codes("[T-071] and [T-072], again [T-071]"), "T-071 T-072");
        for none in ["[1]", "[EXT]", "T-071", "[T-071", "[ T-071 ]", "[t-071]", "(T-071)", ""] {
            assert_eq!(codes(none), "", "{none}");
        }
        let many: String = (0..100).map(|n| format!("[T-{n}]")).collect();
        assert_eq!(codes(&many).split(' ').count(), 10);
    }
}
