//! The inbound straight line: look, fetch, decide, write down, do, settle.
//!
//! One pass takes a mailbox from its cursor to its end in batches. Within a batch all plans are
//! committed in one durable write before the server is touched, performed together, and settled
//! together with the cursor in another. What a crash leaves open is taken up by [`Line::resume`].

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::config::{Account, Config};
use crate::error::{Error, Result};
use crate::mail::{MailboxName, Uid, UidValidity};
use crate::mailbox::{Extent, Fetched, Mailboxes, Selected, ends_session};
use crate::maillog::{Event, Maillog};
use crate::perform::{Batch, Doubt, Site};
use crate::pipeline::Generation;
use crate::store::{Change, Cursor, MessageRecord, State};

mod decide;
mod doubt;
mod recognise;

use decide::Decided;
mod record;

pub use record::{clause, did};

/// Messages of one batch.
const BATCH: usize = 500;

/// How long a held message waits whose mailbox cannot be selected, in milliseconds.
const PUT_OFF_MS: i64 = 5 * 60 * 1000;

/// Everything the line of one account needs.
#[derive(Clone)]
pub struct Line {
    /// The configuration.
    pub config: Arc<Config>,
    /// The account.
    pub account: Arc<Account>,
    /// Its name, as it stands in every key.
    pub name: Arc<str>,
    /// Its inbound pipeline.
    pub pipeline: Arc<str>,
    /// What decides.
    pub generation: Arc<Generation>,
    /// What keeps.
    pub store: crate::store::Store,
    /// What time it is.
    pub clock: crate::clock::Clock,
    /// What is told.
    pub log: Maillog,
}

/// What one account's passes have come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Messages whose plan is done.
    pub settled: u64,
    /// Messages held.
    pub held: u64,
}

impl Line {
    /// Takes one mailbox from its cursor to its end, until `more` says no between two batches.
    ///
    /// # Errors
    /// What ended the connection, or a store that cannot write. Everything done until then is
    /// marked; the next pass goes on from there.
    pub async fn pass(
        &self,
        mailboxes: &mut dyn Mailboxes,
        mailbox: &MailboxName,
        known: &mut HashSet<MailboxName>,
        more: impl Fn() -> bool,
    ) -> Result<Tally> {
        let selected = mailboxes.select(mailbox).await?;
        let doubtful = self.doubt_below(mailbox, &selected).await?;
        let uidvalidity = selected.uidvalidity;
        let mut open = Opened { mailboxes, mailbox, selected, known };
        let mut above = self.cursor(mailbox, uidvalidity).await?;
        let mut tally = Tally::default();
        while more() {
            let uids = open.mailboxes.uids_above(above, BATCH).await?;
            let Some(last) = uids.last().copied() else { break };
            let news = self.without_own(&open, &uids)?;
            let (fetched, broken) = fetch_each(open.mailboxes, &news, Extent::Headers).await?;
            let fetched =
                self.without_known(mailbox.clone(), uidvalidity, doubtful, fetched).await?;
            let decided = self.decide(&mut open, fetched, broken).await?;
            above = decided.cut_after.unwrap_or(last);
            let records = self.carry_out(&mut open, decided, doubtful).await?;
            let cursor = Cursor { uidvalidity, uid: above };
            self.settle(mailbox, records, Some(cursor), &mut tally).await?;
        }
        Ok(tally)
    }

    /// Takes up the plans that an earlier connection or engine left open, mailbox by mailbox.
    ///
    /// # Errors
    /// As [`Line::pass`].
    pub async fn resume(
        &self,
        mailboxes: &mut dyn Mailboxes,
        known: &mut HashSet<MailboxName>,
    ) -> Result<Tally> {
        let mut tally = Tally::default();
        for (mailbox, records) in by_mailbox(self.store.unsettled(&self.name)?) {
            let Some(selected) = self.select(mailboxes, &mailbox, &records, &mut tally).await?
            else {
                continue;
            };
            let (current, void): (Vec<_>, Vec<_>) = records
                .into_iter()
                .partition(|record| record.key.uidvalidity == selected.uidvalidity);
            self.settle(&mailbox, record::void(void), None, &mut tally).await?;
            let doubtful = self.doubt_below(&mailbox, &selected).await?;
            let mut open = Opened { mailboxes, mailbox: &mailbox, selected, known };
            let doubt = doubt::doubt(&current, doubtful, Doubt::Possible);
            let records = self.perform(&mut open, current, doubt).await?;
            self.settle(&mailbox, records, None, &mut tally).await?;
        }
        Ok(tally)
    }

