//! HTML as pieces of text and tags, in one pass. Comments, styles and scripts are passed over.

use std::ops::Range;

use super::lines::find;

/// A piece of a document; ranges count from its start.
#[derive(Debug)]
pub(super) enum Piece {
    Text(Range<usize>),
    Tag(Tag),
}

#[derive(Debug)]
pub(super) struct Tag {
    /// From `<` to behind `>`.
    pub(super) range: Range<usize>,
    /// In lower case.
    pub(super) name: String,
    pub(super) is_end: bool,
}

/// Bytes of a tag in which attributes are looked for.
const MOST_LOOKED_AT: usize = 2000;

/// The longest name that is told; longer ones are no names of HTML.
const MOST_NAME: usize = 20;

impl Tag {
    /// Its text in lower case without blanks, so that attributes compare however they are written.
    pub(super) fn squeezed(&self, html: &[u8]) -> String {
        let range = self.range.start..self.range.end.min(self.range.start + MOST_LOOKED_AT);
        let text = html[range].iter().filter(|byte| !byte.is_ascii_whitespace());
        text.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
    }
}

/// The pieces of a document.
pub(super) struct Pieces<'a> {
    html: &'a [u8],
    at: usize,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(html: &'a [u8]) -> Self {
        Self { html, at: 0 }
    }

    /// Where this byte comes next, or the end.
    fn next_byte(&self, byte: u8, from: usize) -> Option<usize> {
        let rest = self.html.get(from..)?;
        rest.iter().position(|found| *found == byte).map(|at| from + at)
    }

    /// Goes behind the end tag of an element whose content nobody reads.
    fn pass_over(&mut self, name: &str) {
        while let Some(end) = find(&self.html[self.at..], b"</").map(|end| self.at + end) {
            let after = &self.html[end + 2..];
            let is_it =
                after.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()));
            self.at = end + 2;
            if is_it {
                self.at = self.next_byte(b'>', self.at).map_or(self.html.len(), |end| end + 1);
                return;
            }
        }
        self.at = self.html.len();
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            let start = self.at;
            let rest = self.html.get(start..).filter(|rest| !rest.is_empty())?;
            if rest.starts_with(b"<!--") {
                let end = find(&rest[4..], b"-->").map_or(rest.len(), |end| end + 7);
                self.at = start + end;
                continue;
            }
            let is_tag = rest[0] == b'<'
                && rest.get(1).is_some_and(|next| {
                    next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?')
                });
            if !is_tag {
                let end = self.next_byte(b'<', start + 1).unwrap_or(self.html.len());
                self.at = end;
                return Some(Piece::Text(start..end));
            }
            let end = self.next_byte(b'>', start).map_or(self.html.len(), |end| end + 1);
            self.at = end;
            let is_end = rest[1] == b'/';
            let name = &rest[if is_end { 2 } else { 1 }..end - start];
            let name = name.iter().take(MOST_NAME).take_while(|byte| byte.is_ascii_alphanumeric());
            let name: String = name.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
            if !is_end && matches!(name.as_str(), "style" | "script" | "title") {
                self.pass_over(&name);
            }
            return Some(Piece::Tag(Tag { range: start..end, name, is_end }));
        }
    }
}
