//! The configuration and the tables as Rust values.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Mail;

/// A row of a table: values by their columns.
pub type Row = BTreeMap<String, String>;

impl Mail {
    /// This step's `with`, parsed; [`Value::Null`] where it has none.
    pub fn with(&self) -> Value {
        serde_json::from_str(&self.config()).unwrap_or_default()
    }

    /// A row of a table by its key. `None` where there is no such row or no such table: for tables
    /// that a configuration may leave out. [`Mail::table_get`] tells the two apart.
    pub fn row(&self, table: &str, key: &str) -> Option<Row> {
        if !self.has_table(table) {
            return None;
        }
        Some(self.table_get(table, key).ok()??.into_iter().collect())
    }
}
