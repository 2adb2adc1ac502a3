//! Fault points: each place between two durable states. A debug build can be told to die at one, so
//! that a test can sweep over all of them (`tests/crash`); in a release build nothing of this is
//! left.
//!
//! | variable | meaning |
//! |---|---|
//! | `MAILMILL_FAULT=7:kill` | the 7th point that is reached kills the process (SIGKILL) |
//! | `MAILMILL_FAULT=Queued:kill` | the first one of this name does, whatever other threads reach |
//! | `MAILMILL_FAULT=Queued#3:kill` | the third one of this name does |
//! | `MAILMILL_FAULT=7:power` | it raises SIGPWR: a test's shim puts back what was not synced, then kills |
//! | `MAILMILL_FAULT=count` | nothing dies |
//! | `MAILMILL_FAULT_REPORT=FILE` | a line for each point that was reached, the last one where it died |
//!
//! The rule for a crash at each point is that of the state the message is in: the tables at the head
//! of [`crate::store`] and [`crate::perform`].

/// Changes on an IMAP server: the commands that a crash may come before, within or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// UID STORE: flags, and `\Deleted` before an expunge. Harmless to repeat.
    Store,
    /// UID COPY: in doubt, the target is looked through.
    Copy,
    /// UID MOVE: in doubt, the source is looked at, then the target.
    Move,
    /// UID EXPUNGE of a move without MOVE: in doubt, the copy says that only this is missing.
    Expunge,
    /// APPEND of a delivery to another account: in doubt, the target is looked through.
    Append,
    /// CREATE of a target: whether it is there is asked anew.
    Create,
}

/// A place between two durable states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Store: sled is open, with what it recovered; nothing of that is synced.
    StoreOpened,
    /// Store: a batch is about to be applied; nothing of it is there.
    StoreUnapplied,
    /// Store: a batch is applied and not synced; a loss of power may undo it as a whole.
    StoreApplied,
    /// Store: sled has handed its buffers to the kernel; nothing is synced.
    StoreFlushed,
    /// Store: the batch is durable, the witness does not know of it.
    StoreSynced,
    /// Store: the batch is durable and the witness has noted it; nothing is acknowledged yet.
    StoreWitnessed,
    /// Store: a batch of old records is pruned, more may follow.
    Pruned,
    /// Control: held messages are about to be changed at a person's word.
    HeldUnchanged,
    /// Control: they are changed for good, the person does not know it yet.
    HeldChanged,
    /// Queue: a message is written with its envelope, under a name that does not count or over one that is
    /// done.
    SpoolWritten,
    /// Queue: it has its name; nothing is synced.
    SpoolNamed,
    /// Queue: it is synced; the folder may not be yet.
    SpoolSynced,
    /// Queue: the message is durable, which promises it unless it is a report; the store has not heard of
    /// it.
    SpoolDurable,
    /// Queue: the store has heard of it, not durably; nobody else has.
    Queued,
    /// Queue: an end of data is noted as under way, and not sent.
    EndNoted,
    /// Queue: the server has answered the end of data; nothing of that is written.
    EndAnswered,
    /// Queue: what became of an attempt, with the reports it needs, is about to be written.
    AttemptUnwritten,
    /// Queue: it is written.
    AttemptWritten,
    /// Queue: a copy for the mailbox for sent mail is noted as tried, and not put there.
    CopyNoted,
    /// Queue: the copy is there; the entry does not know.
    CopyPut,
    /// Queue: an entry is removed; its file is there.
    Dequeued,
    /// Queue: what was found at the start is put right.
    QueueRecovered,
    /// IMAP: a command is about to be sent.
    Unsent(Change),
    /// IMAP: a command was sent up to its literal.
    HalfSent(Change),
    /// IMAP: a command is under way, its answer was not read.
    Sent(Change),
    /// IMAP: the server has answered, no mark is written.
    Answered(Change),
    /// Maildir: a message is written in `tmp` and not synced.
    TemporaryWritten,
    /// Maildir: a message in `tmp` is synced and not yet delivered.
    TemporarySynced,
    /// Maildir: a message was renamed into `new` or `cur`; its folder is not synced.
    Delivered,
    /// Maildir: a message is delivered for good; it has no UID and no mark.
    DeliverySynced,
    /// Maildir: a message was linked or renamed into its target; neither folder is synced.
    Brought,
    /// Maildir: what was brought has its UIDs on disk; no folder is synced.
    BroughtListed,
    /// Maildir: the target's folder is synced, the source's is not.
    TargetSynced,
    /// Maildir: both folders of a move are synced; no mark is written.
    SourceSynced,
    /// Maildir: a message has the name of its new flags; its folder is not synced.
    FlagsChanged,
    /// Maildir: the folders of changed flags are synced; no mark is written.
    FlagsSynced,
    /// Maildir: a message is removed; its folder is not synced.
    Removed,
    /// Maildir: the folders of removed messages are synced.
    RemovalSynced,
    /// Maildir: a new UIDVALIDITY is remembered; its list of UIDs is not there yet.
    ValidityRemembered,
    /// Maildir: a new list of UIDs is written beside the old one and not synced.
    ListWritten,
    /// Maildir: the new list is synced and not yet in the old one's place.
    ListSynced,
    /// Maildir: the new list is in its place; the folder is not synced.
    ListReplaced,
    /// Maildir: a broken list is put aside, no new one is there.
    ListPutAside,
    /// Maildir: one folder of a mailbox is made; others may be missing.
    FolderMade,
    /// Maildir: all folders of a mailbox are made; none is synced.
    MailboxMade,
    /// Maildir: one of two messages of the same name has another one; the list does not know it.
    TwinRenamed,
}

