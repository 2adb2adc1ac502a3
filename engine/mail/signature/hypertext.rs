//! Where a signature stands in HTML: below the newest text, above what it quotes.

use std::ops::Range;

use super::super::{charset, html};
use super::lines::{self, find};
use super::marker::{self, Finder};
use super::plain::{Put, Spot};
use super::tag::{Piece, Pieces, Tag};

/// The attribute by which a signature is known again.
const MARK: &str = "data-mailmill-signature";

/// Sets it apart from the text above and below.
const STYLE: &str = "style=\"margin:1em 0\"";

/// Elements of which everything below is quoted: Outlook in its many forms, forwarded mail.
const ABOVE_ALL: [&str; 9] = [
    "id=\"appendonsend\"",
    "id=\"divrplyfwdmsg\"",
    "id=\"mail-editor-reference-message-container\"",
    "id=\"olk_src_body_section\"",
    "class=\"moz-forward-container\"",
    "border-top:solid#e1e1e1",
    "border-top:solid#b5c4df",
    "id=\"zwchr\"",
    "id=\"isforwardcontent\"",
];

/// Elements that hold an attribution and cited text, below which the newest text may go on: Gmail,
/// Thunderbird, Roundcube, GMX and others.
const ABOVE_CITED: [&str; 8] = [
    "gmail_quote",
    "gmail_extra",
    "moz-cite-prefix",
    "id=\"reply-intro\"",
    "yahoo_quoted",
    "protonmail_quote",
    "tutanota_quote",
    "name=\"quote\"",
];

/// Elements of a program's own signature.
const SIGNATURES: [&str; 3] = ["moz-signature", "gmail_signature", "id=\"signature\""];

/// Bytes of a block that are read as a marker.
const MOST_BLOCK: usize = 1000;

/// Bytes of text between a marker and the cited text that are an attribution.
const MOST_ATTRIBUTION: usize = 500;

/// Where `signature` goes in `html`, whose characters are those of `label`; `None` where it is there.
pub(super) fn put(
    html: &[u8],
    label: &str,
    (template, signature): (&str, &str),
    eol: &str,
    spot: Spot,
) -> Option<Put> {
    let layout = Layout::of(html, label);
    if layout.own.iter().any(|own| find(&html[own.clone()], MARK.as_bytes()).is_some()) {
        return None;
    }
    let mut own = Vec::new();
    layout.own.iter().for_each(|range| own.extend_from_slice(&html[range.clone()]));
    let text = html::to_text(&charset::decode(label, &own));
    if lines::has(&text, &lines::squeezed(&html::to_text(signature))) {
        return None;
    }
    let block = block(template, signature, eol);
    for own in layout.own.iter().filter(|_| spot == Spot::Placeholder) {
        if let Some(found) = lines::placeholder(&html[own.clone()]) {
            let range = own.start + found.start..own.start + found.end;
            return Some(Put { range, new: block });
        }
    }
    Some(Put { range: layout.place..layout.place, new: format!("{eol}{block}{eol}") })
}

/// The marked block, all of it ASCII: any charset holds it.
fn block(template: &str, signature: &str, eol: &str) -> String {
    let lines: Vec<&str> = signature.trim().lines().map(str::trim_end).collect();
    let template = template.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let block = format!("<div {MARK}=\"{template}\" {STYLE}>{eol}{}{eol}</div>", lines.join(eol));
    let mut ascii = String::with_capacity(block.len());
    for c in block.chars() {
        match c.is_ascii() {
            true => ascii.push(c),
            false => ascii += &format!("&#{};", u32::from(c)),
        }
    }
    ascii
}

/// What a document holds.
struct Layout {
    /// Where a signature goes.
    place: usize,
    /// The newest text.
    own: Vec<Range<usize>>,
}

impl Layout {
    fn of(html: &[u8], label: &str) -> Self {
        let mut walk = Walk::new(html, label);
        for piece in Pieces::of(html) {
            match piece {
                Piece::Text(range) => walk.text(range),
                Piece::Tag(tag) => walk.tag(&tag),
            }
        }
        walk.end_of_block(html.len());
        walk.finish()
    }

    fn up_to(end: usize) -> Self {
        Self { place: end, own: std::iter::once(0..end).collect() }
    }
}

/// Where quoted mail begins, and how.
#[derive(Debug)]
struct Quote {
    start: usize,
    /// Text may follow below what is cited.
    is_cited: bool,
}

struct Walk<'a> {
    html: &'a [u8],
    label: &'a str,
    finder: Finder,
    /// The block that is read: where it begins, and its bytes so far.
    block: (usize, Vec<u8>),
    /// The last block that was not blank, where it is an attribution.
    attribution: Option<usize>,
    /// A ruler with nothing below it yet.
    ruler: Option<usize>,
    quote: Option<Quote>,
    /// Text between the quote's start and what it cites.
    between: Vec<u8>,
    /// Cited texts of the outermost level, from the quote's start on.
    cited: Vec<Range<usize>>,
    depth: usize,
    in_signature: bool,
    goes_on_below: bool,
    end_of_body: Option<usize>,
    end_of_document: Option<usize>,
}

impl<'a> Walk<'a> {
    fn new(html: &'a [u8], label: &'a str) -> Self {
        Self {
            html,
            label,
            finder: Finder::default(),
            block: (0, Vec::new()),
            attribution: None,
            ruler: None,
            quote: None,
            between: Vec::new(),
            cited: Vec::new(),
            depth: 0,
            in_signature: false,
            goes_on_below: false,
            end_of_body: None,
            end_of_document: None,
        }
    }

