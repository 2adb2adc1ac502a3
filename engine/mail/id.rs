//! Message-IDs as they stand in fields (RFC 5322 section 3.6.4).

use super::{charset, field, word};

/// All ids of a field's value, without angle brackets: every `<…>`, whatever stands between them.
/// A value that is one bare word with an `@` is an id that lost its brackets.
pub(super) fn all(value: &[u8]) -> Vec<String> {
    let mut text = field::unfold(value);
    if !text.contains('<') && text.contains("=?") {
        // Some servers encode long References as if they were text.
        text = word::decode(&text);
    }
    let ids: Vec<String> = bracketed(&text).collect();
    if ids.is_empty() && is_bare(&text) {
        return vec![charset::clean(&text)];
    }
    ids
}

/// The last `<…>` of a value, else all of it (List-Id, RFC 2919).
pub(super) fn last_or_all(value: &[u8]) -> String {
    let text = word::decode_value(value);
    bracketed(&text).last().unwrap_or(text)
}

fn bracketed(text: &str) -> impl Iterator<Item = String> {
    text.split('<').skip(1).filter_map(|after| {
        let (inside, _) = after.split_once('>')?;
        // Long ids are folded by some programs; no id holds a blank.
        let id: String = inside.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
        (!id.is_empty()).then_some(id)
    })
}

fn is_bare(text: &str) -> bool {
    text.contains('@') && !text.contains(char::is_whitespace) && !text.contains(['<', '>'])
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn all_tokens_are_taken_and_nothing_else() {
        assert_eq!(all(b" <a@b>\r\n\t<c@d>,<e@f> (x)\r\n"), ["a@b", "c@d", "e@f"]);
        assert_eq!(all(b"Your message of Monday <a@b>"), ["a@b"]);
        assert_eq!(all(b"<long\r\n -id@b>"), ["long-id@b"]);
        assert_eq!(all(b"a@b"), ["a@b"]);
        assert_eq!(all(b"=?us-ascii?Q?=3Ca=40b=3E?="), ["a@b"]);
        assert!(all(b"<> < > <open").is_empty());
        assert!(all(b"Your message of Monday").is_empty());
    }
}
