//! Reading address fields (RFC 5322 section 3.4): leniently, in one pass, and so that nothing an
//! encoded word holds is ever taken for an address.

use std::iter::Peekable;
use std::str::CharIndices;

use super::{Address, field, word};

/// All mailboxes of one field. Groups are flattened, an empty group gives none; what has no
/// address gives its name alone.
pub(super) fn parse(value: &[u8]) -> Vec<Address> {
    let text = field::unfold(value);
    let mut parser =
        Parser { text: &text, chars: text.char_indices().peekable(), current: Current::default() };
    parser.run()
}

/// What was read of the mailbox that the parser stands in.
#[derive(Default)]
struct Current {
    /// Display name, or the address where there are no angle brackets.
    phrase: String,
    comment: String,
    angle: Option<String>,
}

struct Parser<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    current: Current,
}

impl Parser<'_> {
    fn run(&mut self) -> Vec<Address> {
        let mut list = Vec::new();
        while let Some((at, c)) = self.chars.next() {
            match c {
                ',' | ';' => list.extend(self.current.finish()),
                // The name of a group. A colon after an address is dirt.
                ':' if self.current.angle.is_none() && !self.current.phrase.contains('@') => {
                    self.current = Current::default();
                }
                '<' => {
                    // Two addresses in one place: a rule sees both.
                    if self.current.angle.is_some() {
                        list.extend(self.current.finish());
                    }
                    let angle = self.angle(at + 1);
                    self.current.angle = Some(angle);
                }
                '"' => self.quoted(),
                '(' => self.comment(),
                _ => self.current.phrase.push(c),
            }
        }
        list.extend(self.current.finish());
        list
    }

    /// Up to `>`. Where that is missing, a comma ends it, except within a route.
    fn angle(&mut self, start: usize) -> String {
        let is_route = matches!(self.chars.peek(), Some((_, '@')));
        let mut end = self.text.len();
        let mut quoted = false;
        while let Some(&(at, c)) = self.chars.peek() {
            if !quoted && (c == '>' || c == '<' || (c == ',' && !is_route)) {
                end = at;
                if c == '>' {
                    self.chars.next();
                }
                break;
            }
            quoted ^= c == '"';
            self.chars.next();
        }
        let inside = &self.text[start..end];
        let address = match inside.split_once(':') {
            Some((_, address)) if is_route => address,
            _ => inside,
        };
        address.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect()
    }

    /// A quoted string. In front of `@` it is a local part and keeps its quotes.
    fn quoted(&mut self) {
        let mut inside = String::new();
        let mut written = String::from('"');
        while let Some((_, c)) = self.chars.next() {
            written.push(c);
            match c {
                '"' => break,
                '\\' => {
                    if let Some((_, escaped)) = self.chars.next() {
                        written.push(escaped);
                        inside.push(escaped);
                    }
                }
                _ => inside.push(c),
            }
        }
        let is_local_part = matches!(self.chars.peek(), Some((_, '@')));
        let phrase = &mut self.current.phrase;
        if is_local_part {
            phrase.push_str(&written);
        } else {
            if !phrase.is_empty() && !phrase.ends_with(' ') {
                phrase.push(' ');
            }
            phrase.push_str(&inside);
            phrase.push(' ');
        }
    }

    /// A comment. Nested ones are counted, not recursed into.
    fn comment(&mut self) {
        let mut depth = 1u32;
        let comment = &mut self.current.comment;
        while let Some((_, c)) = self.chars.next() {
            match c {
                '(' => depth = depth.saturating_add(1),
                ')' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                '\\' => {
                    if let Some((_, escaped)) = self.chars.next() {
                        comment.push(escaped);
                    }
                    continue;
                }
                _ => {}
            }
            comment.push(c);
        }
    }
}

impl Current {
    /// The mailbox read so far; afterwards the next one begins.
    fn finish(&mut self) -> Option<Address> {
        let Self { phrase, comment, angle } = std::mem::take(self);
        let (name, address) = match angle {
            Some(address) => (phrase, address),
            None => split_bare(&phrase),
        };
        let name = Some(word::decode(&name)).filter(|name| !name.is_empty());
        let name = name.or_else(|| Some(word::decode(&comment)).filter(|name| !name.is_empty()));
        let is_nothing = address.is_empty() && name.is_none();
        (!is_nothing).then_some(Address { name, address })
    }
}

/// Name and address of a mailbox without angle brackets: the word with an `@` is the address.
fn split_bare(phrase: &str) -> (String, String) {
    let phrase = phrase.trim();
    if !phrase.contains('@') {
        return (phrase.to_owned(), String::new());
    }
    if phrase.starts_with('"') || !phrase.contains(char::is_whitespace) {
        return (String::new(), phrase.to_owned());
    }
    let mut address = "";
    let mut name = String::new();
    for part in phrase.split_whitespace() {
        if part.contains('@') && address.is_empty() {
            address = part;
            continue;
        }
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(part);
    }
    (name, address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[track_caller]
    fn case(value: &str, expected: &[(&str, &str)]) {
        let found: Vec<(String, String)> = parse(value.as_bytes())
            .into_iter()
            .map(|one| (one.name.unwrap_or_default(), one.address))
            .collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, address)| ((*name).into(), (*address).into())).collect();
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn the_usual_forms() {
        case("a@b.de", &[("", "a@b.de")]);
        case("Anna <a@b.de>, <c@d.de>", &[("Anna", "a@b.de"), ("", "c@d.de")]);
        case("\"Weiß, Anna\" <a@b.de>", &[("Weiß, Anna", "a@b.de")]);
        case("a@b.de (Anna (Chefin))", &[("Anna (Chefin)", "a@b.de")]);
        case("=?utf-8?Q?Anna_Wei=C3=9F?= <a@b.de>", &[("Anna Weiß", "a@b.de")]);
        case("\"=?utf-8?Q?Wei=C3=9F?=\" <a@b.de>", &[("Weiß", "a@b.de")]);
        case("\"a b\"@c.de", &[("", "\"a b\"@c.de")]);
    }

    #[test]
    fn groups_routes_and_broken_ones() {
        case("Team: a@b.de, C <c@d.de>;", &[("", "a@b.de"), ("C", "c@d.de")]);
        case("undisclosed-recipients:;", &[]);
        case("<@x.de,@y.de:a@b.de>", &[("", "a@b.de")]);
        case("Anna <a@b.de, C <c@d.de>", &[("Anna", "a@b.de"), ("C", "c@d.de")]);
        case("a@b.de; c@d.de", &[("", "a@b.de"), ("", "c@d.de")]);
        case("Anna a@b.de", &[("Anna", "a@b.de")]);
        case("Anna", &[("Anna", "")]);
        case("<>", &[]);
        case("\"a\" <x@y.de> <c@d.de>", &[("a", "x@y.de"), ("", "c@d.de")]);
        case(", ,", &[]);
    }

    #[test]
    fn an_encoded_address_stays_a_name() {
        case("=?utf-8?Q?boss=40firm.de?= <evil@x.de>", &[("boss@firm.de", "evil@x.de")]);
        case("=?utf-8?Q?=3Ca=40b.de=3E?=", &[("<a@b.de>", "")]);
    }
}
