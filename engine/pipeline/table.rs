//! Lookup tables for scripts and plugins, from CSV files of the configuration.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::csv::{Broken, Line, Reader};
use crate::fault::{Fault, Faults, nearest};

/// Bytes of one table's file.
pub const MOST_BYTES: usize = 16 << 20;
/// Rows of one table.
pub const MOST_ROWS: usize = 1_000_000;
/// After this many faults a table is not read further.
const MOST_FAULTS: usize = 20;

/// One table: rows by their key, each a map of column name to value. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Arc<HashMap<String, Arc<BTreeMap<String, String>>>>,
}

/// All tables of a generation by name. `accounts` is always there: a row an account with
/// `address`, `aliases` (separated by blanks) and `project`.
pub type Tables = HashMap<String, Table>;

impl Table {
    /// A table of these rows.
    pub fn new(rows: impl IntoIterator<Item = (String, BTreeMap<String, String>)>) -> Self {
        let rows = rows.into_iter().map(|(key, row)| (key, Arc::new(row))).collect();
        Self { rows: Arc::new(rows) }
    }

    /// Reads a CSV text (RFC 4180) with a header line; `key` names the column that rows are found
    /// by. `file` is the name that faults show.
    ///
    /// # Errors
    /// All faults, up to twenty: no key column, a key that is empty, doubled or has blanks at its
    /// ends, a wrong number of fields, broken quotes, not UTF-8, too large.
    pub fn read(file: &Path, bytes: &[u8], key: &str) -> Result<Self, Faults> {
        if bytes.len() > MOST_BYTES {
            let what = format!("the table has more than {} MiB", MOST_BYTES >> 20);
            return Err(Fault::whole(file, what).into());
        }
        let text = std::str::from_utf8(bytes).map_err(|why| not_utf8(file, bytes, why))?;
        Reading::new(file, text, key)?.rows()
    }

    /// The row under a key, compared to the letter.
    pub fn row(&self, key: &str) -> Option<Arc<BTreeMap<String, String>>> {
        self.rows.get(key).cloned()
    }

    /// The names of its columns; none where it has no row.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.rows.values().next().into_iter().flat_map(|row| row.keys()).map(String::as_str)
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// A table that is being read, its header line behind it.
struct Reading<'a> {
    file: &'a Path,
    text: &'a str,
    records: Reader<'a>,
    columns: Vec<String>,
    key: usize,
    faults: Faults,
}

impl<'a> Reading<'a> {
    fn new(file: &'a Path, text: &'a str, key: &str) -> Result<Self, Faults> {
        let mut records = Reader::new(text);
        let columns = match records.next() {
            Some(Ok(header)) => header.fields,
            Some(Err(broken)) => return Err(quote(file, text, broken).into()),
            None => {
                let fault = Fault::whole(file, "the table is empty; its first line names columns");
                return Err(fault.into());
            }
        };
        let columns: Vec<_> = columns.iter().map(|name| name.trim().to_owned()).collect();
        check_columns(file, text, &columns)?;
        let Some(at) = columns.iter().position(|column| column == key) else {
            return Err(no_key_column(file, text, &columns, key).into());
        };
        Ok(Self { file, text, records, columns, key: at, faults: Faults::default() })
    }

    fn rows(mut self) -> Result<Table, Faults> {
        let mut rows = HashMap::new();
        let mut lines = HashMap::new();
        while let Some(record) = self.records.next() {
            let fault = match record {
                Ok(_) if rows.len() == MOST_ROWS => {
                    let what = format!("the table has more than {MOST_ROWS} rows");
                    self.faults.0.push(Fault::whole(self.file, what));
                    break;
                }
                Ok(line) => self.add(line, &mut rows, &mut lines).err(),
                Err(broken) => Some(quote(self.file, self.text, broken)),
            };
            self.faults.0.extend(fault);
            if self.faults.0.len() >= MOST_FAULTS {
                break;
            }
        }
        self.faults.into_result()?;
        Ok(Table { rows: Arc::new(rows) })
    }

