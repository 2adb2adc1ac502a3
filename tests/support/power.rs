//! A loss of power for one process: `power.c`, built once and loaded into the engine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The library, built from `power.c`.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/power.c");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let fresh = folder.path().join("power.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-pthread", "-o"])
            .args([&fresh, &source])
            .arg("-ldl")
            .status()
            .expect("cc is missing: `tests/run` installs it");
        assert!(built.success(), "power.c does not compile");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("power.so");
        // Another test process may have it loaded: the name changes hands, the file does not change.
        std::fs::rename(fresh, &library).unwrap();
        library
    })
}

/// Makes a command one that SIGPWR takes the power from: what it changed below `root` and did not
/// sync is lost then, all of it with seed 0, else some of it.
pub fn powered<'c>(command: &'c mut Command, root: &Path, seed: u64) -> &'c mut Command {
    command
        .env("LD_PRELOAD", library())
        .env("MAILMILL_POWER_ROOT", root)
        .env("MAILMILL_POWER_SEED", seed.to_string())
}
