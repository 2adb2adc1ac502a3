//! IMAP accounts as promised: against a real Dovecot, and against a scripted peer for what no real
//! server does on demand.

use std::time::Duration;

use mailmill::error::Result;
use mailmill::mail::{MailboxName, Uid};
use mailmill::mailbox::imap::{self, ImapMailboxes};
use secrecy::SecretString;

mod certificates;
mod flight;
mod peer;
mod refusals;
mod server;
mod trouble;

const ALICE: &str = "alice@example.test";
const DEADLINE: Duration = Duration::from_secs(20);
const MAX_SIZE: u64 = 1024 * 1024;

async fn connect(settings: &mailmill::config::Imap, password: &str) -> Result<ImapMailboxes> {
    connect_within(settings, password, DEADLINE).await
}

async fn connect_within(
    settings: &mailmill::config::Imap,
    password: &str,
    deadline: Duration,
) -> Result<ImapMailboxes> {
    imap::connect(settings, &SecretString::from(password), deadline, MAX_SIZE).await
}

/// Nothing is unseen.
const SEEN: Uid = Uid(u32::MAX);

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn uids(numbers: impl IntoIterator<Item = u32>) -> Vec<Uid> {
    numbers.into_iter().map(Uid).collect()
}
