//! Whose turn it is at a mailbox: an account puts a message into a mailbox that another one watches,
//! and notes its UID only afterwards. Who looks there in between waits for the note.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::mail::MailboxName;

/// An account's mailbox.
type Place = (String, MailboxName);

/// The mailboxes that messages of ours came to in this process.
#[derive(Debug, Default)]
pub(super) struct Turns {
    places: Mutex<HashMap<Place, Arc<AsyncMutex<()>>>>,
}

/// While this lives, nobody else looks for new mail there or puts some.
#[derive(Debug)]
pub struct Turn {
    _guard: OwnedMutexGuard<()>,
}

impl Turns {
    /// Waits for the turn at a mailbox.
    pub(super) async fn at(&self, account: &str, mailbox: &MailboxName) -> Turn {
        let place = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.entry((account.to_owned(), mailbox.clone())).or_default().clone()
        };
        Turn { _guard: place.lock_owned().await }
    }
}
