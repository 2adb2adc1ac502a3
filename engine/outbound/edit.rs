//! What the rules change of a message before it is queued: the one place where outgoing bytes are made.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::decide::Decided;
use crate::error::{Context, Result};
use crate::mail::Message;
use crate::perform;
use crate::send::{Queue, Refusal, Spool, SpoolFile};

/// What came of the changes.
enum Edited {
    /// Nothing is changed.
    Same,
    /// Another header block above the same body.
    Header(Vec<u8>),
}

impl Decided {
    /// Applies what was said. A changed header goes into a new file, and the body after it in pieces.
    pub(super) async fn edit(&mut self, queue: &Queue) -> Result<(), Refusal> {
        let Edited::Header(head) = self.edited() else { return Ok(()) };
        // It is no longer needed, and may be large.
        self.loaded = None;
        let body = self.submission.head.len() as u64;
        let old = std::mem::replace(&mut self.submission.file, queue.spool().begin());
        let (spool, start) = (queue.spool().clone(), head.clone());
        let written = tokio::task::spawn_blocking(move || rewrite(&spool, old, body, &start));
        let written = written.await.or_later(|| "write a changed message".into());
        self.submission.file = written.flatten().map_err(Refusal::no_room)?;
        self.submission.head = head;
        self.header_changed = true;
        Ok(())
    }

    /// The one function that turns a decision into bytes.
    fn edited(&self) -> Edited {
        let Some(decision) = &self.decision else { return Edited::Same };
        let before: Arc<Message> = match &self.loaded {
            Some(message) => message.clone(),
            None => Arc::new(Message::from_headers(self.submission.head.clone())),
        };
        let after = perform::edit(Message::from_headers(before.head_block()), &decision.actions);
        match after.head_block() == before.head_block() {
            true => Edited::Same,
            false => Edited::Header(after.head_block().to_vec()),
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
