//! What mailmill is meant to reach beside its peers, and what it reached in this run.

use std::fmt::Write;

use crate::report::Summary;

/// What is measured against what.
enum Aim {
    /// The first row takes at most this many times as long as the second.
    Within(&'static str, &'static str, f64),
    /// The first row is at least this many times as fast as the second.
    Faster(&'static str, &'static str, f64),
    /// At most this many seconds.
    Seconds(&'static str, f64),
    /// At most this many microseconds of processor per message.
    Cpu(&'static str, f64),
    /// At most this many MB of memory.
    Memory(&'static str, f64),
}

const AIMS: [Aim; 11] = [
    Aim::Within("mailmill", "bare", 1.0),
    Aim::Within("mailmill", "bare-fields", 1.3),
    Aim::Faster("mailmill", "imapfilter-search", 2.5),
    Aim::Faster("mailmill", "imapfilter-fetch", 8.0),
    Aim::Within("mailmill-body", "bare", 1.25),
    Aim::Within("mailmill-tls", "bare-tls", 1.0),
    Aim::Within("mailmill-body-tls", "bare-tls", 1.25),
    Aim::Seconds("mailmill-far", 0.3),
    Aim::Cpu("mailmill", 80.0),
    Aim::Memory("mailmill", 80.0),
    Aim::Memory("mailmill-large", 80.0),
];

/// A table of those aims whose rows were run; empty where there is none.
pub(crate) fn table(rows: &[Summary]) -> String {
    let mut text = String::new();
    for (what, aimed, got, reached) in AIMS.iter().filter_map(|aim| aim.judge(rows)) {
        let reached = if reached { "yes" } else { "no" };
        let _ = writeln!(text, "| {what} | {aimed} | {got} | {reached} |");
    }
    if text.is_empty() {
        return text;
    }
    format!("| aim | aimed at | measured | reached |\n| --- | --- | --- | --- |\n{text}\n")
}

impl Aim {
    /// What, what is aimed at, what was measured, whether that is reached.
    fn judge(&self, rows: &[Summary]) -> Option<(String, String, String, bool)> {
        let row = |name: &str| rows.iter().find(|row| row.row == name);
        match *self {
            Self::Within(one, other, most) => {
                let got = row(one)?.wall / row(other)?.wall;
                let aimed = format!("at most {most:.2}");
                Some((format!("{one} / {other}"), aimed, format!("{got:.2}"), got <= most))
            }
            Self::Faster(one, other, least) => {
                let got = row(other)?.wall / row(one)?.wall;
                let aimed = format!("at least {least:.1}");
                Some((format!("{other} / {one}"), aimed, format!("{got:.2}"), got >= least))
            }
            Self::Seconds(one, most) => Some(at_most(one, "wall s", row(one)?.wall, most)),
            Self::Cpu(one, most) => Some(at_most(one, "client CPU us/msg", row(one)?.cpu_us, most)),
            Self::Memory(one, most) => Some(at_most(one, "peak MB", row(one)?.peak_mb, most)),
        }
    }
}

fn at_most(row: &str, unit: &str, got: f64, most: f64) -> (String, String, String, bool) {
    (format!("{row}, {unit}"), format!("at most {most}"), format!("{got:.2}"), got <= most)
}
