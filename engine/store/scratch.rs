//! A copy of a store to look into: sled repairs as it opens, and what it takes for torn it
//! overwrites. So a store that may be damaged is only ever opened as a copy.

use std::fs;
use std::path::{Path, PathBuf};

use super::disk::{open_sled, remove_torn_snapshots};
use super::place;
use crate::error::{Context, Result};

/// An opened copy; it is removed when it is dropped. The caller holds the data folder's lock.
pub(super) struct Scratch {
    tree: Option<sled::Db>,
    folder: PathBuf,
    /// Why sled does not open it as it is.
    pub(super) refused: Option<String>,
}

impl Scratch {
    /// Copies the store of a data folder and opens the copy: as it is or, where sled will not have
    /// it, without sled's snapshots, so that it reads its whole log.
    pub(super) fn of(data: &Path) -> Result<Self> {
        let folder = place::scratch(data);
        let mut scratch = Self { tree: None, folder: folder.clone(), refused: None };
        let opened = open_copy(data, &folder.join("1"), remove_torn_snapshots)?;
        match opened {
            Ok(tree) => scratch.tree = Some(tree),
            Err(why) => {
                scratch.refused = Some(why);
                scratch.tree = open_copy(data, &folder.join("2"), remove_snapshots)?.ok();
            }
        }
        Ok(scratch)
    }

    /// The tree; `None` where nothing of it can be read.
    pub(super) fn tree(&self) -> Option<&sled::Db> {
        self.tree.as_ref()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.tree = None;
        // The next start removes what stays.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The inner error is sled's.
fn open_copy(
    data: &Path,
    to: &Path,
    prepare: fn(&Path) -> std::io::Result<()>,
) -> Result<Result<sled::Db, String>> {
    let what = || format!("copy the store {} to look into it", data.display());
    if to.exists() {
        fs::remove_dir_all(to).or_later(what)?;
    }
    place::copy(data, to).or_later(what)?;
    let store = place::store(to);
    prepare(&store).or_later(what)?;
    Ok(open_sled(&store, data).map_err(|error| error.why().to_owned()))
}

fn remove_snapshots(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
