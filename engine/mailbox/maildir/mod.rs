//! A Maildir (<https://cr.yp.to/proto/maildir.html>) with Maildir++ subfolders, as source and as
//! target.
//!
//! UIDs are ours: a file `mailmill-uidlist` in each mailbox keeps them ([`uidlist`]). A message in
//! `new` stays there until its flags change or it is moved. Other programs may deliver, rename and
//! delete at any time without a lock: what they rename is found again, what they delete is gone.
//! File I/O runs on tokio's blocking threads.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::mail::{Flag, MailboxName, Uid, UidValidity};
use crate::mailbox::alteration::one_by_one;
use crate::mailbox::{
    Alteration, Content, Extent, Fetched, FlagChange, Landed, Likeness, Listed, Mailboxes,
    Selected, Tell, Woke,
};

mod alike;
mod content;
mod delivery;
mod entry;
mod folder;
mod index;
mod target;
mod transfer;
mod uidlist;

pub use alike::count_alike;
pub use delivery::{Attempt, Delivered, deliver};

use index::Index;
use target::Target;
use uidlist::ListLock;

/// How often a waiting mailbox is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The longest that one call may take; a file server that is gone blocks for ever.
const DEADLINE: Duration = Duration::from_secs(300);

/// The most targets that are remembered.
const MAX_TARGETS: usize = 32;

/// The mailboxes of one Maildir.
#[derive(Debug)]
pub struct MaildirMailboxes {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    max_size: u64,
    selected: Option<(MailboxName, Index)>,
    /// What is known of mailboxes that messages were brought to.
    targets: HashMap<PathBuf, Target>,
}

impl MaildirMailboxes {
    /// Opens a Maildir that exists. Messages over `max_size` bytes are not fetched whole.
    ///
    /// # Errors
    /// Permanent where there is no Maildir at `path`.
    pub fn open(path: &Path, max_size: u64) -> Result<Self> {
        let what = || format!("open the Maildir {}", path.display());
        let root = path.canonicalize().map_err(|why| {
            Error::permanent(what(), why).next("write the path of a folder with cur, new and tmp")
        })?;
        if !folder::is_maildir(&root).or_later(what)? {
            return Err(Error::permanent(what(), "there is no folder cur in it")
                .next("write the path of a folder with cur, new and tmp"));
        }
        let inner = Inner { root, max_size, selected: None, targets: HashMap::new() };
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }

    /// Opens a Maildir, and makes it first where it is missing: for targets.
    ///
    /// # Errors
    /// The folder cannot be made, or something else stands in its place.
    pub fn create_at(path: &Path, max_size: u64) -> Result<Self> {
        folder::make_top(path)?;
        Self::open(path, max_size)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.inner.clone();
        let task = tokio::task::spawn_blocking(move || {
            let poisoned = inner.is_poisoned();
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            if poisoned {
                // After a panic the index may be half changed: it has to be read anew.
                inner.selected = None;
            }
            work(&mut inner)
        });
        let what = "work on a Maildir";
        match tokio::time::timeout(DEADLINE, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(why)) => Err(Error::temporary(what, why)),
            Err(why) => Err(Error::temporary(what, why).next("look at the disk it lies on")),
        }
    }
}

impl Inner {
    fn selected(&mut self) -> Result<(&MailboxName, &mut Index)> {
        match &mut self.selected {
            Some((mailbox, index)) => Ok((mailbox, index)),
            None => Err(Error::temporary("work on a Maildir", "no mailbox is selected")),
        }
    }

    fn select(&mut self, mailbox: &MailboxName) -> Result<Selected> {
        self.selected = None;
        let path = folder::path(&self.root, mailbox);
        folder::check(&path, mailbox)?;
        delivery::sweep(&path);
        let index = Index::open(&path)?;
        let selected = Selected {
            uidvalidity: index.list.uidvalidity,
            uidnext: index.list.next,
            exists: u32::try_from(index.list.bases.len()).unwrap_or(u32::MAX),
            permanent_flags: entry::permanent_flags(),
            any_keyword: false,
        };
        self.selected = Some((mailbox.clone(), index));
        Ok(selected)
    }

    /// The selected mailbox as it is now. After an error none is selected.
    fn refreshed(&mut self) -> Result<&mut Index> {
        let (_, index) = self.selected()?;
        let refreshed = index.refresh();
        if refreshed.is_err() {
            self.selected = None;
        }
        refreshed?;
        self.selected().map(|(_, index)| index)
    }

    fn uids_above(&mut self, uid: Uid, limit: usize) -> Result<Vec<Uid>> {
        let Some(above) = uid.0.checked_add(1).map(Uid) else { return Ok(Vec::new()) };
        let (_, index) = self.selected()?;
        let known: Vec<Uid> = index.uids_from(above, limit);
        if known.len() == limit {
            // New messages come behind these; what is gone of these is missed when it is fetched.
            return Ok(known);
        }
        let index = self.refreshed()?;
        index.tell();
        Ok(index.uids_from(above, limit))
    }

