//! Compares what lies where after a run with the right answer.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use crate::Result;
use crate::corpus::{ID, Sample};

/// Bytes of a message in which its id stands.
const HEAD: u64 = 8 << 10;

/// Whether a client can set flags on what it sorts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flags {
    Compared,
    /// It cannot: they are not looked at.
    Without,
}

struct Found {
    mailbox: String,
    flagged: bool,
    size: u64,
}

/// `ok`, or what differs, with an example of each sort.
pub(crate) fn compare(root: &Path, samples: &[Sample], flags: Flags) -> Result<String> {
    let mut found = messages(root)?;
    let mut faults: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut fault = |sort, example: String| {
        faults.entry(sort).or_insert((0, example)).0 += 1;
    };
    for sample in samples {
        let here = found.remove(&sample.id.to_string()).unwrap_or_default();
        match here.as_slice() {
            [] => fault("missing", format!("{}", sample.id)),
            [one] => {
                if let Some((sort, example)) = differs(one, sample, flags) {
                    fault(sort, example);
                }
            }
            _ => fault("more than once", format!("{}", sample.id)),
        }
    }
    for (id, here) in found {
        fault("foreign", format!("{id:?} in {}", here[0].mailbox));
    }
    let told =
        faults.iter().map(|(sort, (count, example))| format!("{count} {sort} (as {example})"));
    let told = told.collect::<Vec<_>>().join(", ");
    Ok(match (told.is_empty(), flags) {
        (true, Flags::Compared) => "ok".into(),
        (true, Flags::Without) => "ok, no flags".into(),
        _ => told,
    })
}

fn differs(found: &Found, sample: &Sample, flags: Flags) -> Option<(&'static str, String)> {
    let id = sample.id;
    if found.mailbox != sample.mailbox {
        return Some(("elsewhere", format!("{id} in {}, not {}", found.mailbox, sample.mailbox)));
    }
    if flags == Flags::Compared && found.flagged != sample.flagged {
        return Some(("wrongly flagged", format!("{id}, right: {}", sample.flagged)));
    }
    if found.size != sample.size {
        return Some(("changed", format!("{id} has {}, not {} bytes", found.size, sample.size)));
    }
    None
}

/// All messages below a Maildir with its subfolders, by id.
fn messages(root: &Path) -> Result<BTreeMap<String, Vec<Found>>> {
    let mut found = BTreeMap::new();
    folder(root, "INBOX", &mut found)?;
    let entries = fs::read_dir(root).map_err(|why| format!("read {}: {why}", root.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_prefix('.').filter(|_| entry.path().join("cur").is_dir()) {
            folder(&entry.path(), &name.replace('.', "/"), &mut found)?;
        }
    }
    Ok(found)
}

fn folder(path: &Path, mailbox: &str, found: &mut BTreeMap<String, Vec<Found>>) -> Result<()> {
    for part in ["cur", "new"] {
        let Ok(entries) = fs::read_dir(path.join(part)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let flagged = name.rsplit_once(":2,").is_some_and(|(_, flags)| flags.contains('F'));
            let (id, size) = read(&entry.path())?;
            found.entry(id).or_default().push(Found { mailbox: mailbox.into(), flagged, size });
        }
    }
    Ok(())
}

/// A message's id and its size.
fn read(path: &Path) -> Result<(String, u64)> {
    let what = |why: std::io::Error| format!("read {}: {why}", path.display());
    let file = fs::File::open(path).map_err(what)?;
    let size = file.metadata().map_err(what)?.len();
    let mut head = Vec::with_capacity(HEAD as usize);
    file.take(HEAD).read_to_end(&mut head).map_err(what)?;
    let field = format!("\n{ID}: ");
    let id = memchr::memmem::find(&head, field.as_bytes()).map(|at| {
        let rest = &head[at + field.len()..];
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        String::from_utf8_lossy(&rest[..end]).trim().to_owned()
    });
    Ok((id.unwrap_or_else(|| path.display().to_string()), size))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{Flags, compare};
    use crate::corpus::{Profile, Sample, write};

    /// A folder that is removed again.
    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn folder(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("mmbench-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn put(root: &Path, sample: &Sample, mailbox: &str, flags: &str) -> PathBuf {
        let folder = root.join(format!(".{}", mailbox.replace('/', "."))).join("cur");
        fs::create_dir_all(&folder).unwrap();
        let name = sample.file.file_name().unwrap().to_string_lossy();
        let to = folder.join(format!("{name}:2,{flags}"));
        fs::copy(&sample.file, &to).unwrap();
        to
    }

    /// Everything where it belongs.
    fn sorted(samples: &[Sample], root: &Path) -> Vec<PathBuf> {
        let place = |sample: &Sample| {
            put(root, sample, &sample.mailbox, if sample.flagged { "FS" } else { "S" })
        };
        samples.iter().map(place).collect()
    }

    #[test]
    fn what_is_right_is_ok_and_what_is_not_is_told() {
        let (mail, root) = (folder("mail"), folder("sorted"));
        let samples = write(&mail.0, Profile::Small, 40, 7).unwrap();
        let files = sorted(&samples, &root.0);
        assert_eq!(compare(&root.0, &samples, Flags::Compared).unwrap(), "ok");
        assert_eq!(compare(&root.0, &samples, Flags::Without).unwrap(), "ok, no flags");

        fs::remove_file(&files[0]).unwrap();
        put(&root.0, &samples[1], "Trash", "");
        let elsewhere = root.0.join("cur");
        fs::create_dir_all(&elsewhere).unwrap();
        fs::rename(&files[2], elsewhere.join("2:2,")).unwrap();
        fs::write(&files[3], format!("a\nX-Bench-Id: {}\n\n", samples[3].id)).unwrap();
        let flagged = samples.iter().position(|sample| sample.flagged && sample.id > 3).unwrap();
        fs::rename(&files[flagged], files[flagged].with_extension("x:2,")).unwrap();
        fs::write(elsewhere.join("stranger"), "no id").unwrap();
        let told = compare(&root.0, &samples, Flags::Compared).unwrap();
        for part in [
            "1 missing (as 0)",
            "1 more than once (as 1)",
            "1 elsewhere (as 2 in INBOX, not ",
            "1 changed (as 3 has ",
            "1 wrongly flagged (as ",
            "1 foreign (as ",
        ] {
            assert!(told.contains(part), "{part} is not in: {told}");
        }
    }
}
