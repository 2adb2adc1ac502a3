//! Lookup tables for scripts and plugins, from CSV files of the configuration.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One table: rows by their key, each a map of column name to value.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: HashMap<String, Arc<BTreeMap<String, String>>>,
}

impl Table {
    /// A table of these rows.
    pub fn new(rows: impl IntoIterator<Item = (String, BTreeMap<String, String>)>) -> Self {
        Self { rows: rows.into_iter().map(|(key, row)| (key, Arc::new(row))).collect() }
    }

    /// The row under a key, compared to the letter.
    pub fn row(&self, key: &str) -> Option<Arc<BTreeMap<String, String>>> {
        self.rows.get(key).cloned()
    }
}

/// All tables of a generation by name. `accounts` is always there: a row an account with
/// `address`, `aliases` (separated by blanks) and `project`.
pub type Tables = HashMap<String, Table>;
