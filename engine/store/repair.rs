//! Makes a new store of what can be read of a damaged one, so that nothing is lost and nothing done
//! twice.
//!
//! What is lost and what comes of it:
//!
//! - **The newest commits** (cut short, an older copy): what was done since is not known, and the
//!   cursors are too low. The messages above them that were there are in doubt
//!   ([`super::Doubtful`]): what may have been done is looked up.
//! - **Single records** (a flipped bit) of which something was done: that is kept beside them and tells
//!   their message's key. One that was done to its end is noted as settled; another one is held, due
//!   at once, and so decided anew in doubt.
//! - **Other records:** the cursors go back to where the first of them may have been; what is known
//!   above is recognised, the rest is met again in doubt.
//! - **Everything:** all messages that are there are met again in doubt.
//!
//! Queue entries that can be read are kept, and those that are lost come back from the files of their
//! messages: [`crate::send`] looks the queue through once ([`super::Store::is_queue_in_doubt`]).
//!
//! Held messages whose record comes from an older state are decided anew in doubt as ever. What steps
//! remember is as old as what could be read: a message that is met again counts twice there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::build::Builder;
use super::entry::{self, Item, Key};
use super::fence::fenced;
use super::lock::Lock;
use super::place::{self, Replaced};
use super::record::{Hold, MessageRecord, Progress, State};
use super::scratch::Scratch;
use super::survey::Survey;
use super::walk::Walk;
use super::witness::{Acknowledged, Witness};
use super::{check, disk, key, seal, value};
use crate::error::{Context, Error, Result};
use crate::mail::{MailboxName, MessageKey, Uid, UidValidity};
use crate::pipeline::{Decision, Verdict};

/// Which stores are repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Those that are not well.
    Damaged,
    /// Also one that is well but comes from a backup: it is marked as salvaged.
    Restored,
}

/// How a repair went.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Repaired {
    /// What was wrong; where nothing was, nothing was done but for [`Repair::Restored`].
    pub found: Survey,
    /// Where the damaged store is kept.
    pub kept: Option<PathBuf>,
    /// What could not be read, a line each.
    pub lost: Vec<String>,
    /// Records that were saved.
    pub saved: u64,
    /// Records that were lost and whose messages are decided anew or noted as done.
    pub again: u64,
    /// Cursors that went back, so that messages whose records are lost are met again.
    pub rewound: u64,
}

/// Repairs the store of a data folder; the damaged one is kept beside it.
///
/// # Errors
/// Another process holds the store, there is none, or the disk fails.
pub fn repair(data: &Path, which: Repair, now_ms: i64) -> Result<Repaired> {
    check::must_be_there(data)?;
    let _lock = Lock::take(data, check::BRIEFLY)?;
    place::settle(data).or_later(|| format!("repair the store {}", data.display()))?;
    let mut scratch = Scratch::of(data)?;
    let found = check::survey(&scratch, data);
    let mut repaired =
        Repaired { found, kept: None, lost: Vec::new(), saved: 0, again: 0, rewound: 0 };
    if repaired.found.well && which == Repair::Damaged {
        return Ok(repaired);
    }
    let newer = |tree| Walk::new(tree).get(&key::SEQUENCE).is_some_and(|at| value::is_newer(&at));
    if scratch.tree().is_some_and(newer) {
        let what = format!("repair the store {}", data.display());
        return Err(Error::permanent(what, "a newer mailmill wrote it")
            .next("use that mailmill; nothing was changed"));
    }
    let known = Witness::read(data);
    if !repaired.found.well {
        scratch = scratch.best(data)?;
    }
    let mut builder = Builder::new(data)?;
    match scratch.tree() {
        Some(tree) => salvage(tree, known, &mut builder, &mut repaired, now_ms)?,
        None => {
            builder.add(Item::Ids { highest: known.highest, pruned: 0, queue: known.queue })?;
        }
    }
    let commits = known.commits.max(repaired.found.commits);
    repaired.kept = builder.finish(commits, Replaced::Kept)?;
    Ok(repaired)
}

fn salvage(
    tree: &sled::Db,
    known: Acknowledged,
    builder: &mut Builder,
    repaired: &mut Repaired,
    now_ms: i64,
) -> Result<()> {
    let mut walk = Walk::new(tree);
    let inventory = Inventory::of(&mut walk, known)?;
    let gap = if is_sealed(tree) { None } else { inventory.gap() };
    let mut low = Low { gap, highest: BTreeMap::new() };
    let mut generation = None;
    walk.items_of(b'r', &mut |item| {
        if let Item::Record(record) = &item {
            low.note(record);
            repaired.saved += 1;
            let decision = (record.decision.generation, record.decision.digest.clone());
            generation = generation.take().max(Some(decision));
        }
        builder.add(item)
    })?;
    for (id, Progress { key, state, .. }) in &inventory.lost {
        repaired.again += 1;
        let state = if *state == State::Planned { State::Held } else { *state };
        builder.add(Item::Record(Box::new(stand_in(*id, key.clone(), state, now_ms))))?;
    }
    for family in *b"ctlaq" {
        walk.items_of(family, &mut |item| {
            let item = low.lowered(item, &mut repaired.rewound);
            builder.add(item)
        })?;
    }
    let stored = walk.counters().into_iter().find_map(|item| match item {
        Item::Generation { number, digest } => Some((number, digest)),
        _ => None,
    });
    if let Some((number, digest)) = stored.max(generation) {
        builder.add(Item::Generation { number, digest })?;
    }
    let (highest, pruned) = (inventory.highest, inventory.pruned);
    // Those of queue entries that are read raise it further.
    let queue = walk.number(&key::QUEUE_HIGHEST).unwrap_or(0).max(known.queue);
    builder.add(Item::Ids { highest, pruned, queue })?;
    repaired.lost = walk.lost.lines();
    Ok(())
}

