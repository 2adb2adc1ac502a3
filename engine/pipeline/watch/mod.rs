//! Sees when files change. Directories are watched, never files: editors and deployers replace files
//! by renaming, and a watch on a file stays with the old one.
//!
//! What is watched is every directory in which something decides where a path leads: the one of the
//! file, those above it, and that of every symbolic link on the way ([`hops`]), so that a link that is
//! turned to another folder (Kubernetes' `..data`, a git worktree) is seen. Events only say that it is
//! time to look; whether anything changed is told by the files themselves. Reading is no event. notify
//! lives here alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use notify::{Event, RecursiveMode, Watcher};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep_until};

mod hops;

/// Files that keep changing are looked at all the same after this time.
const LONGEST: Duration = Duration::from_secs(3);

/// Sees changes of files and says when they have been left alone.
pub struct Watch {
    watcher: Option<notify::RecommendedWatcher>,
    names: Arc<RwLock<Names>>,
    events: Receiver<()>,
    /// Lets the receiver wait for ever where nothing is watched.
    _own: Sender<()>,
    /// The watched directories, by what they were when they were armed.
    armed: BTreeMap<PathBuf, (u64, u64)>,
    /// The first and the last event that was not told yet.
    pending: Option<(Instant, Instant)>,
}

/// What in each directory is of interest.
type Names = HashMap<PathBuf, Interest>;

#[derive(Debug, Default)]
struct Interest {
    /// Any name that is no editor's own.
    any: bool,
    /// Names that end so, but for hidden ones.
    endings: BTreeSet<&'static str>,
    names: BTreeSet<OsString>,
}

impl Interest {
    fn counts(&self, name: &OsStr) -> bool {
        let name = name.as_encoded_bytes();
        self.any || self.endings.iter().any(|ending| name.ends_with(ending.as_bytes()))
    }
}

/// What came of arming.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Armed {
    /// Whether a directory is watched that was not before: it may have changed unseen until now.
    pub fresh: bool,
    /// Why not all changes will be told, if so.
    pub trouble: Option<String>,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> Self {
        let (send, events) = channel(1);
        let names = Arc::<RwLock<Names>>::default();
        let (own, seen) = (send.clone(), names.clone());
        let handle = move |event: notify::Result<Event>| {
            // An error may have cost events. Where one waits already, this one says nothing new.
            if event.map_or(true, |event| matters(&event, &seen)) {
                let _ = send.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(handle).ok();
        Self { watcher, names, events, _own: own, armed: BTreeMap::new(), pending: None }
    }

    /// Watches what decides where `files` lead, all of what is in `folders`, and in `listed` what ends
    /// so; no more what was watched before. To be called again after each change: links may lead elsewhere by then, and a
    /// directory may be another one of the same name.
    pub fn arm<'p>(
        &mut self,
        files: impl Iterator<Item = &'p Path>,
        folders: impl Iterator<Item = &'p Path>,
        listed: impl Iterator<Item = (&'p Path, &'static [&'static str])>,
    ) -> Armed {
        let mut wanted = Names::new();
        for (folder, name) in files.flat_map(hops::hops) {
            wanted.entry(folder).or_default().names.insert(name);
        }
        for path in folders {
            for (folder, name) in hops::hops(path) {
                wanted.entry(folder).or_default().names.insert(name);
            }
            wanted.entry(hops::real(path)).or_default().any = true;
        }
        for (path, endings) in listed {
            for (folder, name) in hops::hops(path) {
                wanted.entry(folder).or_default().names.insert(name);
            }
            wanted.entry(hops::real(path)).or_default().endings.extend(endings);
        }
        let folders: BTreeSet<PathBuf> = wanted.keys().cloned().collect();
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = wanted;
        self.rearm(&folders)
    }

    fn rearm(&mut self, folders: &BTreeSet<PathBuf>) -> Armed {
        let Some(watcher) = &mut self.watcher else {
            let trouble = Some("the system gives no watch (inotify)".to_owned());
            return Armed { fresh: false, trouble };
        };
        let mut armed = Armed::default();
        self.armed.retain(|folder, id| {
            let stays = folders.contains(folder) && identity(folder) == Some(*id);
            if !stays {
                // Of one that is gone the watch is gone, too.
                let _ = watcher.unwatch(folder);
            }
            stays
        });
        for folder in folders {
            let Some(id) = identity(folder).filter(|_| !self.armed.contains_key(folder)) else {
                continue;
            };
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    armed.fresh = true;
                    self.armed.insert(folder.clone(), id);
                }
                Err(why) => armed.trouble = Some(format!("{}: {why}", folder.display())),
            }
        }
        let mute = folders.iter().find_map(|folder| Some((folder, hops::mute(folder)?)));
        if let Some((folder, kind)) = mute {
            armed.trouble = Some(format!("{} is on {kind}", folder.display()));
        }
        armed
    }

    /// Returns when something happened and then nothing more for `quiet`, at most three seconds after
    /// the first event. May be dropped and called again: nothing is lost.
    pub async fn dirty(&mut self, quiet: Duration) {
        loop {
            let Some((first, last)) = self.pending else {
                let _ = self.events.recv().await;
                self.stir();
                continue;
            };
            let due = (last + quiet).min(first + LONGEST);
            tokio::select! {
                _ = self.events.recv() => self.pending = Some((first, Instant::now())),
                () = sleep_until(due) => {
                    self.pending = None;
                    return;
                }
            }
        }
    }

    /// As if something had happened.
    pub fn stir(&mut self) {
        let now = Instant::now();
        self.pending.get_or_insert((now, now)).1 = now;
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("armed", &self.armed).finish_non_exhaustive()
    }
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(folder).ok()?;
    found.is_dir().then(|| (found.dev(), found.ino()))
}

