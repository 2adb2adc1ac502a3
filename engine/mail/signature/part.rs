//! One part with a signature in it: charset and transfer encoding stay wherever they can hold it,
//! and then only the inserted region is new.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::charset;
use super::super::content::Content;
use super::super::edit::with_set;
use super::super::field::{self, Fields};
use super::super::transfer::{self, Transfer};
use super::lines::line_end;
use super::plain::{Flow, Put, Spot};
use super::{Signature, Why, ends_with_empty_line, hypertext, plain};

/// Bytes of a line that every server takes (RFC 5322 section 2.1.1).
const MOST_LINE: usize = 998;

/// Encodings that are written and read here.
const ENCODINGS: [&str; 6] = ["", "7bit", "8bit", "binary", "quoted-printable", "base64"];

/// A text part as it is written.
pub(super) struct Leaf<'a> {
    pub(super) content: &'a Content,
    pub(super) head: &'a [u8],
    pub(super) raw: &'a [u8],
    /// It is the message itself.
    pub(super) is_message: bool,
    /// The line end of the message's header.
    pub(super) eol: &'static str,
}

/// What is put into a part, and in which form.
#[derive(Clone, Copy)]
struct What<'a> {
    signature: &'a Signature,
    is_html: bool,
}

/// What became of a part.
pub(super) enum Outcome {
    Already,
    Refused(Why),
    Changed(Change),
}

/// What is new in a part.
pub(super) struct Change {
    /// Its header block, where that changes.
    pub(super) head: Option<Vec<u8>>,
    /// What stands in place of which bytes of its written content.
    pub(super) body: (Range<usize>, Vec<u8>),
}

/// What a part holds, decoded, in a charset that ASCII can be put into.
struct Decoded<'a> {
    bytes: Cow<'a, [u8]>,
    label: String,
    /// The charset is not the one declared.
    is_new: bool,
}

impl Leaf<'_> {
    pub(super) fn sign(&self, signature: &Signature, is_html: bool) -> Outcome {
        let is_cut_off = !self.is_message && !ends_with_empty_line(self.head);
        if is_cut_off || self.content.is_broken() || !ENCODINGS.contains(&self.encoding()) {
            return Outcome::Refused(Why::Broken);
        }
        let what = What { signature, is_html };
        for spot in [Spot::Placeholder, Spot::Below] {
            let Some((decoded, put, new)) = self.encoded(what, spot) else {
                return Outcome::Already;
            };
            let (before, after) =
                (&decoded.bytes[..put.range.start], &decoded.bytes[put.range.end..]);
            let whole = [before, &new, after].concat();
            // What it stands among may hide it.
            if self.put((&whole, &decoded.label), what, spot).is_none() {
                return Outcome::Changed(self.changed(&decoded, put.range, &new, &whole));
            }
        }
        Outcome::Refused(Why::Hidden)
    }

    /// Where it goes, and as which bytes: in the part's charset, or else in UTF-8.
    fn encoded(&self, what: What<'_>, spot: Spot) -> Option<(Decoded<'_>, Put, Vec<u8>)> {
        let decoded = self.decoded();
        let put = self.put((&decoded.bytes, &decoded.label), what, spot)?;
        if let Some(new) = charset::encode(&decoded.label, &put.new) {
            return Some((decoded, put, new));
        }
        let decoded = decoded.in_utf8();
        let put = self.put((&decoded.bytes, &decoded.label), what, spot)?;
        let new = put.new.clone().into_bytes();
        Some((decoded, put, new))
    }

    fn encoding(&self) -> &str {
        self.content.encoding().split([';', ' ']).next().unwrap_or_default()
    }

    fn decoded(&self) -> Decoded<'_> {
        let label = self.content.keyword("charset");
        let bytes = self.content.transfer.decode(self.raw);
        let decoded = Decoded { bytes, label, is_new: false };
        match charset::is_ascii_compatible(&decoded.label) {
            true => decoded,
            false => decoded.in_utf8(),
        }
    }

    /// Where it goes in this text of this charset; `None` where it is there.
    fn put(&self, (text, label): (&[u8], &str), what: What<'_>, spot: Spot) -> Option<Put> {
        let eol = line_end(text, self.eol);
        let Signature { template, text: plain, html, .. } = what.signature;
        if what.is_html {
            return hypertext::put(text, label, (template, html), eol, spot);
        }
        let flow = match self.content.keyword("format") == "flowed" {
            true => Flow::Flowed,
            false => Flow::Fixed,
        };
        plain::put(text, label, plain, (flow, eol), spot)
    }

    /// The part with `new` in place of a range of its decoded content.
    fn changed(
        &self,
        decoded: &Decoded<'_>,
        range: Range<usize>,
        new: &[u8],
        whole: &[u8],
    ) -> Change {
        let (body, encoding) = self.written(decoded, range, new, whole);
        let mut head = None;
        if decoded.is_new {
            head = Some(with_charset(self.head));
        }
        if let Some(encoding) = encoding {
            let old = head.as_deref().unwrap_or(self.head);
            head = Some(with_set(old, "Content-Transfer-Encoding", encoding));
        }
        Change { head: head.map(|head| with_version(head, self)), body }
    }

    /// The written content, and the transfer encoding where that is another one.
    fn written(
        &self,
        decoded: &Decoded<'_>,
        range: Range<usize>,
        new: &[u8],
        whole: &[u8],
    ) -> ((Range<usize>, Vec<u8>), Option<&'static str>) {
        let all = 0..self.raw.len();
        let is_same = matches!(decoded.bytes, Cow::Borrowed(_)) || !decoded.is_new;
        match self.content.transfer {
            Transfer::Base64 => ((all, base64(whole, line_end(self.raw, self.eol))), None),
            Transfer::QuotedPrintable => {
                let spliced = if is_same { self.quoted(range, new) } else { None };
                let right = spliced.filter(|(range, new)| {
                    let raw = [&self.raw[..range.start], new, &self.raw[range.end..]].concat();
                    *self.content.transfer.decode(&raw) == *whole
                });
                let written =
                    right.unwrap_or_else(|| (all, transfer::to_quoted_printable(whole, self.eol)));
                (written, None)
            }
            Transfer::Identity => {
                let takes_all =
                    matches!(self.encoding(), "8bit" | "binary") || !self.raw.is_ascii();
                let written = if is_same { new } else { whole };
                if fits_line(written) && (takes_all || written.is_ascii()) {
                    let range = if is_same { range } else { all };
                    return ((range, written.to_vec()), None);
                }
                let quoted = transfer::to_quoted_printable(whole, self.eol);
                ((all, quoted), Some("quoted-printable"))
            }
        }
    }

    /// The same in quoted-printable, only the region written anew.
    fn quoted(&self, range: Range<usize>, new: &[u8]) -> Option<(Range<usize>, Vec<u8>)> {
        let start = transfer::quoted_offset(self.raw, range.start)?;
        let end =
            if range.is_empty() { start } else { transfer::quoted_offset(self.raw, range.end)? };
        let eol = line_end(self.raw, self.eol);
        let (before, after) = (&self.raw[..start], &self.raw[end..]);
        let mut out = Vec::new();
        let begins_line = before.is_empty() || before.ends_with(b"\n");
        if !begins_line && !new.starts_with(b"\r\n") && !new.starts_with(b"\n") {
            out.extend_from_slice(format!("={eol}").as_bytes());
        }
        out.extend(transfer::to_quoted_printable(new, eol));
        let ends_line = after.is_empty() || after.starts_with(b"\r\n") || after.starts_with(b"\n");
        if !ends_line && !new.ends_with(b"\n") {
            out.extend_from_slice(format!("={eol}").as_bytes());
        }
        Some((start..end, out))
    }
}