/// Says that the process has come to this point. Where it was told to die here, it does.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn reach(_: Point) {}

#[cfg(debug_assertions)]
pub use armed::reach;

/// [`reach`] for a command, by its verb; those that change nothing are no points.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn reach_command(_: fn(Change) -> Point, _: &str) {}

#[cfg(debug_assertions)]
pub use armed::reach_command;

#[cfg(debug_assertions)]
mod armed {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::{Change, Point};

    /// What the environment says.
    struct Fault {
        /// Where to die and by which signal.
        death: Option<(Place, Signal)>,
        report: Option<std::ffi::OsString>,
    }

    /// A point that is reached.
    struct Place {
        /// The name of those that count; all of them where there is none.
        name: Option<String>,
        /// Which of them it is, from 1.
        number: u64,
    }

    impl Place {
        fn of(said: &str) -> Option<Self> {
            if let Ok(number) = said.parse() {
                return Some(Self { name: None, number });
            }
            let (name, number) = said.split_once('#').unwrap_or((said, "1"));
            Some(Self { name: Some(name.to_owned()), number: number.parse().ok()? })
        }

        /// Whether it is this point, the `number`th of all.
        fn is(&self, name: &str, number: u64) -> bool {
            static NAMED: AtomicU64 = AtomicU64::new(0);
            match &self.name {
                None => self.number == number,
                Some(own) => own == name && NAMED.fetch_add(1, Ordering::SeqCst) + 1 == self.number,
            }
        }
    }

    static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| {
        let said = std::env::var("MAILMILL_FAULT").ok()?;
        let death = said.split_once(':').and_then(|(place, how)| {
            let signal = if how == "power" { Signal::POWER } else { Signal::KILL };
            Some((Place::of(place)?, signal))
        });
        Some(Fault { death, report: std::env::var_os("MAILMILL_FAULT_REPORT") })
    });

    /// See [`super::Point`].
    pub fn reach(point: Point) {
        static REACHED: AtomicU64 = AtomicU64::new(0);
        let Some(fault) = FAULT.as_ref() else { return };
        let number = REACHED.fetch_add(1, Ordering::SeqCst) + 1;
        let name = format!("{point:?}");
        if let Some(report) = &fault.report {
            let file = OpenOptions::new().append(true).create(true).open(report);
            // One write, so that the lines of several threads stay whole.
            let _ =
                file.and_then(|mut file| file.write_all(format!("{number} {name}\n").as_bytes()));
        }
        if let Some((place, signal)) = &fault.death
            && place.is(&name, number)
        {
            die(*signal);
        }
    }

    /// See [`super::Point`].
    pub fn reach_command(stage: fn(Change) -> Point, verb: &str) {
        let change = match verb {
            "UID STORE" => Change::Store,
            "UID COPY" => Change::Copy,
            "UID MOVE" => Change::Move,
            "UID EXPUNGE" => Change::Expunge,
            "APPEND" => Change::Append,
            "CREATE" => Change::Create,
            _ => return,
        };
        reach(stage(change));
    }

    fn die(signal: Signal) -> ! {
        // Nobody can be told where this fails.
        let _ = kill_process(getpid(), signal);
        loop {
            std::thread::park();
        }
    }
}
