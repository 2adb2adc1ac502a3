//! The parts of a body (RFC 2046 section 5.1), found in one pass over its lines.
//!
//! Attached messages are parts like any other and are not taken apart: what they hold is not
//! content of this message.

use std::ops::Range;

use super::content::Content;
use super::field::{self, Fields};
use super::guard::{self, Excess};

/// One part. Ranges count from the start of the body.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) content: Content,
    /// Its header block with the empty line that ends it; empty for the message itself.
    pub(super) head: Range<usize>,
    /// Its written content, without the line end before the next delimiter.
    pub(super) body: Range<usize>,
    /// A multipart: its content is the parts that follow.
    pub(super) is_container: bool,
    /// The multipart that holds it.
    pub(super) parent: Option<usize>,
    /// A multipart: where the line of its closing delimiter begins, unless that is missing.
    pub(super) close: Option<usize>,
}

/// Takes a body apart. The first part is the message itself.
///
/// # Errors
/// The limit that it exceeds.
pub(super) fn parts(top: Content, body: &[u8]) -> Result<Vec<Part>, Excess> {
    guard::check_size(body.len())?;
    let mut walk = Walk { body, at: 0, head: 0..0, open: Vec::new(), parts: Vec::new() };
    let mut next = Some(top);
    while let Some(content) = next {
        next = walk.part(content)?;
    }
    Ok(walk.parts)
}

/// A multipart whose end has not been seen.
struct Open {
    boundary: Vec<u8>,
    default_type: &'static str,
    part: usize,
    has_parts: bool,
}

/// A delimiter line, and where the content before it ends.
struct Delimiter {
    content_end: usize,
    line: usize,
    level: usize,
    closes: bool,
}

struct Walk<'a> {
    body: &'a [u8],
    at: usize,
    /// The header block of the part that begins at `at`.
    head: Range<usize>,
    open: Vec<Open>,
    parts: Vec<Part>,
}

impl Walk<'_> {
    /// Takes the part that begins here, and gives the content fields of the one after it.
    fn part(&mut self, mut content: Content) -> Result<Option<Content>, Excess> {
        let start = self.at;
        guard::check_part(self.open.len(), self.parts.len())?;
        let parent = self.open.last().map(|open| open.part);
        let head = self.head.clone();
        let boundary = content.boundary().map(|boundary| boundary.as_bytes().to_vec());
        let is_container = boundary.is_some();
        if let Some(boundary) = boundary {
            let is_digest = content.media_type() == "multipart/digest";
            let default_type = if is_digest { "message/rfc822" } else { "text/plain" };
            let part = self.parts.len();
            self.open.push(Open { boundary, default_type, part, has_parts: false });
        } else if content.is_multipart() {
            content.demote();
        }
        let mut found = self.seek();
        let end = found.as_ref().map_or(self.body.len(), |found| found.content_end.max(start));
        self.parts.push(Part {
            content,
            head,
            body: start..end,
            is_container,
            parent,
            close: None,
        });
        loop {
            let Some(Delimiter { level, closes, line, .. }) = found else {
                self.close_to(0);
                return Ok(None);
            };
            self.close_to(level + 1);
            if !closes {
                return Ok(Some(self.part_header(level)));
            }
            let closed = self.open.get(level).map(|open| open.part);
            if let Some(part) = closed.and_then(|part| self.parts.get_mut(part)) {
                part.close = Some(line);
            }
            self.close_to(level);
            if self.open.is_empty() {
                return Ok(None);
            }
            found = self.seek();
        }
    }

    /// Goes past the next delimiter line of any open multipart.
    fn seek(&mut self) -> Option<Delimiter> {
        let mut line_start = self.at;
        if self.open.is_empty() {
            self.at = self.body.len();
            return None;
        }
        while line_start < self.body.len() {
            let line_end = field::line_end(self.body, line_start);
            if let Some((level, closes)) = self.delimiter(&self.body[line_start..line_end]) {
                self.at = line_end;
                let before = &self.body[..line_start];
                let before = before.strip_suffix(b"\n").unwrap_or(before);
                let content_end = before.strip_suffix(b"\r").unwrap_or(before).len();
                return Some(Delimiter { content_end, line: line_start, level, closes });
            }
            line_start = line_end;
        }
        self.at = self.body.len();
        None
    }

    /// Whether a line is a delimiter: of which open multipart, the innermost first, and whether it
    /// is the closing one.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let tail = line.strip_prefix(b"--")?;
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            let rest = tail.strip_prefix(open.boundary.as_slice())?.trim_ascii_end();
            let closes = rest.starts_with(b"--");
            (closes || rest.is_empty()).then_some((level, closes))
        })
    }

    /// Reads the header of the part that begins here.
    fn part_header(&mut self, level: usize) -> Content {
        self.open[level].has_parts = true;
        let start = self.at;
        let mut end = start;
        while end < self.body.len() {
            let line_end = field::line_end(self.body, end);
            let line = &self.body[end..line_end];
            // A part may be cut off within its header.
            if self.delimiter(line).is_some() {
                break;
            }
            end = line_end;
            if field::is_empty_line(line) {
                break;
            }
        }
        self.at = end;
        self.head = start..end;
        let head = &self.body[start..end];
        Content::of(head, &Fields::scan(head), self.open[level].default_type)
    }

    /// Ends the multiparts above a level. One that had no part is the text that it holds.
    fn close_to(&mut self, level: usize) {
        for open in self.open.drain(level.min(self.open.len())..) {
            if let Some(part) = self.parts.get_mut(open.part).filter(|_| !open.has_parts) {
                part.is_container = false;
                part.content.demote();
            }
        }
    }
}
