//! What a template may name: `project`, `user`, `account`, `now`, `date`.

use std::collections::BTreeMap;

use minijinja::Value;

use super::form::BREAK;
use crate::config::Account;
use crate::pipeline::table::{Table, Tables};

/// The table of a root's rows, and what the root has besides its columns.
pub(super) const ROOTS: [(&str, &str, &[&str]); 3] = [
    ("project", "projects", &["code"]),
    ("user", "users", &["name", "login"]),
    ("account", "accounts", &["name", "address"]),
];

/// What `now` has: numbers, and `date` as `2026-03-02`. In UTC.
pub(super) const NOW: [&str; 6] = ["date", "year", "month", "day", "hour", "minute"];

/// The fields of one message.
#[derive(Debug)]
pub struct Fields(pub(super) Value);

impl Fields {
    /// Those of a message of `account` that a user sends for a project: the project's code, the user
    /// as he logs in, and his name. Rows come from the tables
    /// `projects`, `users` and `accounts`, where there are such.
    pub fn new(
        tables: &Tables,
        account: &Account,
        (project, user, name): (Option<&str>, &str, &str),
        now_ms: i64,
    ) -> Self {
        let address = account.address.as_deref().unwrap_or_default();
        let of_account = [("name", account.name.as_str()), ("address", address)];
        let roots = [
            (
                "project",
                row(tables.get("projects"), project, &[("code", project.unwrap_or_default())]),
            ),
            ("user", row(tables.get("users"), Some(user), &[("name", name), ("login", user)])),
            ("account", row(tables.get("accounts"), Some(&account.name), &of_account)),
        ];
        Self::of(roots.into_iter().map(|(root, row)| (root, Value::from(row))), now_ms)
    }

    /// Fields with `value` in every column that there is: for trying a template.
    pub(super) fn sample(columns: &BTreeMap<&'static str, Vec<String>>, value: &str) -> Self {
        let roots = columns.iter().map(|(root, columns)| {
            let row = columns.iter().map(|column| (column.clone(), Value::from(value)));
            (*root, Value::from(row.collect::<BTreeMap<_, _>>()))
        });
        Self::of(roots, 0)
    }

    fn of(roots: impl Iterator<Item = (&'static str, Value)>, now_ms: i64) -> Self {
        let now = now(now_ms);
        let date = now.get("date").cloned().unwrap_or_default();
        let more = [("now", Value::from(now)), ("date", date)];
        Self(Value::from(roots.chain(more).collect::<BTreeMap<_, _>>()))
    }
}

/// A row of a table with more beside it; what the table says counts.
fn row(
    table: Option<&Table>,
    key: Option<&str>,
    besides: &[(&str, &str)],
) -> BTreeMap<String, Value> {
    let mut row: BTreeMap<String, Value> =
        besides.iter().map(|(name, value)| ((*name).to_owned(), clean(value))).collect();
    let found = key.and_then(|key| table?.row(key));
    for (name, value) in found.iter().flat_map(|found| found.iter()) {
        row.insert(name.clone(), clean(value));
    }
    row
}

/// A value as one line, or with marked line ends: what a table holds steers nothing.
fn clean(value: &str) -> Value {
    let lines = value.trim().replace("\r\n", "\n");
    let clean = |c: char| match c {
        '\n' => BREAK,
        c if c.is_control() => ' ',
        c => c,
    };
    Value::from(lines.chars().map(clean).collect::<String>())
}

fn now(unix_ms: i64) -> BTreeMap<&'static str, Value> {
    let time = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or_default();
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    let numbers = [
        i64::from(time.year()),
        time.month().into(),
        time.day().into(),
        time.hour().into(),
        time.minute().into(),
    ];
    let date = Value::from(time.date().to_string());
    let values = std::iter::once(date).chain(numbers.map(Value::from));
    NOW.into_iter().zip(values).collect()
}
