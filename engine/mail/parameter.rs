//! A structured value with parameters, as in Content-Type (RFC 2045 section 5.1), with the
//! extended and continued parameters of RFC 2231.
//!
//! Written here because mail-parser 0.11.9 loses parameters folded after `=` and the charset of
//! continued ones.

use std::collections::HashMap;

use super::{charset, transfer, word};

/// The value before the first `;`, and the parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Lower case, without comments and blanks.
    pub(super) value: String,
    /// Names in lower case, in order of their first appearance.
    list: Vec<(String, String)>,
}

/// Longer values are cut: no honest one comes near.
const MOST_VALUE: usize = 64 << 10;

/// More parameters than this are not read.
const MOST_PARAMETERS: usize = 200;

impl Parameters {
    /// Parses an unfolded value.
    pub(super) fn parse(text: &str) -> Self {
        let text = charset::cut(text, MOST_VALUE);
        let (value, rest) = text.split_once(';').unwrap_or((text, ""));
        Self { value: bare(value), list: join(segments(rest)) }
    }

    /// The first parameter of this name (lower case), decoded.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One written parameter: `name*1*=value` has name, number 1 and is percent-encoded.
struct Segment {
    name: String,
    number: u32,
    /// Written with `*`: RFC 2231 goes before a plain one of the same name.
    extended: bool,
    encoded: bool,
    value: String,
}

fn segments(text: &str) -> Vec<Segment> {
    let mut rest = text;
    let mut list = Vec::new();
    while list.len() < MOST_PARAMETERS {
        rest = rest.trim_start_matches(|c: char| c == ';' || c.is_whitespace());
        if rest.is_empty() {
            break;
        }
        let Some(end) = rest.find(['=', ';']) else { break };
        let name = without_comment(&rest[..end]).trim().to_ascii_lowercase();
        let is_named = rest[end..].starts_with('=');
        rest = &rest[end + 1..];
        if is_named {
            let (value, after) = value(rest.trim_start());
            rest = after;
            list.push(segment(&name, value));
        }
    }
    list
}

fn segment(written: &str, value: String) -> Segment {
    let (name, marks) = written.split_once('*').unwrap_or((written, ""));
    let number = marks.trim_end_matches('*').parse().unwrap_or(0);
    let extended = name.len() < written.len();
    Segment { name: name.into(), number, extended, encoded: written.ends_with('*'), value }
}

/// A quoted string or what stands up to the next `;`, and the rest.
fn value(text: &str) -> (String, &str) {
    let Some(inside) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return (without_comment(&text[..end]).trim().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &inside[at + 1..]),
            '\\' => match chars.next() {
                // Windows paths are written without doubled backslashes.
                Some((_, escaped)) if matches!(escaped, '"' | '\\') => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            _ => value.push(c),
        }
    }
    (value, "")
}

/// Joins continued parameters and decodes extended ones.
fn join(segments: Vec<Segment>) -> Vec<(String, String)> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Vec<Segment>> = Vec::new();
    for segment in segments {
        let place = *places.entry(segment.name.clone()).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(segment);
    }
    groups.into_iter().filter_map(join_one).collect()
}

/// One parameter of its segments, with its name.
fn join_one(mut segments: Vec<Segment>) -> Option<(String, String)> {
    segments.sort_by_key(|segment| segment.number);
    let first = segments.first()?;
    let value = match segments.iter().any(|segment| segment.extended) {
        true => decode_extended(segments.iter().filter(|segment| segment.extended)),
        false => word::decode(&first.value),
    };
    Some((first.name.clone(), value))
}

/// RFC 2231 sections 3 and 4: the first encoded segment names charset and language.
fn decode_extended<'a>(segments: impl Iterator<Item = &'a Segment>) -> String {
    let mut label = String::new();
    let mut bytes = Vec::new();
    for segment in segments {
        let mut written = segment.value.as_str();
        if segment.encoded && segment.number == 0 {
            let mut quoted = written.splitn(3, '\'');
            if let (Some(charset), Some(_), Some(text)) =
                (quoted.next(), quoted.next(), quoted.next())
            {
                label = charset.to_owned();
                written = text;
            }
        }
        if segment.encoded {
            bytes.extend(transfer::percent(written.as_bytes()));
        } else {
            bytes.extend_from_slice(written.as_bytes());
        }
    }
    charset::clean(&charset::decode(&label, &bytes))
}

/// Cuts a comment off the end. A parenthesis within is part of the value: `name=Plan (2).pdf`.
fn without_comment(text: &str) -> &str {
    if !text.trim_end().ends_with(')') {
        return text;
    }
    let is_comment = |at: usize| at == 0 || text[..at].ends_with(char::is_whitespace);
    text.match_indices('(').find(|(at, _)| is_comment(*at)).map_or(text, |(at, _)| &text[..at])
}

/// The media type or disposition: no comments, no blanks, lower case.
fn bare(text: &str) -> String {
    let mut depth = 0u32;
    let mut bare = String::new();
    for c in text.chars() {
        match c {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && !c.is_whitespace() => bare.push(c.to_ascii_lowercase()),
            _ => {}
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::Parameters;

    #[track_caller]
    fn case(text: &str, name: &str, expected: &str) {
        assert_eq!(Parameters::parse(text).get(name), Some(expected), "{text}");
    }

    #[test]
    fn plain_quoted_and_folded_after_the_equals_sign() {
        case("multipart/mixed; boundary=abc", "boundary", "abc");
        case("Multipart / Mixed (x); BOUNDARY = \"a;b\\\"c\" ; x=y", "boundary", "a;b\"c");
        case("text/plain; charset=utf-8 (Unicode)", "charset", "utf-8");
        case("a/b; name=Plan (2).pdf", "name", "Plan (2).pdf");
        case("a/b; name=Plan(2).pdf; x", "name", "Plan(2).pdf");
        case("a/b; name=\"C:\\neu\\Plan.pdf\"", "name", "C:\\neu\\Plan.pdf");
        assert_eq!(Parameters::parse("Text / HTML ; x=1").value, "text/html");
    }

    #[test]
    fn extended_and_continued() {
        case("attachment; filename*=utf-8'de'%C3%9Cbersicht.pdf", "filename", "Übersicht.pdf");
        case(
            "attachment; filename*0=\"Über\"; filename*1=\"sicht.pdf\"",
            "filename",
            "Übersicht.pdf",
        );
        case(
            "attachment; filename*1*=%FCr.pdf; filename*0*=iso-8859-1''Gr%FCn%20f",
            "filename",
            "Grün für.pdf",
        );
        case("attachment; filename=\"a.exe\"; filename*=utf-8''b.pdf", "filename", "b.pdf");
        case("a/b; name=\"=?iso-8859-1?Q?=DCbung.pdf?=\"", "name", "Übung.pdf");
    }
}
