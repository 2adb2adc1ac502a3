//! Byte-exact changes of a header block: the fields named are removed, replaced or added, every
//! other byte stays as it is, line ends and broken lines included.

use super::field::{Field, Fields};
use super::{Message, encode, receipt};

impl Message {
    /// This message with all fields of a name replaced by one at the place of the first, or at the
    /// top where there is none. The value reads back the same, but for blanks at its ends. A name
    /// that cannot be one changes nothing.
    #[must_use]
    pub fn with_header_set(&self, name: &str, value: &str) -> Message {
        self.edited(with_set(self.head_block(), name, value), &[name])
    }

    /// This message with a field added at the top. A name that cannot be one changes nothing.
    #[must_use]
    pub fn with_header_added(&self, name: &str, value: &str) -> Message {
        self.edited(with_added(self.head_block(), name, value), &[name])
    }

    /// This message without the fields of these names.
    #[must_use]
    pub fn with_headers_removed(&self, names: &[&str]) -> Message {
        self.edited(without(self.head_block(), names), names)
    }

    /// This message without any receipt request.
    #[must_use]
    pub fn without_receipt_requests(&self) -> Message {
        self.edited(without_receipt_requests(self.head_block()), &[])
    }
}

/// `head` without the fields of these names.
pub(super) fn without(head: &[u8], names: &[&str]) -> Vec<u8> {
    remove(head, |field| names.iter().any(|name| field.is(head, name)))
}

/// `head` without anything that asks for a receipt.
fn without_receipt_requests(head: &[u8]) -> Vec<u8> {
    remove(head, |field| receipt::concerns(head, field))
}

/// `head` with all fields of a name replaced by one, at the place of the first or at the top.
pub(super) fn with_set(head: &[u8], name: &str, value: &str) -> Vec<u8> {
    if !is_name(name) {
        return head.to_vec();
    }
    let fields = Fields::scan(head);
    let first = fields.named(head, name).next().map(|field| field.range().start);
    let new = encode::field(name, value, line_end(head));
    let mut out = Vec::with_capacity(head.len() + new.len() + 2);
    let place = first.unwrap_or(fields.top());
    out.extend_from_slice(&head[..place]);
    out.extend_from_slice(end_of_line(&head[..place]));
    out.extend_from_slice(&new);
    copy_without(head, place, &fields, |field| field.is(head, name), &mut out);
    out
}

/// `head` with a field added above all others.
fn with_added(head: &[u8], name: &str, value: &str) -> Vec<u8> {
    if !is_name(name) {
        return head.to_vec();
    }
    let (above, below) = head.split_at(Fields::scan(head).top());
    [above, end_of_line(above), &encode::field(name, value, line_end(head)), below].concat()
}

/// The line end that a last line lacks, so that what is added does not join it.
fn end_of_line(above: &[u8]) -> &'static [u8] {
    match above.last() {
        None | Some(b'\n') => b"",
        Some(_) => line_end(above).as_bytes(),
    }
}

fn remove(head: &[u8], is_named: impl Fn(&Field) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len());
    copy_without(head, 0, &Fields::scan(head), is_named, &mut out);
    out
}

/// Copies `head` from `start`, but for the fields that are named.
fn copy_without(
    head: &[u8],
    start: usize,
    fields: &Fields,
    is_named: impl Fn(&Field) -> bool,
    out: &mut Vec<u8>,
) {
    let mut at = start;
    for field in fields.iter().filter(|field| is_named(field)) {
        let range = field.range();
        out.extend_from_slice(&head[at..range.start]);
        at = range.end;
    }
    out.extend_from_slice(&head[at..]);
}

/// The line end that this header uses: that of its first line.
pub(super) fn line_end(head: &[u8]) -> &'static str {
    match head.iter().position(|byte| *byte == b'\n') {
        Some(at) if at == 0 || head[at - 1] != b'\r' => "\n",
        _ => "\r\n",
    }
}

/// RFC 5322 section 3.6.8. What is no field name is not written.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}