    /// Decides held messages again: those that a person or their own time calls for.
    ///
    /// # Errors
    /// As [`Line::pass`].
    pub async fn retry_held(
        &self,
        mailboxes: &mut dyn Mailboxes,
        known: &mut HashSet<MailboxName>,
    ) -> Result<Tally> {
        let mut tally = Tally::default();
        for (mailbox, held) in by_mailbox(self.due()?) {
            let Some(selected) = self.select(mailboxes, &mailbox, &held, &mut tally).await? else {
                continue;
            };
            let uidvalidity = selected.uidvalidity;
            let current = held.iter().filter(|held| held.key.uidvalidity == uidvalidity);
            let uids: Vec<Uid> = current.map(|held| held.key.uid).collect();
            let doubtful = self.doubt_below(&mailbox, &selected).await?;
            let mut open = Opened { mailboxes, mailbox: &mailbox, selected, known };
            let (fetched, broken) = fetch_each(open.mailboxes, &uids, Extent::Headers).await?;
            let fetched_uids = fetched.iter().map(|message| message.uid);
            let there: Vec<Uid> = fetched_uids.chain(broken.iter().map(|(uid, _)| *uid)).collect();
            let gone = record::gone(held, uidvalidity, &there);
            self.settle(&mailbox, gone, None, &mut tally).await?;
            let mut decided = self.decide(&mut open, fetched, broken).await?;
            self.without_released(&mut decided)?;
            let records = self.carry_out(&mut open, decided, doubtful).await?;
            self.settle(&mailbox, records, None, &mut tally).await?;
        }
        Ok(tally)
    }

    /// Leaves out what a person released while it was being decided anew.
    fn without_released(&self, decided: &mut Decided) -> Result<()> {
        let held: HashSet<u64> = self.store.held()?.iter().map(|record| record.id).collect();
        decided.records.retain(|record| held.contains(&record.id));
        Ok(())
    }

    /// Writes the plans down, then performs them; those for messages below `doubtful` in doubt.
    async fn carry_out(
        &self,
        open: &mut Opened<'_>,
        decided: Decided,
        doubtful: Uid,
    ) -> Result<Vec<MessageRecord>> {
        self.plan(&decided.records, decided.states).await?;
        let doubt = doubt::doubt(&decided.records, doubtful, Doubt::None);
        self.perform(open, decided.records, doubt).await
    }

    async fn perform(
        &self,
        open: &mut Opened<'_>,
        records: Vec<MessageRecord>,
        doubt: Doubt,
    ) -> Result<Vec<MessageRecord>> {
        let batch = Batch {
            site: self.site(),
            mailboxes: &mut *open.mailboxes,
            mailbox: open.mailbox,
            selected: &open.selected,
            known: &mut *open.known,
            records,
            doubt,
        };
        batch.perform().await
    }

