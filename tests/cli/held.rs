//! What was decided, held, linked, and how the accounts are: as people ask for it.

use std::collections::BTreeMap;

use mailmill::mail::{MailboxName, MessageKey, Uid, UidValidity};
use mailmill::pipeline::{Action, Decision, Recorded, Verdict};
use mailmill::store::{Change, Hold, Mark, MarkOutcome, MessageRecord, State, Store};

use super::{CONFIG, json, mail, mill, told};
use crate::support::mill::Mill;

/// A record with a link, a flag and a move, marked as given.
fn record(id: u64, state: State, marks: &[(usize, MarkOutcome)]) -> MessageRecord {
    let said = |action| Recorded { action, step: "sort".into(), at: None };
    let mark = |(action, outcome): &(usize, MarkOutcome)| Mark {
        action: *action,
        at_ms: 0,
        outcome: *outcome,
        note: None,
    };
    MessageRecord {
        id,
        key: MessageKey {
            account: "office".into(),
            mailbox: MailboxName::inbox(),
            uidvalidity: UidValidity(1),
            uid: Uid(u32::try_from(id).unwrap()),
        },
        message_id: None,
        subject: format!("Message {id}"),
        from: "ann@example.org".into(),
        size: 1,
        received_ms: None,
        decided_ms: 0,
        decision: Decision {
            generation: 1,
            digest: "0123456789ab".into(),
            verdict: Verdict::Continue,
            actions: vec![
                said(Action::Link { project: "T-1".into(), evidence: "subject".into() }),
                said(Action::CopyTo { mailbox: MailboxName::new("Copies").unwrap() }),
                said(Action::MoveTo { mailbox: MailboxName::new("Done").unwrap() }),
            ],
            tags: BTreeMap::new(),
            project: None,
            steps: Vec::new(),
        },
        state,
        marks: marks.iter().map(mark).collect(),
        hold: matches!(state, State::Held | State::Released).then(|| Hold {
            reason: "no room".into(),
            since_ms: 0,
            attempts: 0,
            retry_at_ms: None,
        }),
    }
}

/// The rows of `explain` over these records, blanks made one.
fn table(records: Vec<MessageRecord>) -> Vec<String> {
    let mill = mill("fn inbound(mail) { }");
    let changes: Vec<_> =
        records.into_iter().map(|record| Change::Record(std::sync::Arc::new(record))).collect();
    Store::open(&mill.path("data")).unwrap().commit(&changes).unwrap();
    let text = mill.expect(0, &["explain"]);
    text.split('─').filter(|row| row.contains("Message")).map(words).collect()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_table_says_done_only_of_what_was_done() {
    use MarkOutcome::{Done, Failed, Gone};
    let mut decided_to_hold = record(6, State::Released, &[]);
    decided_to_hold.decision.verdict = Verdict::Hold;
    let rows = table(vec![
        record(1, State::Planned, &[(1, Done)]),
        record(2, State::Settled, &[(1, Done), (2, Done)]),
        record(3, State::Settled, &[(1, Gone), (2, Gone)]),
        record(4, State::Held, &[(1, Done), (2, Failed)]),
        record(5, State::Void, &[]),
        decided_to_hold,
    ]);
    let says = |row: usize, all: &[&str]| {
        let row = &rows[row - 1];
        all.iter().for_each(|words| assert!(row.contains(words), "{words} is not in {row}"));
        for words in ["linked to", "copied to", "moved to"] {
            let expected = all.iter().any(|all| all.contains(words));
            assert_eq!(row.contains(words), expected, "{words}: {row}");
        }
    };
    says(1, &["linked to T-1", "copied to Copies", "planned: move to Done"]);
    says(2, &["linked to T-1", "copied to Copies", "moved to Done"]);
    says(3, &["linked to T-1", "gone: it was no longer there to move to Done"]);
    says(4, &["linked to T-1", "copied to Copies", "failed: move to Done", "held", "no room"]);
    says(5, &["linked to T-1", "void", "no longer there"]);
    says(6, &["released", "no room"]);
}

#[test]
fn nothing_is_said_to_be_nothing() {
    let mill = mill("fn inbound(mail) { }");
    mill.deliver("maildir", "1", mail("One"));
    mill.once();
    let nothing = |args: &[&str], note: &str| {
        let (code, out, err) = told(mill.call(args));
        assert_eq!((code, out.as_str(), err.trim()), (Some(0), "", note));
    };
    nothing(&["held", "list"], "nothing is held");
    nothing(&["held", "list", "--json"], "nothing is held");
    nothing(&["links", "T-1"], "nothing is linked to T-1");
}

#[test]
fn a_retry_says_when_it_happens() {
    let mill = mill("fn inbound(mail) { mail.hold(\"why not\"); }");
    mill.deliver("maildir", "1", mail("One"));
    mill.once();
    let retried = mill.expect(0, &["held", "retry", "1"]);
    assert_eq!(retried.trim(), "1 will be retried when the engine runs next");
    let mut engine = mill.start();
    engine.wait_event("held");
    assert_eq!(mill.expect(0, &["held", "retry", "1"]).trim(), "1 retried");
    engine.wait_event("held");
}

#[test]
fn an_account_without_a_pipeline_is_not_connecting_for_ever() {
    let mill = Mill::new(&format!("{CONFIG}\n[accounts.quiet]\nmaildir = \"quiet\"\n"));
    mill.write("scripts/sort.rhai", "fn inbound(mail) { }");
    mill.deliver("maildir", "1", mail("One"));
    let mut engine = mill.start();
    engine.wait_event("connected");
    let status = json(&mill.expect(0, &["status", "--json"]));
    assert_eq!(status["engine"]["accounts"]["quiet"]["state"], "no inbound pipeline");
}
