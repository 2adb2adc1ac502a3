//! The plans of a batch and what became of them: what is open is gathered by target, what is done is
//! marked and written down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Done, Landing, Open, Site, UID_NOT_TOLD, hold};
use crate::error::{Error, Result};
use crate::mail::{MailboxName, Uid};
use crate::mailbox::{Alteration, FlagChange, Landed};
use crate::pipeline::Action;
use crate::store::{Change, Mark, MarkOutcome, MessageRecord, Pen, State};

/// The most characters of a mark's note that are kept.
const MOST_NOTE: usize = 300;

/// Messages whose marks are written as one.
const TOGETHER: usize = 50;

/// Plans of one mailbox with their marks.
pub struct Ledger<'a> {
    /// Surroundings.
    pub site: Site<'a>,
    /// The mailbox that the messages are in.
    pub mailbox: &'a MailboxName,
    /// The plans.
    pub records: Vec<Arc<MessageRecord>>,
    /// Writes marks while the next command is under way.
    pub pen: &'a Pen,
    /// Records of which something may have been done before this ledger was made.
    begun: BTreeSet<usize>,
    /// Records that changed since they were written.
    unwritten: BTreeSet<usize>,
}

impl<'a> Ledger<'a> {
    /// A ledger of plans that are on disk.
    pub fn new(
        site: Site<'a>,
        mailbox: &'a MailboxName,
        records: Vec<Arc<MessageRecord>>,
        pen: &'a Pen,
    ) -> Self {
        let begun = |record: &Arc<MessageRecord>| record.hold.is_some() || !record.marks.is_empty();
        let numbered = records.iter().enumerate();
        let begun = numbered.filter(|(_, record)| begun(record)).map(|(index, _)| index).collect();
        Self { site, mailbox, records, pen, begun, unwritten: BTreeSet::new() }
    }

    /// Whether something of this message's plan may have been done earlier.
    pub(super) fn was_begun(&self, open: Open) -> bool {
        self.begun.contains(&open.record)
    }

    /// Actions of records not held that have no mark yet, gathered by what `target` says.
    pub(super) fn open_by<T: Ord>(
        &self,
        target: impl Fn(&Action) -> Option<T>,
    ) -> BTreeMap<T, Vec<Open>> {
        let mut groups: BTreeMap<T, Vec<Open>> = BTreeMap::new();
        let planned = self.records.iter().enumerate();
        for (index, record) in planned.filter(|(_, record)| record.state == State::Planned) {
            for (action, said) in record.decision.actions.iter().enumerate() {
                let marked = record.marks.iter().any(|mark| mark.action == action);
                if let (false, Some(key)) = (marked, target(&said.action)) {
                    let open = Open { record: index, action, uid: record.key.uid };
                    groups.entry(key).or_default().push(open);
                }
            }
        }
        groups
    }

    /// The first of the messages `found` at a place that no mark accounts for: none of records of its
    /// Message-ID whose note has the words `at` and then the UID. Where `found` may be others that
    /// look alike, as many as marks speak of without telling the UID are not it either.
    pub(super) fn unaccounted(
        &self,
        open: Open,
        found: Found,
        at: &str,
        accounts: impl Fn(&str) -> bool,
    ) -> Result<Option<Uid>> {
        let record = &self.records[open.record];
        let stored = match &record.message_id {
            Some(id) => self.site.store.of_message_id(id)?,
            None => Vec::new(),
        };
        let mut alike: BTreeMap<u64, &MessageRecord> =
            stored.iter().map(|record| (record.id, record)).collect();
        // What the batch has marked since may not be in the store yet.
        let own = self.records.iter().map(Arc::as_ref);
        let own = own.filter(|other: &&MessageRecord| other.message_id == record.message_id);
        alike.extend(own.map(|record| (record.id, record)));
        let alike = alike.values().filter(|record| accounts(&record.key.account));
        let marks = alike.flat_map(|record| &record.marks);
        let done = marks.filter(|mark| mark.outcome == MarkOutcome::Done);
        let (mut told, mut untold) = (BTreeSet::new(), 0);
        for note in done.filter_map(|mark| mark.note.as_deref()) {
            match place(note, at) {
                Some(Place::Told(uid)) => drop(told.insert(uid)),
                Some(Place::Untold) => untold += 1,
                None => {}
            }
        }
        let (found, others) = match found {
            Found::Same(uids) => (uids, 0),
            Found::Alike(uids) => (uids, untold),
        };
        Ok(found.into_iter().filter(|uid| !told.contains(uid)).nth(others))
    }

