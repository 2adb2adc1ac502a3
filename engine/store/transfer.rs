//! The content of a store as lines of JSON, out and in again.
//!
//! The first line is the header (`{"mailmill_store":1,…}`), the last one `{"end":{…}}`; each line
//! between is one item: `{"record":{…}}`, `{"cursor":{…}}`, `{"state":{…}}`, `{"link":{…}}`,
//! `{"arrived":{…}}`, `{"queue":{…}}`, `{"generation":{…}}`, `{"ids":{…}}`. Nothing is in memory as a whole.

use std::fs::DirBuilder;
use std::io::{BufRead, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::build::Builder;
use super::check;
use super::disk::Disk;
use super::entry::Item;
use super::fence::fenced;
use super::lock::Lock;
use super::place::{self, Replaced};
use super::scratch::Scratch;
use super::walk::Walk;
use super::witness::Witness;
use super::{Store, key, value};
use crate::error::{Context, Error, Result};

/// The version of the form.
const FORM: u32 = 1;

/// The most bytes of one line: a record in JSON within JSON.
const LINE: u64 = 4 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    mailmill_store: u32,
    by: String,
    commits: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Trailer {
    end: End,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    items: u64,
    whole: bool,
}

/// How an export went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The lines between the first and the last.
    pub items: u64,
    /// What could not be read, a line each; empty where everything was.
    pub lost: Vec<String>,
}

/// Writes out the store of a data folder that no engine uses; it is opened as a copy. A damaged one
/// gives what can be read of it.
///
/// # Errors
/// Another process holds the store, there is none, or `out` cannot be written.
pub fn export(data: &Path, out: &mut dyn Write) -> Result<Exported> {
    check::must_be_there(data)?;
    let _lock = Lock::take(data, check::BRIEFLY)?;
    let mut scratch = Scratch::of(data)?;
    let wrong = check::survey(&scratch, data).wrong;
    if !wrong.is_empty() {
        scratch = scratch.best(data)?;
    }
    match scratch.tree() {
        Some(tree) => export_tree(tree, wrong, out),
        None => Ok(Exported { items: 0, lost: wrong }),
    }
}

impl Store {
    /// Writes out the whole store as it is at one moment; commits wait meanwhile.
    ///
    /// # Errors
    /// The store cannot be read, or `out` cannot be written.
    pub fn export(&self, out: &mut dyn Write) -> Result<Exported> {
        let _whole = self.disk.reading();
        export_tree(self.disk.tree(), Vec::new(), out)
    }
}

/// `wrong` is what is known to be missing.
fn export_tree(tree: &sled::Db, wrong: Vec<String>, out: &mut dyn Write) -> Result<Exported> {
    let mut walk = Walk::new(tree);
    let commits = walk.number(&key::SEQUENCE).unwrap_or(0);
    let by = env!("CARGO_PKG_VERSION").into();
    let mut lines = Lines { out, items: 0 };
    lines.write(&Header { mailmill_store: FORM, by, commits })?;
    for item in walk.counters() {
        lines.item(&item)?;
    }
    walk.items(&mut |item| lines.item(&item))?;
    let items = lines.items;
    let mut lost = wrong;
    lost.extend(walk.lost.lines());
    lines.write(&Trailer { end: End { items, whole: lost.is_empty() } })?;
    lines.out.flush().or_later(writing)?;
    Ok(Exported { items, lost })
}

struct Lines<'a> {
    out: &'a mut dyn Write,
    items: u64,
}

impl Lines<'_> {
    fn item(&mut self, item: &Item) -> Result<()> {
        self.items += 1;
        self.write(item)
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(line).or_later(writing)?;
        writeln!(self.out, "{line}").or_later(writing)
    }
}

fn writing() -> String {
    "write the export".into()
}

