//! Project codes: which of them a text names, and which of those are projects.

use mailmill_plugin::Mail;
use regex_lite::Regex;

use crate::settings::Settings;

/// Different tokens that are looked at in one subject.
const MOST: usize = 10;

/// The known projects that the subject names by their tokens, each once, in their order.
pub(crate) fn in_subject(mail: &Mail, settings: &Settings) -> Vec<String> {
    let codes = codes(&settings.token, &mail.subject());
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

fn codes(token: &Regex, subject: &str) -> Vec<String> {
    let mut codes = Vec::new();
    for found in token.captures_iter(subject) {
        let Some(code) = found.get(1).map(|code| code.as_str()) else { continue };
        if codes.len() < MOST && !codes.iter().any(|known| known == code) {
            codes.push(code.to_owned());
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::codes;
    use regex_lite::Regex;

    #[test]
    fn tokens_are_exact() {
        let Ok(token) = Regex::new(r"\[([A-Z]+-\d+)\]") else { return assert_eq!(1, 0) };
        let codes = |subject: &str| codes(&token, subject).join(" ");
        assert_eq!(codes("Re: [T-071] plan"), "T-071");
        assert_eq!(codes("[T-071] and [T-072], again [T-071]"), "T-071 T-072");
        for none in ["[1]", "[EXT]", "T-071", "[T-071", "[ T-071 ]", "[t-071]", "(T-071)", ""] {
            assert_eq!(codes(none), "", "{none}");
        }
        let many: String = (0..100).map(|n| format!("[T-{n}]")).collect();
        assert_eq!(codes(&many).split(' ').count(), 10);
    }
}
