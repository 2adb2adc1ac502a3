//! Finding messages: by UID window, and by likeness.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::mail::{MailboxName, Uid};
use crate::mailbox::Likeness;

use super::command::Command;
use super::fetch::{internal_date, named, same_second};
use super::response::Reply;
use super::session::Session;
use super::set::sets;

/// UIDs asked for at once: the answer is one line, and long lines cost time in the parser.
const WINDOW: u32 = 10_000;

/// The widest window over a mailbox with more messages than one answer can hold.
const WIDEST: u32 = 40_000;

/// Numbers taken of one search.
const MOST_HITS: usize = 1_000_000;

impl Session {
    /// The last window is open, since messages may have come after the mailbox was opened. Windows
    /// grow over gaps in the UIDs, so that a mailbox with few messages and high UIDs does
    /// not need many commands.
    pub(super) async fn uids_above(&mut self, uid: Uid, limit: usize) -> Result<Vec<Uid>> {
        let what = self.here(&format!("look for messages above UID {uid}"))?;
        if !self.news && self.looked_up_to.is_some_and(|seen| seen <= uid) {
            return Ok(Vec::new());
        }
        self.news = false;
        self.looked_up_to = None;
        if self.exists == 0 {
            self.run(&what, Command::new("NOOP")).await?;
        }
        let mut found = BTreeSet::new();
        let mut next = uid.0.checked_add(1);
        let mut span = WINDOW;
        while let Some(first) = next.filter(|_| self.exists > 0 && found.len() < limit) {
            let last = first.checked_add(span - 1).filter(|last| *last < self.uidnext);
            let hits = self.uids_within(&what, first, last).await?;
            span = self.next_span(span, hits.len());
            found.extend(hits);
            next = last.and_then(|last| last.checked_add(1));
        }
        if next.is_none() && found.len() <= limit {
            self.looked_up_to = Some(found.last().map_or(uid, |last| Uid(*last)));
        }
        Ok(found.into_iter().take(limit).map(Uid).collect())
    }

    fn next_span(&self, span: u32, hits: usize) -> u32 {
        if hits >= 1000 {
            return WINDOW;
        }
        let wider = span.saturating_mul(4);
        if self.exists > WIDEST { wider.min(WIDEST) } else { wider }
    }

    /// No end means all from `first` on. `n:*` names the last message even where it is below n
    /// (RFC 9051 section 9, seq-range).
    async fn uids_within(
        &mut self,
        what: &str,
        first: u32,
        last: Option<u32>,
    ) -> Result<BTreeSet<u32>> {
        let end = last.map_or_else(|| "*".to_owned(), |last| last.to_string());
        let set = format!("{first}:{end}");
        let within = first..=last.unwrap_or(u32::MAX);
        let mut hits = self.uids_of_set(what, &set).await?;
        hits.retain(|uid| within.contains(uid));
        Ok(hits)
    }

    pub(super) async fn present(&mut self, uids: &[Uid]) -> Result<Vec<Uid>> {
        let what = self.here(&format!("look for {}", named(uids)))?;
        let mut there = BTreeSet::new();
        for set in sets(uids.iter().copied()) {
            there.extend(self.uids_of_set(&what, &set).await?);
        }
        let mut present: Vec<Uid> =
            uids.iter().copied().filter(|uid| there.contains(&uid.0)).collect();
        present.sort_unstable();
        Ok(present)
    }

    /// Which UIDs of this set exist. Every server must answer a search by a SEARCH line; one that
    /// does not (an IMAP4rev2 server answers ESEARCH) is asked in another way, because silence is
    /// not "none".
    pub(super) async fn uids_of_set(&mut self, what: &str, set: &str) -> Result<BTreeSet<u32>> {
        match self.search(what, Command::new("UID SEARCH UID").words(set)).await? {
            Some(hits) => Ok(hits),
            None => self.list_uids(what, set).await,
        }
    }

    async fn list_uids(&mut self, what: &str, set: &str) -> Result<BTreeSet<u32>> {
        let mut uids = BTreeSet::new();
        let command = Command::new("UID FETCH").words(set).words("(UID)");
        self.run_each(what, command, &mut |reply| {
            if let Reply::Fetch(data) = reply {
                uids.extend(data.uid);
            }
            within_most(uids.len())
        })
        .await?;
        Ok(uids)
    }

    /// The numbers of a search; `None` where OK came without any SEARCH line.
    async fn search(&mut self, what: &str, command: Command<'_>) -> Result<Option<BTreeSet<u32>>> {
        let mut hits: Option<BTreeSet<u32>> = None;
        self.run_each(what, command, &mut |reply| {
            if let Reply::Search(numbers) = reply {
                hits.get_or_insert_default().extend(numbers.into_iter().filter(|uid| *uid > 0));
            }
            within_most(hits.as_ref().map_or(0, BTreeSet::len))
        })
        .await?;
        Ok(hits)
    }

    pub(super) async fn find(
        &mut self,
        mailbox: &MailboxName,
        like: &Likeness,
    ) -> Result<Vec<Uid>> {
        self.select(mailbox).await?;
        let what = self.here("look for a message")?;
        let message_id = like.message_id.as_deref().filter(|id| is_searchable(id));
        let quoted = message_id.map(|id| format!("<{id}>"));
        let command = match &quoted {
            Some(id) => Command::new("UID SEARCH HEADER Message-ID").string(id.as_bytes()),
            None => Command::new("UID SEARCH").words(&of_size(like.size)),
        };
        let Some(hits) = self.search(&what, command).await? else {
            let why = "the server said OK to a search without a result";
            return Err(Error::temporary(self.at(&what), why));
        };
        let hits: BTreeSet<Uid> = hits.into_iter().map(Uid).collect();
        let by_date = like.received_ms.filter(|_| quoted.is_none());
        self.alike(&what, &hits, like.size, by_date).await
    }

    /// Those of the size and, where given, of the received time.
    async fn alike(
        &mut self,
        what: &str,
        uids: &BTreeSet<Uid>,
        size: u64,
        received_ms: Option<i64>,
    ) -> Result<Vec<Uid>> {
        let mut alike = BTreeSet::new();
        for set in sets(uids.iter().copied()) {
            let command =
                Command::new("UID FETCH").words(&set).words("(UID RFC822.SIZE INTERNALDATE)");
            self.run_each(what, command, &mut |reply| {
                let Reply::Fetch(data) = reply else { return Ok(()) };
                let date = data.internal_date.as_deref().and_then(internal_date);
                if data.size == Some(size) && received_ms.is_none_or(|at| same_second(date, at)) {
                    alike.extend(data.uid.map(Uid).filter(|uid| uids.contains(uid)));
                }
                Ok(())
            })
            .await?;
        }
        Ok(alike.into_iter().collect())
    }
}

fn within_most(count: usize) -> Result<(), String> {
    match count > MOST_HITS {
        true => Err(format!("more than {MOST_HITS} messages in one answer")),
        false => Ok(()),
    }
}

/// Printable ASCII: anything else would need a charset that servers may not know.
fn is_searchable(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 900
        && id.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

/// LARGER and SMALLER leave their own number out.
fn of_size(size: u64) -> String {
    let smaller = format!("SMALLER {}", size.saturating_add(1));
    match size.checked_sub(1) {
        Some(below) => format!("LARGER {below} {smaller}"),
        None => smaller,
    }
}
