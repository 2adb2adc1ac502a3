//! Makes a new store out of items, beside the one in use, and puts it in its place when it is whole
//! and durable ([`super::place`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::Disk;
use super::draft::Draft;
use super::entry::Item;
use super::place::{self, Replaced};
use crate::error::{Context, Result};

/// Items that are written at once.
const BATCH: usize = 500;

/// A store in the making.
pub(super) struct Builder {
    data: PathBuf,
    disk: Disk,
    items: Vec<Item>,
}

impl Builder {
    /// Begins with nothing. The caller holds the data folder's lock.
    pub(super) fn new(data: &Path) -> Result<Self> {
        place::sweep_building(data).or_later(|| what(data))?;
        let disk = Disk::open(&place::building(data), Duration::ZERO)?;
        Ok(Self { data: data.to_owned(), disk, items: Vec::new() })
    }

    /// Adds an item.
    pub(super) fn add(&mut self, item: Item) -> Result<()> {
        self.items.push(item);
        if self.items.len() < BATCH { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<()> {
        let mut draft = Draft::new(&self.disk);
        for item in &self.items {
            draft.restore(item)?;
        }
        self.disk.apply(draft.into_batch())?;
        self.items.clear();
        Ok(())
    }

    /// Marks it as one that may know less than was done, makes it outdo `commits` acknowledged by
    /// another, and puts it in place; says where the replaced one is kept.
    pub(super) fn finish(mut self, commits: u64, fate: Replaced) -> Result<Option<PathBuf>> {
        self.write()?;
        let mut draft = Draft::new(&self.disk);
        draft.salvaged();
        self.disk.raise_sequence(commits);
        let sequence = self.disk.apply(draft.into_batch())?;
        self.disk.make_durable(sequence)?;
        let Self { data, disk, .. } = self;
        drop(disk);
        place::complete(&data).or_later(|| what(&data))?;
        place::swap(&data, fate).or_later(|| what(&data))
    }
}

fn what(data: &Path) -> String {
    format!("make a new store in {}", data.display())
}