impl Walk<'_> {
    /// A number of the store itself.
    pub(super) fn number(&mut self, key: &[u8]) -> Option<u64> {
        value::numbered(&self.get(key)?).ok().map(|(number, _)| number)
    }

    /// The newest generation and the ids that were given.
    pub(super) fn counters(&mut self) -> Vec<Item> {
        let generation = self.get(&key::GENERATION);
        let generation = generation.and_then(|bytes| value::numbered(&bytes).ok());
        let highest = self.number(&key::HIGHEST).unwrap_or(0);
        let pruned = self.number(&key::PRUNED).unwrap_or(0);
        let queue = self.number(&key::QUEUE_HIGHEST).unwrap_or(0);
        let generation = generation.map(|(number, digest)| Item::Generation { number, digest });
        generation.into_iter().chain([Item::Ids { highest, pruned, queue }]).collect()
    }
}

/// Reads an export into the data folder, whose store must be new: missing or empty. All of it is
/// there when this returns, and nothing where it fails. Gives the number of items.
///
/// The new store is marked as salvaged: since the export was made, things may have been done that
/// it does not know ([`super::Doubtful`]).
///
/// # Errors
/// Another process holds the store, it is not empty, or what is read is no whole export.
pub fn import(data: &Path, from: &mut dyn BufRead) -> Result<u64> {
    let what = || format!("import into the store {}", data.display());
    DirBuilder::new().recursive(true).mode(0o700).create(data).or_later(what)?;
    let lock = Lock::take(data, check::BRIEFLY)?;
    place::settle(data).or_later(what)?;
    let _lock = empty(data, lock)?;
    let known = Witness::read(data);
    let mut builder = Builder::new(data)?;
    let (header, items) = read(from, &mut builder)?;
    builder.add(Item::Ids { highest: known.highest, pruned: 0, queue: known.queue })?;
    builder.finish(header.commits.max(known.commits), Replaced::Removed)?;
    Ok(items)
}

/// Gives the lock back where the data folder has no store or an empty one.
fn empty(data: &Path, lock: Lock) -> Result<Lock> {
    if !place::is_there(data) {
        return Ok(lock);
    }
    let disk = Disk::trusted(data, lock)?;
    let first = fenced(|| {
        let mut entries = disk.tree().iter().keys();
        entries.find(|key| !matches!(key, Ok(key) if key.first() == Some(&b'm'))).transpose()
    });
    let what = || format!("import into the store {}", data.display());
    match first.or_later(what)? {
        None => Ok(disk.close()),
        Some(_) => Err(Error::permanent(what(), "it is not empty")
            .next("move its folder away first, or name another in `[engine] data`")),
    }
}

fn read(from: &mut dyn BufRead, builder: &mut Builder) -> Result<(Header, u64)> {
    let mut number = 0;
    let header = line(from, &mut number)?;
    let header: Header = serde_json::from_str(&header)
        .map_err(|why| wrong(1, format!("it is no export of a store ({why})")))?;
    if header.mailmill_store != FORM {
        let why = format!("it has form {}, this mailmill knows form {FORM}", header.mailmill_store);
        return Err(wrong(1, why).next("use the mailmill that wrote it"));
    }
    let mut items = 0;
    loop {
        let text = line(from, &mut number)?;
        if let Ok(Trailer { end }) = serde_json::from_str(&text) {
            if end.items != items {
                let why = format!("it should hold {} items and holds {items}", end.items);
                return Err(wrong(number, why));
            }
            return Ok((header, items));
        }
        let item = serde_json::from_str(&text).map_err(|why| wrong(number, why))?;
        builder.add(item).map_err(|error| wrong(number, error))?;
        items += 1;
    }
}

fn line(from: &mut dyn BufRead, number: &mut u64) -> Result<String> {
    *number += 1;
    let mut text = String::new();
    let read = from.take(LINE).read_line(&mut text).map_err(|why| wrong(*number, why))?;
    if read == 0 {
        return Err(wrong(*number, "it ends here: it was cut short"));
    }
    if read as u64 == LINE {
        return Err(wrong(*number, "the line is too long"));
    }
    Ok(text)
}

fn wrong(line: u64, why: impl std::fmt::Display) -> Error {
    Error::permanent(format!("read line {line} of the export"), why)
}
