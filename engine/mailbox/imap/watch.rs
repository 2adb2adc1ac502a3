//! Waiting for news: IDLE (RFC 2177), or listening and a NOOP at the end.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::error::Result;
use crate::mail::Uid;
use crate::mailbox::Woke;

use super::WaitBy;
use super::command::Command;
use super::random;
use super::response::{Reply, Said, Status};
use super::session::{Lost, Session};

/// An IDLE that is not ended.
pub(super) struct Idling {
    tag: String,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// The server has not yet answered.
    Sent,
    /// It tells what happens.
    Accepted,
    /// DONE is sent, the answer to IDLE not yet there.
    Ending,
}

impl Session {
    /// What came between the caller's last look and SELECT is counted as there already, and no
    /// EXISTS tells of it any more: so it is asked for.
    pub(super) async fn wait(&mut self, by: WaitBy, seen: Uid, at_most: Duration) -> Result<Woke> {
        let what = self.here("wait for news")?;
        self.check_usable(&what)?;
        if self.news {
            return Ok(self.woke());
        }
        if self.has_unseen(seen).await? {
            return Ok(Woke::News);
        }
        let until = Instant::now() + at_most;
        match by {
            WaitBy::Idle if self.has("IDLE") => self.wait_idle(&what, until).await,
            _ => self.wait_noop(&what, until).await,
        }
    }

    /// Whether a message above `seen` is there. UIDNEXT alone does not tell: what had these UIDs may
    /// be gone.
    async fn has_unseen(&mut self, seen: Uid) -> Result<bool> {
        if self.exists == 0 || self.uidnext <= seen.0.saturating_add(1) {
            return Ok(false);
        }
        Ok(!self.uids_above(seen, 1).await?.is_empty())
    }

    /// `Quiet` comes from the server's answer to DONE: a half-open connection is an error. Each
    /// stage is noted, so that a wait that was dropped can be taken up again.
    async fn wait_idle(&mut self, what: &str, until: Instant) -> Result<Woke> {
        if let Some((_, Stage::Ending)) = self.idle_stage() {
            self.end_idle(what).await?;
        }
        if self.idling.is_none() {
            self.begin_idle(what).await?;
        }
        if let Some((tag, Stage::Sent)) = self.idle_stage() {
            self.await_idle(what, &tag).await?;
        }
        let heard = self.listen(what, until).await?;
        self.end_idle(what).await?;
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
        let tag = random::token();
        self.write_whole(what, format!("{tag} IDLE\r\n").as_bytes()).await?;
        self.idling = Some(Idling { tag, stage: Stage::Sent });
        Ok(())
    }

    async fn await_idle(&mut self, what: &str, tag: &str) -> Result<()> {
        let refused = match self.await_go_ahead(tag, &mut |_| Ok(())).await {
            Ok(refused) => refused,
            Err(lost) => return Err(self.lost(what, lost)),
        };
        match refused {
            Some(said) => {
                self.idling = None;
                self.conclude(what, said).map(drop)
            }
            None => {
                self.idle_is(Stage::Accepted);
                Ok(())
            }
        }
    }

    fn idle_is(&mut self, stage: Stage) {
        if let Some(idling) = &mut self.idling {
            idling.stage = stage;
        }
    }

    fn idle_stage(&self) -> Option<(String, Stage)> {
        self.idling.as_ref().map(|idling| (idling.tag.clone(), idling.stage))
    }

    /// Half a line written is the one state that cannot be taken up again.
    async fn write_whole(&mut self, what: &str, line: &[u8]) -> Result<()> {
        self.begin_unfinished();
        let written = match self.write(line).await {
            Ok(()) => self.flush().await,
            Err(why) => Err(why),
        };
        self.broken = None;
        written.map_err(|why| self.lost(what, Lost::Broken(why)))
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
                Err(lost) => return Err(self.lost(what, lost)),
            }
        }
        Ok(Woke::News)
    }

    fn is_idle(&self, tag: &str) -> bool {
        self.idling.as_ref().is_some_and(|idling| idling.tag == tag)
    }

    fn heard(&mut self, reply: Result<Reply, String>) -> Result<Heard, Lost> {
        let reply = reply?;
        self.note(&reply)?;
        match reply {
            Reply::Gone(_) => Ok(Heard::News),
            Reply::Done { tag, said } if self.is_idle(&tag) => Ok(Heard::End(said)),
            Reply::Done { .. } => {
                Err("the server answered a command that was not sent".to_owned().into())
            }
            _ => Ok(Heard::Nothing),
        }
    }

    /// Brings an IDLE to its end from whatever stage it was left in: sends DONE and waits for its
    /// own answer.
    pub(super) async fn end_idle(&mut self, what: &str) -> Result<()> {
        while let Some((tag, stage)) = self.idle_stage() {
            match stage {
                Stage::Sent => self.await_idle(what, &tag).await?,
                Stage::Accepted => {
                    self.write_whole(what, b"DONE\r\n").await?;
                    self.idle_is(Stage::Ending);
                }
                Stage::Ending => {
                    let ended = self.await_done(&tag, &mut |_| Ok(())).await;
                    self.idling = None;
                    return match ended {
                        Ok(said) => self.conclude(what, said).map(drop),
                        Err(lost) => Err(self.lost(what, lost)),
                    };
                }
            }
        }
        Ok(())
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
    End(Said),
}

impl Woke {
    fn or(self, other: Self) -> Self {
        if self == Self::News { self } else { other }
    }
}
