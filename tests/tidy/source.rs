//! The tree's texts, and Rust code without its comments and strings.

use std::path::Path;

/// One file of the tree.
pub struct Text {
    /// From the root, with `/`.
    pub path: String,
    pub content: String,
    /// For Rust: the same lines and columns, comments and strings blanked.
    pub code: String,
}

impl Text {
    pub fn new(path: &str, content: &str) -> Self {
        let rust = path.ends_with(".rs");
        let code = if rust { blank(content) } else { String::new() };
        Self { path: path.into(), content: content.into(), code }
    }

    /// The line of a byte offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.content.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// Code that ships: without the tests at the end of the file.
    pub fn shipped(&self) -> &str {
        let tests = self.code.rfind("#[cfg(test)]").filter(|at| {
            self.code[*at..]
                .lines()
                .skip(1)
                .find(|line| !line.starts_with("#["))
                .is_some_and(|line| line.trim_start_matches("pub(crate) ").starts_with("mod "))
        });
        &self.code[..tests.unwrap_or(self.code.len())]
    }
}

/// What lies at the top and belongs to the project.
const TOP: [&str; 7] = ["engine", "plugins", "scripts", "examples", "tests", ".ci", "."];

/// All texts of the project; what is built or not UTF-8 is left out.
pub fn texts() -> Vec<Text> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for top in TOP {
        let deep = if top == "." { Depth::Here } else { Depth::Below };
        collect(root, &root.join(top), deep, &mut texts);
    }
    texts
}

#[derive(Clone, Copy, PartialEq)]
enum Depth {
    Here,
    Below,
}

fn collect(root: &Path, folder: &Path, depth: Depth, texts: &mut Vec<Text>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        // What tests and runs leave behind is no part of the project.
        let built =
            ["target", "data", "Cargo.lock", ".git"].iter().any(|name| entry.file_name() == *name);
        if kind.is_dir() && depth == Depth::Below && !built {
            collect(root, &path, depth, texts);
        } else if kind.is_file() && !built {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let content = String::from_utf8(std::fs::read(&path).unwrap());
            texts.extend(content.ok().map(|content| Text::new(&name, &content)));
        }
    }
}

/// Rust code with comments, strings and character literals turned into blanks; byte offsets and
/// lines stand.
fn blank(source: &str) -> String {
    let mut code = source.as_bytes().to_vec();
    let mut at = 0;
    while at < code.len() {
        let end = skip(source.as_bytes(), at);
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).unwrap()
}

/// Where a comment or literal that begins here ends; `at` where none begins.
fn skip(source: &[u8], at: usize) -> usize {
    let rest = &source[at..];
    let word = at > 0 && (source[at - 1].is_ascii_alphanumeric() || source[at - 1] == b'_');
    let raw = rest.strip_prefix(b"b").unwrap_or(rest);
    match rest {
        [b'/', b'/', ..] => at + find(rest, b"\n").unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + comment(rest),
        [b'"', ..] => at + string(rest),
        [b'\'', ..] => at + character(rest),
        _ if !word && raw.starts_with(b"r") && raw[1..].starts_with(b"#") => at + raw_string(rest),
        _ if !word && raw.starts_with(b"r\"") => at + raw_string(rest),
        _ => at,
    }
}

fn comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// A lifetime is no literal.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return 3 + find(&rest[3.min(rest.len())..], b"'").unwrap_or(0).min(12) + 1;
    }
    let text = String::from_utf8_lossy(&rest[1..rest.len().min(6)]).into_owned();
    let first = text.chars().next().map_or(0, char::len_utf8);
    if rest.get(1 + first) == Some(&b'\'') { first + 2 } else { 0 }
}

/// `r"…"`, `br#"…"#`; a raw identifier is none.
fn raw_string(rest: &[u8]) -> usize {
    let start = rest.iter().position(|byte| *byte == b'r').unwrap() + 1;
    let hashes = rest[start..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(start + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let inside = start + hashes + 1;
    find(&rest[inside..], &end).map_or(rest.len(), |at| inside + at + end.len())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
