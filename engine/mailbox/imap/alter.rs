//! Changing messages: flags, copies, moves, removal, and adding one.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::mail::{Flag, MailboxName, Uid, UidValidity};
use crate::mailbox::{FlagChange, Landed, crlf};

use super::command::Command;
use super::fetch::named;
use super::response::Code;
use super::session::{Answer, Session};
use super::set::{pairs, sets};

impl Session {
    pub(super) async fn store_flags(
        &mut self,
        uids: &[Uid],
        change: FlagChange,
        flags: &[Flag],
    ) -> Result<()> {
        let sign = match change {
            FlagChange::Add => "+",
            FlagChange::Remove => "-",
        };
        let flags: Vec<&str> = flags.iter().map(Flag::as_str).collect();
        let flags = flags.join(" ");
        let what = self.here(&format!("store {sign}FLAGS ({flags}) of {}", named(uids)))?;
        if flags.is_empty() {
            return Ok(());
        }
        for set in sets(uids.iter().copied()) {
            let item = format!("{sign}FLAGS.SILENT ({flags})");
            self.run(&what, Command::new("UID STORE").words(&set).words(&item)).await?;
        }
        Ok(())
    }

    pub(super) async fn copy(&mut self, uids: &[Uid], target: &MailboxName) -> Result<Landed> {
        self.transfer("UID COPY", "copy", uids, target).await
    }

    /// Without MOVE (RFC 6851) the copy comes first, then the originals go, these only.
    pub(super) async fn move_to(&mut self, uids: &[Uid], target: &MailboxName) -> Result<Landed> {
        if self.has("MOVE") {
            return self.transfer("UID MOVE", "move", uids, target).await;
        }
        let what = self.here(&format!("move {} to {target}", named(uids)))?;
        self.needs_uidplus(&what)?;
        let landed = self.transfer("UID COPY", "move", uids, target).await?;
        self.expunge(uids).await?;
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
        bytes: &[u8],
        flags: &[Flag],
        received_ms: Option<i64>,
    ) -> Result<Option<(UidValidity, Uid)>> {
        let bytes = crlf(bytes);
        let what = format!("add a message of {} bytes to mailbox {mailbox}", bytes.len());
        let wire = self.wire_name(&what, mailbox)?;
        let mut command = Command::new("APPEND").string(wire.as_bytes());
        if !flags.is_empty() {
            let flags: Vec<&str> = flags.iter().map(Flag::as_str).collect();
            command = command.words(&format!("({})", flags.join(" ")));
        }
        if let Some(date) = received_ms.and_then(date_time) {
            command = command.words(&format!("\"{date}\""));
        }
        let answer = self.run(&what, command.literal(&bytes)).await?;
        Ok(answer.codes().find_map(appended))
    }

    async fn transfer(
        &mut self,
        verb: &str,
        shown: &str,
        uids: &[Uid],
        target: &MailboxName,
    ) -> Result<Landed> {
        let what = self.here(&format!("{shown} {} to {target}", named(uids)))?;
        let wire = self.wire_name(&what, target)?;
        let asked: BTreeSet<Uid> = uids.iter().copied().collect();
        let mut landed = Landed::default();
        for set in sets(uids.iter().copied()) {
            let command = Command::new(verb).words(&set).string(wire.as_bytes());
            let answer = self.run(&what, command).await?;
            take_landed(&mut landed, &answer, &asked);
        }
        Ok(landed)
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

/// COPYUID comes with the tagged OK or, for MOVE, before it. Exchange sends UIDVALIDITY 0, which
/// says nothing.
fn take_landed(landed: &mut Landed, answer: &Answer, asked: &BTreeSet<Uid>) {
    for code in answer.codes() {
        if let Code::CopyUid { uidvalidity, from, to } = code
            && *uidvalidity > 0
        {
            landed.uidvalidity = Some(UidValidity(*uidvalidity));
            let told = pairs(from, to, asked.len()).into_iter();
            landed.uids.extend(told.filter(|(from, _)| asked.contains(from)));
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
