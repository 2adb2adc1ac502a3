//! What imap-proto cannot take is repaired or dropped before it gets there.
//!
//! One line that its parser refuses ends an async-imap stream, and two kinds of lines make it
//! panic. Every response is therefore parsed on trial here first. A line that a command's answer
//! is made of is never dropped silently: it is repaired, or it is an error.

use super::frame::{is_fetch, is_status};

/// What becomes of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// These bytes parse, final CRLF included.
    Pass(Vec<u8>),
    /// Nothing that we asked for.
    Drop,
}

/// Makes a response parse, or says why the connection cannot go on.
///
/// # Errors
/// A response that matters is not understood: its beginning.
pub(super) fn repair(text: &[u8]) -> Result<Verdict, String> {
    if text.is_empty() {
        return Ok(Verdict::Drop);
    }
    let kind = Kind::of(text);
    let mut bytes = match kind {
        Kind::Capability => capability(text),
        Kind::Search => search(text),
        Kind::List => list(text).unwrap_or_else(|| text.to_vec()),
        Kind::Fetch => fetch(text),
        Kind::Status | Kind::Count => status(text),
        Kind::Other => text.to_vec(),
    };
    bytes.extend_from_slice(b"\r\n");
    let too_deep = matches!(kind, Kind::Fetch | Kind::Other) && depth(text) > DEEPEST;
    if !too_deep && parses(&bytes) {
        return Ok(Verdict::Pass(bytes));
    }
    match kind {
        // A FETCH that is asked for and missing is noticed above, with its UID.
        Kind::Other | Kind::Fetch => Ok(Verdict::Drop),
        _ => Err(format!(
            "a response that is not understood: \"{}\"",
            String::from_utf8_lossy(&text[..text.len().min(160)]).escape_debug()
        )),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Capability,
    Search,
    List,
    Fetch,
    /// Tagged, untagged or continuation, with text for people.
    Status,
    /// EXISTS, EXPUNGE
    Count,
    Other,
}

impl Kind {
    fn of(text: &[u8]) -> Self {
        let Some(rest) = text.strip_prefix(b"* ") else { return Self::Status };
        if is_status(text) {
            return Self::Status;
        }
        if is_fetch(text) {
            return Self::Fetch;
        }
        let mut words = rest.split(|byte| *byte == b' ').map(<[u8]>::to_ascii_uppercase);
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (first.as_slice(), second.as_slice()) {
            (b"CAPABILITY", _) => Self::Capability,
            (b"SEARCH", _) => Self::Search,
            (b"LIST", _) => Self::List,
            (_, b"EXISTS" | b"EXPUNGE") => Self::Count,
            _ => Self::Other,
        }
    }
}

/// Lists within lists: the parser is recursive for structures that we never ask for, and a server
/// could exhaust the stack with them. What we ask for needs two.
const DEEPEST: usize = 8;

fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Whether the parser takes these bytes as exactly one response. Its known panics are repaired
/// beforehand; one that is not known must not end the engine.
fn parses(bytes: &[u8]) -> bool {
    std::panic::catch_unwind(|| {
        imap_proto::Response::parse(bytes).is_ok_and(|(rest, _)| rest.is_empty())
    })
    .unwrap_or(false)
}

/// Blanks in a row, and no `IMAP4rev1` (an IMAP4rev2 server).
fn capability(text: &[u8]) -> Vec<u8> {
    let mut words: Vec<&[u8]> = words(text).collect();
    if !words.iter().any(|word| word.eq_ignore_ascii_case(b"IMAP4rev1")) {
        words.push(b"IMAP4rev1");
    }
    words.join(&b' ')
}

/// Blanks in a row, and `(MODSEQ n)` at the end (RFC 7162).
fn search(text: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> = words(text).take_while(|word| !word.starts_with(b"(")).collect();
    words.join(&b' ')
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// The name as a literal, because the parser does not undo quoting and stops at some characters of
/// unquoted names; extended data (RFC 5258) cut off.
fn list(text: &[u8]) -> Option<Vec<u8>> {
    let attributes_end = element_end(text, b"* LIST ".len())?;
    let delimiter_start = skip_blanks(text, attributes_end);
    let delimiter_end = element_end(text, delimiter_start)?;
    let name_start = skip_blanks(text, delimiter_end);
    let name = unquoted(&text[name_start..element_end(text, name_start)?]);
    let mut bytes = text[..attributes_end].to_vec();
    bytes.push(b' ');
    bytes.extend_from_slice(&text[delimiter_start..delimiter_end]);
    bytes.extend_from_slice(format!(" {{{}}}\r\n", name.len()).as_bytes());
    bytes.extend_from_slice(&name);
    Some(bytes)
}

fn skip_blanks(text: &[u8], at: usize) -> usize {
    at + text[at.min(text.len())..].iter().take_while(|byte| **byte == b' ').count()
}

/// The end of the atom, quoted string, literal or parenthesised list that begins here.
fn element_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => quoted_end(text, at),
        b'{' => literal_end(text, at),
        b'(' => list_end(text, at),
        _ => {
            let length = text[at..].iter().position(|byte| *byte == b' ');
            Some(length.map_or(text.len(), |length| at + length))
        }
    }
}

fn quoted_end(text: &[u8], at: usize) -> Option<usize> {
    let mut bytes = text.iter().enumerate().skip(at + 1);
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(index + 1),
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    None
}

fn literal_end(text: &[u8], at: usize) -> Option<usize> {
    let close = at + text[at..].iter().position(|byte| *byte == b'}')?;
    let digits = text[at + 1..close].strip_suffix(b"+").unwrap_or(&text[at + 1..close]);
    let size: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let end = (close + 3).checked_add(size)?;
    (end <= text.len()).then_some(end)
}

