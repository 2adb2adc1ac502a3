//! The page: the text that is being read, and what is found wrong on it.
//!
//! Readers note faults by byte offset and go on; at the end the notes become faults with line,
//! column and source line. The page's text is masked, so no fault can show a password.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Faults, nearest};

/// A value with the byte offset it stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

/// Whether others can read the file, which decides whether passwords may stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privacy {
    /// Only its owner can.
    Private,
    /// Its mode lets others.
    Shared,
}

/// What a fault rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    /// On what stands there.
    Present,
    /// On what is missing elsewhere, which a syntax error may have swallowed.
    Missing,
}

struct Note {
    at: usize,
    ground: Ground,
    what: String,
    help: String,
}

/// More notes than this are not taken: nobody reads them, and a hostile file could have a million.
const MOST_NOTES: usize = 10_000;
/// Only this many faults are shown at once.
const MOST_FAULTS: usize = 200;

/// The file that is being read.
pub(super) struct Page<'a> {
    /// As shown in faults.
    file: &'a Path,
    /// Relative paths start here.
    folder: &'a Path,
    /// Masked.
    text: &'a str,
    pub(super) privacy: Privacy,
    notes: RefCell<Vec<Note>>,
}

impl<'a> Page<'a> {
    pub(super) fn new(
        file: &'a Path,
        folder: &'a Path,
        text: &'a str,
        privacy: Privacy,
    ) -> Page<'a> {
        Page { file, folder, text, privacy, notes: RefCell::default() }
    }

    /// Notes what is wrong at an offset and what to write instead.
    pub(super) fn fault(&self, at: usize, what: impl Into<String>, help: impl Into<String>) {
        self.note(at, Ground::Present, what.into(), help.into());
    }

    /// Notes that something is missing which belongs to what stands at an offset.
    pub(super) fn missing(&self, at: usize, what: impl Into<String>, help: impl Into<String>) {
        self.note(at, Ground::Missing, what.into(), help.into());
    }

    /// Notes that a name is not among those defined: what it should name, and the section that
    /// defines such.
    pub(super) fn undefined<'n>(
        &self,
        name: At<&str>,
        (kind, section): (&str, &str),
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        let what = format!("there is no {kind} {}", quoted(name.value));
        let help = match nearest(name.value, known.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => match listed(known) {
                list if list.is_empty() => format!("define it under [{section}.…]"),
                list => format!("define it under [{section}.…], or name one of: {list}"),
            },
        };
        self.missing(name.at, what, help);
    }

    fn note(&self, at: usize, ground: Ground, what: String, help: String) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() < MOST_NOTES {
            notes.push(Note { at, ground, what, help });
        }
    }

    /// A path of the configuration, from its folder.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// All notes as faults, in order of their places.
    pub(super) fn into_faults(self) -> Faults {
        let mut notes = self.notes.take();
        notes.sort_by(|a, b| (a.at, &a.what).cmp(&(b.at, &b.what)));
        notes.dedup_by(|a, b| (a.at, &a.what) == (b.at, &b.what));
        let more = notes.len().saturating_sub(MOST_FAULTS);
        notes.truncate(MOST_FAULTS);
        let mut faults: Vec<Fault> = notes.into_iter().map(|note| self.place(note)).collect();
        if more > 0 {
            let what = format!("has more than {MOST_FAULTS} faults; these are the first");
            faults.insert(0, Fault::whole(self.file, what));
        }
        Faults(faults)
    }

    /// Where the text is no valid TOML from `at` on, keeps only what was surely meant: faults of
    /// what stands before it.
    pub(super) fn trust_only_before(&self, at: usize) {
        let line = self.text[..at.min(self.text.len())].rfind('\n').map_or(0, |end| end + 1);
        let sure = |note: &Note| note.at < line && note.ground == Ground::Present;
        self.notes.borrow_mut().retain(sure);
    }

    fn place(&self, note: Note) -> Fault {
        let fault = Fault::at_byte(self.file, self.text, note.at, note.what);
        if note.help.is_empty() { fault } else { fault.help(note.help) }
    }
}

/// A foreign text in quotes, cut and without what steers a terminal.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", short.escape_debug())
}

/// Names as a list, cut where there are too many to read.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut names: Vec<&str> = names.take(31).collect();
    if names.len() > 30 {
        names[30] = "…";
    }
    names.join(", ")
}