/// Whether an event may be about what is watched. One that tells of lost events names nothing.
fn matters(event: &Event, names: &RwLock<Names>) -> bool {
    if event.need_rescan() {
        return true;
    }
    if event.kind.is_access() {
        return false;
    }
    let names = names.read().unwrap_or_else(PoisonError::into_inner);
    event.paths.iter().any(|path| {
        let inside = path.parent().and_then(|folder| names.get(folder));
        let wanted = inside.zip(path.file_name()).is_some_and(|(interest, name)| {
            interest.names.contains(name) || (interest.counts(name) && !is_editors_own(name))
        });
        wanted || names.contains_key(path)
    })
}

/// Names that editors and deployers use on the way to the real one.
fn is_editors_own(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let endings: [&[u8]; 5] = [b"~", b".swp", b".swx", b".tmp", b".bak"];
    name.starts_with(b".")
        || name.starts_with(b"#")
        || name == b"4913"
        || endings.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::PathBuf;
    use std::sync::RwLock;

    use notify::Event;
    use notify::event::{AccessKind, CreateKind, EventKind, Flag};

    use super::{Interest, Names, is_editors_own, matters};

    #[test]
    fn reading_is_no_event_and_lost_events_are_one() {
        let mut names = Names::new();
        names.insert("/rules".into(), Interest { any: true, ..Default::default() });
        let mut link = Interest::default();
        link.names.insert("..data".into());
        link.endings.insert(".test.toml");
        names.insert("/mount".into(), link);
        let names = RwLock::new(names);
        let event = |kind, path: &str| Event::new(kind).add_path(PathBuf::from(path));
        let created = EventKind::Create(CreateKind::Any);
        assert!(matters(&event(created, "/rules/a.rhai"), &names));
        assert!(matters(&event(created, "/rules"), &names), "the folder itself");
        assert!(matters(&event(created, "/mount/..data"), &names));
        assert!(!matters(&event(created, "/mount/other"), &names));
        assert!(matters(&event(created, "/mount/new.test.toml"), &names));
        assert!(!matters(&event(created, "/rules/.a.rhai.swp"), &names));
        let read = EventKind::Access(AccessKind::Any);
        assert!(!matters(&event(read, "/rules/a.rhai"), &names));
        assert!(matters(&Event::new(EventKind::Other).set_flag(Flag::Rescan), &names));
    }

    #[test]
    fn names_of_editors_are_known() {
        for name in [".x.rhai.swp", "x.rhai~", "4913", "#x#", ".goutputstream-ABC", "x.tmp"] {
            assert!(is_editors_own(OsStr::new(name)), "{name}");
        }
        assert!(!is_editors_own(OsStr::new("x.rhai")));
    }
}
