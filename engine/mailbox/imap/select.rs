//! Opening a mailbox, and what LIST says of mailboxes; making one.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::mail::{Flag, MailboxName, Uid, UidValidity};
use crate::mailbox::{Listed, Selected};

use super::command::Command;
use super::name;
use super::refusal::inert;
use super::response::{Code, Entry, Reply};
use super::session::{Answer, Lost, Session};

impl Session {
    pub(super) async fn select(&mut self, mailbox: &MailboxName) -> Result<Selected> {
        let what = format!("open mailbox {mailbox}");
        let wire = self.wire_name(&what, mailbox)?;
        // A refused SELECT leaves no mailbox selected (RFC 9051 section 6.3.2).
        self.selected = None;
        self.exists = 0;
        self.looked_up_to = None;
        let answer = self.run(&what, Command::new("SELECT").string(wire.as_bytes())).await?;
        self.news = false;
        let uidvalidity = answer.codes().find_map(|code| match code {
            Code::UidValidity(value) if *value > 0 => Some(UidValidity(*value)),
            _ => None,
        });
        let Some(uidvalidity) = uidvalidity else {
            let why =
                "the server tells no UIDVALIDITY, without which no message can be named for good";
            return Err(Error::permanent(self.at(&what), why));
        };
        if let Err(why) = self.still_valid(mailbox, uidvalidity.0) {
            return Err(self.lost(&what, Lost::Broken(why)));
        }
        self.uidvalidities.insert(mailbox.clone(), uidvalidity.0);
        self.selected = Some(mailbox.clone());
        let (permanent_flags, any_keyword) = permanent_flags(&answer);
        let uidnext = self.uidnext(&what, &answer).await?;
        self.uidnext = uidnext.0;
        Ok(Selected { uidvalidity, uidnext, exists: self.exists, permanent_flags, any_keyword })
    }

    /// UIDNEXT; from the last message where the server tells none.
    async fn uidnext(&mut self, what: &str, answer: &Answer) -> Result<Uid> {
        let told = answer.codes().find_map(|code| match code {
            Code::UidNext(value) if *value > 0 => Some(Uid(*value)),
            _ => None,
        });
        if let Some(uidnext) = told {
            return Ok(uidnext);
        }
        if self.exists == 0 {
            return Ok(Uid(1));
        }
        let answer = self.run(what, Command::new("UID FETCH * (UID)")).await?;
        let last = answer.replies.iter().filter_map(|reply| match reply {
            Reply::Fetch(data) => data.uid,
            _ => None,
        });
        match last.max() {
            Some(last) => Ok(Uid(last.saturating_add(1))),
            None => Err(Error::temporary(self.at(what), "the server tells no UIDNEXT")),
        }
    }

    /// Learns the hierarchy delimiter (RFC 9051 section 6.3.9).
    pub(super) async fn learn_delimiter(&mut self) -> Result<()> {
        let listed = self.list("ask for the mailbox hierarchy", "").await?;
        self.delimiter = listed.first().and_then(|listed| listed.delimiter);
        Ok(())
    }

    pub(super) async fn list_below(&mut self, root: &MailboxName) -> Result<Listed> {
        let what = format!("list the mailboxes below {root}");
        let wire = self.wire_name(&what, root)?;
        let below = self.delimiter.map(|delimiter| format!("{wire}{delimiter}*"));
        let listed = self.list_all(&what, &[Some(wire), below]).await?;
        let mut mailboxes = BTreeSet::new();
        let mut unnamed = BTreeSet::new();
        for entry in listed.iter().filter(|entry| entry.selectable) {
            match name::decode(&entry.name, entry.delimiter) {
                Some(name) if name == *root || name.is_below(root) => {
                    mailboxes.insert(name);
                }
                Some(_) => {}
                None => {
                    unnamed.insert(inert(&entry.name));
                }
            }
        }
        let (mailboxes, unnamed) = (mailboxes.into_iter().collect(), unnamed.into_iter().collect());
        Ok(Listed { mailboxes, unnamed })
    }