    /// Notes what became of actions, with what landed in a mailbox of ours, and writes it down.
    pub(super) fn mark(&mut self, done: impl IntoIterator<Item = Done>) {
        let mut done = done.into_iter().peekable();
        while done.peek().is_some() {
            let changes = self.noted(done.by_ref().take(TOGETHER));
            self.pen.put(changes);
        }
    }

    /// As [`Ledger::mark`], for what a look at the target may not find again.
    pub(super) fn mark_soon(&mut self, done: Done) {
        let changes = self.noted([done]);
        self.pen.put_soon(changes);
    }

    fn noted(&mut self, done: impl IntoIterator<Item = Done>) -> Vec<Change> {
        let mut changes: Vec<Change> =
            done.into_iter().filter_map(|done| self.note(done)).collect();
        changes.extend(self.written());
        changes
    }

    /// What changed since it was written, to be written.
    fn written(&mut self) -> Vec<Change> {
        let unwritten = std::mem::take(&mut self.unwritten);
        let records = unwritten.into_iter().map(|at| self.records[at].clone());
        records.map(progress).collect()
    }

    /// A record whose last action this was is settled by it.
    fn note(&mut self, done: Done) -> Option<Change> {
        let at_ms = self.site.clock.now_ms();
        let note = Some(shorten(&done.note));
        let record = Arc::make_mut(&mut self.records[done.record]);
        record.marks.push(Mark { action: done.action, at_ms, outcome: done.outcome, note });
        if record.state == State::Planned && is_done(record) {
            record.state = State::Settled;
        }
        self.unwritten.insert(done.record);
        done.landed.map(|Landing { account, mailbox, uidvalidity, uid }| Change::Arrived {
            account,
            mailbox,
            uidvalidity,
            uid,
        })
    }

    /// Notes what became of flags without writing it down: they may be set again, so it is written
    /// with the next word about their messages.
    fn note_flags(&mut self, group: &[Open], note: &str) {
        for open in group {
            self.note(open.done(MarkOutcome::Done, note.to_owned()));
        }
    }

    /// Marks what the server did.
    pub(super) fn altered(&mut self, alteration: &Alteration, group: &[Open], landed: &Landed) {
        match alteration {
            Alteration::Flags { change, flags, .. } => {
                let word = if *change == FlagChange::Add { "set" } else { "cleared" };
                let flags: Vec<&str> = flags.iter().map(crate::mail::Flag::as_str).collect();
                self.note_flags(group, &format!("{} {word}", flags.join(" ")));
            }
            Alteration::Copy { target, .. } | Alteration::Move { target, .. } => {
                let done = self.landed(group, target, landed);
                self.mark(done);
            }
        }
    }

    /// Holds messages whose action failed.
    pub(super) fn hold(&mut self, group: &[Open], error: &Error) {
        let (now, why) = (self.site.clock.now_ms(), error.to_string());
        for open in group {
            hold(Arc::make_mut(&mut self.records[open.record]), &why, error.into(), now);
        }
        self.mark(group.iter().map(|open| open.done(MarkOutcome::Failed, why.clone())));
    }

