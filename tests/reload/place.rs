//! File systems to watch: the usual one, tmpfs, and a bind mount where mounting is permitted.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A folder on a file system.
pub struct Place {
    pub name: &'static str,
    folder: PathBuf,
    mounted: bool,
    _behind: Option<TempDir>,
    _own: Option<TempDir>,
}

impl Place {
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
        }
    }
}

/// Those that there are; what is not permitted is said.
pub fn places() -> Vec<Place> {
    let usual = tempfile::tempdir().unwrap();
    let folder = usual.path().to_owned();
    let usual = Place { name: "usual", folder, mounted: false, _behind: None, _own: Some(usual) };
    let mounted = [("tmpfs", true), ("bind", false)].into_iter().filter_map(|(name, tmpfs)| {
        let (own, behind) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = own.path().to_owned();
        let mut mount = Command::new("mount");
        match tmpfs {
            true => mount.args(["-t", "tmpfs", "tmpfs"]),
            false => mount.arg("--bind").arg(behind.path()),
        };
        let done = mount.arg(&folder).output().is_ok_and(|output| output.status.success());
        if !done {
            println!("{name}: mounting is not permitted here, so this is not tested");
            return None;
        }
        Some(Place { name, folder, mounted: true, _behind: Some(behind), _own: Some(own) })
    });
    std::iter::once(usual).chain(mounted).collect()
}
