//! From an account's configuration to its open mailboxes.

use std::path::Path;

use super::maildir::MaildirMailboxes;
use super::{Mailboxes, imap};
use crate::config::{Account, Source};
use crate::error::{Error, Result};

/// Opens an account's mailboxes; an IMAP account is connected and logged in.
///
/// # Errors
/// Whatever keeps them from opening, with the account's name.
pub async fn open(account: &Account, folder: &Path) -> Result<Box<dyn Mailboxes>> {
    match &account.source {
        Source::Imap(settings) => {
            let secret = settings.password.read(folder).await?;
            let mut session =
                imap::connect(settings, &secret, account.deadline, account.max_size).await?;
            if !account.idle {
                session.wait_by(imap::WaitBy::Noop);
            }
            Ok(Box::new(session))
        }
        Source::None => {
            let what = format!("open the mailboxes of account {}", account.name);
            Err(Error::permanent(what, "it only sends: it has neither `imap` nor `maildir`"))
        }
        Source::Maildir { path } => Ok(Box::new(MaildirMailboxes::open(path, account.max_size)?)),
    }
}
