//! The loss of power itself: that what `power.c` takes back is what was not synced.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Signal, getpid, kill_process};

use crate::support::power::powered;

const CHILD_FOLDER: &str = "MAILMILL_TEST_POWER_FOLDER";

#[test]
fn what_was_not_synced_is_lost_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["crash::power::child_loses_power", "--exact", "--test-threads=1"]);
    child.env(CHILD_FOLDER, folder.path());
    let ended = powered(&mut child, folder.path(), 0).output().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.status), Some(9), "{ended:?}");
    let mut found: Vec<String> = Vec::new();
    for place in ["", "synced", "unsynced"] {
        let Ok(files) = fs::read_dir(folder.path().join(place)) else { continue };
        for file in files.map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
            let name = file.strip_prefix(folder.path()).unwrap().display().to_string();
            found.push(format!("{name}: {}", fs::read_to_string(file).unwrap()));
        }
    }
    found.sort();
    assert_eq!(
        found,
        [
            "moved: m",
            "new: new",
            "overwritten: old",
            "pages: one\n",
            "synced/kept: k",
            "unlinked: u"
        ]
    );
    assert!(!folder.path().join("unsynced").exists());
}

fn write(path: &Path, text: &str) -> File {
    let mut file = File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Not a test by itself: the process of [`what_was_not_synced_is_lost_and_nothing_else`].
#[test]
fn child_loses_power() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let folder = Path::new(&folder);
    let sync = |path: &Path| File::open(path).unwrap().sync_all().unwrap();
    fs::create_dir(folder.join("synced")).unwrap();
    for (name, text) in [("overwritten", "old"), ("new", "new"), ("moving", "m"), ("unlinked", "u")]
    {
        write(&folder.join(name), text).sync_all().unwrap();
    }
    let mut pages = write(&folder.join("pages"), "one\n");
    pages.sync_data().unwrap();
    sync(folder);
    // Durable: a rename by a system call of its own, and a file in a folder of its own.
    renameat_with(CWD, folder.join("moving"), CWD, folder.join("moved"), RenameFlags::NOREPLACE)
        .unwrap();
    write(&folder.join("synced/kept"), "k").sync_all().unwrap();
    sync(&folder.join("synced"));
    sync(folder);
    // Lost.
    pages.write_all(&[b'x'; 10_000]).unwrap();
    fs::rename(folder.join("new"), folder.join("overwritten")).unwrap();
    renameat_with(CWD, folder.join("moved"), CWD, folder.join("away"), RenameFlags::NOREPLACE)
        .unwrap();
    fs::remove_file(folder.join("unlinked")).unwrap();
    fs::hard_link(folder.join("away"), folder.join("linked")).unwrap();
    write(&folder.join("synced/created"), "c").sync_all().unwrap();
    write(&folder.join("synced/kept"), "changed");
    fs::create_dir(folder.join("unsynced")).unwrap();
    write(&folder.join("unsynced/in"), "i").sync_all().unwrap();
    sync(&folder.join("unsynced"));
    kill_process(getpid(), Signal::POWER).unwrap();
    std::thread::park();
}
