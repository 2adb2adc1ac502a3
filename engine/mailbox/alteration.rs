//! Changes of messages as values, so that several can be under way at once.

use super::{FlagChange, Landed, Mailboxes};
use crate::error::Result;
use crate::mail::{Flag, MailboxName, Uid};

/// A change of messages of the selected mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alteration {
    /// As [`Mailboxes::store_flags`].
    Flags {
        /// The messages.
        uids: Vec<Uid>,
        /// Set or clear.
        change: FlagChange,
        /// The flags.
        flags: Vec<Flag>,
    },
    /// As [`Mailboxes::copy`].
    Copy {
        /// The messages.
        uids: Vec<Uid>,
        /// Where to.
        target: MailboxName,
    },
    /// As [`Mailboxes::move_to`].
    Move {
        /// The messages.
        uids: Vec<Uid>,
        /// Where to.
        target: MailboxName,
    },
}

/// What became of an alteration, or of a piece of it.
#[derive(Debug)]
pub struct Altered {
    /// Which one, from 0.
    pub index: usize,
    /// The messages that this tells of.
    pub uids: Vec<Uid>,
    /// Where they landed (nowhere for flags), or why it was refused.
    pub outcome: Result<Landed>,
}

/// Hears of each alteration.
pub type Tell<'a> = &'a mut (dyn FnMut(Altered) + Send);

impl Alteration {
    /// The messages.
    pub fn uids(&self) -> &[Uid] {
        match self {
            Self::Flags { uids, .. } | Self::Copy { uids, .. } | Self::Move { uids, .. } => uids,
        }
    }

    /// The mailbox that the messages come to.
    pub fn target(&self) -> Option<&MailboxName> {
        match self {
            Self::Flags { .. } => None,
            Self::Copy { target, .. } | Self::Move { target, .. } => Some(target),
        }
    }
}

/// Makes changes one after the other: the way of a mailbox that gains nothing by haste.
pub(super) async fn one_by_one(
    mailboxes: &mut impl Mailboxes,
    alterations: &[Alteration],
    tell: Tell<'_>,
) -> Result<()> {
    for (index, alteration) in alterations.iter().enumerate() {
        let outcome = match alteration {
            Alteration::Flags { uids, change, flags } => {
                mailboxes.store_flags(uids, *change, flags).await.map(|()| Landed::default())
            }
            Alteration::Copy { uids, target } => mailboxes.copy(uids, target).await,
            Alteration::Move { uids, target } => mailboxes.move_to(uids, target).await,
        };
        tell(Altered { index, uids: alteration.uids().to_vec(), outcome });
    }
    Ok(())
}
