//! Looks a store over: what it holds, and what is wrong with it, a line each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::disk::{UNSEALED, UNSEALED_WHY};
use super::entry::{self, Item, Key};
use super::fence::fenced;
use super::walk::{Lost, Walk};
use super::witness::{self, Acknowledged};
use super::{key, seal, value};
use crate::error::Result;

/// What a store holds, and whether it is well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The version of this form.
    pub v: u32,
    /// Whether nothing is wrong.
    pub well: bool,
    /// What is wrong, a line each.
    pub wrong: Vec<String>,
    /// Whether it was put together from a damaged or older one, so that what it does not know is
    /// looked up before anything is done.
    pub salvaged: bool,
    /// Records by their state.
    pub records: BTreeMap<String, u64>,
    /// Cursors of mailboxes.
    pub cursors: u64,
    /// Links of messages to projects.
    pub links: u64,
    /// Values that steps remember.
    pub memory: u64,
    /// Notes of messages that mailmill itself put into a mailbox.
    pub arrived: u64,
    /// Messages in the queue.
    #[serde(default)]
    pub queued: u64,
    /// The number of the newest generation.
    pub generation: u64,
    /// Commits so far.
    pub commits: u64,
    /// The highest record id ever given.
    pub highest: u64,
    /// Bytes of all keys and values.
    pub bytes_live: u64,
    /// Bytes of its files.
    pub bytes_on_disk: u64,
}

/// Looks a tree over. What cannot be read is wrong, and stepped over.
pub(super) fn of_tree(tree: &sled::Db, acknowledged: Acknowledged) -> Survey {
    let mut look = Look {
        walk: Walk::new(tree),
        survey: Survey { v: 1, ..Survey::default() },
        wrong: Lost::default(),
    };
    look.counters(acknowledged);
    if look.wrong.is_empty() {
        look.sealed();
        look.content();
        look.progress();
    }
    let Look { walk, mut survey, wrong, .. } = look;
    survey.wrong = wrong.lines();
    survey.wrong.extend(walk.lost.lines());
    survey.well = survey.wrong.is_empty();
    survey
}

struct Look<'a> {
    walk: Walk<'a>,
    survey: Survey,
    wrong: Lost,
}

impl Look<'_> {
    fn number(&mut self, key: &[u8]) -> Result<Option<u64>> {
        let bytes = self.walk.get(key);
        bytes.map(|bytes| value::numbered(&bytes).map(|(number, _)| number)).transpose()
    }

    /// Whether this is a store of ours, and all of it.
    fn counters(&mut self, acknowledged: Acknowledged) {
        let commits = match self.number(&key::SEQUENCE) {
            Ok(commits) => commits,
            // A newer mailmill wrote it.
            Err(error) => return self.wrong.say(error.to_string()),
        };
        if commits.is_none() && self.holds_anything() {
            return self.wrong.say("what is in it was not written by mailmill");
        }
        self.survey.commits = commits.unwrap_or(0);
        if acknowledged.commits > self.survey.commits {
            self.wrong.say(witness::lost(acknowledged.commits, self.survey.commits));
        }
        self.survey.highest = self.number(&key::HIGHEST).ok().flatten().unwrap_or(0);
        self.survey.generation = self.number(&key::GENERATION).ok().flatten().unwrap_or(0);
        self.survey.salvaged = self.walk.get(&key::SALVAGED).is_some();
    }

    fn holds_anything(&mut self) -> bool {
        let tree = self.walk.tree();
        fenced(|| tree.iter().next().transpose()).map_or(true, |first| first.is_some())
    }

    fn sealed(&mut self) {
        let tree = self.walk.tree();
        let Ok(found) = fenced(|| seal::over(tree.iter(), &UNSEALED)) else { return };
        self.survey.bytes_live = found.bytes;
        let expected = self.number(&key::SEAL).ok().flatten().unwrap_or(0);
        if found.seal != expected {
            self.wrong.say(UNSEALED_WHY);
        }
    }

    /// Counts the items, and sees that the record of each link is there.
    fn content(&mut self) {
        // Links outlive their records where these are pruned, or were lost before a repair.
        let pruned = match self.survey.salvaged {
            true => u64::MAX,
            // Unknown where an early mailmill pruned.
            false => self.number(&key::PRUNED).ok().flatten().unwrap_or(u64::MAX),
        };
        let tree = self.walk.tree();
        let there = |key: &[u8]| fenced(|| tree.contains_key(key)).unwrap_or(false);
        let (survey, wrong) = (&mut self.survey, &mut self.wrong);
        let counted = self.walk.items(&mut |item| {
            match item {
                Item::Record(record) => {
                    *survey.records.entry(record.state.to_string()).or_default() += 1;
                    if record.id > survey.highest {
                        wrong.say(format!("the id of record #{} may be given again", record.id));
                    }
                }
                Item::Cursor { .. } => survey.cursors += 1,
                Item::State { .. } => survey.memory += 1,
                Item::Link(link) => {
                    survey.links += 1;
                    let lost = link.id > pruned && !there(&first(link.id));
                    if lost {
                        let (id, project) = (link.id, link.project.escape_debug());
                        wrong.say(format!("the record of #{id}, linked to {project}, is missing"));
                    }
                }
                Item::Arrived { .. } => survey.arrived += 1,
                Item::Queue(_) => survey.queued += 1,
                Item::Generation { .. } | Item::Ids { .. } => {}
            }
            Ok(())
        });
        if let Err(error) = counted {
            self.wrong.say(error.to_string());
        }
    }

    /// Sees that nothing was done of what is not there.
    fn progress(&mut self) {
        let tree = self.walk.tree();
        let wrong = &mut self.wrong;
        let read = self.walk.wholes(b's', &mut |key, _| {
            match entry::read_key(key)? {
                Key::Progress(id) if !fenced(|| tree.contains_key(first(id))).unwrap_or(false) => {
                    wrong.say(format!("record #{id} is missing, of which something was done"));
                }
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = read {
            self.wrong.say(error.to_string());
        }
    }
}

/// The key of a record's first piece.
fn first(id: u64) -> Vec<u8> {
    value::piece_key(&key::record(id), 0)
}
