//! Faults of what people write: configuration, scripts, plugins, tables.
//!
//! A check collects all of them and shows each with its file, line, column, the offending line and
//! what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};

/// One fault. Line and column count from 1 and columns count characters; 0 means the whole file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Fault {
    /// The file as the person named it, relative to the configuration's folder where it is below it.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, in one clause without a final dot.
    pub what: String,
    /// What to write instead.
    pub help: Option<String>,
    /// The text of the offending line; `None` for binary files.
    pub source: Option<String>,
}

impl Fault {
    /// A fault of a file as a whole: it is missing, unreadable, or not text.
    pub fn whole(file: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0, what: what.into(), help: None, source: None }
    }

    /// A fault at a line and character column of `text`, the content of `file`.
    pub fn at(
        file: impl Into<PathBuf>,
        text: &str,
        (line, column): (usize, usize),
        what: impl Into<String>,
    ) -> Self {
        let source = text.lines().nth(line.saturating_sub(1)).map(shown);
        Self { line, column, source, ..Self::whole(file, what) }
    }

    /// A fault at a byte offset of `text`, the content of `file`.
    pub fn at_byte(
        file: impl Into<PathBuf>,
        text: &str,
        offset: usize,
        what: impl Into<String>,
    ) -> Self {
        Self::at(file, text, position(text, offset), what)
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What stands before the caret; `None` where the column lies beyond what is shown.
    fn indent(&self, source: &str) -> Option<String> {
        let before = self.column.checked_sub(1)?;
        let blank = |c| if c == '\t' { '\t' } else { ' ' };
        (before <= source.chars().count()).then(|| source.chars().take(before).map(blank).collect())
    }

    /// Shows the file relative to `folder` where it is below it.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        if let Ok(below) = self.file.strip_prefix(folder) {
            self.file = below.to_path_buf();
        }
        self
    }
}

/// Line and character column, both from 1, of a byte offset.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset.min(text.len()))];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A line as it may be shown on a terminal: its first 160 characters, each in its place, without
/// those that steer a terminal or turn the writing round.
fn shown(line: &str) -> String {
    line.chars().take(160).map(inert).collect()
}

/// A text that may have lines, made harmless in the same way.
fn lines(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { inert(c) }).collect()
}

fn inert(c: char) -> char {
    match c {
        '\t' => '\t',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A path in JSON, where it need not be UTF-8.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.file.to_string_lossy()))?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", lines(&self.what))?;
        if let Some(source) = &self.source {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            write!(f, "\n  {number} | {source}")?;
            if let Some(indent) = self.indent(source) {
                write!(f, "\n  {margin} | {indent}^")?;
            }
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {}", lines(help)),
            None => Ok(()),
        }
    }
}

/// All faults of one check, never empty where it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// `Err` with the faults in order of file and place, `Ok` where there is none.
    ///
    /// # Errors
    /// The faults themselves.
    pub fn into_result(mut self) -> Result<(), Faults> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort();
        self.0.dedup();
        Err(self)
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "{fault}")?;
        }
        let plural = if self.0.len() == 1 { "fault" } else { "faults" };
        write!(f, "{} {plural}", self.0.len())
    }
}

impl std::error::Error for Faults {}

/// Names longer than this are not compared: nobody mistypes them, and comparing is quadratic.
const LONGEST: usize = 64;

/// The known name nearest to an unknown one, for "did you mean". Case does not count.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if unknown.len() > LONGEST {
        return None;
    }
    let unknown = unknown.to_lowercase();
    known
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .map(|name| (strsim::damerau_levenshtein(&unknown, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Fault, Faults, nearest, position};

    #[test]
    fn a_place_counts_characters_and_survives_any_offset() {
        let text = "a\nb\u{e4}c\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 5), (2, 3), "after a character of two bytes");
        assert_eq!(position(text, 4), (2, 2), "within a character");
        assert_eq!(position(text, 99), (3, 1), "past the end");
        assert_eq!(position("", 0), (1, 1));
    }

    #[test]
    fn the_caret_stands_below_the_column_and_tabs_stay_tabs() {
        let fault = Fault::at("f", "x\n\tkey = 1", (2, 2), "wrong").help("write it");
        assert_eq!(fault.to_string(), "f:2:2: wrong\n  2 | \tkey = 1\n    | \t^\n  help: write it");
    }

    #[test]
    fn a_long_line_is_cut_and_has_no_caret_beyond_the_cut() {
        let fault = Fault::at_byte("f", &"x".repeat(5000), 4000, "wrong");
        assert_eq!(fault.to_string(), format!("f:1:4001: wrong\n  1 | {}", "x".repeat(160)));
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let fault = Fault::at("a\u{1b}[2J", "x\u{1b}[31m\u{202e}y", (1, 1), "\u{1b}c");
        let fault = fault.help("\u{1b}c");
        assert!(!fault.to_string().contains(['\u{1b}', '\u{202e}']), "{fault:?}");
    }

    #[test]
    fn faults_come_in_order_and_once() {
        let at = |line| Fault::at("f", "a\nb\nc", (line, 1), "wrong");
        let faults = Faults(vec![at(3), at(1), at(3)]).into_result().unwrap_err();
        assert_eq!(faults.0, [at(1), at(3)]);
        assert!(faults.to_string().ends_with("\n2 faults"));
        assert_eq!(Faults::default().into_result(), Ok(()));
    }

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["imap", "maildir", "inbound"];
        assert_eq!(nearest("imapp", known), Some("imap"));
        assert_eq!(nearest("Inbuond", known), Some("inbound"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("map", ["a", "b"]), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), known), None);
    }
}
