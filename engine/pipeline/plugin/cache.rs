//! Compiled plugins kept on disk, so that a start or a reload takes milliseconds instead of seconds.
//!
//! A file is named by the SHA-256 of the plugin and by what the engine's machine code depends on, so
//! another plugin, engine or setting finds none. Machine code is believed without being checked by
//! the engine, so only what this user alone can have written is read: from a folder that is his and
//! closed to all others, and with the digest that stands at the file's head.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Files kept; the oldest go when there are more.
const MOST_FILES: usize = 64;

/// Bytes of one file that are read.
const MOST_BYTES: u64 = 512 << 20;

/// Bytes of the digest at a file's head.
const HEAD: usize = 32;

/// Where compiled plugins lie.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The cache below the engine's data folder. Where that folder is missing, or is not this user's
    /// alone, nothing is kept and nothing believed.
    pub fn below(data: &Path) -> Self {
        Self { folder: Some(data.join("compiled")) }
    }

    /// No cache: nothing is kept.
    pub fn none() -> Self {
        Self { folder: None }
    }

    /// The component, from the cache or compiled and then kept.
    ///
    /// # Errors
    /// It does not compile.
    pub(super) fn component(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Component> {
        let Some(folder) = &self.folder else { return Component::new(engine, wasm) };
        let file = folder.join(name(engine, wasm));
        if let Some(component) = kept(engine, folder, &file) {
            return Ok(component);
        }
        let component = Component::new(engine, wasm)?;
        // What cannot be kept is compiled again next time.
        let _ = component.serialize().map(|code| keep(folder, &file, &code));
        Ok(component)
    }
}

fn kept(engine: &Engine, folder: &Path, file: &Path) -> Option<Component> {
    if !is_private(folder) {
        return None;
    }
    let code = read(file).ok()??;
    deserialize(engine, &code).ok()
}

fn keep(folder: &Path, file: &Path, code: &[u8]) -> io::Result<()> {
    if !folder.exists() {
        DirBuilder::new().mode(0o700).create(folder)?;
    }
    if !is_private(folder) {
        return Ok(());
    }
    let partial = file.with_extension(format!("{}.partial", std::process::id()));
    let mut writer =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    writer.write_all(&Sha256::digest(code))?;
    writer.write_all(code)?;
    fs::rename(&partial, file)?;
    prune(folder)
}

fn prune(folder: &Path) -> io::Result<()> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(MOST_FILES);
    files.iter().take(surplus).try_for_each(|(_, file)| fs::remove_file(file))
}

fn name(engine: &Engine, wasm: &[u8]) -> String {
    let mut settings = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut settings);
    let digest: String = Sha256::digest(wasm).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digest}-{:016x}.cwasm", settings.finish())
}

/// Whether the folder is this user's and nobody else may enter it.
fn is_private(folder: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == own && found.mode() & 0o077 == 0)
}

/// The machine code of a file; `None` where its digest does not fit.
fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    if bytes.len() < HEAD {
        return Ok(None);
    }
    let code = bytes.split_off(HEAD);
    Ok((Sha256::digest(&code)[..] == bytes[..]).then_some(code))
}

#[allow(
    unsafe_code,
    reason = "machine code that this user's own engine wrote; see the file's head"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes came from `Component::serialize` of an engine of this user: they lay in a
    // folder that no other user can write to, under a name made of this engine's settings, and
    // their digest says that they are whole. wasmtime itself refuses those of another version.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use wasmtime::Engine;

    use super::Cache;

    fn files(data: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(data.join("compiled")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    #[test]
    fn a_plugin_is_compiled_once_and_a_damaged_file_is_made_anew() {
        let (data, engine) = (tempfile::tempdir().unwrap(), Engine::default());
        let wasm = wat::parse_str("(component (core module (func)))").unwrap();
        let cache = Cache::below(data.path());
        cache.component(&engine, &wasm).unwrap();
        let file = files(data.path()).pop().unwrap();
        let first = fs::read(&file).unwrap();
        assert!(super::kept(&engine, file.parent().unwrap(), &file).is_some());
        fs::write(&file, &first[..first.len() / 2]).unwrap();
        assert!(super::kept(&engine, file.parent().unwrap(), &file).is_none());
        cache.component(&engine, &wasm).unwrap();
        assert_eq!(fs::read(&file).unwrap(), first);
    }

    #[test]
    fn nothing_is_believed_in_a_folder_that_others_can_enter() {
        let (data, engine) = (tempfile::tempdir().unwrap(), Engine::default());
        let wasm = wat::parse_str("(component (core module (func)))").unwrap();
        let cache = Cache::below(data.path());
        cache.component(&engine, &wasm).unwrap();
        let file = files(data.path()).pop().unwrap();
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(data.path().join("compiled"), open).unwrap();
        assert!(super::kept(&engine, file.parent().unwrap(), &file).is_none());
    }

    #[test]
    fn without_a_data_folder_nothing_is_kept_and_all_works() {
        let (data, engine) = (tempfile::tempdir().unwrap(), Engine::default());
        let wasm = wat::parse_str("(component)").unwrap();
        let missing = data.path().join("missing");
        Cache::below(&missing).component(&engine, &wasm).unwrap();
        assert!(!missing.exists());
    }
}
