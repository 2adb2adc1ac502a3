//! Where a signature stands in plain text: below the newest text, above what it quotes.

use std::borrow::Cow;
use std::ops::Range;

use super::super::{charset, field};
use super::lines::{self, squeezed};
use super::marker::{self, Finder};

/// Lines that an attribution may be wrapped into.
const MOST_WRAPPED: usize = 3;

/// What is to be put into a text.
#[derive(Debug)]
pub(super) struct Put {
    /// In place of these bytes; empty where nothing goes.
    pub(super) range: Range<usize>,
    /// What, with the line end given.
    pub(super) new: String,
}

/// Whether a placeholder counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// It goes in place of one, where there is one.
    Placeholder,
    /// It goes below the newest text, whatever that holds.
    Below,
}

/// How the lines of a part are meant (RFC 3676).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Fixed,
    Flowed,
}

/// Where `signature` goes in `text`, whose characters are those of `label`; `None` where it is there.
pub(super) fn put(
    text: &[u8],
    label: &str,
    signature: &str,
    (flow, eol): (Flow, &str),
    spot: Spot,
) -> Option<Put> {
    let text = Text::of(text, label);
    let newest = text.newest();
    let (own, wanted) = (text.own(&newest), wanted(signature));
    if lines::has(&own, &wanted) {
        return None;
    }
    let content = content(signature, flow);
    let placeholder = text.placeholder(&newest).filter(|_| spot == Spot::Placeholder);
    if let Some(range) = placeholder {
        // On lines of its own, so that it is known again.
        let apart = |is_apart: bool| if is_apart { "" } else { eol };
        let (before, after) = (&text.bytes[..range.start], &text.bytes[range.end..]);
        let above = apart(before.is_empty() || before.ends_with(b"\n"));
        let below =
            apart(after.is_empty() || after.starts_with(b"\n") || after.starts_with(b"\r\n"));
        return Some(Put { range, new: format!("{above}{}{below}", content.join(eol)) });
    }
    let last = (0..newest.end).rev().find(|line| !text.is_blank(*line));
    let is_last = newest.end == text.len();
    let separator = is_last && !has_separator(&own);
    let mut new = String::new();
    let at = match last {
        Some(line) => {
            new += &eol.repeat(2);
            text.line_range(line).end
        }
        None => 0,
    };
    if separator {
        new += "-- ";
        new += eol;
    }
    new += &content.join(eol);
    let after = &text.bytes[at..];
    match last {
        // What is quoted is set apart.
        Some(line) if !is_last && !text.is_blank(line + 1) => new += eol,
        None if !after.is_empty() => new += &eol.repeat(if text.is_blank(0) { 1 } else { 2 }),
        _ => {}
    }
    Some(Put { range: at..at, new })
}

/// The lines by which a signature is known again: a separator is not always written.
pub(super) fn wanted(signature: &str) -> Vec<String> {
    squeezed(&content(signature, Flow::Fixed).join("\n"))
}

/// Whether a text would be taken for quoted mail.
pub(super) fn reads_like_quote(text: &str) -> bool {
    Text::of(text.as_bytes(), "utf-8").quote().is_some()
}

/// The lines of a signature, without a separator of its own.
fn content(signature: &str, flow: Flow) -> Vec<String> {
    let lines: Vec<&str> = signature.lines().map(str::trim_end).collect();
    let is_blank = |line: &&&str| line.is_empty() || **line == "--";
    let start = lines.iter().take_while(is_blank).count();
    let end = lines.iter().rposition(|line| !line.is_empty()).map_or(start, |last| last + 1);
    let stuffed = |line: &&str| {
        // RFC 3676 section 4.4.
        let stuff =
            flow == Flow::Flowed && (line.starts_with([' ', '>']) || line.starts_with("From "));
        format!("{}{line}", if stuff { " " } else { "" })
    };
    lines[start..end.max(start)].iter().map(stuffed).collect()
}

/// Whether a program's own signature is there already (RFC 3676 section 4.3).
fn has_separator(own: &str) -> bool {
    own.lines().any(|line| line == "-- " || line == "--")
}

/// The newest text of a message: its first lines, and those among them that are its own.
struct Newest {
    /// The line at which it ends.
    end: usize,
    /// Cited lines stand between its own.
    is_mixed: bool,
}

