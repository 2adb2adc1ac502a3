//! The inbound straight line: look, fetch, decide, write down, do, settle.
//!
//! One pass takes a mailbox from its cursor to its end in windows. While a window is gathered, plans
//! are written as they are made; one sync makes them durable before the server is touched. Then
//! they are performed together, target by target, and what became of them is written while the next
//! command is under way; one sync more makes that durable, and the cursor after it. What a crash
//! leaves open is taken up by [`Line::resume`].

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::config::{Account, Config};
use crate::error::{Error, Result};
use crate::mail::{MailboxName, Uid, UidValidity};
use crate::mailbox::{Extent, Fetched, Mailboxes, Selected, ends_session};
use crate::maillog::{Event, Maillog};
use crate::perform::{Batch, Doubt, Ledger, Site};
use crate::pipeline::{Generation, Live};
use crate::store::{Change, Cursor, MessageRecord, Pen, State, Writing};
use crate::workers::Workers;

mod appetite;
mod decide;
mod doubt;
mod foretell;
mod judge;
mod overlay;
mod recognise;
mod record;
mod window;

use decide::Kind;

pub use appetite::{Appetite, Body};
pub use record::{clause, did};

/// Messages of one window: their moves and copies go in as few commands as there are targets.
const WINDOW: usize = 10_000;

/// Held messages that are tried again at once.
const BATCH: usize = 500;

/// How long a held message waits whose mailbox cannot be selected, in milliseconds.
const PUT_OFF_MS: i64 = 5 * 60 * 1000;

/// Everything the line of one account needs.
#[derive(Clone)]
pub struct Line {
    /// The configuration that `generation` was made of.
    pub config: Arc<Config>,
    /// The account.
    pub account: Arc<Account>,
    /// Its name, as it stands in every key.
    pub name: Arc<str>,
    /// Its inbound pipeline.
    pub pipeline: Arc<str>,
    /// What is in force.
    pub live: Live,
    /// What decides: what was in force when a piece of work began. Between two pieces it is
    /// [`Generation::none`], so that nothing keeps a replaced one.
    pub generation: Arc<Generation>,
    /// Where it is decided.
    pub workers: Workers,
    /// Whether its rules usually read bodies.
    pub appetite: Arc<Appetite>,
    /// What keeps.
    pub store: crate::store::Store,
    /// What time it is.
    pub clock: crate::clock::Clock,
    /// What is told.
    pub log: Maillog,
}

/// What one account's passes have come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages whose plan is done.
    pub settled: u64,
    /// Messages held.
    pub held: u64,
    /// Messages whose body was read, by the step that read it.
    pub body_readers: BTreeMap<String, u64>,
}

impl Line {
    /// Takes one mailbox from its cursor to its end, until `more` says no between two windows.
    ///
    /// # Errors
    /// What ended the connection, or a store that cannot write. Everything done until then is
    /// marked; the next pass goes on from there.
    pub async fn pass(
        &self,
        mailboxes: &mut dyn Mailboxes,
        mailbox: &MailboxName,
        more: impl Fn() -> bool + Sync,
    ) -> Result<Tally> {
        let selected = mailboxes.select(mailbox).await?;
        let doubtful = self.doubt_below(mailbox, &selected).await?;
        let uidvalidity = selected.uidvalidity;
        let mut open = Opened { mailboxes, mailbox, selected, doubtful };
        let mut above = self.cursor(mailbox, uidvalidity).await?;
        let mut tally = Tally::default();
        while more() {
            let Some(line) = self.now() else { break };
            let more = || more() && line.is_current();
            let uids = open.mailboxes.uids_above(above, WINDOW).await?;
            let Some(last) = uids.last().copied() else { break };
            let news = self.without_own(mailbox, uidvalidity, uids).await?;
            let writing = self.store.writing();
            let window = line.gather(&mut open, news, (Kind::New, writing.pen()), &more).await;
            let plans = window.map(|window| {
                above = window.left_at.map_or(last, |uid| Uid(uid.0 - 1));
                let cursor = Cursor { uidvalidity, uid: above };
                let closing = self.passed_changes(mailbox, cursor);
                Plans { records: window.records, doubt: Doubt::None, closing }
            });
            let records = line.perform(&mut open, plans, writing).await?;
            self.tell(&records, &mut tally);
        }
        Ok(tally)
    }

    /// Takes up the plans that an earlier connection or engine left open, mailbox by mailbox.
    ///
    /// # Errors
    /// As [`Line::pass`].
    pub async fn resume(&self, mailboxes: &mut dyn Mailboxes) -> Result<Tally> {
        let mut tally = Tally::default();
        let Some(line) = self.now() else { return Ok(tally) };
        for (mailbox, records) in by_mailbox(self.store.unsettled(&self.name)?) {
            let Some(selected) = self.select(mailboxes, &mailbox, &records, &mut tally).await?
            else {
                continue;
            };
            let (current, void): (Vec<_>, Vec<_>) = records
                .into_iter()
                .partition(|record| record.key.uidvalidity == selected.uidvalidity);
            self.settle(record::void(void), &mut tally).await?;
            let doubtful = self.doubt_below(&mailbox, &selected).await?;
            let mut open = Opened { mailboxes, mailbox: &mailbox, selected, doubtful };
            let closing = Vec::new();
            let current = current.into_iter().map(Arc::new).collect();
            let plans = Ok(Plans { records: current, doubt: Doubt::Possible, closing });
            let records = line.perform(&mut open, plans, self.store.writing()).await?;
            self.tell(&records, &mut tally);
        }
        Ok(tally)
    }

