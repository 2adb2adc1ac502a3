//! Header fields as they lie in the bytes: where each begins, what it is called, where it ends
//! (RFC 5322 section 2.2). Every read and every edit goes by this one scan.

use std::borrow::Cow;
use std::io::BufRead;
use std::ops::Range;

use super::charset;

/// One field. All offsets count from the start of the scanned bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    name: Range<usize>,
    value: usize,
    end: usize,
}

impl Field {
    /// The whole field: name, value, continuation lines, final line end.
    pub(super) fn range(&self) -> Range<usize> {
        self.name.start..self.end
    }

    pub(super) fn is(&self, bytes: &[u8], name: &str) -> bool {
        bytes[self.name.clone()].eq_ignore_ascii_case(name.as_bytes())
    }

    /// The bytes after the colon, folding and final line end included.
    pub(super) fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.value..self.end]
    }
}

/// The fields of a header block, top first.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    list: Vec<Field>,
    top: usize,
    body: usize,
}

impl Fields {
    /// Scans up to the first empty line, or to the end. A line that is neither a field nor the
    /// continuation of one is passed over, together with its own continuation lines.
    pub(super) fn scan(bytes: &[u8]) -> Self {
        let mut list: Vec<Field> = Vec::new();
        let mut top = None;
        let mut at = 0;
        // Whether a continuation line belongs to the last field or to a line that is none.
        let mut in_field = false;
        while at < bytes.len() {
            let end = line_end(bytes, at);
            let line = &bytes[at..end];
            if is_empty_line(line) {
                return Self { list, top: top.unwrap_or(at), body: end };
            }
            if matches!(line[0], b' ' | b'\t') {
                if let Some(field) = list.last_mut().filter(|_| in_field) {
                    field.end = end;
                }
            } else if let Some((name, colon)) = name_of(line) {
                list.push(Field { name: at..at + name, value: at + colon + 1, end });
                top.get_or_insert(at);
                in_field = true;
            } else {
                in_field = false;
                if !is_mbox_line(at, line) {
                    top.get_or_insert(at);
                }
            }
            at = end;
        }
        Self { list, top: top.unwrap_or(at), body: at }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.list.iter()
    }

    /// The fields of a name, in any case, top first.
    pub(super) fn named<'a>(
        &'a self,
        bytes: &'a [u8],
        name: &'a str,
    ) -> impl Iterator<Item = &'a Field> {
        self.list.iter().filter(move |field| field.is(bytes, name))
    }

    /// Where a new field may stand above all others: below an mbox line, and never in front of a
    /// continuation line, which would join it.
    pub(super) fn top(&self) -> usize {
        self.top
    }

    /// Where the body begins, after the empty line.
    pub(super) fn body(&self) -> usize {
        self.body
    }
}

/// The value as one line of text: 8-bit bytes decoded, folding undone, otherwise as written.
pub(super) fn unfold(value: &[u8]) -> String {
    let text: Cow<'_, str> = charset::guess(value);
    let mut lines = text.split('\n');
    let mut line = lines.next().unwrap_or_default().trim().to_owned();
    for more in lines.map(str::trim).filter(|more| !more.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(more);
    }
    line
}

/// The offset after the next line feed at or after `from`, or the end.
pub(super) fn line_end(bytes: &[u8], from: usize) -> usize {
    let mut rest = bytes.get(from..).unwrap_or_default();
    // Reading from a slice cannot fail; skip_until is the standard library's fast search.
    rest.skip_until(b'\n').map_or(bytes.len(), |length| from + length)
}

/// Whether a line ends the header: nothing but its line end. `\r\r\n` is what some gateways make
/// of CRLF.
pub(super) fn is_empty_line(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

/// Length of the field name and place of the colon. Blanks before the colon are obsolete syntax
/// (RFC 5322 section 4.5) that readers accept, so a receipt request may hide behind it.
fn name_of(line: &[u8]) -> Option<(usize, usize)> {
    let name = line.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b':')?;
    let blanks = line[name..].iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    let colon = name + blanks;
    (name > 0 && line[colon] == b':').then_some((name, colon))
}

/// The `From ` line that mbox files put before each message.
fn is_mbox_line(at: usize, line: &[u8]) -> bool {
    at == 0 && (line.starts_with(b"From ") || line.starts_with(b">From "))
}
