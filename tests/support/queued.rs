//! What lies in the folder of the queue.

use std::path::Path;

/// Names of what is in a data folder's queue. Files of messages that are gone do not count: they are
/// empty and wait to be written again.
pub fn queued_files(data: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(data.join("queue")).unwrap() {
        let entry = entry.unwrap();
        let (name, is) = (entry.file_name().into_string().unwrap(), entry.metadata().unwrap());
        let spare = is.is_file() && is.len() == 0 && name.ends_with(".partial");
        if !spare {
            names.push(name);
        }
    }
    names
}
