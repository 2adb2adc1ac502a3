//! One process holds the store: a locked file `pid` in its folder that names the holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

/// A process that is just being started by its last holder holds the lock, too, until it runs.
const STARTING: Duration = Duration::from_millis(300);

/// The hold on a store's folder. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Lets go at once: a child process that was just started has a copy of the file until it runs
    /// its own program, and closing ours would not end its hold.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the folder; a holder that lets go within `patience` is waited for.
    pub(super) fn take(folder: &Path, patience: Duration) -> Result<Self> {
        let path = folder.join("pid");
        let what = || format!("lock the store {}", folder.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .or_later(what)?;
        let until = Instant::now() + patience.max(STARTING);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Err(taken(folder, &mut file)),
                Err(TryLockError::Error(why)) => return Err(Error::temporary(what(), why)),
            }
        }
        file.set_len(0).or_later(what)?;
        writeln!(file, "{}", std::process::id()).or_later(what)?;
        Ok(Self { file })
    }
}

fn taken(folder: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    // The holder may not have written its pid yet, and anything may stand in a file.
    let _ = file.take(20).read_to_string(&mut text);
    let holder = match text.trim().parse::<u32>() {
        Ok(pid) => format!("another process holds it (pid {pid})"),
        Err(_) => "another process holds it".into(),
    };
    Error::permanent(format!("open the store {}", folder.display()), holder)
        .next("stop that process first, or ask the running engine: only one may hold a store")
}
