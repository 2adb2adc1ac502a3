//! Changing messages: flags, copies, moves, removal, and adding one.

use std::collections::BTreeSet;

use crate::error::{Context, Error, Result};
use crate::mail::{Flag, MailboxName, Uid, UidValidity};
use crate::mailbox::{Alteration, Altered, Content, FlagChange, Landed, Tell};

use super::command::Command;
use super::fetch::named;
use super::response::Code;
use super::session::Session;
use super::set::{pairs, sets};

impl Session {
    /// Makes changes; without MOVE (RFC 6851) one after the other, because each move is three
    /// commands then.
    pub(super) async fn alter(&mut self, alterations: &[Alteration], tell: Tell<'_>) -> Result<()> {
        let moves = |alteration: &Alteration| matches!(alteration, Alteration::Move { .. });
        if self.has("MOVE") || !alterations.iter().any(moves) {
            return self.fly(alterations, tell).await;
        }
        for (index, alteration) in alterations.iter().enumerate() {
            let Alteration::Move { uids, target } = alteration else {
                let mut told = |altered| tell(Altered { index, ..altered });
                self.fly(std::slice::from_ref(alteration), &mut told).await?;
                continue;
            };
            let outcome = self.copy_and_expunge(uids, target).await;
            if outcome.is_err() && self.broken.is_some() {
                return outcome.map(drop);
            }
            tell(Altered { index, uids: uids.clone(), outcome });
            if self.refusal.as_ref().is_some_and(|refusal| refusal.back_off.is_some()) {
                break;
            }
        }
        Ok(())
    }

    pub(super) async fn store_flags(
        &mut self,
        uids: &[Uid],
        change: FlagChange,
        flags: &[Flag],
    ) -> Result<()> {
        if flags.is_empty() {
            return self.here("store flags").map(drop);
        }
        let (uids, flags) = (uids.to_vec(), flags.to_vec());
        self.alter_one(Alteration::Flags { uids, change, flags }).await.map(drop)
    }

    pub(super) async fn copy(&mut self, uids: &[Uid], target: &MailboxName) -> Result<Landed> {
        self.alter_one(Alteration::Copy { uids: uids.to_vec(), target: target.clone() }).await
    }

    pub(super) async fn move_to(&mut self, uids: &[Uid], target: &MailboxName) -> Result<Landed> {
        self.alter_one(Alteration::Move { uids: uids.to_vec(), target: target.clone() }).await
    }

    /// One alteration as a whole.
    async fn alter_one(&mut self, alteration: Alteration) -> Result<Landed> {
        let mut whole = Ok(Landed::default());
        let mut take = |altered: Altered| match (&mut whole, altered.outcome) {
            (Ok(whole), Ok(landed)) => {
                whole.uidvalidity = landed.uidvalidity.or(whole.uidvalidity);
                whole.uids.extend(landed.uids);
            }
            (Ok(_), Err(error)) => whole = Err(error),
            (Err(_), _) => {}
        };
        self.alter(&[alteration], &mut take).await?;
        whole
    }

    /// The copy comes first, then the originals go, these only.
    async fn copy_and_expunge(&mut self, uids: &[Uid], target: &MailboxName) -> Result<Landed> {
        let what = self.here(&format!("move {} to {target}", named(uids)))?;
        self.needs_uidplus(&what)?;
        let landed = Box::pin(self.copy(uids, target)).await?;
        if landed.uids.is_empty() && !uids.is_empty() {
            let why = "the server does not say what it copied, so nothing is removed yet";
            return Err(Error::temporary(self.at(&what), why).next("it is looked for later"));
        }
        // What the server does not name as copied stays: it may be in no other place.
        let copied: Vec<Uid> = landed.uids.keys().copied().collect();
        Box::pin(self.expunge(&copied)).await?;
        Ok(landed)
    }

