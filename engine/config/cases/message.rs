//! `message`: a file, a folder of `.eml` files, or the message itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::page::quoted;
use crate::config::reader::Reader;

/// At most this many messages of a folder.
const MOST_MESSAGES: usize = 1_000;

/// A message of a case.
#[derive(Debug, Clone)]
pub enum Letter {
    /// It stands in the file of tests.
    Inline(Arc<str>),
    /// It lies in a file.
    File {
        /// As the person named it.
        shown: String,
        /// Where it is.
        path: PathBuf,
    },
}

/// Reads the key; `None` where it is missing or wrong.
pub(super) fn read(reader: &Reader<'_>) -> Option<Vec<Letter>> {
    let found = reader.value("message")?;
    let Some(text) = found.value.as_str() else {
        reader.wrong_type("message", found, "a path or a message");
        return None;
    };
    // A path has no line end, and a message has at least one.
    if text.contains('\n') {
        return Some(vec![Letter::Inline(text.into())]);
    }
    let path = reader.path("message")?;
    match on_disk(text, &path) {
        Ok(letters) => Some(letters),
        Err(what) => {
            let help = "paths start at this file's folder; a message itself stands in \"\"\"…\"\"\" \
                        and has line ends";
            reader.page.fault(found.at, what, help);
            None
        }
    }
}

fn on_disk(shown: &str, path: &Path) -> Result<Vec<Letter>, String> {
    let unreadable = |why: std::io::Error| format!("{} cannot be read: {why}", quoted(shown));
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if kind.is_file() {
        return Ok(vec![Letter::File { shown: shown.into(), path: path.into() }]);
    }
    // Reading a pipe would wait for its writer.
    if !kind.is_dir() {
        return Err(format!("{} is neither a file nor a folder", quoted(shown)));
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if Path::new(&name).extension().is_some_and(|ending| ending == "eml") {
            names.push(name);
        }
        if names.len() > MOST_MESSAGES {
            return Err(format!("{} has more than {MOST_MESSAGES} messages", quoted(shown)));
        }
    }
    if names.is_empty() {
        return Err(format!("no file in {} ends with .eml", quoted(shown)));
    }
    names.sort();
    let letter = |name: std::ffi::OsString| Letter::File {
        shown: Path::new(shown).join(&name).to_string_lossy().into_owned(),
        path: path.join(&name),
    };
    Ok(names.into_iter().map(letter).collect())
}