    fn add(
        &self,
        line: Line,
        rows: &mut HashMap<String, Arc<BTreeMap<String, String>>>,
        lines: &mut HashMap<String, usize>,
    ) -> Result<(), Fault> {
        let at = |what| Fault::at(self.file, self.text, (line.number, 1), what);
        if line.fields.len() != self.columns.len() {
            let (here, header) = (line.fields.len(), self.columns.len());
            return Err(at(format!("{here} fields, but the header line names {header} columns"))
                .help("put a field that contains the separator into double quotes"));
        }
        let column = &self.columns[self.key];
        let key = line.fields[self.key].clone();
        if key.trim() != key || key.is_empty() {
            let what = format!("the key column \"{column}\" is empty or has blanks at its ends");
            return Err(at(what));
        }
        if let Some(first) = lines.get(&key) {
            let shown = key.escape_debug();
            return Err(at(format!("the key \"{shown}\" stands already in line {first}"))
                .help("each key stands once: remove or rename one of the two rows"));
        }
        lines.insert(key.clone(), line.number);
        let row = self.columns.iter().cloned().zip(line.fields).collect();
        rows.insert(key, Arc::new(row));
        Ok(())
    }
}

fn check_columns(file: &Path, text: &str, columns: &[String]) -> Result<(), Faults> {
    let mut known = HashSet::new();
    let mut faults = Faults::default();
    for (index, column) in columns.iter().enumerate() {
        let what = if column.is_empty() {
            format!("column {} has no name", index + 1)
        } else if !known.insert(column) {
            format!("the column \"{}\" is named twice", column.escape_debug())
        } else {
            continue;
        };
        faults.0.push(Fault::at(file, text, (1, 1), what));
    }
    faults.into_result()
}

fn no_key_column(file: &Path, text: &str, columns: &[String], key: &str) -> Fault {
    let fault = Fault::at(file, text, (1, 1), format!("there is no column \"{key}\", the key"));
    match nearest(key, columns.iter().map(String::as_str)) {
        Some(near) => fault.help(format!("did you mean key = \"{near}\"?")),
        None => fault.help(format!("the columns are: {}", columns.join(", "))),
    }
}

fn quote(file: &Path, text: &str, broken: Broken) -> Fault {
    match broken {
        Broken::Open(line, column) => {
            Fault::at(file, text, (line, column), "this quote is never closed")
                .help("write a quote inside a quoted field twice: \"\"")
        }
        Broken::After(line, column) => {
            Fault::at(file, text, (line, column), "text after the closing quote")
                .help("write a quote inside a quoted field twice: \"\"")
        }
    }
}

fn not_utf8(file: &Path, bytes: &[u8], why: std::str::Utf8Error) -> Faults {
    let line = bytes[..why.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
    Fault { line, column: 1, ..Fault::whole(file, "this line is not UTF-8") }
        .help("save the file as \"CSV UTF-8\"")
        .into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Table;

    fn faults(bytes: &[u8], key: &str) -> String {
        Table::read(Path::new("t.csv"), bytes, key).err().map(|f| f.to_string()).unwrap_or_default()
    }

    #[test]
    fn rows_are_found_by_their_key() {
        let text = b"\xef\xbb\xbfcode;mailbox\r\nT-071;\"Projects/T; 071\"\r\n";
        let table = Table::read(Path::new("t.csv"), text, "code").unwrap_or_default();
        let row = table.row("T-071").unwrap_or_default();
        assert_eq!(row.get("mailbox").map(String::as_str), Some("Projects/T; 071"));
        assert!(table.row("t-071").is_none());
    }

    #[test]
    fn all_faults_at_once_each_with_its_line() {
        let told = faults(b"code,mailbox\nT-1,a\nT-2\nT-1,b\n ,c\n", "code");
        assert!(
            told.contains("t.csv:3:1: 1 fields, but the header line names 2 columns"),
            "{told}"
        );
        assert!(told.contains("t.csv:4:1: the key \"T-1\" stands already in line 2"), "{told}");
        assert!(told.contains("t.csv:5:1: the key column \"code\" is empty"), "{told}");
        assert!(told.ends_with("3 faults"), "{told}");
    }

    #[test]
    fn a_missing_key_column_a_broken_quote_and_latin_1() {
        assert!(faults(b"cod,mailbox\n", "code").contains("did you mean key = \"cod\"?"));
        assert!(faults(b"code\n\"T-1\n", "code").contains("t.csv:2:1: this quote is never closed"));
        assert!(faults(b"code\nK\xf6ln\n", "code").contains("t.csv:2:1: this line is not UTF-8"));
        assert!(faults(b"", "code").contains("the table is empty"));
        assert!(faults(b"code,a,a,\n", "code").contains("named twice"));
    }
}
