//! Reads a tree that may be damaged, entry by entry: what cannot be read is stepped over and told.

use super::entry::{self, Item, Key, Piece, Pieces};
use super::fence::fenced;
use super::record::Progress;
use super::{key, value};
use crate::error::Result;

/// How many records in a row are looked for one by one where the tree cannot be read on.
const PROBES: u64 = 10_000;

/// The first bytes of the keys that hold items.
const ITEMS: [u8; 6] = [b'r', b'c', b't', b'l', b'a', b'q'];

/// The most lines about what could not be read; further ones are only counted.
const MOST: usize = 20;

/// One reading of a tree.
pub(super) struct Walk<'a> {
    tree: &'a sled::Db,
    /// What could not be read, a line each.
    pub(super) lost: Lost,
}

/// Lines about what is lost or wrong, the first of them and the number of the others.
#[derive(Debug, Default, Clone)]
pub(super) struct Lost {
    lines: Vec<String>,
    more: usize,
}

impl Lost {
    pub(super) fn say(&mut self, line: impl Into<String>) {
        match self.lines.len() < MOST {
            true => self.lines.push(line.into()),
            false => self.more += 1,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn lines(mut self) -> Vec<String> {
        if self.more > 0 {
            self.lines.push(format!("and {} more of the kind", self.more));
        }
        self.lines
    }
}

/// What an entry is shown to.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<()>;

impl<'a> Walk<'a> {
    pub(super) fn new(tree: &'a sled::Db) -> Self {
        Self { tree, lost: Lost::default() }
    }

    /// The tree that is read.
    pub(super) fn tree(&self) -> &'a sled::Db {
        self.tree
    }

    /// A value; `None` where it is missing or cannot be read.
    pub(super) fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        match fenced(|| self.tree.get(key)) {
            Ok(value) => value.map(|value| value.to_vec()),
            Err(why) => {
                self.lost.say(format!("a single value cannot be read: {why}"));
                None
            }
        }
    }

    /// Every item of the store.
    pub(super) fn items(&mut self, visit: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        for family in ITEMS {
            self.items_of(family, visit)?;
        }
        Ok(())
    }

    /// The items under this first byte.
    pub(super) fn items_of(
        &mut self,
        family: u8,
        visit: &mut dyn FnMut(Item) -> Result<()>,
    ) -> Result<()> {
        let mut lost = Lost::default();
        let tree = self.tree;
        self.wholes(family, &mut |key, bytes| {
            match entry::read_key(key).and_then(|key| entry::item(key, bytes)) {
                Ok(Some(item)) => visit(with_progress(tree, item, &mut lost))?,
                Ok(None) => {}
                Err(error) => lost.say(error.to_string()),
            }
            Ok(())
        })?;
        lost.lines.into_iter().for_each(|line| self.lost.say(line));
        self.lost.more += lost.more;
        Ok(())
    }

    /// Every value under this first byte, put together where it is in pieces.
    pub(super) fn wholes(&mut self, family: u8, visit: Visit<'_>) -> Result<()> {
        if !entry::in_pieces(family) {
            return self.entries(family, visit);
        }
        let mut pieces = Pieces::default();
        let mut torn = Vec::new();
        self.entries(family, &mut |key, bytes| {
            torn.extend(pieces.torn_before(key));
            match pieces.take(key, bytes) {
                Piece::Whole(key, bytes) => visit(&key, &bytes),
                Piece::Torn(key) => {
                    torn.push(key);
                    Ok(())
                }
                Piece::More => Ok(()),
            }
        })?;
        torn.extend(pieces.torn());
        torn.dedup();
        for key in torn {
            self.lost.say(format!("{} is not whole", named(&key)));
        }
        Ok(())
    }

    /// Every entry under this first byte that can be read, in the order of keys.
    pub(super) fn entries(&mut self, family: u8, visit: Visit<'_>) -> Result<()> {
        let end = [family + 1];
        let mut from = vec![family];
        loop {
            let (last, why) = self.forward(&from, &end, visit)?;
            let Some(why) = why else { return Ok(()) };
            self.lost.say(format!(
                "{} cannot be read on after {}: {why}",
                of(family),
                named(&last)
            ));
            match self.after_gap(family, &last) {
                Some(next) => from = next,
                None => return self.backward(&last, &end, visit),
            }
        }
    }

