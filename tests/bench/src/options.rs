//! What can be chosen.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::rows::{Load, ROWS, Row};

/// Run the benchmark
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Options {
    /// Messages of the main job (default 10000)
    #[arg(long)]
    messages: Option<usize>,
    /// Rounds; the table has their medians (default 3)
    #[arg(long)]
    rounds: Option<usize>,
    /// Rows to run, by name, with commas; `bare` is what others are compared with
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// 1,000 messages, one round
    #[arg(long)]
    quick: bool,
    /// Also the rows with 100,000 small messages
    #[arg(long)]
    large: bool,
    /// The seed of the mail
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// A program of mailmill that is built already
    #[arg(long, default_value = "target/release/mailmill")]
    pub(crate) mailmill: PathBuf,
    /// The project's folder
    #[arg(long, default_value = ".", hide = true)]
    pub(crate) root: PathBuf,
    /// A folder in memory for mail and server; made, and left to the caller (default: one that is
    /// made and removed)
    #[arg(long)]
    memory: Option<PathBuf>,
    /// A folder on a disk for mailmill's store, logs and reports
    #[arg(long, default_value = "target/bench")]
    pub(crate) disk: PathBuf,
}

impl Options {
    /// Makes the folders and every path absolute.
    pub(crate) fn prepare(mut self) -> Result<Self> {
        fs::create_dir_all(&self.disk)
            .map_err(|why| format!("make {}: {why}", self.disk.display()))?;
        for path in [&mut self.mailmill, &mut self.root, &mut self.disk] {
            let absolute = fs::canonicalize(&*path);
            *path = absolute.map_err(|why| format!("find {}: {why}", path.display()))?;
        }
        Ok(self)
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages.unwrap_or(if self.quick { 1_000 } else { 10_000 })
    }

    pub(crate) fn large_messages(&self) -> usize {
        if self.quick { 10_000 } else { 100_000 }
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }

    /// The rows that were asked for, in the table's order.
    pub(crate) fn rows(&self) -> Result<Vec<Row>> {
        if let Some(unknown) =
            self.only.iter().find(|name| ROWS.iter().all(|row| row.name != **name))
        {
            let known: Vec<_> = ROWS.iter().map(|row| row.name).collect();
            return Err(format!("there is no row {unknown:?}; there are {}", known.join(", ")));
        }
        let asked = |row: &Row| match self.only.as_slice() {
            [] => row.load != Load::Many || self.large,
            only => only.iter().any(|name| name == row.name),
        };
        Ok(ROWS.into_iter().filter(asked).collect())
    }

    /// The folder in memory, made.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let ours = self.memory.is_none();
        let path = self.memory.clone().unwrap_or_else(|| {
            let memory = Path::new("/dev/shm");
            let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
            parent.join(format!("mmbench-{}", std::process::id()))
        });
        // Dovecot's own user must be able to enter.
        let make = || {
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        };
        make().map_err(|why| format!("make {}: {why}", path.display()))?;
        Ok(Memory { path, ours })
    }
}

/// The folder in memory; removed when dropped, unless it was the caller's.
pub(crate) struct Memory {
    pub(crate) path: PathBuf,
    ours: bool,
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