/// Whether the tree holds all of what its last commit left, though that may not be the last one
/// that was acknowledged.
fn is_sealed(tree: &sled::Db) -> bool {
    let found = fenced(|| seal::over(tree.iter(), &disk::UNSEALED));
    let noted = Walk::new(tree).number(&key::SEAL);
    matches!((found, noted), (Ok(found), Some(noted)) if found.seal == noted)
}

/// Which records there are, and which there were.
struct Inventory {
    /// The ids of records that can be read.
    there: BTreeSet<u64>,
    /// What was done of records that are lost.
    lost: BTreeMap<u64, Progress>,
    highest: u64,
    pruned: u64,
}

impl Inventory {
    fn of(walk: &mut Walk<'_>, known: Acknowledged) -> Result<Self> {
        let mut there = BTreeSet::new();
        walk.items_of(b'r', &mut |item| {
            if let Item::Record(record) = item {
                there.insert(record.id);
            }
            Ok(())
        })?;
        let mut lost = BTreeMap::new();
        let mut highest = known.highest.max(walk.number(&key::HIGHEST).unwrap_or(0));
        walk.wholes(b's', &mut |key, bytes| {
            let Ok(Key::Progress(id)) = entry::read_key(key) else { return Ok(()) };
            highest = highest.max(id);
            match Progress::decode(id, bytes) {
                Ok(progress) if !there.contains(&id) => drop(lost.insert(id, progress)),
                _ => {}
            }
            Ok(())
        })?;
        walk.items_of(b'l', &mut |item| {
            if let Item::Link(link) = item {
                highest = highest.max(link.id);
            }
            Ok(())
        })?;
        highest = highest.max(there.last().copied().unwrap_or(0));
        let pruned = walk.number(&key::PRUNED).unwrap_or(0);
        // What was said of the tree is said again when its items are read.
        walk.lost = Default::default();
        Ok(Self { there, lost, highest, pruned })
    }

    /// The lowest id that was given and of which nothing is known.
    fn gap(&self) -> Option<u64> {
        let known = |id: &u64| self.there.contains(id) || self.lost.contains_key(id);
        (self.pruned.saturating_add(1)..=self.highest).find(|id| !known(id))
    }
}

/// How far mailboxes were read when the first record that is lost without a trace was written:
/// records are written in the order of UIDs.
struct Low {
    gap: Option<u64>,
    highest: BTreeMap<(String, MailboxName, UidValidity), Uid>,
}

impl Low {
    fn note(&mut self, record: &MessageRecord) {
        // One that was held may have come under a new key since.
        if self.gap.is_none_or(|gap| record.id > gap) || record.hold.is_some() {
            return;
        }
        let MessageKey { account, mailbox, uidvalidity, uid } = &record.key;
        let place = (account.to_string(), mailbox.clone(), *uidvalidity);
        let highest = self.highest.entry(place).or_default();
        *highest = (*highest).max(*uid);
    }

    fn lowered(&self, item: Item, rewound: &mut u64) -> Item {
        match item {
            Item::Cursor { account, mailbox, uidvalidity, uid } if self.gap.is_some() => {
                let place = (account, mailbox, uidvalidity);
                let low = self.highest.get(&place).copied().unwrap_or_default().min(uid);
                *rewound += u64::from(low != uid);
                let (account, mailbox, uidvalidity) = place;
                Item::Cursor { account, mailbox, uidvalidity, uid: low }
            }
            other => other,
        }
    }
}

/// The record of a message whose own record is lost: settled, or held and due at once.
fn stand_in(id: u64, key: MessageKey, state: State, now_ms: i64) -> MessageRecord {
    let hold = Hold {
        reason: "its record was lost with the damaged store; it is decided anew".into(),
        since_ms: now_ms,
        attempts: 0,
        retry_at_ms: Some(now_ms),
    };
    MessageRecord {
        id,
        key,
        message_id: None,
        subject: String::new(),
        from: String::new(),
        size: 0,
        received_ms: None,
        decided_ms: now_ms,
        decision: Decision {
            generation: 0,
            digest: String::new(),
            verdict: Verdict::Hold,
            actions: Vec::new(),
            tags: BTreeMap::new(),
            project: None,
            steps: Vec::new(),
        },
        state,
        marks: Vec::new(),
        hold: (state == State::Held).then_some(hold),
    }
}