    fn fetch(&mut self, uids: &[Uid], extent: Extent) -> Result<Vec<Fetched>> {
        let max_size = self.max_size;
        let (mailbox, index) = self.selected()?;
        let mut uids = uids.to_vec();
        uids.sort();
        uids.dedup();
        let mut fetched = Vec::with_capacity(uids.len());
        for uid in uids {
            let read = index.with_file(uid, |entry, path| {
                Ok((entry.flags(), content::read(path, extent, max_size)?))
            });
            let what = || format!("fetch message {uid} of mailbox {mailbox}");
            let read = read.map_err(|why| unread(what(), why, extent))?;
            let Some((flags, content)) = read else { continue };
            let content::Content { size, received_ms, bytes } = content;
            fetched.push(Fetched { uid, flags, received_ms, size, bytes });
        }
        Ok(fetched)
    }

    fn present(&mut self, uids: Vec<Uid>) -> Result<Vec<Uid>> {
        let (mailbox, index) = self.selected()?;
        let mut present = Vec::with_capacity(uids.len());
        for uid in uids {
            let found = index.with_file(uid, |_, path| std::fs::symlink_metadata(path));
            let what = || format!("look for message {uid} of mailbox {mailbox}");
            present.extend(found.or_later(what)?.map(|_| uid));
        }
        Ok(present)
    }

    fn find(&mut self, mailbox: &MailboxName, like: &Likeness) -> Result<Vec<Uid>> {
        self.select(mailbox)?;
        let (mailbox, index) = self.selected()?;
        let uids: Vec<Uid> = index.list.bases.keys().copied().collect();
        let mut found = Vec::new();
        for uid in uids {
            let same = index.with_file(uid, |_, path| is_like(path, like));
            let what = || format!("look through mailbox {mailbox} at message {uid}");
            if same.or_later(what)? == Some(true) {
                found.push(uid);
            }
        }
        Ok(found)
    }

    /// Does something with a mailbox that messages come to, under its lock.
    fn at_target<T>(
        &mut self,
        mailbox: &MailboxName,
        act: impl FnOnce(&mut Self, (&mut Target, &ListLock)) -> Result<T>,
    ) -> Result<T> {
        let path = folder::path(&self.root, mailbox);
        folder::check(&path, mailbox)?;
        let lock = ListLock::take(&path)?;
        let known = self.targets.remove(&path);
        let mut target = Target::open(path, &lock, known)?;
        let done = act(self, (&mut target, &lock))?;
        if self.targets.len() >= MAX_TARGETS {
            self.targets.clear();
        }
        self.targets.insert(target.folder.clone(), target);
        Ok(done)
    }

    /// Whether something came or went since the caller last looked, or was there above `seen`.
    fn has_news(&mut self, seen: Uid) -> Result<bool> {
        let index = self.refreshed()?;
        Ok(index.has_news()
            || index.list.bases.range((Bound::Excluded(seen), Bound::Unbounded)).next().is_some())
    }
}

/// Why a message's file was not read.
fn unread(what: String, why: io::Error, extent: Extent) -> Error {
    match (why.kind(), extent) {
        (ErrorKind::FileTooLarge, Extent::Whole | Extent::Part { .. }) => {
            Error::permanent(what, why)
                .next("raise `max_size` of the account, or move the message away by hand")
        }
        (ErrorKind::FileTooLarge, Extent::Headers) => Error::permanent(what, why)
            .next("no mail has such headers: move the file out of the Maildir"),
        (ErrorKind::InvalidData, _) => Error::permanent(what, why)
            .next("move what stands in the message's place out of the Maildir"),
        _ => Error::temporary(what, why).next("look at the file and the disk it lies on"),
    }
}

fn is_like(path: &Path, like: &Likeness) -> io::Result<bool> {
    let (_, metadata) = content::open(path)?;
    if metadata.len() != like.size {
        return Ok(false);
    }
    let Some(message_id) = &like.message_id else {
        return Ok(like.received_ms.is_none_or(|ms| content::received_ms(&metadata) == Some(ms)));
    };
    match content::read(path, Extent::Headers, 0) {
        Ok(headers) => Ok(content::has_message_id(&headers.bytes, message_id)),
        Err(why) if why.kind() == ErrorKind::FileTooLarge => Ok(false),
        Err(why) => Err(why),
    }
}

#[async_trait::async_trait]
impl Mailboxes for MaildirMailboxes {
    async fn list_below(&mut self, root: &MailboxName) -> Result<Listed> {
        let root = root.clone();
        self.blocking(move |inner| folder::list(&inner.root, &root)).await
    }

    async fn select(&mut self, mailbox: &MailboxName) -> Result<Selected> {
        let mailbox = mailbox.clone();
        self.blocking(move |inner| inner.select(&mailbox)).await
    }

