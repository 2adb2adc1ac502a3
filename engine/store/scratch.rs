//! A copy of a store to look into: sled repairs as it opens, and what it takes for torn it
//! overwrites. So a store that may be damaged is only ever opened as a copy.

use std::fs;
use std::path::{Path, PathBuf};

use super::carve::carve;
use super::disk::{open_sled, remove_torn_snapshots};
use super::walk::Walk;
use super::{key, place, untouched};
use crate::error::{Context, Result};

/// An opened copy; it is removed when it is dropped. The caller holds the data folder's lock.
pub(super) struct Scratch {
    tree: Option<sled::Db>,
    folder: PathBuf,
    /// Why sled does not open it as it is.
    pub(super) refused: Option<String>,
}

impl Scratch {
    /// Copies the store of a data folder and opens the copy as the engine would.
    pub(super) fn of(data: &Path) -> Result<Self> {
        let folder = place::scratch(data);
        let copy = (place::found(data), folder.join("1"));
        let opened = open_copy(data, copy, remove_torn_snapshots)?;
        let (tree, refused) = match opened {
            Ok(tree) => (Some(tree), None),
            Err(why) => (None, Some(why)),
        };
        Ok(Self { tree, folder, refused })
    }

    /// Of a store that is not well, the copy that gives most: with sled's snapshot, which says where
    /// pages lie; without it; or read from the log without sled ([`super::carve`]). So for the store as it
    /// was before an opening that was refused ([`super::untouched`]).
    pub(super) fn best(mut self, data: &Path) -> Result<Self> {
        let mut trees = Vec::new();
        if let Some(earlier) = untouched::of(data) {
            let to = ["4", "5"].map(|number| self.folder.join(number));
            trees.extend(Self::readings(data, &earlier, to)?);
        }
        let to = ["2", "3"].map(|number| self.folder.join(number));
        trees.extend(Self::readings(data, &place::found(data), to)?);
        trees.extend(self.tree.take());
        // Of equals the last one, which is what sled makes of it.
        self.tree = trees.into_iter().max_by_key(worth);
        Ok(self)
    }

    /// What is read of sled's files in a folder without sled, and without its snapshot.
    fn readings(data: &Path, from: &Path, to: [PathBuf; 2]) -> Result<Vec<sled::Db>> {
        let [without, carve] = to;
        let without = open_copy(data, (from.to_owned(), without), remove_snapshots)?.ok();
        let carved = carved(data, from, &carve)?;
        Ok([Some(carved), without].into_iter().flatten().collect())
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

fn carved(data: &Path, from: &Path, to: &Path) -> Result<sled::Db> {
    let tree = open_sled(to, data)?;
    let file = from.join("db");
    if file.exists() {
        carve(&file, &tree).or_later(|| format!("read {} without sled", file.display()))?;
    }
    Ok(tree)
}

/// The inner error is sled's.
fn open_copy(
    data: &Path,
    (from, to): (PathBuf, PathBuf),
    prepare: fn(&Path) -> std::io::Result<()>,
) -> Result<Result<sled::Db, String>> {
    let what = || format!("copy the store {} to look into it", data.display());
    if to.exists() {
        fs::remove_dir_all(&to).or_later(what)?;
    }
    let store = place::store(&to);
    place::copy_files(&from, &store).or_later(what)?;
    prepare(&store).or_later(what)?;
    Ok(open_sled(&store, data).map_err(|error| error.why().to_owned()))
}

/// How many records and how many queue entries can be read, and of how new a state.
fn worth(tree: &sled::Db) -> (usize, usize, u64) {
    let mut walk = Walk::new(tree);
    let [records, queued] = [b'r', b'q'].map(|family| {
        let mut count = 0;
        // What cannot be read is not counted.
        let _ = walk.items_of(family, &mut |_| {
            count += 1;
            Ok(())
        });
        count
    });
    (records, queued, walk.number(&key::SEQUENCE).unwrap_or(0))
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