/// Not recursive: depth is the server's to choose.
fn list_end(text: &[u8], at: usize) -> Option<usize> {
    let (mut at, mut depth) = (at, 0_usize);
    loop {
        match text.get(at)? {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            b'"' => {
                at = quoted_end(text, at)?;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

fn unquoted(element: &[u8]) -> Vec<u8> {
    match element.first() {
        Some(b'"') => unescaped(&element[1..element.len() - 1]),
        Some(b'{') => {
            let start = element.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            element[start..].to_vec()
        }
        _ => element.to_vec(),
    }
}

/// The content of a quoted string with its backslashes undone (RFC 9051 section 4.3).
pub(super) fn unescaped(quoted: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        let byte = if *byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte };
        plain.push(*byte);
    }
    plain
}

/// `INTERNALDATE NIL` makes the parser panic; an item of an unknown name is passed over. Quoted
/// strings are left alone.
fn fetch(text: &[u8]) -> Vec<u8> {
    const NIL: &[u8] = b"INTERNALDATE NIL";
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.get(..NIL.len()).is_some_and(|start| start.eq_ignore_ascii_case(NIL)) {
            bytes.extend_from_slice(b"X-NODATE NIL");
            at += NIL.len();
            continue;
        }
        let next =
            if rest[0] == b'"' { quoted_end(text, at).unwrap_or(text.len()) } else { at + 1 };
        bytes.extend_from_slice(&text[at..next]);
        at = next;
    }
    bytes
}

/// The parser cuts one byte after a response code and panics where that is no character.
fn status(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    for (index, byte) in text.iter().enumerate() {
        bytes.push(*byte);
        if *byte == b']' && text.get(index + 1).is_some_and(|next| !next.is_ascii()) {
            bytes.push(b' ');
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(text: &str) -> String {
        match repair(text.as_bytes()) {
            Ok(Verdict::Pass(bytes)) => String::from_utf8(bytes).unwrap(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn repairs_what_servers_really_send() {
        assert_eq!(passed("* CAPABILITY IMAP4rev1  IDLE "), "* CAPABILITY IMAP4rev1 IDLE\r\n");
        assert_eq!(passed("* CAPABILITY IMAP4rev2"), "* CAPABILITY IMAP4rev2 IMAP4rev1\r\n");
        assert_eq!(passed("* SEARCH 1  2 (MODSEQ 9)"), "* SEARCH 1 2\r\n");
        assert_eq!(passed("* SEARCH"), "* SEARCH\r\n");
        assert_eq!(
            passed("* LIST (\\HasChildren) \"/\" \"a \\\"b\" (\"CHILDINFO\" (\"SUBSCRIBED\"))"),
            "* LIST (\\HasChildren) \"/\" {4}\r\na \"b\r\n"
        );
        assert_eq!(passed("* LIST () NIL 100%"), "* LIST () NIL {4}\r\n100%\r\n");
        assert_eq!(
            passed("* 1 FETCH (UID 3 INTERNALDATE NIL FLAGS ())"),
            "* 1 FETCH (UID 3 X-NODATE NIL FLAGS ())\r\n"
        );
        assert_eq!(passed("* OK [ALERT]\u{e9}t\u{e9}"), "* OK [ALERT] \u{e9}t\u{e9}\r\n");
        assert_eq!(passed("* NO [BADCHARSET (a] b)]\u{e9}"), "* NO [BADCHARSET (a] b)] \u{e9}\r\n");
        passed("* BYE");
        passed("x1 OK");
        passed("+");
        passed("+ ");
    }

    #[test]
    fn drops_what_nobody_asked_for() {
        for text in [
            "* NAMESPACE ((\"\" \"/\")) NIL NIL",
            "* ESEARCH (TAG \"A1\") UID ALL 4:19",
            "* STATUS x (SIZE 5)",
            "* ID ()",
            "* 1 FETCH ()",
            "* WHATEVER (1 (2 (3",
            "* ",
            "",
        ] {
            assert_eq!(repair(text.as_bytes()), Ok(Verdict::Drop), "{text}");
        }
    }

    #[test]
    fn an_answer_that_is_not_understood_is_an_error() {
        for text in ["* SEARCH one", "* x EXISTS", "* LIST nonsense", "tag MAYBE", "garbage"] {
            repair(text.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn deep_nesting_does_not_reach_the_recursive_parser() {
        for start in ["* 1 FETCH (BODYSTRUCTURE ", "* 1 FETCH (UID 1 BODY ", "* X "] {
            let text = format!("{start}{}", "(".repeat(500_000));
            assert_eq!(repair(text.as_bytes()), Ok(Verdict::Drop));
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let seeds: [&[u8]; 6] = [
            b"* LIST (\\A) \"/\" {4}\r\na\"b\\",
            b"* 1 FETCH (UID 3 INTERNALDATE \"NIL\" BODY[] \"n.0\")",
            b"* OK [COPYUID 1 2:3 4:5] \xc3\xa9",
            b"* SEARCH 1 2 3 (MODSEQ 4)",
            b"* CAPABILITY IMAP4rev1 AUTH=PLAIN",
            b"tag NO [TRYCREATE] no",
        ];
        for seed in seeds {
            for at in 0..seed.len() {
                drop(repair(&seed[..at]));
                for byte in [0_u8, b' ', b'"', b'(', b')', b'{', b'}', b']', b'\\', 0xc3, 0xff] {
                    let mut changed = seed.to_vec();
                    changed[at] = byte;
                    drop(repair(&changed));
                }
            }
        }
    }
}
