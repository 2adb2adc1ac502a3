//! A long queue on disk, made fast: files without a sync each, entries in batches. Used by the tests
//! and by the example `queue`.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use mailmill::checksum::Checksum;
use mailmill::error::Result;
use mailmill::mail::{Envelope, EnvelopeAddress};
use mailmill::send::Outgoing;
use mailmill::store::{
    Change, DelayNotice, Doubt, Origin, QueueEntry, QueuedRecipient, RecipientState, SentCopy,
    Store,
};

/// Entries that are written at once.
const BATCH: u64 = 500;

/// Accounts that the messages belong to: `a0`, `a1`, …
pub(crate) const ACCOUNTS: u64 = 5;

/// Fills a data folder with so many messages that are due.
pub(crate) fn fill(data: &Path, count: u64, now_ms: i64) -> Result<()> {
    let store = Store::open(data)?;
    let what = || "write a file of the queue".to_owned();
    fs::create_dir_all(data.join("queue")).map_err(|why| failed(what(), &why))?;
    for first in (1..=count).step_by(BATCH as usize) {
        let mut changes = Vec::new();
        for id in first..(first + BATCH).min(count + 1) {
            let outgoing = outgoing(id);
            let text = text(id);
            let path = data.join(format!("queue/{}.eml", name(id)));
            let entry = entry(id, &outgoing, text.len(), now_ms);
            fs::write(path, file(&text, &entry)).map_err(|why| failed(what(), &why))?;
            changes.push(Change::Queue(Arc::new(entry)));
        }
        store.put(&changes)?;
    }
    store.sync()
}

fn failed(what: String, why: &io::Error) -> mailmill::error::Error {
    mailmill::error::Error::temporary(what, why)
}

fn name(id: u64) -> String {
    format!("5f3c2a1b-1-{id:x}")
}

fn text(id: u64) -> String {
    format!(
        "From: anna@example.test\r\nTo: bob{id}@example.test\r\nSubject: Rechnung {id}\r\n\
         Message-ID: <m{id}@example.test>\r\n\r\nHello.\r\n"
    )
}

/// What lies in a file: the message, its promise, and how that ends.
fn file(text: &str, entry: &QueueEntry) -> Vec<u8> {
    let promise = serde_json::json!({ "by": "file", "entry": entry, "changes": [] });
    let mut bytes = text.as_bytes().to_vec();
    let json = promise.to_string();
    bytes.extend(json.as_bytes());
    bytes.extend((json.len() as u64).to_be_bytes());
    bytes.extend(u64::from(Checksum::of(&[&bytes])).to_be_bytes());
    bytes.extend(b"mmqueue2");
    bytes
}

/// A message as a user hands it over.
pub(crate) fn outgoing(id: u64) -> Outgoing {
    let addresses = ["anna@example.test".to_owned(), format!("bob{id}@example.test")];
    let [from, to] = addresses.map(|address| EnvelopeAddress::new(&address).ok());
    Outgoing {
        account: format!("a{}", id % ACCOUNTS),
        user: Some("anna".into()),
        origin: Origin::Submission,
        envelope: Envelope::plain(from, to.into_iter().collect()),
        message_id: Some(format!("m{id}@example.test")),
        subject: Some(format!("Rechnung {id}")),
        project: None,
        generation: 1,
        digest: "0123456789ab".into(),
        held: None,
        changes: Vec::new(),
    }
}

fn entry(id: u64, outgoing: &Outgoing, size: usize, now_ms: i64) -> QueueEntry {
    let Envelope { reverse_path, recipients, ret, envid, body, charset } =
        outgoing.envelope.clone();
    let pending = RecipientState::Pending { answer: None };
    let recipients = recipients.into_iter().map(|to| QueuedRecipient {
        address: to.address,
        notify: to.notify,
        orcpt: to.orcpt,
        state: pending.clone(),
    });
    QueueEntry {
        id,
        file: name(id),
        account: outgoing.account.clone(),
        user: outgoing.user.clone(),
        origin: outgoing.origin,
        queued_ms: now_ms,
        reverse_path,
        ret,
        envid,
        body,
        charset,
        size: size as u64,
        message_id: outgoing.message_id.clone(),
        subject: outgoing.subject.clone(),
        project: None,
        generation: 1,
        digest: outgoing.digest.clone(),
        held: None,
        recipients: recipients.collect(),
        attempts: 0,
        due_ms: now_ms,
        last_error: None,
        delay: DelayNotice::None,
        doubt: Doubt::default(),
        copy: SentCopy::None,
    }
}
