//! A signature goes into a message: into the parts that people read, above the quoted text, once,
//! and never into mail that is signed, encrypted or made for programs.
//!
//! ```text
//! refusal   may anything be put in?                  why not is told
//! bodies    which parts are read as the text         the first plain one, the first HTML one
//! plain, hypertext   where in it, and is it there?   marker, tag: what begins quoted text
//! part      the part with it, its charset and encoding kept wherever they can be
//! images    the images it shows, as multipart/related
//! ```
//!
//! Every byte that is not in the part's inserted region stays as it is, unless the part has to be
//! written anew: its charset lacks a character, or its encoding cannot carry one. Then only that part
//! changes. Signing a signed message changes nothing.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::edit::line_end;
use super::{Message, NeedBody};

mod bodies;
mod hypertext;
mod images;
mod lines;
mod marker;
mod part;
mod plain;
mod refusal;
mod tag;

pub use refusal::Why;

use part::{Leaf, Outcome};

/// What is put in, in both forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The name of its template.
    pub template: String,
    /// As plain text, lines parted by LF.
    pub text: String,
    /// As HTML: what stands within a body.
    pub html: String,
    /// The images that the HTML shows by `cid:`.
    pub images: Vec<Image>,
}

/// An image that a signature shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Its Content-ID without angle brackets: the same for the same image.
    pub id: String,
    /// File name: ASCII letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// Media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, size) = (&self.name, self.bytes.len());
        f.debug_struct("Image").field("name", name).field("size", &size).finish_non_exhaustive()
    }
}

/// What became of a signature.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "signing", rename_all = "snake_case")]
pub enum Signing {
    /// It was put in.
    Signed {
        /// The template's name.
        template: String,
    },
    /// It, or another signature of ours, is there already, so nothing was changed.
    Already {
        /// The template's name.
        template: String,
    },
    /// It was not put in.
    Not {
        /// The template's name.
        template: String,
        /// Why.
        why: Why,
    },
}

impl fmt::Display for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed { template } => write!(f, "signed with {template}"),
            Self::Already { template } => write!(f, "already signed, not with {template} again"),
            Self::Not { template, why } => write!(f, "not signed with {template}: {why}"),
        }
    }
}

/// Puts a signature into a message. The message given back is the one given, byte for byte, unless
/// [`Signing::Signed`] comes with it.
///
/// # Errors
/// Where the body is not here.
pub fn sign(message: &Message, signature: &Signature) -> Result<(Message, Signing), NeedBody> {
    let template = signature.template.clone();
    let (bytes, signing) = match signed(message, signature)? {
        Ok(Some(bytes)) => (bytes.into(), Signing::Signed { template }),
        Ok(None) => (message.bytes().clone(), Signing::Already { template }),
        Err(why) => (message.bytes().clone(), Signing::Not { template, why }),
    };
    Ok((Message::whole(bytes), signing))
}

/// The new bytes; `None` where it is signed already.
fn signed(
    message: &Message,
    signature: &Signature,
) -> Result<Result<Option<Vec<u8>>, Why>, NeedBody> {
    if let Some(why) = refusal::of(message)?.or_else(|| refusal::of_signature(signature)) {
        return Ok(Err(why));
    }
    let (body, bytes) = message.parsed()?;
    let parts = body.parts();
    let found = bodies::find(parts);
    if found.is_none() {
        return Ok(Err(Why::NoText));
    }
    let found = found.that_take(signature);
    if found.is_none() {
        return Ok(Err(Why::Empty));
    }
    let mut draft = Draft {
        eol: line_end(message.head_block()),
        head: message.head_block().to_vec(),
        body: bytes,
        splices: Vec::new(),
    };
    for index in found.plain.into_iter().chain(found.html) {
        let part = &parts[index];
        let leaf = Leaf {
            content: &part.content,
            head: if index == 0 { message.head_block() } else { &bytes[part.head.clone()] },
            raw: &bytes[part.body.clone()],
            is_message: index == 0,
            eol: draft.eol,
        };
        match leaf.sign(signature, found.html == Some(index)) {
            Outcome::Already => return Ok(Ok(None)),
            Outcome::Refused(why) => return Ok(Err(why)),
            Outcome::Changed(change) => draft.change(index, part, change),
        }
    }
    if let Some(html) = found.html {
        images::add(&mut draft, parts, html, &signature.images);
    }
    Ok(Ok(Some(draft.finish())))
}

/// A message under change.
struct Draft<'a> {
    /// The line end of its header.
    eol: &'static str,
    head: Vec<u8>,
    body: &'a [u8],
    /// What stands in place of what; ranges of the body, each pushed after what comes before it.
    splices: Vec<(Range<usize>, Vec<u8>)>,
}

impl Draft<'_> {
    fn change(&mut self, index: usize, part: &super::structure::Part, change: part::Change) {
        match change.head {
            Some(head) if index == 0 => self.head = head,
            Some(head) => self.splices.push((part.head.clone(), head)),
            None => {}
        }
        let (range, new) = change.body;
        let start = part.body.start;
        self.splices.push((start + range.start..start + range.end, new));
        // Of an empty part the line end above the next delimiter ends its header.
        let after = &self.body[part.body.end..];
        if !after.is_empty() && !after.starts_with(b"\n") && !after.starts_with(b"\r\n") {
            self.splices.push((part.body.end..part.body.end, self.eol.into()));
        }
    }

    fn finish(mut self) -> Vec<u8> {
        // Stable: what is put in at one place stays in the order in which it was said.
        self.splices.sort_by_key(|(range, _)| (range.start, range.end));
        let more: usize = self.splices.iter().map(|(_, new)| new.len()).sum();
        let mut out = Vec::with_capacity(self.head.len() + self.body.len() + more + 4);
        out.extend_from_slice(&self.head);
        if !ends_with_empty_line(&self.head) {
            let broken = !self.head.is_empty() && !self.head.ends_with(b"\n");
            let missing = if broken { self.eol.repeat(2) } else { self.eol.to_owned() };
            out.extend_from_slice(missing.as_bytes());
        }
        let mut at = 0;
        for (range, new) in &self.splices {
            out.extend_from_slice(&self.body[at..range.start]);
            out.extend_from_slice(new);
            at = range.end;
        }
        out.extend_from_slice(&self.body[at..]);
        out
    }
}

/// A message may end within its header.
fn ends_with_empty_line(head: &[u8]) -> bool {
    let Some(line) = head.strip_suffix(b"\n") else { return false };
    let line = line.trim_ascii_end();
    let gap = &head[line.len()..];
    line.is_empty() || gap.iter().filter(|byte| **byte == b'\n').count() > 1
}
