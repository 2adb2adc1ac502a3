//! Waiting for news: IDLE (RFC 2177), or listening and a NOOP at the end.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::error::Result;
use crate::mailbox::Woke;

use super::WaitBy;
use super::command::{Command, LiteralMode, Piece};
use super::random;
use super::response::{Reply, Status};
use super::session::{Lost, Session};

impl Session {
    pub(super) async fn wait(&mut self, by: WaitBy, at_most: Duration) -> Result<Woke> {
        let what = self.here("wait for news")?;
        if self.idling.is_none() {
            self.make_ready(&what).await?;
        }
        if self.news {
            return Ok(self.woke());
        }
        let until = Instant::now() + at_most;
        match by {
            WaitBy::Idle if self.has("IDLE") => self.wait_idle(&what, until).await,
            _ => self.wait_noop(&what, until).await,
        }
    }

    /// `Quiet` comes from the server's answer to DONE: a half-open connection is an error.
    async fn wait_idle(&mut self, what: &str, until: Instant) -> Result<Woke> {
        if self.idling.is_none() {
            self.begin_idle(what).await?;
        }
        let heard = self.listen(what, until).await?;
        if self.idling.is_some() {
            self.end_idle(what).await?;
        }
        Ok(self.woke().or(heard))
    }

    async fn wait_noop(&mut self, what: &str, until: Instant) -> Result<Woke> {
        let mut heard = self.listen(what, until).await?;
        let answer = self.run(what, Command::new("NOOP")).await?;
        if answer.replies.iter().any(|reply| matches!(reply, Reply::Gone(_))) {
            heard = Woke::News;
        }
        Ok(self.woke().or(heard))
    }

    fn woke(&mut self) -> Woke {
        if std::mem::take(&mut self.news) { Woke::News } else { Woke::Quiet }
    }

    async fn begin_idle(&mut self, what: &str) -> Result<()> {
        self.begin_unfinished();
        let tag = random::token();
        let refused = match self.start_idle(&tag).await {
            Ok(refused) => refused,
            Err(lost) => return Err(self.lost(what, lost)),
        };
        match refused {
            Some(said) => self.conclude(what, said).map(drop),
            None => {
                self.broken = None;
                self.idling = Some(tag);
                Ok(())
            }
        }
    }

    async fn start_idle(&mut self, tag: &str) -> Result<Option<super::response::Said>, Lost> {
        for piece in Command::new("IDLE").pieces(tag, LiteralMode::Wait) {
            if let Piece::Send(bytes) = piece {
                self.write(&bytes).await?;
            }
        }
        self.await_go_ahead(tag, &mut |_| Ok(())).await
    }

    /// Reads until the mailbox changes or the time is over. May be dropped at any point: what was
    /// heard is noted, and the next command ends the IDLE first.
    async fn listen(&mut self, what: &str, until: Instant) -> Result<Woke> {
        while !self.news {
            let Ok(reply) = timeout_at(until, self.read()).await else { return Ok(Woke::Quiet) };
            match self.heard(reply) {
                Ok(Heard::Nothing) => {}
                Ok(Heard::News) => return Ok(Woke::News),
                Ok(Heard::End(said)) => {
                    self.idling = None;
                    return self.conclude(what, said).map(|_| Woke::Quiet);
                }
                Err(lost) => {
                    self.idling = None;
                    return Err(self.lost(what, lost));
                }
            }
        }
        Ok(Woke::News)
    }

    fn heard(&mut self, reply: Result<Reply, String>) -> Result<Heard, Lost> {
        let reply = reply?;
        self.note(&reply)?;
        match reply {
            Reply::Gone(_) => Ok(Heard::News),
            Reply::Done { tag, said } if self.idling.as_ref() == Some(&tag) => Ok(Heard::End(said)),
            Reply::Done { .. } => {
                Err("the server answered a command that was not sent".to_owned().into())
            }
            _ => Ok(Heard::Nothing),
        }
    }

    /// Sends DONE and waits for IDLE's own answer.
    pub(super) async fn end_idle(&mut self, what: &str) -> Result<()> {
        let Some(tag) = self.idling.take() else { return Ok(()) };
        self.begin_unfinished();
        match self.finish_idle(&tag).await {
            Ok(said) => self.conclude(what, said).map(drop),
            Err(lost) => Err(self.lost(what, lost)),
        }
    }

    async fn finish_idle(&mut self, tag: &str) -> Result<super::response::Said, Lost> {
        self.write(b"DONE\r\n").await?;
        self.flush().await?;
        self.await_done(tag, &mut |_| Ok(())).await
    }

    /// LOGOUT: here BYE is the right answer, and an end of the connection after it too.
    pub(super) async fn logout(&mut self) -> Result<()> {
        let what = "log out";
        self.make_ready(what).await?;
        self.begin_unfinished();
        let tag = random::token();
        let said_bye = match self.say_goodbye(&tag).await {
            Ok(()) => Ok(()),
            Err(lost) => Err(self.lost(what, lost)),
        };
        self.broken = Some("it was closed".into());
        said_bye
    }

    async fn say_goodbye(&mut self, tag: &str) -> Result<(), Lost> {
        self.write(format!("{tag} LOGOUT\r\n").as_bytes()).await?;
        self.flush().await?;
        let mut pace = self.pace();
        loop {
            match self.next(&mut pace).await? {
                Reply::Status(said) if said.status == Status::Bye => return Ok(()),
                Reply::Done { .. } => return Ok(()),
                _ => {}
            }
        }
    }
}

enum Heard {
    Nothing,
    News,
    /// The server ended the IDLE itself.
    End(super::response::Said),
}

impl Woke {
    fn or(self, other: Self) -> Self {
        if self == Self::News { self } else { other }
    }
}
