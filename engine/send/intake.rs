//! A message on its way from a user into a spool file: the header block is held until it is whole, is
//! completed ([`Stamp`]), and goes in front of the rest, which is written as it comes.
//!
//! A header ends with an empty line, or before the first line that is no field: a receiver would take
//! the rest for the body, so it is made one here, where what the header says is judged by.

use super::accept::Refusal;
use super::dialogue::Reply;
use super::stamp::Stamp;
use super::{Spool, SpoolFile};
use crate::mail::envelope::Body;

/// The largest header block, in bytes.
const MOST_HEADER: usize = 1 << 20;

/// A message that is coming in. Dropped, it is gone.
#[derive(Debug)]
pub struct Intake {
    stamp: Stamp,
    file: SpoolFile,
    /// The header block with what follows it, until it is whole; then as it was written.
    head: Vec<u8>,
    /// Bytes of `head` that are whole fields.
    looked: usize,
    whole: bool,
    body: Body,
}

/// A message that has come in.
#[derive(Debug)]
pub struct Taken {
    /// Its header block with the empty line that ends it.
    pub head: Vec<u8>,
    /// All of it.
    pub file: SpoolFile,
    /// What bytes it holds, whatever was announced.
    pub body: Body,
}

impl Intake {
    /// Nothing has come yet.
    pub fn begin(spool: &Spool, stamp: Stamp) -> Self {
        Self {
            stamp,
            file: spool.begin(),
            head: Vec::new(),
            looked: 0,
            whole: false,
            body: Body::SevenBit,
        }
    }

    /// The next piece.
    ///
    /// # Errors
    /// The answer to the client: the disk (452), a header that is too large (552).
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        if !piece.is_ascii() {
            self.body = Body::EightBitMime;
        }
        if self.whole {
            return self.file.write(piece).await.map_err(Refusal::no_room);
        }
        self.head.extend_from_slice(piece);
        match self.header_end() {
            Some((end, bridge)) => self.complete(end, bridge).await,
            None if self.head.len() > MOST_HEADER => {
                Err(Reply::new(552, "5.3.4", "the header is larger than is accepted here").into())
            }
            None => Ok(()),
        }
    }

    /// All has come.
    ///
    /// # Errors
    /// The answer to the client, as of [`Intake::write`].
    pub async fn finish(mut self) -> Result<Taken, Refusal> {
        if !self.whole {
            if !self.head.is_empty() && !self.head.ends_with(b"\r\n") {
                self.head.extend_from_slice(b"\r\n");
            }
            let (end, bridge) = self.header_end().unwrap_or((self.head.len(), "\r\n"));
            self.complete(end, bridge).await?;
        }
        Ok(Taken { head: self.head, file: self.file, body: self.body })
    }

    /// Where the header ends, and what is missing there.
    fn header_end(&mut self) -> Option<(usize, &'static str)> {
        loop {
            let rest = &self.head[self.looked..];
            let line = &rest[..rest.iter().position(|byte| *byte == b'\n')? + 1];
            if line == b"\r\n" {
                return Some((self.looked + 2, ""));
            }
            let goes_on = self.looked > 0 && matches!(line[0], b' ' | b'\t');
            let mbox = self.looked == 0 && line.starts_with(b"From ");
            if !goes_on && !mbox && !is_field(line) {
                return Some((self.looked, "\r\n"));
            }
            self.looked += line.len();
        }
    }

    async fn complete(&mut self, end: usize, bridge: &str) -> Result<(), Refusal> {
        let rest = self.head.split_off(end);
        let mut head = std::mem::take(&mut self.head);
        head.extend_from_slice(bridge.as_bytes());
        self.head = self.stamp.apply(head)?;
        self.whole = true;
        for piece in [&self.head, &rest] {
            self.file.write(piece).await.map_err(Refusal::no_room)?;
        }
        Ok(())
    }
}

/// A name and a colon; blanks between them are obsolete and in use (RFC 5322 section 4.5).
fn is_field(line: &[u8]) -> bool {
    let name = line.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b':');
    let Some(name) = name.filter(|name| *name > 0) else { return false };
    let blanks = line[name..].iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    blanks.is_some_and(|blanks| line[name + blanks] == b':')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Intake, MOST_HEADER, Taken};
    use crate::send::Spool;
    use crate::send::stamp::Stamp;

    /// The message as it is written, whatever the pieces it came in.
    async fn written(message: &str) -> String {
        let data = tempfile::tempdir().unwrap();
        let spool = Spool::open(data.path()).unwrap();
        let mut all = Vec::new();
        for piece in [1, 3, 17, message.len().max(1)] {
            let mut intake = Intake::begin(&spool, Stamp::bare());
            for piece in message.as_bytes().chunks(piece) {
                intake.write(piece).await.unwrap();
            }
            let Taken { head, file, .. } = intake.finish().await.unwrap();
            let bytes = file.in_memory().unwrap().to_vec();
            assert!(bytes.starts_with(&head));
            all.push(String::from_utf8(bytes).unwrap());
        }
        assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
        all.remove(0)
    }

    #[tokio::test]
    async fn a_message_stays_as_it_is_but_for_its_bcc() {
        let message = "From: a@b\r\nBcc: secret@x,\r\n\ty@z\r\nDate: x\r\nMessage-ID: <1@b>\r\n\r\nbody\r\nBcc: text\r\n";
        assert_eq!(written(message).await, message.replace("Bcc: secret@x,\r\n\ty@z\r\n", ""));
    }

    #[tokio::test]
    async fn a_header_ends_where_it_is_none_any_more() {
        let with = |rest: &str| format!("Date: x\r\nMessage-ID: <1@b>\r\n{rest}");
        assert_eq!(written(&with("hello\r\nFrom: x\r\n")).await, with("\r\nhello\r\nFrom: x\r\n"));
        assert_eq!(written(&with("")).await, with("\r\n"));
        assert_eq!(written(&with("X: y")).await, with("X: y\r\n\r\n"));
        assert_eq!(written(&format!("From x Mon\r\n{}", with("\r\nb"))).await, with("\r\nb"));
    }

    #[tokio::test]
    async fn a_header_without_end_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let spool = Spool::open(data.path()).unwrap();
        let mut intake = Intake::begin(&spool, Stamp::bare());
        intake.write(&vec![b'x'; MOST_HEADER]).await.unwrap();
        assert_eq!(intake.write(b"x").await.unwrap_err().reply.code, 552);
    }
}