    fn text(&mut self, range: Range<usize>) {
        let bytes = &self.html[range];
        if is_blank(bytes) {
            if self.block.1.len() < MOST_BLOCK {
                self.block.1.push(b' ');
            }
            return;
        }
        self.ruler = None;
        let room = MOST_BLOCK.saturating_sub(self.block.1.len());
        self.block.1.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.quote.is_none() || self.in_signature {
            return;
        }
        if self.cited.is_empty() && self.depth == 0 {
            let room = (MOST_ATTRIBUTION + 1).saturating_sub(self.between.len());
            self.between.extend_from_slice(&bytes[..bytes.len().min(room)]);
        } else if self.depth == 0 {
            self.goes_on_below = true;
        }
    }

    fn tag(&mut self, tag: &Tag) {
        let start = tag.range.start;
        if is_block(&tag.name) {
            let next = if tag.is_end || tag.name == "br" { tag.range.end } else { start };
            self.end_of_block(next);
        }
        match (tag.name.as_str(), tag.is_end) {
            ("body", true) => self.end_of_body = Some(start),
            ("html", true) => self.end_of_document = Some(start),
            ("hr", false) => self.ruler = Some(start),
            ("blockquote", true) => self.leave(tag.range.end),
            (_, false) => self.open(tag),
            _ => {}
        }
    }

    /// An element begins.
    fn open(&mut self, tag: &Tag) {
        let is_blockquote = tag.name == "blockquote";
        let has_attributes = tag.range.len() > tag.name.len() + 2;
        if self.quote.is_none() && (is_blockquote || has_attributes) {
            self.quote = self.begins(tag);
        } else if has_attributes && self.quote.is_some() && !self.in_signature {
            let text = tag.squeezed(self.html);
            self.in_signature = SIGNATURES.iter().any(|mark| text.contains(mark));
        }
        if is_blockquote {
            if self.depth == 0 && self.quote.is_some() {
                self.cited.push(tag.range.start..self.html.len());
            }
            self.depth += 1;
        }
    }

    /// Whether quoted mail begins with this element.
    fn begins(&mut self, tag: &Tag) -> Option<Quote> {
        let start = tag.range.start;
        let text = tag.squeezed(self.html);
        let has = |marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
        if has(&ABOVE_ALL) {
            return Some(Quote { start: self.ruler.unwrap_or(start), is_cited: false });
        }
        if has(&ABOVE_CITED) && !text.contains("gmail_quote_container_") {
            return Some(Quote { start: self.attribution.unwrap_or(start), is_cited: true });
        }
        if tag.name != "blockquote" {
            return None;
        }
        let is_cite = text.contains("type=\"cite\"") || text.contains("type=cite");
        match self.attribution {
            Some(start) => Some(Quote { start, is_cited: true }),
            None if is_cite => Some(Quote { start, is_cited: true }),
            None => None,
        }
    }

    /// Cited text ends.
    fn leave(&mut self, end: usize) {
        if self.depth == 1
            && let Some(cited) = self.cited.last_mut()
        {
            cited.end = end;
        }
        self.depth = self.depth.saturating_sub(1);
    }

    /// A block, or a line of one, ends; the next begins at `next`.
    fn end_of_block(&mut self, next: usize) {
        let (start, bytes) = std::mem::replace(&mut self.block, (next, Vec::new()));
        if self.quote.is_some() || is_blank(&bytes) {
            return;
        }
        let text = html::to_text(&charset::decode(self.label, &bytes));
        self.attribution = marker::is_attribution(&text).then_some(start);
        if self.depth > 0 {
            return;
        }
        if let Some(start) = self.finder.line(start, &text) {
            self.quote = Some(Quote { start, is_cited: false });
        }
    }

    fn finish(self) -> Layout {
        let end = self.end_of_body.or(self.end_of_document).unwrap_or(self.html.len());
        let Some(quote) = self.quote else {
            return Layout::up_to(end);
        };
        let between = charset::decode(self.label, &self.between);
        let is_attribution =
            self.between.len() <= MOST_ATTRIBUTION && !marker::has_headers(&between);
        if !(quote.is_cited && is_attribution && self.goes_on_below) {
            return Layout::up_to(quote.start);
        }
        let mut own = Vec::with_capacity(self.cited.len() + 1);
        let mut at = 0;
        for cited in &self.cited {
            own.push(at..cited.start.max(at));
            at = cited.end;
        }
        own.push(at.min(end)..end.max(at.min(end)));
        Layout { place: end, own }
    }
}

/// Blanks, also those that HTML writes as entities.
fn is_blank(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        rest = rest.trim_ascii();
        let next = [&b"&nbsp;"[..], b"&#160;", b"\xc2\xa0", b"\xa0"]
            .iter()
            .find_map(|blank| rest.strip_prefix(*blank));
        match next {
            Some(next) => rest = next,
            None => return rest.is_empty(),
        }
    }
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "br"
            | "table"
            | "tr"
            | "td"
            | "li"
            | "ul"
            | "ol"
            | "blockquote"
            | "pre"
            | "hr"
            | "body"
            | "h1"
            | "h2"
            | "h3"
            | "center"
    )
}