    /// A bare EXPUNGE would remove what other programs have marked: only UID EXPUNGE (RFC 4315)
    /// removes exactly these.
    pub(super) async fn expunge(&mut self, uids: &[Uid]) -> Result<()> {
        let what = self.here(&format!("remove {}", named(uids)))?;
        self.needs_uidplus(&what)?;
        self.store_flags(uids, FlagChange::Add, &[Flag::deleted()]).await?;
        for set in sets(uids.iter().copied()) {
            self.run(&what, Command::new("UID EXPUNGE").words(&set)).await?;
        }
        Ok(())
    }

    /// RFC 9051 section 6.3.12: a message in the format of RFC 5322, so with CRLF.
    pub(super) async fn append(
        &mut self,
        mailbox: &MailboxName,
        content: &Content,
        flags: &[Flag],
        received_ms: Option<i64>,
    ) -> Result<Option<(UidValidity, Uid)>> {
        let what = format!("add a message to mailbox {mailbox}");
        let size = content.crlf_size().await.or_later(|| self.at(&what))?;
        let what = format!("add a message of {size} bytes to mailbox {mailbox}");
        let wire = self.wire_name(&what, mailbox)?;
        let mut command = Command::new("APPEND").string(wire.as_bytes());
        if !flags.is_empty() {
            let flags: Vec<&str> = flags.iter().map(Flag::as_str).collect();
            command = command.words(&format!("({})", flags.join(" ")));
        }
        if let Some(date) = received_ms.and_then(date_time) {
            command = command.words(&format!("\"{date}\""));
        }
        let answer = self.run(&what, command.content(content, size)).await?;
        Ok(answer.codes().find_map(appended))
    }

    fn needs_uidplus(&self, what: &str) -> Result<()> {
        if self.has("UIDPLUS") {
            return Ok(());
        }
        let why = "the server has neither MOVE nor UIDPLUS, so a message cannot be removed \
                   without also removing what other programs have marked as deleted";
        Err(Error::permanent(self.at(what), why).next("use copy_to and flags on this account"))
    }
}

/// `+FLAGS.SILENT (\Seen)`
pub(super) fn flag_item(change: FlagChange, flags: &[Flag]) -> String {
    let sign = match change {
        FlagChange::Add => "+",
        FlagChange::Remove => "-",
    };
    let flags: Vec<&str> = flags.iter().map(Flag::as_str).collect();
    format!("{sign}FLAGS.SILENT ({})", flags.join(" "))
}

/// What a COPYUID code tells of the messages asked for. One that names none of them says nothing,
/// nor does UIDVALIDITY 0, which Exchange sends.
pub(super) fn take_landed(landed: &mut Landed, code: &Code, asked: &BTreeSet<Uid>) {
    if let Code::CopyUid { uidvalidity, from, to } = code
        && *uidvalidity > 0
    {
        let told = pairs(from, to, asked.len()).into_iter();
        landed.uids.extend(told.filter(|(from, to)| asked.contains(from) && to.0 > 0));
        if !landed.uids.is_empty() {
            landed.uidvalidity = Some(UidValidity(*uidvalidity));
        }
    }
}

fn appended(code: &Code) -> Option<(UidValidity, Uid)> {
    match code {
        Code::AppendUid { uidvalidity, uid } if *uidvalidity > 0 && *uid > 0 => {
            Some((UidValidity(*uidvalidity), Uid(*uid)))
        }
        _ => None,
    }
}

/// `17-Jul-1996 09:44:25 +0000` (RFC 9051 section 9, date-time); `None` outside its four-digit
/// years.
fn date_time(unix_ms: i64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(unix_ms).ok()?;
    let text = at.strftime("%d-%b-%Y %H:%M:%S +0000").to_string();
    (text.len() == 26).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_time_is_written_in_utc() {
        assert_eq!(date_time(837_596_665_999).as_deref(), Some("17-Jul-1996 09:44:25 +0000"));
        assert_eq!(date_time(i64::MAX), None);
    }
}
