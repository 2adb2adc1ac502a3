//! Faults of what people write: configuration, scripts, plugins, tables.
//!
//! A check collects all of them and shows each with its file, line, column, the offending line and
//! what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};

/// One fault. Line and column count from 1 and columns count characters; 0 means the whole file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Fault {
    /// The file as the person named it, relative to the configuration's folder where it is below it.
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
        let source = text.lines().nth(line.saturating_sub(1)).map(shorten);
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

fn shorten(line: &str) -> String {
    line.chars().take(160).collect()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(source) = &self.source {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            let indent: String = source
                .chars()
                .take(self.column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n  {number} | {source}\n  {margin} | {indent}^")?;
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
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

/// The known name nearest to an unknown one, for "did you mean".
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
