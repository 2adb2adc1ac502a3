//! OUT: what was promised to be sent lies in a durable queue and is relayed through its account's
//! server, however long that takes.
//!
//! # The states of an outbound message on disk
//!
//! | state | what is on disk | after a crash here |
//! |---|---|---|
//! | *spooled* | its file in `data/queue`, perhaps not whole; nobody was promised anything | the file is removed when the engine starts, after the queue was read; one that turns out whole is as good as promised |
//! | *queued* | the file with all that is needed to send it, synced with its name: **now it is promised** (`250`). The store is told at once ([`QueueEntry`]), and syncs that with the next commit that somebody waits for | its entry is there, or is made anew from the file, with what belongs to it: record, links, step memory. It is sent |
//! | *in flight* | [`Doubt::open`] was written before the final dot of the message went out | the server may have it: it is sent once more with the same Message-ID, and counted ([`Doubt::times`]). One that is in doubt a second time waits for a person |
//! | *pending*, *sent*, *failed*, for each recipient | [`RecipientState`] | only pending ones are sent to |
//! | *reported* | the entry is gone or says so, and the report is an entry of its own, in one commit | nothing is reported twice |
//! | *copied* | [`SentCopy::Tried`] was written before the copy was put into the mailbox for sent mail | it is looked up by its Message-ID before it is put there again |
//! | *removed* | no entry, and the store has heard of its id; the file may still be there | the file is emptied, to be written over, or removed |
//!
//! An entry is changed by whoever reads it under the store's lock ([`Store::change_queued`]), so that
//! what a person said meanwhile is kept. Each change is on disk before the next thing that cannot be
//! undone; what is written later is never there without what was written before, so that an entry is
//! durable before its message goes out.
//!
//! # A file without an entry
//!
//! It may be a new promise that the store has not kept, or one that is done. The store knows which ids
//! it ever heard of ([`Store::knows_queue_id`]), durably before a file is removed: a whole file with
//! another id is a promise, unless it is a report, which is one by its commit only ([`promise::By`]).
//! So one sync is waited for before a `250`, that of the file, as in other mail servers.
//!
//! # When the store was lost
//!
//! Each file ends with its entry, so that the queue is made anew from the files alone. After a
//! store was repaired or imported ([`Store::is_queue_in_doubt`]) files without an entry are promises
//! that may or may not have been kept: they wait for a person. An entry without a file, or whose
//! file holds another message by now, was sent: entries are removed before their files. A file that is
//! not whole waits for a person too: its entry is held, and without an entry it is put aside as
//! `NAME.damaged`.
//!
//! [`Store::change_queued`]: crate::store::Store::change_queued
//! [`Store::knows_queue_id`]: crate::store::Store::knows_queue_id
//! [`Store::is_queue_in_doubt`]: crate::store::Store::is_queue_in_doubt
//! [`QueueEntry`]: crate::store::QueueEntry
//! [`Doubt::open`]: crate::store::Doubt
//! [`Doubt::times`]: crate::store::Doubt
//! [`RecipientState`]: crate::store::RecipientState
//! [`SentCopy::Tried`]: crate::store::SentCopy

pub mod dialogue;
pub mod drop;
pub mod password;
pub mod relay;
pub mod sendmail;
pub mod submission;

mod accept;
mod conclude;
mod intake;
mod lanes;
mod memory;
mod names;
mod pickup;
mod promise;
mod queue;
mod recovery;
mod report;
mod retry;
mod runner;
mod sent;
mod spares;
mod spool;
mod spool_file;
mod stamp;
mod timekeeper;
mod token;
mod trailer;
mod worker;

pub use accept::{Accept, Accepted, Refusal, Submission};
pub use intake::{Intake, Taken};
pub use lanes::{Figures, LaneFigures};
pub use pickup::{Pickup, user_name};
pub use queue::{Outgoing, Queue};
pub use runner::Runner;
pub use spool::{Found, Spool};
pub use spool_file::SpoolFile;
pub use stamp::{Stamp, Via};

/// The name of this machine in greetings and `Received:`: as configured, else what the system calls
/// it, else `localhost`.
fn host(terms: &crate::config::Submission) -> String {
    terms.host.clone().unwrap_or_else(machine)
}

/// What the system calls this machine.
fn machine() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_str().unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if name.is_empty() || !name.bytes().all(fits) { "localhost".into() } else { name.into() }
}