impl<'a> Decoded<'a> {
    /// The same text in UTF-8. Where it is ASCII, no byte changes.
    fn in_utf8(self) -> Self {
        let Self { bytes, label, .. } = self;
        let text = charset::decode(&label, &bytes);
        let text = text.trim_start_matches('\u{feff}').as_bytes();
        // Not every charset of ASCII bytes is ASCII: ISO-2022-JP.
        let bytes = if text == &*bytes { bytes } else { Cow::Owned(text.to_vec()) };
        Decoded { bytes, label: "utf-8".into(), is_new: true }
    }
}

fn fits_line(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').all(|line| line.len() <= MOST_LINE)
}

fn base64(bytes: &[u8], eol: &str) -> Vec<u8> {
    let lines: Vec<String> = bytes.chunks(57).map(|line| STANDARD.encode(line)).collect();
    let mut out = lines.join(eol).into_bytes();
    out.extend_from_slice(eol.as_bytes());
    out
}

/// A header block that says UTF-8, with all other parameters of Content-Type.
fn with_charset(head: &[u8]) -> Vec<u8> {
    let fields = Fields::scan(head);
    let value = fields.named(head, "Content-Type").next();
    let value = value.map(|found| field::unfold(found.value(head))).unwrap_or_default();
    let mut items = parameters(&value);
    if items.first().is_none_or(|kind| !kind.contains('/')) {
        items = vec!["text/plain".to_owned()];
    }
    items.retain(|item| !item.to_ascii_lowercase().starts_with("charset"));
    items.insert(1, "charset=utf-8".into());
    with_set(head, "Content-Type", &items.join("; "))
}

/// The type and its parameters as written, parted at semicolons that are not quoted.
fn parameters(value: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in value.chars() {
        match c {
            ';' if !is_quoted => {
                items.push(String::new());
                continue;
            }
            '"' if !is_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        is_escaped = c == '\\' && !is_escaped;
        if let Some(last) = items.last_mut() {
            last.push(c);
        }
    }
    let items = items.into_iter().map(|item| item.trim().to_owned());
    items.filter(|item| !item.is_empty()).collect()
}

/// The message's own header with MIME-Version, where content fields are new in it (RFC 2045 section
/// 4).
fn with_version(head: Vec<u8>, leaf: &Leaf<'_>) -> Vec<u8> {
    let fields = Fields::scan(leaf.head);
    match leaf.is_message && fields.named(leaf.head, "MIME-Version").next().is_none() {
        true => with_set(&head, "MIME-Version", "1.0"),
        false => head,
    }
}
