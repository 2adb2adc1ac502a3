//! What the rules change of a message before it is queued: the one place where outgoing bytes are made.

use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Line;
use super::decide::{Decided, Message};
use crate::error::{Context, Error, Result};
use crate::mail::Message as Mail;
use crate::pipeline::{Action, Edited, edit};
use crate::send::{Refusal, Spool, SpoolFile};

impl Line {
    /// Applies what was said: the header changes, and the signature. A changed message goes into a new
    /// file; where only its header is changed, the body after it in pieces.
    pub(super) async fn edit(
        &self,
        decided: &mut Decided,
        whose: &Message<'_>,
    ) -> Result<(), Refusal> {
        if decided.sign_action().is_some() && self.sign(decided, whose).await? {
            return Ok(());
        }
        let Some(head) = decided.changed_head() else { return Ok(()) };
        // It is no longer needed, and may be large.
        decided.loaded = None;
        let body = decided.submission.head.len() as u64;
        let old = std::mem::replace(&mut decided.submission.file, self.queue.spool().begin());
        let (spool, start) = (self.queue.spool().clone(), head.clone());
        decided.submission.file = apart(move || rewrite(&spool, old, body, &start)).await?;
        decided.submission.head = head;
        decided.header_changed = true;
        Ok(())
    }

    /// Changes and signs the message; `false` where that failed, so that it is held unsigned.
    async fn sign(&self, decided: &mut Decided, whose: &Message<'_>) -> Result<bool, Refusal> {
        let Some(decision) = decided.decision.clone() else { return Ok(false) };
        let message = self.whole(decided, whose).await?;
        let (generation, account) = (decided.generation.clone(), whose.account.clone());
        let (user, now_ms) = (whose.user.name.clone(), self.clock.now_ms());
        let job = move || {
            let sign = || generation.outgoing(message, &decision, &account, &user, now_ms);
            catch_unwind(AssertUnwindSafe(sign))
        };
        let Edited { message, signing } = match self.workers.run(job).await {
            Ok(Ok(Ok(edited))) => edited,
            Ok(Ok(Err(error))) => {
                let why = || format!("the signature cannot be made: {error}");
                decided.held.get_or_insert_with(why);
                return Ok(false);
            }
            Ok(Err(_)) => {
                let why = "a fault of mailmill itself; please report it";
                return Err(Refusal::later(Error::temporary("sign a message", why)));
            }
            Err(error) => return Err(Refusal::later(error)),
        };
        decided.signing = signing;
        let (spool, bytes) = (self.queue.spool().clone(), message.bytes().clone());
        let written = apart(move || {
            let mut file = spool.begin();
            file.write_blocking(&bytes).map(|()| file)
        });
        decided.submission.file = written.await?;
        decided.submission.head = message.head_block().to_vec();
        decided.header_changed = true;
        Ok(true)
    }

    /// All of the message, which is loaded where it has not been.
    async fn whole(&self, decided: &mut Decided, whose: &Message<'_>) -> Result<Mail, Refusal> {
        let Decided { submission, loaded, .. } = decided;
        if let Some(bytes) = submission.file.in_memory() {
            return Ok(Mail::whole(bytes));
        }
        let message = match loaded.take() {
            Some(message) => message,
            None => self.load(whose.account, submission).await?,
        };
        Ok(Mail::whole(message.bytes().clone()))
    }
}

impl Decided {
    /// Which of the actions asks for the signature: the last of its kind counts.
    pub(super) fn sign_action(&self) -> Option<usize> {
        let actions = self.decision.as_ref().map_or(&[][..], |decision| &decision.actions);
        actions.iter().rposition(|said| matches!(said.action, Action::Sign { .. }))
    }

    /// The header block after the changes; `None` where it is the same.
    fn changed_head(&self) -> Option<Vec<u8>> {
        let before = Mail::from_headers(self.submission.head.clone());
        let before = before.head_block();
        let after = edit(Mail::from_headers(before), &self.decision.as_ref()?.actions);
        (after.head_block() != before).then(|| after.head_block().to_vec())
    }
}

/// Runs what blocks on the disk.
async fn apart(
    job: impl FnOnce() -> Result<SpoolFile> + Send + 'static,
) -> Result<SpoolFile, Refusal> {
    let written = tokio::task::spawn_blocking(job).await;
    written.or_later(|| "write a changed message".into()).flatten().map_err(Refusal::no_room)
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
