//! Where a path leads, step by step: the directories in which a change could make it lead elsewhere.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Links that are followed at most, as the kernel does.
const MOST_LINKS: usize = 40;

/// Directories above a file that are watched for being replaced; links are wherever they stand. What
/// happens farther up is found by looking, every half minute.
const ABOVE: usize = 3;

/// Each name on the way to this path that matters, with the real directory it stands in. The way may
/// end early: at what is missing.
pub(super) fn hops(path: &Path) -> Vec<(PathBuf, OsString)> {
    walk(path).0
}

/// The path with all links followed, as far as it is there.
pub(super) fn real(path: &Path) -> PathBuf {
    walk(path).1
}

fn walk(path: &Path) -> (Vec<(PathBuf, OsString)>, PathBuf) {
    let mut hops = Vec::new();
    let mut at = PathBuf::from("/");
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut rest: VecDeque<OsString> = names(&path).collect();
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let target = std::fs::read_link(&next).ok().filter(|_| links < MOST_LINKS);
        if target.is_some() || rest.len() < ABOVE {
            hops.push((at.clone(), name));
        }
        match target {
            Some(target) => {
                links += 1;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                names(&target).rev().for_each(|name| rest.push_front(name));
            }
            None => at = next,
        }
    }
    (hops, at)
}

fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}

/// The kind of a file system that does not tell what others write to it; `None` for any other.
pub(super) fn mute(folder: &Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(folder).ok()?;
    // `f_type` differs in width between machines; the numbers are those of statfs(2).
    Some(match found.f_type as u64 & 0xffff_ffff {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE",
        0x786f_4256 => "a VirtualBox share",
        0x00c3_6400 => "Ceph",
        0x5346_414f => "AFS",
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::{hops, real};

    #[test]
    fn every_link_on_the_way_is_a_hop() {
        // As Kubernetes mounts a ConfigMap.
        let mount = tempfile::tempdir().unwrap();
        let mount = mount.path().canonicalize().unwrap();
        std::fs::create_dir(mount.join("..2026_1")).unwrap();
        std::fs::write(mount.join("..2026_1/a.rhai"), "").unwrap();
        symlink("..2026_1", mount.join("..data")).unwrap();
        symlink("..data/a.rhai", mount.join("a.rhai")).unwrap();
        let found = hops(&mount.join("a.rhai"));
        for (folder, name) in [("", "a.rhai"), ("", "..data"), ("..2026_1", "a.rhai")] {
            let folder = mount.join(folder).components().collect::<PathBuf>();
            assert!(found.contains(&(folder, name.into())), "{name}: {found:?}");
        }
        assert_eq!(real(&mount.join("a.rhai")), mount.join("..2026_1/a.rhai"));
    }

    #[test]
    fn what_is_missing_or_goes_round_ends_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let found = hops(&folder.join("gone/x"));
        assert!(found.contains(&(folder.clone(), "gone".into())), "{found:?}");
        symlink("b", folder.join("a")).unwrap();
        symlink("a", folder.join("b")).unwrap();
        assert!(hops(&folder.join("a/x")).len() < 100);
    }
}
