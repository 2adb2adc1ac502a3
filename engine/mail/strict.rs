//! Addresses of fields that must mean the same to every reader: those that a right depends on.

use super::field;
use super::{Address, address_list};

/// The mailboxes of one field; `None` where readers could differ on what addresses it has: each `@`
/// outside of quotes and comments must belong to one of them.
pub(super) fn parse(value: &[u8]) -> Option<Vec<Address>> {
    let text = field::unfold(value);
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    let addresses = address_list::parse(value);
    (bare_ats(&text)? == addresses.len()).then_some(addresses)
}

/// How many `@` stand outside of quotes and comments; `None` where one of these, or an
/// angle bracket, is not closed.
fn bare_ats(text: &str) -> Option<usize> {
    let (mut count, mut quoted, mut depth, mut escaped) = (0, false, 0_usize, false);
    let mut angle = false;
    for c in text.chars() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' => escaped = quoted || depth > 0,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.checked_sub(1)?,
            '@' if !quoted && depth == 0 => count += 1,
            '<' | '>' if !quoted && depth == 0 => {
                // They open and close in turn.
                if angle != (c == '>') {
                    return None;
                }
                angle = !angle;
            }
            _ => {}
        }
    }
    (!quoted && depth == 0 && !angle).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_is_clear_is_read() {
        for (value, addresses) in [
            ("a@b.de", &["a@b.de"][..]),
            ("\"boss@firm.de\" <a@b.de>", &["a@b.de"]),
            ("Anna (at home: a@c.de) <a@b.de>, b@b.de", &["a@b.de", "b@b.de"]),
            ("Team: a@b.de, b@b.de;", &["a@b.de", "b@b.de"]),
            ("undisclosed:;", &[]),
            ("=?utf-8?Q?Anna?= <a@b.de>", &["a@b.de"]),
            ("\"a b\"@b.de", &["\"a b\"@b.de"]),
        ] {
            let read = parse(value.as_bytes());
            let read = read.map(|all| all.into_iter().map(|one| one.address).collect::<Vec<_>>());
            assert_eq!(
                read.as_deref(),
                Some(&*addresses.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>()),
                "{value}"
            );
        }
    }

    #[test]
    fn what_readers_may_differ_on_is_not() {
        for value in [
            "boss@firm.de <a@b.de>",
            "<boss@firm.de> <a@b.de",
            "a@b.de@firm.de",
            "a@b.de boss@firm.de",
            "\"a@b.de",
            "(a@b.de",
            "a@b.de)",
            "<@firm.de:a@b.de>",
            "Anna",
            "a@b.de\0",
        ] {
            assert!(parse(value.as_bytes()).is_none(), "{value}");
        }
    }
}
