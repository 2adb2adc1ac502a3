//! The last generations with the content of their files, so that one of them can be looked at,
//! compared, and put in force again.
//!
//! They lie in files below the data folder (`generations/`): content by its SHA-256, once however
//! many generations share it, and a list of names for each generation. Each is written whole and
//! flushed before it gets its name. Passwords are not among them: the configuration is kept masked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Context, Error, Result};

/// How many generations are kept.
const MOST: usize = 10;

/// Bytes of all that is kept, each content counted once. The oldest go when there is more.
const MOST_BYTES: u64 = 256 << 20;

/// The generations kept in a data folder.
#[derive(Debug, Clone)]
pub struct Generations {
    folder: PathBuf,
}

/// A generation that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptGeneration {
    /// Its number.
    pub generation: u64,
    /// Its digest.
    pub digest: String,
    /// When it came into force first, RFC 3339.
    pub since: String,
    /// Its files by name, relative to the configuration's folder.
    pub files: BTreeMap<PathBuf, KeptFile>,
}

/// A file of a kept generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
}

/// Which generation is to be in force, where that is not what the files on disk say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The generation in force.
    pub generation: u64,
    /// The fingerprint of the files that it stands in place of: as long as they are as they are, it
    /// stays in force, also after a restart.
    pub instead_of: Option<String>,
    /// Why.
    pub why: Option<String>,
}

impl Generations {
    /// Those of this data folder.
    pub fn of(data: &Path) -> Self {
        Self { folder: data.join("generations") }
    }

    /// Keeps a generation, and forgets the oldest beyond the last ten. One that is kept already, or
    /// larger than all that may be kept, is not written.
    ///
    /// # Errors
    /// The disk fails.
    pub fn keep(
        &self,
        (number, digest, since): (u64, &str, String),
        files: &BTreeMap<PathBuf, Arc<[u8]>>,
    ) -> Result<()> {
        let what = || format!("keep generation {number} in {}", self.folder.display());
        let size: u64 = files.values().map(|bytes| bytes.len() as u64).sum();
        if size > MOST_BYTES || self.list_path(number).exists() {
            return Ok(());
        }
        let content = self.folder.join("content");
        DirBuilder::new().recursive(true).mode(0o700).create(&content).or_later(what)?;
        let mut named = BTreeMap::new();
        for (name, bytes) in files {
            let sha256 = hex(bytes);
            let path = content.join(&sha256);
            if !path.exists() {
                write(&path, bytes).or_later(what)?;
            }
            named.insert(name.clone(), KeptFile { size: bytes.len() as u64, sha256 });
        }
        let digest = digest.to_owned();
        let kept = KeptGeneration { generation: number, digest, since, files: named };
        let list = serde_json::to_vec(&kept).or_later(what)?;
        write(&self.list_path(number), &list).or_later(what)?;
        self.forget_old(number).or_later(what)
    }

