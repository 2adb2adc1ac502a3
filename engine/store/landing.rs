//! Where something of ours is about to land: an account puts a message into a mailbox that another
//! one watches, and notes its UID only afterwards. Who looks there in between waits for the note.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::mail::MailboxName;

/// An account's mailbox.
type Place = (String, MailboxName);

/// The mailboxes that messages of ours came to in this process, each with whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Landings {
    turns: Mutex<HashMap<Place, Arc<Turn<()>>>>,
}

/// While this lives, nobody else looks for new mail there or puts some.
#[derive(Debug)]
pub struct Landing {
    _turn: OwnedMutexGuard<()>,
}

impl Landings {
    /// Waits for the turn at a mailbox.
    pub(super) async fn at(&self, account: &str, mailbox: &MailboxName) -> Landing {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry((account.to_owned(), mailbox.clone())).or_default().clone()
        };
        Landing { _turn: turn.lock_owned().await }
    }
}