    async fn uids_above(&mut self, uid: Uid, limit: usize) -> Result<Vec<Uid>> {
        self.blocking(move |inner| inner.uids_above(uid, limit)).await
    }

    async fn fetch(&mut self, uids: &[Uid], extent: Extent) -> Result<Vec<Fetched>> {
        let uids = uids.to_vec();
        self.blocking(move |inner| inner.fetch(&uids, extent)).await
    }

    async fn present(&mut self, uids: &[Uid]) -> Result<Vec<Uid>> {
        let mut uids = uids.to_vec();
        uids.sort_unstable();
        self.blocking(move |inner| inner.present(uids)).await
    }

    async fn store_flags(
        &mut self,
        uids: &[Uid],
        change: FlagChange,
        flags: &[Flag],
    ) -> Result<()> {
        let (uids, flags) = (uids.to_vec(), flags.to_vec());
        self.blocking(move |inner| {
            let (mailbox, index) = inner.selected()?;
            transfer::store_flags(mailbox, index, &uids, change, &flags)
        })
        .await
    }

    async fn copy(&mut self, uids: &[Uid], target: &MailboxName) -> Result<Landed> {
        let (uids, target) = (uids.to_vec(), target.clone());
        self.blocking(move |inner| {
            inner.at_target(&target, |inner, to| {
                let (mailbox, index) = inner.selected()?;
                transfer::copy(mailbox, index, &uids, to)
            })
        })
        .await
    }

    async fn move_to(&mut self, uids: &[Uid], target: &MailboxName) -> Result<Landed> {
        let (uids, target) = (uids.to_vec(), target.clone());
        self.blocking(move |inner| {
            let (mailbox, index) = inner.selected()?;
            if *mailbox == target {
                return stay(index, &uids);
            }
            inner.at_target(&target, |inner, to| {
                let (mailbox, index) = inner.selected()?;
                transfer::move_to(mailbox, index, &uids, to)
            })
        })
        .await
    }

    async fn alter(&mut self, alterations: &[Alteration], tell: Tell<'_>) -> Result<()> {
        one_by_one(self, alterations, tell).await
    }

    /// A move is a rename.
    fn moves_atomically(&self) -> bool {
        true
    }

    async fn append_content(
        &mut self,
        mailbox: &MailboxName,
        content: &Content,
        flags: &[Flag],
        received_ms: Option<i64>,
    ) -> Result<Option<(UidValidity, Uid)>> {
        let (mailbox, content, flags) = (mailbox.clone(), content.clone(), flags.to_vec());
        self.blocking(move |inner| {
            inner.at_target(&mailbox, |_, to| transfer::append(to, &content, &flags, received_ms))
        })
        .await
    }

    async fn expunge(&mut self, uids: &[Uid]) -> Result<()> {
        let uids = uids.to_vec();
        self.blocking(move |inner| {
            let (mailbox, index) = inner.selected()?;
            transfer::expunge(mailbox, index, &uids)
        })
        .await
    }

    async fn create(&mut self, mailbox: &MailboxName) -> Result<()> {
        let mailbox = mailbox.clone();
        self.blocking(move |inner| folder::make(&folder::path(&inner.root, &mailbox), &inner.root))
            .await
    }

    async fn exists(&mut self, mailbox: &MailboxName) -> Result<bool> {
        let mailbox = mailbox.clone();
        self.blocking(move |inner| {
            folder::is_maildir(&folder::path(&inner.root, &mailbox))
                .or_later(|| format!("look for mailbox {mailbox}"))
        })
        .await
    }

    async fn find(&mut self, mailbox: &MailboxName, like: &Likeness) -> Result<Vec<Uid>> {
        let (mailbox, like) = (mailbox.clone(), like.clone());
        self.blocking(move |inner| inner.find(&mailbox, &like)).await
    }

    async fn wait(&mut self, seen: Uid, at_most: Duration) -> Result<Woke> {
        let until = tokio::time::Instant::now() + at_most;
        loop {
            if self.blocking(move |inner| inner.has_news(seen)).await? {
                return Ok(Woke::News);
            }
            let next = tokio::time::Instant::now() + LOOK_EVERY;
            if until <= tokio::time::Instant::now() {
                return Ok(Woke::Quiet);
            }
            tokio::time::sleep_until(next.min(until)).await;
        }
    }

    async fn close(&mut self) -> Result<()> {
        self.blocking(|inner| {
            inner.selected = None;
            Ok(())
        })
        .await
    }
}

/// A move to where the messages are: they stay, under their UIDs.
fn stay(index: &Index, uids: &[Uid]) -> Result<Landed> {
    let here = uids.iter().filter(|uid| index.list.bases.contains_key(uid));
    let uids: BTreeMap<Uid, Uid> = here.map(|uid| (*uid, *uid)).collect();
    Ok(Landed { uidvalidity: Some(index.list.uidvalidity), uids })
}