/// Where quoted mail begins.
struct Quote {
    line: usize,
    /// Lines marked with `>`, so that text may follow; otherwise all below is quoted.
    is_cited: bool,
}

/// A text by lines.
struct Text<'a> {
    bytes: &'a [u8],
    label: &'a str,
    /// Where each line begins. A part has at most 150 MiB.
    starts: Vec<u32>,
}

impl<'a> Text<'a> {
    fn of(bytes: &'a [u8], label: &'a str) -> Self {
        let mut starts = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            starts.push(u32::try_from(at).unwrap_or(u32::MAX));
            at = field::line_end(bytes, at);
        }
        Self { bytes, label, starts }
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    fn start(&self, line: usize) -> usize {
        self.starts.get(line).map_or(self.bytes.len(), |start| *start as usize)
    }

    /// A line without its line end.
    fn line_range(&self, line: usize) -> Range<usize> {
        let (start, end) = (self.start(line), self.start(line + 1));
        let text = &self.bytes[start..end];
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        start..start + text.strip_suffix(b"\r").unwrap_or(text).len()
    }

    fn line(&self, line: usize) -> Cow<'_, str> {
        charset::decode(self.label, &self.bytes[self.line_range(line)])
    }

    /// Whether a line is blank, or not there.
    fn is_blank(&self, line: usize) -> bool {
        self.bytes[self.line_range(line)].trim_ascii().is_empty()
    }

    fn is_cited(&self, line: usize) -> bool {
        self.bytes[self.line_range(line)].starts_with(b">")
    }

    fn newest(&self) -> Newest {
        match self.quote() {
            None => Newest { end: self.len(), is_mixed: false },
            Some(quote) if quote.is_cited && self.goes_on_below(quote.line) => {
                Newest { end: self.len(), is_mixed: true }
            }
            Some(quote) => Newest { end: quote.line, is_mixed: false },
        }
    }

    fn quote(&self) -> Option<Quote> {
        let mut finder = Finder::default();
        for line in 0..self.len() {
            if self.is_cited(line) {
                return Some(Quote { line: self.attribution(line), is_cited: true });
            }
            if !self.is_blank(line)
                && let Some(line) = finder.line(line, &self.line(line))
            {
                return Some(Quote { line, is_cited: false });
            }
        }
        None
    }

    /// The line at which the attribution above a cited line begins, or that line.
    fn attribution(&self, cited: usize) -> usize {
        let above = (cited.saturating_sub(3)..cited).rev();
        let Some(last) = above.into_iter().find(|line| !self.is_blank(*line)) else { return cited };
        let mut text = String::new();
        let mut found = cited;
        for first in (last.saturating_sub(MOST_WRAPPED - 1)..=last).rev() {
            if self.is_blank(first) {
                break;
            }
            let line = self.line(first);
            text.insert_str(0, &format!("{} ", line.trim()));
            if marker::is_attribution(&text) && (found == cited || marker::is_dated(&line)) {
                found = first;
            }
        }
        found
    }

    /// Whether the newest text goes on below a cited one. A program's signature is no text.
    fn goes_on_below(&self, quote: usize) -> bool {
        let first = (quote..self.len()).find(|line| self.is_cited(*line)).unwrap_or(quote);
        for line in first..self.len() {
            if self.is_cited(line) || self.is_blank(line) {
                continue;
            }
            let bytes = &self.bytes[self.line_range(line)];
            return bytes != b"-- " && bytes != b"--";
        }
        false
    }

    /// The newest text itself.
    fn own(&self, newest: &Newest) -> String {
        let mut own = String::new();
        for line in (0..newest.end).filter(|line| !newest.is_mixed || !self.is_cited(*line)) {
            own += &self.line(line);
            own.push('\n');
        }
        own
    }

    fn placeholder(&self, newest: &Newest) -> Option<Range<usize>> {
        let found = lines::placeholder(&self.bytes[..self.start(newest.end)])?;
        let line = self.starts.partition_point(|start| *start as usize <= found.start);
        let is_own = !newest.is_mixed || !self.is_cited(line.saturating_sub(1));
        is_own.then_some(found)
    }
}
