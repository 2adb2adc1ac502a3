//! Masks passwords in the configuration's text, so that no source line of a fault can show one.
//!
//! A masked text has the same bytes in length and the same characters in number: offsets, lines and
//! columns stand. What is masked is found twice, in the parsed document and in the bare text, since a
//! password must not show on a line that does not parse either.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use toml::de::{DeTable, DeValue};

/// `password = "…"` (also `pass`, `passwd`, …), closed or not, and `user:password@` of a URL.
static BARE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"(?i)pass[a-z_-]*["']?[ \t]*=[ \t]*(?:"""(?P<a>(?s:.*?))(?:"""|\z)"#,
        r#"|'''(?P<b>(?s:.*?))(?:'''|\z)"#,
        r#"|"(?P<c>(?:[^"\\\n]|\\.)*)|'(?P<d>[^'\n]*)|(?P<e>[^\s{\["',][^\s,}\]]*))"#,
        r#"|://(?P<f>[^\s"']*)@"#,
    ))
    .ok()
});

/// The text with every password masked.
pub(super) fn mask(text: &str, document: &DeTable<'_>) -> String {
    let mut spans = Vec::new();
    in_table(document, Around::Nothing, &mut spans);
    for found in BARE.iter().flat_map(|bare| bare.captures_iter(text)) {
        spans.extend(found.iter().skip(1).flatten().map(|group| group.range()));
    }
    spans.sort_by_key(|span| span.start);
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for Range { start, end } in spans {
        let start = start.max(done);
        if start < end && text.is_char_boundary(start) && text.is_char_boundary(end) {
            masked.push_str(&text[done..start]);
            masked.extend(text[start..end].chars().map(blot));
            done = end;
        }
    }
    masked + &text[done..]
}

/// What a value lies in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Nothing that holds a password.
    Nothing,
    /// `login`: whatever is not the user's name may be a password under a mistyped key.
    Login,
    /// `password`: whatever does not say where the password is may be the password.
    Password,
}

fn in_table(table: &DeTable<'_>, around: Around, spans: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let within = match (around, name) {
            (Around::Nothing, "login" | "smtp_login") => Around::Login,
            (_, "password") | (Around::Login, _) => Around::Password,
            (around, _) => around,
        };
        match (value.get_ref(), around, name) {
            (DeValue::Table(table), ..) => in_table(table, within, spans),
            (_, Around::Login, "user" | "oauth2") => {}
            (_, Around::Password, "file" | "command") => {}
            (DeValue::String(text), Around::Password, "env") if is_variable(text) => {}
            _ if within != Around::Nothing => spans.push(value.span()),
            (DeValue::Array(list), ..) => {
                let tables = list.iter().filter_map(|value| value.get_ref().as_table());
                tables.for_each(|table| in_table(table, within, spans));
            }
            _ => {}
        }
    }
}

/// Whether this is the name of an environment variable rather than a password put in its place.
pub(super) fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// One character for one, of the same length in UTF-8. Lines and quotes stay where they are.
fn blot(c: char) -> char {
    match (c, c.len_utf8()) {
        ('\n' | '\r' | '\'' | '"', _) => c,
        (_, 1) => '*',
        (_, 2) => '·',
        (_, 3) => '•',
        _ => '🔒',
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::mask;

    fn masked(text: &str) -> String {
        let (document, _) = DeTable::parse_recoverable(text);
        let masked = mask(text, document.get_ref());
        assert_eq!(masked.len(), text.len());
        assert_eq!(masked.chars().count(), text.chars().count());
        masked
    }

    #[test]
    fn where_a_password_is_stays_readable() {
        for text in [
            "login = { user = \"me\", password = { env = \"SECRET_NAME\" } }",
            "login = { user = \"me\", password = { file = \"/run/secret\" } }",
            "login = { user = \"me\", password = { command = [\"pass\", \"show\"] } }",
            "imap = \"imaps://mail.example.com\"",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn a_password_is_masked_wherever_it_stands() {
        for text in [
            "login = { user = \"me\", password = \"hunter2\" }",
            "login = { user = \"me\", pasword = \"hunter2\" }",
            "login = { user = \"me\", secret = \"hunter2\" }",
            "login = { user = \"me\", password = { inline = \"hunter2\" } }",
            "login = { user = \"me\", password = { env = \"hunter2!\" } }",
            "login = { user = \"me\", password = \"\"\"\nhunter2\"\"\" }",
            "login = { user = \"me\", password = \"hunter2 }",
            "login = { user = \"me\", password = 'hunter2 }",
            "login = { user = \"me\", password = hunter2 }",
            "login.password = \"hunter2\"",
            "login = \"hunter2\"",
            "login = { password = \"\\\"hunter2\" }",
            "[users.anna]\npassword = \"hunter2\"",
            "with = { password = \"hunter2\" }",
            "[[",
            "login = { password = [\"hunter2\"] }",
            "imap = \"imaps://me:hunter2@mail.example.com\"",
            "imap = \"imaps://me:hun/hunter2@mail.example.com",
            "password = \"\"\"\nx\nhunter2",
        ] {
            assert!(!masked(text).contains("hunter2"), "{}", masked(text));
        }
    }

    #[test]
    fn offsets_and_columns_stand() {
        let text = "login = { password = \"h\u{e4}\u{20ac}\u{1f600}\", user = 1 }";
        assert_eq!(masked(text).find("user = 1"), text.find("user = 1"));
    }
}
