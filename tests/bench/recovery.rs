//! How long the store takes to open after a kill with 100,000 messages in it, and to give the plans
//! that were left open:
//!
//! ```text
//! cargo run --release --example recovery [MESSAGES]
//! ```
//!
//! A child process writes each message as a plan and then settled with its mark, as the engine does,
//! leaves the last 500 plans open, and kills itself. Reading counts what a start reads: sled's own
//! recovery, the seal over every key, the open plans.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use mailmill::mail::{MailboxName, MessageKey, Uid, UidValidity};
use mailmill::pipeline::{Action, Decision, Recorded, Verdict};
use mailmill::store::{Change, Cursor, Mark, MarkOutcome, MessageRecord, State, Store};
use rustix::process::{Signal, getpid, kill_process};

const CHILD: &str = "MAILMILL_RECOVERY_STORE";
const BATCH: u64 = 500;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(100_000), |count| count.parse())?;
    if let Some(folder) = std::env::var_os(CHILD) {
        fill(Path::new(&folder), count)?;
        kill_process(getpid(), Signal::KILL)?;
    }
    let folder = std::env::temp_dir().join(format!("mailmill-recovery-{}", std::process::id()));
    let started = Instant::now();
    let mut child = Command::new(std::env::current_exe()?);
    child.arg(count.to_string()).env(CHILD, &folder).status()?;
    println!("{count} messages written in {:.1?}, then killed", started.elapsed());
    for which in ["after the kill", "once more"] {
        let started = Instant::now();
        let store = Store::open(&folder)?;
        let opened = started.elapsed();
        let open = store.unsettled("office")?.len();
        println!(
            "{which}: open after {opened:.0?}, {open} open plans after {:.0?}",
            started.elapsed()
        );
    }
    Ok(std::fs::remove_dir_all(folder)?)
}

fn fill(folder: &Path, count: u64) -> Result<()> {
    let store = Store::open(folder)?;
    let inbox = MailboxName::inbox();
    let projects = MailboxName::new("Projects/T-071")?;
    for first in (1..=count).step_by(usize::try_from(BATCH)?) {
        let ids = first..(first + BATCH).min(count + 1);
        let last = ids.end - 1;
        let mut records: Vec<_> =
            ids.map(|id| planned(id, &inbox, &projects)).collect::<Result<_>>()?;
        store.commit(&changes(&records))?;
        if last == count {
            break;
        }
        records.iter_mut().for_each(settle);
        let cursor = Cursor { uidvalidity: UidValidity(7), uid: Uid(u32::try_from(last)?) };
        let passed = Change::Cursor { account: "office".into(), mailbox: inbox.clone(), cursor };
        store.commit(&[changes(&records), vec![passed]].concat())?;
    }
    Ok(())
}

fn changes(records: &[MessageRecord]) -> Vec<Change> {
    records.iter().map(|record| Change::Record(std::sync::Arc::new(record.clone()))).collect()
}

fn settle(record: &mut MessageRecord) {
    let note = Some(format!("INBOX/{0} -> Projects/T-071/{0}", record.id));
    record.marks.push(Mark { action: 0, at_ms: 1, outcome: MarkOutcome::Done, note });
    record.state = State::Settled;
}

fn planned(id: u64, inbox: &MailboxName, to: &MailboxName) -> Result<MessageRecord> {
    let uid = Uid(u32::try_from(id)?);
    let key = MessageKey {
        account: "office".into(),
        mailbox: inbox.clone(),
        uidvalidity: UidValidity(7),
        uid,
    };
    let action = Action::MoveTo { mailbox: to.clone() };
    Ok(MessageRecord {
        id,
        key,
        message_id: Some(format!("{id:032x}@mail.example.com")),
        subject: format!("[T-071] Protokoll der Baubesprechung Nr. {id}"),
        from: "Anna Muster <anna.muster@example.com>".into(),
        size: 75_000,
        received_ms: Some(1_700_000_000_000),
        decided_ms: 1_700_000_001_000,
        decision: Decision {
            generation: 3,
            digest: "0123456789ab".into(),
            verdict: Verdict::Stop,
            actions: vec![Recorded {
                action,
                step: "route".into(),
                at: Some("route.rhai:12".into()),
            }],
            tags: BTreeMap::from([("kind".into(), "minutes".into())]),
            project: Some("T-071".into()),
            steps: Vec::new(),
        },
        state: State::Planned,
        marks: Vec::new(),
        hold: None,
    })
}
