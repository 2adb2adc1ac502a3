//! What the rules change of a message before it is queued: the one place where outgoing bytes are made.

use std::io::{self, Read, Seek, SeekFrom};

use super::Line;
use super::decide::Decided;
use crate::config::Account;
use crate::error::{Context, Result};
use crate::mail::Message;
use crate::perform;
use crate::pipeline::{Action, Decision};
use crate::send::{Refusal, Spool, SpoolFile};

/// What came of the changes.
enum Edited {
    /// Nothing is changed.
    Same,
    /// Another header block above the same body.
    Header(Vec<u8>),
    /// Another message.
    Whole(Box<Message>),
}

impl Line {
    /// Applies what was said. A changed header goes into a new file, and the body after it in pieces;
    /// the message is loaded only where its body is changed.
    pub(super) async fn edit(
        &self,
        decided: &mut Decided,
        account: &Account,
    ) -> Result<(), Refusal> {
        let message = self.before(decided, account).await?;
        let edited = match decided.edited(message) {
            Edited::Same => return Ok(()),
            edited => edited,
        };
        // It is no longer needed, and may be large.
        decided.loaded = None;
        let spool = self.queue.spool().clone();
        let old = std::mem::replace(&mut decided.submission.file, spool.begin());
        let body = decided.submission.head.len() as u64;
        let written = tokio::task::spawn_blocking(move || write(&spool, (old, body), edited)).await;
        let written = written.or_later(|| "write a changed message".into()).flatten();
        let (head, file) = written.map_err(Refusal::no_room)?;
        (decided.submission.head, decided.submission.file) = (head, file);
        decided.header_changed = true;
        Ok(())
    }

    /// The message as it was handed over: all of it where its body will be changed, else its header.
    async fn before(&self, decided: &mut Decided, account: &Account) -> Result<Message, Refusal> {
        let submission = &mut decided.submission;
        match (&decided.loaded, submission.file.in_memory()) {
            _ if !signs(decided.decision.as_ref()) => {
                Ok(Message::from_headers(submission.head.clone()))
            }
            (Some(loaded), _) => Ok(Message::whole(loaded.bytes().clone())),
            (None, Some(bytes)) => Ok(Message::whole(bytes)),
            (None, None) => {
                let loaded = self.load(account, submission).await?;
                Ok(Message::whole(loaded.bytes().clone()))
            }
        }
    }
}

impl Decided {
    /// The one function that turns a decision into bytes.
    fn edited(&self, before: Message) -> Edited {
        let Some(decision) = &self.decision else { return Edited::Same };
        let (head, whole) = (before.head_block().to_vec(), before.is_whole());
        let after = perform::edit(before, &decision.actions);
        match (whole, after.head_block() == head) {
            (true, _) => Edited::Whole(Box::new(after)),
            (false, true) => Edited::Same,
            (false, false) => Edited::Header(after.head_block().to_vec()),
        }
    }
}

/// Whether the body is changed.
fn signs(decision: Option<&Decision>) -> bool {
    let actions = decision.iter().flat_map(|decision| &decision.actions);
    actions.into_iter().any(|said| matches!(said.action, Action::Sign { .. }))
}

/// The header block and the file of a changed message; of the old one the body begins at `body`.
/// Blocks.
fn write(
    spool: &Spool,
    (old, body): (SpoolFile, u64),
    edited: Edited,
) -> Result<(Vec<u8>, SpoolFile)> {
    match edited {
        Edited::Same => Ok((Vec::new(), old)),
        Edited::Header(head) => {
            let file = rewrite(spool, old, body, &head)?;
            Ok((head, file))
        }
        Edited::Whole(message) => {
            let mut file = spool.begin();
            for piece in message.bytes().chunks(256 << 10) {
                file.write_blocking(piece)?;
            }
            Ok((message.head_block().to_vec(), file))
        }
    }
}

/// A file of this header block and what stands in `old` from `body` on. Blocks.
fn rewrite(spool: &Spool, mut old: SpoolFile, body: u64, head: &[u8]) -> Result<SpoolFile> {
    let mut new = spool.begin();
    new.write_blocking(head)?;
    if let Some(bytes) = old.in_memory() {
        let body = usize::try_from(body).unwrap_or(usize::MAX);
        new.write_blocking(bytes.get(body..).unwrap_or_default())?;
        return Ok(new);
    }
    let what = || "copy a message that was handed over".to_owned();
    let mut reader = old.reader()?;
    reader.seek(SeekFrom::Start(body)).or_later(what)?;
    let mut rest = reader.take(old.size() - body);
    let mut piece = vec![0; 256 << 10];
    loop {
        match rest.read(&mut piece) {
            Ok(0) => return Ok(new),
            Ok(read) => new.write_blocking(&piece[..read])?,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why).or_later(what),
        }
    }
}
