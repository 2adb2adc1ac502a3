//! Which messages may have been acted on although the store does not know: those that were in a
//! mailbox when a store that lost something met it first.

use super::change::Cursor;
use super::{Store, key};
use crate::error::Result;
use crate::mail::{MailboxName, Uid, UidValidity};

/// How far the store's word can be taken for a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubtful {
    /// What it does not know was not done.
    Nothing,
    /// Messages below this UID may have been acted on unknown to it: look before doing.
    Below(Uid),
    /// So may every message that is in the mailbox now. [`super::Change::DoubtBelow`] is to say
    /// which these are, before any of them is touched.
    Unfixed,
}

impl Store {
    /// Which messages of a mailbox are in doubt.
    ///
    /// After a repair, an import or a restored backup these are all that are there when the mailbox
    /// is selected first: their records may be lost, and their cursor too low. After a new
    /// UIDVALIDITY they are those whose records were pruned. The doubt ends by itself: once the cursor
    /// has passed them, they are not met again, but for those that are held.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn doubtful(
        &self,
        account: &str,
        mailbox: &MailboxName,
        uidvalidity: UidValidity,
    ) -> Result<Doubtful> {
        let _whole = self.disk.reading();
        let read = |key: &[u8]| {
            let bytes = self.disk.get(key)?;
            bytes.map(|bytes| Cursor::decode(&bytes)).transpose()
        };
        let cursor = read(&key::cursor(account, mailbox)?)?;
        let Some(fixed) = read(&key::doubt(account, mailbox)?)? else {
            let renumbered = cursor.is_some_and(|cursor| cursor.uidvalidity != uidvalidity);
            let salvaged = self.disk.get(&key::SALVAGED)?.is_some();
            let unfixed = salvaged || renumbered;
            return Ok(if unfixed { Doubtful::Unfixed } else { Doubtful::Nothing });
        };
        let same = fixed.uidvalidity == uidvalidity;
        Ok(if same { Doubtful::Below(fixed.uid) } else { Doubtful::Unfixed })
    }
}

/// A boundary has the form of a cursor.
pub(super) fn encode(uidvalidity: UidValidity, uid: Uid) -> Vec<u8> {
    Cursor { uidvalidity, uid }.encode()
}
