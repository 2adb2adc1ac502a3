//! What a person is told about a wrong configuration: every fault at once, each with its place and
//! what to write instead, and never a password.

mod broken;
mod good;
mod secrets;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mailmill::cli::check::{self, Args};
use mailmill::cli::{ConfigArg, Exit, Output};
use mailmill::config::Config;
use tempfile::TempDir;

/// A folder with a configuration that others can read, as most are.
struct Desk {
    folder: TempDir,
}

/// What `check` gave.
struct Told {
    exit: Exit,
    out: String,
    err: String,
}

impl Desk {
    fn new(config: impl AsRef<[u8]>) -> Self {
        let desk = Self { folder: TempDir::new().unwrap() };
        desk.write("mailmill.toml", config).mode("mailmill.toml", 0o644)
    }

    fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    fn mode(self, name: &str, mode: u32) -> Self {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.path(name), permissions).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `mailmill check`, the folder's own name replaced.
    fn check(&self, file: &str) -> Told {
        self.call(&Args { config: ConfigArg { config: self.path(file) }, json: false })
    }

    fn check_json(&self, file: &str) -> Told {
        self.call(&Args { config: ConfigArg { config: self.path(file) }, json: true })
    }

    fn call(&self, args: &Args) -> Told {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = check::run(args, &mut Output { out: &mut out, err: &mut err });
        let text = |bytes: Vec<u8>| {
            let folder = self.folder.path().to_str().unwrap();
            String::from_utf8(bytes).unwrap().replace(folder, "FOLDER")
        };
        Told { exit, out: text(out), err: text(err) }
    }
}

/// The faults of a configuration, which must have some.
#[track_caller]
fn faults(config: &str) -> String {
    told(&Desk::new(config))
}

#[track_caller]
fn told(desk: &Desk) -> String {
    let told = desk.check("mailmill.toml");
    assert_eq!(told.exit, Exit::Config, "{}{}", told.out, told.err);
    assert_eq!(told.out, "", "faults belong on standard error");
    told.err
}

/// A configuration that must be right.
#[track_caller]
fn config(text: &str) -> Config {
    load(&Desk::new(text).path("mailmill.toml"))
}

#[track_caller]
fn load(file: &Path) -> Config {
    Config::load(file).unwrap_or_else(|faults| panic!("{faults}"))
}
