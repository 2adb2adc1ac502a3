//! A few short commands at once (RFC 9051 section 5.5), where none needs the answer of another.

use std::collections::BTreeSet;

use crate::error::Result;

use super::command::{Command, Piece};
use super::random;
use super::response::{Reply, Said};
use super::session::{Answer, Lost, Session, not_sent};

impl Session {
    /// Runs a few short commands that do not depend on each other, all at once, and gives their
    /// untagged replies together.
    ///
    /// # Errors
    /// As [`Session::run`]; the first refusal, once all are answered.
    pub(super) async fn run_together(
        &mut self,
        what: &str,
        commands: Vec<Command<'_>>,
    ) -> Result<Answer> {
        let waits = commands.iter().any(|command| command.waits(self.literal_mode()));
        let mut together = Answer::default();
        if waits {
            for command in commands {
                together.join(self.run(what, command).await?);
            }
            return Ok(together);
        }
        self.make_ready(what).await?;
        match self.exchange_together(commands, &mut together).await {
            Ok(ended) => {
                ended.into_iter().try_for_each(|said| self.conclude(what, said).map(drop))?;
            }
            Err(lost) => return Err(self.lost(what, lost)),
        }
        Ok(together)
    }

    async fn exchange_together(
        &mut self,
        commands: Vec<Command<'_>>,
        together: &mut Answer,
    ) -> Result<Vec<Said>, Lost> {
        self.begin_unfinished();
        let mut tags = BTreeSet::new();
        for command in commands {
            let tag = random::token();
            for piece in command.pieces(&tag, self.literal_mode()) {
                match piece {
                    Piece::Send(line) => self.write(&line).await?,
                    Piece::SendBorrowed(literal) => self.write(literal).await?,
                    Piece::SendContent(content, size) => self.write_content(content, size).await?,
                    Piece::AwaitGoAhead => {}
                }
            }
            tags.insert(tag);
        }
        self.flush().await?;
        let mut ended = Vec::new();
        let mut pace = self.pace();
        while !tags.is_empty() {
            match self.next(&mut pace).await? {
                Reply::Done { tag, said } if tags.remove(&tag) => ended.push(said),
                Reply::Done { .. } => return Err(not_sent()),
                reply => {
                    self.note(&reply)?;
                    together.keep(reply)?;
                }
            }
        }
        Ok(ended)
    }
}