    /// Reads on until the end or an error; gives the last key read.
    fn forward(
        &self,
        from: &[u8],
        end: &[u8],
        visit: Visit<'_>,
    ) -> Result<(Vec<u8>, Option<String>)> {
        let mut last = from.to_vec();
        let mut entries = self.tree.range(from.to_vec()..end.to_vec());
        loop {
            match fenced(|| entries.next().transpose()) {
                Ok(Some((key, value))) => {
                    visit(&key, &value)?;
                    last = key.to_vec();
                }
                Ok(None) => return Ok((last, None)),
                Err(why) => return Ok((last, Some(why))),
            }
        }
    }

    /// Where records can be read again: their keys are known beforehand.
    fn after_gap(&self, family: u8, last: &[u8]) -> Option<Vec<u8>> {
        if family != b'r' {
            return None;
        }
        let last = last.get(1..9).and_then(|id| id.first_chunk::<8>());
        let id = last.map_or(0, |id| u64::from_be_bytes(*id));
        (id.checked_add(1)?..id.saturating_add(PROBES)).map(key::record).find(|key| {
            let first = value::piece_key(key, 0);
            matches!(fenced(|| self.tree.get(first)), Ok(Some(_)))
        })
    }

    /// What can be read from the other end, down to `last`.
    fn backward(&self, last: &[u8], end: &[u8], visit: Visit<'_>) -> Result<()> {
        let mut found = Vec::new();
        let mut entries = self.tree.range(last.to_vec()..end.to_vec());
        while let Ok(Some((key, value))) = fenced(|| entries.next_back().transpose()) {
            if *key <= *last {
                break;
            }
            found.push((key, value));
        }
        found.iter().rev().try_for_each(|(key, value)| visit(key, value))
    }
}

/// A record with what was done of it since it was planned. Where that cannot be read, the plan is taken
/// for open, and what was done of it is looked up.
fn with_progress(tree: &sled::Db, item: Item, lost: &mut Lost) -> Item {
    let Item::Record(record) = item else { return item };
    let id = record.id;
    let progress = whole(tree, &key::progress(id)).and_then(|bytes| {
        bytes.map(|bytes| Progress::decode(id, &bytes).map_err(|why| why.to_string())).transpose()
    });
    let progress = progress.unwrap_or_else(|why| {
        lost.say(why);
        None
    });
    Item::Record(Box::new(record.with(progress)))
}

/// A value in pieces.
fn whole(tree: &sled::Db, key: &[u8]) -> std::result::Result<Option<Vec<u8>>, String> {
    let piece = |number: u8| fenced(|| tree.get(value::piece_key(key, number)));
    let Some(first) = piece(0)? else { return Ok(None) };
    let (count, bytes) = first.split_first().ok_or("a value is empty")?;
    let mut whole = bytes.to_vec();
    for number in 1..*count {
        whole.extend_from_slice(&piece(number)?.ok_or("a piece of a value is missing")?);
    }
    Ok(Some(whole))
}

/// An entry's name for people.
fn named(key: &[u8]) -> String {
    match entry::read_key(key)
        .or_else(|_| entry::read_key(key.split_last().map_or(key, |cut| cut.1)))
    {
        Ok(Key::Record(id)) => format!("record #{id}"),
        Ok(Key::Progress(id)) => format!("what was done of record #{id}"),
        Ok(Key::Queued(id)) => format!("queue entry {id}"),
        Ok(Key::Link { project, id }) => format!("the link of #{id} to {}", project.escape_debug()),
        Ok(Key::State { account, step, .. }) => {
            format!(
                "what step {} of account {} remembers",
                step.escape_debug(),
                account.escape_debug()
            )
        }
        Ok(Key::Cursor { account, mailbox }) => {
            format!("the cursor of {}/{mailbox}", account.escape_debug())
        }
        Ok(_) | Err(_) => "its beginning".into(),
    }
}

/// What stands under this first byte.
fn of(family: u8) -> &'static str {
    match family {
        b'r' => "the list of records",
        b'c' => "the list of cursors",
        b't' => "what steps remember",
        b'l' => "the list of links",
        b'a' => "the list of arrivals",
        b's' => "the list of what was done",
        b'q' => "the queue",
        _ => "a list",
    }
}
