//! The images of a signature: into the multipart/related that is there, or into a new one around the
//! HTML (RFC 2387).

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::super::edit::with_set;
use super::super::field::Fields;
use super::super::id;
use super::super::structure::Part;
use super::{Draft, Image};

/// Adds the images that the message does not have yet. `html` is the part that shows them.
pub(super) fn add(draft: &mut Draft<'_>, parts: &[Part], html: usize, images: &[Image]) {
    let known = known(draft.body, parts);
    let new: Vec<&Image> = images.iter().filter(|image| !known.contains(&image.id)).collect();
    if new.is_empty() {
        return;
    }
    match home(parts, html) {
        Some((related, close)) => {
            let boundary = parts[related].content.boundary().unwrap_or_default().to_owned();
            let eol = draft.eol;
            let written: String = new.iter().map(|image| part(image, &boundary, eol)).collect();
            draft.splices.push((close..close, written.into_bytes()));
        }
        None if html == 0 => wrap_message(draft, &new),
        None => wrap_part(draft, &parts[html], &new),
    }
}

/// The Content-IDs of a message's parts.
fn known(body: &[u8], parts: &[Part]) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for part in parts {
        let head = &body[part.head.clone()];
        for found in Fields::scan(head).named(head, "Content-ID") {
            known.extend(id::all(found.value(head)));
        }
    }
    known
}

/// The related that shows this part, and where its closing delimiter begins.
fn home(parts: &[Part], html: usize) -> Option<(usize, usize)> {
    let mut at = html;
    while let Some(parent) = parts[at].parent {
        match parts[parent].content.media_type() {
            "multipart/related" => return Some((parent, parts[parent].close?)),
            "multipart/alternative" => at = parent,
            _ => return None,
        }
    }
    None
}

/// A delimiter and an image.
fn part(image: &Image, boundary: &str, eol: &str) -> String {
    let Image { id, name, media_type, bytes } = image;
    let head = [
        format!("--{boundary}"),
        format!("Content-Type: {media_type}; name=\"{name}\""),
        "Content-Transfer-Encoding: base64".to_owned(),
        format!("Content-ID: <{id}>"),
        format!("Content-Disposition: inline; filename=\"{name}\""),
        String::new(),
    ];
    let lines = head.into_iter().chain(bytes.chunks(57).map(|line| STANDARD.encode(line)));
    lines.map(|line| line + eol).collect()
}

/// A boundary that the message cannot hold: it is of the message's own digest.
fn boundary(draft: &Draft<'_>) -> String {
    let digest = Sha256::digest(draft.body);
    let digits: String = digest[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("=_mailmill_{digits}")
}

fn content_type(boundary: &str) -> String {
    format!("multipart/related; boundary=\"{boundary}\"; type=\"text/html\"")
}

fn closing(images: &[&Image], boundary: &str, eol: &str) -> String {
    let images: String = images.iter().map(|image| part(image, boundary, eol)).collect();
    format!("{eol}{images}--{boundary}--")
}

fn wrap_part(draft: &mut Draft<'_>, html: &Part, images: &[&Image]) {
    let (eol, boundary) = (draft.eol, boundary(draft));
    let folded = content_type(&boundary).replace("; boundary", &format!(";{eol} boundary"));
    let wide = wide(html.content.encoding(), eol);
    let opening = format!("Content-Type: {folded}{eol}{wide}{eol}--{boundary}{eol}");
    let closing = closing(images, &boundary, eol);
    draft.splices.push((html.body.end..html.body.end, closing.into_bytes()));
    draft.splices.insert(0, (html.head.start..html.head.start, opening.into_bytes()));
}

/// The message is the HTML: its content fields become those of the part.
fn wrap_message(draft: &mut Draft<'_>, images: &[&Image]) {
    let (eol, boundary) = (draft.eol, boundary(draft));
    let (mut inner, mut outer) = (Vec::new(), Vec::new());
    let fields = Fields::scan(&draft.head);
    let mut at = 0;
    for found in fields.iter() {
        let range = found.range();
        let is_content = draft.head[range.clone()]
            .get(..8)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"content-"));
        outer.extend_from_slice(&draft.head[at..range.start]);
        let into = if is_content { &mut inner } else { &mut outer };
        into.extend_from_slice(&draft.head[range.clone()]);
        at = range.end;
    }
    outer.extend_from_slice(&draft.head[at..]);
    let encoding = fields.named(&draft.head, "Content-Transfer-Encoding").next();
    let encoding = encoding.map(|found| found.value(&draft.head).trim_ascii().to_ascii_lowercase());
    let mut head = with_set(&outer, "Content-Type", &content_type(&boundary));
    if matches!(encoding.as_deref(), Some(b"8bit" | b"binary")) {
        head = with_set(&head, "Content-Transfer-Encoding", "8bit");
    }
    if fields.named(&draft.head, "MIME-Version").next().is_none() {
        head = with_set(&head, "MIME-Version", "1.0");
    }
    draft.head = head;
    let mut opening = format!("--{boundary}{eol}").into_bytes();
    opening.extend(inner);
    opening.extend_from_slice(eol.as_bytes());
    let end = draft.body.len();
    let closing = closing(images, &boundary, eol) + eol;
    draft.splices.push((end..end, closing.into_bytes()));
    draft.splices.insert(0, (0..0, opening));
}

/// A multipart says how wide its parts are (RFC 2045 section 6.4).
fn wide(encoding: &str, eol: &str) -> String {
    match encoding {
        "8bit" | "binary" => format!("Content-Transfer-Encoding: {encoding}{eol}"),
        _ => String::new(),
    }
}
