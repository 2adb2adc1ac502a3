//! What lies in the folder of the queue.

use std::path::Path;

/// Names of what is in a data folder's queue. Files of messages that are done do not count: they hold
/// zeros and wait to be written over.
pub fn queued_files(data: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(data.join("queue")).unwrap() {
        let entry = entry.unwrap();
        let content = std::fs::read(entry.path());
        let spare = content.is_ok_and(|bytes| !bytes.is_empty() && bytes.iter().all(|b| *b == 0));
        if !spare {
            names.push(entry.file_name().into_string().unwrap());
        }
    }
    names
}
