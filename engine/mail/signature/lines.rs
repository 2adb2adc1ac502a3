//! Lines of a text, compared as people read them.

/// The lines that are not blank, each with its blanks made one: for comparing.
pub(super) fn squeezed(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect()
}

/// Whether these lines stand in a text, one after the other.
pub(super) fn has(text: &str, wanted: &[String]) -> bool {
    if wanted.is_empty() {
        return false;
    }
    let text = format!("\n{}\n", squeezed(text).join("\n"));
    text.contains(&format!("\n{}\n", wanted.join("\n")))
}

/// The line end that a text uses, or `usual` where it has none.
pub(super) fn line_end(text: &[u8], usual: &'static str) -> &'static str {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(at) if at > 0 && text[at - 1] == b'\r' => "\r\n",
        Some(_) => "\n",
        None => usual,
    }
}

/// Where a byte string stands in another.
pub(super) fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first) {
        if text[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// The placeholder that a person writes where the signature is to stand, blanks inside or not.
pub(super) fn placeholder(text: &[u8]) -> Option<std::ops::Range<usize>> {
    let mut from = 0;
    while let Some(at) = find(&text[from..], b"{{").map(|at| from + at) {
        let inner = text[at + 2..].trim_ascii_start();
        if let Some(rest) = inner.strip_prefix(b"signature")
            && let Some(rest) = rest.trim_ascii_start().strip_prefix(b"}}")
        {
            return Some(at..text.len() - rest.len());
        }
        from = at + 2;
    }
    None
}