    /// Those that are kept, the newest first. One that cannot be read is left out.
    pub fn list(&self) -> Vec<KeptGeneration> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let lists = entries.map(|entry| entry.path()).filter(|path| {
            let number = path.file_stem().and_then(|stem| stem.to_str());
            number.is_some_and(|stem| stem.parse::<u64>().is_ok())
        });
        let mut kept: Vec<KeptGeneration> = lists.filter_map(|path| read(&path)).collect();
        kept.sort_by_key(|kept| std::cmp::Reverse(kept.generation));
        kept
    }

    /// The content of a generation's files.
    ///
    /// # Errors
    /// It is not kept, or was damaged.
    pub fn files(&self, number: u64) -> Result<BTreeMap<PathBuf, Arc<[u8]>>> {
        let what = format!("read generation {number}");
        let Some(kept) = read::<KeptGeneration>(&self.list_path(number)) else {
            return Err(
                Error::permanent(what, "it is not kept").next("see `mailmill generations list`")
            );
        };
        let content = self.folder.join("content");
        let mut files = BTreeMap::new();
        for (name, file) in kept.files {
            let bytes = fs::read(content.join(&file.sha256)).unwrap_or_default();
            if hex(&bytes) != file.sha256 {
                let why = format!("what was kept of {} is damaged", name.display());
                return Err(Error::permanent(what, why));
            }
            files.insert(name, bytes.into());
        }
        Ok(files)
    }

    /// Which generation is to be in force, as it was noted last.
    pub fn standing(&self) -> Standing {
        read(&self.standing_path()).unwrap_or_default()
    }

    /// Notes it.
    ///
    /// # Errors
    /// The disk fails.
    pub fn set_standing(&self, standing: &Standing) -> Result<()> {
        let what = || format!("note the generation in force in {}", self.folder.display());
        if *standing == self.standing() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).or_later(what)?;
        let bytes = serde_json::to_vec(standing).or_later(what)?;
        write(&self.standing_path(), &bytes).or_later(what)
    }

    /// Forgets the oldest, but never `newest` nor the one that is to be in force.
    fn forget_old(&self, newest: u64) -> std::io::Result<()> {
        let standing = self.standing().generation;
        let (mut used, mut bytes) = (BTreeSet::new(), 0);
        for (place, kept) in self.list().into_iter().enumerate() {
            let own = kept.files.values().filter(|file| !used.contains(&file.sha256));
            let own: u64 = own.map(|file| file.size).sum();
            let needed = kept.generation == newest || kept.generation == standing;
            if !needed && (place >= MOST || bytes + own > MOST_BYTES) {
                fs::remove_file(self.list_path(kept.generation))?;
                continue;
            }
            bytes += own;
            used.extend(kept.files.into_values().map(|file| file.sha256));
        }
        for entry in fs::read_dir(self.folder.join("content"))?.flatten() {
            if !entry.file_name().to_str().is_some_and(|name| used.contains(name)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn list_path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.json"))
    }

    fn standing_path(&self) -> PathBuf {
        self.folder.join("standing.json")
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::{Generations, Standing};

    fn files(texts: &[(&str, &str)]) -> BTreeMap<PathBuf, Arc<[u8]>> {
        texts.iter().map(|(name, text)| (name.into(), text.as_bytes().into())).collect()
    }

    #[test]
    fn the_last_ten_are_kept_and_what_they_share_once() {
        let data = tempfile::tempdir().unwrap();
        let kept = Generations::of(data.path());
        for number in 1..=25 {
            let own = format!("rule {number}");
            let files = files(&[("same.csv", "rows"), ("scripts/a.rhai", &own)]);
            kept.keep((number, "d", "2026".into()), &files).unwrap();
            kept.set_standing(&Standing { generation: number, ..Standing::default() }).unwrap();
        }
        let numbers: Vec<u64> = kept.list().iter().map(|kept| kept.generation).collect();
        assert_eq!(numbers, (16..=25).rev().collect::<Vec<_>>());
        assert_eq!(&*kept.files(20).unwrap()[&PathBuf::from("scripts/a.rhai")], b"rule 20");
        assert!(kept.files(15).unwrap_err().to_string().contains("not kept"));
        let content = data.path().join("generations/content");
        assert_eq!(std::fs::read_dir(content).unwrap().count(), 11);
    }

    #[test]
    fn the_one_in_force_is_never_forgotten_and_damage_is_told() {
        let data = tempfile::tempdir().unwrap();
        let kept = Generations::of(data.path());
        let standing = Standing {
            generation: 1,
            instead_of: Some("print".into()),
            why: Some("a person wanted it".into()),
        };
        kept.set_standing(&standing).unwrap();
        for number in 1..=15 {
            let own = format!("rule {number}");
            kept.keep((number, "d", "2026".into()), &files(&[("a", &own)])).unwrap();
        }
        assert!(kept.files(1).is_ok());
        assert_eq!(kept.standing(), standing);
        let sha256 = kept.list().pop().unwrap().files[&PathBuf::from("a")].sha256.clone();
        std::fs::write(data.path().join("generations/content").join(sha256), "else").unwrap();
        assert!(kept.files(1).unwrap_err().to_string().contains("damaged"));
    }
}
