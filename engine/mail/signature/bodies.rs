//! Which parts of a message are read as its text.

use super::super::structure::Part;
use super::Signature;
use super::plain::wanted;

/// The parts that a signature belongs into, by their index.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    /// The first plain text.
    pub(super) plain: Option<usize>,
    /// The first HTML.
    pub(super) html: Option<usize>,
}

impl Bodies {
    /// Those of them for which there is anything: a signature may be an image alone.
    pub(super) fn that_take(self, signature: &Signature) -> Self {
        let has_text = !wanted(&signature.text).is_empty();
        let has_html = !signature.html.trim().is_empty();
        Self { plain: self.plain.filter(|_| has_text), html: self.html.filter(|_| has_html) }
    }

    pub(super) fn is_none(&self) -> bool {
        self.plain.is_none() && self.html.is_none()
    }
}

/// Finds them: all forms of an alternative, the root of a related, the first text of anything else.
/// What is attached, attached messages included, is never among them.
pub(super) fn find(parts: &[Part]) -> Bodies {
    let mut bodies = Bodies::default();
    if !parts.is_empty() {
        look(parts, 0, &mut bodies);
    }
    bodies
}

/// Recurses no deeper than parts are nested ([`super::super::guard::MOST_NESTED`]).
fn look(parts: &[Part], at: usize, bodies: &mut Bodies) {
    let part = &parts[at];
    if !part.is_container {
        return leaf(part, at, bodies);
    }
    let kind = part.content.media_type();
    let children = parts.iter().enumerate().skip(at + 1);
    let mut children = children.filter(|(_, child)| child.parent == Some(at)).map(|(at, _)| at);
    match kind {
        "multipart/alternative" => children.for_each(|child| look(parts, child, bodies)),
        "multipart/related" => {
            children.next().into_iter().for_each(|child| look(parts, child, bodies));
        }
        _ => {
            let (plain, html) = (bodies.plain, bodies.html);
            for child in children {
                look(parts, child, bodies);
                if (bodies.plain, bodies.html) != (plain, html) {
                    return;
                }
            }
        }
    }
}

fn leaf(part: &Part, at: usize, bodies: &mut Bodies) {
    if !part.content.is_inline() {
        return;
    }
    let slot = match part.content.media_type() {
        "text/plain" => &mut bodies.plain,
        "text/html" => &mut bodies.html,
        _ => return,
    };
    slot.get_or_insert(at);
}