    /// Decides held messages again: those that a person or their own time calls for.
    ///
    /// # Errors
    /// As [`Line::pass`].
    pub async fn retry_held(&self, mailboxes: &mut dyn Mailboxes) -> Result<Tally> {
        let mut tally = Tally::default();
        for (mailbox, held) in by_mailbox(self.due()?) {
            let Some(line) = self.now() else { break };
            let Some(selected) = self.select(mailboxes, &mailbox, &held, &mut tally).await? else {
                continue;
            };
            let uidvalidity = selected.uidvalidity;
            let current = held.iter().filter(|held| held.key.uidvalidity == uidvalidity);
            let uids: Vec<Uid> = current.map(|held| held.key.uid).collect();
            let there = mailboxes.present(&uids).await?;
            self.settle(record::gone(held, uidvalidity, &there), &mut tally).await?;
            let doubtful = self.doubt_below(&mailbox, &selected).await?;
            let mut open = Opened { mailboxes, mailbox: &mailbox, selected, doubtful };
            let writing = self.store.writing();
            let kind = (Kind::Held, writing.pen());
            let window = line.gather(&mut open, there, kind, &|| line.is_current()).await;
            let plans = window.map(|window| Plans {
                records: window.records,
                doubt: Doubt::None,
                closing: Vec::new(),
            });
            let records = line.perform(&mut open, plans, writing).await?;
            self.tell(&records, &mut tally);
        }
        Ok(tally)
    }

    /// Performs plans once they are durable, and writes down how they ended and then `closing`.
    /// Everything handed to `writing` is written when this returns, whatever it returns.
    async fn perform(
        &self,
        open: &mut Opened<'_>,
        plans: Result<Plans>,
        writing: Writing,
    ) -> Result<Vec<Arc<MessageRecord>>> {
        let performed = match writing.sync().await.and(plans) {
            Ok(plans) => self.perform_durable(open, plans, writing.pen()).await,
            Err(error) => Err(error),
        };
        // What was marked is kept, however it ended; a write that failed is the first cause.
        writing.finish().await.and(performed)
    }

    async fn perform_durable(
        &self,
        open: &mut Opened<'_>,
        plans: Plans,
        pen: &Pen,
    ) -> Result<Vec<Arc<MessageRecord>>> {
        let Plans { records, doubt, closing } = plans;
        let doubt = doubt::doubt(&records, open.doubtful, doubt);
        for record in &records {
            record::log_lines(&self.log, record);
        }
        let batch = Batch {
            ledger: Ledger::new(self.site(), open.mailbox, records, pen),
            mailboxes: &mut *open.mailboxes,
            selected: &open.selected,
            doubt,
            renumbered: false,
        };
        let records = batch.perform().await?;
        pen.put(closing);
        Ok(records)
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
        self.settle(records, tally).await?;
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
        let (config, account) = (&self.config, &self.account);
        Site { config, account, store: &self.store, clock: &self.clock }
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

    /// Writes down that records ended without anything being performed, and tells.
    async fn settle(&self, records: Vec<MessageRecord>, tally: &mut Tally) -> Result<()> {
        let records: Vec<_> = records.into_iter().map(Arc::new).collect();
        let changes = records.iter().map(|record| Change::Record(record.clone()));
        self.store.write(changes.collect()).await?;
        self.tell(&records, tally);
        Ok(())
    }

    /// Counts and tells how records ended.
    fn tell(&self, records: &[Arc<MessageRecord>], tally: &mut Tally) {
        for record in records {
            match record.state {
                State::Held => tally.held += 1,
                State::Settled => tally.settled += 1,
                State::Planned | State::Released | State::Void => {}
            }
            for step in record.decision.steps.iter().filter(|step| step.read_body) {
                *tally.body_readers.entry(step.step.clone()).or_default() += 1;
            }
            record::tell(&self.log, record);
        }
    }

    /// What is written when a mailbox was passed up to its cursor.
    fn passed_changes(&self, mailbox: &MailboxName, cursor: Cursor) -> Vec<Change> {
        let (account, mailbox) = (self.name.clone(), mailbox.clone());
        let (uidvalidity, up_to) = (cursor.uidvalidity, cursor.uid);
        let forget = Change::ForgetArrived {
            account: account.clone(),
            mailbox: mailbox.clone(),
            uidvalidity,
            up_to,
        };
        vec![forget, Change::Cursor { account, mailbox, cursor }]
    }

    /// Without the messages that mailmill itself put there.
    async fn without_own(
        &self,
        mailbox: &MailboxName,
        uidvalidity: UidValidity,
        mut uids: Vec<Uid>,
    ) -> Result<Vec<Uid>> {
        // What another account is putting there this very moment is noted first.
        drop(self.store.turn(&self.name, mailbox).await);
        let (line, mailbox) = (self.clone(), mailbox.clone());
        let job = move || {
            let own = line.store.arrived(&line.name, &mailbox, uidvalidity, &uids)?;
            let own: HashSet<Uid> = own.into_iter().collect();
            uids.retain(|uid| !own.contains(uid));
            Ok(uids)
        };
        self.workers.run(job).await?
    }
}

/// What is to be performed.
struct Plans {
    records: Vec<Arc<MessageRecord>>,
    doubt: Doubt,
    /// What is written when all of it is performed.
    closing: Vec<Change>,
}

/// A mailbox of the account that is selected on its connection.
struct Opened<'a> {
    mailboxes: &'a mut dyn Mailboxes,
    mailbox: &'a MailboxName,
    selected: Selected,
    /// Messages below this UID may have been acted on although the store does not know.
    doubtful: Uid,
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