    /// The records, now that everything open was performed: what is not held is settled.
    pub(super) fn close(mut self) -> Vec<Arc<MessageRecord>> {
        for (index, record) in self.records.iter_mut().enumerate() {
            if record.state == State::Planned {
                Arc::make_mut(record).state = State::Settled;
                self.unwritten.insert(index);
            }
        }
        let mut changes = self.written();
        while !changes.is_empty() {
            let rest = changes.split_off(changes.len().min(TOGETHER));
            self.pen.put(std::mem::replace(&mut changes, rest));
        }
        self.records
    }

    /// The note of a message that was looked for and found in the target.
    pub(super) fn found_note(&self, open: Open, target: &MailboxName, uid: Uid) -> String {
        format!("{} (found after an interruption) -> {target}/{uid}", self.here(open))
    }

    /// Where this message is, for notes: `INBOX/17`.
    pub(super) fn here(&self, open: Open) -> String {
        format!("{}/{}", self.mailbox, open.uid)
    }

    /// The outcome of copying or moving a group, message by message.
    fn landed(&self, group: &[Open], target: &MailboxName, landed: &Landed) -> Vec<Done> {
        let account: Arc<str> = self.site.account.name.as_str().into();
        group
            .iter()
            .map(|open| {
                let here = self.here(*open);
                match (landed.uidvalidity, landed.uids.get(&open.uid)) {
                    (Some(uidvalidity), Some(uid)) => Done {
                        landed: self.site.landing(&account, target, uidvalidity, *uid),
                        ..open.done(MarkOutcome::Done, format!("{here} -> {target}/{uid}"))
                    },
                    (Some(_), None) => {
                        open.done(MarkOutcome::Gone, format!("{here} was no longer there"))
                    }
                    (None, _) => {
                        open.done(MarkOutcome::Done, format!("{here} -> {target} {UID_NOT_TOLD}"))
                    }
                }
            })
            .collect()
    }
}

/// The change that writes what became of a record.
fn progress(record: Arc<MessageRecord>) -> Change {
    match record.hold {
        None => Change::Progress(record),
        Some(_) => Change::Record(record),
    }
}

/// A note cut to its limit; what its end says is kept.
fn shorten(note: &str) -> String {
    if note.chars().nth(MOST_NOTE).is_none() {
        return note.to_owned();
    }
    let end = if note.ends_with(UID_NOT_TOLD) { UID_NOT_TOLD } else { "" };
    let start: String = note.chars().take(MOST_NOTE).collect();
    format!("{start}… {end}")
}

/// Whether every action of the plan that something is done for has a mark.
fn is_done(record: &MessageRecord) -> bool {
    let mut open = record.decision.actions.iter().enumerate().filter(|(index, said)| {
        is_performed(&said.action) && !record.marks.iter().any(|mark| mark.action == *index)
    });
    open.next().is_none()
}

/// Whether anything is done for it outside the store.
fn is_performed(action: &Action) -> bool {
    matches!(
        action,
        Action::MoveTo { .. }
            | Action::CopyTo { .. }
            | Action::DeliverTo { .. }
            | Action::AddFlag { .. }
            | Action::RemoveFlag { .. }
            | Action::SuppressReceipt
    )
}

/// Messages that a look found, ascending.
pub(super) enum Found {
    /// They have the header block of the one looked for.
    Same(Vec<Uid>),
    /// They have its Message-ID and size.
    Alike(Vec<Uid>),
}

/// Where the note of a mark says that a message landed.
enum Place {
    Told(Uid),
    Untold,
}

/// What a note says of this place, e.g. `INBOX/5 -> Filed/17` of `-> Filed`.
fn place(note: &str, at: &str) -> Option<Place> {
    let rest = note.rsplit_once(at)?.1;
    if rest.strip_prefix(' ') == Some(UID_NOT_TOLD) {
        return Some(Place::Untold);
    }
    rest.strip_prefix('/')?.parse().ok().map(|uid| Place::Told(Uid(uid)))
}