    pub(super) async fn exists(&mut self, mailbox: &MailboxName) -> Result<bool> {
        let what = format!("look for mailbox {mailbox}");
        let wire = self.wire_name(&what, mailbox)?;
        let listed = self.list(&what, &wire).await?;
        let mut selectable = listed.iter().filter(|listed| listed.selectable);
        Ok(selectable
            .any(|listed| name::decode(&listed.name, listed.delimiter).as_ref() == Some(mailbox)))
    }

    pub(super) async fn create(&mut self, mailbox: &MailboxName) -> Result<()> {
        let what = format!("create mailbox {mailbox}");
        let Err(refused) = self.create_one(&what, mailbox).await else { return Ok(()) };
        if self.broken.is_some() {
            return Err(refused);
        }
        // ALREADYEXISTS is a newer code than many servers; LIST is sure.
        if self.exists(mailbox).await? {
            return Ok(());
        }
        let levels: Vec<&str> = mailbox.as_str().split('/').collect();
        if levels.len() == 1 {
            return Err(refused);
        }
        // Servers should make the parents themselves (RFC 9051 section 6.3.4); not all do.
        for depth in 1..levels.len() {
            if let Ok(parent) = MailboxName::new(&levels[..depth].join("/")) {
                // A parent that is there already is refused: the last word has the mailbox itself.
                let refused = self.create_one(&what, &parent).await.is_err();
                if refused && self.broken.is_some() {
                    break;
                }
            }
        }
        self.create_one(&what, mailbox).await
    }

    async fn create_one(&mut self, what: &str, mailbox: &MailboxName) -> Result<()> {
        let wire = self.wire_name(what, mailbox)?;
        self.run(what, Command::new("CREATE").string(wire.as_bytes())).await.map(drop)
    }

    /// The mailbox's name on the wire.
    ///
    /// # Errors
    /// This server can have no mailbox of this name.
    pub(super) fn wire_name(&self, what: &str, mailbox: &MailboxName) -> Result<String> {
        name::encode(mailbox, self.delimiter)
            .map_err(|why| Error::permanent(self.at(what), why).next("choose another mailbox name"))
    }

    async fn list(&mut self, what: &str, pattern: &str) -> Result<Vec<Entry>> {
        self.list_all(what, &[Some(pattern.to_owned())]).await
    }

    /// What fits any of these patterns.
    async fn list_all(&mut self, what: &str, patterns: &[Option<String>]) -> Result<Vec<Entry>> {
        let patterns = patterns.iter().flatten();
        let commands = patterns.map(|pattern| list_command(pattern)).collect();
        let answer = self.run_together(what, commands).await?;
        let listed = answer.replies.into_iter().filter_map(|reply| match reply {
            Reply::List(entry) => Some(entry),
            _ => None,
        });
        Ok(listed.collect())
    }
}

fn list_command(pattern: &str) -> Command<'_> {
    Command::new("LIST \"\"").string(pattern.as_bytes())
}

/// PERMANENTFLAGS; where it is missing all flags of the mailbox are permanent (RFC 9051 section
/// 7.1).
fn permanent_flags(answer: &Answer) -> (Vec<Flag>, bool) {
    let told = answer.codes().find_map(|code| match code {
        Code::PermanentFlags(flags) => Some(flags),
        _ => None,
    });
    let of_mailbox = answer.replies.iter().find_map(|reply| match reply {
        Reply::Flags(flags) => Some(flags),
        _ => None,
    });
    let flags = told.or(of_mailbox).map(Vec::as_slice).unwrap_or_default();
    (known(flags), flags.iter().any(|flag| flag == "\\*"))
}

/// The flags that can be stored; `\Recent` and what is no flag left out.
pub(super) fn known(flags: &[String]) -> Vec<Flag> {
    flags.iter().filter_map(|flag| Flag::new(flag).ok()).collect()
}
