//! Messages that may have been acted on although the store does not know.

use std::sync::Arc;

use super::Line;
use crate::error::Result;
use crate::mail::{MailboxName, Uid};
use crate::mailbox::Selected;
use crate::perform::Doubt;
use crate::store::{Change, Doubtful, MessageRecord};

impl Line {
    /// Messages of the selected mailbox below this UID are in doubt. Where the store says that all
    /// of them are, it is written down up to where that is: what comes from now on is not.
    pub(super) async fn doubt_below(
        &self,
        mailbox: &MailboxName,
        selected: &Selected,
    ) -> Result<Uid> {
        let uidvalidity = selected.uidvalidity;
        match self.store.doubtful(&self.name, mailbox, uidvalidity)? {
            Doubtful::Nothing => Ok(Uid(0)),
            Doubtful::Below(uid) => Ok(uid),
            Doubtful::Unfixed => {
                let (account, mailbox) = (self.name.clone(), mailbox.clone());
                let uid = selected.uidnext;
                let fixed = Change::DoubtBelow { account, mailbox, uidvalidity, uid };
                self.store.write(vec![fixed]).await?;
                Ok(uid)
            }
        }
    }
}

/// How to perform these plans: those for messages below `doubtful` may be second ones, others
/// are as `otherwise` says.
pub(super) fn doubt(records: &[Arc<MessageRecord>], doubtful: Uid, otherwise: Doubt) -> Doubt {
    let any = records.iter().any(|record| record.key.uid < doubtful);
    if any { Doubt::Forgotten } else { otherwise }
}
