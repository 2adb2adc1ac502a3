//! How the files of two kept generations differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use similar::TextDiff;

/// Bytes of one file's difference that are shown.
const MOST_TEXT: usize = 64 << 10;

/// How long comparing one file may take before it is told roughly.
const PATIENCE: Duration = Duration::from_secs(1);

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its name, relative to the configuration's folder.
    pub file: PathBuf,
    /// `added`, `removed` or `changed`.
    pub change: String,
    /// The difference of its lines, as `diff -u` shows it; of what is no text, its sizes.
    pub text: String,
}

/// The files that differ, by name.
pub fn changes(
    from: &BTreeMap<PathBuf, Arc<[u8]>>,
    to: &BTreeMap<PathBuf, Arc<[u8]>>,
) -> Vec<FileChange> {
    let names: BTreeSet<&PathBuf> = from.keys().chain(to.keys()).collect();
    let changed = names.into_iter().filter_map(|name| {
        let (before, after) = (from.get(name), to.get(name));
        let change = match (before, after) {
            (Some(before), Some(after)) if before == after => return None,
            (Some(_), Some(_)) => "changed",
            (None, _) => "added",
            (_, None) => "removed",
        };
        let bytes = |side: Option<&Arc<[u8]>>| side.cloned().unwrap_or_default();
        let text = difference(&bytes(before), &bytes(after));
        Some(FileChange { file: name.clone(), change: change.into(), text })
    });
    changed.collect()
}

fn difference(before: &[u8], after: &[u8]) -> String {
    let texts = (std::str::from_utf8(before), std::str::from_utf8(after));
    let (Ok(old), Ok(new)) = texts else {
        return format!("{} bytes -> {} bytes\n", before.len(), after.len());
    };
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let mut text = diff.unified_diff().context_radius(3).to_string();
    if text.len() > MOST_TEXT {
        text.truncate(text.floor_char_boundary(MOST_TEXT));
        text.push_str("\n… cut here\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::changes;

    #[test]
    fn added_removed_changed_and_binary_files_are_told() {
        let files = |named: &[(&str, &[u8])]| -> BTreeMap<PathBuf, Arc<[u8]>> {
            named.iter().map(|(name, bytes)| ((*name).into(), (*bytes).into())).collect()
        };
        let from = files(&[("a", b"1\n2\n"), ("b", b"gone\n"), ("p.wasm", b"\0\xff"), ("s", b"")]);
        let to = files(&[("a", b"1\n3\n"), ("c", b"new\n"), ("p.wasm", b"\0\xff\xff"), ("s", b"")]);
        let told: Vec<_> = changes(&from, &to)
            .into_iter()
            .map(|change| (change.file.display().to_string(), change.change, change.text))
            .collect();
        let names: Vec<_> =
            told.iter().map(|(name, change, _)| format!("{name} {change}")).collect();
        assert_eq!(names, ["a changed", "b removed", "c added", "p.wasm changed"]);
        assert!(told[0].2.contains("-2\n+3\n"), "{}", told[0].2);
        assert!(told[3].2.contains("2 bytes -> 3 bytes"));
    }
}