    /// When the next held message is due, Unix milliseconds.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn next_retry_ms(&self) -> Result<Option<i64>> {
        let held = self.store.held()?;
        Ok(held
            .iter()
            .filter(|record| record.key.account == self.name)
            .filter_map(|record| record.hold.as_ref()?.retry_at_ms)
            .min())
    }

    /// Selects the mailbox of these records. Where it is gone, so are they; where it cannot be
    /// selected for another reason, they wait.
    async fn select(
        &self,
        mailboxes: &mut dyn Mailboxes,
        mailbox: &MailboxName,
        records: &[MessageRecord],
        tally: &mut Tally,
    ) -> Result<Option<Selected>> {
        let error = match mailboxes.select(mailbox).await {
            Ok(selected) => return Ok(Some(selected)),
            Err(error) => error,
        };
        if ends_session(mailboxes) {
            return Err(error);
        }
        let records = match mailboxes.exists(mailbox).await {
            Ok(false) => record::void(records.to_vec()),
            Ok(true) | Err(_) => self.put_off(records),
        };
        let text = format!("{}: {error}; {} messages there wait", self.name, records.len());
        self.log.say(&Event::Warning { text });
        self.settle(mailbox, records, None, tally).await?;
        Ok(None)
    }

    /// Held records are tried again a little later; open plans at the next connection.
    fn put_off(&self, records: &[MessageRecord]) -> Vec<MessageRecord> {
        let later = self.clock.now_ms() + PUT_OFF_MS;
        let mut records = records.to_vec();
        records.retain(|record| record.state == State::Held);
        for hold in records.iter_mut().filter_map(|record| record.hold.as_mut()) {
            hold.retry_at_ms = Some(later);
        }
        records
    }

    /// Held records that are due, a batch of them: what is left stays due.
    fn due(&self) -> Result<Vec<MessageRecord>> {
        let now = self.clock.now_ms();
        let mut held = self.store.held()?;
        held.retain(|record| {
            let at = record.hold.as_ref().and_then(|hold| hold.retry_at_ms);
            record.key.account == self.name && at.is_some_and(|at| at <= now)
        });
        held.truncate(BATCH);
        Ok(held)
    }

    fn site(&self) -> Site<'_> {
        Site {
            config: &self.config,
            account: &self.account,
            store: &self.store,
            clock: &self.clock,
        }
    }

    /// The highest UID of a mailbox that was passed, whatever its UIDVALIDITY.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn passed(&self, mailbox: &MailboxName) -> Result<Uid> {
        Ok(self.store.cursor(&self.name, mailbox)?.map_or(Uid(0), |cursor| cursor.uid))
    }

    /// Where the last pass ended; the start where UIDVALIDITY is new, which is written down.
    async fn cursor(&self, mailbox: &MailboxName, uidvalidity: UidValidity) -> Result<Uid> {
        match self.store.cursor(&self.name, mailbox)? {
            Some(cursor) if cursor.uidvalidity == uidvalidity => Ok(cursor.uid),
            Some(_) => {
                let (account, mailbox) = (self.name.clone(), mailbox.clone());
                let cursor = Cursor { uidvalidity, uid: Uid(0) };
                let (to, from) = (account.clone(), mailbox.clone());
                self.store
                    .write(vec![Change::Cursor { account: to, mailbox: from, cursor }])
                    .await?;
                self.log.say(&Event::Renumbered { account, mailbox });
                Ok(Uid(0))
            }
            None => Ok(Uid(0)),
        }
    }

    /// The plans, with what their steps remember and link, in one durable write.
    async fn plan(&self, records: &[MessageRecord], states: Vec<Change>) -> Result<()> {
        let mut changes: Vec<Change> =
            records.iter().map(|record| Change::Record(Box::new(record.clone()))).collect();
        changes.extend(states);
        changes.extend(records.iter().flat_map(record::links));
        self.store.write(changes).await?;
        for record in records {
            record::log_lines(&self.log, record);
        }
        Ok(())
    }

    /// Writes down how a batch ended, moves the cursor past it, and tells.
    async fn settle(
        &self,
        mailbox: &MailboxName,
        records: Vec<MessageRecord>,
        cursor: Option<Cursor>,
        tally: &mut Tally,
    ) -> Result<()> {
        let mut changes: Vec<Change> =
            records.iter().map(|record| Change::Record(Box::new(record.clone()))).collect();
        if let Some(cursor) = cursor {
            let (account, mailbox) = (self.name.clone(), mailbox.clone());
            let (uidvalidity, up_to) = (cursor.uidvalidity, cursor.uid);
            changes.push(Change::ForgetArrived {
                account: account.clone(),
                mailbox: mailbox.clone(),
                uidvalidity,
                up_to,
            });
            changes.push(Change::Cursor { account, mailbox, cursor });
        }
        self.store.write(changes).await?;
        for record in &records {
            match record.state {
                State::Held => tally.held += 1,
                State::Settled => tally.settled += 1,
                State::Planned | State::Released | State::Void => {}
            }
            record::tell(&self.log, record);
        }
        Ok(())
    }

    /// Without the messages that mailmill itself put there.
    fn without_own(&self, open: &Opened<'_>, uids: &[Uid]) -> Result<Vec<Uid>> {
        let uidvalidity = open.selected.uidvalidity;
        let own = self.store.arrived(&self.name, open.mailbox, uidvalidity, uids)?;
        let own: HashSet<Uid> = own.into_iter().collect();
        Ok(uids.iter().copied().filter(|uid| !own.contains(uid)).collect())
    }

    /// Without the messages that were decided before, under this key or, after a new UIDVALIDITY or
    /// a move whose target UID was not told, under another.
    async fn without_known(
        &self,
        mailbox: MailboxName,
        uidvalidity: UidValidity,
        doubtful: Uid,
        fetched: Vec<Fetched>,
    ) -> Result<Vec<Fetched>> {
        self.off_network(move |line| {
            let mut news = Vec::with_capacity(fetched.len());
            for message in fetched {
                if !line.recognises(&mailbox, uidvalidity, doubtful, &message)? {
                    news.push(message);
                }
            }
            Ok(news)
        })
        .await
    }
}

/// A mailbox of the account that is selected on its connection.
struct Opened<'a> {
    mailboxes: &'a mut dyn Mailboxes,
    mailbox: &'a MailboxName,
    selected: Selected,
    /// Mailboxes known to exist in this session.
    known: &'a mut HashSet<MailboxName>,
}

/// A message that its server will not give, and why.
type Broken = (Uid, Error);

/// Fetches messages; where the server does not give all of them, one by one, so that one that cannot
/// be had does not keep the others.
///
/// # Errors
/// A connection that ended, or a server that wants to be left alone.
async fn fetch_each(
    mailboxes: &mut dyn Mailboxes,
    uids: &[Uid],
    extent: Extent,
) -> Result<(Vec<Fetched>, Vec<Broken>)> {
    match mailboxes.fetch(uids, extent).await {
        Ok(fetched) => return Ok((fetched, Vec::new())),
        Err(error) if ends_session(mailboxes) => return Err(error),
        Err(_) => {}
    }
    let (mut fetched, mut broken) = (Vec::new(), Vec::new());
    for uid in uids {
        match mailboxes.fetch(&[*uid], extent).await {
            Ok(one) => fetched.extend(one),
            Err(error) if ends_session(mailboxes) => return Err(error),
            Err(error) => broken.push((*uid, error)),
        }
    }
    Ok((fetched, broken))
}

fn by_mailbox(records: Vec<MessageRecord>) -> BTreeMap<MailboxName, Vec<MessageRecord>> {
    let mut mailboxes: BTreeMap<MailboxName, Vec<MessageRecord>> = BTreeMap::new();
    for record in records {
        mailboxes.entry(record.key.mailbox.clone()).or_default().push(record);
    }
    mailboxes
}
